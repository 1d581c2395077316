//! [`Worker`]: the state of a worker thread. [`NetShared`]: the state that all of them share.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore};

use super::{
    super::{
        deadlines::{Deadlines, Key, Tick},
        transport::{Judges, Tap},
    },
    gate::Gate,
    large_writes::LargeWrites,
    limits::NetLimits,
    lines::Lines,
    rates::{ConnectRate, Paced, PublishRates},
};
use crate::{
    clock::Clock,
    router::{Router, RouterThread},
    trace::{Traces, Watched},
};

/// The state that all worker threads share.
pub(crate) struct NetShared {
    pub(crate) router: Arc<Router>,
    pub(crate) clock: Clock,
    pub(crate) limits: ArcSwap<NetLimits>,
    pub(crate) gate: Gate,
    pub(crate) rates: PublishRates,
    pub(crate) connects: ConnectRate,
    pub(crate) lines: Lines,
    /// A test bench has one.
    pub(crate) tap: Option<Arc<dyn Tap>>,
    pub(crate) traces: Arc<Traces>,
}

/// The state of one worker thread.
pub(crate) struct Worker {
    pub(crate) shared: Arc<NetShared>,
    pub(crate) local: RouterThread,
    pub(crate) buffer: Vec<u8>,
    /// Answers to the packets of the connection whose turn it is.
    pub(crate) replies: Vec<u8>,
    pub(crate) deadlines: Deadlines,
    /// The state of clients with rates.
    pub(crate) paced: HashMap<Key, Paced>,
    /// The state of traced connections.
    pub(crate) watched: HashMap<Key, Watched>,
    /// The current settings for client certificates.
    pub(crate) judges: Judges,
    /// Permits for TLS handshakes that are being computed.
    pub(crate) handshakes: Arc<Semaphore>,
    /// Bytes from large reads on this thread, less those written since.
    pub(crate) unwritten: usize,
    pub(crate) large_writes: LargeWrites,
    /// PUBLISH packets that were completely written in this turn.
    pub(crate) written: u64,
    /// Number of writes on this thread, modulo 65,536.
    pub(crate) writes: u16,
    /// The server shuts down: connections write their output and end.
    pub(crate) draining: bool,
    /// How long an inactive client is waited for during shutdown.
    pub(crate) patience: Duration,
    /// Notified when the last connection has ended during shutdown.
    pub(crate) idle: Arc<Notify>,
}

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

impl Worker {
    /// For a new thread. `buffer`: for its connections' reads; `handshakes`: number of TLS handshakes that are computed
    /// in a turn.
    pub(crate) fn new(shared: Arc<NetShared>, buffer: Vec<u8>, handshakes: usize, now: Instant) -> Self {
        Self {
            local: shared.router.local(now),
            buffer,
            replies: Vec::new(),
            deadlines: Deadlines::new(now),
            paced: HashMap::new(),
            watched: HashMap::new(),
            judges: Judges::default(),
            handshakes: Arc::new(Semaphore::new(handshakes)),
            unwritten: 0,
            large_writes: LargeWrites::default(),
            written: 0,
            writes: 0,
            draining: false,
            patience: Duration::ZERO,
            idle: Arc::new(Notify::new()),
            shared,
        }
    }

    /// Makes this the worker of the current thread.
    pub(crate) fn begin(self) {
        WORKER.set(Some(self));
    }

    /// Runs `f` with the worker of this thread.
    pub(crate) fn with<R>(f: impl FnOnce(&mut Self) -> R) -> R {
        WORKER.with_borrow_mut(|worker| f(worker.as_mut().expect("connections live on worker threads")))
    }

    /// The current time.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// See [`Deadlines::end_of_token`].
    pub(crate) fn end_of_token(&mut self, until: Instant) -> Tick {
        self.look_at_wall(self.now());
        self.deadlines.end_of_token(until)
    }

    /// Reads the wall clock, which tokens expire by and which may be set.
    pub(crate) fn look_at_wall(&mut self, now: Instant) {
        if self.deadlines.set_wall(now, self.shared.clock.wall()) {
            self.deadlines.all().for_each(Waker::wake);
        }
    }

    /// Forgets a connection that ended.
    pub(crate) fn forget(&mut self, key: Key) {
        self.deadlines.remove(key);
        self.large_writes.forget(key);
        self.paced.remove(&key);
        self.watched.remove(&key);
    }

    /// A connection has ended.
    pub(crate) fn connection_ended(&self) {
        if self.draining && self.deadlines.len() == 0 {
            self.idle.notify_one();
        }
    }
}
