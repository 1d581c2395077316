//! The parts of a server that only a test bench needs: see [`testing`](crate::testing).

use std::{sync::Arc, time::Duration};

use super::{Builder, ListenError, Server, ServerError};
use crate::{
    admin::Behind,
    net::Tap,
    router::{Count, Restored},
    store::DiskStore,
    types::Endpoint,
};

impl Builder {
    /// Another server serves there what this one has over HTTP: see [`Server::behind_http`].
    pub(crate) fn http_by_another(mut self, endpoint: Endpoint) -> Self {
        self.http_by_another = Some(endpoint);
        self
    }

    /// The open store, and the state that it restored.
    pub(crate) fn opened(mut self, store: Arc<DiskStore>, restored: Restored) -> Self {
        self.opened = Some((store, restored));
        self
    }

    /// All connections go through this.
    pub(crate) fn tap(mut self, tap: Arc<dyn Tap>) -> Self {
        self.tap = Some(tap);
        self
    }
}

impl ServerError {
    /// Does another program, or another broker, listen there?
    pub(crate) fn is_taken(&self) -> bool {
        let Self::Listen(ListenError::Bind { error, .. }) = self else { return false };
        error.kind() == std::io::ErrorKind::AddrInUse
    }
}

impl Server {
    /// The HTTP side, for a server in front of this one.
    pub(crate) fn behind_http(&self) -> Behind {
        self.http.behind()
    }

    /// Calls `turn`, which turns the clock, while no connection has its turn, and does all that became due. `skipped`
    /// of that time does not count for Keep Alive and other deadlines of sockets. Blocks.
    pub(crate) fn turn_clock(&self, skipped: Duration, turn: impl FnOnce()) {
        self.workers.turn(skipped, turn);
    }

    /// Is everything durable that was to be stored?
    pub(crate) fn has_stored(&self) -> bool {
        self.store.as_ref().is_none_or(|store| store.is_idle())
    }

    /// A number that changes when a packet is read or written.
    pub(crate) fn traffic(&self) -> u64 {
        let counters = self.counters();
        let all = [Count::BytesReceived, Count::BytesSent, Count::MessagesReceived, Count::MessagesSent];
        all.into_iter().fold(0, |sum, count| sum.wrapping_add(counters.get(count)))
    }
}
