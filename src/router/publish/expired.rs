//! Expired messages (Message Expiry Interval, MQTT 5 section 3.3.2.3.3): retained ones are removed, queued ones are
//! dropped. An expired message that is not removed yet is not sent: the expiry is checked again at that time.

use std::time::Instant;

use super::super::{
    Router, RouterThread,
    ports::Record,
    sessions::{SlotRef, SlotState},
    thread::Count,
};

/// Number of retained messages that are removed with the tree locked once.
const REMOVED_AT_ONCE: usize = 256;

impl Router {
    /// Removes at most `most` expired retained messages. `true`: there may be more. One thread calls it now and then.
    pub fn remove_expired(&self, local: &mut RouterThread, now: Instant, most: usize) -> bool {
        let mut removed = 0;
        while removed < most {
            // they are not sent to anyone, so this can wait until the store has caught up
            if self.ports.store.as_ref().is_some_and(|store| store.is_behind()) {
                return false;
            }
            let gone = self.retained.remove_expired(now, REMOVED_AT_ONCE, |topic| {
                // no task waits for it
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

    /// Drops expired messages from queues, in the next `most` sessions with messages that expire. One thread calls it
    /// now and then.
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

    /// Lists this session, which is locked, to be searched for expired messages, if it has messages that expire.
    pub(crate) fn list_expiring(&self, slot: &SlotRef, state: &mut SlotState) {
        if !state.is_listed && state.session.expires() {
            state.is_listed = true;
            self.sessions.list_expiring(slot.clone());
        }
    }
}
