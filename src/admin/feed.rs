//! [`Feed`]: what is published while pages of the web console show it. It is collected where it is published, which
//! costs a message less than a subscription of each page would: of each topic the last message and how many there were,
//! or the first messages since the page was told the last time.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use arc_swap::ArcSwap;
use hashbrown::{HashMap, HashSet};
use parking_lot::{Mutex, MutexGuard};

use crate::{
    clock::Clock,
    codec::{Properties, PropertiesBuf},
    router::{Event, EventKinds, Observe},
    topic::{TopicFilter, TopicName},
    types::{ClientId, QoS},
};

/// Topics that one page is told of.
const MOST_TOPICS: usize = 50_000;

/// The begin of the Client Identifiers by which pages get messages.
pub(super) const PAGES: &str = "$http-";

/// Bytes of the topics and payloads that wait for one page.
const MOST_BYTES: usize = 32 << 20;

/// What is published, for those who look.
pub(super) struct Feed {
    clock: Clock,
    sources: ArcSwap<Vec<Arc<Source>>>,
    /// Is there one of them that collects what is published?
    publishes: AtomicBool,
    /// Is there one that collects deliveries?
    delivers: AtomicBool,
    /// Taken to open and to close one.
    changes: Mutex<()>,
}

/// What one part of a page gets, until this is dropped.
pub(super) struct Tap {
    feed: Arc<Feed>,
    source: Arc<Source>,
}

/// What waits for it.
struct Source {
    /// A valid one.
    filter: Box<str>,
    way: Direction,
    waits: Mutex<Waiting>,
}

/// What waits for one part of a page.
pub(super) struct Waiting {
    /// When the page was told the last time: messages since then came about now.
    now: SystemTime,
    pub kind: Kind,
    /// Messages for which there was no room.
    pub lost: u64,
    bytes: usize,
}

/// Which messages are collected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Published ones.
    In,
    /// Those on their way to a subscriber.
    Out,
}

/// What a part of a page wants.
pub(super) enum Kind {
    Topics(ByTopic),
    Messages(First),
}

/// The last message of each topic.
pub(super) struct ByTopic {
    /// Bytes of a payload that are kept.
    begin: usize,
    /// By the hashes of their topics.
    changed: HashMap<u64, Changed, BuildHasherDefault<IsHash>>,
    /// The same topics, in the order in which they changed first.
    order: VecDeque<u64>,
    hasher: foldhash::fast::RandomState,
    /// Hashes of the topics that the page was told of.
    known: HashSet<u64, BuildHasherDefault<IsHash>>,
    /// Messages of topics beyond [`MOST_TOPICS`].
    pub beyond: u64,
}

/// The first messages.
pub(super) struct First {
    most: usize,
    most_bytes: usize,
    pub all: Vec<Message>,
    bytes: usize,
    /// Messages behind them.
    pub skipped: u64,
}

/// A topic with messages since it was told the last time.
pub(super) struct Changed {
    pub topic: Box<str>,
    pub count: u32,
    /// The page was not told of it before.
    pub is_new: bool,
    /// Bytes of the payload, of which this is the begin.
    pub size: usize,
    pub begin: Vec<u8>,
    pub qos: QoS,
    pub retain: bool,
    pub publisher: Option<ClientId>,
    /// `None`: it was retained before.
    pub at: Option<SystemTime>,
}

/// A message in full.
pub(super) struct Message {
    pub topic: Box<str>,
    pub payload: Vec<u8>,
    pub qos: QoS,
    pub retain: bool,
    /// The publisher, or the subscriber.
    pub client: Option<ClientId>,
    pub properties: PropertiesBuf,
    pub at: SystemTime,
}

/// A message that is being published or delivered.
#[derive(Clone, Copy)]
pub(super) struct Published<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub qos: QoS,
    pub retain: bool,
    /// The publisher, or the subscriber.
    pub client: Option<&'a ClientId>,
    pub properties: Properties<'a>,
    /// `None`: it was retained before.
    pub at: Option<SystemTime>,
}

impl Feed {
    /// For nobody yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            sources: ArcSwap::default(),
            publishes: AtomicBool::new(false),
            delivers: AtomicBool::new(false),
            changes: Mutex::new(()),
        }
    }

    /// Collects what matches a filter from now on, if it [serves](Self::serves) that.
    pub fn tap(feed: &Arc<Self>, filter: &TopicFilter, way: Direction, kind: Kind) -> Tap {
        let waits = Mutex::new(Waiting { now: feed.clock.wall(), kind, lost: 0, bytes: 0 });
        let source = Arc::new(Source { filter: filter.as_str().into(), way, waits });
        if way == Direction::In && !Self::serves(filter) {
            return Tap { feed: feed.clone(), source };
        }
        let _one_at_a_time = feed.changes.lock();
        let mut sources = Vec::clone(&feed.sources.load());
        sources.push(source.clone());
        feed.put(sources);
        Tap { feed: feed.clone(), source }
    }

    fn put(&self, sources: Vec<Arc<Source>>) {
        let has = |way| sources.iter().any(|source| source.way == way);
        self.publishes.store(has(Direction::In), Ordering::Release);
        self.delivers.store(has(Direction::Out), Ordering::Release);
        self.sources.store(Arc::new(sources));
    }

    fn collect(&self, way: Direction, topic: &TopicName, mut message: Published<'_>) {
        for source in self.sources.load().iter().filter(|source| source.way == way && source.matches(topic)) {
            let mut waits = source.waits.lock();
            // of topics nobody asks when exactly
            message.at = match &waits.kind {
                Kind::Messages(first) if first.has_room() => Some(self.clock.wall()),
                _ => Some(waits.now),
            };
            waits.add(message);
        }
    }

    /// Is what matches this filter told to observers? The broker's own messages are not.
    pub fn serves(filter: &TopicFilter) -> bool {
        !filter.as_str().starts_with('$')
    }
}

impl Observe for Feed {
    fn observe(&self, event: &Event<'_>) {
        match *event {
            Event::Publish { client, topic, qos, retain, content: payload, properties, .. } => {
                let name = topic.as_str();
                let message = Published { topic: name, payload, qos, retain, client, properties, at: None };
                self.collect(Direction::In, topic, message);
            }
            // pages are no subscribers that another page shows
            Event::Deliver { client, topic, qos, content: payload, properties, .. } if !is_page(client) => {
                let (name, client) = (topic.as_str(), Some(client));
                let message = Published { topic: name, payload, qos, retain: false, client, properties, at: None };
                self.collect(Direction::Out, topic, message);
            }
            _ => {}
        }
    }

    fn wants(&self) -> EventKinds {
        let of = |flag: &AtomicBool, kind| if flag.load(Ordering::Relaxed) { kind } else { EventKinds::NONE };
        of(&self.publishes, EventKinds::PUBLISH) | of(&self.delivers, EventKinds::DELIVER)
    }
}

impl Source {
    fn matches(&self, topic: &TopicName) -> bool {
        match &*self.filter {
            "#" => !topic.is_dollar(),
            filter => TopicFilter::from_valid(filter).matches(topic),
        }
    }
}

impl Tap {
    /// What waits; what comes from now on is of this time.
    pub fn waits(&self, now: SystemTime) -> MutexGuard<'_, Waiting> {
        let mut waits = self.source.waits.lock();
        waits.now = now;
        waits
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _one_at_a_time = self.feed.changes.lock();
        let mut sources = Vec::clone(&self.feed.sources.load());
        sources.retain(|source| !Arc::ptr_eq(source, &self.source));
        self.feed.put(sources);
    }
}

impl Waiting {
    /// One more message.
    pub fn add(&mut self, message: Published<'_>) {
        match &mut self.kind {
            Kind::Topics(topics) if self.bytes < MOST_BYTES => self.bytes += topics.add(message),
            Kind::Topics(_) => self.lost += 1,
            Kind::Messages(first) => first.add(message),
        }
    }

    /// Takes up to so many topics, those first that have waited longest.
    pub fn take_topics(&mut self, most: usize) -> (Vec<Changed>, u64) {
        let Kind::Topics(topics) = &mut self.kind else { return Default::default() };
        let mut some = Vec::new();
        while some.len() < most
            && let Some(one) = topics.order.pop_front().and_then(|hash| topics.changed.remove(&hash))
        {
            self.bytes = self.bytes.saturating_sub(one.cost());
            some.push(one);
        }
        (some, std::mem::take(&mut topics.beyond))
    }

    /// Takes the messages, and how many were left out.
    pub fn take_messages(&mut self) -> (Vec<Message>, u64) {
        let Kind::Messages(first) = &mut self.kind else { return Default::default() };
        first.bytes = 0;
        (std::mem::take(&mut first.all), std::mem::take(&mut first.skipped))
    }
}

impl Kind {
    /// The last message of each topic, with so much of its payload.
    pub fn topics(begin: usize) -> Self {
        Self::Topics(ByTopic {
            begin,
            changed: HashMap::default(),
            order: VecDeque::new(),
            hasher: foldhash::fast::RandomState::default(),
            known: HashSet::default(),
            beyond: 0,
        })
    }

    /// The first messages, and so many bytes of their payloads.
    pub fn messages(most: usize, most_bytes: usize) -> Self {
        Self::Messages(First { most, most_bytes, all: Vec::new(), bytes: 0, skipped: 0 })
    }
}

impl ByTopic {
    /// Bytes that are kept in addition.
    fn add(&mut self, message: Published<'_>) -> usize {
        let Self { begin, changed, order, hasher, known, beyond } = self;
        let hash = hasher.hash_one(message.topic);
        let begin = &message.payload[..message.payload.len().min(*begin)];
        if let Some(one) = changed.get_mut(&hash) {
            // what was retained before is older than what came since
            if message.at.is_some() {
                one.count += 1;
                one.set(message, begin);
            }
            return 0;
        }
        let is_new = !known.contains(&hash);
        if is_new {
            if known.len() >= MOST_TOPICS {
                *beyond += 1;
                return 0;
            }
            known.insert(hash);
        } else if message.at.is_none() {
            return 0;
        }
        let mut one = Changed {
            topic: message.topic.into(),
            count: 1,
            is_new,
            size: 0,
            begin: Vec::new(),
            qos: message.qos,
            retain: message.retain,
            publisher: None,
            at: None,
        };
        one.set(message, begin);
        order.push_back(hash);
        let cost = one.cost();
        changed.insert(hash, one);
        cost
    }
}

impl Changed {
    fn set(&mut self, message: Published<'_>, begin: &[u8]) {
        self.size = message.payload.len();
        self.begin.clear();
        self.begin.extend_from_slice(begin);
        (self.qos, self.retain, self.at) = (message.qos, message.retain, message.at);
        if self.publisher.as_ref() != message.client {
            self.publisher = message.client.cloned();
        }
    }

    /// Bytes, whatever its payload is.
    fn cost(&self) -> usize {
        self.topic.len() + 256 + size_of::<Self>()
    }
}

impl First {
    fn has_room(&self) -> bool {
        self.all.len() < self.most && self.bytes < self.most_bytes
    }

    fn add(&mut self, message: Published<'_>) {
        let Published { topic, payload, qos, retain, client, properties, at } = message;
        let Some(at) = at.filter(|_| self.has_room()) else {
            self.skipped += 1;
            return;
        };
        self.bytes += payload.len();
        let (client, properties) = (client.cloned(), properties.into());
        self.all.push(Message { topic: topic.into(), payload: payload.into(), qos, retain, client, properties, at });
    }
}

/// Clients within the process by which pages get messages: see `Lane`.
fn is_page(client: &ClientId) -> bool {
    client.as_str().starts_with(PAGES)
}

/// A number that is a hash already.
#[derive(Default)]
struct IsHash(u64);

impl Hasher for IsHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(feed: &Feed, name: &str, payload: &[u8]) {
        let topic = TopicName::new(name).unwrap();
        feed.observe(&Event::Publish {
            client: None,
            user: None,
            topic,
            qos: QoS::AtLeastOnce,
            retain: false,
            payload: payload.len(),
            content: payload,
            properties: Properties::default(),
            expires: None,
        });
    }

    fn tap(feed: &Arc<Feed>, filter: &str, kind: Kind) -> Tap {
        Feed::tap(feed, TopicFilter::new(filter).unwrap(), Direction::In, kind)
    }

    #[test]
    fn nothing_is_wanted_while_nobody_looks() {
        let feed = Arc::new(Feed::new(Clock::system()));
        assert_eq!(feed.wants(), EventKinds::NONE);
        let (one, other) = (tap(&feed, "#", Kind::topics(9)), tap(&feed, "a", Kind::messages(1, 9)));
        assert_eq!(feed.wants(), EventKinds::PUBLISH);
        drop(one);
        assert_eq!(feed.wants(), EventKinds::PUBLISH);
        let out = Feed::tap(&feed, TopicFilter::new("a").unwrap(), Direction::Out, Kind::messages(1, 9));
        assert_eq!(feed.wants(), EventKinds::PUBLISH | EventKinds::DELIVER);
        drop(other);
        assert_eq!(feed.wants(), EventKinds::DELIVER);
        drop(out);
        assert_eq!(feed.wants(), EventKinds::NONE);
    }

    #[test]
    fn deliveries_are_collected_apart_from_publishes_and_without_those_to_pages() {
        let feed = Arc::new(Feed::new(Clock::system()));
        let published = tap(&feed, "a", Kind::messages(9, 99));
        let delivered = Feed::tap(&feed, TopicFilter::new("a").unwrap(), Direction::Out, Kind::messages(9, 99));
        publish(&feed, "a", b"in");
        for name in ["lamp", "$http-7"] {
            feed.observe(&Event::Deliver {
                client: &ClientId::from(name),
                topic: TopicName::new("a").unwrap(),
                qos: QoS::AtMostOnce,
                payload: 3,
                content: b"out",
                properties: Properties::default(),
            });
        }
        let taken = |tap: &Tap| {
            let (all, _) = tap.waits(SystemTime::UNIX_EPOCH).take_messages();
            let shown = |one: &Message| (one.payload.clone(), one.client.as_ref().map(|client| client.to_string()));
            all.iter().map(shown).collect::<Vec<_>>()
        };
        assert_eq!(taken(&published), [(b"in".to_vec(), None)]);
        assert_eq!(taken(&delivered), [(b"out".to_vec(), Some("lamp".to_owned()))]);
    }

    #[test]
    fn of_each_topic_the_last_message_is_taken_in_the_order_of_the_first() {
        let feed = Arc::new(Feed::new(Clock::system()));
        let tap = tap(&feed, "+/b", Kind::topics(2));
        for (topic, payload) in [("a/b", "first"), ("c/b", ""), ("a/c", "no"), ("$SYS/b", "no"), ("a/b", "last")] {
            publish(&feed, topic, payload.as_bytes());
        }
        let mut waits = tap.waits(SystemTime::UNIX_EPOCH);
        let (some, _) = waits.take_topics(1);
        let shown = |one: &Changed| (one.topic.to_string(), one.count, one.size, one.begin.clone(), one.is_new);
        assert_eq!(some.iter().map(shown).collect::<Vec<_>>(), [("a/b".to_owned(), 2, 4, b"la".to_vec(), true)]);
        drop(waits);
        publish(&feed, "a/b", b"x");
        let mut waits = tap.waits(SystemTime::UNIX_EPOCH);
        let (some, beyond) = waits.take_topics(9);
        let names: Vec<_> = some.iter().map(|one| (&*one.topic, one.is_new)).collect();
        assert_eq!((names, beyond), (vec![("c/b", true), ("a/b", false)], 0));
        assert_eq!(waits.bytes, 0);
    }

    #[test]
    fn topics_and_messages_are_bounded() {
        let feed = Arc::new(Feed::new(Clock::system()));
        let (topics, messages) = (tap(&feed, "#", Kind::topics(2)), tap(&feed, "#", Kind::messages(3, 100)));
        (0..MOST_TOPICS + 5).for_each(|n| publish(&feed, &format!("t/{n}"), b"0123456789"));
        let (some, beyond) = topics.waits(SystemTime::UNIX_EPOCH).take_topics(usize::MAX);
        let lost = topics.waits(SystemTime::UNIX_EPOCH).lost as usize;
        assert_eq!((some.len() + lost, beyond), (MOST_TOPICS, 5));
        let (all, skipped) = messages.waits(SystemTime::UNIX_EPOCH).take_messages();
        assert_eq!((all.len(), skipped), (3, MOST_TOPICS as u64 + 2));
        publish(&feed, "t/1", &[0; 1000]);
        publish(&feed, "t/1", b"more than the bytes");
        let (all, skipped) = messages.waits(SystemTime::UNIX_EPOCH).take_messages();
        assert_eq!((all.len(), skipped), (1, 1));
    }
}
