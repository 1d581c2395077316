//! Checks headers and roles by [`Rules`].

use std::net::{IpAddr, SocketAddr};

use axum::http::{
    HeaderMap, Method, StatusCode, Uri,
    header::{HOST, HeaderName, ORIGIN},
};

use super::{
    admission::{Key, Rules},
    problem::Problem,
};

/// The path of the metrics.
pub(super) const METRICS: &str = "/metrics";

/// The transport of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Tcp(SocketAddr),
    /// A Unix socket; the file's mode limits who may open it.
    Unix,
}

impl Rules {
    /// Is any login configured?
    pub(super) fn has_login(&self) -> bool {
        !self.users.is_empty() || self.keys.is_some()
    }

    /// Keys that were added, changed or deleted since other rules, one line each.
    pub(super) fn keys_since(&self, before: &Self) -> Vec<String> {
        let (new, old) = (self.keys.as_deref().unwrap_or_default(), before.keys.as_deref().unwrap_or_default());
        let of = |keys: &[Key], name: &str| keys.iter().find(|key| key.name == name).cloned();
        let line = |name: &str, what: &str| format!("http.keys_file: the key {name:?} is {what}");
        let gone = old.iter().filter(|key| of(new, &key.name).is_none()).map(|key| line(&key.name, "deleted"));
        let others = new.iter().filter_map(|key| match of(old, &key.name) {
            None => Some(line(&key.name, "new")),
            Some(known) if known != *key => Some(line(&key.name, "changed")),
            Some(_) => None,
        });
        gone.chain(others).collect()
    }

    /// Checks a request without a login: it could come from a page in a browser on this machine (DNS rebinding), or
    /// from anywhere through a proxy.
    pub(crate) fn check_open(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let forwarded = headers.keys().find(|name| is_forwarding(name));
        if let Some(name) = forwarded {
            let detail = format!("{name} says that a proxy passed this on: without a login, configured, it is refused");
            return Err(Problem::new(StatusCode::FORBIDDEN, "forwarded", detail));
        }
        self.check_host(uri, headers)?;
        match headers.get(ORIGIN) {
            Some(_) if !is_own_origin(headers) => Err(foreign_origin()),
            _ => Ok(()),
        }
    }

    /// Is the request for one of this server's names?
    pub(super) fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let mut hosts = headers.get_all(HOST).iter().map(|value| value.to_str().unwrap_or_default());
        let (host, more) = (hosts.next(), hosts.next());
        let is_known = |host: &str| {
            let name = without_port(host).to_ascii_lowercase();
            is_loopback(&name) || self.allowed_hosts.contains(&name)
        };
        let known = host.is_some_and(is_known) && more.is_none();
        if known && uri.authority().is_none_or(|authority| is_known(authority.as_str())) {
            return Ok(());
        }
        let detail = format!(
            "{:?} is not a name of this server: write it below [http] in allowed_hosts, or ask for localhost",
            host.unwrap_or_default()
        );
        Err(Problem::new(StatusCode::FORBIDDEN, "host", detail))
    }
}

/// A page of another server could send a write with the login that a browser keeps.
pub(super) fn check_origin_of_write(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    let foreign = headers.contains_key(ORIGIN) && !is_own_origin(headers);
    if !reads && foreign { Err(foreign_origin()) } else { Ok(()) }
}

fn foreign_origin() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "origin", "a page of another server sent this (Origin)")
}

/// Is the page on the same server as the request's target?
pub(super) fn is_own_origin(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(origin), Some(host)) = (text(ORIGIN), text(HOST)) else { return false };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

fn is_forwarding(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-forwarded-") || ["forwarded", "x-real-ip", "via"].contains(&name)
}

/// `localhost:9883`, `127.0.0.1`, `[::1]:9883`.
fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_loopback(name: &str) -> bool {
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::types::Role;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        lines.iter().map(header).collect()
    }

    /// Headers, and the expected result.
    type Case<'a> = (&'a [(&'static str, &'static str)], Result<(), &'a str>);

    #[test]
    fn changes_of_keys_are_reported_a_line_each() {
        let key = |name: &str, role| Key { name: name.into(), role, digest: [0; 32], expires: None };
        let rules = |keys| Rules { keys: Some(keys), ..Rules::default() };
        let old = rules(vec![key("ci", Role::Viewer), key("deploy", Role::Admin), key("same", Role::Admin)]);
        let new = rules(vec![key("deploy", Role::Operator), key("same", Role::Admin), key("new", Role::Admin)]);
        let line = |name: &str, what: &str| format!("http.keys_file: the key {name:?} is {what}");
        assert_eq!(new.keys_since(&old), [line("ci", "deleted"), line("deploy", "changed"), line("new", "new")]);
        assert!(new.keys_since(&new).is_empty());
    }

    #[test]
    fn without_logins_only_requests_to_this_machine_s_names_are_answered() {
        let rules = Rules { open: true, allowed_hosts: vec!["broker.lan".into()], ..Rules::default() };
        let table: &[Case<'_>] = &[
            (&[("host", "localhost:9883")], Ok(())),
            (&[("host", "LOCALHOST")], Ok(())),
            (&[("host", "127.0.0.1:9883")], Ok(())),
            (&[("host", "[::1]:9883")], Ok(())),
            (&[("host", "broker.lan:9883")], Ok(())),
            (&[("host", "localhost:9"), ("origin", "http://localhost:9")], Ok(())),
            (&[], Err("host")),
            (&[("host", "evil.example")], Err("host")),
            (&[("host", "127.0.0.1.evil.example:9883")], Err("host")),
            (&[("host", "localhost.evil.example")], Err("host")),
            (&[("host", "192.0.2.1:9883")], Err("host")),
            (&[("host", "")], Err("host")),
            (&[("host", "localhost:9"), ("origin", "http://evil.example")], Err("origin")),
            (&[("host", "localhost:9"), ("origin", "http://localhost:10")], Err("origin")),
            (&[("host", "localhost:9"), ("origin", "null")], Err("origin")),
            (&[("host", "localhost"), ("x-forwarded-for", "192.0.2.1")], Err("forwarded")),
            (&[("host", "localhost"), ("x-forwarded-anything", "")], Err("forwarded")),
            (&[("host", "localhost"), ("forwarded", "for=192.0.2.1")], Err("forwarded")),
            (&[("host", "localhost"), ("x-real-ip", "192.0.2.1")], Err("forwarded")),
            (&[("host", "localhost"), ("via", "1.1 proxy")], Err("forwarded")),
        ];
        for (lines, expected) in table {
            let got = rules.check_open(&Uri::from_static("/metrics"), &headers(lines));
            assert_eq!(got.map_err(|problem| problem.code()), *expected, "{lines:?}");
        }
        let other = Uri::from_static("http://evil.example/metrics");
        assert!(rules.check_open(&other, &headers(&[("host", "localhost")])).is_err());
        let mut twice = headers(&[("host", "localhost")]);
        twice.append(HOST, HeaderValue::from_static("evil.example"));
        assert!(rules.check_open(&Uri::from_static("/"), &twice).is_err());
    }

    #[test]
    fn a_page_of_another_server_may_read_but_not_write() {
        let foreign = headers(&[("host", "a:1"), ("origin", "http://b:1")]);
        let own = headers(&[("host", "a:1"), ("origin", "https://a:1")]);
        let writes = |method, headers| check_origin_of_write(&method, headers).map_err(|problem| problem.code());
        assert_eq!(writes(Method::GET, &foreign), Ok(()));
        assert_eq!(writes(Method::POST, &foreign), Err("origin"));
        assert_eq!(writes(Method::DELETE, &own), Ok(()));
        assert_eq!(writes(Method::PUT, &headers(&[("host", "a:1")])), Ok(()));
    }
}
