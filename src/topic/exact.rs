//! [`ExactTable`]: values by the whole text of a topic, for filters without a wildcard. Owns the texts; knows no
//! levels.

use compact_str::CompactString;

use super::{
    hash::{self, IdTable, Seed},
    slab::Slab,
};

/// Values by text, and by the number that a text has for as long as its value stays.
#[derive(Debug)]
pub(super) struct ExactTable<V> {
    entries: Slab<Entry<V>>,
    table: IdTable,
    /// Bytes of texts too long to stand in their entries.
    texts: usize,
}

#[derive(Debug)]
struct Entry<V> {
    text: CompactString,
    /// `None` in a free place of the slab alone.
    value: Option<V>,
}

impl<V> ExactTable<V> {
    pub(super) const fn new() -> Self {
        Self { entries: Slab::new(), table: IdTable::new(), texts: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of memory, about, without what the values point to.
    pub(super) fn memory(&self) -> usize {
        self.entries.len() * (size_of::<Entry<V>>() + IdTable::PLACE) + self.texts
    }

    /// The number of a text that is there.
    #[inline]
    pub(super) fn find(&self, text: &str, seed: &Seed) -> Option<u32> {
        self.table.find(hash::narrow(seed.text(text)), |id| self.entries[id].text == text)
    }

    /// Adds a text that is not there.
    pub(super) fn insert(&mut self, text: &str, value: V, seed: &Seed) -> u32 {
        let entry = Entry { text: text.into(), value: Some(value) };
        self.texts += hash::memory_of(&entry.text);
        let id = self.entries.insert(entry);
        self.table.insert(hash::narrow(seed.text(text)), id);
        id
    }

    /// Removes what has the number `id`, and the number.
    pub(super) fn remove(&mut self, id: u32, seed: &Seed) {
        if self.value(id).is_some() {
            let entry = self.entries.remove(id);
            self.texts -= hash::memory_of(&entry.text);
            self.table.remove(hash::narrow(seed.text(&entry.text)), id);
        }
    }

    #[inline]
    pub(super) fn value(&self, id: u32) -> Option<&V> {
        self.entries.get(id)?.value.as_ref()
    }

    pub(super) fn value_mut(&mut self, id: u32) -> Option<&mut V> {
        self.entries.get_mut(id)?.value.as_mut()
    }

    pub(super) fn text(&self, id: u32) -> Option<&str> {
        let entry = self.entries.get(id)?;
        entry.value.is_some().then_some(&entry.text)
    }
}

impl<V> Default for Entry<V> {
    fn default() -> Self {
        Self { text: CompactString::const_new(""), value: None }
    }
}
