//! [`Queue`]: the messages that wait for one client, in order of arrival. With `queue_full = "keep-last"` it also has
//! an index by topic, so that each step takes logarithmic time.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use super::{identifiers::SubIds, message::Message, share::Share};
use crate::types::QoS;

/// A message that waits.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    /// Its place in the order in which messages came.
    pub(super) number: u64,
    pub(super) message: Message,
    pub(super) qos: QoS,
    /// Sent with RETAIN.
    pub(super) retain: bool,
    /// The shared subscription that it came through.
    pub(super) share: Share,
    /// Sent with these Subscription Identifiers.
    pub(super) ids: SubIds,
}

const _: () = assert!(size_of::<Queued>() == 24);

/// Messages that wait, by rising number.
#[derive(Debug)]
pub(super) enum Queue {
    InOrder(VecDeque<Queued>),
    ByTopic(Box<ByTopic>),
}

/// Messages that wait, of which those that a new one may push out are found by their topics.
#[derive(Debug, Default)]
pub(super) struct ByTopic {
    messages: BTreeMap<u64, Queued>,
    topics: BTreeSet<OfTopic>,
    /// The same, those first that are not the newest of their topic: whether one is, and its number.
    next_to_go: BTreeSet<(bool, u64)>,
}

/// Bytes of memory for one message in a list, which has room for half as many again, on average.
pub(super) const QUEUED_COST: usize = size_of::<Queued>() * 3 / 2;
/// Bytes of memory for one message in three trees, whose nodes are two thirds full.
const BY_TOPIC: usize = (size_of::<(u64, Queued)>() + size_of::<OfTopic>() + size_of::<(bool, u64)>()) * 3 / 2;

/// A queue that is no longer than this needs no index until it is full.
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

    /// Bytes of memory for the places of what waits, about.
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

    /// Takes one whose number is above those of the others.
    #[inline]
    pub(super) fn push_back(&mut self, new: Queued) {
        match self {
            Self::InOrder(queue) => queue.push_back(new),
            Self::ByTopic(queue) => queue.push(new),
        }
    }

    /// The first. A queue that gets empty gives back what it took.
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

    /// Those stay that `stays` says yes to; it is asked once about each, in their order.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(&Queued) -> bool) {
        match self {
            Self::InOrder(queue) => queue.retain(stays),
            // what is the newest of its topic may be another one now
            Self::ByTopic(queue) => {
                let messages = std::mem::take(&mut queue.messages);
                *self = Self::InOrder(messages.into_values().filter(|m| stays(m)).collect());
            }
        }
    }

    /// Takes messages into their places, by their numbers.
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

    /// Takes out the one that has waited longest.
    pub(super) fn take_oldest(&mut self) -> Option<Queued> {
        match self {
            Self::InOrder(queue) => queue.pop_front(),
            Self::ByTopic(queue) => {
                let (&oldest, _) = queue.messages.first_key_value()?;
                queue.remove(oldest)
            }
        }
    }

    /// Takes out the one that gives way to `new`, if the newest of each topic is to stay.
    ///
    /// A topic pushes out its own messages first: one that has many takes nothing from others. Where each is the newest
    /// of its topic, one has to be lost: that which has waited longest is the most likely to be outdated, and was sent
    /// the earliest.
    pub(super) fn take_outdated_by(&mut self, new: &Message) -> Option<Queued> {
        let queue = self.by_topic();
        let same = queue.oldest_of(new);
        let number = same.or_else(|| queue.first_to_go(false)).or_else(|| queue.first_to_go(true))?;
        queue.remove(number)
    }

    /// The newest of each topic is to stay: a queue that gets long learns its topics before it is full, so that no
    /// single message pays for many.
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
    /// In the order in which they came.
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

    /// Takes one out: never the newest of a topic of which others stay.
    fn remove(&mut self, number: u64) -> Option<Queued> {
        let gone = self.messages.remove(&number)?;
        self.topics.remove(&OfTopic { message: gone.message.clone(), number });
        if !self.next_to_go.remove(&(false, number)) {
            self.next_to_go.remove(&(true, number));
        }
        Some(gone)
    }

    /// The oldest with the topic of this one.
    fn oldest_of(&self, message: &Message) -> Option<u64> {
        let first = OfTopic { message: message.clone(), number: 0 };
        self.topics.range(&first..).next().filter(|oldest| oldest.is_beside(&first)).map(|oldest| oldest.number)
    }

    /// The oldest of those that are the newest of their topics, or of the others.
    fn first_to_go(&self, newest: bool) -> Option<u64> {
        self.next_to_go.range((newest, 0)..).next().filter(|first| first.0 == newest).map(|first| first.1)
    }
}

/// A message that waits, in the order of topics. It shares the message, so that no topic is copied.
#[derive(Debug)]
struct OfTopic {
    message: Message,
    number: u64,
}

impl OfTopic {
    /// Have both the same topic?
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
