//! [`Seed`] and [`IdTable`]: the hashing that the indexes of this room share. A table holds the numbers of items that
//! are stored elsewhere; the caller's closure compares an item with the key.

use std::hash::{Hash, Hasher};

use compact_str::CompactString;
use foldhash::{SharedSeed, fast::FoldHasher};
use hashbrown::HashTable;

/// Makes the hashes of one index differ from those of any other, so that a client cannot send topics that collide
/// without knowing it. All of the hasher's state comes from it, because the hasher's own fixed state is public.
#[derive(Debug)]
pub(super) struct Seed {
    seed: u64,
    shared: SharedSeed,
}

impl Seed {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, shared: SharedSeed::from_u64(seed) }
    }

    /// The hash of a text, to be narrowed by [`narrow`] or by [`under`].
    #[inline]
    pub(super) fn text(&self, text: &str) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write(text.as_bytes());
        hasher.finish()
    }

    /// The hash of anything else.
    #[inline]
    pub(super) fn value(&self, value: &impl Hash) -> u32 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        value.hash(&mut hasher);
        narrow(hasher.finish())
    }
}

/// The 32 bits of a hash that an [`IdTable`] needs.
#[inline]
pub(super) const fn narrow(hash: u64) -> u32 {
    under(0, hash)
}

/// The hash of a text under a parent: a level is hashed once and looked up under many parents.
#[inline]
pub(super) const fn under(parent: u32, text_hash: u64) -> u32 {
    // The odd constant of Fibonacci hashing; the high half of the product depends on every bit of the low one.
    ((text_hash ^ parent as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

/// Bytes of memory for a text besides its place: an allocation, if it is too long for that.
pub(super) fn memory_of(text: &CompactString) -> usize {
    if text.is_heap_allocated() { (text.capacity() + 8).next_multiple_of(16) } else { 0 }
}

/// Numbers by hash: eight bytes each. The hash is stored beside the number, so that growth does not touch the items,
/// and a failed look-up hardly ever does.
#[derive(Debug, Default)]
pub(super) struct IdTable {
    slots: HashTable<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    id: u32,
}

impl Slot {
    /// The table uses the top bits for tags and the bottom bits for buckets.
    #[inline]
    fn wide(hash: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(hash)
    }
}

impl IdTable {
    /// Bytes of memory for one number: a slot and a tag, in a table that is two thirds full on average.
    pub(super) const PLACE: usize = (size_of::<Slot>() + 1) * 3 / 2;

    pub(super) const fn new() -> Self {
        Self { slots: HashTable::new() }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The number under `hash` for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.slots.find(Slot::wide(hash), |slot| slot.hash == hash && is_it(slot.id)).map(|slot| slot.id)
    }

    /// Adds `id`, which the table must not have.
    pub(super) fn insert(&mut self, hash: u32, id: u32) {
        self.slots.insert_unique(Slot::wide(hash), Slot { hash, id }, |slot| Slot::wide(slot.hash));
    }

    /// Removes `id` if it is there, and frees memory when only a small part of it is in use.
    pub(super) fn remove(&mut self, hash: u32, id: u32) {
        if let Ok(slot) = self.slots.find_entry(Slot::wide(hash), |slot| slot.id == id) {
            slot.remove();
        }
        let len = self.slots.len();
        if len * 8 < self.slots.capacity() && self.slots.capacity() > MIN_SHRINK {
            self.slots.shrink_to(len * 2, |slot| Slot::wide(slot.hash));
        }
    }

    /// Replaces `old` by `new`.
    pub(super) fn renumber(&mut self, hash: u32, old: u32, new: u32) {
        if let Some(slot) = self.slots.find_mut(Slot::wide(hash), |slot| slot.id == old) {
            slot.id = new;
        }
    }
}

/// Smaller tables are not shrunk.
const MIN_SHRINK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_make_different_hashes() {
        assert_eq!(Seed::new(1).text("a"), Seed::new(1).text("a"));
        assert_ne!(Seed::new(1).text("a"), Seed::new(2).text("a"));
        assert_ne!(Seed::new(1).text(""), Seed::new(1).text("\u{1}"));
    }

    #[test]
    fn a_table_tells_equal_hashes_apart_and_shrinks() {
        let mut table = IdTable::new();
        for id in 0..10_000 {
            table.insert(id / 3, id);
        }
        assert_eq!(table.find(5, |id| id == 16), Some(16));
        assert_eq!(table.find(5, |id| id == 18), None);
        table.renumber(5, 16, 99_999);
        assert_eq!(table.find(5, |id| id > 17), Some(99_999));
        table.remove(5, 99_999);
        for id in 0..10_000 {
            table.remove(id / 3, id);
        }
        assert_eq!(table.len(), 0);
        assert!(table.slots.capacity() <= MIN_SHRINK);
    }
}
