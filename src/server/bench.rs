//! What a test bench needs of a server, and nobody else: see [`testing`](crate::testing).

use std::time::Duration;

use super::{Builder, Server};
use crate::router::Count;

impl Builder {
    /// Another server serves what this one has over HTTP: see [`Server::http_routes`].
    pub(crate) fn http_by_another(mut self) -> Self {
        self.http_by_another = true;
        self
    }
}

impl Server {
    /// What is served over HTTP, for a server in front of this one.
    pub(crate) fn http_routes(&self) -> axum::Router {
        self.http.routes()
    }

    /// Calls `turn`, which turns the clock, while no connection has its turn, and does all that became due. `skipped`
    /// of that time does not count for Keep Alive and other deadlines of sockets. Blocks.
    pub(crate) fn turn_clock(&self, skipped: Duration, turn: impl FnOnce()) {
        self.workers.turn(skipped, turn);
    }

    /// A number that changes when a packet is read or written.
    pub(crate) fn traffic(&self) -> u64 {
        let counters = self.counters();
        let all = [Count::BytesReceived, Count::BytesSent, Count::MessagesReceived, Count::MessagesSent];
        all.into_iter().fold(0, |sum, count| sum.wrapping_add(counters.get(count)))
    }
}
