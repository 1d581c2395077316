//! [`Template`]: a text with variables, whose values are escaped for the place of the text.

use std::borrow::Cow;

use super::Asked;
use crate::types::{ProtocolVersion, percent_encode};

/// A text with variables.
#[derive(Clone, Debug)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Variable(Variable),
}

#[derive(Clone, Copy, Debug)]
enum Variable {
    Username,
    ClientId,
    Password,
    PeerHost,
    ProtocolVersion,
}

/// How values of variables are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escaping {
    /// Not at all.
    None,
    /// As part of a JSON string.
    Json,
    /// Percent-encoded.
    Url,
}

/// The default body.
pub(super) const JSON: &str = "{\"username\": \"${username}\", \"clientid\": \"${clientid}\", \
                               \"password\": \"${password}\", \"peerhost\": \"${peerhost}\"}";

/// The default body of a form.
pub(super) const FORM: &str = "username=${username}&clientid=${clientid}&password=${password}&peerhost=${peerhost}";

/// The default body of a question about a superuser.
pub(super) const JSON_OF_USER: &str = "{\"username\": \"${username}\"}";
/// The same as a form.
pub(super) const FORM_OF_USER: &str = "username=${username}";

/// In the order, and with the names, of `LOGIN_VARIABLES`.
const VARIABLES: [(&str, Variable); 5] = [
    ("${username}", Variable::Username),
    ("${clientid}", Variable::ClientId),
    ("${password}", Variable::Password),
    ("${peerhost}", Variable::PeerHost),
    ("${protocol_version}", Variable::ProtocolVersion),
];

impl Template {
    pub(super) fn new(text: &str) -> Self {
        let (mut parts, mut rest) = (Vec::new(), text);
        loop {
            let found = VARIABLES.iter().filter_map(|(name, variable)| Some((rest.find(name)?, name.len(), variable)));
            let Some((at, length, variable)) = found.min_by_key(|(at, ..)| *at) else { break };
            parts.push(Part::Text(rest[..at].into()));
            parts.push(Part::Variable(*variable));
            rest = &rest[at + length..];
        }
        parts.push(Part::Text(rest.into()));
        Self(parts)
    }

    /// Fills in the values of this login.
    pub(super) fn fill(&self, asked: &Asked, escaping: Escaping) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out += text,
                Part::Variable(variable) => escape(&mut out, &variable.of(asked), escaping),
            }
        }
        out
    }
}

impl Variable {
    fn of(self, asked: &Asked) -> Cow<'_, [u8]> {
        match self {
            Self::Username => asked.user.as_deref().unwrap_or_default().as_bytes().into(),
            Self::ClientId => asked.client.as_bytes().into(),
            Self::Password => asked.password.as_slice().into(),
            Self::PeerHost => asked.address.to_string().into_bytes().into(),
            Self::ProtocolVersion => match asked.version {
                ProtocolVersion::V31 => b"3".into(),
                ProtocolVersion::V311 => b"4".into(),
                ProtocolVersion::V5 => b"5".into(),
            },
        }
    }
}

fn escape(out: &mut String, value: &[u8], escaping: Escaping) {
    match escaping {
        Escaping::None => *out += &String::from_utf8_lossy(value),
        Escaping::Json => {
            let quoted = serde_json::Value::from(String::from_utf8_lossy(value)).to_string();
            *out += &quoted[1..quoted.len() - 1];
        }
        Escaping::Url => percent_encode(value, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LOGIN_VARIABLES;

    #[test]
    fn values_of_variables_are_escaped() {
        let asked = Asked {
            client: "c/1".into(),
            user: Some("ann \"ä\"\n".into()),
            password: b"p&=\xff".to_vec(),
            address: [192, 0, 2, 7].into(),
            listener: 0,
            version: ProtocolVersion::V5,
            is_token: false,
            will: None,
        };
        let text = "a ${username}|${clientid}|${password}|${peerhost}|${protocol_version}|${other}";
        for (escaping, expected) in [
            (Escaping::None, "a ann \"ä\"\n|c/1|p&=\u{fffd}|192.0.2.7|5|${other}"),
            (Escaping::Json, "a ann \\\"ä\\\"\\n|c/1|p&=\u{fffd}|192.0.2.7|5|${other}"),
            (Escaping::Url, "a ann%20%22%C3%A4%22%0A|c%2F1|p%26%3D%FF|192.0.2.7|5|${other}"),
        ] {
            assert_eq!(Template::new(text).fill(&asked, escaping), expected);
        }
        assert_eq!(Template::new("").fill(&asked, Escaping::None), "");
    }

    #[test]
    fn the_configuration_accepts_exactly_these_variables() {
        let names = VARIABLES.map(|(name, _)| &name[2..name.len() - 1]);
        assert_eq!(LOGIN_VARIABLES, names);
    }
}
