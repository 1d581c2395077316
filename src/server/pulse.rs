//! [`Pulse`]: a handle by which other threads check that a server works.

use std::{sync::Arc, time::Duration};

use super::Server;
use crate::{net::Pings, router::Router};

/// A handle to check whether a server responds, and its number of clients.
#[derive(Clone)]
pub struct Pulse {
    router: Arc<Router>,
    pings: Pings,
}

impl Pulse {
    /// The number of connected clients.
    pub fn connected(&self) -> usize {
        self.router.connected()
    }

    /// Does every worker thread answer within this time? Blocks until then. After a shutdown none does.
    pub fn threads_answer(&self, within: Duration) -> bool {
        self.pings.are_answered(within)
    }
}

impl Server {
    /// A handle for a thread that monitors this server.
    pub fn pulse(&self) -> Pulse {
        Pulse { router: self.router.clone(), pings: self.workers.pings() }
    }
}
