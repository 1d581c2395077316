//! [`Groups`]: the groups of shared subscriptions, and those that match a topic. Their members are in [`GroupRef`], so
//! that a change of members does not make cached matches stale.

use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::{RwLock, RwLockUpgradableReadGuard};

use super::super::sessions::GroupRef;
use crate::{
    topic::{
        Beginning, FilterId, Place, SharedFilter, Steps, SubscriptionTrie, TooMany, TopicFilter, TopicName, Walked,
    },
    types::SubscriptionOptions,
};

/// All groups.
pub(crate) struct Groups {
    inner: RwLock<Inner>,
    /// Number of groups: mostly none, and then they cost a message nothing.
    count: AtomicUsize,
    /// Number of sessions in all groups.
    members: AtomicUsize,
    seed: u64,
}

struct Inner {
    trie: SubscriptionTrie<GroupRef>,
    /// By filter, including `$share/…`.
    by_filter: HashMap<Box<str>, Entry, RandomState>,
    /// Bytes of their filters.
    texts: usize,
}

struct Entry {
    group: GroupRef,
    id: FilterId,
    /// Number of sessions that are in it, or about to join.
    claims: usize,
}

impl Groups {
    pub(super) fn new(seed: u64) -> Self {
        let inner = Inner { trie: SubscriptionTrie::new(seed), by_filter: HashMap::default(), texts: 0 };
        Self { inner: RwLock::new(inner), count: AtomicUsize::new(0), members: AtomicUsize::new(0), seed }
    }

    /// Number of (group, session) pairs.
    pub(super) fn members(&self) -> usize {
        self.members.load(Ordering::Relaxed)
    }

    /// Approximate bytes of memory of all groups.
    pub(super) fn memory(&self) -> usize {
        if self.members() == 0 {
            return 0;
        }
        let inner = self.inner.read();
        inner.trie.memory() + inner.texts + inner.by_filter.len() * OF_GROUP + self.members() * OF_MEMBER
    }

    /// The group with this filter, if there is one.
    pub(super) fn get(&self, filter: &TopicFilter) -> Option<GroupRef> {
        if self.is_empty() {
            return None;
        }
        self.inner.read().by_filter.get(filter.as_str()).map(|entry| entry.group.clone())
    }

    /// Reserves a place in the group with this filter, which is created if it is missing, for a session that is about
    /// to join. [Give it back](Self::give_back) once, when the session has left. `changes` marks matches as stale.
    pub(super) fn claim(
        &self,
        filter: &TopicFilter,
        shared: SharedFilter<'_>,
        changes: impl FnOnce(Beginning<'_>),
    ) -> GroupRef {
        self.members.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner.write();
        let Inner { trie, by_filter, texts } = &mut *inner;
        if let Some(entry) = by_filter.get_mut(filter.as_str()) {
            entry.claims += 1;
            return entry.group.clone();
        }
        let group = GroupRef::new(filter.as_str(), self.seed);
        let id = trie.subscribe(shared.filter, group.clone(), SubscriptionOptions::default()).id;
        by_filter.insert(filter.as_str().into(), Entry { group: group.clone(), id, claims: 1 });
        *texts += 2 * filter.as_str().len();
        self.count.store(by_filter.len(), Ordering::Release);
        trie.beginning(id).map(changes);
        group
    }

    /// A session has left the group. The group ends with its last member.
    pub(super) fn give_back(&self, group: &GroupRef, changes: impl FnOnce(Beginning<'_>)) {
        self.members.fetch_sub(1, Ordering::Relaxed);
        let mut inner = self.inner.write();
        let Inner { trie, by_filter, texts } = &mut *inner;
        let Some(entry) = by_filter.get_mut(group.filter()).filter(|entry| entry.group == *group) else { return };
        entry.claims -= 1;
        if entry.claims > 0 {
            return;
        }
        let id = entry.id;
        // look-ups wait until the change is complete
        trie.beginning(id).map(changes);
        trie.remove(id, group);
        by_filter.remove(group.filter());
        *texts -= 2 * group.filter().len();
        self.count.store(by_filter.len(), Ordering::Release);
    }

    // ---- the groups of a topic ----

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// See [`SubscriptionTrie::match_within`].
    pub(super) fn matching(
        &self,
        topic: &TopicName,
        most: usize,
        groups: &mut Vec<GroupRef>,
    ) -> Result<usize, TooMany> {
        self.inner.read().trie.match_within(topic, most, |group, _| groups.push(group.clone()))
    }

    /// The same in steps. `true`: it is done. `place`: where the walk was interrupted; that node is pinned.
    pub(super) fn walk(
        &self,
        topic: &TopicName,
        place: &mut Option<Place>,
        steps: &mut Steps,
        f: impl FnMut(&GroupRef),
    ) -> bool {
        let inner = self.inner.upgradable_read();
        let mut f = f;
        let walked = inner.trie.walk(topic, place.unwrap_or_default(), steps, |group, _| f(group));
        let left = if let Walked::Left(place) = walked { Some(place) } else { None };
        if left.is_some() || place.is_some() {
            // without unlocking in between, so the node still exists
            let mut inner = RwLockUpgradableReadGuard::upgrade(inner);
            left.into_iter().for_each(|place| inner.trie.pin(place));
            place.iter().for_each(|place| inner.trie.unpin(*place));
        }
        *place = left;
        left.is_none()
    }

    /// Ends an interrupted walk.
    pub(super) fn give_up(&self, place: Place) {
        self.inner.write().trie.unpin(place);
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn pins(&self) -> usize {
        self.inner.read().trie.nodes_and_pins().1
    }
}

/// Bytes of a group without its members, and of a member: its place in a list with half as much spare capacity, and in
/// a table.
const OF_GROUP: usize = 256;
const OF_MEMBER: usize = 24 * 3 / 2 + 24;
