//! Binding listeners: [`bind`] an address, or a path for a Unix socket, or take sockets that are bound.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, Protocol, SockAddr, Type};

use super::passed::PassedSockets;
use crate::types::Endpoint;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: Socket,
    pub(super) endpoint: Endpoint,
    pub(super) file: Option<SocketFile>,
    /// It was opened by systemd. Its clients count as remote: who may reach it is written in another place.
    pub(super) is_passed: bool,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The file of a Unix socket, which goes with it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: the file that another broker put in its place stays.
    identity: (u64, u64),
}

/// How a listener is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindOptions {
    /// Of a Unix socket's file: its permission bits.
    pub mode: u32,
    /// Of an address: the machine need not have it yet.
    pub freebind: bool,
    /// Of a socket that is passed: what is spoken on it needs TCP.
    pub only_tcp: bool,
}

/// Binds and listens; gives one listener, or all of `passed` that have the name of the endpoint. Connections that arrive
/// before [`Workers::listen`](super::Workers::listen) wait.
pub fn bind(endpoint: &Endpoint, options: BindOptions, passed: &PassedSockets) -> io::Result<Vec<Listener>> {
    match endpoint {
        Endpoint::Ip(address) => Ok(vec![bind_tcp(*address, options.freebind)?]),
        Endpoint::Unix(path) => Ok(vec![bind_unix(path, options.mode)?]),
        Endpoint::Passed(name) => passed.listeners(name, options.only_tcp),
    }
}

fn bind_tcp(address: SocketAddr, freebind: bool) -> io::Result<Listener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // each family is listed by itself: [::]:1883 and 0.0.0.0:1883 may stand side by side
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    // accepted sockets inherit it: a call less for each
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    if freebind {
        set_freebind(&socket, address)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let socket = TcpListener::from(socket);
    let endpoint = Endpoint::Ip(socket.local_addr()?);
    Ok(Listener { socket: Socket::Tcp(socket), endpoint, file: None, is_passed: false })
}

#[cfg(target_os = "linux")]
fn set_freebind(socket: &socket2::Socket, address: SocketAddr) -> io::Result<()> {
    use rustix::net::sockopt;

    match address {
        SocketAddr::V4(_) => sockopt::set_ip_freebind(socket, true)?,
        SocketAddr::V6(_) => sockopt::set_ipv6_freebind(socket, true)?,
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn set_freebind(_: &socket2::Socket, _: SocketAddr) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "freebind = true needs Linux"))
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<Listener> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let address = SockAddr::unix(path)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    let metadata = fs::symlink_metadata(path)?;
    let file = SocketFile { path: path.into(), identity: (metadata.dev(), metadata.ino()) };
    // until it listens nobody can connect: nobody does so by the wrong mode
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    let endpoint = Endpoint::Unix(path.into());
    Ok(Listener { socket: Socket::Unix(socket.into()), endpoint, file: Some(file), is_passed: false })
}

/// Was this left behind by a broker that is no more? A file that is no socket is not ours to remove.
fn is_stale(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

impl Listener {
    /// Where it listens; the port is the one that the system picked where 0 was asked for.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket's file");
        }
    }
}

const BACKLOG: i32 = 4096;
