//! A listen address as text, the same in the file, on the command line and in the environment: [`ListenAddress`].

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::types::{Endpoint, Transport};

/// A listen address as it is written: `127.0.0.1:1883` or `[::1]:1883`; `localhost:1883` or `1883` for the loopback of
/// both address families; `:1883` or `*:1883` for every interface; or a host name, which is looked up. A transport may
/// precede it (`tls://0.0.0.0:8883`), and decides the default port. Also `unix:/path`, and `systemd:name` for sockets
/// that systemd passes by that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    transport: Option<Transport>,
    host: Host,
    /// `None`: the default port of the transport.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// The loopback of both address families.
    Localhost,
    /// Every interface, in both address families.
    Every,
    Ip(IpAddr),
    /// A host name, which is looked up.
    Name(String),
    Unix(PathBuf),
    Passed(String),
}

impl ListenAddress {
    /// This port of the loopback, in both address families.
    pub fn local(port: u16) -> Self {
        Self { transport: None, host: Host::Localhost, port: Some(port) }
    }

    /// The transport that is part of it.
    pub fn transport(&self) -> Option<Transport> {
        self.transport
    }

    /// Does it have a port?
    pub fn has_port(&self) -> bool {
        self.port.is_some()
    }

    /// Its endpoints, for a transport that is given elsewhere: one, or one for each address family, or one for each
    /// address of a host name, which this looks up.
    pub fn endpoints(&self, transport: Transport) -> Result<Vec<Endpoint>, ListenAddressError> {
        let port = self.port.unwrap_or(transport.default_port());
        let ip = |ip: IpAddr| Endpoint::Ip(SocketAddr::new(ip, port));
        Ok(match &self.host {
            Host::Localhost => vec![ip(Ipv4Addr::LOCALHOST.into()), ip(Ipv6Addr::LOCALHOST.into())],
            Host::Every => vec![ip(Ipv4Addr::UNSPECIFIED.into()), ip(Ipv6Addr::UNSPECIFIED.into())],
            Host::Ip(address) => vec![ip(*address)],
            Host::Name(name) => looked_up(name, port)?,
            Host::Unix(path) => vec![Endpoint::Unix(path.clone())],
            Host::Passed(name) => vec![Endpoint::Passed(name.clone())],
        })
    }

    /// Makes a relative path of a Unix socket relative to `directory`.
    pub(super) fn relative_to(&mut self, directory: &Path) {
        if let Host::Unix(path) = &mut self.host {
            *path = directory.join(&*path);
        }
    }

    /// Is it on this machine alone: a loopback address, or a Unix socket?
    pub fn is_local(&self) -> bool {
        match &self.host {
            Host::Localhost | Host::Unix(_) => true,
            Host::Ip(address) => address.to_canonical().is_loopback(),
            Host::Every | Host::Name(_) | Host::Passed(_) => false,
        }
    }

    /// Does it have a host name, other than localhost?
    pub fn is_host_name(&self) -> bool {
        matches!(self.host, Host::Name(_))
    }
}

fn looked_up(name: &str, port: u16) -> Result<Vec<Endpoint>, ListenAddressError> {
    let unknown = |reason: String| ListenAddressError::UnknownHost { name: name.into(), reason };
    let found = (name, port).to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    let mut endpoints: Vec<_> = found.map(Endpoint::Ip).collect();
    let mut seen = std::collections::HashSet::new();
    endpoints.retain(|endpoint| seen.insert(endpoint.clone()));
    if endpoints.is_empty() { Err(unknown("it has no address".into())) } else { Ok(endpoints) }
}

impl From<&Endpoint> for ListenAddress {
    fn from(endpoint: &Endpoint) -> Self {
        let (host, port) = match endpoint {
            Endpoint::Ip(address) => (Host::Ip(address.ip()), Some(address.port())),
            Endpoint::Unix(path) => (Host::Unix(path.clone()), None),
            Endpoint::Passed(name) => (Host::Passed(name.clone()), None),
        };
        Self { transport: None, host, port }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.transport, &self.host) {
            (_, Host::Unix(path)) => return write!(f, "unix:{}", path.display()),
            (Some(transport), _) => write!(f, "{}://", transport.name())?,
            (None, _) => {}
        }
        match (&self.host, self.port) {
            (Host::Ip(ip), Some(port)) => SocketAddr::new(*ip, port).fmt(f),
            (Host::Ip(ip), None) => ip.fmt(f),
            (Host::Passed(name), _) => write!(f, "systemd:{name}"),
            (host, port) => {
                f.write_str(match host {
                    Host::Every => "*",
                    Host::Name(name) => name,
                    _ => "localhost",
                })?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
        }
    }
}

/// The reason why a text is not a [`ListenAddress`]; each message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenAddressError {
    /// An invalid port after the colon.
    #[error("{0:?} has no valid port; allowed: 0 to 65535 (0 picks a free one)")]
    Port(String),
    /// A host name that cannot be looked up.
    #[error(
        "the host name {name:?} cannot be looked up: {reason}; write an address such as \"127.0.0.1:1883\", or \":1883\" for \
             every interface"
    )]
    UnknownHost {
        /// As written.
        name: String,
        /// The system's error.
        reason: String,
    },
    /// An unknown word before the `://`.
    #[error(
        "{0:?} does not begin with a known transport; write mqtt:// (or tcp://), mqtts:// (or tls://), ws://, wss:// or \
         unix:/path"
    )]
    Scheme(String),
    /// `unix:` without a valid path.
    #[error("{0:?} has no path; write one such as \"unix:/run/dunlin/mqtt.sock\"")]
    Path(String),
    /// `systemd:` without a valid name of a socket.
    #[error(
        "{0:?} has no name of a socket; write the FileDescriptorName= of the socket unit, such as \"systemd:mqtt\" (without one, \
         it is the name of the unit: \"systemd:dunlin.socket\")"
    )]
    PassedName(String),
    /// Anything else.
    #[error("{0:?} is not an address; write one such as \"127.0.0.1:1883\", \"[::1]:1883\" or \"localhost:1883\"")]
    NotAnAddress(String),
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            // both unix:/path and unix:///path are common
            let path = path.strip_prefix("//").unwrap_or(path);
            let host = Host::Unix(path.into());
            let fits = !path.is_empty() && path.len() <= LONGEST_PATH && !path.contains('\0');
            let found = fits.then_some(Self { transport: Some(Transport::Unix), host, port: None });
            return found.ok_or_else(|| ListenAddressError::Path(text.into()));
        }
        let (transport, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme_of(scheme, text)?), rest),
            None => (None, text),
        };
        if let Some(name) = rest.strip_prefix("systemd:") {
            // the characters that systemd allows in FileDescriptorName=
            let fits = (1..=255).contains(&name.len()) && name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b':');
            let found = fits.then(|| Self { transport, host: Host::Passed(name.into()), port: None });
            return found.ok_or_else(|| ListenAddressError::PassedName(text.into()));
        }
        let (host, port) = host_and_port(text, rest)?;
        Ok(Self { transport, host, port })
    }
}

fn scheme_of(scheme: &str, text: &str) -> Result<Transport, ListenAddressError> {
    match scheme {
        "tcp" | "mqtt" => Ok(Transport::Tcp),
        "tls" | "mqtts" => Ok(Transport::Tls),
        "ws" => Ok(Transport::Ws),
        "wss" => Ok(Transport::Wss),
        _ => Err(ListenAddressError::Scheme(text.into())),
    }
}

/// `whole`: the text for the error.
fn host_and_port(whole: &str, text: &str) -> Result<(Host, Option<u16>), ListenAddressError> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok((Host::Ip(address.ip()), Some(address.port())));
    }
    if is_number(text) {
        return Ok((Host::Localhost, Some(port(whole, text)?)));
    }
    if let Some(host) = bare(text) {
        return Ok((host, None));
    }
    match text.rsplit_once(':') {
        Some(("localhost", after)) => Ok((Host::Localhost, Some(port(whole, after)?))),
        Some(("" | "*", after)) => Ok((Host::Every, Some(port(whole, after)?))),
        Some((host, after)) => match bare(host) {
            Some(name @ Host::Name(_)) => Ok((name, Some(port(whole, after)?))),
            Some(_) => {
                // The address has a port, which is invalid, or the brackets are missing.
                port(whole, after)?;
                Err(ListenAddressError::NotAnAddress(whole.into()))
            }
            None => Err(ListenAddressError::NotAnAddress(whole.into())),
        },
        None => Err(ListenAddressError::NotAnAddress(whole.into())),
    }
}

/// The first endpoint that occurs twice. Endpoints with port 0 are never equal.
pub(super) fn twice<'a>(endpoints: impl IntoIterator<Item = &'a Endpoint>) -> Option<&'a Endpoint> {
    let mut seen = std::collections::HashSet::new();
    let counts = |endpoint: &&Endpoint| endpoint.socket_addr().is_none_or(|address| address.port() != 0);
    endpoints.into_iter().filter(counts).find(|endpoint| !seen.insert(*endpoint))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn port(text: &str, port: &str) -> Result<u16, ListenAddressError> {
    let number = is_number(port).then(|| port.parse().ok()).flatten();
    number.ok_or_else(|| ListenAddressError::Port(text.into()))
}

/// A host without a port.
fn bare(text: &str) -> Option<Host> {
    match text {
        "localhost" => return Some(Host::Localhost),
        "*" => return Some(Host::Every),
        _ => {}
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().map(Host::Ip);
    ip.or_else(|| is_host_name(text).then(|| Host::Name(text.into())))
}

/// Can this be a host name (RFC 1123 section 2.1; underscores are allowed, because Docker uses them)? A name whose last
/// label has only digits is a mistyped address.
fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let last = name.rsplit('.').next().unwrap_or(name);
    name.len() <= 253 && name.split('.').all(is_label) && !is_number(last)
}

/// `sun_path` of unix(7) has 108 bytes, the last of which is 0.
const LONGEST_PATH: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(text: &str) -> Vec<String> {
        let address: ListenAddress = text.parse().unwrap();
        let transport = address.transport().unwrap_or_default();
        address.endpoints(transport).unwrap().iter().map(|endpoint| endpoint.with(transport).to_string()).collect()
    }

    #[test]
    fn valid_listen_addresses_are_parsed() {
        let table: &[(&str, &[&str])] = &[
            ("127.0.0.1:1883", &["127.0.0.1:1883"]),
            ("0.0.0.0:0", &["0.0.0.0:0"]),
            ("[::1]:65535", &["[::1]:65535"]),
            ("1883", &["127.0.0.1:1883", "[::1]:1883"]),
            ("localhost:8883", &["127.0.0.1:8883", "[::1]:8883"]),
            ("localhost", &["127.0.0.1:1883", "[::1]:1883"]),
            ("127.0.0.1", &["127.0.0.1:1883"]),
            ("::1", &["[::1]:1883"]),
            ("[::1]", &["[::1]:1883"]),
            ("tcp://0.0.0.0", &["0.0.0.0:1883"]),
            ("tls://0.0.0.0", &["tls://0.0.0.0:8883"]),
            ("ws://[::]", &["ws://[::]:8083"]),
            ("wss://localhost", &["wss://127.0.0.1:8084", "wss://[::1]:8084"]),
            ("wss://1", &["wss://127.0.0.1:1", "wss://[::1]:1"]),
            ("tls://0.0.0.0:1883", &["tls://0.0.0.0:1883"]),
            (":1883", &["0.0.0.0:1883", "[::]:1883"]),
            ("*:0", &["0.0.0.0:0", "[::]:0"]),
            ("*", &["0.0.0.0:1883", "[::]:1883"]),
            ("mqtts://:1", &["tls://0.0.0.0:1", "tls://[::]:1"]),
            ("mqtt://127.0.0.1", &["127.0.0.1:1883"]),
            ("mqtts://*", &["tls://0.0.0.0:8883", "tls://[::]:8883"]),
            ("unix:/run/mqtt.sock", &["unix:/run/mqtt.sock"]),
            ("unix:///run/mqtt.sock", &["unix:/run/mqtt.sock"]),
            ("unix:here.sock", &["unix:here.sock"]),
            ("systemd:mqtt", &["systemd:mqtt"]),
            ("systemd:dunlin.socket", &["systemd:dunlin.socket"]),
            ("mqtts://systemd:mqtts", &["tls://systemd:mqtts"]),
        ];
        for (text, expected) in table {
            assert_eq!(endpoints(text), *expected, "{text}");
        }
    }

    #[test]
    fn invalid_listen_addresses_are_refused() {
        let not = |text: &str| {
            format!(
                r#""{text}" is not an address; write one such as "127.0.0.1:1883", "[::1]:1883" or "localhost:1883""#
            )
        };
        let no_name = |text: &str| {
            format!(
                r#""{text}" has no name of a socket; write the FileDescriptorName= of the socket unit, such as "systemd:mqtt" (without one, it is the name of the unit: "systemd:dunlin.socket")"#
            )
        };
        let no_port = |text: &str| format!(r#""{text}" has no valid port; allowed: 0 to 65535 (0 picks a free one)"#);
        let scheme = |text: &str| {
            format!(
                r#""{text}" does not begin with a known transport; write mqtt:// (or tcp://), mqtts:// (or tls://), ws://, wss:// or unix:/path"#
            )
        };
        let table: &[(&str, String)] = &[
            ("", not("")),
            (":", no_port(":")),
            ("127.0.0:1883", not("127.0.0:1883")),
            ("a..b:1883", not("a..b:1883")),
            ("broker.example:mqtt", no_port("broker.example:mqtt")),
            ("127.0.0.1:65536", no_port("127.0.0.1:65536")),
            ("127.0.0.1:", no_port("127.0.0.1:")),
            ("localhost:mqtt", no_port("localhost:mqtt")),
            ("localhost:+1", no_port("localhost:+1")),
            ("70000", no_port("70000")),
            ("*:", no_port("*:")),
            ("http://127.0.0.1:1883", scheme("http://127.0.0.1:1883")),
            ("unix://", r#""unix://" has no path; write one such as "unix:/run/dunlin/mqtt.sock""#.into()),
            ("systemd:", no_name("systemd:")),
            ("tls://systemd:a:1", no_name("tls://systemd:a:1")),
            ("tls://", not("tls://")),
            ("ws://127.0.0.1:8083/mqtt", no_port("ws://127.0.0.1:8083/mqtt")),
            (" 127.0.0.1:1883", not(" 127.0.0.1:1883")),
            ("fe80::1:2:3:4:5:6:7:1883", not("fe80::1:2:3:4:5:6:7:1883")),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<ListenAddress>().unwrap_err().to_string(), *expected);
        }
        assert!(format!("unix:/{}", "a".repeat(107)).parse::<ListenAddress>().is_err());
    }

    #[test]
    fn host_names_are_looked_up() {
        // every system has this name, and no other machine is asked for it
        let address = ListenAddress { transport: None, host: Host::Name("localhost".into()), port: Some(1) };
        let found = address.endpoints(Transport::Tcp).unwrap();
        assert!(!found.is_empty() && found.iter().all(|endpoint| endpoint.is_loopback()), "{found:?}");
        let parsed: ListenAddress = "tls://broker.example".parse().unwrap();
        assert_eq!(
            (parsed.to_string(), &parsed.host),
            ("tls://broker.example".into(), &Host::Name("broker.example".into()))
        );
        // RFC 6761: this is never a name
        let error = "no.invalid:1".parse::<ListenAddress>().unwrap().endpoints(Transport::Tcp).unwrap_err().to_string();
        assert!(error.starts_with("the host name \"no.invalid\" cannot be looked up: "), "{error}");
    }

    #[test]
    fn port_0_may_be_repeated() {
        let [a, b, free] = ["1.1.1.1:1", "1.1.1.1:2", "1.1.1.1:0"].map(|a| Endpoint::Ip(a.parse().unwrap()));
        assert_eq!(twice([&a, &b, &free, &free]), None);
        assert_eq!(twice([&a, &b, &a]), Some(&a));
        let path = Endpoint::Unix("/a".into());
        assert_eq!(twice([&path, &a, &path]), Some(&path));
    }
}
