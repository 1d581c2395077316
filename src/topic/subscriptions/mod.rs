//! [`SubscriptionTrie`]: finds the subscribers of a topic (MQTT 3.1.1 sections 4.7 and 3.8.4). It owns the filters and
//! the list of subscribers of each. It does not know what a subscriber is, does not merge overlapping subscriptions,
//! and caches no matches.

#[cfg(test)]
mod tests;

use std::hash::Hash;

use smallvec::{SmallVec, smallvec};

use super::{
    TopicFilter, TopicName,
    exact::ExactTable,
    hash::Seed,
    subscribers::{Removal, Subscribers},
    tree::{LevelTree, ROOT},
    walk::{Place as WalkPlace, Steps, Walked},
};
use crate::types::SubscriptionOptions;

/// All subscriptions: subscribers by Topic Filter. Filters without a wildcard are in a hash table by their whole text,
/// the others in a tree of levels.
///
/// `S` is the handle of a subscriber: small, cheap to clone, equal only to itself.
#[derive(Debug)]
pub struct SubscriptionTrie<S> {
    exact: ExactTable<Subscribers<S>>,
    tree: LevelTree<Subscribers<S>>,
    /// Distinct filters in `tree`.
    wildcard_filters: usize,
    /// Number of pairs of filter and subscriber.
    len: usize,
    seed: Seed,
}

/// The number of a Topic Filter in one [`SubscriptionTrie`]. It does not change while the filter has subscribers. Later
/// it may be used for another filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterId(u32);

/// A match was given up, because it visits more nodes than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// Number of nodes that were visited.
    pub visited: usize,
}

/// The beginning of a Topic Filter before its wildcards, up to two levels: matching topics begin with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning<'a> {
    /// The whole text of a filter without a wildcard.
    Whole(&'a str),
    /// It begins with a wildcard.
    Nothing,
    /// Its first level.
    Level(&'a str),
    /// Its first two levels.
    Levels(&'a str, &'a str),
}

/// The result of [`SubscriptionTrie::subscribe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// The filter's number, for removing the subscription.
    pub id: FilterId,
    /// The options of the subscription that was replaced: by the same subscriber, to the same filter.
    pub replaced: Option<SubscriptionOptions>,
}

impl<S: Clone + Eq + Hash> SubscriptionTrie<S> {
    /// Without subscriptions. `seed` should be random, so that clients do not know which topics collide in the hash
    /// tables.
    pub fn new(seed: u64) -> Self {
        Self {
            exact: ExactTable::new(),
            tree: LevelTree::with_seed(seed),
            wildcard_filters: 0,
            len: 0,
            seed: Seed::new(seed),
        }
    }

    /// Adds a subscription. One of the same subscriber to the identical filter is replaced [MQTT-3.8.4-3].
    pub fn subscribe(&mut self, filter: &TopicFilter, subscriber: S, options: SubscriptionOptions) -> Subscribed {
        let (id, replaced) = if filter.has_wildcard() {
            let node = self.tree.find_or_insert(filter.as_str());
            let replaced = match self.tree.value_mut(node) {
                Some(Some(subscribers)) => subscribers.insert(subscriber, options, &self.seed),
                Some(place) => {
                    *place = Some(Subscribers::One((subscriber, options)));
                    self.wildcard_filters += 1;
                    None
                }
                None => None,
            };
            (FilterId(node), replaced)
        } else {
            let found = self.exact.find(filter.as_str(), &self.seed);
            match found.and_then(|id| Some((id, self.exact.value_mut(id)?))) {
                Some((id, subscribers)) => (FilterId::exact(id), subscribers.insert(subscriber, options, &self.seed)),
                None => {
                    let one = Subscribers::One((subscriber, options));
                    (FilterId::exact(self.exact.insert(filter.as_str(), one, &self.seed)), None)
                }
            }
        };
        self.len += usize::from(replaced.is_none());
        Subscribed { id, replaced }
    }

    /// Removes a subscription by the text of its filter, compared character by character [MQTT-3.10.4-1]. Returns the
    /// number of the filter; `None`: there was no such subscription.
    pub fn unsubscribe(&mut self, filter: &TopicFilter, subscriber: &S) -> Option<FilterId> {
        let id = self.id(filter)?;
        self.remove(id, subscriber).then_some(id)
    }

    /// Removes a subscription by the number of its filter; returns whether there was one.
    pub fn remove(&mut self, id: FilterId, subscriber: &S) -> bool {
        let subscribers = match id.place() {
            Place::Exact(entry) => self.exact.value_mut(entry),
            Place::Tree(node) => self.tree.value_mut(node).and_then(Option::as_mut),
        };
        match subscribers.map_or(Removal::Absent, |subscribers| subscribers.remove(subscriber, &self.seed)) {
            Removal::Absent => return false,
            Removal::Removed => {}
            Removal::Last => self.remove_filter(id),
        }
        self.len -= 1;
        true
    }

    /// The number of a filter with subscribers.
    pub fn id(&self, filter: &TopicFilter) -> Option<FilterId> {
        if filter.has_wildcard() {
            let node = self.tree.find(filter.as_str())?;
            self.tree.value(node).map(|_| FilterId(node))
        } else {
            self.exact.find(filter.as_str(), &self.seed).map(FilterId::exact)
        }
    }

    /// The text of a filter; `None`: `id` is not in use.
    pub fn filter(&self, id: FilterId) -> Option<String> {
        match id.place() {
            Place::Exact(entry) => self.exact.text(entry).map(str::to_owned),
            Place::Tree(node) => self.tree.value(node).map(|_| self.tree.path(node)),
        }
    }

    /// The beginning of a filter before its wildcards; `None`: `id` is not in use.
    pub fn beginning(&self, id: FilterId) -> Option<Beginning<'_>> {
        match id.place() {
            Place::Exact(entry) => self.exact.text(entry).map(Beginning::Whole),
            Place::Tree(node) => self.tree.value(node).map(|_| match self.tree.first_levels(node) {
                ("+" | "#", _) => Beginning::Nothing,
                // `a/#` matches `a` too
                (first, Some("+" | "#") | None) => Beginning::Level(first),
                (first, Some(second)) => Beginning::Levels(first, second),
            }),
        }
    }

    /// The options of a subscription.
    pub fn options(&self, id: FilterId, subscriber: &S) -> Option<SubscriptionOptions> {
        self.subscribers(id)?.get(subscriber, &self.seed)
    }

    /// Calls `f` for each subscription whose filter matches `topic` by section 4.7, in any order: several times for a
    /// subscriber with several such filters.
    pub fn for_each_match(&self, topic: &TopicName, f: impl FnMut(&S, SubscriptionOptions)) {
        let _never_too_many = self.match_within(topic, usize::MAX, f);
    }

    /// The same, but given up if far more than `most` nodes must be visited: then some subscriptions were left out.
    /// Returns the number of visited nodes.
    pub fn match_within(
        &self,
        topic: &TopicName,
        most: usize,
        mut f: impl FnMut(&S, SubscriptionOptions),
    ) -> Result<usize, TooMany> {
        let mut name = |subscribers: &Subscribers<S>| {
            for (subscriber, options) in subscribers.as_slice() {
                f(subscriber, *options);
            }
        };
        if self.exact.len() != 0 {
            let found = self.exact.find(topic.as_str(), &self.seed);
            found.and_then(|id| self.exact.value(id)).into_iter().for_each(&mut name);
        }
        if !self.tree.is_empty() {
            return self.for_each_node(topic, most, |node| self.tree.value(node).into_iter().for_each(&mut name));
        }
        Ok(0)
    }

    /// The same in steps, one for each node: from a place on, until no step is left. Calls `f` for each subscription
    /// that exists from the first step to the last; one that is added or removed meanwhile may be included or not. An
    /// interrupted walk continues from its place, which must be [pinned](Self::pin) before the trie is unlocked.
    pub fn walk(
        &self,
        topic: &TopicName,
        from: WalkPlace,
        steps: &mut Steps,
        mut f: impl FnMut(&S, SubscriptionOptions),
    ) -> Walked {
        let mut name = |subscribers: Option<&Subscribers<S>>, steps: &mut Steps| {
            let list = subscribers.map_or(&[][..], |subscribers| subscribers.as_slice());
            list.iter().for_each(|(subscriber, options)| f(subscriber, *options));
            // the subscribers of one filter are not split
            steps.take(u32::try_from(list.len()).unwrap_or(u32::MAX));
        };
        let levels: SmallVec<[&str; 16]> = topic.levels().collect();
        let WalkPlace { mut node, depth } = from;
        let mut depth = depth as usize;
        loop {
            if !steps.take(1) {
                return Walked::Left(WalkPlace { node, depth: depth as u32 });
            }
            if node == ROOT {
                name(self.exact.find(topic.as_str(), &self.seed).and_then(|id| self.exact.value(id)), steps);
            }
            // a wildcard in the first level does not match `$` [MQTT-4.7.2-1]
            let wildcards = depth > 0 || !topic.is_dollar();
            if wildcards && let Some(all) = self.tree.multi_level_child(node) {
                name(self.tree.value(all), steps);
            }
            let below = if depth == levels.len() {
                name(self.tree.value(node), steps);
                None
            } else {
                let literal = || self.tree.literal_child(node, levels[depth], self.tree.level_hash(levels[depth]));
                let any = if wildcards { self.tree.single_level_child(node) } else { None };
                any.or_else(literal)
            };
            if let Some(below) = below {
                (node, depth) = (below, depth + 1);
                continue;
            }
            loop {
                if depth == 0 {
                    return Walked::Whole;
                }
                let (parent, level) = (self.tree.parent(node), levels[depth - 1]);
                // after `+` follows the level itself
                if self.tree.single_level_child(parent) == Some(node)
                    && let Some(literal) = self.tree.literal_child(parent, level, self.tree.level_hash(level))
                {
                    node = literal;
                    break;
                }
                (node, depth) = (parent, depth - 1);
            }
        }
    }

    /// Keeps the place of an interrupted walk.
    pub fn pin(&mut self, place: WalkPlace) {
        self.tree.pin(place.node);
    }

    /// The walk has continued, or is given up.
    pub fn unpin(&mut self, place: WalkPlace) {
        self.tree.unpin(place.node);
    }

    /// Approximate bytes of memory.
    pub fn memory(&self) -> usize {
        // the first subscriber of a filter is stored in place; the others are in lists with half as much spare capacity
        let others = self.len - self.filters();
        self.exact.memory() + self.tree.memory() + others * (size_of::<(S, SubscriptionOptions)>() * 3 / 2)
    }

    /// Number of nodes, including the root, and number of interrupted walks.
    #[cfg(test)]
    pub fn nodes_and_pins(&self) -> (usize, usize) {
        (self.tree.node_count(), self.tree.pins())
    }

    /// Number of subscriptions: pairs of filter and subscriber.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Are there no subscriptions?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of distinct filters with subscribers.
    pub fn filters(&self) -> usize {
        self.exact.len() + self.wildcard_filters
    }

    /// Calls `f` with each node whose path, as a filter, matches `topic`, and with some nodes without a value.
    ///
    /// All nodes that match so far are moved down one level together: a level is split off and hashed once for all of
    /// them, and their look-ups do not wait for each other.
    fn for_each_node(&self, topic: &TopicName, most: usize, mut f: impl FnMut(u32)) -> Result<usize, TooMany> {
        // each level is appended behind the previous one; nodes from the index `from` on match so far
        let mut nodes: SmallVec<[u32; 32]> = smallvec![ROOT];
        let mut from = 0;
        // a wildcard in the first level does not match `$` [MQTT-4.7.2-1]
        let mut wildcards = !topic.is_dollar();
        for level in topic.levels() {
            let level_hash = self.tree.level_hash(level);
            let end = nodes.len();
            for at in from..end {
                let node = nodes[at];
                if !self.tree.has_children(node) {
                    continue;
                }
                if wildcards {
                    self.tree.multi_level_child(node).into_iter().for_each(&mut f);
                    if let Some(child) = self.tree.single_level_child(node) {
                        nodes.push(child);
                    }
                }
                if let Some(child) = self.tree.literal_child(node, level, level_hash) {
                    nodes.push(child);
                }
            }
            if nodes.len() == end {
                return Ok(end);
            }
            if nodes.len() > most {
                return Err(TooMany { visited: nodes.len() });
            }
            from = end;
            wildcards = true;
        }
        for &node in &nodes[from..] {
            f(node);
            // `a/#` matches `a` too (section 4.7.1.2)
            self.tree.multi_level_child(node).into_iter().for_each(&mut f);
        }
        Ok(nodes.len())
    }

    /// Number of subscribers of a filter.
    pub fn subscriber_count(&self, id: FilterId) -> usize {
        self.subscribers(id).map_or(0, |subscribers| subscribers.as_slice().len())
    }

    fn subscribers(&self, id: FilterId) -> Option<&Subscribers<S>> {
        match id.place() {
            Place::Exact(entry) => self.exact.value(entry),
            Place::Tree(node) => self.tree.value(node),
        }
    }

    fn remove_filter(&mut self, id: FilterId) {
        match id.place() {
            Place::Exact(entry) => self.exact.remove(entry, &self.seed),
            Place::Tree(node) => {
                if let Some(place) = self.tree.value_mut(node) {
                    *place = None;
                    self.tree.prune(node);
                    self.wildcard_filters -= 1;
                }
            }
        }
    }
}

/// The place of a filter.
enum Place {
    /// The number of an entry in the table of exact filters.
    Exact(u32),
    /// The number of a node in the tree.
    Tree(u32),
}

impl FilterId {
    /// Set for exact filters. Numbers of nodes and entries are below 2³⁰.
    const EXACT: u32 = 1 << 31;

    const fn exact(entry: u32) -> Self {
        Self(entry | Self::EXACT)
    }

    const fn place(self) -> Place {
        if self.0 & Self::EXACT == 0 { Place::Tree(self.0) } else { Place::Exact(self.0 & !Self::EXACT) }
    }
}
