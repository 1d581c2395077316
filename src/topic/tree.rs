//! [`LevelTree`]: values by topic path, level by level. Both indexes are built on it. It owns nodes, their links and
//! their look-up. It does not know what `$` means, nor which nodes match.
//!
//! Nodes are in a [`Slab`] and link to each other by number. One hash table for the whole tree finds the child of a
//! node by its level. The children `#` and `+` are not in it: they are the first children, and two flags of the parent
//! say whether they exist, so that checking a node without them costs nothing. No function recurses: a topic may have
//! 65,536 levels.

use compact_str::CompactString;
use hashbrown::HashMap;

use super::{
    hash::{self, IdTable, Seed},
    name::Levels,
    slab::Slab,
};

/// The node above all first levels. It has no text and is never removed.
pub(super) const ROOT: u32 = 0;

/// A tree of topic levels, with a value at some of the nodes.
#[derive(Debug)]
pub(super) struct LevelTree<V> {
    nodes: Slab<Node<V>>,
    /// Children by (parent, level), without `#` and `+`.
    table: IdTable,
    seed: Seed,
    /// Bytes of levels that are too long for their nodes.
    texts: usize,
    /// Number of interrupted walks at each node. The nodes stay until the walks have continued.
    pins: HashMap<u32, u32, foldhash::fast::FixedState>,
}

#[derive(Debug)]
struct Node<V> {
    /// The parent's number, and flags in the bits above.
    parent: u32,
    first_child: u32,
    next: u32,
    previous: u32,
    level: CompactString,
    value: Option<V>,
}

impl<V> LevelTree<V> {
    pub(super) fn with_seed(seed: u64) -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::default());
        // clients cannot choose the numbers of nodes
        let pins = HashMap::with_hasher(foldhash::fast::FixedState::default());
        Self { nodes, table: IdTable::new(), seed: Seed::new(seed), texts: 0, pins }
    }

    /// Is the root the only node?
    pub(super) fn is_empty(&self) -> bool {
        self.nodes[ROOT].first_child == NONE
    }

    /// Number of nodes, including the root.
    #[cfg(test)]
    pub(super) fn node_count(&self) -> usize {
        assert!(self.table.len() < self.nodes.len());
        self.nodes.len()
    }

    /// Approximate bytes of memory for the nodes, without the root and without what their values point to.
    pub(super) fn memory(&self) -> usize {
        (self.nodes.len() - 1) * (size_of::<Node<V>>() + IdTable::PLACE) + self.texts
    }

    /// The node of `path`, if it exists.
    pub(super) fn find(&self, path: &str) -> Option<u32> {
        Levels::of(path).try_fold(ROOT, |node, level| self.child(node, level))
    }

    /// The node of `path`, created if it is missing. The caller sets its value, or calls [`Self::prune`].
    pub(super) fn find_or_insert(&mut self, path: &str) -> u32 {
        let mut levels = Levels::of(path);
        let mut node = ROOT;
        for level in &mut levels {
            match self.child(node, level) {
                Some(child) => node = child,
                None => {
                    node = self.add_child(node, level);
                    break;
                }
            }
        }
        // a new node has no children to look for
        levels.fold(node, |node, level| self.add_child(node, level))
    }

    /// The value of the node; `None` also if there is no such node.
    #[inline]
    pub(super) fn value(&self, node: u32) -> Option<&V> {
        self.nodes.get(node)?.value.as_ref()
    }

    /// Calls `f` for nodes with a value among the next `most` numbers. Returns the number to continue from. `None`:
    /// there are no higher ones. A node's number does not change.
    pub(super) fn scan(&self, from: u32, most: u32, mut f: impl FnMut(u32, &V)) -> Option<u32> {
        let end = from.saturating_add(most);
        for node in from..end {
            let there = self.nodes.get(node)?;
            there.value.iter().for_each(|value| f(node, value));
        }
        self.nodes.get(end).map(|_| end)
    }

    /// The place of the node's value; `None`: there never was such a node.
    pub(super) fn value_mut(&mut self, node: u32) -> Option<&mut Option<V>> {
        Some(&mut self.nodes.get_mut(node)?.value)
    }

    /// Removes the node if it has neither value nor children, then its parent if that has none now, and so on. A pinned
    /// node stays, and so do those above it.
    pub(super) fn prune(&mut self, mut node: u32) {
        while node != ROOT
            && self.nodes[node].value.is_none()
            && self.nodes[node].first_child == NONE
            && !self.is_pinned(node)
        {
            node = self.remove_leaf(node);
        }
        if self.is_empty() && self.nodes[ROOT].value.is_none() {
            // removing the root frees the memory of all free nodes
            self.nodes.remove(ROOT);
            self.nodes.insert(Node::default());
        }
    }

    /// Keeps a node with its number for an interrupted walk, until it is unpinned as often as it was pinned. Children
    /// that are added later are first among their siblings: a walk that has begun with the children misses them, and
    /// its caller must find them by other means.
    pub(super) fn pin(&mut self, node: u32) {
        if node != ROOT {
            *self.pins.entry(node).or_insert(0) += 1;
        }
    }

    /// The walk has continued, or is given up.
    pub(super) fn unpin(&mut self, node: u32) {
        let Some(pins) = self.pins.get_mut(&node) else { return };
        *pins -= 1;
        if *pins == 0 {
            self.pins.remove(&node);
            if self.pins.is_empty() {
                self.pins.shrink_to_fit();
            }
            self.prune(node);
        }
    }

    #[inline]
    fn is_pinned(&self, node: u32) -> bool {
        !self.pins.is_empty() && self.pins.contains_key(&node)
    }

    /// Number of interrupted walks.
    #[cfg(test)]
    pub(super) fn pins(&self) -> usize {
        self.pins.values().map(|&pins| pins as usize).sum()
    }

    /// The hash of a level, for [`Self::literal_child`].
    #[inline]
    pub(super) fn level_hash(&self, level: &str) -> u64 {
        self.seed.text(level)
    }

    /// The child of that level, which is neither `#` nor `+`.
    #[inline]
    pub(super) fn literal_child(&self, node: u32, level: &str, level_hash: u64) -> Option<u32> {
        self.table.find(hash::under(node, level_hash), |id| {
            let child = &self.nodes[id];
            child.parent() == node && child.level == level
        })
    }

    /// The child `#`.
    #[inline]
    pub(super) fn multi_level_child(&self, node: u32) -> Option<u32> {
        let node = &self.nodes[node];
        (node.parent & HAS_MULTI_LEVEL != 0).then_some(node.first_child)
    }

    /// The child `+`.
    #[inline]
    pub(super) fn single_level_child(&self, node: u32) -> Option<u32> {
        let node = &self.nodes[node];
        if node.parent & HAS_SINGLE_LEVEL == 0 {
            return None;
        }
        let after = node.parent & HAS_MULTI_LEVEL != 0;
        Some(if after { self.nodes[node.first_child].next } else { node.first_child })
    }

    /// The child of that level, wildcards included.
    pub(super) fn child(&self, node: u32, level: &str) -> Option<u32> {
        match level {
            "#" => self.multi_level_child(node),
            "+" => self.single_level_child(node),
            _ => self.literal_child(node, level, self.level_hash(level)),
        }
    }

    /// Any child at all.
    #[inline]
    pub(super) fn has_children(&self, node: u32) -> bool {
        self.nodes[node].first_child != NONE
    }

    /// The first of the node's children.
    pub(super) fn first_child(&self, node: u32) -> Option<u32> {
        some(self.nodes[node].first_child)
    }

    /// The child of the same parent that comes after `node`.
    pub(super) fn next_sibling(&self, node: u32) -> Option<u32> {
        some(self.nodes[node].next)
    }

    /// The parent; for a first level and for the root, the root.
    #[inline]
    pub(super) fn parent(&self, node: u32) -> u32 {
        self.nodes[node].parent()
    }

    /// The text of the node's own level.
    pub(super) fn level(&self, node: u32) -> &str {
        &self.nodes[node].level
    }

    /// Directly below the root?
    pub(super) fn is_first_level(&self, node: u32) -> bool {
        self.nodes[node].parent() == ROOT
    }

    /// The first level on the way down to the node, which is not the root, and the second where there is one.
    pub(super) fn first_levels(&self, node: u32) -> (&str, Option<&str>) {
        let (mut first, mut second) = (node, None);
        while !self.is_first_level(first) {
            second = Some(first);
            first = self.nodes[first].parent();
        }
        (self.level(first), second.map(|second| self.level(second)))
    }

    /// The text of all levels down to the node, which is not the root.
    pub(super) fn path(&self, node: u32) -> String {
        let mut up = Vec::new();
        let mut at = node;
        while at != ROOT {
            up.push(self.level(at));
            at = self.nodes[at].parent();
        }
        up.reverse();
        up.join("/")
    }

    /// Adds a child that does not exist.
    fn add_child(&mut self, parent: u32, level: &str) -> u32 {
        // `#` is first, then `+`, then the others
        let (flag, after) = match level {
            "#" => (HAS_MULTI_LEVEL, None),
            "+" => (HAS_SINGLE_LEVEL, self.multi_level_child(parent)),
            _ => (0, self.single_level_child(parent).or_else(|| self.multi_level_child(parent))),
        };
        let next = after.map_or(self.nodes[parent].first_child, |id| self.nodes[id].next);
        let previous = after.unwrap_or(NONE);
        let level = CompactString::from(level);
        self.texts += hash::memory_of(&level);
        let text_hash = self.level_hash(&level);
        let id = self.nodes.insert(Node { parent, first_child: NONE, next, previous, level, value: None });
        match after {
            Some(after) => self.nodes[after].next = id,
            None => self.nodes[parent].first_child = id,
        }
        if next != NONE {
            self.nodes[next].previous = id;
        }
        self.nodes[parent].parent |= flag;
        if flag == 0 {
            self.table.insert(hash::under(parent, text_hash), id);
        }
        id
    }

    /// Removes a node without children and returns its parent.
    fn remove_leaf(&mut self, id: u32) -> u32 {
        let node = self.nodes.remove(id);
        self.texts -= hash::memory_of(&node.level);
        let parent = node.parent();
        match node.previous {
            NONE => self.nodes[parent].first_child = node.next,
            previous => self.nodes[previous].next = node.next,
        }
        if node.next != NONE {
            self.nodes[node.next].previous = node.previous;
        }
        match node.level.as_str() {
            "#" => self.nodes[parent].parent &= !HAS_MULTI_LEVEL,
            "+" => self.nodes[parent].parent &= !HAS_SINGLE_LEVEL,
            level => self.table.remove(hash::under(parent, self.seed.text(level)), id),
        }
        parent
    }
}

impl<V> Node<V> {
    #[inline]
    fn parent(&self) -> u32 {
        self.parent & ID
    }
}

impl<V> Default for Node<V> {
    /// The root of an empty tree, and the contents of a free place in the slab.
    fn default() -> Self {
        Self {
            parent: ROOT,
            first_child: NONE,
            next: NONE,
            previous: NONE,
            level: CompactString::const_new(""),
            value: None,
        }
    }
}

#[inline]
fn some(link: u32) -> Option<u32> {
    (link != NONE).then_some(link)
}

/// A missing link.
const NONE: u32 = u32::MAX;
/// A node's `parent` is a number below 2³⁰ and these two flags.
const HAS_MULTI_LEVEL: u32 = 1 << 31;
const HAS_SINGLE_LEVEL: u32 = 1 << 30;
const ID: u32 = HAS_SINGLE_LEVEL - 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn put(tree: &mut LevelTree<u32>, path: &str, value: u32) -> u32 {
        let node = tree.find_or_insert(path);
        *tree.value_mut(node).unwrap() = Some(value);
        node
    }

    fn take(tree: &mut LevelTree<u32>, path: &str) {
        let node = tree.find(path).unwrap();
        *tree.value_mut(node).unwrap() = None;
        tree.prune(node);
    }

    #[test]
    fn wildcards_come_first_among_children() {
        let paths = ["a/x", "a/+", "a/#", "a/y"];
        for first in 0..4 {
            for step in [1, 3] {
                let mut tree = LevelTree::with_seed(7);
                for i in 0..4 {
                    put(&mut tree, paths[(first + i * step) % 4], 1);
                }
                let a = tree.find("a").unwrap();
                let multi = tree.multi_level_child(a).unwrap();
                let single = tree.single_level_child(a).unwrap();
                assert_eq!((tree.level(multi), tree.level(single)), ("#", "+"));
                assert_eq!((tree.first_child(a), tree.next_sibling(multi)), (Some(multi), Some(single)));
                take(&mut tree, "a/#");
                assert_eq!((tree.multi_level_child(a), tree.single_level_child(a)), (None, Some(single)));
                take(&mut tree, "a/+");
                assert_eq!(tree.single_level_child(a), None);
                take(&mut tree, "a/y");
                take(&mut tree, "a/x");
                assert_eq!((tree.is_empty(), tree.node_count()), (true, 1));
            }
        }
    }

    #[test]
    fn a_node_without_value_and_children_is_removed() {
        let mut tree = LevelTree::with_seed(7);
        put(&mut tree, "a/b", 1);
        put(&mut tree, "a/b/c/d", 2);
        assert_eq!(tree.node_count(), 5);
        take(&mut tree, "a/b");
        assert_eq!(tree.node_count(), 5);
        put(&mut tree, "a/b", 1);
        take(&mut tree, "a/b/c/d");
        assert_eq!(tree.node_count(), 3);
        assert_eq!((tree.find("a/b/c"), tree.value(99)), (None, None));
    }

    #[test]
    fn a_path_reads_as_it_was_written() {
        let mut tree = LevelTree::with_seed(7);
        for path in ["/", "a", "/a//b/", "+/#", "a text level longer than twenty-four bytes/x"] {
            let node = put(&mut tree, path, 1);
            assert_eq!(tree.path(node), path);
            assert_eq!(tree.find(path), Some(node));
            let mut levels = path.split('/');
            assert_eq!(tree.first_levels(node), (levels.next().unwrap(), levels.next()));
        }
    }

    #[test]
    fn the_deepest_path_overflows_no_stack() {
        let mut tree = LevelTree::with_seed(7);
        let path = "/".repeat(65_535);
        let node = put(&mut tree, &path, 1);
        assert_eq!(tree.node_count(), 65_537);
        assert_eq!(tree.path(node), path);
        take(&mut tree, &path);
        assert_eq!(tree.node_count(), 1);
    }

    #[test]
    fn a_pinned_node_stays_until_it_is_unpinned_as_often() {
        let mut tree = LevelTree::with_seed(7);
        let node = put(&mut tree, "a/b/c", 1);
        tree.pin(node);
        tree.pin(node);
        take(&mut tree, "a/b/c");
        put(&mut tree, "x", 2);
        assert_eq!((tree.find("a/b/c"), tree.value(node)), (Some(node), None));
        tree.unpin(node);
        assert_eq!((tree.find("a/b/c"), tree.pins()), (Some(node), 1));
        tree.unpin(node);
        assert_eq!((tree.find("a"), tree.node_count(), tree.pins()), (None, 2, 0));
        // the root needs no pin, and one that was never set is none
        tree.pin(ROOT);
        tree.unpin(ROOT);
        tree.unpin(99);
        take(&mut tree, "x");
        assert_eq!((tree.is_empty(), tree.node_count(), tree.pins()), (true, 1, 0));
    }
}
