//! [`RetainedTree`]: the retained message of each topic, and which of them a new subscription is sent (MQTT 3.1.1
//! section 3.3.1.3). Owns the topics; does not know what a message is, nor when it expires.

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::{
    TopicFilter, TopicName,
    tree::LevelTree,
    walk::{Place, Steps, Walked},
};

/// Messages by Topic Name, at most one each. `M` carries its own topic where that is wanted.
#[derive(Debug)]
pub struct RetainedTree<M> {
    tree: LevelTree<M>,
    len: usize,
}

impl<M> RetainedTree<M> {
    /// No messages. `seed` should be random, so that no client knows which topics collide in the hash table.
    pub fn new(seed: u64) -> Self {
        Self { tree: LevelTree::with_seed(seed), len: 0 }
    }

    /// Keeps `message` for `topic` and returns the one it replaces [MQTT-3.3.1-5].
    pub fn insert(&mut self, topic: &TopicName, message: M) -> Option<M> {
        self.replace(topic, |_, _| Some(message))
    }

    /// Bytes of memory for the topics, about, without what the messages point to.
    pub fn memory(&self) -> usize {
        self.tree.memory()
    }

    /// Keeps what `new` gives for `topic`, which is told what is there, and the [`memory`](Self::memory) for the topics
    /// with this one; returns what that replaces. Where it gives nothing, all stays as it is.
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

    /// Forgets the message of `topic` and returns it.
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

    /// Calls `f` with each message in the places from `from` on, of which `most` are looked at, and gives the place to
    /// go on from; `None`: there are no more. The place of a message is its topic's, and stays while there is one.
    pub fn scan(&self, from: u32, most: u32, f: impl FnMut(u32, &M)) -> Option<u32> {
        self.tree.scan(from, most, f)
    }

    /// Calls `f` with each message whose topic `filter` matches, as section 4.7 defines it, in no order.
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

    /// Calls `f` with each message whose topic `filter` matches, from a place on, until it breaks or so many `steps`
    /// were taken: one for each node, and as many more as `f` takes. A walk that was left goes on from its place, which
    /// has to be [pinned](Self::pin) with the tree locked as it was walked. Messages that are there all the time are
    /// found once; those that come or go meanwhile may be found or not.
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

    /// A walk is left at this place.
    pub fn pin(&mut self, place: Place) {
        self.tree.pin(place.node);
    }

    /// The walk has gone on from there, or is given up.
    pub fn unpin(&mut self, place: Place) {
        self.tree.unpin(place.node);
    }

    /// How many nodes there are, the root included, and how many walks are left somewhere.
    #[cfg(test)]
    pub fn nodes_and_pins(&self) -> (usize, usize) {
        (self.tree.node_count(), self.tree.pins())
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No message at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Does a wildcard in the place of this node, so many levels down, stand for it? Not for `$` in the first level
    /// [MQTT-4.7.2-1].
    #[inline]
    fn is_visible(&self, node: u32, depth: usize) -> bool {
        depth != 1 || !self.tree.level(node).starts_with('$')
    }
}
