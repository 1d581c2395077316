//! Connections ending, and sessions: with them, or when their clients have been away for too long.

use std::time::Instant;

use super::{
    super::{
        Router, RouterThread,
        ports::{Event, Record},
        publish::WillKept,
        sessions::{Expired, SlotRef, SlotState},
    },
    client::Client,
};
use crate::{
    session::{CloseReason, Stored},
    topic::FilterId,
    types::ClientId,
};

impl Router {
    /// A connection ended: its session ends with it, or waits for the client. Nothing happens where another connection
    /// has taken the session over. Gives how many messages for the client were dropped since it was last gone.
    ///
    /// To be called within a store's group: that its client is gone is kept together with its Will.
    pub(super) fn disconnect(
        &self,
        local: &mut RouterThread,
        client: &Client,
        reason: &CloseReason,
        now: Instant,
    ) -> u32 {
        let Client { slot, connection, .. } = client;
        let mut state = slot.lock();
        if !slot.is_owned_by(*connection) {
            return 0;
        }
        let dropped = state.session.take_dropped();
        slot.detach(&mut state);
        let client = state.session.id().clone();
        let will = state.session.detach(&mut self.turn(local)).filter(|_| reason.publishes_will());
        let will_number = state.will_number.take();
        if will.is_none() {
            self.forget_will(will_number);
        }
        let kept = state.session.expiry().within(local.limits.session_expiry);
        let ends = kept.is_some_and(|kept| kept.is_zero());
        let mut subscriptions = Vec::new();
        if ends {
            (subscriptions, _) = self.end_session(local, &mut state);
        } else if let Some(at) = kept.and_then(|kept| now.checked_add(kept)) {
            state.expiry = Some((at, connection.0));
        }
        let session = state.session.number().filter(|_| !ends);
        if let Some(session) = session {
            let _ = self.store(|| Record::Detached { session });
        }
        let key = state.expiry;
        let access = state.access.clone();
        // with the lock held: before anything of the client's next connection
        self.sessions.client_left();
        local.observers.observe(&Event::Disconnect { client: &client, reason });
        drop(state);

        if ends {
            self.forget(slot, &client, &subscriptions);
        } else if let Some(key) = key {
            self.sessions.expire_at(key, slot.clone());
        }
        if let Some(will) = will {
            self.publish_will(local, &client, WillKept::of(session, will_number), access, will);
        }
        dropped
    }

    /// Removes what the router has of a session that ended.
    fn forget(&self, slot: &SlotRef, client: &ClientId, subscriptions: &[FilterId]) {
        self.sessions.remove(client, slot);
        self.remove_subscriptions(slot, subscriptions);
    }

    /// The session is no more: gives its subscriptions, and when that it ended is kept. With its lock held: before the
    /// records of a session that takes its place.
    pub(super) fn end_session(&self, local: &mut RouterThread, state: &mut SlotState) -> (Vec<FilterId>, Stored) {
        state.ended = true;
        self.sessions.owners.remove(state.owner());
        let subscriptions = state.session.end(&mut self.recorder(&mut local.observers));
        let Some(session) = state.session.number() else { return (subscriptions, Stored::Done) };
        let stored = self.store(|| Record::SessionEnded { session });
        self.sessions.ended(stored);
        (subscriptions, stored)
    }

    /// Ends the sessions whose clients have been away for too long. Gives when the next one is due.
    pub fn expire_sessions(&self, local: &mut RouterThread, now: Instant) -> Option<Instant> {
        loop {
            let (key, slot) = match self.sessions.next_expired(now) {
                Expired::Session(key, slot) => (key, slot),
                Expired::NotBefore(at) => return Some(at),
                Expired::None => return None,
            };
            let mut state = slot.lock();
            // it came back between, and may have gone away again
            if state.ended || state.expiry != Some(key) {
                continue;
            }
            let (subscriptions, _) = self.end_session(local, &mut state);
            let (client, expiry) = (state.session.id().clone(), state.session.expiry());
            drop(state);
            self.forget(&slot, &client, &subscriptions);
            let most = local.limits.session_expiry;
            let why = match expiry.within(None) {
                Some(asked) if most.is_none_or(|most| asked < most) => "its client's Session Expiry Interval",
                _ => "limits.session_expiry",
            };
            tracing::info!(client = %client, "session expired ({why})");
            let after = expiry.within(most).unwrap_or_default();
            local.observers.observe(&Event::SessionExpired { client: &client, after });
        }
    }
}
