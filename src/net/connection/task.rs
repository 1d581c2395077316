//! [`Connection`]: the state of one connection. `turn` drives it.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    task::Context,
    time::{Duration, Instant},
};

use super::{
    super::{
        deadlines::{Key, Tick},
        transport::Stream,
        worker::{Ticket, Worker},
    },
    farewell::Farewell,
    reader::Reader,
    waiting::{Challenged, Waiting},
};
use crate::{
    router::{Client, Peer, PeerAddress},
    session::{CloseReason, OutBuf},
};

/// The task of one connection.
pub(crate) struct Connection<S> {
    pub(crate) socket: S,
    pub(crate) caller: Caller,
    pub(crate) phase: Phase,
    pub(crate) reader: Reader,
    /// Output that was taken from the session and is not written completely.
    pub(crate) writing: Option<Box<OutBuf>>,
    pub(crate) deadline: Option<Key>,
    /// Read deadline: CONNECT timeout, then 1.5 × Keep Alive.
    pub(crate) read_by: Tick,
    /// Bytes that arrived since the last whole packet: see [`Self::note_progress`].
    pub(crate) progress: u32,
    /// Write deadline while output is pending.
    pub(crate) write_by: Tick,
    /// The last byte of the thread's count of writes when this connection last let others write first.
    pub(crate) gave_way: u8,
    /// The number of changes of traces at its last look, if it is not traced; otherwise [`TRACED`].
    pub(crate) untraced: u8,
}

/// A [`Peer`] in fewer bytes, because every connection has one.
pub(crate) struct Caller {
    /// `None`: a Unix socket.
    ip: Option<IpAddr>,
    port: u16,
    loopback_listener: bool,
    listener: u16,
}

impl Caller {
    pub(crate) fn peer(&self) -> Peer {
        Peer { address: self.address(), loopback_listener: self.loopback_listener, listener: self.listener }
    }

    /// The number of its listener.
    pub(crate) fn listener(&self) -> u16 {
        self.listener
    }

    /// `None`: a Unix socket.
    pub(crate) fn socket_address(&self) -> Option<SocketAddr> {
        self.ip.map(|ip| SocketAddr::new(ip, self.port))
    }

    fn address(&self) -> PeerAddress {
        self.socket_address().map_or(PeerAddress::Unix, PeerAddress::Ip)
    }
}

/// The phase of a connection.
pub(crate) enum Phase {
    /// Waits for CONNECT, with its place among connections that are not accepted.
    Connecting(Ticket),
    /// CONNECT has arrived; waits for the result of the login.
    Asking(Box<Waiting>),
    /// An AUTH was sent; waits for the client's answer.
    Challenged(Box<Challenged>),
    /// A client is connected.
    Open(Open),
    /// The client was refused, and that was logged.
    Refused,
    /// Everything is freed.
    Ended,
}

pub(crate) struct Open {
    pub(crate) client: Client,
    /// Seconds, from the CONNECT, or from the CONNACK if that changed it.
    pub(crate) keep_alive: u16,
    pub(crate) farewell: Farewell,
    pub(crate) last_read: LastRead,
    /// When the client's token expires, from
    /// [`Deadlines::end_of_token`](super::super::deadlines::Deadlines::end_of_token). During shutdown, until when the
    /// client is waited for.
    pub(crate) until: Tick,
}

/// Marks a traced connection.
pub(crate) const TRACED: u8 = u8::MAX;

/// The size of the last read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastRead {
    /// Nothing yet. The client is a health check if it sends nothing more.
    HealthCheck,
    /// Connections with small reads do not let others write first: they would lose more than that gains.
    Little,
    Much,
}

impl<S: Stream> Connection<S> {
    pub(crate) fn new(socket: S, peer: Peer, ticket: Ticket) -> Self {
        let Peer { address, loopback_listener, listener } = peer;
        let ip = (address != PeerAddress::Unix).then(|| address.ip());
        Self {
            socket,
            caller: Caller { ip, port: address.port(), loopback_listener, listener },
            phase: Phase::Connecting(ticket),
            reader: Reader::default(),
            writing: None,
            deadline: None,
            read_by: Tick::NEVER,
            progress: 0,
            write_by: Tick::NEVER,
            gave_way: u8::MAX,
            untraced: 0,
        }
    }

    /// Sets the time by which the CONNECT must arrive, part of which has passed.
    pub(crate) fn due(mut self, read_by: Tick) -> Self {
        self.read_by = read_by;
        self
    }

    pub(crate) fn peer(&self) -> Peer {
        self.caller.peer()
    }
}

/// One and a half times the Keep Alive [MQTT-3.1.2-24]; 0 turns it off.
pub(crate) fn keep_alive_deadline(worker: &Worker, keep_alive: u16, now: Instant) -> Tick {
    match keep_alive {
        0 => Tick::NEVER,
        seconds => worker.deadlines.tick(now + Duration::from_millis(u64::from(seconds) * 1500)),
    }
}

/// The turn ends with work left: the next turn comes after all other ready tasks, and after the system was asked for
/// ready sockets. (A task that wakes itself may run dozens of times before that.)
pub(crate) fn go_on_later(cx: &mut Context<'_>) {
    // pending at first: the runtime wakes this task later
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

pub(crate) fn network(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
            CloseReason::ConnectionLost
        }
        // errors of a transport have a text, errors of the system only a kind
        kind => match error.get_ref() {
            Some(why) => CloseReason::Transport(why.to_string().into()),
            None => CloseReason::Network(kind),
        },
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // with the 96 bytes that tokio adds to a task, four cache lines
        assert!(size_of::<Connection<TcpStream>>() <= 152, "{} bytes", size_of::<Connection<TcpStream>>());
    }
}
