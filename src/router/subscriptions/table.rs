//! [`Subscriptions`]: all subscriptions, and the generations that make cached matches stale.

use std::sync::Arc;

use parking_lot::{RwLock, RwLockWriteGuard};

use super::{
    super::sessions::{GroupRef, SlotRef},
    groups::Groups,
    matches::{Generations, MatchCache, Matched, Matching},
};
use crate::{
    topic::{FilterId, SharedFilter, Steps, SubscriptionTrie, TooMany, TopicFilter, TopicName},
    types::SubscriptionOptions,
};

/// All subscriptions.
pub(crate) struct Subscriptions {
    trie: RwLock<SubscriptionTrie<SlotRef>>,
    groups: Groups,
    generations: Generations,
}

/// The subscriptions, locked for changes. Affected matches are stale before the lock is released.
pub(crate) struct Changes<'a> {
    trie: RwLockWriteGuard<'a, SubscriptionTrie<SlotRef>>,
    groups: &'a Groups,
    generations: &'a Generations,
}

impl Subscriptions {
    /// Without subscriptions. `seed` prevents clients from choosing filters that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            trie: RwLock::new(SubscriptionTrie::new(seed)),
            groups: Groups::new(seed.rotate_left(16)),
            generations: Generations::default(),
        }
    }

    /// Number of (filter, subscriber) pairs, without those of groups.
    pub(crate) fn len(&self) -> usize {
        self.trie.read().len()
    }

    /// Number of (group, session) pairs.
    pub(crate) fn shared(&self) -> usize {
        self.groups.members()
    }

    /// Approximate bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.trie.read().memory() + self.groups.memory()
    }

    /// Number of groups of shared subscriptions.
    #[cfg(test)]
    pub(crate) fn group_count(&self) -> usize {
        self.groups.count()
    }

    /// See [`SubscriptionTrie::nodes_and_pins`].
    #[cfg(test)]
    pub(crate) fn nodes_and_pins(&self) -> (usize, usize) {
        let (nodes, pins) = self.trie.read().nodes_and_pins();
        (nodes, pins + self.groups.pins())
    }

    /// The texts of these filters that have subscribers.
    pub(crate) fn texts(&self, filters: &[FilterId]) -> Vec<String> {
        let trie = self.trie.read();
        filters.iter().filter_map(|&id| trie.filter(id)).collect()
    }

    /// Locks them.
    pub(crate) fn change(&self) -> Changes<'_> {
        Changes { trie: self.trie.write(), groups: &self.groups, generations: &self.generations }
    }

    /// The subscribers of this topic, and the number of nodes that were visited to find them. `Err`: far more than
    /// `most` nodes.
    #[inline]
    pub(crate) fn matching(
        &self,
        cache: &mut MatchCache,
        topic: &TopicName,
        most: usize,
    ) -> Result<(Arc<Matched>, usize), TooMany> {
        cache.get(topic, most, &self.generations, &self.trie, &self.groups)
    }

    /// Begins a match in steps.
    pub(crate) fn begin_matching(&self, topic: &TopicName) -> Matching {
        Matching::new(topic, &self.generations)
    }

    /// Continues it. `true`: it is done.
    pub(crate) fn go_on_matching(&self, matching: &mut Matching, topic: &TopicName, steps: &mut Steps) -> bool {
        matching.go_on(topic, steps, &self.trie, &self.groups)
    }

    /// Ends an interrupted match.
    pub(crate) fn give_up_matching(&self, matching: Matching) {
        matching.give_up(&self.trie, &self.groups);
    }

    /// Is the match still valid?
    #[inline]
    pub(crate) fn is_fresh(&self, matched: &Matched) -> bool {
        self.generations.is_fresh(matched)
    }

    /// Makes all matches stale, and with them remembered admissions of topics.
    pub(crate) fn make_all_stale(&self) {
        self.generations.bump_all();
    }

    /// The group with this filter, if there is one.
    pub(crate) fn group(&self, filter: &TopicFilter) -> Option<GroupRef> {
        self.groups.get(filter)
    }

    /// Calls `each` for those of these filters that a session subscribes to, with their options.
    pub(crate) fn describe(
        &self,
        filters: &[FilterId],
        slot: &SlotRef,
        mut each: impl FnMut(String, SubscriptionOptions),
    ) {
        let trie = self.trie.read();
        for id in filters {
            // the subscription may have ended, and its number be another filter's
            if let (Some(options), Some(filter)) = (trie.options(*id, slot), trie.filter(*id)) {
                each(filter, options);
            }
        }
    }

    /// Number of sessions that subscribe to exactly this filter.
    pub(crate) fn subscribed_to(&self, filter: &TopicFilter) -> usize {
        let trie = self.trie.read();
        trie.id(filter).map_or(0, |id| trie.subscriber_count(id))
    }

    /// Reserves a place in the group with this filter, which is created if it is missing, for a session that is about
    /// to join. [Give it back](Self::give_back) once, when the session has left.
    pub(crate) fn claim(&self, filter: &TopicFilter, shared: SharedFilter<'_>) -> GroupRef {
        self.groups.claim(filter, shared, |beginning| self.generations.bump(beginning))
    }

    /// The group with the same filter: all members may have left since, and others begun it anew.
    pub(crate) fn group_like(&self, group: &GroupRef) -> Option<GroupRef> {
        self.groups.get(TopicFilter::from_valid(group.filter()))
    }

    /// A session has left the group, or has not joined it.
    pub(crate) fn give_back(&self, group: &GroupRef) {
        self.groups.give_back(group, |beginning| self.generations.bump(beginning));
    }

    /// Removes stale matches from a thread's cache.
    pub(crate) fn forget_stale(&self, cache: &mut MatchCache) {
        cache.forget_stale(&self.generations);
    }
}

impl Changes<'_> {
    /// Approximate bytes of memory of all subscriptions.
    pub(crate) fn memory(&self) -> usize {
        self.trie.memory() + self.groups.memory()
    }

    /// Does the session subscribe to this filter?
    pub(crate) fn has(&self, filter: &TopicFilter, slot: &SlotRef) -> bool {
        self.trie.id(filter).is_some_and(|id| self.trie.options(id, slot).is_some())
    }

    /// Subscribes the session to this filter, and replaces its subscription to the same filter. Returns the number of
    /// the filter if there was none.
    pub(crate) fn subscribe(
        &mut self,
        filter: &TopicFilter,
        slot: &SlotRef,
        options: SubscriptionOptions,
    ) -> Option<FilterId> {
        let subscribed = self.trie.subscribe(filter, slot.clone(), options);
        if subscribed.replaced != Some(options)
            && let Some(beginning) = self.trie.beginning(subscribed.id)
        {
            self.generations.bump(beginning);
        }
        subscribed.replaced.is_none().then_some(subscribed.id)
    }

    /// Removes the session's subscription to this filter. Returns the filter's number if there was one.
    pub(crate) fn unsubscribe(&mut self, filter: &TopicFilter, slot: &SlotRef) -> Option<FilterId> {
        let id = self.trie.id(filter)?;
        self.remove(id, slot).then_some(id)
    }

    /// The same by number. Was there a subscription?
    pub(crate) fn remove(&mut self, id: FilterId, slot: &SlotRef) -> bool {
        // the filter may end with its last subscriber
        let counter = self.trie.beginning(id).map(|beginning| self.generations.counter(beginning));
        let removed = self.trie.remove(id, slot);
        if let Some(counter) = counter.filter(|_| removed) {
            self.generations.count(counter);
        }
        removed
    }
}
