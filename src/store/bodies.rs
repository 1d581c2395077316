//! The part of the [`Index`] that has the messages: those that sessions are to be sent, each once however many they are,
//! and the retained ones by topic.

use std::{
    hash::{BuildHasher, Hash},
    num::NonZeroU64,
};

use super::{
    homes::{Home, UNWRITTEN},
    index::{Dirty, Index},
};
use crate::session::Message;

/// A message that sessions are to be sent, or a retained one.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) message: Message,
    pub(super) home: Home,
    /// How many entries have it.
    pub(super) refs: u32,
    pub(super) flags: BodyFlags,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BodyFlags {
    pub(super) dirty: bool,
    pub(super) retained: bool,
    /// The log has a retained message for its topic: this one or one before it.
    pub(super) topic_in_log: bool,
}

impl Index {
    /// The slot of a message, which is new or known.
    pub(super) fn body(&mut self, message: Message) -> u32 {
        let number = message_number(&message);
        // mostly that of the op before, for another session
        if self.number_of(self.last_body) == number {
            return self.last_body;
        }
        let hash = hash_of(&self.hasher, number);
        if let Some(&slot) = self.by_message.find(hash, |&slot| self.number_of(slot) == number) {
            return slot;
        }
        let slot = self.insert_body(message);
        if let Some(body) = self.bodies.get_mut(slot) {
            body.flags.dirty = true;
        }
        self.dirty.push(Dirty::Body(slot));
        self.last_body = slot;
        slot
    }

    pub(super) fn insert_body(&mut self, message: Message) -> u32 {
        let number = message_number(&message);
        self.next_message = self.next_message.max(number + 1);
        self.live_bytes += body_cost(&message);
        let slot = self.bodies.insert(Body { message, home: UNWRITTEN, refs: 0, flags: BodyFlags::default() });
        let (bodies, hasher) = (&self.bodies, &self.hasher);
        let hash = hash_of(hasher, number);
        let rehash = |&slot: &u32| hash_of(hasher, bodies.get(slot).map_or(0, |b| message_number(&b.message)));
        self.by_message.insert_unique(hash, slot, rehash);
        slot
    }

    fn number_of(&self, slot: u32) -> u64 {
        self.bodies.get(slot).map_or(0, |body| message_number(&body.message))
    }

    fn topic_of(&self, slot: u32) -> &str {
        self.bodies.get(slot).map_or("", |body| body.message.topic().as_str())
    }

    pub(super) fn drop_ref(&mut self, slot: Option<u32>) {
        if let Some(slot) = slot
            && let Some(body) = self.bodies.get_mut(slot)
        {
            body.refs -= 1;
            self.forget_unused(slot);
        }
    }

    fn forget_unused(&mut self, slot: u32) {
        let Some(body) = self.bodies.get(slot).filter(|body| body.refs == 0 && !body.flags.retained) else { return };
        let number = message_number(&body.message);
        let hash = hash_of(&self.hasher, number);
        if let Ok(found) = self.by_message.find_entry(hash, |&other| other == slot) {
            found.remove();
        }
        if let Some(gone) = self.bodies.remove(slot) {
            let cost = body_cost(&gone.message);
            self.live_bytes -= cost;
            self.homes.leave(gone.home, cost);
        }
    }

    /// The slot of a topic's retained message.
    pub(super) fn retained(&self, topic: &str) -> Option<u32> {
        let hash = hash_of(&self.hasher, topic);
        self.retained_by_topic.find(hash, |&slot| self.topic_of(slot) == topic).copied()
    }

    /// Makes a message the retained one of its topic.
    pub(super) fn retain(&mut self, slot: u32) {
        let Some(message) = self.bodies.get(slot).map(|body| body.message.clone()) else { return };
        let topic = message.topic().as_str();
        let mut topic_in_log = false;
        if let Some(old) = self.retained(topic) {
            if old == slot {
                return;
            }
            topic_in_log = self.take_retained(old);
        }
        let (bodies, hasher) = (&self.bodies, &self.hasher);
        let rehash = |&slot: &u32| hash_of(hasher, bodies.get(slot).map_or("", |b| b.message.topic().as_str()));
        self.retained_by_topic.insert_unique(hash_of(hasher, topic), slot, rehash);
        if let Some(body) = self.bodies.get_mut(slot) {
            body.flags.retained = true;
            body.flags.topic_in_log = topic_in_log;
            if !body.flags.dirty {
                self.dirty.push(Dirty::Retained(slot));
            }
        }
    }

    /// The log has a message as the retained one of its topic.
    pub(super) fn restore_retained(&mut self, slot: u32) {
        self.retain(slot);
        // nothing is to be written for it
        self.dirty.pop_if(|dirty| matches!(dirty, Dirty::Retained(retained) if *retained == slot));
        if let Some(body) = self.bodies.get_mut(slot) {
            body.flags.topic_in_log = true;
        }
    }

    /// Whether the log has a retained message for the topic.
    fn take_retained(&mut self, slot: u32) -> bool {
        let hash = hash_of(&self.hasher, self.topic_of(slot));
        if let Ok(found) = self.retained_by_topic.find_entry(hash, |&other| other == slot) {
            found.remove();
        }
        let Some(body) = self.bodies.get_mut(slot) else { return false };
        let in_log = body.flags.topic_in_log;
        body.flags.retained = false;
        body.flags.topic_in_log = false;
        self.forget_unused(slot);
        in_log
    }

    pub(super) fn clear_retained(&mut self, topic: Box<str>) {
        if let Some(slot) = self.retained(&topic)
            && self.take_retained(slot)
        {
            self.dirty.push(Dirty::Cleared(topic));
        }
    }
}

pub(super) fn body_cost(message: &Message) -> u64 {
    BODY_COST + message.size() as u64
}

/// The number under which a message is kept.
#[inline]
pub(super) fn message_number(message: &Message) -> u64 {
    message.store_number().map_or(0, NonZeroU64::get)
}

#[inline]
fn hash_of(hasher: &impl BuildHasher, key: impl Hash) -> u64 {
    hasher.hash_one(key)
}

/// Bytes of a record beside topic and payload, about.
const BODY_COST: u64 = 10;
