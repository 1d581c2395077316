//! [`MatchCache`]: who gets a topic's messages, remembered by each thread while no subscription that could change the
//! answer changes. [`Generations`] says whether one did.

use std::{
    hash::BuildHasher,
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
    topic::{SubscriptionTrie, TopicName},
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

/// Counters of changed subscriptions. Those without wildcards count in one of many counters, by their topic, so that
/// clients that come and go do not make each other's topics stale.
#[derive(Debug)]
pub(crate) struct Generations {
    wildcard: AtomicU64,
    exact: Box<[AtomicU64]>,
}

/// The counters that concern one topic, as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    wildcard: u64,
    exact: u64,
    /// Which of the exact counters.
    bucket: u16,
}

const BUCKETS: usize = 4096;

/// Which of the exact counters a topic counts in. Who knows the function can make others' answers stale, no more; the
/// tables that hold what clients chose are seeded.
fn bucket(text: &str) -> u16 {
    (FixedState::default().hash_one(text) as usize % BUCKETS) as u16
}

impl Default for Generations {
    fn default() -> Self {
        Self { wildcard: AtomicU64::new(0), exact: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Generations {
    /// A subscription to this filter has changed. To be called before its change is acknowledged.
    pub(crate) fn bump(&self, filter: &str, wildcard: bool) {
        let counter = if wildcard { &self.wildcard } else { &self.exact[usize::from(bucket(filter))] };
        counter.fetch_add(1, Ordering::Release);
    }

    /// No answer is right any more.
    pub(crate) fn bump_all(&self) {
        // every stamp has it
        self.wildcard.fetch_add(1, Ordering::Release);
    }

    #[inline]
    fn stamp(&self, bucket: u16) -> Stamp {
        Stamp {
            wildcard: self.wildcard.load(Ordering::Acquire),
            exact: self.exact[usize::from(bucket)].load(Ordering::Acquire),
            bucket,
        }
    }

    /// Is the answer still right?
    #[inline]
    pub(crate) fn is_fresh(&self, matched: &Matched) -> bool {
        self.stamp(matched.stamp.bucket) == matched.stamp
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
        let stamp = generations.stamp(bucket(topic.as_str()));
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
            options: SubscriptionOptions { qos, no_local, retain_as_published },
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
            SubscriptionOptions { qos: QoS::AtLeastOnce, no_local: false, retain_as_published: true },
            SubscriptionOptions { qos: QoS::ExactlyOnce, no_local: true, retain_as_published: false },
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
            generations.bump("#", true);
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
