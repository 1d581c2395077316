//! [`Slab`]: values under small numbers that do not change while the value exists. It owns only the storage.

use std::{
    mem,
    ops::{Index, IndexMut},
};

/// Values by number. It grows by whole chunks without copying: publishers never wait for a copy of a tree with a
/// million nodes, and the unused space is at most one chunk.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<T>>,
    /// Numbers that were used and are free again.
    free: Vec<u32>,
    /// The next unused number.
    next: u32,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), next: 0 }
    }

    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.next as usize - self.free.len()
    }

    pub(super) fn get(&self, id: u32) -> Option<&T> {
        let (chunk, at) = place(id);
        self.chunks.get(chunk)?.get(at)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        let (chunk, at) = place(id);
        self.chunks.get_mut(chunk)?.get_mut(at)
    }

    /// Stores `value` and returns its number, below 2³⁰.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(id) = self.free.pop() {
            self[id] = value;
            return id;
        }
        let id = self.next;
        // users keep flags in the higher bits; memory ends long before the numbers do
        assert!(id < MAX_IDS, "a slab of 2^30 values is full");
        let (chunk, _) = place(id);
        if chunk == self.chunks.len() {
            // the first chunk grows like a vector, so that a small slab is small
            self.chunks.push(Vec::with_capacity(if chunk == 0 { 0 } else { CHUNK }));
        }
        self.chunks[chunk].push(value);
        self.next += 1;
        id
    }
}

impl<T: Default> Slab<T> {
    /// Removes the value of `id`, and leaves the default in its place until the number is used again. All memory is
    /// freed with the last value.
    pub(super) fn remove(&mut self, id: u32) -> T {
        let value = mem::take(&mut self[id]);
        self.free.push(id);
        if self.len() == 0 {
            *self = Self::new();
        }
        value
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, id: u32) -> &T {
        let (chunk, at) = place(id);
        &self.chunks[chunk][at]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, id: u32) -> &mut T {
        let (chunk, at) = place(id);
        &mut self.chunks[chunk][at]
    }
}

#[inline]
const fn place(id: u32) -> (usize, usize) {
    (id as usize / CHUNK, id as usize % CHUNK)
}

const CHUNK: usize = 512;
const MAX_IDS: u32 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_are_reused_and_all_memory_returns_with_the_last() {
        let mut slab = Slab::new();
        let ids: Vec<_> = (0..2_000_u64).map(|value| slab.insert(value)).collect();
        for (value, &id) in (0..).zip(&ids) {
            assert_eq!(slab[id], value);
        }
        assert_eq!(slab.remove(ids[700]), 700);
        assert_eq!(slab.len(), 1_999);
        assert_eq!(slab.insert(9), ids[700]);
        assert_eq!(slab.get(2_000), None);
        for id in ids {
            slab.remove(id);
        }
        assert_eq!((slab.len(), slab.chunks.len(), slab.free.capacity()), (0, 0, 0));
    }
}
