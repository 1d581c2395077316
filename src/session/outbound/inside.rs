//! [`Inside`]: the additional state of a client within this process: its limits, the publishers of queued messages, and
//! what it missed.

use std::{collections::BTreeMap, time::Instant};

use super::{
    super::{
        acks::Stored,
        inside::{Again, Bound, Missed, Note, Taken},
        journal::Gone,
        message::{Message, Outgoing},
    },
    FIRST_WINDOW, InFlight, Outbound, QueueLimits, Queued, SendState,
};
use crate::types::{PacketId, QoS};

/// A client within this process.
#[derive(Debug)]
pub(super) struct Inside {
    bound: Bound,
    /// The origin of queued messages, by number.
    notes: BTreeMap<u64, Note>,
    missed: Missed,
    /// It relays messages, and the other side is away: see [`Outbound::set_away`].
    away: bool,
    /// The number of the last message that was taken.
    taken: u64,
    /// When all that was taken or released to be relayed is durable.
    relayed: Stored,
}

/// Approximate bytes of memory of a note: the nodes of the tree are two thirds full.
const NOTE_COST: usize = size_of::<(u64, Note)>() * 3 / 2;

/// Most messages that are taken and not acknowledged: half of the Packet Identifiers.
const MOST_IN_FLIGHT: usize = 1 << 15;

impl Outbound {
    /// Attaches a client within this process. Messages that an earlier client took and did not acknowledge are given
    /// again.
    pub(in super::super) fn attach_inside(&mut self, bound: Bound) {
        let (notes, missed, away, taken) = Default::default();
        let relayed = self.relayed();
        self.inside = Some(Box::new(Inside { bound, notes, missed, away, taken, relayed }));
        // its whole window is open from the beginning
        self.acknowledged = FIRST_WINDOW;
        self.begin_resend();
    }

    /// The commit of all taken or released messages of a relay; resent messages wait for it too.
    pub(in super::super) fn relayed(&self) -> Stored {
        self.inside.as_ref().map_or(Stored::Done, |inside| inside.relayed)
    }

    pub(in super::super) fn note_relayed(&mut self, stored: Stored) {
        if let Some(inside) = &mut self.inside {
            inside.relayed = inside.relayed.and(stored);
        }
    }

    #[inline]
    pub(in super::super) fn is_inside(&self) -> bool {
        self.inside.is_some()
    }

    /// Does a client within the process accept QoS 0 messages? While the other broker of a bridge is away, those with
    /// RETAIN are noted.
    pub(in super::super) fn takes_qos0_inside(&self, retain: bool) -> bool {
        retain && self.relays || self.inside.as_ref().is_some_and(|inside| !inside.away)
    }

    /// Does the client relay messages, and is the other broker away?
    pub(in super::super) fn is_away_relay(&self) -> bool {
        self.relays && self.inside.as_ref().is_none_or(|inside| inside.away)
    }

    /// The number of the last message that the client took.
    pub(in super::super) fn last_taken(&self) -> u64 {
        self.inside.as_ref().map_or(0, |inside| inside.taken)
    }

    /// The client relays messages, and whether the other side is away: then messages of QoS 0 do not wait. Returns the
    /// topics of those with RETAIN.
    pub(in super::super) fn set_away(&mut self, away: bool) -> Vec<Message> {
        if let Some(inside) = &mut self.inside {
            inside.away = away;
        }
        self.relays = true;
        let mut gone = Vec::new();
        if away {
            self.forget_queued_qos0(|m| gone.extend(m.retain.then(|| m.message.clone())));
            self.due_anew();
        }
        gone
    }

    /// The limits of the client, if it is within this process.
    #[inline]
    pub(in super::super) fn bound(&self) -> Option<Bound> {
        self.inside.as_ref().map(|inside| inside.bound)
    }

    /// The limits of this queue. `true`: those of a client within this process.
    #[inline]
    pub(in super::super) fn own_bound(&self, limits: QueueLimits) -> (QueueLimits, bool) {
        match &self.inside {
            None => (limits, false),
            Some(inside) => {
                let Bound { messages, bytes, policy } = inside.bound;
                (QueueLimits { messages, bytes, full: policy, ..limits }, true)
            }
        }
    }

    /// Most messages that the client may take before it acknowledges one.
    pub(in super::super) fn inside_window(&self) -> usize {
        self.bound().map_or(0, |bound| bound.messages.clamp(1, MOST_IN_FLIGHT))
    }

    /// Notes the origin of a queued message.
    pub(in super::super) fn note(&mut self, number: u64, outgoing: &Outgoing<'_>, now: Instant) {
        let Some(inside) = &mut self.inside else { return };
        let note = Note { client: outgoing.from.cloned(), user: outgoing.user.cloned(), at: now };
        inside.notes.insert(number, note);
    }

    /// Counts a dropped message.
    #[inline]
    pub(in super::super) fn missed(&mut self, number: u64, why: Gone) {
        let Some(inside) = &mut self.inside else { return };
        inside.notes.remove(&number);
        match why {
            Gone::QueueFull | Gone::TooLarge => inside.missed.queue_full += 1,
            Gone::Expired => inside.missed.expired += 1,
        }
    }

    /// Messages that the client missed since it was attached.
    pub(in super::super) fn all_missed(&self) -> Missed {
        self.inside.as_ref().map_or_else(Missed::default, |inside| inside.missed)
    }

    /// Takes the note of the message that is taken now, and forgets earlier ones: their messages went to other members
    /// of a group.
    pub(in super::super) fn take_note(&mut self, number: u64) -> Option<Note> {
        let notes = &mut self.inside.as_mut()?.notes;
        let note = notes.remove(&number);
        while let Some(first) = notes.first_entry().filter(|first| *first.key() < number) {
            first.remove();
        }
        note
    }

    /// The next message that was taken before and not acknowledged.
    pub(in super::super) fn take_again(&mut self) -> Option<Again> {
        let (&InFlight { seq, number, ref state }, _) = self.next_resend()?;
        Some(match state {
            &SendState::Published { qos, retain, message: Some(ref message), .. } => {
                let message = message.clone();
                Again::Published(Taken { message, number, qos, retain, dup: true, ack: Some(seq), note: None })
            }
            _ => Again::Released { seq, number },
        })
    }

    /// Messages that arrive from now on have numbers above this.
    pub(in super::super) fn number_above(&mut self, floor: u64) {
        self.last_number = self.last_number.max(floor);
    }

    /// The number from which the Packet Identifier of the last message follows.
    pub(in super::super) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Has a message in flight this Packet Identifier?
    pub(in super::super) fn is_in_flight(&self, id: PacketId) -> bool {
        self.find(id, self.last_seq + 1).is_some()
    }

    /// PUBREC arrived for a message that the client took: returns its number. `None`: it is not in flight.
    /// `follows`: the message is kept until it is acknowledged.
    pub(in super::super) fn release(&mut self, seq: u64, follows: bool) -> Option<u64> {
        let at = self.inflight.binary_search_by_key(&seq, |sent| sent.seq).ok()?;
        self.release_at(at, follows);
        Some(self.inflight[at].number)
    }

    /// The message that the client took under this number, if it is kept, and its QoS.
    pub(in super::super) fn taken(&self, seq: u64) -> Option<(Message, QoS)> {
        self.kept_at(self.inflight.binary_search_by_key(&seq, |sent| sent.seq).ok()?)
    }

    /// The client acknowledges a message. Returns its number; `None`: it was acknowledged before.
    pub(in super::super) fn acknowledge(&mut self, seq: u64) -> Option<u64> {
        let at = self.inflight.binary_search_by_key(&seq, |sent| sent.seq).ok()?;
        self.complete(at)
    }

    /// The oldest queued message, if the window has a place.
    pub(in super::super) fn next_inside(&mut self) -> Option<Queued> {
        let next = self.next(self.inside_window());
        if let (Some(next), Some(inside)) = (&next, &mut self.inside) {
            inside.taken = next.number;
        }
        next
    }

    pub(super) fn cost_of_notes(&self) -> usize {
        self.inside.as_ref().map_or(0, |inside| inside.notes.len() * NOTE_COST)
    }
}
