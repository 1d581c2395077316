//! [`RetainedStore`]: the retained messages (MQTT 3.1.1 section 3.3.1.3), within limits.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc, time::Instant};

use parking_lot::{RwLock, RwLockUpgradableReadGuard};

use super::super::ports::Publisher;
use crate::{
    session::{Message, Stored},
    topic::{Place, RetainedTree, Steps, TopicFilter, TopicName, Walked},
};

/// The retained messages.
pub(crate) struct RetainedStore {
    inner: RwLock<Inner>,
}

struct Inner {
    tree: RetainedTree<Retained>,
    /// Number of messages ever retained, which is the number of the last one.
    changes: u64,
    all: Size,
    /// Those of clients, which limits are for.
    clients: Size,
    /// Memory for the topics of the broker's own messages.
    own_topics: usize,
    /// Messages that expire, by time and number.
    due: BTreeMap<(Instant, u64), Message>,
}

#[derive(Clone, Copy, Default)]
struct Size {
    messages: usize,
    /// Bytes of topics and payloads.
    bytes: usize,
    /// Bytes of memory for the messages.
    memory: usize,
}

struct Retained {
    message: Message,
    by: RetainedBy,
    /// Twice its number, which rises with each retained message; plus one if it is the broker's own (`$SYS`).
    number_and_own: u64,
}

/// The time and the publisher of a retained message.
#[derive(Clone, Debug, Default)]
pub(crate) struct RetainedBy {
    /// `None`: by an earlier version, which did not note it.
    pub(crate) at: Option<Instant>,
    /// `None`: the broker itself.
    pub(crate) publisher: Option<Arc<Publisher>>,
}

/// A retained message that was looked up.
#[derive(Clone, Debug)]
pub(crate) struct FoundRetained {
    pub(crate) message: Message,
    pub(crate) by: RetainedBy,
    /// It is the broker's own.
    pub(crate) own: bool,
}

/// The retained messages at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present {
    pub(crate) messages: usize,
    /// The number of the last one. Higher numbers were retained later.
    pub(crate) up_to: u64,
}

/// The limits are reached: the message is not retained.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The limits of clients' retained messages: their number, and bytes of memory for them and their topics.
#[derive(Clone, Copy)]
pub(crate) struct RetainedBounds {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl RetainedStore {
    pub(crate) fn new(seed: u64) -> Self {
        let tree = RetainedTree::new(seed);
        Self {
            inner: RwLock::new(Inner {
                tree,
                changes: 0,
                all: Size::default(),
                clients: Size::default(),
                own_topics: 0,
                due: BTreeMap::new(),
            }),
        }
    }

    /// Retains a client's `message` in place of the topic's previous one [MQTT-3.3.1-5], and calls the record function
    /// while locked: of two concurrent calls, the winner is recorded last. The previous one stays if the limits are
    /// reached. `topic`: that of the message.
    pub(crate) fn set(
        &self,
        topic: &TopicName,
        (message, by): (Message, RetainedBy),
        bounds: RetainedBounds,
        record: impl FnOnce() -> Stored,
    ) -> Result<Stored, Full> {
        let mut inner = self.inner.write();
        let (expires, listed) = (message.expires(), message.clone());
        let new = Retained::new(message, by, inner.changes + 1, false);
        let size = new.size_if(true);
        let Inner { clients, own_topics, .. } = *inner;
        let mut fits = true;
        let replaced = inner.tree.replace(topic, |old, topics| {
            let old = old.map_or(Size::default(), |old| old.size_if(!old.is_own()));
            let one_more = old.messages == 0;
            let memory = clients.memory - old.memory + size.memory + topics.saturating_sub(own_topics);
            fits = memory <= bounds.bytes && (!one_more || clients.messages < bounds.messages);
            fits.then_some(new)
        });
        if !fits {
            return Err(Full);
        }
        inner.changes += 1;
        inner.account(size, size, replaced.as_ref());
        if let Some(at) = expires {
            let number = inner.changes;
            inner.due.insert((at, number), listed);
        }
        let stored = record();
        drop(inner);
        drop(replaced);
        Ok(stored)
    }

    /// Adds a message from the store, without limits.
    pub(crate) fn restore(&self, message: Message, by: RetainedBy) {
        self.inner.write().insert(message, by, false);
    }

    /// Retains a message of the broker itself, without limits.
    pub(crate) fn set_own(&self, message: Message, at: Instant) {
        let mut inner = self.inner.write();
        let before = inner.tree.memory();
        let replaced = inner.insert(message, RetainedBy { at: Some(at), publisher: None }, true);
        inner.own_topics += inner.tree.memory() - before;
        drop(inner);
        drop(replaced);
    }

    /// Removes the topic's retained message [MQTT-3.3.1-10]. `record` is called with whether there was one.
    pub(crate) fn clear(&self, topic: &TopicName, record: impl FnOnce(bool) -> Stored) -> Stored {
        let mut inner = self.inner.write();
        let old = inner.tree.remove(topic);
        if let Some(old) = &old {
            inner.forget(old);
        }
        record(old.is_some())
    }

    /// Removes the topic's retained message if it is still this one.
    pub(crate) fn clear_this(&self, topic: &TopicName, this: &Message, record: impl FnOnce() -> Stored) -> Stored {
        let mut inner = self.inner.write();
        if inner.tree.get(topic).is_none_or(|now| now.message.address() != this.address()) {
            return Stored::Done;
        }
        let old = inner.tree.remove(topic);
        old.iter().for_each(|old| inner.forget(old));
        let stored = record();
        drop(inner);
        drop(old);
        stored
    }

    /// The message of a topic.
    pub(crate) fn get(&self, topic: &TopicName) -> Option<FoundRetained> {
        self.inner.read().tree.get(topic).map(Retained::found)
    }

    /// Finds messages that match a filter in the places from `from` on, with their places; visits at most `most`
    /// places. Returns the next place; `None`: there are no more.
    pub(crate) fn scan(
        &self,
        filter: &TopicFilter,
        from: u32,
        most: u32,
        found: &mut Vec<(u32, FoundRetained)>,
    ) -> Option<u32> {
        self.inner.read().tree.scan(from, most, |place, retained| {
            if filter.matches(retained.message.topic()) {
                found.push((place, retained.found()));
            }
        })
    }

    /// Removes at most `most` expired messages, the earliest first, and calls `record` for each. Returns their number;
    /// if it is `most`, there may be more.
    pub(crate) fn remove_expired(&self, now: Instant, most: usize, mut record: impl FnMut(&TopicName)) -> usize {
        if self.inner.read().first_due().is_none_or(|first| first > now) {
            return 0;
        }
        let mut gone = Vec::new();
        let mut inner = self.inner.write();
        while gone.len() < most && inner.first_due().is_some_and(|first| first <= now) {
            let Some((_, message)) = inner.due.pop_first() else { break };
            if let Some(old) = inner.tree.remove(message.topic()) {
                inner.forget(&old);
            }
            record(message.topic());
            gone.push(message);
        }
        drop(inner);
        gone.len()
    }

    /// Does the topic have a client's message with at least this payload length? Replacing it then needs no more space.
    pub(crate) fn has_room_of(&self, topic: &TopicName, payload: usize) -> bool {
        let inner = self.inner.read();
        inner.tree.get(topic).is_some_and(|old| !old.is_own() && old.message.payload().len() >= payload)
    }

    /// The retained messages at this time.
    pub(crate) fn present(&self) -> Present {
        let inner = self.inner.read();
        Present { messages: inner.all.messages, up_to: inner.changes }
    }

    /// Calls `each` for the messages that match a filter and have at most that number, until `each` breaks or no step
    /// is left: one step for each node and message. `Some`: the walk was interrupted; call this again with it, or [give
    /// it up](Self::give_up).
    pub(crate) fn walk(
        &self,
        filter: &TopicFilter,
        from: Option<Place>,
        up_to: u64,
        steps: &mut Steps,
        mut each: impl FnMut(&Message, &RetainedBy) -> ControlFlow<()>,
    ) -> Option<Place> {
        let inner = self.inner.upgradable_read();
        if inner.tree.is_empty() && from.is_none() {
            return None;
        }
        let walked = inner.tree.walk(filter, from.unwrap_or_default(), steps, |retained, steps| {
            if retained.number() > up_to {
                return ControlFlow::Continue(());
            }
            steps.take(1);
            each(&retained.message, &retained.by)
        });
        let left = if let Walked::Left(place) = walked { Some(place) } else { None };
        if left.is_some() || from.is_some() {
            // without unlocking in between, so the node still exists
            let mut inner = RwLockUpgradableReadGuard::upgrade(inner);
            left.into_iter().for_each(|place| inner.tree.pin(place));
            from.into_iter().for_each(|place| inner.tree.unpin(place));
        }
        left
    }

    /// Ends an interrupted walk.
    pub(crate) fn give_up(&self, place: Place) {
        self.inner.write().tree.unpin(place);
    }

    /// See [`RetainedTree::nodes_and_pins`].
    #[cfg(test)]
    pub(crate) fn nodes_and_pins(&self) -> (usize, usize) {
        self.inner.read().tree.nodes_and_pins()
    }

    /// Number of messages, and bytes of topics and payloads.
    pub(crate) fn size(&self) -> (usize, usize) {
        let Size { messages, bytes, .. } = self.inner.read().all;
        (messages, bytes)
    }

    /// Approximate bytes of memory of clients' messages and their topics.
    pub(crate) fn memory(&self) -> usize {
        let inner = self.inner.read();
        inner.clients.memory + inner.tree.memory().saturating_sub(inner.own_topics)
    }
}

impl Inner {
    /// Returns the previous message.
    fn insert(&mut self, message: Message, by: RetainedBy, own: bool) -> Option<Retained> {
        self.changes += 1;
        let new = Retained::new(message.clone(), by, self.changes, own);
        let (all, clients) = (new.size_if(true), new.size_if(!own));
        let replaced = self.tree.insert(message.topic(), new);
        self.account(all, clients, replaced.as_ref());
        if let Some(at) = message.expires() {
            self.due.insert((at, self.changes), message);
        }
        replaced
    }

    fn account(&mut self, all: Size, clients: Size, replaced: Option<&Retained>) {
        self.all.add(all);
        self.clients.add(clients);
        if let Some(old) = replaced {
            self.forget(old);
        }
    }

    /// The time at which the first of them expires.
    fn first_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|(&(at, _), _)| at)
    }

    fn forget(&mut self, old: &Retained) {
        if let Some(at) = old.message.expires() {
            self.due.remove(&(at, old.number()));
        }
        self.all.subtract(old.size_if(true));
        self.clients.subtract(old.size_if(!old.is_own()));
    }
}

impl Retained {
    fn new(message: Message, by: RetainedBy, number: u64, own: bool) -> Self {
        Self { message, by, number_and_own: number << 1 | u64::from(own) }
    }

    fn found(&self) -> FoundRetained {
        FoundRetained { message: self.message.clone(), by: self.by.clone(), own: self.is_own() }
    }

    fn number(&self) -> u64 {
        self.number_and_own >> 1
    }

    fn is_own(&self) -> bool {
        self.number_and_own & 1 != 0
    }

    /// Its size if `counts`, otherwise zero.
    fn size_if(&self, counts: bool) -> Size {
        if counts {
            let listed = if self.message.expires().is_some() { DUE_COST } else { 0 };
            Size { messages: 1, bytes: self.message.size(), memory: self.message.cost() + listed }
        } else {
            Size::default()
        }
    }
}

impl Size {
    fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.memory += other.memory;
    }

    fn subtract(&mut self, other: Self) {
        self.messages -= other.messages;
        self.bytes -= other.bytes;
        self.memory -= other.memory;
    }
}

/// Approximate bytes of memory of an entry in the list of messages that expire: the nodes of a tree are two thirds
/// full.
const DUE_COST: usize = size_of::<((Instant, u64), Message)>() * 3 / 2;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{session::Extras, types::QoS};

    const BOUNDS: RetainedBounds = RetainedBounds { messages: 3, bytes: usize::MAX };
    const SECOND: Duration = Duration::from_secs(1);

    fn message(topic: &str, expires: Option<Instant>) -> Message {
        let extras = Extras { expires, ..Extras::default() };
        Message::with(TopicName::new(topic).unwrap(), b"payload", QoS::AtMostOnce, extras)
    }

    fn set(store: &RetainedStore, topic: &str, expires: Option<Instant>) -> Result<Stored, Full> {
        let retained = (message(topic, expires), RetainedBy::default());
        store.set(TopicName::new(topic).unwrap(), retained, BOUNDS, || Stored::Done)
    }

    fn removed(store: &RetainedStore, now: Instant, most: usize) -> Vec<String> {
        let mut topics = Vec::new();
        let count = store.remove_expired(now, most, |topic| topics.push(topic.as_str().to_owned()));
        assert_eq!(count, topics.len());
        topics
    }

    #[test]
    fn expired_retained_messages_are_removed_in_their_order() {
        let (store, now) = (RetainedStore::new(7), Instant::now());
        assert!(set(&store, "stays", None).is_ok());
        let (size, memory) = (store.size(), store.memory());
        assert!(set(&store, "a/later", Some(now + 2 * SECOND)).is_ok());
        assert!(set(&store, "a/sooner", Some(now + SECOND)).is_ok());
        assert_eq!(set(&store, "one too many", None), Err(Full));
        assert_eq!(removed(&store, now, 9), [""; 0]);
        assert_eq!(removed(&store, now + 2 * SECOND, 1), ["a/sooner"]);
        assert!(set(&store, "a/third", Some(now + 9 * SECOND)).is_ok());
        assert_eq!(removed(&store, now + 2 * SECOND, 9), ["a/later"]);
        assert_eq!(removed(&store, now + 9 * SECOND, 9), ["a/third"]);
        assert_eq!((store.size(), store.memory(), store.inner.read().due.len()), (size, memory, 0));
    }

    #[test]
    fn a_replaced_retained_message_s_expiry_removes_no_other() {
        let (store, now) = (RetainedStore::new(7), Instant::now());
        for expires in [Some(now + SECOND), Some(now + 3 * SECOND), Some(now + 2 * SECOND)] {
            assert!(set(&store, "replaced", expires).is_ok());
            assert!(set(&store, "cleared", expires).is_ok());
            assert!(set(&store, "stays", expires).is_ok());
        }
        assert!(set(&store, "stays", None).is_ok());
        let _ = store.clear(TopicName::new("cleared").unwrap(), |_| Stored::Done);
        store.restore(message("from before", Some(now + 2 * SECOND)), RetainedBy::default());
        assert_eq!(removed(&store, now + SECOND, 9), [""; 0]);
        assert_eq!(removed(&store, now + 3 * SECOND, 9), ["replaced", "from before"]);
        assert_eq!(store.size().0, 1);
        assert!(store.inner.read().due.is_empty());
    }
}
