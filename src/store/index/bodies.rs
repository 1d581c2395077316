//! The messages of the [`Index`]: queued and in-flight ones, each once for all its sessions, and retained ones by
//! topic.

use std::time::Instant;

use hashbrown::hash_table::Entry;

use super::{
    apply::{Dirty, Index},
    body::{Body, BodyFlags, Origin, RetainedSlot, body_cost, hash_of, message_number, origin_cost},
    segment_use::UNWRITTEN,
};
use crate::session::Message;

impl Index {
    /// Returns the slot of a message, which is inserted if it is not in the index.
    pub(crate) fn body(&mut self, message: Message) -> u32 {
        // the slot may be of another message if this one was forgotten meanwhile
        let known = message.store_place();
        if self.bodies.get(known).is_some_and(|body| message_number(&body.message) == message_number(&message)) {
            return known;
        }
        let expires = message.extras().expires.map(|at| self.age_at(at));
        let slot = self.insert_body(message, expires);
        if let Some(body) = self.bodies.get_mut(slot) {
            body.flags.dirty = true;
        }
        self.dirty.push(Dirty::Body(slot));
        slot
    }

    /// The age of the log at a time, in milliseconds.
    pub(crate) fn age_at(&self, time: Instant) -> u64 {
        let (began, age) = self.began.unwrap_or((time, 0));
        let since = time.saturating_duration_since(began).as_millis();
        age.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    pub(crate) fn insert_body(&mut self, message: Message, expires: Option<u64>) -> u32 {
        self.next_message = self.next_message.max(message_number(&message) + 1);
        self.live_bytes += body_cost(&message);
        let slot = self.bodies.insert(Body {
            message,
            segment: UNWRITTEN,
            expires,
            refs: 0,
            written_extra: 0,
            flags: BodyFlags::default(),
        });
        if let Some(body) = self.bodies.get(slot) {
            body.message.set_store_place(slot);
        }
        slot
    }

    /// Adds this number of entries to a message's references. A message without references is forgotten.
    pub(crate) fn add_refs(&mut self, slot: u32, refs: u32) {
        if let Some(body) = self.bodies.get_mut(slot) {
            body.refs += refs;
        }
        self.forget_unused(slot);
    }

    pub(crate) fn drop_ref(&mut self, slot: Option<u32>) {
        if let Some(slot) = slot
            && let Some(body) = self.bodies.get_mut(slot)
        {
            body.refs -= 1;
            self.forget_unused(slot);
        }
    }

    fn forget_unused(&mut self, slot: u32) {
        let is_unused = |body: &Body| body.refs == 0 && !body.flags.retained;
        if !self.bodies.get(slot).is_some_and(is_unused) {
            return;
        }
        if let Some(gone) = self.bodies.remove(slot) {
            let cost = body_cost(&gone.message);
            self.live_bytes -= cost;
            self.segment_use.leave(gone.segment, cost + u64::from(gone.written_extra));
        }
    }

    /// The slot of a topic's retained message.
    pub(crate) fn retained(&self, topic: &str) -> Option<u32> {
        let hash = hash_of(&self.hasher, topic);
        let found = self.retained_by_topic.find(RetainedSlot::wide(hash), |it| it.is(topic, hash, &self.bodies));
        found.map(|it| it.slot)
    }

    /// Makes a message the retained one of its topic.
    pub(crate) fn retain(&mut self, slot: u32, origin: Option<Origin>) {
        let Self { retained_by_topic, bodies, hasher, .. } = self;
        let Some(topic) = bodies.get(slot).map(|body| body.message.topic().as_str()) else { return };
        let hash = hash_of(hasher, topic);
        let is_it = |it: &RetainedSlot| it.is(topic, hash, bodies);
        let old = match retained_by_topic.entry(RetainedSlot::wide(hash), is_it, |it| RetainedSlot::wide(it.hash)) {
            Entry::Occupied(mut place) => Some(std::mem::replace(&mut place.get_mut().slot, slot)),
            Entry::Vacant(place) => {
                place.insert(RetainedSlot { slot, hash });
                None
            }
        };
        if old == Some(slot) {
            // the same message was retained again
            return;
        }
        if let Some(origin) = origin {
            self.live_bytes += u64::from(origin_cost(&origin));
            self.origins.insert(slot, origin);
        }
        let topic_in_log = old.is_some_and(|old| self.end_retained(old));
        if let Some(body) = self.bodies.get_mut(slot) {
            body.flags.retained = true;
            body.flags.topic_in_log = topic_in_log;
            if !body.flags.dirty {
                self.dirty.push(Dirty::Retained(slot));
            }
        }
    }

    /// Makes a message that was read from the log the retained one of its topic.
    pub(crate) fn restore_retained(&mut self, slot: u32, origin: Option<Origin>) {
        self.retain(slot, origin);
        // the log has this already
        self.dirty.pop_if(|dirty| matches!(dirty, Dirty::Retained(retained) if *retained == slot));
        if let Some(body) = self.bodies.get_mut(slot) {
            body.flags.topic_in_log = true;
        }
    }

    /// The message is not retained any more. Returns whether the log has a retained message for the topic.
    fn end_retained(&mut self, slot: u32) -> bool {
        let Some(body) = self.bodies.get_mut(slot) else { return false };
        let in_log = body.flags.topic_in_log;
        if let Some(origin) = self.origins.remove(&slot) {
            self.live_bytes -= u64::from(origin_cost(&origin));
        }
        body.flags.retained = false;
        body.flags.topic_in_log = false;
        self.forget_unused(slot);
        in_log
    }

    pub(crate) fn clear_retained(&mut self, topic: Box<str>) {
        let Self { retained_by_topic, bodies, hasher, .. } = self;
        let hash = hash_of(hasher, &topic);
        let found = retained_by_topic.find_entry(RetainedSlot::wide(hash), |it| it.is(&topic, hash, bodies));
        let Ok(place) = found else { return };
        let (RetainedSlot { slot, .. }, _) = place.remove();
        if self.end_retained(slot) {
            self.dirty.push(Dirty::Cleared(topic));
        }
    }
}
