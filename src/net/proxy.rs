//! The PROXY protocol, versions 1 and 2: a proxy in front says, before the first byte of a connection, whose it is.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use thiserror::Error;
use tokio::{io::AsyncReadExt, net::TcpStream};

/// Why a connection is closed for its header.
#[derive(Debug, Error)]
pub(super) enum ProxyError {
    #[error("its address is not among the listener's trusted_proxies")]
    NotTrusted,
    #[error("it does not begin with a valid header of the PROXY protocol: {0}; does the proxy send one (send-proxy)?")]
    Invalid(&'static str),
    #[error("it ended within its PROXY header")]
    Ended,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What the beginning of a connection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many bytes it has.
    pub length: usize,
    /// Whose connection it is; `None`: the proxy's own, or of a kind without an address.
    pub source: Option<SocketAddr>,
    /// The proxy says that the connection is its own, as for a health check (LOCAL, in version 2 alone).
    pub own: bool,
}

/// The PROXY header (of the [specification](https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt), sections 2.1
/// and 2.2) that `bytes` begin with; `None`: more bytes are needed. Any bytes are answered.
pub fn header(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    // what is no header is not waited for: the rest of one may never come
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(byte, expected)| byte == expected);
    let end = if begins(SIGNATURE) {
        let length = bytes.get(14..16).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
        match length {
            Some(length) if length > LONGEST_V2 => return Err("it is longer than headers are"),
            length => length.map(|length| 16 + length).filter(|end| *end <= bytes.len()),
        }
    } else if begins(V1) {
        let end = memchr::memchr(b'\n', &bytes[..bytes.len().min(LONGEST_V1)]).map(|at| at + 1);
        if end.is_none() && bytes.len() >= LONGEST_V1 {
            return Err("it is longer than headers are");
        }
        end
    } else {
        return Err("neither the text PROXY nor the signature of version 2");
    };
    // the parser sees one header: where it finds less than it expects there, or more, the header lies
    let Some(end) = end else { return Ok(None) };
    let config = ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };
    match ProxyHeader::parse(&bytes[..end], config) {
        Ok((_, length)) if length != end => Err("it is not as long as it says"),
        Ok((header, length)) => match header.proxied_address() {
            Some(address) if address.protocol != Protocol::Stream => Err("it is of a datagram, not a connection"),
            Some(address) if address.source.port() == 0 => Err("it says that the client's port is 0"),
            address => {
                // the low half of the byte behind the signature: 0 is LOCAL, 1 is PROXY
                let own = bytes.starts_with(SIGNATURE) && bytes[SIGNATURE.len()] & 0x0F == 0;
                Ok(Some(Header { length, source: address.map(|address| address.source), own }))
            }
        },
        Err(_) => Err("it is malformed"),
    }
}

/// Is this one of a listener's trusted proxies?
pub(super) fn is_among(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address.to_canonical()))
}

/// Takes the header from the front of a connection, and not a byte more.
pub(super) async fn take(socket: &mut TcpStream) -> Result<Header, ProxyError> {
    let mut held = Vec::new();
    loop {
        let mut ahead = [0; 512];
        let seen = socket.peek(&mut ahead).await?;
        if seen == 0 {
            return Err(ProxyError::Ended);
        }
        let before = held.len();
        held.extend_from_slice(&ahead[..seen]);
        let found = header(&held).map_err(ProxyError::Invalid)?;
        // where there is no whole header yet, all that was seen is of it
        let take = found.map_or(seen, |header| header.length - before);
        socket.read_exact(&mut ahead[..take]).await?;
        if let Some(header) = found {
            return Ok(header);
        }
    }
}

const V1: &[u8] = b"PROXY ";
/// Section 2.1, with the end of its line.
const LONGEST_V1: usize = 107;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes behind the first 16 of a version 2 header: addresses, and what proxies add about TLS.
const LONGEST_V2: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    #[test]
    fn headers() {
        let v4 = [10, 0, 0, 7, 10, 0, 0, 1, 0x30, 0x39, 0x07, 0x5b];
        let v6 = [&[0x20, 1, 0xd, 0xb8], &[0; 11][..], &[7], &[0; 16], &[0x30, 0x39, 0x07, 0x5b]].concat();
        let table: &[(Vec<u8>, Option<&str>)] = &[
            (b"PROXY TCP4 10.0.0.7 10.0.0.1 12345 1883\r\n".to_vec(), Some("10.0.0.7:12345")),
            (b"PROXY TCP6 2001:db8::7 ::1 12345 1883\r\n".to_vec(), Some("[2001:db8::7]:12345")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4), Some("10.0.0.7:12345")),
            (v2(0x21, 0x21, &v6), Some("[2001:db8::7]:12345")),
            (v2(0x21, 0x11, &[&v4[..], &[4, 0, 2, 0, 0]].concat()), Some("10.0.0.7:12345")),
            (v2(0x21, 0x00, &[]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &v4), None),
        ];
        for (bytes, source) in table {
            let source = source.map(|address| address.parse().unwrap());
            let with_rest = [&bytes[..], b"\x10\x0c"].concat();
            let own = bytes.starts_with(SIGNATURE) && bytes[12] == 0x20;
            assert_eq!(header(&with_rest), Ok(Some(Header { length: bytes.len(), source, own })), "{bytes:?}");
            for part in 0..bytes.len() {
                assert_eq!(header(&bytes[..part]), Ok(None), "{part} bytes of {bytes:?}");
            }
        }
    }

    #[test]
    fn lies() {
        let table: &[Vec<u8>] = &[
            b"\x10".to_vec(),
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXX".to_vec(),
            b"PROXY TCP4 10.0.0.7 10.0.0.1 99999 1883\r\n".to_vec(),
            b"PROXY TCP4 10.0.0.7 10.0.0.1 0 1883\r\n".to_vec(),
            b"PROXY TCP4 10.0.0.256 10.0.0.1 1 1883\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 1883\r\n".to_vec(),
            b"PROXY TCP9 10.0.0.7 10.0.0.1 1 1883\r\n".to_vec(),
            [&b"PROXY UNKNOWN "[..], &[b'a'; 120]].concat(),
            v2(0x31, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[1; 4]),
            v2(0x21, 0x12, &[1; 12]),
            v2(0x21, 0x11, &[1; 5000]),
            [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat(),
        ];
        for bytes in table {
            assert!(header(bytes).is_err(), "{bytes:?} gives {:?}", header(bytes));
        }
    }
}
