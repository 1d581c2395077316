//! [`InFlight`]: a message that was sent and is not completely acknowledged (MQTT 3.1.1 sections 4.3, 4.4).

use super::{Journal, expiry::Expiry, identifiers::SubIds, message::Message, packet_ids, share::Share};
use crate::types::{PacketId, QoS};

/// A message that was sent and not completed.
#[derive(Debug)]
pub(super) struct InFlight {
    /// Its place in the order of sending.
    pub(super) seq: u64,
    /// Its number in order of arrival.
    pub(super) number: u64,
    pub(super) state: SendState,
}

const _: () = assert!(size_of::<InFlight>() == 32);

/// The state of a message in flight.
#[derive(Debug)]
pub(super) enum SendState {
    /// PUBLISH was sent; PUBACK or PUBREC is expected. The message is kept if it may have to be sent again.
    Published { qos: QoS, retain: bool, share: Share, ids: SubIds, message: Option<Message> },
    /// PUBREC arrived and PUBREL was sent; PUBCOMP is expected. The message is kept if its acknowledgement is
    /// [followed](super::Journal::follows).
    Released { message: Option<Message> },
}

impl SendState {
    /// PUBREC arrived.
    pub(super) fn is_released(&self) -> bool {
        matches!(self, Self::Released { .. })
    }

    /// The message that is kept.
    pub(super) fn message(&self) -> Option<&Message> {
        let (Self::Published { message, .. } | Self::Released { message }) = self;
        message.as_ref()
    }
}

/// Is a message that is sent in a session with this expiry kept until it is acknowledged?
#[inline(always)]
pub(super) fn is_kept(expiry: Expiry, share: Share, qos: QoS, journal: &impl Journal) -> bool {
    // messages of a group that are not acknowledged move to another member when the session ends
    expiry.outlives_connection() || share.is_some() && qos == QoS::AtLeastOnce || journal.follows()
}

impl InFlight {
    pub(super) fn packet_id(&self) -> PacketId {
        packet_ids::of(self.seq)
    }

    /// The Subscription Identifiers that it is sent with.
    pub(super) fn ids(&self) -> SubIds {
        match self.state {
            SendState::Published { ids, .. } => ids,
            SendState::Released { .. } => SubIds::NONE,
        }
    }

    /// The QoS of the delivery; `None`: PUBREC arrived.
    pub(super) fn qos(&self) -> Option<QoS> {
        match self.state {
            SendState::Published { qos, .. } => Some(qos),
            SendState::Released { .. } => None,
        }
    }

    /// The message to send again on the next connection. `None`: none, only the identifier is in use.
    pub(super) fn sent_again(&self) -> Option<&Message> {
        match &self.state {
            SendState::Published { message, .. } => message.as_ref(),
            SendState::Released { .. } => None,
        }
    }
}
