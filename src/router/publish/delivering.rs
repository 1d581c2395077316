//! [`Delivering`]: a message during its delivery to sessions.

use std::task::Waker;

use super::super::{
    ports::DropReason,
    sessions::{SlotRef, SlotState},
    thread::Recorder,
};
use crate::{
    session::{Delivery, How, Outgoing, Turn},
    types::SharedSubscriptions,
};

/// A message, and the context of its delivery.
pub(super) struct Delivering<'a, 't, 'r, 'c> {
    pub(super) outgoing: &'a Outgoing<'a>,
    pub(super) turn: &'a mut Turn<'t, Recorder<'r, 'c>>,
    pub(super) wakes: &'a mut Vec<Waker>,
    pub(super) policy: SharedSubscriptions,
    /// Members of its group that may not read it: another service said so.
    pub(super) not_to: &'a [SlotRef],
}

/// Delivers the message to a session. Returns what the session did with it.
#[inline(always)]
pub(super) fn hand_over(
    slot: &SlotRef,
    state: &mut SlotState,
    outgoing: &Outgoing<'_>,
    how: How<'_>,
    turn: &mut Turn<'_, Recorder<'_, '_>>,
    wakes: &mut Vec<Waker>,
) -> Delivery {
    let session = &mut state.session;
    let delivery = session.deliver(outgoing, how, turn);
    let reason = match delivery {
        Delivery::Sent => {
            turn.journal.observers.delivered(session.id(), outgoing, how.qos, false);
            slot.signal(state, wakes);
            return delivery;
        }
        Delivery::SentFive => {
            turn.journal.observers.delivered(session.id(), outgoing, how.qos, true);
            slot.signal(state, wakes);
            return delivery;
        }
        Delivery::Queued => {
            if session.asks_first() {
                slot.signal(state, wakes);
            }
            return delivery;
        }
        Delivery::NotConnected => return delivery,
        Delivery::Inside => {
            slot.signal(state, wakes);
            return Delivery::Queued;
        }
        Delivery::OutboundFull => DropReason::OutboundFull,
        Delivery::TooLarge => DropReason::PacketTooLarge,
    };
    turn.journal.observers.dropped(session.id(), outgoing.topic, outgoing.payload.len(), reason);
    delivery
}
