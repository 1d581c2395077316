//! [`Gate`]: counts connections, and refuses those above the limits.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::{
    connecting::{Connecting, Ticket},
    limits::NetLimits,
};
use crate::router::Count;

/// How many connections there are.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open: AtomicUsize,
    /// Those whose CONNECT is not answered yet.
    pub(crate) connecting: Arc<Connecting>,
}

impl Gate {
    /// One more connection, of this address if that is not a trusted proxy's; `base`: bytes that it holds whatever its
    /// client sends. Gives its place among those that are not let in; or the limit that forbids it, and its counter.
    pub(crate) fn enter(
        &self,
        from: Option<IpAddr>,
        base: usize,
        limits: &NetLimits,
        now: Instant,
    ) -> Result<Ticket, (Count, &'static str)> {
        if self.open.load(Ordering::Relaxed) >= limits.max_connections {
            return Err((Count::RefusedConnections, "limits.max_connections is reached"));
        }
        let entered = self.connecting.enter(from, base, limits, now);
        let ticket = entered.map_err(|no_place| (Count::RefusedConnecting, no_place.why()))?;
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(ticket)
    }

    /// A connection that had entered ended.
    pub(crate) fn left(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}
