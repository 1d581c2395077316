//! Accepting sockets, and options of sockets.

#[cfg(unix)]
use std::net::{TcpListener, TcpStream};
use std::{io, net::SocketAddr, time::Duration};

use rustix::{fd::AsFd, io::Result};
#[cfg(unix)]
use rustix::{
    fd::OwnedFd,
    io::{Errno, retry_on_intr},
    net::SocketAddrAny,
};

/// Accepts a connection: a socket that does not block and that child processes do not inherit.
#[cfg(unix)]
pub(crate) fn accept(socket: &super::UnixListener) -> Result<super::UnixStream> {
    #[cfg(target_os = "linux")]
    let accepted = retry_on_intr(|| rustix::net::accept_with(socket, FLAGS));
    #[cfg(not(target_os = "linux"))]
    let accepted = retry_on_intr(|| rustix::net::accept(socket)).and_then(prepared);
    accepted.map(Into::into)
}

/// The same, with the address of the client.
#[cfg(unix)]
pub(crate) fn accept_from(socket: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (accepted, address) = with_address(socket)?;
    let address = address.ok_or(Errno::AFNOSUPPORT).and_then(SocketAddr::try_from)?;
    Ok((accepted.into(), address))
}

#[cfg(target_os = "linux")]
fn with_address(socket: &TcpListener) -> Result<(OwnedFd, Option<SocketAddrAny>)> {
    retry_on_intr(|| rustix::net::acceptfrom_with(socket, FLAGS))
}

#[cfg(all(unix, not(target_os = "linux")))]
fn with_address(socket: &TcpListener) -> Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (accepted, address) = retry_on_intr(|| rustix::net::acceptfrom(socket))?;
    Ok((prepared(accepted)?, address))
}

#[cfg(target_os = "linux")]
const FLAGS: rustix::net::SocketFlags = rustix::net::SocketFlags::NONBLOCK.union(rustix::net::SocketFlags::CLOEXEC);

#[cfg(all(unix, not(target_os = "linux")))]
fn prepared(accepted: OwnedFd) -> Result<OwnedFd> {
    rustix::io::ioctl_fionbio(&accepted, true)?;
    rustix::io::fcntl_setfd(&accepted, rustix::io::FdFlags::CLOEXEC)?;
    Ok(accepted)
}

/// Is it a socket that listens?
pub(crate) fn is_listening(socket: impl AsFd) -> Result<bool> {
    #[cfg(target_os = "linux")]
    return rustix::net::sockopt::socket_acceptconn(socket);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = socket;
        Ok(true)
    }
}

/// Lets a socket be bound to an address that the machine does not have yet.
#[cfg(target_os = "linux")]
pub(crate) fn set_freebind(socket: impl AsFd, address: SocketAddr) -> io::Result<()> {
    use rustix::net::sockopt;

    match address {
        SocketAddr::V4(_) => sockopt::set_ip_freebind(socket, true)?,
        SocketAddr::V6(_) => sockopt::set_ipv6_freebind(socket, true)?,
    }
    Ok(())
}

/// The same: not on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn set_freebind(_: impl AsFd, _: SocketAddr) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "freebind = true needs Linux"))
}

/// How long sent data may be unacknowledged before the connection is lost (`TCP_USER_TIMEOUT`).
#[cfg(target_os = "linux")]
pub(crate) fn set_user_timeout(socket: &tokio::net::TcpStream, time: Duration) -> io::Result<()> {
    socket2::SockRef::from(socket).set_tcp_user_timeout(Some(time))
}

/// Without effect.
#[cfg(not(target_os = "linux"))]
pub(crate) fn set_user_timeout(_: &tokio::net::TcpStream, _: Duration) -> io::Result<()> {
    Ok(())
}

/// Can a listener have an address that the machine does not have yet?
pub(crate) const HAS_FREEBIND: bool = cfg!(target_os = "linux");
