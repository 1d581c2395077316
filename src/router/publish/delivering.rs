//! [`Delivering`]: a message that is handed to sessions, and what it takes to hand it over.

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

/// A message on its way, and what it takes to hand it over.
pub(super) struct Delivering<'a, 't, 'r, 'c> {
    pub(super) outgoing: &'a Outgoing<'a>,
    pub(super) turn: &'a mut Turn<'t, Recorder<'r, 'c>>,
    pub(super) wakes: &'a mut Vec<Waker>,
    pub(super) policy: SharedSubscriptions,
}

/// Hands a message to a session, and says what became of it.
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
    let (client, topic, payload) = (session.id(), outgoing.topic, outgoing.payload.len());
    match delivery {
        Delivery::Sent => {
            turn.journal.observers.delivered(client, outgoing, how.qos);
            slot.signal(state, wakes);
        }
        Delivery::Queued | Delivery::NotConnected => {}
        Delivery::OutboundFull => turn.journal.observers.dropped(client, topic, payload, DropReason::OutboundFull),
        Delivery::TooLarge => turn.journal.observers.dropped(client, topic, payload, DropReason::PacketTooLarge),
    }
    delivery
}
