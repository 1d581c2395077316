//! [`Memberships`]: the shared subscriptions of one session, stored in its slot.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use super::{
    group::{GroupRef, Standing},
    ring::Place,
};
use crate::{
    session::{Message, Moved, Share},
    topic::{TopicFilter, TopicName},
};

/// The groups of one session. A session without groups does not have this.
pub(crate) struct Memberships<S> {
    /// Each group with its number in this session, which marks queued messages.
    list: Vec<(Share, GroupRef<S>)>,
    last: u8,
    /// The groups to which the client was reported as full.
    full_in: Vec<GroupRef<S>>,
    /// At this time, messages up to this number that are still queued move to other members.
    pub(crate) due: Option<(Instant, u64)>,
    /// Queued messages, by number, that other members may not read: so that a message does not go round between them.
    /// Mostly none.
    refused: BTreeMap<u64, Vec<S>>,
    /// The last message that was passed on and whose group is unknown, and how many of its copies were.
    passed: Option<Box<(Message, usize)>>,
}

/// Most messages of a session of which it is noted who may not read them. Of others, members may be asked again.
const MOST_NOTED: usize = 10_000;

/// A message of a group that goes from one member to another.
pub(crate) struct Passed<S> {
    pub(crate) group: GroupRef<S>,
    pub(crate) moved: Moved,
    /// Members that may not read it.
    pub(crate) not_to: Vec<S>,
}

impl<S> Default for Memberships<S> {
    fn default() -> Self {
        Self { list: Vec::new(), last: 0, full_in: Vec::new(), due: None, refused: BTreeMap::new(), passed: None }
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

    /// The number for another group; a group that is present keeps its number.
    pub(crate) fn number_for(&mut self, group: &GroupRef<S>) -> Share {
        if let Some((number, _)) = self.list.iter().find(|(_, of)| of == group) {
            return *number;
        }
        if self.list.len() >= usize::from(Share::MOST) {
            return Share::SOME;
        }
        loop {
            // the next number: messages with the number of a group that the session left then count as those of an
            // unknown group
            self.last = self.last % Share::MOST + 1;
            let number = Share::of(self.last);
            if !self.list.iter().any(|(taken, _)| *taken == number) {
                return number;
            }
        }
    }

    /// Adds a group.
    pub(crate) fn add(&mut self, number: Share, group: &GroupRef<S>, standing: Standing) {
        self.list.push((number, group.clone()));
        if standing == Standing::Full {
            self.full_in.push(group.clone());
        }
    }

    /// Removes a group. Returns its number.
    pub(crate) fn remove(&mut self, group: &GroupRef<S>) -> Option<Share> {
        self.full_in.retain(|of| of != group);
        let at = self.list.iter().position(|(_, of)| of == group)?;
        Some(self.list.swap_remove(at).0)
    }

    /// All groups.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &GroupRef<S>> {
        self.list.iter().map(|(_, group)| group)
    }

    /// The group of a marked message. If the mark is of an unknown group: the one whose filter matches the topic, after
    /// `earlier` others.
    pub(crate) fn group_of(&self, share: Share, topic: &TopicName, earlier: usize) -> Option<&GroupRef<S>> {
        if share != Share::SOME {
            return self.list.iter().find(|(number, _)| *number == share).map(|(_, group)| group);
        }
        let matches = |group: &&GroupRef<S>| TopicFilter::from_valid(group.filter()).behind_share().matches(topic);
        let first = || self.groups().find(matches);
        self.groups().filter(matches).nth(earlier).or_else(first)
    }

    /// Adds the group to each message. Messages of groups that the session has left are dropped.
    pub(crate) fn with_groups(&self, moved: Vec<Moved>) -> Vec<Passed<S>> {
        // a message that matched several groups is here once for each
        let mut earlier: HashMap<usize, usize> = HashMap::new();
        let mut with_group = |moved: Moved| {
            let nth = earlier.entry(moved.message.address()).or_default();
            let group = self.group_of(moved.share, moved.message.topic(), *nth)?.clone();
            *nth += 1;
            let not_to = self.refused.get(&moved.number).cloned().unwrap_or_default();
            Some(Passed { group, moved, not_to })
        };
        moved.into_iter().filter_map(&mut with_group).collect()
    }

    /// This session's client may not read a message. `None`: it is of no group.
    pub(crate) fn pass_on(&mut self, slot: &S, moved: Moved) -> Option<Passed<S>> {
        let earlier = if moved.share == Share::SOME { self.passed_before(&moved.message) } else { 0 };
        let group = self.group_of(moved.share, moved.message.topic(), earlier)?.clone();
        let mut not_to = self.refused.remove(&moved.number).unwrap_or_default();
        not_to.push(slot.clone());
        Some(Passed { group, moved, not_to })
    }

    /// How many copies of this message were passed on before: a message that matched several groups is queued once for
    /// each.
    fn passed_before(&mut self, message: &Message) -> usize {
        match &mut self.passed {
            Some(passed) if passed.0.address() == message.address() => {
                passed.1 += 1;
                passed.1
            }
            passed => {
                *passed = Some(Box::new((message.clone(), 0)));
                0
            }
        }
    }

    /// A message is queued that other members may not read. `first_open`: messages with lower numbers are gone.
    pub(crate) fn note_refused(&mut self, number: u64, by: &[S], first_open: Option<u64>) {
        self.refused = self.refused.split_off(&first_open.unwrap_or(number));
        while self.refused.len() >= MOST_NOTED {
            self.refused.pop_first();
        }
        self.refused.insert(number, by.to_vec());
    }

    // ---- call with the slot locked ----

    /// The client connected or left.
    pub(crate) fn set_standing(&mut self, slot: &S, standing: Standing) {
        self.full_in.clear();
        if standing == Standing::Full {
            self.full_in.extend(self.list.iter().map(|(_, group)| group.clone()));
        }
        self.groups().for_each(|group| group.set_standing(slot, standing));
    }

    /// One of the groups found that the client has no room.
    pub(crate) fn note_full(&mut self, slot: &S, group: &GroupRef<S>) {
        if !self.full_in.contains(group) {
            self.full_in.push(group.clone());
            group.set_standing(slot, Standing::Full);
        }
    }

    /// Was the client reported as full to any group?
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
