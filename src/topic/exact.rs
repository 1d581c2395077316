//! [`ExactTable`]: values by the whole text of a topic, for filters without a wildcard. It owns the texts and does not
//! know levels.

use compact_str::CompactString;

use super::{
    hash::{self, IdTable, Seed},
    slab::Slab,
};

/// Values by text, and by the number that a text keeps while it has a value.
#[derive(Debug)]
pub(super) struct ExactTable<V> {
    entries: Slab<Entry<V>>,
    table: IdTable,
    /// Bytes of texts that are too long for their entries.
    texts: usize,
}

#[derive(Debug)]
struct Entry<V> {
    text: CompactString,
    /// `None` only in a free place of the slab.
    value: Option<V>,
}

impl<V> ExactTable<V> {
    pub(super) const fn new() -> Self {
        Self { entries: Slab::new(), table: IdTable::new(), texts: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Approximate bytes of memory, without what the values point to.
    pub(super) fn memory(&self) -> usize {
        self.entries.len() * (size_of::<Entry<V>>() + IdTable::PLACE) + self.texts
    }

    /// The number of a text, if the table has it.
    #[inline]
    pub(super) fn find(&self, text: &str, seed: &Seed) -> Option<u32> {
        self.table.find(hash::narrow(seed.text(text)), |id| self.entries[id].text == text)
    }

    /// Adds a text that the table does not have.
    pub(super) fn insert(&mut self, text: &str, value: V, seed: &Seed) -> u32 {
        let entry = Entry { text: text.into(), value: Some(value) };
        self.texts += hash::memory_of(&entry.text);
        let id = self.entries.insert(entry);
        self.table.insert(hash::narrow(seed.text(text)), id);
        id
    }

    /// Removes the entry with the number `id`.
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
