//! [`Network`]: a range of IP addresses.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// A range of IP addresses, such as `10.0.0.0/8`; an address alone is one of it. Bits of the host are not told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpNet);

/// A text that is neither an address nor a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANetwork;

impl Network {
    /// Is the address in it? An IPv4 address that is written as one of IPv6 is one of IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// The network of an address, with a prefix of so many bits; `None`: it has not so many.
    pub fn around(address: IpAddr, bits: u8) -> Option<Self> {
        IpNet::new(address.to_canonical(), bits).ok().map(|network| Self(network.trunc()))
    }

    /// How many bits of the addresses are the same.
    pub fn bits(&self) -> u8 {
        self.0.prefix_len()
    }

    /// Is it one of IPv4?
    pub fn is_v4(&self) -> bool {
        matches!(self.0, IpNet::V4(_))
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(IpNet::from(address.to_canonical()))
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(address.into());
        }
        text.parse::<IpNet>().map(|network| Self(network.trunc())).map_err(|_| NotANetwork)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() == self.0.max_prefix_len() {
            true => self.0.addr().fmt(f),
            false => self.0.fmt(f),
        }
    }
}

impl fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither an IP address nor a network such as \"10.0.0.0/8\"")
    }
}

impl std::error::Error for NotANetwork {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_read_and_shown() {
        let table = [
            ("10.1.2.3", Some("10.1.2.3")),
            ("10.1.2.3/32", Some("10.1.2.3")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("2001:db8::1/32", Some("2001:db8::/32")),
            ("::ffff:10.1.2.3", Some("10.1.2.3")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("10.1.2.3/33", None),
            ("10.1.2", None),
            ("", None),
            ("example.org", None),
        ];
        for (text, shown) in table {
            assert_eq!(text.parse::<Network>().ok().map(|network| network.to_string()).as_deref(), shown, "{text}");
        }
        let network: Network = "10.0.0.0/8".parse().unwrap();
        assert!(network.contains("::ffff:10.9.9.9".parse().unwrap()));
        assert!(!network.contains("11.0.0.1".parse().unwrap()));
        assert_eq!(Network::around("10.9.9.9".parse().unwrap(), 8), Some(network));
        assert_eq!(Network::around("10.9.9.9".parse().unwrap(), 33), None);
    }
}
