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

/// The subscriptions, locked for changes: an answer that one of them makes stale is stale before they are unlocked.
pub(crate) struct Changes<'a> {
    trie: RwLockWriteGuard<'a, SubscriptionTrie<SlotRef>>,
    groups: &'a Groups,
    generations: &'a Generations,
}

impl Subscriptions {
    /// None. `seed` keeps clients from choosing filters that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            trie: RwLock::new(SubscriptionTrie::new(seed)),
            groups: Groups::new(seed.rotate_left(16)),
            generations: Generations::default(),
        }
    }

    /// (Filter, subscriber) pairs, without those of groups.
    pub(crate) fn len(&self) -> usize {
        self.trie.read().len()
    }

    /// (Group, session) pairs.
    pub(crate) fn shared(&self) -> usize {
        self.groups.members()
    }

    /// Bytes of memory for all of them, about.
    pub(crate) fn memory(&self) -> usize {
        self.trie.read().memory() + self.groups.memory()
    }

    /// Groups of shared subscriptions.
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

    /// The texts of these filters, as far as somebody subscribes to them.
    pub(crate) fn texts(&self, filters: &[FilterId]) -> Vec<String> {
        let trie = self.trie.read();
        filters.iter().filter_map(|&id| trie.filter(id)).collect()
    }

    /// Locks them.
    pub(crate) fn change(&self) -> Changes<'_> {
        Changes { trie: self.trie.write(), groups: &self.groups, generations: &self.generations }
    }

    /// Who gets this topic's messages, and how many nodes were visited to find that out; an error if there are far more
    /// than `most` to visit.
    #[inline]
    pub(crate) fn matching(
        &self,
        cache: &mut MatchCache,
        topic: &TopicName,
        most: usize,
    ) -> Result<(Arc<Matched>, usize), TooMany> {
        cache.get(topic, most, &self.generations, &self.trie, &self.groups)
    }

    /// The same in steps: nothing is done yet.
    pub(crate) fn begin_matching(&self, topic: &TopicName) -> Matching {
        Matching::new(topic, &self.generations)
    }

    /// Goes on with it; `true`: it is done.
    pub(crate) fn go_on_matching(&self, matching: &mut Matching, topic: &TopicName, steps: &mut Steps) -> bool {
        matching.go_on(topic, steps, &self.trie, &self.groups)
    }

    /// The match is not needed any more.
    pub(crate) fn give_up_matching(&self, matching: Matching) {
        matching.give_up(&self.trie, &self.groups);
    }

    /// Is the answer still right?
    #[inline]
    pub(crate) fn is_fresh(&self, matched: &Matched) -> bool {
        self.generations.is_fresh(matched)
    }

    /// Every answer is looked up again, and whether its topic is admitted is looked at again.
    pub(crate) fn make_all_stale(&self) {
        self.generations.bump_all();
    }

    /// The group of this filter, if there is one.
    pub(crate) fn group(&self, filter: &TopicFilter) -> Option<GroupRef> {
        self.groups.get(filter)
    }

    /// Names those of these filters that a session subscribes to, each with what it asks for.
    pub(crate) fn describe(
        &self,
        filters: &[FilterId],
        slot: &SlotRef,
        mut each: impl FnMut(String, SubscriptionOptions),
    ) {
        let trie = self.trie.read();
        for id in filters {
            // given up since, and the number may be another filter's
            if let (Some(options), Some(filter)) = (trie.options(*id, slot), trie.filter(*id)) {
                each(filter, options);
            }
        }
    }

    /// How many sessions subscribe to exactly this filter.
    pub(crate) fn subscribed_to(&self, filter: &TopicFilter) -> usize {
        let trie = self.trie.read();
        trie.id(filter).map_or(0, |id| trie.subscriber_count(id))
    }

    /// A session is about to join the group of this filter, which is made if there is none. To be
    /// [given back](Self::give_back) once, when the session has left.
    pub(crate) fn claim(&self, filter: &TopicFilter, shared: SharedFilter<'_>) -> GroupRef {
        self.groups.claim(filter, shared, |beginning| self.generations.bump(beginning))
    }

    /// The group with the filter of this one: it may have been left by all since, and been made anew.
    pub(crate) fn group_like(&self, group: &GroupRef) -> Option<GroupRef> {
        self.groups.get(TopicFilter::from_valid(group.filter()))
    }

    /// A session has left the group, or has not joined it.
    pub(crate) fn give_back(&self, group: &GroupRef) {
        self.groups.give_back(group, |beginning| self.generations.bump(beginning));
    }

    /// Drops stale answers from a thread's memory.
    pub(crate) fn forget_stale(&self, cache: &mut MatchCache) {
        cache.forget_stale(&self.generations);
    }
}

impl Changes<'_> {
    /// Bytes of memory for all subscriptions, about.
    pub(crate) fn memory(&self) -> usize {
        self.trie.memory() + self.groups.memory()
    }

    /// Does the session subscribe to this filter?
    pub(crate) fn has(&self, filter: &TopicFilter, slot: &SlotRef) -> bool {
        self.trie.id(filter).is_some_and(|id| self.trie.options(id, slot).is_some())
    }

    /// The session subscribes to this filter, in place of its subscription to the same filter. The number of the
    /// filter, if there was no such subscription.
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

    /// The session gives this filter up: the filter's number, if it subscribed to it.
    pub(crate) fn unsubscribe(&mut self, filter: &TopicFilter, slot: &SlotRef) -> Option<FilterId> {
        let id = self.trie.id(filter)?;
        self.remove(id, slot).then_some(id)
    }

    /// The same, by number: did it subscribe to it?
    pub(crate) fn remove(&mut self, id: FilterId, slot: &SlotRef) -> bool {
        // the filter may go with its last subscriber
        let counter = self.trie.beginning(id).map(|beginning| self.generations.counter(beginning));
        let removed = self.trie.remove(id, slot);
        if let Some(counter) = counter.filter(|_| removed) {
            self.generations.count(counter);
        }
        removed
    }
}
