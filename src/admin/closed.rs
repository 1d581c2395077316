//! [`ClosedClients`]: the clients that went last, and why.

use std::{collections::VecDeque, time::Instant};

use parking_lot::Mutex;

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
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    clients: VecDeque<ClosedClient>,
    /// How many went in all.
    count: u64,
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
        Self { clock, last: Mutex::default() }
    }

    /// Up to `limit` of those that went before the one of that number, the latest first, and where to go on.
    pub fn before(&self, before: u64, limit: usize) -> (Vec<ClosedClient>, Option<u64>) {
        let last = self.last.lock();
        let oldest = last.count - last.clients.len() as u64;
        let to = before.min(last.count);
        let there = usize::try_from(to.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let some: Vec<_> = last.clients.iter().take(there).rev().take(limit).cloned().collect();
        let has_more = some.len() < there;
        let behind = to - some.len() as u64;
        (some, has_more.then_some(behind))
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
        let mut last = self.last.lock();
        if last.clients.len() == MOST {
            last.clients.pop_front();
        }
        last.clients.push_back(gone);
        last.count += 1;
    }

    fn wants(&self) -> EventKinds {
        EventKinds::DISCONNECT
    }
}
