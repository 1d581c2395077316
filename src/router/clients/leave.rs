//! The end of connections and of sessions. A session ends with its connection, or when its client has been away too
//! long. Its Will is published at once, or at the end of its delay or of the session.

use std::time::Instant;

use super::{
    super::{
        Router, RouterThread,
        ports::{Event, Record, WillLeft},
        publish::{LastWill, WillKept},
        sessions::{Expired, ExpiryKey, GroupRef, Looked, Passed, SlotRef, SlotState, Standing},
    },
    client::Client,
};
use crate::{
    session::{CloseReason, Expiry, Stored, StoredWill},
    topic::FilterId,
    types::ClientId,
};

impl Router {
    /// A connection ended: its session ends too, or waits for the client. Does nothing if another connection has taken
    /// the session over. Returns the number of dropped messages since the last time.
    ///
    /// Call it within a group of records, so that the end and the Will are stored together.
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
        let is_inside = state.session.is_inside();
        let detached = slot.detach(&mut state);
        let client = state.session.id().clone();
        let will = state.session.detach(&mut self.turn(local)).filter(|_| reason.publishes_will());
        let will_number = state.will_number.take();
        if will.is_none() {
            self.forget_will(will_number);
        }
        let kept = state.session.expiry().within(local.limits.session_expiry);
        let ends = kept.is_some_and(|kept| kept.is_zero());
        note_standing(slot, &mut state, local);
        let (mut ended, mut key) = (Ended::default(), None);
        let last;
        if ends {
            (ended, _) = self.end_locked(local, slot, &mut state);
            last = will.map(|will| LastWill::of(&state, WillKept::of(None, will_number), will));
        } else {
            let session = state.session.number();
            // at the end of the process, a session without a store ends too
            let delay = will.as_ref().and_then(StoredWill::delay).filter(|_| !is_shutdown(reason) || session.is_some());
            let due = delay.and_then(|delay| now.checked_add(delay));
            if let Some(session) = session {
                let will = match due {
                    None => WillLeft::Gone,
                    Some(_) if is_shutdown(reason) => WillLeft::FromNextStart,
                    Some(due) => WillLeft::Until(due),
                };
                let _ = self.store(|| Record::Detached { session, will });
            }
            let (waits, is_due) = if due.is_some() { (will, None) } else { (None, will) };
            last = is_due.map(|will| LastWill::of(&state, WillKept::of(session, will_number), will));
            key = state.leave(kept.and_then(|kept| now.checked_add(kept)), waits, due, connection.0);
        }
        // with the lock held, so that it precedes the client's next connection
        if let Some((_, presence)) = detached.filter(|_| !is_inside) {
            self.sessions.client_left();
            local.observers.disconnected(&client, state.info(), reason, &presence, now);
        }
        drop(state);

        if ends {
            self.forget(local, slot, &client, ended);
        } else if let Some(key) = key {
            self.sessions.expire_at(key, slot.clone());
        }
        if let Some(last) = last {
            self.publish_will(local, last);
        }
        dropped
    }

    /// Removes a session that ended from the router.
    fn forget(&self, local: &mut RouterThread, slot: &SlotRef, client: &ClientId, ended: Ended) {
        self.sessions.remove(client, slot);
        self.clear_ended(local, slot, ended);
    }

    /// Removes the subscriptions of a session that ended, and moves its messages of groups to other members.
    pub(super) fn clear_ended(&self, local: &mut RouterThread, slot: &SlotRef, ended: Ended) {
        let Ended { subscriptions, groups, moved } = ended;
        self.remove_subscriptions(slot, &subscriptions);
        self.move_to_others(local, &moved);
        groups.iter().for_each(|group| self.subscriptions.give_back(group));
    }

    /// Ends a session, and returns its rest and when its end is durable. Call it with the session locked, so that the
    /// records of a new session follow.
    pub(super) fn end_locked(
        &self,
        local: &mut RouterThread,
        slot: &SlotRef,
        state: &mut SlotState,
    ) -> (Ended, Stored) {
        state.ended = true;
        self.sessions.owners.remove(state.owner());
        let mut ended = Ended::default();
        if let Some(shared) = state.shared.take() {
            ended.groups = shared.groups().cloned().collect();
            ended.groups.iter().for_each(|group| _ = group.leave(slot));
            ended.moved = shared.with_groups(state.session.shared_at_end());
        }
        ended.subscriptions = state.session.end(&mut self.recorder(&mut local.observers));
        let Some(session) = state.session.number() else { return (ended, Stored::Done) };
        let stored = self.store(|| Record::SessionEnded { session });
        self.sessions.ended(stored);
        (ended, stored)
    }

    /// Ends expired sessions and publishes Wills whose delay is over, at most `most` of them. Returns when the next one
    /// is due.
    pub fn expire_sessions(&self, local: &mut RouterThread, now: Instant, most: usize) -> Option<Instant> {
        for _ in 0..most {
            let (key, slot) = match self.sessions.next_expired(now) {
                Expired::Session(key, slot) => (key, slot),
                Expired::NotBefore(at) => return Some(at),
                Expired::None => return None,
            };
            // the end of a Will and its deliveries are stored together
            self.together(|| self.look_at(local, &slot, key, now));
        }
        Some(now)
    }

    /// Handles a session whose timer has expired.
    fn look_at(&self, local: &mut RouterThread, slot: &SlotRef, key: ExpiryKey, now: Instant) {
        let mut state = slot.lock();
        // the client returned meanwhile, and may have left again
        if state.ended || state.expiry() != Some(key) {
            return;
        }
        let session = state.session.number();
        match state.look(key, now) {
            Looked::Due(will, next) => {
                if let Some(session) = session {
                    let _ = self.store(|| Record::Detached { session, will: WillLeft::Gone });
                }
                let last = LastWill::of(&state, WillKept::of(session, None), will);
                drop(state);
                if let Some(key) = next {
                    self.sessions.expire_at(key, slot.clone());
                }
                self.publish_will(local, last);
            }
            Looked::Ends(will) => {
                let (ended, _) = self.end_locked(local, slot, &mut state);
                let last = will.map(|will| LastWill::of(&state, WillKept::Not, will));
                let (client, expiry) = (state.session.id().clone(), state.session.expiry());
                drop(state);
                self.forget(local, slot, &client, ended);
                self.tell_expired(local, &client, expiry);
                if let Some(last) = last {
                    self.publish_will(local, last);
                }
            }
        }
    }

    /// Ends the session of a client that is away. `publishes_will`: publish a Will that waits. `false`: the client is
    /// not away.
    pub(crate) fn end_away(&self, local: &mut RouterThread, client: &ClientId, publishes_will: bool) -> bool {
        let Some(slot) = self.sessions.get(client) else { return true };
        let (done, _) = local.finish(|local| {
            self.together(|| {
                let mut state = slot.lock();
                if state.ended || slot.is_attached() {
                    return state.ended;
                }
                let key = state.take_expiry();
                let will = state.waiting.take().map(|waiting| waiting.will).filter(|_| publishes_will);
                let (ended, _) = self.end_locked(local, &slot, &mut state);
                let last = will.map(|will| LastWill::of(&state, WillKept::Not, will));
                drop(state);
                key.into_iter().for_each(|key| self.sessions.cancel_expiry(key));
                self.forget(local, &slot, client, ended);
                last.into_iter().for_each(|last| self.publish_will(local, last));
                true
            })
        });
        done
    }

    fn tell_expired(&self, local: &mut RouterThread, client: &ClientId, expiry: Expiry) {
        let most = local.limits.session_expiry;
        let reason = match expiry.within(None) {
            Some(asked) if most.is_none_or(|most| asked < most) => "Session Expiry Interval of the client",
            _ => "limits.session_expiry",
        };
        tracing::info!(client = %client, reason, "session expired");
        let after = expiry.within(most).unwrap_or_default();
        local.observers.observe(&Event::SessionExpired { client, after });
    }

    /// Publishes Wills when the server ends, before connections end, so that subscribers get them: the Wills of all
    /// connected clients, and delayed Wills unless their sessions continue after the next start.
    pub fn publish_all_wills(&self, local: &mut RouterThread) {
        for slot in self.sessions.all() {
            let publish = |local: &mut RouterThread| {
                let mut state = slot.lock();
                let Some(will) = take_last_will(local, &mut state) else { return };
                let session = state.session.number();
                let kept = WillKept::of(session, state.will_number.take());
                if let Some(session) = session {
                    // the stored Will is removed together with the records of its deliveries
                    let _ = self.store(|| Record::Detached { session, will: WillLeft::Gone });
                }
                let last = LastWill::of(&state, kept, will);
                drop(state);
                self.publish_will(local, last);
            };
            // a plug-in that panics must not prevent the other Wills
            local.finish(|local| self.together(|| publish(local)));
            local.wake();
        }
    }
}

/// The rest of a session that ended.
#[derive(Default)]
pub(super) struct Ended {
    subscriptions: Vec<FilterId>,
    /// The groups that it has left.
    groups: Vec<GroupRef>,
    /// Messages for other members of groups.
    moved: Vec<Passed>,
}

/// Reports to the session's groups that its client connected or left.
pub(super) fn note_standing(slot: &SlotRef, state: &mut SlotState, local: &RouterThread) {
    if let SlotState { shared: Some(shared), session, .. } = state {
        shared.set_standing(slot, Standing::of(session, &local.limits.session));
    }
}

fn is_shutdown(reason: &CloseReason) -> bool {
    matches!(reason, CloseReason::ServerShutdown)
}

/// The Will to be published before the server ends, if there is one.
fn take_last_will(local: &RouterThread, state: &mut SlotState) -> Option<StoredWill> {
    let kept = state.session.expiry().within(local.limits.session_expiry);
    let goes_on = state.session.number().is_some() && kept.is_none_or(|kept| !kept.is_zero());
    let is_last = |will: &StoredWill| !goes_on || will.delay().is_none();
    match state.waiting.take_if(|waiting| is_last(&waiting.will)) {
        Some(waiting) => Some(waiting.will),
        None => state.session.take_will_if(is_last),
    }
}
