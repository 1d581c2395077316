//! [`Queue`]: the queued messages of one client, in order of arrival. With `queue_full = "keep-last"` it also has an
//! index by topic, so that each step takes logarithmic time.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
};

use super::{identifiers::SubIds, message::Message, share::Share};
use crate::types::QoS;

/// A queued message.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    /// Its number in order of arrival.
    pub(super) number: u64,
    pub(super) message: Message,
    pub(super) qos: QoS,
    /// RETAIN of the delivery.
    pub(super) retain: bool,
    /// The shared subscription that matched.
    pub(super) share: Share,
    /// Its Subscription Identifiers.
    pub(super) ids: SubIds,
}

const _: () = assert!(size_of::<Queued>() == 24);

/// Queued messages, by rising number.
#[derive(Debug)]
pub(super) enum Queue {
    InOrder(VecDeque<Queued>),
    ByTopic(Box<ByTopic>),
}

/// Queued messages with an index by topic, to find the ones that a new message may replace.
#[derive(Debug, Default)]
pub(super) struct ByTopic {
    messages: BTreeMap<u64, Queued>,
    topics: BTreeSet<OfTopic>,
    /// The order of dropping: first messages that are not the newest of their topic (`false`), by number.
    next_to_go: BTreeSet<(bool, u64)>,
}

/// Bytes of memory of a message in a list, whose capacity is half as much again on average.
pub(super) const QUEUED_COST: usize = size_of::<Queued>() * 3 / 2;
/// Bytes of memory of a message in three trees, whose nodes are two thirds full.
const BY_TOPIC: usize = (size_of::<(u64, Queued)>() + size_of::<OfTopic>() + size_of::<(bool, u64)>()) * 3 / 2;

/// A queue up to this length needs no index until it is full.
const SHORT: usize = 64;

impl Default for Queue {
    fn default() -> Self {
        Self::InOrder(VecDeque::new())
    }
}

impl Queue {
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::InOrder(queue) => queue.len(),
            Self::ByTopic(queue) => queue.messages.len(),
        }
    }

    /// Approximate bytes of memory for the places of queued messages.
    #[inline]
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::InOrder(queue) => queue.len() * QUEUED_COST,
            Self::ByTopic(queue) => queue.messages.len() * BY_TOPIC,
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(super) fn front(&self) -> Option<&Queued> {
        match self {
            Self::InOrder(queue) => queue.front(),
            Self::ByTopic(queue) => queue.messages.first_key_value().map(|(_, first)| first),
        }
    }

    /// The first message with a higher number.
    pub(super) fn first_above(&self, number: u64) -> Option<&Queued> {
        match self {
            Self::InOrder(queue) => queue.get(queue.partition_point(|m| m.number <= number)),
            Self::ByTopic(queue) => queue.messages.range(number + 1..).next().map(|(_, first)| first),
        }
    }

    pub(super) fn back(&self) -> Option<&Queued> {
        match self {
            Self::InOrder(queue) => queue.back(),
            Self::ByTopic(queue) => queue.messages.last_key_value().map(|(_, last)| last),
        }
    }

    /// Adds a message whose number is higher than all others.
    #[inline]
    pub(super) fn push_back(&mut self, new: Queued) {
        match self {
            Self::InOrder(queue) => queue.push_back(new),
            Self::ByTopic(queue) => queue.push(new),
        }
    }

    /// Removes the first message. An empty queue frees its memory.
    #[inline]
    pub(super) fn pop_front(&mut self) -> Option<Queued> {
        match self {
            Self::InOrder(queue) => {
                let first = queue.pop_front()?;
                if queue.is_empty() && queue.capacity() > SHORT {
                    *queue = VecDeque::new();
                }
                Some(first)
            }
            Self::ByTopic(queue) => {
                let (&number, _) = queue.messages.first_key_value()?;
                let first = queue.remove(number)?;
                if queue.messages.is_empty() {
                    *self = Self::default();
                }
                Some(first)
            }
        }
    }

    /// Keeps the messages for which `stays` returns true. It is called once for each, in order.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(&Queued) -> bool) {
        note_work(self.len());
        match self {
            Self::InOrder(queue) => queue.retain(stays),
            // the newest message of a topic may have changed
            Self::ByTopic(queue) => {
                let messages = std::mem::take(&mut queue.messages);
                *self = Self::InOrder(messages.into_values().filter(|m| stays(m)).collect());
            }
        }
    }

    /// Inserts messages at their places by number.
    pub(super) fn merge(&mut self, messages: impl Iterator<Item = Queued>) {
        let mut all: VecDeque<Queued> = match std::mem::take(self) {
            Self::InOrder(queue) => queue,
            Self::ByTopic(queue) => queue.messages.into_values().collect(),
        };
        all.extend(messages);
        all.make_contiguous().sort_by_key(|m| m.number);
        *self = Self::InOrder(all);
    }

    pub(super) fn any(&self, f: impl FnMut(&Queued) -> bool) -> bool {
        match self {
            Self::InOrder(queue) => queue.iter().any(f),
            Self::ByTopic(queue) => queue.messages.values().any(f),
        }
    }

    pub(super) fn for_each(&self, f: impl FnMut(&Queued)) {
        match self {
            Self::InOrder(queue) => queue.iter().for_each(f),
            Self::ByTopic(queue) => queue.messages.values().for_each(f),
        }
    }

    /// Removes the oldest message.
    pub(super) fn take_oldest(&mut self) -> Option<Queued> {
        match self {
            Self::InOrder(queue) => queue.pop_front(),
            Self::ByTopic(queue) => {
                let (&oldest, _) = queue.messages.first_key_value()?;
                queue.remove(oldest)
            }
        }
    }

    /// Removes the message with this number, in few steps if it is near the front.
    pub(super) fn take(&mut self, number: u64) -> Option<Queued> {
        if self.front()?.number == number {
            return self.pop_front();
        }
        match self {
            Self::InOrder(queue) => {
                let at = queue.binary_search_by_key(&number, |m| m.number).ok()?;
                note_work(at.min(queue.len() - at));
                queue.remove(at)
            }
            Self::ByTopic(queue) => queue.take(number),
        }
    }

    /// How many messages have numbers up to this one? At most `most` are counted.
    pub(super) fn count_up_to(&self, number: u64, most: usize) -> usize {
        match self {
            Self::InOrder(queue) => queue.partition_point(|m| m.number <= number).min(most),
            Self::ByTopic(queue) => queue.messages.range(..=number).take(most).count(),
        }
    }

    /// Removes the message that `new` replaces, if the newest message of each topic is to stay.
    ///
    /// A topic replaces its own messages first, so that a busy topic takes nothing from others. If every message is the
    /// newest of its topic, the oldest one is dropped: it is the most likely to be outdated.
    pub(super) fn take_outdated_by(&mut self, new: &Message) -> Option<Queued> {
        let queue = self.by_topic();
        let same = queue.oldest_of(new);
        let number = same.or_else(|| queue.first_to_go(false)).or_else(|| queue.first_to_go(true))?;
        queue.remove(number)
    }

    /// With `keep-last`, a growing queue builds its index before it is full, so that no single message has to wait for
    /// that.
    #[inline]
    pub(super) fn learn_topics(&mut self) {
        if self.len() > SHORT {
            self.by_topic();
        }
    }

    fn by_topic(&mut self) -> &mut ByTopic {
        if let Self::InOrder(queue) = self {
            let mut by_topic = Box::<ByTopic>::default();
            std::mem::take(queue).into_iter().for_each(|m| by_topic.push(m));
            *self = Self::ByTopic(by_topic);
        }
        match self {
            Self::ByTopic(queue) => queue,
            Self::InOrder(_) => unreachable!("it was just made one by topic"),
        }
    }
}

impl ByTopic {
    /// In order of arrival.
    pub(super) fn all(&self) -> impl Iterator<Item = &Queued> {
        self.messages.values()
    }

    fn push(&mut self, new: Queued) {
        let key = OfTopic { message: new.message.clone(), number: new.number };
        let before = self.topics.range(..&key).next_back().filter(|before| before.is_beside(&key));
        if let Some(before) = before {
            self.next_to_go.remove(&(true, before.number));
            self.next_to_go.insert((false, before.number));
        }
        self.next_to_go.insert((true, new.number));
        self.topics.insert(key);
        self.messages.insert(new.number, new);
    }

    /// Removes any message.
    fn take(&mut self, number: u64) -> Option<Queued> {
        let key = OfTopic { message: self.messages.get(&number)?.message.clone(), number };
        let later = self.topics.range((Bound::Excluded(&key), Bound::Unbounded)).next();
        let before = self.topics.range(..&key).next_back().filter(|before| before.is_beside(&key));
        if !later.is_some_and(|later| later.is_beside(&key))
            && let Some(newest) = before.map(|before| before.number)
        {
            self.next_to_go.remove(&(false, newest));
            self.next_to_go.insert((true, newest));
        }
        self.remove(number)
    }

    /// Removes a message, but not the newest of a topic with other messages.
    fn remove(&mut self, number: u64) -> Option<Queued> {
        let gone = self.messages.remove(&number)?;
        self.topics.remove(&OfTopic { message: gone.message.clone(), number });
        if !self.next_to_go.remove(&(false, number)) {
            self.next_to_go.remove(&(true, number));
        }
        Some(gone)
    }

    /// The oldest message with the topic of this one.
    fn oldest_of(&self, message: &Message) -> Option<u64> {
        let first = OfTopic { message: message.clone(), number: 0 };
        self.topics.range(&first..).next().filter(|oldest| oldest.is_beside(&first)).map(|oldest| oldest.number)
    }

    /// The oldest among the newest messages of their topics, or among the others.
    fn first_to_go(&self, newest: bool) -> Option<u64> {
        self.next_to_go.range((newest, 0)..).next().filter(|first| first.0 == newest).map(|first| first.1)
    }
}

/// Counts messages that were looked at or moved, for tests.
#[inline]
fn note_work(_messages: usize) {
    #[cfg(test)]
    WORK.with(|work| work.set(work.get() + _messages));
}

#[cfg(test)]
thread_local! {
    /// What [`note_work`] counted on this thread.
    pub(super) static WORK: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A queued message in the order of topics. It shares the message, so the topic is not copied.
#[derive(Debug)]
struct OfTopic {
    message: Message,
    number: u64,
}

impl OfTopic {
    /// Do both have the same topic?
    fn is_beside(&self, other: &Self) -> bool {
        self.message.topic_bytes() == other.message.topic_bytes()
    }
}

impl Ord for OfTopic {
    fn cmp(&self, other: &Self) -> Ordering {
        let topics = self.message.topic_bytes().cmp(other.message.topic_bytes());
        topics.then(self.number.cmp(&other.number))
    }
}

impl PartialOrd for OfTopic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for OfTopic {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for OfTopic {}
