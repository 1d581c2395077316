//! A client within this process: no bytes are written for it. What comes waits in its session's queue until it
//! [takes](Session::take) it, and is in flight from then until it [acknowledges](Session::acknowledge) it.

use std::time::Instant;

use super::{Gone, Journal, Message, Session, SessionChange, Turn, queue::Queued};
use crate::types::{ClientId, QoS, QueueFull, UserName};

/// How much may wait for a client within this process, in place of the limits of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Messages that wait; and as many may be taken and not be acknowledged.
    pub messages: usize,
    /// Bytes (topics and payloads) of those that wait.
    pub bytes: usize,
    /// Which message goes when the queue is full.
    pub policy: QueueFull,
}

impl Default for Bound {
    /// 1,000 messages, 64 MiB; when these are there, what comes is dropped.
    fn default() -> Self {
        Self { messages: 1_000, bytes: 64 << 20, policy: QueueFull::DropNewest }
    }
}

/// Messages that a client within this process did not get, since it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Its queue, or all queues together, had no place for them.
    pub queue_full: u64,
    /// Their Message Expiry Interval passed while they waited.
    pub expired: u64,
}

/// What is known of a message that waits beside what is in it.
#[derive(Clone, Debug)]
pub struct Note {
    /// Who published it; `None`: the broker itself.
    pub client: Option<ClientId>,
    /// The user of that client.
    pub user: Option<UserName>,
    /// When it came.
    pub at: Instant,
}

/// A message that a client within this process took.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The message.
    pub message: Message,
    /// At which QoS.
    pub qos: QoS,
    /// With RETAIN.
    pub retain: bool,
    /// It was taken before, and not acknowledged.
    pub dup: bool,
    /// By this it is acknowledged; `None`: it needs not be.
    pub ack: Option<u64>,
    /// `None`: it is a retained message of a new subscription, or came before the client did.
    pub note: Option<Note>,
}

impl Session {
    /// A client within this process has the session from now on, until [`detach`](Self::detach). What the session holds
    /// waits for it, what was in flight in front.
    pub fn attach_inside(&mut self, bound: Bound, turn: &mut Turn<'_, impl Journal>) {
        self.outbound.get_or_insert_default().attach_inside(bound);
        self.tell_backlog(&mut turn.journal);
    }

    /// Is its client within this process?
    #[inline]
    pub fn is_inside(&self) -> bool {
        self.outbound.as_ref().is_some_and(|outbound| outbound.is_inside())
    }

    /// What its client, which is within this process, missed since it came.
    pub fn missed(&self) -> Missed {
        self.outbound.as_ref().map_or_else(Missed::default, |outbound| outbound.all_missed())
    }

    /// The client takes its next message, if there is one and it has acknowledged enough of those before.
    pub fn take(&mut self, turn: &mut Turn<'_, impl Journal>) -> Option<Taken> {
        let outbound = self.outbound.as_mut().filter(|outbound| outbound.is_inside())?;
        let taken = loop {
            match outbound.take_again() {
                Some(Ok(taken)) => break Some(taken),
                // nothing follows the PUBREL that an earlier client of this session was sent
                Some(Err(number)) => self.number.into_iter().for_each(|session| {
                    turn.journal.coalesce(session, SessionChange::Completed { number, count: 1 });
                }),
                None => break None,
            }
        };
        let taken = taken.or_else(|| self.take_next(turn));
        self.tell_backlog(&mut turn.journal);
        taken
    }

    fn take_next(&mut self, turn: &mut Turn<'_, impl Journal>) -> Option<Taken> {
        let keeps = self.expiry.outlives_connection();
        let outbound = self.outbound.as_mut()?;
        let next = loop {
            let next = outbound.next_inside()?;
            if !next.message.is_expired(turn.now) {
                break next;
            }
            turn.journal.dropped(&self.id, &next.message, Gone::Expired);
            outbound.missed(next.number, Gone::Expired);
            if let Some(session) = self.number.filter(|_| next.qos != QoS::AtMostOnce) {
                turn.journal.coalesce(session, SessionChange::Completed { number: next.number, count: 1 });
            }
        };
        let note = outbound.take_note(next.number);
        let Queued { number, message, qos, retain, share, ids } = next;
        turn.journal.sent(&self.id, &message, qos);
        if qos == QoS::AtMostOnce {
            return Some(Taken { message, qos, retain, dup: false, ack: None, note });
        }
        // what it does not acknowledge is another member's when the session ends
        let keep = keeps || share.is_some() && qos == QoS::AtLeastOnce;
        let keep = keep.then(|| message.clone());
        if let Some(message) = &keep {
            outbound.count_in(message);
        }
        let seq = outbound.begin(number, qos, retain, share, ids, keep);
        if let Some(session) = self.number {
            // at QoS 2 too: what is not acknowledged is given again, and says so
            turn.journal.coalesce(session, SessionChange::Sent { number, sent: seq, count: 1 });
        }
        Some(Taken { message, qos, retain, dup: false, ack: Some(seq), note })
    }

    /// The client acknowledges a message that it took. `false`: it has done so before.
    pub fn acknowledge(&mut self, ack: u64, turn: &mut Turn<'_, impl Journal>) -> bool {
        let completed = self.outbound.as_mut().and_then(|outbound| outbound.acknowledge(ack));
        self.forget(completed, &mut turn.journal);
        self.tell_backlog(&mut turn.journal);
        completed.is_some()
    }
}
