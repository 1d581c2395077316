//! [`RetainedStore`]: the retained messages (MQTT 3.1.1 section 3.3.1.3), within limits.

use std::ops::ControlFlow;

use parking_lot::RwLock;

use crate::{
    session::{Message, Stored},
    topic::{RetainedTree, TopicFilter, TopicName},
};

/// The retained messages.
pub(crate) struct RetainedStore {
    inner: RwLock<Inner>,
}

struct Inner {
    tree: RetainedTree<Retained>,
    all: Size,
    /// Of `all`, those of clients: the ones that limits are for.
    clients: Size,
}

#[derive(Clone, Copy, Default)]
struct Size {
    messages: usize,
    bytes: usize,
}

struct Retained {
    message: Message,
    /// The broker's own: `$SYS`.
    own: bool,
}

/// The store is full: the message is not retained.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// How many retained messages clients may have, and of how many bytes.
#[derive(Clone, Copy)]
pub(crate) struct RetainedBounds {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl RetainedStore {
    pub(crate) fn new(seed: u64) -> Self {
        let tree = RetainedTree::new(seed);
        Self { inner: RwLock::new(Inner { tree, all: Size::default(), clients: Size::default() }) }
    }

    /// Keeps a client's `message` in place of the one its topic had [MQTT-3.3.1-5], and has it recorded: of two at
    /// once, the one that is kept is recorded last. The old one stays where there is no room. `topic` is the message's.
    pub(crate) fn set(
        &self,
        topic: &TopicName,
        message: Message,
        bounds: RetainedBounds,
        record: impl FnOnce() -> Stored,
    ) -> Result<Stored, Full> {
        let new = Retained { message, own: false };
        let size = new.size_if(true);
        let mut inner = self.inner.write();
        let clients = inner.clients;
        let mut fits = true;
        let replaced = inner.tree.replace(topic, |old| {
            let old = old.map_or(Size::default(), |old| old.size_if(!old.own));
            let one_more = old.messages == 0;
            fits = clients.bytes - old.bytes + size.bytes <= bounds.bytes
                && (!one_more || clients.messages < bounds.messages);
            fits.then_some(new)
        });
        if !fits {
            return Err(Full);
        }
        inner.account(size, size, replaced.as_ref());
        let stored = record();
        drop(inner);
        drop(replaced);
        Ok(stored)
    }

    /// One that a store kept: the limits were asked when it came.
    pub(crate) fn restore(&self, message: Message) {
        self.inner.write().insert(Retained { message, own: false });
    }

    /// Keeps a message of the broker itself, beyond the limits of clients.
    pub(crate) fn set_own(&self, message: Message) {
        let replaced = self.inner.write().insert(Retained { message, own: true });
        drop(replaced);
    }

    /// The topic has no retained message any more [MQTT-3.3.1-10]; has that recorded. `record` is told whether it had
    /// one.
    pub(crate) fn clear(&self, topic: &TopicName, record: impl FnOnce(bool) -> Stored) -> Stored {
        let mut inner = self.inner.write();
        let old = inner.tree.remove(topic);
        if let Some(old) = &old {
            inner.forget(old);
        }
        record(old.is_some())
    }

    /// Those that a filter matches, until `each` breaks.
    pub(crate) fn try_for_each_match(&self, filter: &TopicFilter, mut each: impl FnMut(&Message) -> ControlFlow<()>) {
        let inner = self.inner.read();
        if !inner.tree.is_empty() {
            let _all_or_not = inner.tree.try_for_each_match(filter, |retained| each(&retained.message));
        }
    }

    /// How many, and bytes of topics and payloads.
    pub(crate) fn size(&self) -> (usize, usize) {
        let Size { messages, bytes } = self.inner.read().all;
        (messages, bytes)
    }
}

impl Inner {
    /// Gives what was there before.
    fn insert(&mut self, new: Retained) -> Option<Retained> {
        let (all, clients) = (new.size_if(true), new.size_if(!new.own));
        let topic = new.message.clone();
        let replaced = self.tree.insert(topic.topic(), new);
        self.account(all, clients, replaced.as_ref());
        replaced
    }

    fn account(&mut self, all: Size, clients: Size, replaced: Option<&Retained>) {
        self.all.add(all);
        self.clients.add(clients);
        if let Some(old) = replaced {
            self.forget(old);
        }
    }

    fn forget(&mut self, old: &Retained) {
        self.all.subtract(old.size_if(true));
        self.clients.subtract(old.size_if(!old.own));
    }
}

impl Retained {
    /// Its size, or none.
    fn size_if(&self, counts: bool) -> Size {
        if counts { Size { messages: 1, bytes: self.message.size() } } else { Size::default() }
    }
}

impl Size {
    fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }

    fn subtract(&mut self, other: Self) {
        self.messages -= other.messages;
        self.bytes -= other.bytes;
    }
}
