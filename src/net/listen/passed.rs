//! Sockets that systemd opened and passed to the process (sd_listen_fds(3)): [`PassedSockets`].

use std::io;

use rustix::{
    fd::OwnedFd,
    net::{SocketType, sockopt},
};

use super::socket::{Listener, Socket};
use crate::{platform, types::Endpoint};

/// All of them, with their names. They stay open, so that a listener can be closed and opened again with a copy.
#[derive(Debug, Default)]
pub struct PassedSockets(Vec<(String, OwnedFd)>);

impl PassedSockets {
    /// Names may repeat: all sockets of one socket unit have the same name.
    pub fn new(sockets: Vec<(String, OwnedFd)>) -> Self {
        Self(sockets)
    }

    /// The names, without repetition.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let is_first = |at: &usize| self.0[..*at].iter().all(|(name, _)| *name != self.0[*at].0);
        (0..self.0.len()).filter(is_first).map(|at| &*self.0[at].0)
    }

    /// The sockets with that name, ready to be served. `only_tcp`: the protocol on them needs TCP.
    pub(crate) fn listeners(&self, name: &str, only_tcp: bool) -> io::Result<Vec<Listener>> {
        let named = self.0.iter().filter(|(other, _)| other == name);
        let listeners = named.map(|(_, socket)| listener(socket, only_tcp)).collect::<io::Result<Vec<_>>>()?;
        match listeners.is_empty() {
            true => Err(io::Error::other(self.missing())),
            false => Ok(listeners),
        }
    }

    fn missing(&self) -> String {
        let names: Vec<_> = self.names().map(|name| format!("\"{name}\"")).collect();
        match names.is_empty() {
            true => "systemd passed no sockets: start the socket unit in place of the service (systemctl start dunlin.socket), \
                     or configure an address"
                .into(),
            false => format!(
                "systemd passed no socket of this name, but {}; change the name here, or FileDescriptorName= in the socket \
                 unit",
                names.join(", ")
            ),
        }
    }
}

fn listener(socket: &OwnedFd, only_tcp: bool) -> io::Result<Listener> {
    if sockopt::socket_type(socket)? != SocketType::STREAM || !platform::is_listening(socket)? {
        return Err(io::Error::other(
            "this socket takes no connections; the socket unit needs ListenStream=, and not Accept=yes",
        ));
    }
    let socket = socket2::Socket::from(socket.try_clone()?);
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    if let Some(address) = address.as_socket() {
        // accepted sockets inherit it
        socket.set_tcp_nodelay(true)?;
        return Ok(Listener {
            socket: Socket::Tcp(socket.into()),
            endpoint: Endpoint::Ip(address),
            file: None,
            is_passed: true,
        });
    }
    if !address.is_unix() {
        return Err(io::Error::other("this socket is neither one of TCP nor a Unix socket"));
    }
    if only_tcp {
        return Err(io::Error::other(
            "this is a Unix socket, on which neither TLS, WebSocket nor the PROXY protocol is spoken; take transport and \
             proxy_protocol away, or write an address and port in ListenStream=",
        ));
    }
    let endpoint = Endpoint::Unix(platform::unix_path(&address));
    Ok(Listener { socket: Socket::Unix(platform::unix_listener(socket)?), endpoint, file: None, is_passed: true })
}
