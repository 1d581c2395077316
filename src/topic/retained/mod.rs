//! [`RetainedTree`]: the retained message of each topic, and which of them a new subscription is sent (MQTT 3.1.1
//! section 3.3.1.3). Owns the topics; does not know what a message is, nor when it expires.

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::{
    TopicFilter, TopicName,
    tree::{LevelTree, ROOT},
};

/// Messages by Topic Name, at most one each. `M` carries its own topic where that is wanted.
#[derive(Debug)]
pub struct RetainedTree<M> {
    tree: LevelTree<M>,
    len: usize,
}

/// The first of the nodes still to be tried at a `+`, and what the filter asks of the levels below them.
type Branches<'f> = (Option<u32>, Option<&'f str>);

impl<M> RetainedTree<M> {
    /// No messages. `seed` should be random, so that no client knows which topics collide in the hash table.
    pub fn new(seed: u64) -> Self {
        Self { tree: LevelTree::with_seed(seed), len: 0 }
    }

    /// Keeps `message` for `topic` and returns the one it replaces [MQTT-3.3.1-5].
    pub fn insert(&mut self, topic: &TopicName, message: M) -> Option<M> {
        self.replace(topic, |_| Some(message))
    }

    /// Keeps what `new` gives for `topic`, which is told what is there; returns what that replaces. Where it gives
    /// nothing, all stays as it is.
    pub fn replace(&mut self, topic: &TopicName, new: impl FnOnce(Option<&M>) -> Option<M>) -> Option<M> {
        let node = self.tree.find_or_insert(topic.as_str());
        let Some(message) = new(self.tree.value(node)) else {
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
        let mut branches: SmallVec<[Branches<'_>; 8]> = SmallVec::new();
        let mut from = Some((ROOT, Some(filter.as_str())));
        while let Some((node, levels)) = from {
            branches.extend(self.descend(node, levels, &mut f)?);
            from = None;
            while let Some((branch, levels)) = branches.last_mut() {
                if let Some(node) = *branch {
                    *branch = self.tree.next_sibling(node);
                    if self.is_visible(node) {
                        from = Some((node, *levels));
                        break;
                    }
                } else {
                    branches.pop();
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No message at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Follows `levels` down from `node`, to the end or to the first `+`. Returns the first node that this `+` stands
    /// for, and the levels after it.
    fn descend<'f>(
        &self,
        mut node: u32,
        mut levels: Option<&'f str>,
        f: &mut impl FnMut(&M) -> ControlFlow<()>,
    ) -> ControlFlow<(), Option<Branches<'f>>> {
        while let Some(text) = levels {
            let (level, rest) = match text.split_once('/') {
                Some((level, rest)) => (level, Some(rest)),
                None => (text, None),
            };
            match level {
                "#" => {
                    self.try_for_each_below(node, f)?;
                    return ControlFlow::Continue(None);
                }
                "+" => return ControlFlow::Continue(Some((self.tree.first_child(node), rest))),
                _ => match self.tree.child(node, level) {
                    Some(child) => node = child,
                    None => return ControlFlow::Continue(None),
                },
            }
            levels = rest;
        }
        self.tree.value(node).into_iter().try_for_each(f)?;
        ControlFlow::Continue(None)
    }

    /// What `#` after the path of `node` stands for: its own message too (section 4.7.1.2).
    fn try_for_each_below(&self, node: u32, f: &mut impl FnMut(&M) -> ControlFlow<()>) -> ControlFlow<()> {
        if node != ROOT {
            return self.tree.try_for_each_below(node, f);
        }
        let mut child = self.tree.first_child(ROOT);
        while let Some(node) = child {
            if self.is_visible(node) {
                self.tree.try_for_each_below(node, &mut *f)?;
            }
            child = self.tree.next_sibling(node);
        }
        ControlFlow::Continue(())
    }

    /// Does a wildcard in the place of this node stand for it? Not for `$` in the first level [MQTT-4.7.2-1].
    fn is_visible(&self, node: u32) -> bool {
        !(self.tree.is_first_level(node) && self.tree.level(node).starts_with('$'))
    }
}
