//! [`Worker`]: what a thread has for the connections that it serves, and what all threads share.

use std::{cell::RefCell, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore};

use super::{deadlines::Deadlines, gate::Gate, limits::NetLimits, lines::Lines};
use crate::router::{Local, Router};

/// What all threads share.
pub(super) struct Shared {
    pub(super) router: Arc<Router>,
    pub(super) limits: ArcSwap<NetLimits>,
    pub(super) gate: Gate,
    pub(super) lines: Lines,
}

/// What one thread has for its connections.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) local: Local,
    pub(super) buffer: Vec<u8>,
    /// Answers to the packets of the connection whose turn it is.
    pub(super) replies: Vec<u8>,
    pub(super) deadlines: Deadlines,
    /// For those whose TLS handshake is computed.
    pub(super) handshakes: Arc<Semaphore>,
    /// Bytes that large reads on this thread gave, less those written since.
    pub(super) unwritten: usize,
    /// How often something was written on this thread, as far as it fits.
    pub(super) writes: u16,
    /// The server shuts down: connections write what they have and end.
    pub(super) draining: bool,
    /// How long a client that does nothing is waited for meanwhile.
    pub(super) patience: Duration,
    /// Told of the last connection's end while draining.
    pub(super) idle: Arc<Notify>,
}

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

impl Worker {
    /// This thread serves connections from now on.
    pub(super) fn begin(self) {
        WORKER.set(Some(self));
    }

    /// Runs `f` with the worker of this thread.
    pub(super) fn with<R>(f: impl FnOnce(&mut Self) -> R) -> R {
        WORKER.with_borrow_mut(|worker| f(worker.as_mut().expect("connections live on worker threads")))
    }

    /// A connection has ended.
    pub(super) fn connection_ended(&self) {
        if self.draining && self.deadlines.len() == 0 {
            self.idle.notify_one();
        }
    }
}
