//! A listen address as text, the same in the file, on the command line and in the environment: [`ListenAddress`].

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// Where to listen, as somebody writes it: `127.0.0.1:1883`, `[::1]:1883`, or, for the loopback of both address
/// families, `localhost:1883` or `1883`. Host names other than `localhost` are not looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress(Vec<SocketAddr>);

impl ListenAddress {
    /// The socket addresses that it stands for: one, or the loopback's two.
    pub fn socket_addrs(&self) -> &[SocketAddr] {
        &self.0
    }
}

/// Why a text is no [`ListenAddress`]; each says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenAddressError {
    /// An address alone.
    #[error("{text:?} has no port; write {better:?}")]
    NoPort {
        /// As written.
        text: String,
        /// With the port that MQTT is assigned.
        better: String,
    },
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
    /// Anything else, host names among it.
    #[error("{0:?} is not an address; write one such as \"127.0.0.1:1883\", \"[::1]:1883\" or \"localhost:1883\"")]
    NotAnAddress(String),
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self(vec![address]));
        }
        if is_number(text) {
            return Ok(loopback(port(text, text)?));
        }
        if let Some(better) = with_port(text) {
            return Err(ListenAddressError::NoPort { text: text.into(), better });
        }
        match text.rsplit_once(':') {
            Some(("localhost", after)) => Ok(loopback(port(text, after)?)),
            Some(("" | "*", after)) => {
                Err(ListenAddressError::EveryInterface { text: text.into(), port: port(text, after)? })
            }
            Some((host, after)) if with_port(host).is_some() => {
                // Address and port are both there and the port is the one that is wrong, or the brackets are missing.
                port(text, after)?;
                Err(ListenAddressError::NotAnAddress(text.into()))
            }
            _ => Err(ListenAddressError::NotAnAddress(text.into())),
        }
    }
}

/// The first address that occurs twice; with port 0 each is another, so those never count.
pub(super) fn twice(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let repeated = |(at, address): (usize, &SocketAddr)| addresses[..at].contains(address);
    addresses.iter().enumerate().find(|&(at, address)| address.port() != 0 && repeated((at, address))).map(|(_, a)| *a)
}

fn loopback(port: u16) -> ListenAddress {
    ListenAddress(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))])
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn port(text: &str, port: &str) -> Result<u16, ListenAddressError> {
    let number = is_number(port).then(|| port.parse().ok()).flatten();
    number.ok_or_else(|| ListenAddressError::Port(text.into()))
}

/// A bare address with MQTT's port added.
fn with_port(text: &str) -> Option<String> {
    if text == "localhost" {
        return Some("localhost:1883".into());
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    Some(SocketAddr::new(bare.parse::<IpAddr>().ok()?, 1883).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_addresses() {
        let table: &[(&str, &[&str])] = &[
            ("127.0.0.1:1883", &["127.0.0.1:1883"]),
            ("0.0.0.0:0", &["0.0.0.0:0"]),
            ("[::1]:65535", &["[::1]:65535"]),
            ("1883", &["127.0.0.1:1883", "[::1]:1883"]),
            ("localhost:8883", &["127.0.0.1:8883", "[::1]:8883"]),
        ];
        for (text, expected) in table {
            let expected: Vec<SocketAddr> = expected.iter().map(|a| a.parse().unwrap()).collect();
            assert_eq!(text.parse::<ListenAddress>().unwrap().socket_addrs(), expected, "{text}");
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
        let table: &[(&str, String)] = &[
            ("", not("")),
            (":", no_port(":")),
            ("broker.example:1883", not("broker.example:1883")),
            ("127.0.0.1", r#""127.0.0.1" has no port; write "127.0.0.1:1883""#.into()),
            ("::1", r#""::1" has no port; write "[::1]:1883""#.into()),
            ("[::1]", r#""[::1]" has no port; write "[::1]:1883""#.into()),
            ("localhost", r#""localhost" has no port; write "localhost:1883""#.into()),
            ("127.0.0.1:65536", no_port("127.0.0.1:65536")),
            ("127.0.0.1:", no_port("127.0.0.1:")),
            ("localhost:mqtt", no_port("localhost:mqtt")),
            ("localhost:+1", no_port("localhost:+1")),
            ("70000", no_port("70000")),
            (":1883", r#"":1883" has no address; for every interface write "0.0.0.0:1883" or "[::]:1883""#.into()),
            ("*:1", r#""*:1" has no address; for every interface write "0.0.0.0:1" or "[::]:1""#.into()),
            ("mqtt://127.0.0.1:1883", not("mqtt://127.0.0.1:1883")),
            (" 127.0.0.1:1883", not(" 127.0.0.1:1883")),
            ("fe80::1:2:3:4:5:6:7:1883", not("fe80::1:2:3:4:5:6:7:1883")),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<ListenAddress>().unwrap_err().to_string(), *expected);
        }
    }

    #[test]
    fn port_0_may_be_repeated() {
        let [a, b, free]: [SocketAddr; 3] = ["1.1.1.1:1", "1.1.1.1:2", "1.1.1.1:0"].map(|a| a.parse().unwrap());
        assert_eq!(twice(&[a, b, free, free]), None);
        assert_eq!(twice(&[a, b, a]), Some(a));
    }
}
