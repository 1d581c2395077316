//! [`ClosedClients`]: the last clients that disconnected, and why.

use std::time::Instant;

use parking_lot::Mutex;

use super::last::Last;
use crate::{
    clock::Clock,
    router::{Event, EventKinds, Observe},
    types::{ClientId, ProtocolVersion},
};

/// Number of clients kept.
const MOST: usize = 10_000;

/// The last clients that disconnected.
pub(super) struct ClosedClients {
    clock: Clock,
    last: Mutex<Last<ClosedClient>>,
}

/// A client that disconnected.
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

    /// At most `limit` clients before a number, the latest first, and the next number.
    pub fn before(&self, before: u64, limit: usize) -> (Vec<ClosedClient>, Option<u64>) {
        self.last.lock().before(before, limit)
    }
}

impl Observe for ClosedClients {
    fn observe(&self, event: &Event<'_>) {
        let Event::Disconnect { client, info, reason, .. } = event else { return };
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
