//! The sender of a request, by its headers: whether it came through a proxy or from a web page of another machine, and
//! the client's address that a trusted proxy reports. Pure.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use tungstenite::{
    handshake::server::Request,
    http::{HeaderMap, HeaderName, header},
};

use super::super::proxy::is_among;

/// Why a request may come from another machine although it arrived through the loopback interface. `None`: it is local.
/// A client can only make itself remote by these headers, so they are trusted from every sender.
pub(crate) fn remote_by(request: &Request) -> Option<&'static str> {
    let headers = request.headers();
    if headers.keys().any(is_from_a_proxy) {
        return Some("a proxy sent its request (X-Forwarded-For, Forwarded, X-Real-IP, Via or the like)");
    }
    // a host in the request line has precedence (RFC 9112 section 3.2.2)
    let mut hosts = texts(headers, &header::HOST).chain(request.uri().authority().map(|host| Some(host.as_str())));
    let first = hosts.next();
    if !first.into_iter().chain(hosts).all(|host| host.is_some_and(is_loopback)) || first.is_none() {
        return Some("its Host is not a name of the loopback interface");
    }
    let host = |origin: &str| origin.split_once("://").is_some_and(|(_, host)| is_loopback(host));
    if !texts(headers, &header::ORIGIN).all(|origin| origin.is_some_and(host)) {
        return Some("its Origin is not a page of this machine");
    }
    None
}

/// The client's address, with its port if known, in a request from a trusted proxy: the last hop that is not a trusted
/// proxy. A client can forge earlier hops.
pub(crate) fn client(headers: &HeaderMap, trusted: &[IpNet]) -> Option<(IpAddr, Option<u16>)> {
    // proxies that set one of the two headers forward the other unchanged, and nearly all set this one
    let hops: Vec<_> = match headers.contains_key(X_FORWARDED_FOR) {
        true => texts(headers, &HeaderName::from_static(X_FORWARDED_FOR))
            .flat_map(|line| line.unwrap_or_default().split(',').map(hop))
            .collect(),
        false => texts(headers, &header::FORWARDED).flat_map(|line| forwarded(line.unwrap_or_default())).collect(),
    };
    let mut client = None;
    for hop in hops.into_iter().rev() {
        let Some(known) = hop else { break };
        client = Some(known);
        if !is_among(known.0, trusted) {
            break;
        }
    }
    client
}

fn is_from_a_proxy(name: &HeaderName) -> bool {
    const BY_PROXIES: [&str; 6] =
        ["forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"];
    BY_PROXIES.contains(&name.as_str()) || name.as_str().starts_with("x-forwarded")
}

/// The values of a header; `None`: not text.
fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<&'a str>> {
    headers.get_all(name).iter().map(|value| value.to_str().ok())
}

/// Does a host, with or without a port, name the loopback interface (RFC 6761 section 6.3, RFC 1122 section 3.2.1.3)?
fn is_loopback(host: &str) -> bool {
    let named = |host: &str| {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        host == "localhost" || host.ends_with(".localhost")
    };
    let address = |host: &str| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        bare.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
    };
    // some clients leave out the brackets of an IPv6 address, also before a port
    let without_port = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    [Some(host), without_port.map(|(host, _)| host)].into_iter().flatten().any(|host| named(host) || address(host))
}

/// An address as proxies write it: IPv4 or IPv6, with or without brackets and port.
fn hop(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let text = text.trim();
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip().to_canonical(), Some(address.port()).filter(|port| *port != 0)));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().map(|ip: IpAddr| (ip.to_canonical(), None))
}

/// The hops in a `Forwarded` header (RFC 7239 section 4), from its parameter `for`.
fn forwarded(line: &str) -> impl Iterator<Item = Option<(IpAddr, Option<u16>)>> {
    split(line, ',').into_iter().map(|element| {
        let parameters = split(element?, ';').into_iter().flatten().filter_map(|pair| pair.split_once('='));
        let mut named = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
        match (named.next(), named.next()) {
            (Some((_, value)), None) => {
                let value = value.trim();
                hop(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
            }
            _ => None,
        }
    })
}

/// Splits at separators outside of quoted strings (RFC 9110 section 5.6.4). A part with an unterminated string is
/// `None`: a client could send the beginning of one, to hide what its proxy appends.
fn split(text: &str, separator: char) -> Vec<Option<&str>> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(|c: char| {
        if is_escaped || (is_quoted && c == '\\') {
            is_escaped = !is_escaped;
            return false;
        }
        is_quoted ^= c == '"';
        c == separator && !is_quoted
    });
    let mut parts: Vec<_> = parts.map(Some).collect();
    if is_quoted && let Some(last) = parts.last_mut() {
        *last = None;
    }
    parts
}

const X_FORWARDED_FOR: &str = "x-forwarded-for";

#[cfg(test)]
mod tests {
    use tungstenite::handshake::machine::TryParse;

    use super::*;

    fn request(target: &str, headers: &str) -> Request {
        let text = format!("GET {target} HTTP/1.1\r\n{headers}\r\n");
        Request::try_parse(text.as_bytes()).unwrap().unwrap().1
    }

    #[test]
    fn forwarding_headers_make_a_request_remote() {
        let local = |headers: &str| remote_by(&request("/mqtt", headers)).is_none();
        for host in [
            "localhost",
            "LOCALHOST:8083",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1",
            "127.8.9.10:8083",
            "[::1]:8083",
            "[::1]",
            "[::ffff:127.0.0.1]:1",
            "::1",
            "::1:8083",
            "::ffff:127.0.0.1:8083",
        ] {
            assert!(local(&format!("Host: {host}\r\n")), "{host}");
            assert!(local(&format!("Host: localhost\r\nOrigin: https://{host}\r\n")), "{host}");
        }
        for host in [
            "broker.example",
            "localhost.example",
            "notlocalhost",
            "127.0.0.1.example",
            "128.0.0.1",
            "0.0.0.0",
            "192.168.1.2:8083",
            "[fe80::1]",
            "[::]",
            "[::ffff:10.0.0.1]",
            "",
            ":8083",
            "localhost:x",
            "a@localhost:x",
            "é",
        ] {
            assert!(!local(&format!("Host: {host}\r\n")), "{host}");
            assert!(!local(&format!("Host: localhost\r\nHost: {host}\r\n")), "{host}");
            assert!(!local(&format!("Host: localhost\r\nOrigin: http://{host}\r\n")), "{host}");
        }
        for headers in [
            "",
            "Host: localhost\r\nOrigin: null\r\n",
            "Host: localhost\r\nOrigin: file://\r\n",
            "Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://b.example\r\n",
        ] {
            assert!(!local(headers), "{headers}");
        }
        for name in
            ["X-Forwarded-For", "x-forwarded-proto", "Forwarded", "X-Real-IP", "Via", "CF-Connecting-IP", "X-Client-IP"]
        {
            assert!(!local(&format!("Host: localhost\r\n{name}: 127.0.0.1\r\n")), "{name}");
        }
        assert!(local("Host: localhost\r\nUser-Agent: x\r\nX-Requested-With: via\r\nCookie: via=1\r\n"));
        for (target, local) in [("http://localhost:1/mqtt", true), ("http://b.example/mqtt", false)] {
            let request = request(target, "Host: localhost\r\n");
            assert_eq!(remote_by(&request).is_none(), local, "{target}");
        }
    }

    #[test]
    fn the_last_address_that_is_not_a_trusted_proxy() {
        let trusted: Vec<IpNet> = ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap()).into();
        let table: &[(&str, Option<&str>)] = &[
            ("", None),
            ("X-Real-IP: 192.0.2.1\r\n", None),
            ("X-Forwarded-For: 192.0.2.1\r\n", Some("192.0.2.1")),
            ("X-Forwarded-For: 192.0.2.1:4711\r\n", Some("192.0.2.1:4711")),
            ("X-Forwarded-For: 192.0.2.1:0\r\n", Some("192.0.2.1")),
            ("X-Forwarded-For: 2001:db8::1\r\n", Some("2001:db8::1")),
            ("X-Forwarded-For: [2001:db8::1]\r\n", Some("2001:db8::1")),
            ("X-Forwarded-For: [2001:db8::1]:7\r\n", Some("[2001:db8::1]:7")),
            ("X-Forwarded-For: ::ffff:192.0.2.1\r\n", Some("192.0.2.1")),
            // what stands before it is the client's own word
            ("X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\n", Some("192.0.2.1")),
            ("X-Forwarded-For: 6.6.6.6,192.0.2.1 , 10.1.2.3,::ffff:10.0.0.1\r\n", Some("192.0.2.1")),
            (
                "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.0.0.1\r\n",
                Some("192.0.2.1"),
            ),
            // all of them are trusted: the first, which one of them reports
            ("X-Forwarded-For: 10.0.0.7, 10.0.0.1\r\n", Some("10.0.0.7")),
            // an address that cannot be parsed ends the search: those before it are not trusted
            ("X-Forwarded-For: 192.0.2.1, unknown\r\n", None),
            ("X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.1\r\n", Some("10.0.0.1")),
            ("X-Forwarded-For: 192.0.2.1,\r\n", None),
            ("X-Forwarded-For: é\r\n", None),
            ("X-Forwarded-For: \r\n", None),
            ("Forwarded: for=192.0.2.1\r\n", Some("192.0.2.1")),
            ("Forwarded: proto=https; FOR=\"192.0.2.1:4711\" ;by=10.0.0.1\r\n", Some("192.0.2.1:4711")),
            ("Forwarded: for=6.6.6.6, for=\"[2001:db8::1]:7\";by=\"a,b;c\", for=10.0.0.1\r\n", Some("[2001:db8::1]:7")),
            ("Forwarded: for=6.6.6.6\r\nForwarded: for=192.0.2.1\r\n", Some("192.0.2.1")),
            ("Forwarded: for=192.0.2.1, for=_hidden\r\n", None),
            ("Forwarded: for=192.0.2.1, by=10.0.0.1\r\n", None),
            ("Forwarded: for=192.0.2.1;for=192.0.2.2\r\n", None),
            // a quoted string that the client left open takes in what its proxy added
            ("Forwarded: for=6.6.6.6;x=\", for=192.0.2.1\r\n", None),
            ("Forwarded: for=6.6.6.6;x=\", for=\"[2001:db8::1]\"\r\n", None),
            ("Forwarded: for=6.6.6.6;x=\"\\, for=\"[2001:db8::1]\";by=\"[::1]\"\r\n", None),
            ("Forwarded: for=\"6.6.6.6, for=192.0.2.1\r\n", None),
            ("Forwarded: for=6.6.6.6;x=\"\\\\\\\"\", for=192.0.2.1\r\n", Some("192.0.2.1")),
            // a client's own Forwarded, passed on by a proxy that sets the other
            ("Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 192.0.2.1\r\n", Some("192.0.2.1")),
            ("Forwarded: for=6.6.6.6\r\nX-Forwarded-For: unknown\r\n", None),
        ];
        for (headers, expected) in table {
            let found = client(request("/", headers).headers(), &trusted).map(|(ip, port)| match port {
                Some(port) => SocketAddr::new(ip, port).to_string(),
                None => ip.to_string(),
            });
            assert_eq!(found.as_deref(), *expected, "{headers}");
        }
    }
}
