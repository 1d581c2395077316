//! [`MatchCache`]: each thread's cache of the subscribers of a topic. [`Generations`] counts changes of subscriptions,
//! which make entries stale.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use foldhash::fast::{FixedState, RandomState};
use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockUpgradableReadGuard};

use super::{
    super::sessions::{GroupRef, SlotRef},
    groups::Groups,
};
use crate::{
    codec::encode,
    session::Identifiers,
    topic::{Beginning, Place, Steps, SubscriptionTrie, TooMany, TopicName, Walked},
    types::{QoS, SubscriptionOptions},
};

/// A session that gets a message, and the merged options of its matching filters: see [`merge_overlapping`].
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) slot: SlotRef,
    pub(crate) options: SubscriptionOptions,
}

/// The subscribers of one topic.
#[derive(Debug)]
pub struct Matched {
    topic: Box<str>,
    stamp: Stamp,
    pub(crate) targets: Box<[Target]>,
    /// One member of each of these groups gets it.
    pub(crate) groups: Box<[GroupRef]>,
    /// The largest number of sessions that get it.
    pub(crate) receivers: usize,
    /// A target has No Local, Retain As Published or a Subscription Identifier, or there are groups.
    pub(crate) has_options: bool,
    /// Subscription Identifiers of sessions with more than one, by the session's address.
    more_identifiers: Box<[(usize, u32)]>,
}

impl Matched {
    fn new(
        topic: &TopicName,
        stamp: Stamp,
        targets: Box<[Target]>,
        groups: Vec<GroupRef>,
        mut more: Vec<(usize, u32)>,
    ) -> Self {
        let has_options = !groups.is_empty() || targets.iter().any(|target| target.options.is_special());
        more.sort_unstable();
        let receivers = targets.len() + groups.len();
        let (topic, groups, more_identifiers) = (topic.as_str().into(), groups.into(), more.into());
        Self { topic, stamp, targets, groups, receivers, has_options, more_identifiers }
    }

    /// Are there no subscribers?
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.receivers == 0
    }

    /// Does a session that the store keeps subscribe to it?
    pub(crate) fn is_kept(&self) -> bool {
        self.targets.iter().any(|target| target.slot.is_kept() && target.options.qos != QoS::AtMostOnce)
            || self.groups.iter().any(GroupRef::keeps)
    }

    /// The Subscription Identifiers of all matching filters of this session (MQTT 5 section 3.3.4), as properties on
    /// the wire.
    pub(crate) fn identifiers(&self, target: &Target) -> Identifiers {
        let mut all = Identifiers::new();
        if let Some(identifier) = target.options.identifier {
            encode::identifier(&mut all, identifier.get());
        }
        if !self.more_identifiers.is_empty() {
            let of_session = target.slot.address();
            let from = self.more_identifiers.partition_point(|(address, _)| *address < of_session);
            let more = self.more_identifiers[from..].iter().take_while(|(address, _)| *address == of_session);
            more.for_each(|&(_, identifier)| encode::identifier(&mut all, identifier));
        }
        all
    }

    /// The topic.
    pub fn topic(&self) -> &TopicName {
        TopicName::from_valid(&self.topic)
    }
}

/// Counters of changed subscriptions. Each change counts in one of many counters, chosen by its filter, so that clients
/// that connect and leave do not make matches of other topics stale: a filter without wildcards by its text, one with
/// wildcards by its levels before the first of them, two at most.
#[derive(Debug)]
pub(crate) struct Generations {
    /// Counts every change, after the specific counter: while it is unchanged, so are all others.
    all: AtomicU64,
    /// For filters that begin with a wildcard.
    anywhere: AtomicU64,
    /// For filters without wildcards.
    exact: Box<[AtomicU64]>,
    /// For filters with wildcards after one or two levels.
    below: Box<[AtomicU64]>,
}

/// The values of the counters that concern one topic.
#[derive(Debug)]
struct Stamp {
    /// [`Generations::all`] at the last comparison.
    all: AtomicU64,
    /// The sum of the others. They never decrease, so the sum is unchanged only if each of them is.
    sum: u64,
    places: Places,
}

/// The counters that concern one topic.
#[derive(Clone, Copy, Debug)]
struct Places {
    exact: u16,
    /// By its first level, and by its first two.
    below: [u16; 2],
}

/// Size of each table. Texts that share a counter only make each other's matches stale.
const COUNTERS: usize = 4096;

/// The index of a counter. A client that knows the function can only make matches stale; tables with client data are
/// seeded.
fn place(hasher: &impl Hasher) -> u16 {
    (hasher.finish() as usize % COUNTERS) as u16
}

/// The indexes for a first level, and for the first two.
fn places_below(first: &str, second: Option<&str>) -> [u16; 2] {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(first.as_bytes());
    let alone = place(&hasher);
    // no filter with two levels before its wildcards matches a topic of one level
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
    /// A subscription to such a filter changed. Call it before the change is acknowledged.
    pub(crate) fn bump(&self, filter: Beginning<'_>) {
        self.count(self.counter(filter));
    }

    /// The counter of such filters. Every topic that they match has it in its [`Places`].
    pub(crate) fn counter(&self, filter: Beginning<'_>) -> &AtomicU64 {
        let below = |place: u16| &self.below[usize::from(place)];
        match filter {
            Beginning::Whole(topic) => &self.exact[usize::from(place_of_all(topic))],
            Beginning::Nothing => &self.anywhere,
            Beginning::Level(first) => below(places_below(first, None)[0]),
            Beginning::Levels(first, second) => below(places_below(first, Some(second))[1]),
        }
    }

    /// Makes all matches stale.
    pub(crate) fn bump_all(&self) {
        // every stamp includes it
        self.count(&self.anywhere);
    }

    /// Counts a change in this counter.
    pub(crate) fn count(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Release);
        // after the first one: a thread that sees this sees that too
        self.all.fetch_add(1, Ordering::Release);
    }

    /// Do two such filters share a counter?
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

    /// Is the match still valid?
    #[inline]
    pub(crate) fn is_fresh(&self, matched: &Matched) -> bool {
        let all = self.all.load(Ordering::Acquire);
        matched.stamp.all.load(Ordering::Relaxed) == all || self.is_unchanged(&matched.stamp, all)
    }

    /// Changes were counted, up to `all`: does none of them concern the topic?
    #[inline(never)]
    fn is_unchanged(&self, stamp: &Stamp, all: u64) -> bool {
        let unchanged = self.sum(stamp.places) == stamp.sum;
        if unchanged {
            stamp.all.store(all, Ordering::Relaxed);
        }
        unchanged
    }
}

/// The matches of one thread.
#[derive(Debug, Default)]
pub(crate) struct MatchCache {
    answers: HashTable<Arc<Matched>>,
    hasher: RandomState,
    /// Number of targets in all matches.
    targets: usize,
    merge: Vec<Target>,
}

/// Longer topics are not cached here: a publisher that repeats one remembers its match.
const MAX_TOPIC: usize = 256;
/// Most matches, and most targets in all of them: beyond that the cache is cleared. (With a topic for each session, or
/// with everyone subscribed to everything, the cache would otherwise become the largest structure in the process.)
const MAX_ANSWERS: usize = 65_536;
const MAX_TARGETS: usize = 1 << 20;

impl MatchCache {
    /// The subscribers of this topic, and the number of nodes that were visited to find them. `Err`: far more than
    /// `most` nodes.
    pub(crate) fn get(
        &mut self,
        topic: &TopicName,
        most: usize,
        generations: &Generations,
        trie: &RwLock<SubscriptionTrie<SlotRef>>,
        groups: &Groups,
    ) -> Result<(Arc<Matched>, usize), TooMany> {
        let hash = self.hasher.hash_one(topic.as_str());
        if let Some(matched) = self.answers.find(hash, |m| *m.topic == *topic.as_str())
            && generations.is_fresh(matched)
        {
            return Ok((Arc::clone(matched), 0));
        }
        // the stamp is taken first: a change in between makes the match stale
        let stamp = generations.stamp(Places::of(topic));
        let merge = &mut self.merge;
        let name = |slot: &SlotRef, options| merge.push(Target { slot: slot.clone(), options });
        let matching = trie.read().match_within(topic, most, name);
        let mut visited = matching.inspect_err(|_| self.merge.clear())?;
        let mut shared = Vec::new();
        if !groups.is_empty() {
            visited += groups.matching(topic, most, &mut shared).inspect_err(|_| self.merge.clear())?;
        }
        let mut more = Vec::new();
        merge_overlapping(&mut self.merge, &mut more);
        let matched = Arc::new(Matched::new(topic, stamp, self.merge.drain(..).collect(), shared, more));
        self.remember(hash, &matched);
        Ok((matched, visited))
    }

    /// Adds the result of a match in steps.
    pub(crate) fn add(&mut self, matched: &Arc<Matched>) {
        self.remember(self.hasher.hash_one(&*matched.topic), matched);
    }

    fn remember(&mut self, hash: u64, matched: &Arc<Matched>) {
        let Self { answers, hasher, targets, .. } = self;
        let found = answers.find_mut(hash, |m| m.topic == matched.topic);
        let kept = *targets - found.as_ref().map_or(0, |stale| stale.targets.len());
        match found {
            Some(stale) if kept + matched.targets.len() <= MAX_TARGETS => {
                *targets = kept + matched.targets.len();
                *stale = matched.clone();
            }
            // an empty match is found as fast as looked up, and each message may have another topic
            _ if matched.is_empty() || matched.topic.len() > MAX_TOPIC => {}
            _ => {
                if answers.len() >= MAX_ANSWERS || *targets + matched.targets.len() > MAX_TARGETS {
                    answers.clear();
                    *targets = 0;
                }
                *targets += matched.targets.len();
                answers.insert_unique(hash, matched.clone(), |m| hasher.hash_one(&*m.topic));
            }
        }
    }

    /// Removes stale matches, which keep ended sessions in memory.
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

/// A match in steps, because it visits many nodes.
#[derive(Debug)]
pub(crate) struct Matching {
    stamp: Stamp,
    /// Where the walk was interrupted; that node is pinned.
    place: Option<Place>,
    targets: Vec<Target>,
    /// The index of a session in `targets`, by its address.
    places: HashMap<usize, usize>,
    more_identifiers: Vec<(usize, u32)>,
    groups: Vec<GroupRef>,
    /// All targets are found; the groups follow, and `place` is among them.
    has_targets: bool,
}

impl Matching {
    /// Nothing is done yet. Changes from now on make the result stale.
    pub(crate) fn new(topic: &TopicName, generations: &Generations) -> Self {
        let stamp = generations.stamp(Places::of(topic));
        Self {
            stamp,
            place: None,
            targets: Vec::new(),
            places: HashMap::new(),
            more_identifiers: Vec::new(),
            groups: Vec::new(),
            has_targets: false,
        }
    }

    /// Continues the match. `true`: it is done.
    pub(crate) fn go_on(
        &mut self,
        topic: &TopicName,
        steps: &mut Steps,
        trie: &RwLock<SubscriptionTrie<SlotRef>>,
        groups: &Groups,
    ) -> bool {
        self.has_targets = self.has_targets || self.find_targets(topic, steps, trie);
        self.has_targets && (groups.is_empty() && self.place.is_none() || self.find_groups(topic, steps, groups))
    }

    fn find_groups(&mut self, topic: &TopicName, steps: &mut Steps, groups: &Groups) -> bool {
        groups.walk(topic, &mut self.place, steps, |group| self.groups.push(group.clone()))
    }

    fn find_targets(&mut self, topic: &TopicName, steps: &mut Steps, trie: &RwLock<SubscriptionTrie<SlotRef>>) -> bool {
        let Self { place, targets, places, more_identifiers, .. } = self;
        let trie = trie.upgradable_read();
        let walked =
            trie.walk(topic, place.unwrap_or_default(), steps, |slot, options| match places.entry(slot.address()) {
                Entry::Occupied(at) => merge_options(&mut targets[*at.get()], options, more_identifiers),
                Entry::Vacant(at) => {
                    at.insert(targets.len());
                    targets.push(Target { slot: slot.clone(), options });
                }
            });
        let left = if let Walked::Left(place) = walked { Some(place) } else { None };
        if left.is_some() || place.is_some() {
            // without unlocking in between, so the node still exists
            let mut trie = RwLockUpgradableReadGuard::upgrade(trie);
            left.into_iter().for_each(|place| trie.pin(place));
            place.iter().for_each(|place| trie.unpin(*place));
        }
        *place = left;
        left.is_none()
    }

    /// Takes the result.
    pub(crate) fn finish(&mut self, topic: &TopicName) -> Arc<Matched> {
        let stamp = Stamp { all: AtomicU64::new(*self.stamp.all.get_mut()), ..self.stamp };
        let more = std::mem::take(&mut self.more_identifiers);
        let groups = std::mem::take(&mut self.groups);
        Arc::new(Matched::new(topic, stamp, std::mem::take(&mut self.targets).into(), groups, more))
    }

    /// Ends an interrupted match.
    pub(crate) fn give_up(self, trie: &RwLock<SubscriptionTrie<SlotRef>>, groups: &Groups) {
        match self.place {
            Some(place) if self.has_targets => groups.give_up(place),
            Some(place) => trie.write().unpin(place),
            None => {}
        }
    }
}

/// Merges the options of two filters of one session. `more`: see [`Matched::more_identifiers`].
fn merge_options(target: &mut Target, other: SubscriptionOptions, more: &mut Vec<(usize, u32)>) {
    let kept = &mut target.options;
    kept.qos = kept.qos.max(other.qos);
    kept.no_local &= other.no_local;
    kept.retain_as_published |= other.retain_as_published;
    match (kept.identifier, other.identifier) {
        (None, identifier) => kept.identifier = identifier,
        (Some(_), Some(identifier)) => more.push((target.slot.address(), identifier.get())),
        (Some(_), None) => {}
    }
}

/// Merges overlapping filters of one client: the message is delivered once, at the highest QoS [MQTT-3.3.5-1], with No
/// Local only if all of them have it, and with Retain As Published if one of them has it.
fn merge_overlapping(targets: &mut Vec<Target>, more: &mut Vec<(usize, u32)>) {
    if targets.len() < 2 {
        return;
    }
    targets.sort_unstable_by_key(|t| (t.slot.address(), std::cmp::Reverse(t.options.qos)));
    targets.dedup_by(|next, kept| {
        let same = next.slot == kept.slot;
        if same {
            merge_options(kept, next.options, more);
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
    };

    #[test]
    fn a_target_is_small_and_has_the_merged_options_of_its_filters() {
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
        merge_overlapping(&mut targets, &mut Vec::new());
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
                let _ = cache
                    .get(TopicName::new(&n.to_string()).unwrap(), usize::MAX, &generations, &trie, &Groups::new(1))
                    .unwrap();
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
