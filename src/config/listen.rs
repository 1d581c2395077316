//! A listen address as text, the same in the file, on the command line and in the environment: [`ListenAddress`].

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use crate::types::{Endpoint, Transport};

/// Where to listen, as somebody writes it: `127.0.0.1:1883`, `[::1]:1883`, or, for the loopback of both address
/// families, `localhost:1883` or `1883`; before it the transport, if it is to be told (`tls://0.0.0.0:8883`); a port left
/// out is that of the transport; or `unix:/path`. Host names other than `localhost` are not looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    transport: Option<Transport>,
    host: Host,
    /// `None`: that of the transport.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// The loopback of both address families.
    Localhost,
    Ip(IpAddr),
    Unix(PathBuf),
}

impl ListenAddress {
    /// The transport that was told with it.
    pub fn transport(&self) -> Option<Transport> {
        self.transport
    }

    /// What it stands for where the transport is told elsewhere: one endpoint, or the loopback's two.
    pub fn endpoints(&self, transport: Transport) -> Vec<Endpoint> {
        let port = self.port.unwrap_or(transport.default_port());
        let ip = |ip: IpAddr| Endpoint::Ip(SocketAddr::new(ip, port));
        match &self.host {
            Host::Localhost => vec![ip(Ipv4Addr::LOCALHOST.into()), ip(Ipv6Addr::LOCALHOST.into())],
            Host::Ip(address) => vec![ip(*address)],
            Host::Unix(path) => vec![Endpoint::Unix(path.clone())],
        }
    }
}

impl From<&Endpoint> for ListenAddress {
    fn from(endpoint: &Endpoint) -> Self {
        let (host, port) = match endpoint {
            Endpoint::Ip(address) => (Host::Ip(address.ip()), Some(address.port())),
            Endpoint::Unix(path) => (Host::Unix(path.clone()), None),
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
            (_, Some(port)) => write!(f, "localhost:{port}"),
            (_, None) => f.write_str("localhost"),
        }
    }
}

/// Why a text is no [`ListenAddress`]; each says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenAddressError {
    /// A number after the colon that no port can be.
    #[error("{0:?} has no valid port; allowed: 0 to 65535 (0 picks a free one)")]
    Port(String),
    /// A colon and a port alone, or a `*`.
    #[error("{text:?} has no address; for every interface write \"0.0.0.0:{port}\" or \"[::]:{port}\"")]
    EveryInterface {
        /// As written.
        text: String,
        /// The port in it.
        port: u16,
    },
    /// Something else before the `://`.
    #[error("{0:?} begins with no transport of ours; write tcp://, tls://, ws://, wss:// or unix:/path")]
    Scheme(String),
    /// `unix:` and something that no path can be.
    #[error("{0:?} has no path; write one such as \"unix:/run/dunlin/mqtt.sock\"")]
    Path(String),
    /// Anything else, host names among it.
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
        let (host, port) = host_and_port(text, rest)?;
        Ok(Self { transport, host, port })
    }
}

fn scheme_of(scheme: &str, text: &str) -> Result<Transport, ListenAddressError> {
    let known = [Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
    let found = known.into_iter().find(|transport| transport.name() == scheme);
    found.ok_or_else(|| ListenAddressError::Scheme(text.into()))
}

/// `whole` is what an error calls it.
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
        Some(("" | "*", after)) => {
            Err(ListenAddressError::EveryInterface { text: whole.into(), port: port(whole, after)? })
        }
        Some((host, after)) if bare(host).is_some() => {
            // Address and port are both there and the port is the one that is wrong, or the brackets are missing.
            port(whole, after)?;
            Err(ListenAddressError::NotAnAddress(whole.into()))
        }
        _ => Err(ListenAddressError::NotAnAddress(whole.into())),
    }
}

/// The first endpoint that occurs twice; with port 0 each is another, so those never count.
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
    if text == "localhost" {
        return Some(Host::Localhost);
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().map(Host::Ip)
}

/// `sun_path` of unix(7) has 108 bytes, the last of them 0.
const LONGEST_PATH: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(text: &str) -> Vec<String> {
        let address: ListenAddress = text.parse().unwrap();
        let transport = address.transport().unwrap_or_default();
        address.endpoints(transport).iter().map(|endpoint| endpoint.with(transport).to_string()).collect()
    }

    #[test]
    fn texts_that_are_addresses() {
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
            ("unix:/run/mqtt.sock", &["unix:/run/mqtt.sock"]),
            ("unix:///run/mqtt.sock", &["unix:/run/mqtt.sock"]),
            ("unix:here.sock", &["unix:here.sock"]),
        ];
        for (text, expected) in table {
            assert_eq!(endpoints(text), *expected, "{text}");
        }
    }

    #[test]
    fn texts_that_are_not() {
        let not = |text: &str| {
            format!(
                r#""{text}" is not an address; write one such as "127.0.0.1:1883", "[::1]:1883" or "localhost:1883""#
            )
        };
        let no_port = |text: &str| format!(r#""{text}" has no valid port; allowed: 0 to 65535 (0 picks a free one)"#);
        let scheme = |text: &str| {
            format!(r#""{text}" begins with no transport of ours; write tcp://, tls://, ws://, wss:// or unix:/path"#)
        };
        let table: &[(&str, String)] = &[
            ("", not("")),
            (":", no_port(":")),
            ("broker.example:1883", not("broker.example:1883")),
            ("127.0.0.1:65536", no_port("127.0.0.1:65536")),
            ("127.0.0.1:", no_port("127.0.0.1:")),
            ("localhost:mqtt", no_port("localhost:mqtt")),
            ("localhost:+1", no_port("localhost:+1")),
            ("70000", no_port("70000")),
            (":1883", r#"":1883" has no address; for every interface write "0.0.0.0:1883" or "[::]:1883""#.into()),
            ("*:1", r#""*:1" has no address; for every interface write "0.0.0.0:1" or "[::]:1""#.into()),
            ("mqtt://127.0.0.1:1883", scheme("mqtt://127.0.0.1:1883")),
            ("unix://", r#""unix://" has no path; write one such as "unix:/run/dunlin/mqtt.sock""#.into()),
            ("tls://", not("tls://")),
            ("wss://example.org", not("wss://example.org")),
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
    fn port_0_may_be_repeated() {
        let [a, b, free] = ["1.1.1.1:1", "1.1.1.1:2", "1.1.1.1:0"].map(|a| Endpoint::Ip(a.parse().unwrap()));
        assert_eq!(twice([&a, &b, &free, &free]), None);
        assert_eq!(twice([&a, &b, &a]), Some(&a));
        let path = Endpoint::Unix("/a".into());
        assert_eq!(twice([&path, &a, &path]), Some(&path));
    }
}
