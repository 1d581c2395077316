//! Accepting connections, and the bounds on how many there may be.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{Interest, unix::AsyncFd};

use super::worker::{Dealer, Shared, Worker};
use crate::router::{Count, Peer};

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// Binds and listens. Connections that arrive before [`Workers::listen`](super::Workers::listen) wait.
pub fn bind(address: SocketAddr) -> io::Result<Listener> {
    const BACKLOG: i32 = 4096;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // each family is listed by itself: [::]:1883 and 0.0.0.0:1883 may stand side by side
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    // accepted sockets inherit it: a call less for each
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let socket = TcpListener::from(socket);
    let address = socket.local_addr()?;
    Ok(Listener { socket, address })
}

/// How many connections there are.
#[derive(Debug, Default)]
pub(super) struct Gate {
    open: AtomicUsize,
    connecting: AtomicUsize,
}

impl Gate {
    /// One more connection; or the limit that forbids it, and its counter.
    fn enter(&self, shared: &Shared) -> Result<(), (Count, &'static str)> {
        let limits = shared.limits.load();
        if self.open.load(Ordering::Relaxed) >= limits.max_connections {
            return Err((Count::RefusedConnections, "limits.max_connections is reached"));
        }
        if self.connecting.load(Ordering::Relaxed) >= limits.max_connecting {
            return Err((Count::RefusedConnecting, "limits.max_connecting is reached"));
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        self.connecting.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// A connection was accepted as a client's.
    pub(super) fn connected(&self) {
        self.connecting.fetch_sub(1, Ordering::Relaxed);
    }

    /// A connection that had been accepted ended.
    pub(super) fn left(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// A connection ended before it was.
    pub(super) fn left_before_connect(&self) {
        self.connected();
        self.left();
    }
}

impl Listener {
    /// Where it listens; the port is the one that the system picked where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until the task is aborted.
    pub(super) async fn accept(self, shared: Arc<Shared>, dealer: Dealer) {
        const BATCH: usize = 64;
        let Self { socket, address } = self;
        // SAFETY: the socket is owned by the `AsyncFd`, open, and the same until both are dropped.
        #[allow(unsafe_code)]
        let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        let socket = match registered {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(%address, %error, "cannot wait for connections"),
        };
        let mut complaints = Complaints::default();
        loop {
            let mut ready = match socket.readable().await {
                Ok(ready) => ready,
                Err(error) => return tracing::error!(%address, %error, "cannot wait for connections"),
            };
            for _ in 0..BATCH {
                match ready.try_io(|socket| socket.get_ref().accept()) {
                    Ok(Ok((client, peer))) => {
                        let peer = Peer { address: peer, loopback_listener: address.ip().is_loopback() };
                        Worker::with(|w| w.local.count(Count::SocketsOpened, 1));
                        match shared.gate.enter(&shared) {
                            Ok(()) => match client.set_nonblocking(true) {
                                Ok(()) => dealer.deal(client, peer),
                                Err(_) => shared.gate.left_before_connect(),
                            },
                            Err((counter, why)) => {
                                Worker::with(|w| w.local.count(counter, 1));
                                complaints
                                    .say(|| tracing::warn!(peer = %peer.address, "connection closed at once: {why}"));
                            }
                        }
                    }
                    // it was gone before it was accepted
                    Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Ok(Err(error)) => {
                        // out of file descriptors or memory: others must end first
                        complaints.say(|| {
                            tracing::error!(%address, %error, "cannot accept a connection; trying again (more file descriptors: ulimit -n)");
                        });
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        break;
                    }
                    Err(_would_block) => break,
                }
            }
            drop(ready);
            tokio::task::yield_now().await;
        }
    }
}

/// Says the same thing once a second at most.
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
}

impl Complaints {
    fn say(&mut self, say: impl FnOnce()) {
        let now = Instant::now();
        if self.last.is_none_or(|last| now - last >= Duration::from_secs(1)) {
            self.last = Some(now);
            say();
        }
    }
}
