//! A session's messages as a store kept them: from [`RestoredMessage`]s back to a [`Session`].

use super::{Expiry, Identifiers, Message, Session, SessionNumber, Share, inflight::SendState, queue::Queued};
use crate::types::{ClientId, PacketId, QoS};

/// A QoS 1 or 2 message of a session as it was.
#[derive(Clone, Debug)]
pub struct RestoredMessage {
    /// See [`SessionChange::Queued`](super::SessionChange::Queued).
    pub number: u64,
    /// How far it came.
    pub state: RestoredState,
}

/// How far a message came.
#[derive(Clone, Debug)]
pub enum RestoredState {
    /// It waits.
    Queued {
        /// The message.
        message: Message,
        /// At which QoS it is to be sent.
        qos: QoS,
        /// With RETAIN.
        retain: bool,
        /// Through a shared subscription.
        shared: bool,
        /// With these Subscription Identifiers, as properties on the wire.
        identifiers: Identifiers,
    },
    /// It was sent, and is sent again.
    Sent {
        /// Its place in the order of sending.
        sent: u64,
        /// The message.
        message: Message,
        /// At which QoS.
        qos: QoS,
        /// With RETAIN.
        retain: bool,
        /// Through a shared subscription.
        shared: bool,
        /// With these Subscription Identifiers, as properties on the wire.
        identifiers: Identifiers,
    },
    /// PUBREC came; PUBREL is sent again.
    Released {
        /// Its place in the order of sending.
        sent: u64,
    },
}

impl Session {
    /// A session that a store kept, its client away. `messages` come by rising number; `received` are the Packet
    /// Identifiers of QoS 2 messages that the client has not released, in the order in which they came.
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
                RestoredState::Released { sent } => outbound.restore_inflight(sent, number, SendState::Released),
            }
        }
        for packet_id in received {
            session.inbound.get_or_insert_default().restore(packet_id);
        }
        session
    }
}
