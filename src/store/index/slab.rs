//! [`Slab`]: items by small, stable numbers. A freed number is reused only after the current batch, so that the notes
//! of a batch refer to one item.

#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    /// Numbers that were freed in the current batch.
    freed: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), freed: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(value);
            return slot;
        }
        let slot = u32::try_from(self.slots.len()).expect("memory ends before 2^32 of them");
        self.slots.push(Some(value));
        slot
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.slots.get_mut(slot as usize)?.take()?;
        self.freed.push(slot);
        Some(value)
    }

    /// The batch is written: its freed numbers can be used again.
    pub(crate) fn recycle(&mut self) {
        self.free.append(&mut self.freed);
        // after a burst, at most twice its memory stays allocated
        if self.free.len() == self.slots.len() && self.slots.capacity() > 1024 {
            *self = Self::default();
        }
    }

    /// One past the largest number.
    pub(crate) fn end(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.slots).filter_map(|(slot, value)| Some((slot, value.as_ref()?)))
    }
}
