//! The PROXY protocol, versions 1 and 2: before the first byte of a connection, a proxy reports the client's address
//! and certificate.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    ops::Range,
    str,
};

use ipnet::IpNet;
use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use thiserror::Error;
use tokio::{io::AsyncReadExt, net::TcpStream};

/// The options of a listener for PROXY headers.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// Connections from other addresses are closed.
    pub trusted: Vec<IpNet>,
    /// The user name is the Common Name of the client's certificate, which the proxy reports.
    pub names: bool,
    /// Clients are served only if the proxy reports a verified certificate.
    pub certificates_required: bool,
}

/// Why a connection is closed because of its header.
#[derive(Debug, Error)]
pub(crate) enum ProxyError {
    #[error("its address is not among the listener's trusted_proxies")]
    NotTrusted,
    #[error("it does not begin with a valid header of the PROXY protocol: {0}; does the proxy send one (send-proxy)?")]
    Invalid(&'static str),
    #[error(
        "its proxy reports no verified certificate of the client, and client_certificates is \"required\" (HAProxy: \
         send-proxy-v2-ssl-cn on the server line, verify required on the bind line)"
    )]
    NoCertificate,
    #[error(
        "its proxy reports a verified certificate of the client, and not the common name in it (identity; HAProxy: \
         send-proxy-v2-ssl-cn on the server line)"
    )]
    NoName,
    #[error("it ended within its PROXY header")]
    Ended,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A PROXY header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its length in bytes.
    pub length: usize,
    /// The client's address. `None`: the connection is the proxy's own, or of a family without an address.
    pub source: Option<SocketAddr>,
    /// The connection is the proxy's own, as for a health check (LOCAL, only in version 2).
    pub own: bool,
    /// The client's certificate, which the proxy has verified (only version 2).
    pub certificate: Option<Certificate>,
}

/// A client's certificate as its proxy reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The Common Name of its subject; `None`: missing or not reported.
    pub common_name: Option<Box<str>>,
}

impl ProxyOptions {
    /// The client's user name, if it comes from the certificate.
    pub(crate) fn name(&self, certificate: Option<Certificate>) -> Result<Option<Box<str>>, ProxyError> {
        match certificate {
            None if self.certificates_required => Err(ProxyError::NoCertificate),
            Some(Certificate { common_name }) if self.names => common_name.map(Some).ok_or(ProxyError::NoName),
            _ => Ok(None),
        }
    }
}

/// The PROXY header (of the [specification](https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt), sections 2.1
/// and 2.2) at the front of `bytes`. `None`: more bytes are needed. Accepts any bytes.
pub fn header(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    // bytes that cannot become a header fail at once, because the rest may never arrive
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
    // the parser gets exactly one header: an error means that its length field is wrong
    let Some(end) = end else { return Ok(None) };
    let config = ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };
    match ProxyHeader::parse(&bytes[..end], config) {
        Ok((_, length)) if length != end => Err("it is not as long as it says"),
        Ok((header, length)) => match header.proxied_address() {
            Some(address) if address.protocol != Protocol::Stream => Err("it is of a datagram, not a connection"),
            Some(address) if address.source.port() == 0 => Err("it says that the client's port is 0"),
            address => {
                let is_v2 = bytes.starts_with(SIGNATURE);
                // the low half of the byte behind the signature: 0 is LOCAL, 1 is PROXY
                let own = is_v2 && bytes[SIGNATURE.len()] & 0x0F == 0;
                // other contents of a LOCAL header must be ignored
                let certificate = if is_v2 && !own { certificate(&bytes[..end])? } else { None };
                Ok(Some(Header { length, source: address.map(|address| address.source), own, certificate }))
            }
        },
        Err(_) => Err("it is malformed"),
    }
}

/// The client's certificate in a complete header of version 2. All fields must have the length that they state, and a
/// checksum must be correct (sections 2.2 and 2.2.3 to 2.2.6).
fn certificate(header: &[u8]) -> Result<Option<Certificate>, &'static str> {
    let addresses = match header[SIGNATURE.len() + 1] >> 4 {
        0 => 0,
        1 => 12,
        2 => 36,
        _ => 216,
    };
    let all = fields(header, 16 + addresses..header.len())?;
    if let Some(sum) = only(&all, CRC32C)? {
        let blank = |(at, byte): (usize, &u8)| if sum.contains(&at) { 0 } else { *byte };
        if header[sum.clone()] != crc32c(header.iter().enumerate().map(blank)).to_be_bytes() {
            return Err("its checksum (PP2_TYPE_CRC32C) is wrong");
        }
    }
    let Some(ssl) = only(&all, SSL)? else { return Ok(None) };
    let [flags, verify @ ..] = header[ssl.clone()].first_chunk::<5>().ok_or("its field PP2_TYPE_SSL is too short")?;
    let within = fields(header, ssl.start + 5..ssl.end)?;
    let common_name = only(&within, SSL_CN)?.map(|name| str::from_utf8(&header[name])).transpose();
    let common_name = common_name.map_err(|_| "the common name in it is not UTF-8")?;
    // without a certificate, some proxies set verify to 0
    let is_verified =
        flags & CLIENT_SSL != 0 && flags & (CLIENT_CERT_CONN | CLIENT_CERT_SESS) != 0 && *verify == [0; 4];
    let common_name = common_name.filter(|name| !name.is_empty()).map(Into::into);
    Ok(is_verified.then_some(Certificate { common_name }))
}

/// The fields (TLV: type, length, value) in a part of a header, with the ranges of their values.
fn fields(header: &[u8], within: Range<usize>) -> Result<Vec<(u8, Range<usize>)>, &'static str> {
    const TOO_LONG: &str = "one of its fields (TLV) goes beyond its end";
    let Range { start: mut at, end } = within;
    let mut fields = Vec::new();
    while at < end {
        let [kind, length @ ..] = header[at..end].first_chunk::<3>().ok_or(TOO_LONG)?;
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes(*length));
        if value.end > end {
            return Err(TOO_LONG);
        }
        at = value.end;
        fields.push((*kind, value));
    }
    Ok(fields)
}

/// The value of the field of this type.
fn only(fields: &[(u8, Range<usize>)], kind: u8) -> Result<Option<Range<usize>>, &'static str> {
    let mut found = fields.iter().filter(|field| field.0 == kind).map(|field| field.1.clone());
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        _ => Err("one of its fields (TLV) appears twice"),
    }
}

/// The checksum of RFC 4960 appendix B.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |crc: u32, _| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
    !bytes.fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// Is this one of a listener's trusted proxies?
pub(crate) fn is_among(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address.to_canonical()))
}

/// Takes the header from the front of a connection, and no further byte.
pub(crate) async fn take(socket: &mut TcpStream) -> Result<Header, ProxyError> {
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
        // while the header is incomplete, all bytes so far belong to it
        let take = found.as_ref().map_or(seen, |header| header.length - before);
        socket.read_exact(&mut ahead[..take]).await?;
        if let Some(header) = found {
            return Ok(header);
        }
    }
}

const V1: &[u8] = b"PROXY ";
/// Section 2.1, including the end of line.
const LONGEST_V1: usize = 107;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes behind the first 16 of a version 2 header: addresses, and fields about TLS.
const LONGEST_V2: usize = 4096;
/// Types of fields, and flags of PP2_TYPE_SSL: sections 2.2.3 to 2.2.6.
const CRC32C: u8 = 0x03;
const SSL: u8 = 0x20;
const SSL_CN: u8 = 0x22;
const CLIENT_SSL: u8 = 0x01;
const CLIENT_CERT_CONN: u8 = 0x02;
const CLIENT_CERT_SESS: u8 = 0x04;

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    #[test]
    fn headers() {
        let v6 = [&[0x20, 1, 0xd, 0xb8], &[0; 11][..], &[7], &[0; 16], &[0x30, 0x39, 0x07, 0x5b]].concat();
        let table: &[(Vec<u8>, Option<&str>)] = &[
            (b"PROXY TCP4 10.0.0.7 10.0.0.1 12345 1883\r\n".to_vec(), Some("10.0.0.7:12345")),
            (b"PROXY TCP6 2001:db8::7 ::1 12345 1883\r\n".to_vec(), Some("[2001:db8::7]:12345")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, &V4), Some("10.0.0.7:12345")),
            (v2(0x21, 0x21, &v6), Some("[2001:db8::7]:12345")),
            (v2(0x21, 0x11, &[&V4[..], &[4, 0, 2, 0, 0]].concat()), Some("10.0.0.7:12345")),
            (v2(0x21, 0x00, &[]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &V4), None),
        ];
        for (bytes, source) in table {
            let source = source.map(|address| address.parse().unwrap());
            let with_rest = [&bytes[..], b"\x10\x0c"].concat();
            let own = bytes.starts_with(SIGNATURE) && bytes[12] == 0x20;
            let expected = Header { length: bytes.len(), source, own, certificate: None };
            assert_eq!(header(&with_rest), Ok(Some(expected)), "{bytes:?}");
            for part in 0..bytes.len() {
                assert_eq!(header(&bytes[..part]), Ok(None), "{part} bytes of {bytes:?}");
            }
        }
    }

    const V4: [u8; 12] = [10, 0, 0, 7, 10, 0, 0, 1, 0x30, 0x39, 0x07, 0x5b];

    fn field(kind: u8, value: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[kind, high, low], value].concat()
    }

    fn ssl(flags: u8, verify: u32, within: &[u8]) -> Vec<u8> {
        field(SSL, &[&[flags][..], &verify.to_be_bytes(), within].concat())
    }

    #[test]
    fn certificates_that_the_proxy_has_verified() {
        // as HAProxy sends it: version, cipher, common name
        let version = field(0x21, b"TLSv1.3");
        let name = field(SSL_CN, "lämp".as_bytes());
        let within = [version.clone(), field(0x23, b"TLS_AES_256_GCM_SHA384"), name.clone()].concat();
        let nameless = || Some(Certificate { common_name: None });
        let named = || Some(Certificate { common_name: Some("lämp".into()) });
        let table = [
            (vec![], None),
            (ssl(0x07, 0, &within), named()),
            (ssl(0x03, 0, &within), named()),
            // shown earlier in the session that this connection resumes
            (ssl(0x05, 0, &within), named()),
            (
                [field(4, &[0; 9]), field(2, b"mqtt.example"), ssl(0x07, 0, &within), field(0xee, b"x")].concat(),
                named(),
            ),
            (ssl(0x07, 0, &version), nameless()),
            (ssl(0x07, 0, &field(SSL_CN, b"")), nameless()),
            // not verified, none shown, no TLS
            (ssl(0x07, 19, &within), None),
            (ssl(0x07, 1 << 24, &within), None),
            (ssl(0x01, 0, &within), None),
            (ssl(0x06, 0, &within), None),
            (ssl(0x00, 0, &[]), None),
            // at the wrong height
            (name, None),
        ];
        for (fields, expected) in table {
            for (family, addresses) in [(0x11, &V4[..]), (0x00, &[]), (0x31, &[0; 216])] {
                let bytes = v2(0x21, family, &[addresses, &fields].concat());
                assert_eq!(header(&bytes).unwrap().unwrap().certificate, expected, "{family} {fields:?}");
                // the proxy's own connection has no client
                let own = v2(0x20, family, &[addresses, &fields].concat());
                assert_eq!(header(&own).unwrap().unwrap().certificate, None);
            }
        }
    }

    #[test]
    fn fields_that_lie() {
        let name = field(SSL_CN, b"lamp");
        let table = [
            field(4, &[0; 9])[..11].to_vec(),
            vec![4],
            vec![4, 0],
            vec![4, 0, 1],
            vec![0xee, 0xff, 0xff, 0],
            field(SSL, &[7, 0, 0, 0]),
            ssl(7, 0, &name[..6]),
            ssl(7, 0, &[SSL_CN, 0]),
            ssl(7, 0, &[&name[..], &[0x21, 0, 9, b'T']].concat()),
            ssl(7, 0, &field(SSL_CN, b"\xff")),
            // which of them would it be?
            [ssl(7, 0, &name), ssl(1, 0, &[])].concat(),
            ssl(7, 0, &[&name[..], &field(SSL_CN, b"other")].concat()),
        ];
        for fields in table {
            for (family, addresses) in [(0x11, &V4[..]), (0x00, &[]), (0x31, &[0; 216])] {
                let rest = [addresses, &fields].concat();
                assert!(header(&v2(0x21, family, &rest)).is_err(), "{family} {fields:?}");
                // what stands beside LOCAL is discarded
                assert!(header(&v2(0x20, family, &rest)).is_ok(), "{family} {fields:?}");
            }
        }
    }

    #[test]
    fn a_checksum_is_checked() {
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
        let fields = [field(CRC32C, &[0; 4]), ssl(7, 0, &field(SSL_CN, b"lamp"))].concat();
        let mut bytes = v2(0x21, 0x11, &[&V4[..], &fields].concat());
        assert!(header(&bytes).is_err());
        let sum = crc32c(bytes.iter().copied());
        let at = 16 + V4.len() + 3;
        bytes[at..at + 4].copy_from_slice(&sum.to_be_bytes());
        assert!(header(&bytes).unwrap().unwrap().certificate.is_some());
        for flip in [14 + 3, at, bytes.len() - 1] {
            let mut wrong = bytes.clone();
            wrong[flip] ^= 1;
            assert!(header(&wrong).is_err(), "{flip}");
        }
        assert!(header(&v2(0x21, 0x00, &field(CRC32C, &[0; 3]))).is_err());
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
