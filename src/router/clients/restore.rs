//! Restores sessions and retained messages from the store, before the first client connects.

use std::time::Instant;

use super::{
    super::{
        Restored, RestoredRetained, RestoredSession, Router, RouterThread,
        ports::{Record, WillLeft},
        sessions::SlotRef,
        subscriptions::RetainedBy,
    },
    subscribe::join,
};
use crate::{
    session::{Expiry, Session, StoredWill},
    topic::{SharedFilter, TopicFilter},
    types::{BRIDGES, ClientId, is_of_part},
};

impl Router {
    /// Takes over the restored state. Call it once, before clients are accepted. Wills of clients that were connected
    /// at the end of the process are published, or their delays begin. Expired sessions end in the next
    /// [`expire_sessions`](Self::expire_sessions), which also publishes Wills whose delay is over.
    pub fn restore(&self, local: &mut RouterThread, restored: Restored, now: Instant) {
        let Restored { mut sessions, retained, wills, next_session } = restored;
        self.sessions.set_next_number(next_session);
        for RestoredRetained { message, at, publisher, .. } in retained {
            let publisher = publisher.map(|publisher| local.shared_publisher(publisher));
            self.retained.restore(message, RetainedBy { at, publisher });
        }
        self.restore_wills(&mut sessions, wills);
        for session in sessions {
            self.restore_session(local, session, now);
        }
        local.finish(|local| self.publish_due_wills(local, usize::MAX));
    }

    /// New messages in sessions of clients within the process are numbered above `floor`, so that no number is used a
    /// second time after a restart. Call it before [`restore`](Self::restore).
    pub fn number_inside_above(&self, floor: u64) {
        self.sessions.set_message_floor(floor);
    }

    fn restore_session(&self, local: &mut RouterThread, restored: RestoredSession, now: Instant) {
        let RestoredSession { session: number, client, away, lasts, will, will_left, .. } = restored;
        let RestoredSession { subscriptions, messages, received, owner, retained_due, .. } = restored;
        let expiry = Expiry::of_seconds(Some(lasts.unwrap_or(u32::MAX)));
        let mut session = Session::restore(client.clone(), number, messages, received);
        session.set_expiry(expiry);
        let floor = self.sessions.message_floor();
        if floor > 0 && client.as_str().starts_with('$') {
            session.number_above(floor);
        }
        if client.as_str().starts_with(BRIDGES) {
            session.restore_due(retained_due.iter().map(|topic| &**topic));
        }
        session.tell_backlog(&mut self.recorder(&mut local.observers));
        let slot = SlotRef::restored(session);
        let mut filters = Vec::with_capacity(subscriptions.len());
        for (text, options) in &subscriptions {
            let filter = match TopicFilter::new(text) {
                Ok(filter) => filter,
                Err(error) => {
                    tracing::error!(%client, filter = %text, %error, "stored subscription left out: it is not valid");
                    continue;
                }
            };
            match SharedFilter::of(filter) {
                None => filters.extend(self.subscriptions.change().subscribe(filter, &slot, *options)),
                Some(Ok(shared)) => {
                    let group = self.subscriptions.claim(filter, shared);
                    if !join(&mut slot.lock(), &slot, local, &group, *options) {
                        self.subscriptions.give_back(&group);
                    }
                }
                Some(Err(error)) => {
                    tracing::error!(%client, filter = %text, %error, "stored subscription left out: it is not valid");
                }
            }
        }
        filters.into_iter().for_each(|id| slot.lock().session.add_subscription(id));
        self.note_restored(&slot, now);
        slot.lock().whose = owner.map(Box::new);
        self.list_expiring(&slot, &mut slot.lock());
        // an expired session ends at once, but not that of a part of the broker which begins later
        let is_of_part = is_of_part(&client);
        let most = local.limits.session_expiry.filter(|_| !is_of_part);
        let left = expiry.within(most).map(|expiry| expiry.saturating_sub(away));
        let ends = left.and_then(|left| now.checked_add(left));
        // the client may not have noticed the broker's end: it has the whole delay to return
        let due = will.as_ref().and_then(StoredWill::delay).map(|delay| will_left.unwrap_or(delay));
        let due = due.and_then(|left| now.checked_add(left));
        if let (Some(due), None) = (due, will_left) {
            let _ = self.store(|| Record::Detached { session: number, will: WillLeft::Until(due) });
        }
        let key = slot.lock().leave(ends, will, due, self.sessions.new_connection().0);
        if let Some(key) = key {
            self.sessions.expire_at(key, slot.clone());
        }
        // the owner is known when the client returns
        self.sessions.owners.add(None);
        self.sessions.restore(&client, slot);
        if is_of_part {
            self.sessions.note_part(&client);
        }
    }

    /// The Client Identifiers that begin so, of restored sessions of parts of the broker.
    pub fn restored_parts(&self, begin: &str) -> Vec<ClientId> {
        self.sessions.parts(begin)
    }
}
