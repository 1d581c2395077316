//! [`Memberships`]: the shared subscriptions of one session, stored in its slot.

use std::{collections::HashMap, time::Instant};

use super::{
    group::{GroupRef, Standing},
    ring::Place,
};
use crate::{
    session::{Moved, Share},
    topic::{TopicFilter, TopicName},
};

/// The groups of one session: of a session that is in some alone.
pub(crate) struct Memberships<S> {
    /// Each with its number among them, which messages that wait are marked with.
    list: Vec<(Share, GroupRef<S>)>,
    last: u8,
    /// The groups that were told that the client has no room.
    full_in: Vec<GroupRef<S>>,
    /// What waits since then, up to the message with this number, goes to others at this time.
    pub(crate) due: Option<(Instant, u64)>,
}

impl<S> Default for Memberships<S> {
    fn default() -> Self {
        Self { list: Vec::new(), last: 0, full_in: Vec::new(), due: None }
    }
}

impl<S: Place> Memberships<S> {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn has(&self, group: &GroupRef<S>) -> bool {
        self.list.iter().any(|(_, of)| of == group)
    }

    /// The number of one more group; that of one which it is in already stays.
    pub(crate) fn number_for(&mut self, group: &GroupRef<S>) -> Share {
        if let Some((number, _)) = self.list.iter().find(|(_, of)| of == group) {
            return *number;
        }
        if self.list.len() >= usize::from(Share::MOST) {
            return Share::SOME;
        }
        loop {
            // the next one: what waits with the number of a group that was left is taken for none's
            self.last = self.last % Share::MOST + 1;
            let number = Share::of(self.last);
            if !self.list.iter().any(|(taken, _)| *taken == number) {
                return number;
            }
        }
    }

    /// It is in this group too.
    pub(crate) fn add(&mut self, number: Share, group: &GroupRef<S>, standing: Standing) {
        self.list.push((number, group.clone()));
        if standing == Standing::Full {
            self.full_in.push(group.clone());
        }
    }

    /// The session leaves the group: the number that it had.
    pub(crate) fn remove(&mut self, group: &GroupRef<S>) -> Option<Share> {
        self.full_in.retain(|of| of != group);
        let at = self.list.iter().position(|(_, of)| of == group)?;
        Some(self.list.swap_remove(at).0)
    }

    /// All of them.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &GroupRef<S>> {
        self.list.iter().map(|(_, group)| group)
    }

    /// The group that a message is marked with. Where the mark does not say which, the one behind `earlier` others
    /// whose filter its topic matches.
    pub(crate) fn group_of(&self, share: Share, topic: &TopicName, earlier: usize) -> Option<&GroupRef<S>> {
        if share != Share::SOME {
            return self.list.iter().find(|(number, _)| *number == share).map(|(_, group)| group);
        }
        let matches = |group: &&GroupRef<S>| TopicFilter::from_valid(group.filter()).behind_share().matches(topic);
        let first = || self.groups().find(matches);
        self.groups().filter(matches).nth(earlier).or_else(first)
    }

    /// Each message with its group; without those of groups that the session has left.
    pub(crate) fn with_groups(&self, moved: Vec<Moved>) -> Vec<(GroupRef<S>, Moved)> {
        // of one message that came through several groups, each has one
        let mut earlier: HashMap<usize, usize> = HashMap::new();
        let mut with_group = |moved: Moved| {
            let nth = earlier.entry(moved.message.address()).or_default();
            let group = self.group_of(moved.share, moved.message.topic(), *nth)?.clone();
            *nth += 1;
            Some((group, moved))
        };
        moved.into_iter().filter_map(&mut with_group).collect()
    }

    // ---- to be called with the slot locked ----

    /// The client came, or went away.
    pub(crate) fn set_standing(&mut self, slot: &S, standing: Standing) {
        self.full_in.clear();
        if standing == Standing::Full {
            self.full_in.extend(self.list.iter().map(|(_, group)| group.clone()));
        }
        self.groups().for_each(|group| group.set_standing(slot, standing));
    }

    /// The client has no room, as one of its groups found.
    pub(crate) fn note_full(&mut self, slot: &S, group: &GroupRef<S>) {
        if !self.full_in.contains(group) {
            self.full_in.push(group.clone());
            group.set_standing(slot, Standing::Full);
        }
    }

    /// Was a group told that the client has no room?
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        !self.full_in.is_empty()
    }

    /// The client has room again.
    pub(crate) fn note_ready(&mut self, slot: &S) {
        for group in self.full_in.drain(..) {
            group.set_standing(slot, Standing::Ready);
        }
    }
}
