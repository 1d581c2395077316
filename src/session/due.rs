//! Retained messages that are due to the other broker of a bridge: queues them, and tells which of the bridge's topics
//! changed and are not acknowledged.

use std::sync::Arc;

use super::{How, Journal, Message, Session, Turn};
use crate::types::QoS;

/// A retained message that is queued or in flight for the other broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub number: u64,
    /// It is of QoS 0: nothing acknowledges it.
    pub qos0: bool,
}

/// Due messages wait while as many retained messages are queued.
const MOST_QUEUED: usize = 10_000;

impl Session {
    /// The session is that of a bridge. `due`: from the store, the topics whose retained messages are due; an empty
    /// one: all are.
    pub fn restore_due<'t>(&mut self, due: impl IntoIterator<Item = &'t str>) {
        let outbound = self.outbound.get_or_insert_default();
        outbound.set_relays();
        due.into_iter().for_each(|topic| outbound.restore_due(topic));
    }

    /// The next topic whose retained message is due and not queued.
    pub fn next_due(&self) -> Option<Arc<str>> {
        self.outbound.as_ref()?.next_due()
    }

    /// Are all retained messages due, and not queued? `Some(true)`: they are to be [brought](Self::bring_due) from the
    /// first on; `Some(false)`: further ones.
    pub fn queue_all(&mut self) -> Option<bool> {
        self.outbound.as_mut()?.queue_all()
    }

    /// All of them were [brought](Self::bring_due).
    pub fn all_are_queued(&mut self) {
        self.outbound.as_mut().into_iter().for_each(|outbound| outbound.all_are_queued());
    }

    /// Number of topics whose retained messages are due, as far as they are in the list.
    pub fn due(&self) -> usize {
        self.outbound.as_ref().map_or(0, |outbound| outbound.due())
    }

    /// Are retained messages due that are not queued?
    pub fn due_waits(&self) -> bool {
        self.outbound.as_ref().is_some_and(|outbound| outbound.due_waits())
    }

    /// Are all retained messages due, and not known to be read?
    pub fn all_are_due(&self) -> bool {
        self.outbound.as_ref().is_some_and(|outbound| outbound.all_are_due())
    }

    /// May due messages be queued?
    pub fn has_room_for_due(&self) -> bool {
        self.outbound.as_ref().is_none_or(|outbound| outbound.brought() < MOST_QUEUED)
    }

    /// Queues the retained message of a topic, or an empty one if there is none, behind all that is queued. `qos`: its
    /// highest QoS.
    pub fn bring_due(&mut self, message: &Message, qos: QoS, turn: &mut Turn<'_, impl Journal>) {
        let _is_queued = self.deliver_retained(message, How::from(qos), None, usize::MAX, turn);
        let (topic, session) = (message.topic().as_str(), self.number);
        let Some(outbound) = &mut self.outbound else { return };
        match message.qos().min(qos) {
            QoS::AtMostOnce => {
                let number = outbound.last_number();
                outbound.due_is_queued_at_0(topic, number);
            }
            QoS::AtLeastOnce | QoS::ExactlyOnce => outbound.due_is_queued(session, topic, &mut turn.journal),
        }
        self.tell_backlog(&mut turn.journal);
    }

    /// The retained message of a topic was removed, and no message says so: if the session is that of a bridge, this is
    /// due to the other broker.
    pub fn note_removed(&mut self, topic: &str, turn: &mut Turn<'_, impl Journal>) {
        let session = self.number;
        if let Some(outbound) = &mut self.outbound {
            outbound.note_removed(session, topic, &mut turn.journal);
        }
    }

    /// Was one removed since the last call?
    pub fn take_due_news(&mut self) -> bool {
        self.outbound.as_mut().is_some_and(|outbound| outbound.take_due_news())
    }

    /// There is nothing to be sent for this topic.
    pub fn forget_due(&mut self, topic: &str, turn: &mut Turn<'_, impl Journal>) {
        let session = self.number;
        if let Some(outbound) = &mut self.outbound {
            outbound.due_is_queued(session, topic, &mut turn.journal);
        }
    }

    /// The client took messages of QoS 0 that are due: the number of the last message that it took.
    pub fn due_taken(&self) -> Option<u64> {
        self.outbound.as_ref()?.due_taken()
    }

    /// The other broker has read all messages of QoS 0 up to this number.
    pub fn due_arrived(&mut self, up_to: u64, turn: &mut Turn<'_, impl Journal>) {
        let session = self.number;
        if let Some(outbound) = &mut self.outbound {
            outbound.due_arrived(session, up_to, &mut turn.journal);
        }
    }

    /// Calls `each` with all retained messages that are queued or in flight.
    pub fn retained_changes(&self, each: &mut dyn FnMut(&Message, Change)) {
        self.outbound.as_ref().into_iter().for_each(|outbound| outbound.retained_changes(each));
    }

    /// The number of the first message that is queued or in flight.
    pub fn first_open(&self) -> Option<u64> {
        self.outbound.as_ref()?.first_open()
    }
}
