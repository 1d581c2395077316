//! [`RetainedTree`]: the retained message of each topic, and the messages that match a filter (MQTT 3.1.1 section
//! 3.3.1.3). It owns the topics, and does not know what a message is or when it expires.

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::{
    TopicFilter, TopicName,
    tree::LevelTree,
    walk::{Place, Steps, Walked},
};

/// Messages by Topic Name, at most one each.
#[derive(Debug)]
pub struct RetainedTree<M> {
    tree: LevelTree<M>,
    len: usize,
}

impl<M> RetainedTree<M> {
    /// Without messages. `seed` should be random, so that clients do not know which topics collide in the hash table.
    pub fn new(seed: u64) -> Self {
        Self { tree: LevelTree::with_seed(seed), len: 0 }
    }

    /// Inserts `message` for `topic`. Returns the one that it replaces [MQTT-3.3.1-5].
    pub fn insert(&mut self, topic: &TopicName, message: M) -> Option<M> {
        self.replace(topic, |_, _| Some(message))
    }

    /// Approximate bytes of memory for the topics, without what the messages point to.
    pub fn memory(&self) -> usize {
        self.tree.memory()
    }

    /// Replaces the message of `topic` by the result of `new`, whose arguments are the previous message and the
    /// [`memory`](Self::memory) for the topics including this one. Returns the previous message. If `new` returns
    /// `None`, nothing changes.
    pub fn replace(&mut self, topic: &TopicName, new: impl FnOnce(Option<&M>, usize) -> Option<M>) -> Option<M> {
        let node = self.tree.find_or_insert(topic.as_str());
        let Some(message) = new(self.tree.value(node), self.tree.memory()) else {
            self.tree.prune(node);
            return None;
        };
        let replaced = self.tree.value_mut(node)?.replace(message);
        self.len += usize::from(replaced.is_none());
        replaced
    }

    /// Removes the message of `topic` and returns it.
    pub fn remove(&mut self, topic: &TopicName) -> Option<M> {
        let node = self.tree.find(topic.as_str())?;
        let removed = self.tree.value_mut(node)?.take()?;
        self.tree.prune(node);
        self.len -= 1;
        Some(removed)
    }

    /// The message of `topic`.
    pub fn get(&self, topic: &TopicName) -> Option<&M> {
        self.tree.value(self.tree.find(topic.as_str())?)
    }

    /// Calls `f` with each message in the next `most` places from `from` on. Returns the place to continue from.
    /// `None`: there are no more. The place of a message is that of its topic, and does not change while there is a
    /// message.
    pub fn scan(&self, from: u32, most: u32, f: impl FnMut(u32, &M)) -> Option<u32> {
        self.tree.scan(from, most, f)
    }

    /// Calls `f` with each message whose topic matches `filter` by section 4.7, in any order.
    pub fn for_each_match(&self, filter: &TopicFilter, mut f: impl FnMut(&M)) {
        let _always_all = self.try_for_each_match(filter, |message| {
            f(message);
            ControlFlow::Continue(())
        });
    }

    /// The same, until `f` breaks.
    pub fn try_for_each_match(
        &self,
        filter: &TopicFilter,
        mut f: impl FnMut(&M) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut steps = Steps::unbounded();
        match self.walk(filter, Place::default(), &mut steps, |message, _| f(message)) {
            Walked::Whole => ControlFlow::Continue(()),
            Walked::Broken | Walked::Left(_) => ControlFlow::Break(()),
        }
    }

    /// Calls `f` with each message whose topic matches `filter`, from a place on, until it breaks or no `steps` are
    /// left: one for each node, and those that `f` takes. An interrupted walk continues from its place, which must be
    /// [pinned](Self::pin) before the tree is unlocked. Messages that exist all the time are found once; those that are
    /// added or removed meanwhile may be found or not.
    pub fn walk(
        &self,
        filter: &TopicFilter,
        from: Place,
        steps: &mut Steps,
        mut f: impl FnMut(&M, &mut Steps) -> ControlFlow<()>,
    ) -> Walked {
        let mut levels: SmallVec<[&str; 16]> = filter.as_str().split('/').collect();
        // from this depth on, everything matches
        let all_from = if levels.last() == Some(&"#") { levels.len() - 1 } else { usize::MAX };
        levels.truncate(all_from);
        let Place { mut node, depth } = from;
        let mut depth = depth as usize;
        loop {
            if !steps.take(1) {
                return Walked::Left(Place { node, depth: depth as u32 });
            }
            let below = if !self.is_visible(node, depth) && (all_from == 0 || levels[0] == "+") {
                None
            } else if depth >= all_from || depth == levels.len() {
                // `a/#` matches `a` too (section 4.7.1.2), and `#` nothing without a level: the root has no message
                if let Some(message) = self.tree.value(node)
                    && f(message, steps).is_break()
                {
                    return Walked::Broken;
                }
                if depth >= all_from { self.tree.first_child(node) } else { None }
            } else if levels[depth] == "+" {
                self.tree.first_child(node)
            } else {
                self.tree.child(node, levels[depth])
            };
            if let Some(below) = below {
                (node, depth) = (below, depth + 1);
                continue;
            }
            loop {
                if depth == 0 {
                    return Walked::Whole;
                }
                let stands_for_any = depth > all_from || levels[depth - 1] == "+";
                if stands_for_any && let Some(next) = self.tree.next_sibling(node) {
                    node = next;
                    break;
                }
                (node, depth) = (self.tree.parent(node), depth - 1);
            }
        }
    }

    /// Keeps the place of an interrupted walk.
    pub fn pin(&mut self, place: Place) {
        self.tree.pin(place.node);
    }

    /// The walk has continued, or is given up.
    pub fn unpin(&mut self, place: Place) {
        self.tree.unpin(place.node);
    }

    /// Number of nodes, including the root, and number of interrupted walks.
    #[cfg(test)]
    pub fn nodes_and_pins(&self) -> (usize, usize) {
        (self.tree.node_count(), self.tree.pins())
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Are there no messages?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Does a wildcard at this depth match this node? Not for `$` in the first level [MQTT-4.7.2-1].
    #[inline]
    fn is_visible(&self, node: u32, depth: usize) -> bool {
        depth != 1 || !self.tree.level(node).starts_with('$')
    }
}
