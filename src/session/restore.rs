//! A session's messages from the store: from [`RestoredMessage`]s back to a [`Session`].

use super::{Expiry, Identifiers, Message, Session, SessionNumber, Share, inflight::SendState, queue::Queued};
use crate::types::{ClientId, PacketId, QoS};

/// A QoS 1 or 2 message of a session in the store.
#[derive(Clone, Debug)]
pub struct RestoredMessage {
    /// See [`SessionChange::Queued`](super::SessionChange::Queued).
    pub number: u64,
    /// Its state.
    pub state: RestoredState,
}

/// The state of a message.
#[derive(Clone, Debug)]
pub enum RestoredState {
    /// It is queued.
    Queued {
        /// The message.
        message: Message,
        /// The QoS of the delivery.
        qos: QoS,
        /// RETAIN of the delivery.
        retain: bool,
        /// It matched a shared subscription.
        shared: bool,
        /// Its Subscription Identifiers, as properties on the wire.
        identifiers: Identifiers,
    },
    /// It was sent, and is sent again.
    Sent {
        /// Its place in the order of sending.
        sent: u64,
        /// The message.
        message: Message,
        /// The QoS of the delivery.
        qos: QoS,
        /// RETAIN of the delivery.
        retain: bool,
        /// It matched a shared subscription.
        shared: bool,
        /// Its Subscription Identifiers, as properties on the wire.
        identifiers: Identifiers,
    },
    /// PUBREC arrived; PUBREL is sent again.
    Released {
        /// Its place in the order of sending.
        sent: u64,
    },
}

impl Session {
    /// A session from the store, with its client away. `messages`: by rising number. `received`: the Packet Identifiers
    /// of unreleased QoS 2 messages of the client, in order of arrival.
    pub fn restore(
        id: ClientId,
        number: SessionNumber,
        messages: Vec<RestoredMessage>,
        received: impl IntoIterator<Item = PacketId>,
    ) -> Self {
        let mut session = Self::new(id, Expiry::Never, Some(number));
        for RestoredMessage { number, state } in messages {
            let outbound = session.outbound.get_or_insert_default();
            match state {
                RestoredState::Queued { message, qos, retain, shared, identifiers } => {
                    let (share, ids) = (Share::restored(shared), outbound.identify(&identifiers));
                    outbound.restore_queued(Queued { number, message, qos, retain, share, ids });
                }
                RestoredState::Sent { sent, message, qos, retain, shared, identifiers } => {
                    let (share, ids) = (Share::restored(shared), outbound.identify(&identifiers));
                    let state = SendState::Published { qos, retain, share, ids, message: Some(message) };
                    outbound.restore_inflight(sent, number, state);
                }
                RestoredState::Released { sent } => {
                    outbound.restore_inflight(sent, number, SendState::Released { message: None })
                }
            }
        }
        for packet_id in received {
            session.inbound.get_or_insert_default().restore(packet_id);
        }
        session
    }

    /// Messages that arrive from now on have numbers above this, also if an earlier process used higher numbers than
    /// those of the messages that are left.
    pub fn number_above(&mut self, floor: u64) {
        self.outbound.get_or_insert_default().number_above(floor);
    }
}
