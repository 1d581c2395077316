//! [`HttpUrl`]: where a service is that is spoken to by HTTP.

use std::{
    fmt::{self, Write},
    str::FromStr,
};

/// Appends bytes percent-encoded, but for unreserved characters (RFC 3986 section 2.3).
pub fn percent_encode(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(*byte)),
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
}

/// `http://HOST[:PORT][/PATH][?QUERY]`, or the same with `https`. It has no user name, no password and no fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    /// HTTP over TLS.
    pub https: bool,
    /// A name or an address, without the brackets of IPv6.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query: it begins with `/`.
    pub path: String,
}

impl HttpUrl {
    const fn default_port(https: bool) -> u16 {
        if https { 443 } else { 80 }
    }

    /// Host and port, as the header `Host` has them.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match self.port == Self::default_port(self.https) {
            true => host,
            false => format!("{host}:{}", self.port),
        }
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

/// The error says what is wrong, and what to write.
impl FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("{text:?} {why}"));
        let (https, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return wrong("is not a URL; write one such as \"https://example.org/path\""),
        };
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['"', '<', '>', '\\', '^', '`', '{', '}'])
        {
            return wrong("has a character that a URL may not have; write it percent-encoded");
        }
        if text.contains('#') {
            return wrong("has a fragment, which is not sent; take it and the # away");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return wrong("has a user name in it, which would be shown; write it into a header instead");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
                _ => return wrong("has no IPv6 address in its brackets; write one such as \"http://[::1]:8080/\""),
            },
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port != 0),
            None => port.is_empty().then_some(Self::default_port(https)),
        };
        let Some(port) = port else { return wrong("has no port behind the colon; write a number from 1 to 65535") };
        if host.is_empty() {
            return wrong("has no host; write one such as \"https://example.org/path\"");
        }
        let path = if path.starts_with('/') { path.into() } else { format!("/{path}") };
        Ok(Self { https, host: host.into(), port, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_http_urls_are_parsed() {
        let table = [
            ("http://a", "http://a/", "a", 80),
            ("https://a.example:443", "https://a.example/", "a.example", 443),
            ("http://a:8080/x/y?z=1", "http://a:8080/x/y?z=1", "a", 8080),
            ("https://a?z", "https://a/?z", "a", 443),
            ("http://[::1]:81/x", "http://[::1]:81/x", "::1", 81),
        ];
        for (text, shown, host, port) in table {
            let url: HttpUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.host.as_str(), url.port), (shown, host, port), "{text}");
            assert_eq!(url.to_string().parse(), Ok(url));
        }
    }

    #[test]
    fn an_invalid_http_url_is_refused_with_an_instruction() {
        let table = [
            ("", "write one"),
            ("ftp://a", "write one"),
            ("http://", "has no host"),
            ("http://:80/", "has no host"),
            ("http://a:0/", "write a number"),
            ("http://a:x/", "write a number"),
            ("http://a:/", "write a number"),
            ("http://u:p@a/", "a user name in it"),
            ("http://a/#b", "a fragment"),
            ("http://a/b c", "percent-encoded"),
            ("http://a/\r\nX: y", "percent-encoded"),
            ("http://[a]/", "no IPv6 address"),
            ("http://[::1/", "no IPv6 address"),
        ];
        for (text, expected) in table {
            let error = text.parse::<HttpUrl>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
