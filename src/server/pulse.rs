//! [`Pulse`]: a handle by which other threads check that a server works.

use std::{sync::Arc, time::Duration};

use super::Server;
use crate::{net::Pings, router::Router};

/// Whether a server serves, and how many clients.
#[derive(Clone)]
pub struct Pulse {
    router: Arc<Router>,
    pings: Pings,
}

impl Pulse {
    /// The clients that are connected.
    pub fn connected(&self) -> usize {
        self.router.connected()
    }

    /// Does every worker thread answer before that much time has passed? Blocks until they have, or it has. After a
    /// shutdown none does.
    pub fn threads_answer(&self, within: Duration) -> bool {
        self.pings.are_answered(within)
    }
}

impl Server {
    /// For a thread that watches over this server.
    pub fn pulse(&self) -> Pulse {
        Pulse { router: self.router.clone(), pings: self.workers.pings() }
    }
}
