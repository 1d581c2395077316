//! Expired messages (Message Expiry Interval, MQTT 5 section 3.3.2.3.3): retained ones are removed, queued ones are
//! dropped. An expired message that is not removed yet is not sent: the expiry is checked again at that time.

use std::time::Instant;

use super::super::{
    Router, RouterThread,
    ports::Record,
    sessions::{SlotRef, SlotState},
    thread::Count,
};

/// Retained messages that are removed with the tree locked once.
const REMOVED_AT_ONCE: usize = 256;

impl Router {
    /// Removes retained messages that have expired, `most` at most. `true`: there may be more. To be called now and
    /// then, by one thread.
    pub fn remove_expired(&self, local: &mut RouterThread, now: Instant, most: usize) -> bool {
        let mut removed = 0;
        while removed < most {
            // as much as may be waits to become durable: they are not sent to anybody meanwhile
            if self.ports.store.as_ref().is_some_and(|store| store.is_behind()) {
                return false;
            }
            let gone = self.retained.remove_expired(now, REMOVED_AT_ONCE, |topic| {
                // nobody waits for it
                let _ = self.store(|| Record::RetainedCleared { topic: topic.as_str().into() });
            });
            local.count(Count::RetainedExpired, gone as u64);
            removed += gone;
            if gone < REMOVED_AT_ONCE {
                return false;
            }
        }
        true
    }

    /// Drops messages that have expired from queues: looks at the next `most` of the sessions that have some which
    /// expire. To be called now and then, by one thread.
    pub fn drop_expired(&self, local: &mut RouterThread, now: Instant, most: usize) {
        for _ in 0..most.min(self.sessions.expiring()) {
            let Some(slot) = self.sessions.next_expiring() else { return };
            let mut state = slot.lock();
            state.is_listed = false;
            if !state.ended {
                state.session.drop_expired(now, &mut self.turn(local).journal);
                self.list_expiring(&slot, &mut state);
            }
        }
    }

    /// Where messages that expire wait in this session, which is locked, it is looked at now and then.
    pub(crate) fn list_expiring(&self, slot: &SlotRef, state: &mut SlotState) {
        if !state.is_listed && state.session.expires() {
            state.is_listed = true;
            self.sessions.list_expiring(slot.clone());
        }
    }
}
