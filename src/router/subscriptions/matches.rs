//! [`MatchCache`]: who gets a topic's messages, remembered by each thread while no subscription that could change the
//! answer changes. [`Generations`] says whether one did.

use std::{
    hash::{BuildHasher, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use foldhash::fast::{FixedState, RandomState};
use hashbrown::HashTable;
use parking_lot::RwLock;

use super::super::sessions::SlotRef;
use crate::{
    topic::{Beginning, SubscriptionTrie, TopicName},
    types::SubscriptionOptions,
};

/// One session that gets a message, and what its filters that match ask for together: see [`merge_overlapping`].
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) slot: SlotRef,
    pub(crate) options: SubscriptionOptions,
}

/// Who gets the messages of one topic.
#[derive(Debug)]
pub struct Matched {
    topic: Box<str>,
    stamp: Stamp,
    pub(crate) targets: Box<[Target]>,
    /// One of the targets has No Local or Retain As Published.
    pub(crate) has_options: bool,
}

impl Matched {
    /// The topic.
    pub fn topic(&self) -> &TopicName {
        TopicName::from_valid(&self.topic)
    }
}

/// Counters of changed subscriptions. A change counts in one of many counters, by its filter, so that clients that come
/// and go do not make each other's topics stale: a filter without wildcards by its whole text, one with wildcards by
/// the levels in front of the first of them, two at most.
#[derive(Debug)]
pub(crate) struct Generations {
    /// Counts every change, behind the other counter: while it stands still, so do all others.
    all: AtomicU64,
    /// Filters that begin with a wildcard.
    anywhere: AtomicU64,
    /// Filters without wildcards.
    exact: Box<[AtomicU64]>,
    /// Filters with wildcards behind one or two levels.
    below: Box<[AtomicU64]>,
}

/// The counters that concern one topic, as they were.
#[derive(Debug)]
struct Stamp {
    /// [`Generations::all`] when the others were looked at last.
    all: AtomicU64,
    /// The sum of the others. None of them ever falls: the sum is the same if each of them is.
    sum: u64,
    places: Places,
}

/// Which counters concern one topic.
#[derive(Clone, Copy, Debug)]
struct Places {
    exact: u16,
    /// By its first level, and by its first two.
    below: [u16; 2],
}

/// In each table. Texts that share a counter make each other's answers stale, no more.
const COUNTERS: usize = 4096;

/// Which of the counters. Who knows the function can make others' answers stale, no more; the tables that hold what
/// clients chose are seeded.
fn place(hasher: &impl Hasher) -> u16 {
    (hasher.finish() as usize % COUNTERS) as u16
}

/// The places of a first level, and of that and a second.
fn places_below(first: &str, second: Option<&str>) -> [u16; 2] {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(first.as_bytes());
    let alone = place(&hasher);
    // a topic of one level is matched by no filter of two in front of its wildcards
    let Some(second) = second else { return [alone; 2] };
    hasher.write(second.as_bytes());
    [alone, place(&hasher)]
}

fn place_of_all(topic: &str) -> u16 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(topic.as_bytes());
    place(&hasher)
}

impl Places {
    fn of(topic: &TopicName) -> Self {
        let mut levels = topic.levels();
        let below = places_below(levels.next().unwrap_or_default(), levels.next());
        Self { exact: place_of_all(topic.as_str()), below }
    }
}

impl Default for Generations {
    fn default() -> Self {
        let counters = || (0..COUNTERS).map(|_| AtomicU64::new(0)).collect();
        Self { all: AtomicU64::new(0), anywhere: AtomicU64::new(0), exact: counters(), below: counters() }
    }
}

impl Generations {
    /// A subscription to a filter that begins so has changed. To be called before its change is acknowledged.
    pub(crate) fn bump(&self, filter: Beginning<'_>) {
        self.count(self.counter(filter));
    }

    /// The counter of filters that begin so. Whatever topic they match has that one in its [`Places`].
    pub(crate) fn counter(&self, filter: Beginning<'_>) -> &AtomicU64 {
        let below = |place: u16| &self.below[usize::from(place)];
        match filter {
            Beginning::Whole(topic) => &self.exact[usize::from(place_of_all(topic))],
            Beginning::Nothing => &self.anywhere,
            Beginning::Level(first) => below(places_below(first, None)[0]),
            Beginning::Levels(first, second) => below(places_below(first, Some(second))[1]),
        }
    }

    /// No answer is right any more.
    pub(crate) fn bump_all(&self) {
        // every stamp has it
        self.count(&self.anywhere);
    }

    /// Something that this counter is for has changed.
    pub(crate) fn count(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Release);
        // behind it: who sees this sees that
        self.all.fetch_add(1, Ordering::Release);
    }

    /// Do two filters that begin so share a counter?
    #[cfg(test)]
    pub(super) fn share(&self, one: Beginning<'_>, other: Beginning<'_>) -> bool {
        std::ptr::eq(self.counter(one), self.counter(other))
    }

    fn stamp(&self, places: Places) -> Stamp {
        let all = self.all.load(Ordering::Acquire);
        Stamp { all: AtomicU64::new(all), sum: self.sum(places), places }
    }

    fn sum(&self, Places { exact, below: [first, two] }: Places) -> u64 {
        let others = [&self.exact[usize::from(exact)], &self.below[usize::from(first)], &self.below[usize::from(two)]];
        others.iter().fold(self.anywhere.load(Ordering::Acquire), |sum, n| sum.wrapping_add(n.load(Ordering::Acquire)))
    }

    /// Is the answer still right?
    #[inline]
    pub(crate) fn is_fresh(&self, matched: &Matched) -> bool {
        let all = self.all.load(Ordering::Acquire);
        matched.stamp.all.load(Ordering::Relaxed) == all || self.is_unchanged(&matched.stamp, all)
    }

    /// Something changed, up to the number `all`: something that concerns the topic?
    #[inline(never)]
    fn is_unchanged(&self, stamp: &Stamp, all: u64) -> bool {
        let unchanged = self.sum(stamp.places) == stamp.sum;
        if unchanged {
            stamp.all.store(all, Ordering::Relaxed);
        }
        unchanged
    }
}

/// Answers of one thread.
#[derive(Debug, Default)]
pub(crate) struct MatchCache {
    answers: HashTable<Arc<Matched>>,
    hasher: RandomState,
    /// Of all answers.
    targets: usize,
    merge: Vec<Target>,
}

/// Longer topics are not remembered: whoever repeats one remembers it.
const MAX_TOPIC: usize = 256;
/// Answers kept, and targets in all of them: when there are more, all are forgotten. (With a topic a session, or with
/// everybody subscribed to everything, the cache would otherwise become the largest thing in the process.)
const MAX_ANSWERS: usize = 65_536;
const MAX_TARGETS: usize = 1 << 20;

impl MatchCache {
    /// Who gets this topic's messages.
    pub(crate) fn get(
        &mut self,
        topic: &TopicName,
        generations: &Generations,
        trie: &RwLock<SubscriptionTrie<SlotRef>>,
    ) -> Arc<Matched> {
        let Self { answers, hasher, targets, merge } = self;
        let hash = hasher.hash_one(topic.as_str());
        let found = answers.find_mut(hash, |m| *m.topic == *topic.as_str());
        if let Some(matched) = &found
            && generations.is_fresh(matched)
        {
            return Arc::clone(matched);
        }
        // the stamp is older than the answer: a change in between makes the answer stale, never wrong for long
        let stamp = generations.stamp(Places::of(topic));
        trie.read().for_each_match(topic, |slot, options| merge.push(Target { slot: slot.clone(), options }));
        merge_overlapping(merge);
        let has_options = merge.iter().any(|t| t.options.no_local || t.options.retain_as_published);
        let topic_text = topic.as_str().into();
        let matched = Arc::new(Matched { topic: topic_text, stamp, targets: merge.drain(..).collect(), has_options });
        let kept = *targets - found.as_ref().map_or(0, |stale| stale.targets.len());
        match found {
            Some(stale) if kept + matched.targets.len() <= MAX_TARGETS => {
                *targets = kept + matched.targets.len();
                *stale = matched.clone();
            }
            // that nobody gets it is found out as fast as looked up, and there may be a topic for each message
            _ if matched.targets.is_empty() || topic.as_str().len() > MAX_TOPIC => {}
            _ => {
                if answers.len() >= MAX_ANSWERS || *targets + matched.targets.len() > MAX_TARGETS {
                    answers.clear();
                    *targets = 0;
                }
                *targets += matched.targets.len();
                answers.insert_unique(hash, matched.clone(), |m| hasher.hash_one(&*m.topic));
            }
        }
        matched
    }

    /// Forgets stale answers: they keep sessions in memory that ended.
    pub(crate) fn forget_stale(&mut self, generations: &Generations) {
        let Self { answers, hasher, targets, .. } = self;
        answers.retain(|matched| {
            let fresh = generations.is_fresh(matched);
            if !fresh {
                *targets -= matched.targets.len();
            }
            fresh
        });
        if answers.is_empty() {
            answers.shrink_to_fit(|m| hasher.hash_one(&*m.topic));
        }
    }
}

/// Overlapping filters of one client deliver a message once, at the highest QoS [MQTT-3.3.5-1]; its own messages unless
/// all of them refuse those, and RETAIN as published if one of them asks for it.
fn merge_overlapping(targets: &mut Vec<Target>) {
    if targets.len() < 2 {
        return;
    }
    targets.sort_unstable_by_key(|t| (t.slot.address(), std::cmp::Reverse(t.options.qos)));
    targets.dedup_by(|next, kept| {
        let same = next.slot == kept.slot;
        if same {
            kept.options.no_local &= next.options.no_local;
            kept.options.retain_as_published |= next.options.retain_as_published;
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        session::{Expiry, Session},
        topic::TopicFilter,
        types::QoS,
    };

    #[test]
    fn a_target_is_small_and_has_what_its_filters_ask_for_together() {
        assert_eq!(size_of::<Target>(), 16);
        let slots = [0, 1].map(|_| SlotRef::new(Session::new("c".into(), Expiry::WithConnection, None)));
        let target = |slot: usize, qos, no_local, retain_as_published| Target {
            slot: slots[slot].clone(),
            options: SubscriptionOptions { qos, no_local, retain_as_published, ..SubscriptionOptions::default() },
        };
        let mut targets = vec![
            target(0, QoS::AtMostOnce, true, true),
            target(1, QoS::ExactlyOnce, true, false),
            target(0, QoS::AtLeastOnce, false, false),
            target(1, QoS::AtMostOnce, true, false),
        ];
        merge_overlapping(&mut targets);
        targets.sort_by_key(|t| t.options.qos);
        let options: Vec<_> = targets.iter().map(|t| t.options).collect();
        let expected = [
            SubscriptionOptions { retain_as_published: true, ..QoS::AtLeastOnce.into() },
            SubscriptionOptions { no_local: true, ..QoS::ExactlyOnce.into() },
        ];
        assert_eq!(options, expected);
    }

    #[test]
    fn answers_that_grow_are_bounded_as_those_that_are_new() {
        const TOPICS: usize = 1_100;
        let (mut cache, generations) = (MatchCache::default(), Generations::default());
        let trie = RwLock::new(SubscriptionTrie::new(1));
        let all = TopicFilter::new("#").unwrap();
        let subscribe = || {
            let slot = SlotRef::new(Session::new("c".into(), Expiry::WithConnection, None));
            trie.write().subscribe(all, slot, SubscriptionOptions::default());
            generations.bump(Beginning::Nothing);
        };
        let publish_all = |cache: &mut MatchCache| {
            for n in 0..TOPICS {
                cache.get(TopicName::new(&n.to_string()).unwrap(), &generations, &trie);
                assert!(cache.targets <= MAX_TARGETS, "{} targets", cache.targets);
                if n % 100 == 0 {
                    assert_eq!(cache.targets, cache.answers.iter().map(|m| m.targets.len()).sum::<usize>());
                }
            }
        };
        subscribe();
        publish_all(&mut cache);
        assert_eq!(cache.targets, TOPICS);
        (0..MAX_TARGETS / TOPICS + 1).for_each(|_| subscribe());
        publish_all(&mut cache);
    }
}
