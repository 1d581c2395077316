//! Connects to a [`Target`]: looks up the name, tries its addresses one after the other, then does the TLS handshake
//! and the WebSocket upgrade.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};

use tokio::net::{TcpSocket, TcpStream, lookup_host};

use super::{
    ClientTls, Target,
    line::{ConnectError, Line},
    websocket,
};
use crate::{clock::Clock, platform};

/// Connects within this time. `own`: addresses of this process, which is not connected with itself.
pub(crate) async fn connect(
    target: &Target,
    tls: Option<&ClientTls>,
    clock: &Clock,
    (within, own): (Duration, &[SocketAddr]),
) -> Result<Box<dyn Line>, ConnectError> {
    let connected = clock.timeout(within, pin!(open(target, tls, own))).await;
    connected.unwrap_or(Err(ConnectError::TimedOut(within)))
}

async fn open(target: &Target, tls: Option<&ClientTls>, own: &[SocketAddr]) -> Result<Box<dyn Line>, ConnectError> {
    let tcp = dial(target).await?;
    if let (Ok(from), Ok(to)) = (tcp.local_addr(), tcp.peer_addr())
        && own.iter().any(|own| is_reached(own, from, to))
    {
        return Err(ConnectError::Itself(to));
    }
    let line: Box<dyn Line> = match target.transport.has_tls() {
        true => begin_tls(target, tls, tcp).await?,
        false => Box::new(tcp),
    };
    match target.transport.has_websocket() {
        true => Ok(Box::new(websocket::upgrade(line, target).await?)),
        false => Ok(line),
    }
}

#[cfg(feature = "tls")]
async fn begin_tls(target: &Target, tls: Option<&ClientTls>, tcp: TcpStream) -> Result<Box<dyn Line>, ConnectError> {
    match tls {
        Some(tls) => Ok(Box::new(tls.connect(&target.host, tcp).await?)),
        None => Err(ConnectError::Tls(io::ErrorKind::Unsupported.into())),
    }
}

#[cfg(not(feature = "tls"))]
async fn begin_tls(_: &Target, tls: Option<&ClientTls>, _: TcpStream) -> Result<Box<dyn Line>, ConnectError> {
    match tls {
        Some(tls) => match *tls {},
        None => Err(ConnectError::Tls(io::ErrorKind::Unsupported.into())),
    }
}

/// Does a connection between these addresses end at a listener with the address `own`? It does not leave this machine
/// then, and has the listener's port.
fn is_reached(own: &SocketAddr, from: SocketAddr, to: SocketAddr) -> bool {
    let [here, from, there] = [own.ip(), from.ip(), to.ip()].map(|ip| ip.to_canonical());
    let stays = from == there || from.is_loopback() && there.is_loopback();
    // those on all interfaces are each of one family
    let is_any = here.is_unspecified() && here.is_ipv4() == there.is_ipv4();
    stays && own.port() == to.port() && (is_any || here == there)
}

/// Connects to the first of the target's addresses that answers.
async fn dial(target: &Target) -> Result<TcpStream, ConnectError> {
    let Target { host, port, from, .. } = target;
    let unknown = |error| ConnectError::Unknown { name: host.clone(), error };
    let found: Vec<_> = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, *port)],
        Err(_) => lookup_host((host.as_str(), *port)).await.map_err(unknown)?.collect(),
    };
    let mut failed = None;
    for address in found.into_iter().filter(|address| from.is_none_or(|from| from.is_ipv4() == address.is_ipv4())) {
        match dial_one(target, address).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => failed = Some(ConnectError::Refused { address, error }),
        }
    }
    Err(failed.unwrap_or_else(|| ConnectError::NoAddress(host.clone())))
}

async fn dial_one(target: &Target, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(from) = target.from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let tcp = socket.connect(address).await?;
    tcp.set_nodelay(true)?;
    platform::set_user_timeout(&tcp, target.user_timeout)?;
    Ok(tcp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn unacknowledged_data_ends_a_connection_after_the_user_timeout() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (transport, path) = (crate::types::Transport::Tcp, String::new());
        let user_timeout = super::super::USER_TIMEOUT;
        let target = Target { transport, host: "127.0.0.1".into(), port, path, from: None, user_timeout };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let tcp = runtime.block_on(dial(&target)).unwrap();
        let set = socket2::SockRef::from(&tcp).tcp_user_timeout().unwrap();
        assert_eq!(set, Some(Duration::from_secs(30)));
    }

    #[test]
    fn an_own_listener_is_known_by_the_ends_of_the_connection() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (own, from, to, expected) in [
            ("127.0.0.1:1883", "127.0.0.1:40000", "127.0.0.1:1883", true),
            ("0.0.0.0:1883", "192.0.2.7:40000", "192.0.2.7:1883", true),
            ("0.0.0.0:1883", "127.0.0.1:40000", "127.0.1.1:1883", true),
            ("[::]:1883", "[::1]:40000", "[::1]:1883", true),
            ("127.0.0.1:1883", "[::ffff:127.0.0.1]:40000", "[::ffff:127.0.0.1]:1883", true),
            // another port, another machine, another process of this machine
            ("0.0.0.0:1883", "192.0.2.7:40000", "192.0.2.7:1884", false),
            ("0.0.0.0:1883", "192.0.2.7:40000", "192.0.2.8:1883", false),
            ("127.0.0.1:1883", "127.0.0.1:40000", "127.0.0.2:1883", false),
            ("0.0.0.0:1883", "[::1]:40000", "[::1]:1883", false),
        ] {
            assert_eq!(is_reached(&at(own), at(from), at(to)), expected, "{own} {from} {to}");
        }
    }
}
