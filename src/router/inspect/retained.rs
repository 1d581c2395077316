//! Walks over retained messages, and removes them.

use std::ops::ControlFlow;

use super::{
    super::{Record, Router, RouterThread},
    views::{Cursor, RetainedMessage},
};
use crate::{
    session::Stored,
    topic::{TopicFilter, TopicName},
};

/// Nodes of the tree that are visited with it locked once, for less than a millisecond.
const NODES_A_STEP: u32 = 1_024;
/// Messages that are removed in one group of records.
const REMOVED_AT_ONCE: usize = 256;

/// The result of removing retained messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Number of removed messages.
    pub messages: usize,
    /// Where to continue; `None`: there are no more.
    pub next: Option<Cursor>,
}

impl Router {
    /// Calls `each` for retained messages behind `after` that match a filter, including those of the broker itself,
    /// until `each` breaks or about `budget` topics were visited. Returns where to continue: behind the message at
    /// which `each` broke, if it did. `None`: there are no more. Nothing is locked while `each` is called.
    pub fn retained(
        &self,
        filter: &TopicFilter,
        after: Cursor,
        budget: usize,
        each: &mut dyn FnMut(&RetainedMessage) -> ControlFlow<()>,
    ) -> Option<Cursor> {
        if !filter.has_wildcard() {
            let found = self.retained.get(TopicName::from_valid(filter.as_str()));
            let _only_one = found.map(|found| each(&RetainedMessage(found)));
            return None;
        }
        let mut from = u32::try_from(after.0).ok()?;
        let mut left = u32::try_from(budget).unwrap_or(u32::MAX).max(1);
        let mut found = Vec::new();
        loop {
            let nodes = left.min(NODES_A_STEP);
            let next = self.retained.scan(filter, from, nodes, &mut found);
            for (place, retained) in found.drain(..) {
                if each(&RetainedMessage(retained)).is_break() {
                    return Some(Cursor(u64::from(place) + 1));
                }
            }
            from = next?;
            left -= nodes;
            if left == 0 {
                return Some(Cursor(from.into()));
            }
        }
    }

    /// Removes clients' retained messages behind `after` that match a filter, like an empty retained message without
    /// subscribers, but bridges pass it on: visits about `budget` topics. Returns also when this is durable.
    pub fn remove_retained(
        &self,
        local: &mut RouterThread,
        filter: &TopicFilter,
        after: Cursor,
        budget: usize,
    ) -> (Removed, Stored) {
        let mut found = Vec::new();
        let next = self.retained(filter, after, budget, &mut |retained| {
            if !retained.is_own() {
                found.push(retained.clone());
            }
            ControlFlow::Continue(())
        });
        let bridges = if found.is_empty() { Vec::new() } else { self.bridges() };
        let (mut messages, mut stored) = (0, Stored::Done);
        for some in found.chunks(REMOVED_AT_ONCE) {
            // what bridges are to pass on is as durable as the removal
            let (removed, by) = self.together(|| {
                let (removed, by) = self.clear(some);
                self.note_removed(local, &bridges, removed.iter().map(|retained| retained.topic()));
                (removed.len(), by)
            });
            messages += removed;
            stored = stored.and(by);
        }
        (Removed { messages, next }, stored)
    }

    /// Removes those that are still retained. Returns them, and when this is durable.
    fn clear<'r>(&self, all: &'r [RetainedMessage]) -> (Vec<&'r RetainedMessage>, Stored) {
        let (mut removed, mut stored) = (Vec::new(), Stored::Done);
        for retained in all {
            let topic = retained.topic();
            stored = stored.and(self.retained.clear_this(topic, &retained.0.message, || {
                removed.push(retained);
                self.store(|| Record::RetainedCleared { topic: topic.as_str().into() })
            }));
        }
        (removed, stored)
    }
}
