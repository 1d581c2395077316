//! [`Last`]: the last entries of a numbered sequence, which are read in pages.

use std::collections::VecDeque;

/// The last entries of a sequence.
pub(super) struct Last<T> {
    last: VecDeque<T>,
    /// Number of entries that are kept.
    most: usize,
    /// Number of entries so far.
    count: u64,
}

impl<T: Clone> Last<T> {
    /// Empty; keeps `most` entries.
    pub fn new(most: usize) -> Self {
        Self { last: VecDeque::new(), most, count: 0 }
    }

    /// Adds an entry; if there are `most`, the oldest one goes.
    pub fn add(&mut self, one: T) {
        if self.last.len() == self.most {
            self.last.pop_front();
        }
        self.last.push_back(one);
        self.count += 1;
    }

    /// At most `limit` entries before a number, the latest first, and the number at which the next page begins.
    pub fn before(&self, before: u64, limit: usize) -> (Vec<T>, Option<u64>) {
        let oldest = self.count - self.last.len() as u64;
        let to = before.min(self.count);
        let there = usize::try_from(to.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let some: Vec<_> = self.last.iter().take(there).rev().take(limit).cloned().collect();
        let has_more = some.len() < there;
        let behind = to - some.len() as u64;
        (some, has_more.then_some(behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_continue_correctly_while_entries_are_added() {
        let mut last = Last::new(5);
        assert_eq!(last.before(u64::MAX, 3), (vec![], None));
        (0..8).for_each(|n| last.add(n));
        assert_eq!(last.before(u64::MAX, 3), (vec![7, 6, 5], Some(5)));
        assert_eq!(last.before(5, 3), (vec![4, 3], None));
        assert_eq!(last.before(5, 2), (vec![4, 3], None));
        last.add(8);
        // the oldest entry was dropped meanwhile
        assert_eq!(last.before(5, 3), (vec![4], None));
        last.add(9);
        assert_eq!(last.before(5, 3), (vec![], None));
    }
}
