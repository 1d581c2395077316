//! The state of one client.

use super::asked::Expect;
use crate::{server::Server, types::ClientId};

/// The state of a client.
pub(super) struct Seen {
    state: &'static str,
    queued: usize,
    in_flight: usize,
    /// Filters with their granted QoS.
    subscriptions: Vec<(Box<str>, u8)>,
}

impl Seen {
    pub(super) fn look(server: &Server, name: &str) -> Self {
        let id = ClientId::from(name);
        let view = server.inspect_client(&id, |view| {
            let holds = view.session.holds;
            let state = if view.connection.is_some() { "connected" } else { "away" };
            (state, holds.queued, holds.in_flight)
        });
        let (state, queued, in_flight) = view.unwrap_or(("gone", 0, 0));
        let subscriptions = server.subscriptions_of(&id, 0, usize::MAX).unwrap_or_default();
        let subscriptions = subscriptions.into_iter().map(|one| (one.filter, one.options.qos as u8)).collect();
        Self { state, queued, in_flight, subscriptions }
    }

    /// The part of the expectation that is not met.
    pub(super) fn wrong(&self, expect: &Expect) -> Option<String> {
        if let Some(state) = expect.state.as_deref()
            && state != self.state
        {
            return Some(format!("it is {}, not {state}", self.state));
        }
        if let Some(filter) = expect.subscribed.as_deref() {
            let granted = self.subscriptions.iter().find(|(has, _)| **has == *filter).map(|(_, qos)| *qos);
            match (granted, expect.qos) {
                (None, _) => return Some(format!("it has no subscription to {filter:?}, but {}", self.filters())),
                (Some(granted), Some(qos)) if granted != qos => {
                    return Some(format!("its subscription to {filter:?} was granted QoS {granted}, not {qos}"));
                }
                _ => {}
            }
        }
        if expect.acknowledged && (self.state == "gone" || self.queued + self.in_flight > 0) {
            let (state, queued, in_flight) = (self.state, self.queued, self.in_flight);
            return Some(format!("it is {state}, {in_flight} messages are in flight, and {queued} are queued"));
        }
        None
    }

    fn filters(&self) -> String {
        const SHOWN: usize = 10;
        let all: Vec<_> = self.subscriptions.iter().take(SHOWN).map(|(filter, _)| format!("{filter:?}")).collect();
        let more = self.subscriptions.len().saturating_sub(SHOWN);
        match (all.is_empty(), more) {
            (true, _) => "none at all".into(),
            (false, 0) => format!("to {}", all.join(", ")),
            (false, more) => format!("to {} and {more} more", all.join(", ")),
        }
    }
}

/// States of a client.
pub(super) const STATES: [&str; 3] = ["connected", "away", "gone"];
