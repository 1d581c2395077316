//! Binding listeners: [`bind`] binds an address or the path of a Unix socket, or takes sockets that are bound already.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::Path,
};

use socket2::{Domain, Protocol, SockAddr, Type};

use super::{
    passed::PassedSockets,
    socket::{Listener, Socket, SocketFile},
};
use crate::{
    platform::{self, FileTypeExt, MetadataExt, UnixStream},
    types::Endpoint,
};

/// How a listener is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindOptions {
    /// Permission bits of a Unix socket's file.
    pub mode: u32,
    /// Bind an address even if the machine does not have it yet.
    pub freebind: bool,
    /// For a passed socket: the protocol on it needs TCP.
    pub only_tcp: bool,
}

/// Binds and listens. Returns one listener, or all passed sockets with the name of the endpoint. Connections that
/// arrive before [`Workers::listen`](super::Workers::listen) wait.
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
        // each family is separate, so that [::]:1883 and 0.0.0.0:1883 can both be listed
        socket.set_only_v6(true)?;
    }
    platform::reuse_address(&socket)?;
    // accepted sockets inherit it, which saves a call for each
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    if freebind {
        platform::set_freebind(&socket, address)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let socket = TcpListener::from(socket);
    let endpoint = Endpoint::Ip(socket.local_addr()?);
    Ok(Listener { socket: Socket::Tcp(socket), endpoint, file: None, is_passed: false })
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<Listener> {
    let socket = platform::unix_socket()?;
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
    // no client can connect before it listens, so never with the wrong mode
    platform::set_mode(path, mode)?;
    socket.listen(BACKLOG)?;
    let endpoint = Endpoint::Unix(path.into());
    Ok(Listener {
        socket: Socket::Unix(platform::unix_listener(socket)?),
        endpoint,
        file: Some(file),
        is_passed: false,
    })
}

/// Was this socket left behind by a broker that ended? A file that is not a socket must not be removed.
fn is_stale(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

const BACKLOG: i32 = 4096;
