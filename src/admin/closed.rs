//! [`ClosedClients`]: the clients that went last, and why.

use std::time::Instant;

use parking_lot::Mutex;

use super::last::Last;
use crate::{
    clock::Clock,
    router::{Event, EventKinds, Observe},
    types::{ClientId, ProtocolVersion},
};

/// Clients that are remembered when they went.
const MOST: usize = 10_000;

/// The clients that went last.
pub(super) struct ClosedClients {
    clock: Clock,
    last: Mutex<Last<ClosedClient>>,
}

/// A client that went.
#[derive(Clone)]
pub(super) struct ClosedClient {
    pub client: ClientId,
    pub user: Option<Box<str>>,
    pub listener: u16,
    pub version: ProtocolVersion,
    pub at: Instant,
    pub reason: Box<str>,
}

impl ClosedClients {
    pub fn new(clock: Clock) -> Self {
        Self { clock, last: Mutex::new(Last::new(MOST)) }
    }

    /// Up to `limit` of those that went before the one of that number, the latest first, and where to go on.
    pub fn before(&self, before: u64, limit: usize) -> (Vec<ClosedClient>, Option<u64>) {
        self.last.lock().before(before, limit)
    }
}

impl Observe for ClosedClients {
    fn observe(&self, event: &Event<'_>) {
        let Event::Disconnect { client, info, reason } = event else { return };
        let gone = ClosedClient {
            client: (*client).clone(),
            user: info.user.map(Into::into),
            listener: info.listener,
            version: info.version,
            at: self.clock.now(),
            reason: reason.to_string().into(),
        };
        self.last.lock().add(gone);
    }

    fn wants(&self) -> EventKinds {
        EventKinds::DISCONNECT
    }
}
