//! [`Op`]: a [`Record`] that waits to be written, with all it needs owned.

use super::bodies::message_number;
use crate::{
    router::Record,
    session::{Change, Message, StoredWill},
    topic::{TopicFilter, TopicName},
    types::{ClientId, PacketId, QoS, SubscriptionOptions},
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
    Queued { session: u64, number: u64, message: Message, qos: QoS, retain: bool, sent: Option<u64> },
    // the message that the op before it `queues`, for another session: it is held once
    QueuedToo { session: u64, number: u64, message: u64, qos: QoS, retain: bool },
    Sent { session: u64, number: u64, sent: u64 },
    Released { session: u64, number: u64 },
    Completed { session: u64, number: u64 },
    Received { session: u64, packet_id: PacketId },
    ReceiptReleased { session: u64, packet_id: PacketId },
    Retained { message: Message },
    Cleared { topic: Box<str> },
    // a message that its client acknowledged before it was written
    Nothing,
}

impl Op {
    /// Takes over what it borrows. `name` gives the number of a message, which has one afterwards; `before` is that of the
    /// message that the op before it has [queued](Self::queues).
    #[inline]
    pub(super) fn new(record: Record<'_>, before: Option<u64>, name: impl FnOnce(&Message) -> u64) -> Self {
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
                let session = session.0.get();
                match change {
                    Change::Queued { number, message, qos, retain, sent } => {
                        let name = name(message);
                        if sent.is_none() && before == Some(name) {
                            return Self::QueuedToo { session, number, message: name, qos, retain };
                        }
                        Self::Queued { session, number, message: message.clone(), qos, retain, sent }
                    }
                    Change::Sent { number, sent } => Self::Sent { session, number, sent },
                    Change::Released { number } => Self::Released { session, number },
                    Change::Completed { number } => Self::Completed { session, number },
                    Change::Received { packet_id } => Self::Received { session, packet_id },
                    Change::ReceiptReleased { packet_id } => Self::ReceiptReleased { session, packet_id },
                }
            }
            Record::Retained { message } => {
                name(message);
                Self::Retained { message: message.clone() }
            }
            Record::RetainedCleared { topic } => Self::Cleared { topic: topic.as_str().into() },
        }
    }

    /// The number of the message that it queues, for a client that is away or behind.
    #[inline]
    pub(super) fn queues(&self) -> Option<u64> {
        match self {
            Self::Queued { message, sent: None, .. } => Some(message_number(message)),
            Self::QueuedToo { message, .. } => Some(*message),
            _ => None,
        }
    }

    /// Bytes of memory that it holds until it is written, about.
    #[inline]
    pub(super) fn size(&self) -> usize {
        let held = match self {
            Self::Queued { message, .. } | Self::Retained { message } => message.size(),
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

/// Text of an [`Op`] that was a Topic Filter.
pub(super) fn filter(text: &str) -> &TopicFilter {
    TopicFilter::from_valid(text)
}

/// Text of an [`Op`] that was a Topic Name.
pub(super) fn topic(text: &str) -> &TopicName {
    TopicName::from_valid(text)
}
