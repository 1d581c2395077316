//! [`Contents`]: the [`Record`]s of a batch, until they are written.

use std::ops::Range;

use crate::router::{QueuedCopy, Record};

/// The records of a batch, in order.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Held messages; `None` in place of one that was acknowledged. All other records follow them, except those that no
    /// task waits for, which are about older messages.
    pub(crate) held: Vec<Vec<Option<Record>>>,
    pub(crate) list: Vec<Record>,
    /// Further copies of a message that `list` queues: the index of its record in `list`, and the range in `copies`.
    more: Vec<(usize, Range<usize>)>,
    copies: Vec<QueuedCopy>,
}

impl Contents {
    /// Adds the `others` to the record of `first`, the first copy of a queued message. `false`: there is no such
    /// record.
    pub(crate) fn add_copies(&mut self, first: &QueuedCopy, others: &[QueuedCopy]) -> bool {
        let is_first = |record: &Record| matches!(record, Record::Queued { copy, identifiers: None, sent: None, .. } if copy == first);
        let Some(at) = self.list.iter().rposition(is_first) else { return false };
        debug_assert!(self.more.iter().all(|(other, _)| *other != at), "once a message");
        let from = self.copies.len();
        self.copies.extend_from_slice(others);
        self.more.push((at, from..self.copies.len()));
        true
    }

    /// Are there no records?
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.list.is_empty()
    }

    /// Calls `each` with every record in order, and the further copies of the message that it queues. No record is
    /// left.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(Record, &[QueuedCopy])) {
        self.held.drain(..).flatten().flatten().for_each(|record| each(record, &[]));
        self.more.sort_unstable_by_key(|(at, _)| *at);
        let mut more = self.more.drain(..).peekable();
        for (n, record) in self.list.drain(..).enumerate() {
            let others = more.next_if(|(at, _)| *at == n).map_or(&[][..], |(_, range)| &self.copies[range]);
            each(record, others);
        }
        drop(more);
        self.copies.clear();
        shrink(&mut self.list);
        shrink(&mut self.more);
        shrink(&mut self.copies);
    }
}

/// Frees the memory of an empty list that was large.
fn shrink<T>(list: &mut Vec<T>) {
    if list.capacity() > MOST_KEPT {
        *list = Vec::new();
    }
}

#[cfg(test)]
impl From<Vec<Record>> for Contents {
    fn from(list: Vec<Record>) -> Self {
        Self { list, ..Self::default() }
    }
}

/// Approximate bytes of memory that a record uses until it is written.
#[inline]
pub(crate) fn size_of_record(record: &Record) -> usize {
    let held = match record {
        Record::Queued { message, identifiers, .. } => {
            message.size() + identifiers.as_ref().map_or(0, |identifiers| identifiers.len())
        }
        Record::Retained { message, .. } => message.size(),
        Record::SessionStarted { will: Some(will), .. }
        | Record::Attached { will: Some(will), .. }
        | Record::WillDue { will, .. }
        | Record::WillKept { will, .. } => will.message.size(),
        Record::Subscribed { filter: text, .. }
        | Record::Unsubscribed { filter: text, .. }
        | Record::RetainedDue { topic: text, .. }
        | Record::RetainedSent { topic: text, .. }
        | Record::RetainedCleared { topic: text } => text.len(),
        _ => 0,
    };
    size_of::<Record>() + held
}

/// Capacity for records and copies that is kept from one batch to the next.
const MOST_KEPT: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::{
        super::super::tests::world::{self, message},
        *,
    };

    fn copy(session: u64) -> QueuedCopy {
        world::copy(session, 1)
    }

    fn drained(contents: &mut Contents) -> Vec<(QueuedCopy, Vec<QueuedCopy>)> {
        let mut all = Vec::new();
        contents.drain(|record, others| match record {
            Record::Queued { copy, .. } => all.push((copy, others.to_vec())),
            other => panic!("{other:?}"),
        });
        all
    }

    #[test]
    fn copies_follow_the_record_of_the_first_copy() {
        let mut contents = Contents::default();
        for session in [1, 2, 3] {
            let message = message(1, "t", b"x");
            contents.list.push(Record::Queued { message, copy: copy(session), identifiers: None, sent: None });
        }
        // records of a later message may precede those of an earlier one
        assert!(contents.add_copies(&copy(3), &[copy(4)]));
        assert!(contents.add_copies(&copy(1), &[copy(5), copy(6)]));
        assert!(!contents.add_copies(&copy(7), &[copy(8)]));
        let expected = [(1, vec![5, 6]), (2, vec![]), (3, vec![4])];
        let expected = expected.map(|(first, others)| (copy(first), others.into_iter().map(copy).collect::<Vec<_>>()));
        assert_eq!(drained(&mut contents), expected);
        assert!(contents.is_empty() && contents.more.is_empty() && contents.copies.is_empty());
    }
}
