//! [`Gate`]: counts connections, and refuses those above the limits.

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::{
    connecting::{Connecting, Ticket},
    limits::NetLimits,
};
use crate::router::Count;

/// The number of connections.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open: AtomicUsize,
    of_listeners: OfListeners,
    /// Connections whose CONNECT is not answered yet.
    pub(crate) connecting: Arc<Connecting>,
}

/// The listener that a connection comes through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Through {
    /// Its number.
    pub(crate) listener: u16,
    /// How many connections it may have at a time.
    pub(crate) most: Option<usize>,
}

/// The connections of each listener, by its number. Most servers have a few, and their numbers only rise.
#[derive(Debug)]
struct OfListeners([OnceLock<Box<[AtomicU32; 256]>>; 256]);

impl Default for OfListeners {
    fn default() -> Self {
        Self([const { OnceLock::new() }; 256])
    }
}

impl OfListeners {
    fn of(&self, listener: u16) -> &AtomicU32 {
        let [block, place] = listener.to_be_bytes().map(usize::from);
        &self.0[block].get_or_init(|| Box::new([const { AtomicU32::new(0) }; 256]))[place]
    }
}

impl Gate {
    /// Adds a connection from this address, unless that is a trusted proxy. `base`: bytes that it uses without data
    /// from its client. Returns its place, or the limit that is reached with its counter.
    pub(crate) fn enter(
        &self,
        through: Through,
        from: Option<IpAddr>,
        base: usize,
        limits: &NetLimits,
        now: Instant,
    ) -> Result<Ticket, (Count, &'static str)> {
        if self.open.load(Ordering::Relaxed) >= limits.max_connections {
            return Err((Count::RefusedConnections, "limits.max_connections is reached"));
        }
        let of_listener = self.of_listeners.of(through.listener);
        if through.most.is_some_and(|most| of_listener.load(Ordering::Relaxed) as usize >= most) {
            return Err((Count::RefusedConnections, "max_connections of its listener is reached"));
        }
        let entered = self.connecting.enter(from, base, limits, now);
        let ticket = entered.map_err(|no_place| (Count::RefusedConnecting, no_place.why()))?;
        self.open.fetch_add(1, Ordering::Relaxed);
        of_listener.fetch_add(1, Ordering::Relaxed);
        Ok(ticket)
    }

    /// A connection through this listener ended.
    pub(crate) fn left(&self, listener: u16) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.of_listeners.of(listener).fetch_sub(1, Ordering::Relaxed);
    }
}
