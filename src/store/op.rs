//! [`Op`]: a [`Record`] that waits to be written, with all it needs owned, and [`Ops`]: those of a batch.

use std::ops::Range;

use crate::{
    router::{QueuedCopy, Record},
    session::{Change, Message, StoredWill},
    topic::{TopicFilter, TopicName},
    types::{ClientId, PacketId, SubscriptionOptions},
};

/// What is to be kept. Messages have their numbers by now.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Started { session: u64, client: ClientId, will: Option<StoredWill> },
    Attached { session: u64, will: Option<StoredWill> },
    Detached { session: u64 },
    WillDue { session: u64, number: u64, will: StoredWill },
    WillPublished { session: u64, number: u64 },
    Ended { session: u64 },
    Subscribed { session: u64, filter: Box<str>, options: SubscriptionOptions },
    Unsubscribed { session: u64, filter: Box<str> },
    Queued { message: Message, copy: QueuedCopy, sent: Option<u64>, too: Range<usize> },
    Sent { session: u64, number: u64, sent: u64, count: u32 },
    Released { session: u64, number: u64 },
    Completed { session: u64, number: u64, count: u32 },
    Received { session: u64, packet_id: PacketId },
    ReceiptReleased { session: u64, packet_id: PacketId },
    Retained { message: Message },
    Cleared { topic: Box<str> },
    // a message that its client acknowledged before it was written
    Nothing,
}

/// Ops in their order.
#[derive(Debug, Default)]
pub(super) struct Ops {
    /// Messages that were held back. All others come behind them, but for what nobody waits for, of older messages.
    pub(super) held: Vec<Vec<Op>>,
    pub(super) list: Vec<Op>,
    /// Where those of `list` say that there are more copies of what they queue.
    copies: Vec<QueuedCopy>,
}

impl Ops {
    /// Adds to the op of `first`, the first copy of a message that waits, the others. `false`: there is no such op.
    pub(super) fn queue_too(&mut self, first: &QueuedCopy, others: &[QueuedCopy]) -> bool {
        let found = self.list.iter_mut().rev().find_map(|op| match op {
            Op::Queued { copy, sent: None, too, .. } if copy == first => {
                debug_assert!(too.start == too.end, "once a message");
                Some(too)
            }
            _ => None,
        });
        found.map(|too| *too = add(&mut self.copies, others)).is_some()
    }

    /// Takes over a record; `name` gives the number of a message, which has one afterwards.
    #[inline]
    pub(super) fn op(&mut self, record: Record<'_>, name: impl FnOnce(&Message)) -> Op {
        Op::new(record, &mut self.copies, name)
    }

    /// There are none.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.list.is_empty()
    }

    /// Gives each, in its order, with the other copies of what it queues; none are left.
    pub(super) fn drain(&mut self, mut each: impl FnMut(Op, &[QueuedCopy])) {
        self.held.drain(..).flatten().for_each(|op| each(op, &[]));
        for op in self.list.drain(..) {
            let others = match &op {
                Op::Queued { too, .. } => &self.copies[too.clone()],
                _ => &[],
            };
            each(op, others);
        }
        self.copies.clear();
        if self.list.capacity() > MOST_KEPT {
            self.list = Vec::new();
        }
        if self.copies.capacity() > MOST_KEPT {
            self.copies = Vec::new();
        }
    }
}

fn add(copies: &mut Vec<QueuedCopy>, others: &[QueuedCopy]) -> Range<usize> {
    let from = copies.len();
    copies.extend_from_slice(others);
    from..copies.len()
}

impl From<Vec<Op>> for Ops {
    fn from(list: Vec<Op>) -> Self {
        Self { list, ..Self::default() }
    }
}

impl Op {
    /// Takes over what it borrows, the other copies of a message into `copies`.
    #[inline]
    fn new(record: Record<'_>, copies: &mut Vec<QueuedCopy>, name: impl FnOnce(&Message)) -> Self {
        match record {
            Record::SessionStarted { session, client, will } => {
                Self::Started { session: session.0.get(), client: client.clone(), will: will.cloned() }
            }
            Record::Attached { session, will } => Self::Attached { session: session.0.get(), will: will.cloned() },
            Record::Detached { session } => Self::Detached { session: session.0.get() },
            Record::WillDue { session, number, will } => {
                Self::WillDue { session: session.0.get(), number, will: will.clone() }
            }
            Record::WillPublished { session, number } => Self::WillPublished { session: session.0.get(), number },
            Record::SessionEnded { session } => Self::Ended { session: session.0.get() },
            Record::Subscribed { session, filter, options } => {
                Self::Subscribed { session: session.0.get(), filter: filter.as_str().into(), options }
            }
            Record::Unsubscribed { session, filter } => {
                Self::Unsubscribed { session: session.0.get(), filter: filter.as_str().into() }
            }
            Record::Changed { session, change } => {
                let whose = session;
                let session = session.0.get();
                match change {
                    Change::Queued { number, message, qos, retain, sent } => {
                        name(message);
                        let copy = QueuedCopy { session: whose, number, qos, retain };
                        Self::Queued { message: message.clone(), copy, sent, too: 0..0 }
                    }
                    Change::Sent { number, sent, count } => Self::Sent { session, number, sent, count },
                    Change::Released { number } => Self::Released { session, number },
                    Change::Completed { number, count } => Self::Completed { session, number, count },
                    Change::Received { packet_id } => Self::Received { session, packet_id },
                    Change::ReceiptReleased { packet_id } => Self::ReceiptReleased { session, packet_id },
                }
            }
            Record::QueuedToo { message, copies: [copy, others @ ..], .. } => {
                name(message);
                Self::Queued { message: message.clone(), copy: *copy, sent: None, too: add(copies, others) }
            }
            Record::QueuedToo { copies: [], .. } => Self::Nothing,
            Record::Retained { message } => {
                name(message);
                Self::Retained { message: message.clone() }
            }
            Record::RetainedCleared { topic } => Self::Cleared { topic: topic.as_str().into() },
        }
    }

    /// Bytes of memory that it holds until it is written, about.
    #[inline]
    pub(super) fn size(&self) -> usize {
        let held = match self {
            Self::Queued { message, too, .. } => message.size() + too.len() * size_of::<QueuedCopy>(),
            Self::Retained { message } => message.size(),
            Self::Started { will: Some(will), .. }
            | Self::Attached { will: Some(will), .. }
            | Self::WillDue { will, .. } => will.message.size(),
            Self::Subscribed { filter: text, .. }
            | Self::Unsubscribed { filter: text, .. }
            | Self::Cleared { topic: text } => text.len(),
            _ => 0,
        };
        size_of::<Self>() + held
    }
}

/// Ops, and copies, for which room is kept from one batch to the next.
const MOST_KEPT: usize = 1 << 14;

/// Text of an [`Op`] that was a Topic Filter.
pub(super) fn filter(text: &str) -> &TopicFilter {
    TopicFilter::from_valid(text)
}

/// Text of an [`Op`] that was a Topic Name.
pub(super) fn topic(text: &str) -> &TopicName {
    TopicName::from_valid(text)
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::world::{self, message},
        *,
    };

    fn copy(session: u64) -> QueuedCopy {
        world::copy(session, 1)
    }

    fn drained(ops: &mut Ops) -> Vec<(QueuedCopy, Vec<QueuedCopy>)> {
        let mut all = Vec::new();
        ops.drain(|op, others| match op {
            Op::Queued { copy, .. } => all.push((copy, others.to_vec())),
            other => panic!("{other:?}"),
        });
        all
    }

    #[test]
    fn copies_are_queued_where_the_first_is_or_by_themselves() {
        let mut ops = Ops::default();
        let message = message(1, "t", b"x");
        for session in [1, 2] {
            let QueuedCopy { session, number, qos, retain } = copy(session);
            let change = Change::Queued { number, message: &message, qos, retain, sent: None };
            let op = ops.op(Record::Changed { session, change }, |_| ());
            ops.list.push(op);
        }
        assert!(ops.queue_too(&copy(1), &[copy(3), copy(4)]));
        assert!(ops.queue_too(&copy(2), &[copy(5)]));
        assert!(!ops.queue_too(&copy(6), &[copy(7), copy(8)]));
        let record = Record::QueuedToo { message: &message, first: copy(6), copies: &[copy(7), copy(8)] };
        let op = ops.op(record, |_| ());
        assert_eq!(op.size(), size_of::<Op>() + message.size() + size_of::<QueuedCopy>());
        ops.list.push(op);
        let expected = [(1, vec![3, 4]), (2, vec![5]), (7, vec![8])];
        let expected = expected.map(|(first, others)| (copy(first), others.into_iter().map(copy).collect::<Vec<_>>()));
        assert_eq!(drained(&mut ops), expected);
        assert!(ops.list.is_empty() && ops.copies.is_empty());
    }
}
