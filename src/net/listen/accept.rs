//! Accepting connections.

use std::{
    io, net,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::worker::{NetShared, Through, Ticket, Worker},
    options::{ListenerOptions, ListenerState},
    socket::{Listener, Socket},
};
use crate::{
    platform,
    router::{Count, Peer, PeerAddress},
};

/// An accepted socket.
#[derive(Debug)]
pub(crate) enum Accepted {
    Tcp(net::TcpStream),
    Unix(platform::UnixStream),
}

/// Accepts connections until the task is aborted. `deal` passes each one to a thread, with the options of its listener.
pub(crate) async fn accept(
    listener: Listener,
    shared: Arc<NetShared>,
    state: Arc<ListenerState>,
    mut deal: impl FnMut(Accepted, Peer, Option<Arc<ListenerOptions>>, Ticket),
) {
    const BATCH: usize = 64;
    // the guard of a Unix socket's file lives as long as this task
    let Listener { socket, endpoint: address, file: _file, is_passed } = listener;
    let socket = match platform::when_readable(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%address, %error, "cannot wait for connections"),
    };
    let mut complaints = Complaints::every(Duration::from_secs(1));
    let [mut storms, mut full] = [0, 1].map(|_| Complaints::every(Duration::from_secs(60)));
    let loopback_listener = address.is_loopback() && !is_passed;
    loop {
        let mut ready = match socket.readable().await {
            Ok(ready) => ready,
            Err(error) => return tracing::error!(%address, %error, "cannot wait for connections"),
        };
        for _ in 0..BATCH {
            let waited = has_waited(&shared).await;
            let base = state.connecting_bytes();
            wait_for_room(&shared, base, &mut full).await;
            match ready.try_io(|socket| accept_one(socket.get_ref())) {
                Ok(Ok((client, peer))) => {
                    let peer = Peer { address: peer, loopback_listener, listener: state.listener };
                    Worker::with(|w| w.local.count(Count::SocketsOpened, 1));
                    note_accepted(&shared, waited, &mut storms);
                    let from = state.unproxied(peer.address);
                    let entered = match shared.router.refuses_connections() {
                        true => Err((Count::RefusedMemory, "the process has nearly limits.max_memory")),
                        false => {
                            let through = Through { listener: state.listener, most: state.max_connections() };
                            shared.gate.enter(through, from, base, &shared.limits.load(), shared.clock.now())
                        }
                    };
                    match entered {
                        Ok(ticket) => deal(client, peer, state.listener_options(), ticket),
                        Err((counter, why)) => {
                            Worker::with(|w| w.local.count(counter, 1));
                            complaints.say(
                                shared.clock.now(),
                                || tracing::warn!(%peer, reason = why, "connection closed at once"),
                            );
                        }
                    }
                }
                // the client left before it was accepted
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Ok(Err(error)) => {
                    // out of file descriptors or memory: other connections must end first
                    complaints.say(shared.clock.now(), || {
                        tracing::error!(%address, %error, "cannot accept a connection, will try again: see ulimit -n");
                    });
                    shared.clock.sleep(Duration::from_millis(50)).await;
                    break;
                }
                Err(_would_block) => break,
            }
        }
        drop(ready);
        tokio::task::yield_now().await;
    }
}

/// Waits until the next connection may begin. `true`: it had to wait.
async fn has_waited(shared: &NetShared) -> bool {
    /// A wait checks this often, because the rate may change.
    const LOOK_AGAIN: Duration = Duration::from_secs(1);
    let mut waited = false;
    loop {
        let Some(rate) = shared.limits.load().connect_rate else { return waited };
        let Some(wait) = shared.connects.wait(rate, shared.clock.now()) else { return waited };
        shared.clock.sleep(wait.min(LOOK_AGAIN)).await;
        waited = true;
    }
}

/// Waits until connections without an answered CONNECT leave space for one more with `base` bytes.
async fn wait_for_room(shared: &NetShared, base: usize, full: &mut Complaints) {
    const LOOK_AGAIN: Duration = Duration::from_millis(20);
    let has_room = || shared.gate.connecting.has_room(base, &shared.limits.load(), shared.clock.now());
    if has_room() {
        return;
    }
    Worker::with(|w| w.local.count(Count::RefusedConnectingBytes, 1));
    full.say(shared.clock.now(), || {
        tracing::warn!(
            limit = "limits.max_connecting_bytes",
            "new connections wait: the ones without an answered CONNECT use too much memory"
        );
    });
    while !has_room() {
        shared.clock.sleep(LOOK_AGAIN).await;
    }
}

/// A connection was accepted; `waited`: after a wait for the rate limit.
fn note_accepted(shared: &NetShared, waited: bool, storms: &mut Complaints) {
    let Some(rate) = shared.limits.load().connect_rate else { return };
    let now = shared.clock.now();
    shared.connects.take(rate, now);
    if waited {
        Worker::with(|w| w.local.count(Count::ConnectRate, 1));
        storms.say(now, || {
            tracing::warn!(rate, limit = "limits.connect_rate", "new connections wait: they arrive too fast");
        });
    }
}

/// Accepts one connection. Returns it with the client's address.
fn accept_one(socket: &Socket) -> io::Result<(Accepted, PeerAddress)> {
    match socket {
        Socket::Tcp(socket) => {
            let (client, mut address) = platform::accept_from(socket)?;
            // a systemd socket may be for both families, and then reports IPv4 clients as ::ffff:192.0.2.1
            address.set_ip(address.ip().to_canonical());
            Ok((Accepted::Tcp(client), PeerAddress::Ip(address)))
        }
        Socket::Unix(socket) => Ok((Accepted::Unix(platform::accept(socket)?), PeerAddress::Unix)),
    }
}

/// Logs the same thing only once in a while.
struct Complaints {
    last: Option<Instant>,
    every: Duration,
}

impl Complaints {
    fn every(every: Duration) -> Self {
        Self { last: None, every }
    }

    fn say(&mut self, now: Instant, say: impl FnOnce()) {
        if self.last.is_none_or(|last| now - last >= self.every) {
            self.last = Some(now);
            say();
        }
    }
}
