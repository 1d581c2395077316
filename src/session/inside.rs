//! A client within this process: nothing is encoded for it. Messages wait in its session's queue until it
//! [takes](Session::take) them, and are then in flight until it [acknowledges](Session::acknowledge) them.

use std::time::Instant;

use super::{Gone, Journal, Message, Session, SessionChange, Stored, Turn, Way, inflight::is_kept, queue::Queued};
use crate::{
    codec::ReasonCode,
    types::{ClientId, QoS, QueueFull, UserName},
};

/// The queue limits of a client within this process, which replace those of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Most queued messages, and most messages that are taken and not acknowledged.
    pub messages: usize,
    /// Most bytes (topics and payloads) of queued messages.
    pub bytes: usize,
    /// Which message is dropped when the queue is full.
    pub policy: QueueFull,
}

impl Default for Bound {
    /// 1,000 messages and 64 MiB; beyond that, new messages are dropped.
    fn default() -> Self {
        Self { messages: 1_000, bytes: 64 << 20, policy: QueueFull::DropNewest }
    }
}

/// Messages that a client within this process missed since it was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Its queue, or all queues together, were full.
    pub queue_full: u64,
    /// Their Message Expiry Interval passed in the queue.
    pub expired: u64,
}

/// The origin of a queued message.
#[derive(Clone, Debug)]
pub struct Note {
    /// The publisher; `None`: the broker itself.
    pub client: Option<ClientId>,
    /// The user of that client.
    pub user: Option<UserName>,
    /// The time of arrival.
    pub at: Instant,
}

/// A message that a client within this process took.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The message.
    pub message: Message,
    /// Its number in the session. In a store it is the same after a restart.
    pub number: u64,
    /// The QoS of the delivery.
    pub qos: QoS,
    /// RETAIN.
    pub retain: bool,
    /// It was taken before and not acknowledged.
    pub dup: bool,
    /// The argument for [`Session::acknowledge`]; `None`: no acknowledgement is needed.
    pub ack: Option<u64>,
    /// `None`: a retained message of a new subscription, or a message that arrived before the client was attached.
    pub note: Option<Note>,
}

/// A message that was taken before and not acknowledged.
pub(super) enum Again {
    /// The message.
    Published(Taken),
    /// PUBREC arrived for the message with this number.
    Released { seq: u64, number: u64 },
}

impl Session {
    /// Attaches a client within this process, until [`detach`](Self::detach). Messages in the session wait for it,
    /// those that were in flight first.
    pub fn attach_inside(&mut self, bound: Bound, turn: &mut Turn<'_, impl Journal>) {
        self.outbound.get_or_insert_default().attach_inside(bound);
        self.tell_backlog(&mut turn.journal);
    }

    /// Is the client within this process?
    #[inline]
    pub fn is_inside(&self) -> bool {
        self.outbound.as_ref().is_some_and(|outbound| outbound.is_inside())
    }

    /// Messages that the client within this process missed since it was attached.
    pub fn missed(&self) -> Missed {
        self.outbound.as_ref().map_or_else(Missed::default, |outbound| outbound.all_missed())
    }

    /// The client takes its next message, if there is one and its window has a place.
    pub fn take(&mut self, turn: &mut Turn<'_, impl Journal>) -> Option<Taken> {
        let outbound = self.outbound.as_mut().filter(|outbound| outbound.is_inside())?;
        let taken = loop {
            match outbound.take_again() {
                Some(Again::Published(taken)) => break Some(taken),
                // a PUBREL that an earlier network client was owed has no meaning here
                Some(Again::Released { seq, number }) => {
                    outbound.discard(seq);
                    self.number.into_iter().for_each(|session| {
                        turn.journal.coalesce(session, SessionChange::Completed { number, count: 1 });
                    });
                }
                None => break None,
            }
        };
        let taken = taken.or_else(|| self.take_next(false, turn).map(|(taken, _)| taken));
        self.tell_backlog(&mut turn.journal);
        taken
    }

    /// The next message that was not taken before. `waits`: gives when it is durable that one of QoS 2 is in flight.
    pub(super) fn take_next(&mut self, waits: bool, turn: &mut Turn<'_, impl Journal>) -> Option<(Taken, Stored)> {
        let expiry = self.expiry;
        let outbound = self.outbound.as_mut()?;
        let next = loop {
            let next = outbound.next_inside()?;
            if !next.message.is_expired(turn.now) {
                break next;
            }
            turn.journal.dropped(&self.id, &next.message, Gone::Expired);
            outbound.missed(next.number, Gone::Expired);
            let topic = (next.message.topic().as_str(), next.retain);
            outbound.note_due(self.number, topic, None, &mut turn.journal);
            if let Some(session) = self.number.filter(|_| next.qos != QoS::AtMostOnce) {
                turn.journal.coalesce(session, SessionChange::Completed { number: next.number, count: 1 });
            }
        };
        let note = outbound.take_note(next.number);
        let Queued { number, message, qos, retain, share, ids } = next;
        turn.journal.sent(&self.id, &message, qos, Way::Inside);
        if qos == QoS::AtMostOnce {
            return Some((Taken { message, number, qos, retain, dup: false, ack: None, note }, Stored::Done));
        }
        let keep = is_kept(expiry, share, qos, &turn.journal);
        let keep = keep.then(|| message.clone());
        if let Some(message) = &keep {
            outbound.count_in(message);
        }
        let seq = outbound.begin(number, qos, retain, share, ids, keep);
        let mut stored = Stored::Done;
        if let Some(session) = self.number {
            let change = SessionChange::Sent { number, sent: seq, count: 1 };
            match waits && qos == QoS::ExactlyOnce {
                true => stored = turn.journal.changed(session, change),
                // at QoS 2 too: an unacknowledged message is given again with `dup`
                false => turn.journal.coalesce(session, change),
            }
        }
        Some((Taken { message, number, qos, retain, dup: false, ack: Some(seq), note }, stored))
    }

    /// The client acknowledges a message that it took. `false`: it was acknowledged before.
    pub fn acknowledge(&mut self, ack: u64, turn: &mut Turn<'_, impl Journal>) -> bool {
        let followed =
            self.outbound.as_ref().filter(|_| turn.journal.follows()).and_then(|outbound| outbound.taken(ack));
        let completed = self.outbound.as_mut().and_then(|outbound| outbound.acknowledge(ack));
        if let Some((message, qos)) = followed {
            turn.journal.acknowledged(&self.id, &message, qos, ReasonCode::Success);
        }
        self.forget(completed, turn);
        self.tell_backlog(&mut turn.journal);
        completed.is_some()
    }
}
