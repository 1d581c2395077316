//! [`RetainedStore`]: the retained messages (MQTT 3.1.1 section 3.3.1.3), within limits.

use parking_lot::RwLock;

use crate::{
    session::Message,
    topic::{RetainedTree, TopicFilter, TopicName},
};

/// The retained messages.
pub(super) struct RetainedStore {
    inner: RwLock<Inner>,
}

struct Inner {
    tree: RetainedTree<Message>,
    bytes: usize,
}

/// The store is full: the message is not retained.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl RetainedStore {
    pub(super) fn new(seed: u64) -> Self {
        Self { inner: RwLock::new(Inner { tree: RetainedTree::new(seed), bytes: 0 }) }
    }

    /// Keeps `message` in place of the one its topic had [MQTT-3.3.1-5]. The old one stays where there is no room.
    pub(super) fn set(&self, message: Message, max_messages: usize, max_bytes: usize) -> Result<(), Full> {
        let mut inner = self.inner.write();
        let old = inner.tree.get(message.topic()).map(Message::size);
        let bytes = inner.bytes - old.unwrap_or(0) + message.size();
        if bytes > max_bytes || (old.is_none() && inner.tree.len() >= max_messages) {
            return Err(Full);
        }
        inner.bytes = bytes;
        let topic = message.clone();
        let replaced = inner.tree.insert(topic.topic(), message);
        drop(inner);
        drop(replaced);
        Ok(())
    }

    /// The topic has no retained message any more [MQTT-3.3.1-10].
    pub(super) fn clear(&self, topic: &TopicName) {
        let mut inner = self.inner.write();
        if let Some(old) = inner.tree.remove(topic) {
            inner.bytes -= old.size();
        }
    }

    /// Those that a filter matches.
    pub(super) fn for_each_match(&self, filter: &TopicFilter, mut each: impl FnMut(&Message)) {
        let inner = self.inner.read();
        if !inner.tree.is_empty() {
            inner.tree.for_each_match(filter, |message| each(message));
        }
    }

    /// How many, and bytes of topics and payloads.
    pub(super) fn size(&self) -> (usize, usize) {
        let inner = self.inner.read();
        (inner.tree.len(), inner.bytes)
    }
}
