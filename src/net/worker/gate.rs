//! [`Gate`]: how many connections there are, and the bounds on that.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::limits::NetLimits;
use crate::router::Count;

/// How many connections there are.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open: AtomicUsize,
    connecting: AtomicUsize,
}

impl Gate {
    /// One more connection; or the limit that forbids it, and its counter.
    pub(crate) fn enter(&self, limits: &NetLimits) -> Result<(), (Count, &'static str)> {
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
    pub(crate) fn connected(&self) {
        self.connecting.fetch_sub(1, Ordering::Relaxed);
    }

    /// A connection that had been accepted ended.
    pub(crate) fn left(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// A connection ended before it was.
    pub(crate) fn left_before_connect(&self) {
        self.connected();
        self.left();
    }
}
