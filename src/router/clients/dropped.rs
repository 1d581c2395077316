//! A client's messages that are acknowledged and not published, apart from those that its rights refuse.

use super::{
    super::{Router, RouterThread, ports::DropReason},
    client::Client,
    exchange::Answer,
    incoming::Incoming,
};
use crate::{
    codec::ReasonCode,
    session::{CloseReason, Stored},
    types::QoS,
};

impl Router {
    /// A message that is larger than clients may publish is acknowledged and dropped.
    #[cold]
    pub(super) fn drop_too_large(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        incoming: &Incoming<'_>,
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        local.observers.not_published(&incoming.outgoing(client.sender()), DropReason::MessageTooLarge);
        let Some(packet_id) = incoming.publish.packet_id else { return Ok(()) };
        let answer = Answer { packet_id, qos: incoming.publish.qos, outcome: ReasonCode::QuotaExceeded };
        self.answer_publish(local, client, answer, Ok(Stored::Done), replies).map(drop)
    }

    /// A message that passed a ring of brokers is acknowledged like a published one, and dropped.
    #[cold]
    pub(super) fn drop_loop(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        incoming: &Incoming<'_>,
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        let qos = incoming.publish.qos;
        if qos == QoS::ExactlyOnce && !self.receive(local, client, incoming, None, replies)? {
            return Ok(());
        }
        local.observers.not_published(&incoming.outgoing(client.sender()), DropReason::BridgeLoop);
        let Some(packet_id) = incoming.publish.packet_id else { return Ok(()) };
        let stored = self.received(local, &client.slot, packet_id, qos, Stored::Done);
        let answer = Answer { packet_id, qos, outcome: ReasonCode::Success };
        self.answer_publish(local, client, answer, Ok(stored), replies).map(drop)
    }
}
