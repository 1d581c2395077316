//! QoS 2 messages of a client that wait, because it has sent as many that are not released as it may.

use super::{
    super::{
        Router, RouterThread,
        ports::{DropReason, Event},
        publish::{Leave, Publisher},
        thread::Count,
    },
    client::Client,
    exchange::Answer,
    incoming::Incoming,
    operation::Operation,
};
use crate::{
    session::{CloseReason, Deferred, Outgoing, Stored},
    types::QoS,
};

impl Router {
    /// The message waits for a place. `may`: may its client publish it, if that was asked?
    pub(super) fn defer(
        &self,
        local: &mut RouterThread,
        client: &Client,
        incoming: &Incoming<'_>,
        may: Option<bool>,
    ) -> Result<(), CloseReason> {
        local.count(Count::DeferredInflight, 1);
        let Some(packet_id) = incoming.publish.packet_id else { return Ok(()) };
        let deferred = Deferred { packet_id, retain: incoming.publish.retain, message: incoming.message(), may };
        let mut state = self.own(client)?;
        Ok(state.session.defer(deferred, &self.turn(local))?)
    }

    /// A QoS 2 message was refused, and others may wait for its place.
    #[cold]
    pub(super) fn place_is_free(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        if !self.take_deferred(local, client, replies)? {
            self.leave(local, client, Operation::TakeDeferred);
        }
        Ok(())
    }

    /// Publishes waiting QoS 2 messages, until one takes the free place. `false`: the turn is too short.
    pub(crate) fn take_deferred(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        replies: &mut Vec<u8>,
    ) -> Result<bool, CloseReason> {
        loop {
            // unlocked before it is published
            let next = self.own(client)?.session.next_deferred(&local.limits.session);
            let Some(deferred) = next else { return Ok(true) };
            if !self.publish_deferred(local, client, &deferred, replies)? {
                return Ok(true);
            }
            local.work.add_packets(1);
            if local.work.is_spent(0) {
                return Ok(false);
            }
        }
    }

    /// Publishes a QoS 2 message that waited. `true`: it was refused, and its place is free.
    pub(super) fn publish_deferred(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        deferred: &Deferred,
        replies: &mut Vec<u8>,
    ) -> Result<bool, CloseReason> {
        let outgoing = Outgoing::from(&deferred.message)
            .with_retain(deferred.retain)
            .with_sender(&client.id, client.presence.user());
        let (packet_id, qos) = (deferred.packet_id, QoS::ExactlyOnce);
        let may = deferred.may;
        let access = || Ok(Publisher { access: self.access_of(&client.slot, client.connection)?, may });
        let mut leave = Leave::nowhere();
        let is_expired = deferred.message.is_expired(local.observers.now);
        let dropped = match is_expired {
            true => Some(DropReason::Expired),
            false => self.has_passed_here(&outgoing.extras.properties).then_some(DropReason::BridgeLoop),
        };
        let result = self.together(|| {
            let stored = if let Some(reason) = dropped {
                let (client, topic, payload) = (&client.id, outgoing.topic, outgoing.payload.len());
                local.observers.observe(&Event::Drop { client, topic, payload, reason });
                Stored::Done
            } else {
                self.publish_as(local, access, &mut None, &outgoing, &mut leave)?
            };
            if leave.outcome().is_error() {
                return Ok(stored);
            }
            Ok(self.received(local, &client.slot, packet_id, qos, stored))
        });
        self.answer_publish(local, client, Answer { packet_id, qos, outcome: leave.outcome() }, result, replies)
    }
}
