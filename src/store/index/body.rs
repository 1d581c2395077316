//! [`Body`]: a stored message, and [`RetainedSlot`], the entry of the table of retained topics.

use std::{hash::BuildHasher, num::NonZeroU64};

use super::{segment_use::SegmentId, session::Hasher, slab::Slab};
use crate::{router::Publisher, session::Message};

/// A message that is queued, in flight or retained.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) message: Message,
    pub(crate) segment: SegmentId,
    /// The age of the log at which it expires, in milliseconds.
    pub(crate) expires: Option<u64>,
    /// Number of entries that refer to it.
    pub(crate) refs: u32,
    /// Bytes of its [`Origin`] in its latest record.
    pub(crate) written_extra: u32,
    pub(crate) flags: BodyFlags,
}

/// The time of a retained message, in milliseconds since 1970, and its publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) time: u64,
    pub(crate) publisher: Option<Publisher>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BodyFlags {
    pub(crate) dirty: bool,
    pub(crate) retained: bool,
    /// The log has a retained message for its topic: this one or an earlier one.
    pub(crate) topic_in_log: bool,
}

/// The slot of a topic's retained message, with the hash of the topic, so that the table can grow without reading
/// topics.
#[derive(Debug)]
pub(crate) struct RetainedSlot {
    pub(crate) slot: u32,
    pub(crate) hash: u32,
}

impl RetainedSlot {
    /// The hash for the table, which uses the upper bits too.
    pub(crate) fn wide(hash: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(hash)
    }

    pub(crate) fn is(&self, topic: &str, hash: u32, bodies: &Slab<Body>) -> bool {
        self.hash == hash && bodies.get(self.slot).is_some_and(|body| body.message.topic().as_str() == topic)
    }
}

pub(crate) fn body_cost(message: &Message) -> u64 {
    BODY_COST + message.size() as u64
}

/// Approximate bytes of an origin in a record.
pub(crate) fn origin_cost(origin: &Origin) -> u32 {
    let publisher = origin.publisher.as_ref().map_or(0, |publisher| {
        let user = publisher.user.as_ref().map_or(0, |user| 2 + user.as_str().len());
        2 + publisher.client.as_str().len() + user
    });
    u32::try_from(ORIGIN_COST + publisher).unwrap_or(u32::MAX)
}

/// The number of a message in the store.
#[inline]
pub(crate) fn message_number(message: &Message) -> u64 {
    message.store_number().map_or(0, NonZeroU64::get)
}

pub(crate) fn hash_of(hasher: &Hasher, topic: &str) -> u32 {
    hasher.hash_one(topic) as u32
}

/// Approximate bytes of a record besides topic and payload.
const BODY_COST: u64 = 10;
/// Approximate bytes of an origin besides its texts.
const ORIGIN_COST: usize = 9;
