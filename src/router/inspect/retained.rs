//! Walks over retained messages, and removes them.

use std::ops::ControlFlow;

use super::{
    super::{Record, Router},
    views::{Cursor, RetainedMessage},
};
use crate::topic::{TopicFilter, TopicName};

/// Nodes of the tree that are visited with it locked once, for less than a millisecond.
const NODES_A_STEP: u32 = 1_024;

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
            let _only_one = found.map(|(message, own)| each(&RetainedMessage { message, own }));
            return None;
        }
        let mut from = u32::try_from(after.0).ok()?;
        let mut left = u32::try_from(budget).unwrap_or(u32::MAX).max(1);
        let mut found = Vec::new();
        loop {
            let nodes = left.min(NODES_A_STEP);
            let next = self.retained.scan(filter, from, nodes, &mut found);
            for (place, message, own) in found.drain(..) {
                if each(&RetainedMessage { message, own }).is_break() {
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

    /// Removes retained messages of clients behind `after` that match a filter, as if an empty message were published
    /// to each topic without subscribers. About `budget` topics are visited.
    pub fn remove_retained(&self, filter: &TopicFilter, after: Cursor, budget: usize) -> Removed {
        let mut found = Vec::new();
        let next = self.retained(filter, after, budget, &mut |retained| {
            if !retained.is_own() {
                found.push(retained.clone());
            }
            ControlFlow::Continue(())
        });
        let mut messages = 0;
        for retained in found {
            let topic = retained.topic();
            let _stored = self.retained.clear_this(topic, &retained.message, || {
                messages += 1;
                self.store(|| Record::RetainedCleared { topic: topic.as_str().into() })
            });
        }
        Removed { messages, next }
    }
}
