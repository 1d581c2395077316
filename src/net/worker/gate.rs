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

/// The number of connections.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open: AtomicUsize,
    /// Connections whose CONNECT is not answered yet.
    pub(crate) connecting: Arc<Connecting>,
}

impl Gate {
    /// Adds a connection from this address, unless that is a trusted proxy. `base`: bytes that it uses without data
    /// from its client. Returns its place, or the limit that is reached with its counter.
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

    /// A connection ended.
    pub(crate) fn left(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}
