//! Parameters of requests: each route has a table of them, against which a request is checked first. Decoding of URLs.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use axum::http::StatusCode;
use ipnet::IpNet;

use super::super::problem::Problem;
use crate::topic::{TopicFilter, TopicName};

/// Type of a parameter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    /// With the least and the largest value.
    Number(u64, u64),
    Flag,
    Choice(&'static [&'static str]),
    Time,
    Duration,
    Network,
    Filter,
    Topic,
    /// A list of these words, separated by commas.
    Words(&'static [&'static str]),
}

/// A parameter of a route.
#[derive(Debug)]
pub(super) struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    pub about: &'static str,
}

impl Parameter {
    pub const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, required: false, about }
    }

    pub const fn required(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, required: true, about }
    }
}

/// The parameters of a request, checked against those of its route.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Parses the part of a URL after `?`.
    pub fn parse(text: &str, known: &[&'static [Parameter]]) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let broken = || bad("encoding", format!("{part:?} is not UTF-8 with percent signs (RFC 3986)"));
            pairs.push((decode(name).ok_or_else(broken)?, decode(value).ok_or_else(broken)?));
        }
        Self::check(pairs, known)
    }

    /// Checks names and values.
    pub fn check(pairs: Vec<(String, String)>, known: &[&'static [Parameter]]) -> Result<Self, Problem> {
        let known = || known.iter().copied().flatten();
        let mut query = Self::default();
        for (name, value) in pairs {
            let Some(parameter) = known().find(|parameter| parameter.name == name) else {
                return Err(unknown("parameter", &name, known().map(|parameter| parameter.name)));
            };
            if query.text(parameter.name).is_some() {
                return Err(bad("repeated-parameter", format!("{name} appears twice")));
            }
            check(parameter, &value)?;
            query.0.push((parameter.name, value));
        }
        match known().find(|parameter| parameter.required && query.text(parameter.name).is_none()) {
            Some(Parameter { name, about, .. }) => Err(bad("missing-parameter", format!("{name} is missing: {about}"))),
            None => Ok(query),
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    pub fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value == "true" || value.is_empty())
    }

    pub fn time(&self, name: &str) -> Option<SystemTime> {
        time(self.text(name)?)
    }

    pub fn duration(&self, name: &str) -> Option<Duration> {
        duration(self.text(name)?)
    }

    pub fn network(&self, name: &str) -> Option<IpNet> {
        network(self.text(name)?)
    }

    /// Does the request have one of these parameters?
    pub fn has_any(&self, names: &[Parameter]) -> bool {
        names.iter().any(|parameter| self.text(parameter.name).is_some())
    }
}

/// Checks a value.
fn check(parameter: &Parameter, value: &str) -> Result<(), Problem> {
    let name = parameter.name;
    let wrong = |expected: &str| Err(bad("parameter", format!("{name}={value:?}: {expected} is expected")));
    match parameter.kind {
        Kind::Text => Ok(()),
        Kind::Number(least, most) => match value.parse::<u64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(()),
            _ => wrong(&format!("a number from {least} to {most}")),
        },
        Kind::Flag if ["", "true", "false"].contains(&value) => Ok(()),
        Kind::Flag => wrong("true or false"),
        Kind::Choice(words) if words.contains(&value) => Ok(()),
        Kind::Choice(words) => Err(unknown(name, value, words.iter().copied())),
        Kind::Time if time(value).is_some() => Ok(()),
        Kind::Time => wrong("a time such as 2026-01-31T12:00:00Z"),
        Kind::Duration if duration(value).is_some() => Ok(()),
        Kind::Duration => wrong("a duration such as 90s or 5m"),
        Kind::Network if network(value).is_some() => Ok(()),
        Kind::Network => wrong("an address, or a network such as 192.0.2.0/24,"),
        Kind::Filter => match TopicFilter::new(value) {
            Ok(_) => Ok(()),
            Err(error) => Err(bad("filter", format!("{name}={value:?} is not a Topic Filter: it {error}"))),
        },
        Kind::Topic => match TopicName::new(value) {
            Ok(_) => Ok(()),
            Err(error) => Err(bad("topic", format!("{name}={value:?} is not a Topic Name: it {error}"))),
        },
        Kind::Words(words) => match value.split(',').find(|word| !words.contains(word)) {
            Some(word) => Err(unknown(name, word, words.iter().copied())),
            None => Ok(()),
        },
    }
}

/// A problem with the request.
pub(super) fn bad(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, code, detail)
}

/// A problem with an unknown word, which suggests the nearest known one.
pub(super) fn unknown<'a>(what: &str, word: &str, known: impl Iterator<Item = &'a str>) -> Problem {
    let known: Vec<_> = known.collect();
    let hint = match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None if known.is_empty() => "none is known here".into(),
        None => format!("known are {}", known.join(", ")),
    };
    bad("unknown", format!("{word:?} is not known ({what}): {hint}"))
}

/// The nearest known word, if it is near enough.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // a longer word is not a typing error, and comparing it takes long
    let word = word.get(..word.len().min(64))?;
    let rated = known.map(|known| (strsim::jaro_winkler(word, known), known));
    rated.filter(|(rate, _)| *rate > 0.75).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, near)| near)
}

/// Undoes percent-encoding. A `+` stays one, because Topic Filters contain it. `None`: not UTF-8, or a `%` without
/// digits.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn time(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(text).ok()
}

/// Seconds, or a duration as in the configuration.
pub(super) fn duration(text: &str) -> Option<Duration> {
    text.parse().map(Duration::from_secs).ok().or_else(|| humantime::parse_duration(text).ok())
}

fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    static KNOWN: [Parameter; 4] = [
        Parameter::new("queued_min", Kind::Number(0, 9), ""),
        Parameter::new("filter", Kind::Filter, ""),
        Parameter::new("fields", Kind::Words(&["a", "b"]), ""),
        Parameter::new("idle_min", Kind::Duration, ""),
    ];

    #[test]
    fn an_invalid_query_is_refused_with_the_reason() {
        let parse = |text| Query::parse(text, &[&KNOWN]).map_err(|problem| problem.code());
        assert!(parse("queued_min=3&filter=a/+/%23&fields=a,b&idle_min=5m").is_ok());
        assert!(parse("").is_ok());
        for (text, code) in [
            ("queue_min=3", "unknown"),
            ("queued_min=10", "parameter"),
            ("queued_min=-1", "parameter"),
            ("queued_min=1&queued_min=1", "repeated-parameter"),
            ("filter=a%2", "encoding"),
            ("filter=%ff", "encoding"),
            ("filter=a%23", "filter"),
            ("fields=a,c", "unknown"),
            ("idle_min=soon", "parameter"),
        ] {
            assert_eq!(parse(text).err(), Some(code), "{text}");
        }
    }

    #[test]
    fn percent_encoding_is_undone() {
        for (text, decoded) in [("a%2Fb", Some("a/b")), ("%252F", Some("%2F")), ("", Some("")), ("a+b", Some("a+b"))] {
            assert_eq!(decode(text).as_deref(), decoded);
        }
        for broken in ["%", "%a", "%zz", "%+1", "%ff"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
        assert_eq!(decode(&"%41".repeat(65_535)).map(|text| text.len()), Some(65_535));
    }
}
