//! Accepting connections, and the bounds on how many there may be.

use std::{
    io,
    net::{self, Ipv4Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    os::unix::net as unix,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::{
    io::{Errno, retry_on_intr},
    net::{SocketFlags, accept_with, acceptfrom_with},
};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    arrival::Door,
    bind::{Listener, Socket},
    worker::{Dealer, Shared, Worker},
};
use crate::router::{Count, Peer};

/// What was accepted.
#[derive(Debug)]
pub(super) enum Accepted {
    Tcp(net::TcpStream),
    Unix(unix::UnixStream),
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

impl Socket {
    /// One connection and whose it is.
    fn accept(&self) -> io::Result<(Accepted, SocketAddr)> {
        // the standard library's accept needs a second call to make the socket one that does not block
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match self {
            Self::Tcp(_) => {
                let (client, address) = retry_on_intr(|| acceptfrom_with(self, flags))?;
                let mut address = address.ok_or(Errno::AFNOSUPPORT).and_then(SocketAddr::try_from)?;
                // a socket of systemd may take both families, and has clients of IPv4 as ::ffff:192.0.2.1
                address.set_ip(address.ip().to_canonical());
                Ok((Accepted::Tcp(client.into()), address))
            }
            Self::Unix(_) => {
                let client = retry_on_intr(|| accept_with(self, flags))?;
                Ok((Accepted::Unix(client.into()), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
            }
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Listener {
    /// Accepts until the task is aborted.
    pub(super) async fn accept(self, shared: Arc<Shared>, door: Arc<Door>, dealer: Dealer) {
        const BATCH: usize = 64;
        // the guard of a Unix socket's file goes with this task
        let Self { socket, endpoint: address, file: _file, is_passed } = self;
        // SAFETY: the socket is owned by the `AsyncFd`, open, and the same until both are dropped.
        #[allow(unsafe_code)]
        let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        let socket = match registered {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(%address, %error, "cannot wait for connections"),
        };
        let mut complaints = Complaints::default();
        let loopback_listener = address.is_loopback() && !is_passed;
        loop {
            let mut ready = match socket.readable().await {
                Ok(ready) => ready,
                Err(error) => return tracing::error!(%address, %error, "cannot wait for connections"),
            };
            for _ in 0..BATCH {
                match ready.try_io(|socket| socket.get_ref().accept()) {
                    Ok(Ok((client, peer))) => {
                        let peer = Peer { address: peer, loopback_listener, listener: door.listener };
                        Worker::with(|w| w.local.count(Count::SocketsOpened, 1));
                        match shared.gate.enter(&shared) {
                            Ok(()) => dealer.deal(client, peer, &door),
                            Err((counter, why)) => {
                                Worker::with(|w| w.local.count(counter, 1));
                                complaints.say(|| tracing::warn!(%peer, reason = why, "connection closed at once"));
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
