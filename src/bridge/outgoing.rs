//! Messages to the other broker: PUBLISH packets within its limits, and its acknowledgements.

use std::time::Instant;

use super::{
    connect::Protocol,
    error::Lost,
    exchange::{Exchange, FILL_BELOW, Kept},
    flow::{InFlight, Rate},
    losses::Loss,
    state::Count,
};
use crate::{
    codec::{self, Ack, PropertiesBuf, PropertyId, PropertyValue, PublishFlags, PublishProperties, ReasonCode, encode},
    outbound::Accepted,
    router::PASSED,
    session::{Taken, ToRelay},
    types::{PacketId, ProtocolVersion, QoS},
};

/// The result of sending a message.
enum Became {
    /// It was sent.
    Sent,
    /// It is not sent, and leaves the queue.
    Done,
}

/// Writes messages.
struct Writer<'a> {
    kept: &'a mut Kept,
    protocol: Protocol,
    accepted: Accepted,
    topic: String,
    properties: PropertiesBuf,
}

impl Exchange<'_> {
    /// Sends messages of the queue while the limits of the other broker allow it.
    pub(super) fn fill(&mut self) -> Result<(), Lost> {
        let now = self.kept.relay.clock().now();
        let Self { kept, in_flight, quota, sends, out, rate, accepted, protocol, asked, retained, .. } = self;
        if retained.holds_messages() || *quota == 0 || out.len() + sends.size() >= FILL_BELOW || asked.holds_messages()
        {
            return Ok(());
        }
        let (protocol, accepted) = (*protocol, *accepted);
        let mut sent = 0;
        // written after the session is unlocked
        let mut taken = Vec::new();
        let filled = kept.relay.turn(|turn| {
            turn.session(|session| {
                let mut bytes = out.len() + sends.size();
                let mut places = usize::from(*quota);
                while places > 0 && bytes < FILL_BELOW && rate.as_mut().is_none_or(|rate| rate.allows(now)) {
                    let Some(next) = session.take() else { break };
                    if let ToRelay::Publish(message, id, _) = &next {
                        rate.as_mut().into_iter().for_each(Rate::sent);
                        bytes += message.message.size() + 32;
                        places -= usize::from(id.is_some());
                        asked.given = asked.given.saturating_add(u16::from(id.is_some()));
                    }
                    taken.push(next);
                }
                retained.filled(session, !taken.is_empty());
                kept.shared.set(Count::RetainedDue, session.due() as u64);
            })
        });
        filled.flatten().ok_or(Lost::Stopped)?;
        if taken.is_empty() {
            return Ok(());
        }
        let mut done = Vec::new();
        let kept = &mut **kept;
        let mut writer =
            Writer { kept, protocol, accepted, topic: String::new(), properties: PropertiesBuf::default() };
        for next in taken {
            match next {
                ToRelay::Release(id, ack, stored) if accepted.session_present => {
                    sends.push(stored, out, |out| encode::pubrel(out, id));
                    in_flight.insert(id, InFlight { ack, qos: QoS::ExactlyOnce, released: true });
                }
                // the other broker has the message, and no session any more
                ToRelay::Release(_, ack, _) => {
                    sent += 1;
                    done.push(ack);
                }
                ToRelay::Publish(message, id, stored) => {
                    let qos = message.qos.min(accepted.max_qos);
                    let became = writer.publish(&message, id, qos, now, |flags, write| {
                        let first = flags.qos == QoS::ExactlyOnce;
                        sends.push(if first { stored } else { Default::default() }, out, write);
                    });
                    match (became, id.zip(message.ack)) {
                        (Became::Sent, Some((id, ack))) if qos != QoS::AtMostOnce => {
                            in_flight.insert(id, InFlight { ack, qos, released: false });
                            *quota -= 1;
                        }
                        (Became::Sent, at) => {
                            sent += 1;
                            done.extend(at.map(|(_, ack)| ack));
                        }
                        (Became::Done, at) => done.extend(at.map(|(_, ack)| ack)),
                    }
                }
            }
        }
        self.note_passed(Count::Sent, sent);
        self.complete(&done)
    }

    /// Removes completed messages from the queue.
    fn complete(&mut self, acks: &[u64]) -> Result<(), Lost> {
        if acks.is_empty() {
            return Ok(());
        }
        let completed = self
            .kept
            .relay
            .turn(|turn| turn.session(|session| acks.iter().for_each(|ack| _ = session.acknowledge(*ack))));
        completed.flatten().ok_or(Lost::Stopped)
    }

    /// PUBACKs and PUBCOMPs that came behind one another.
    pub(super) fn completed(&mut self, acks: &mut Vec<u64>) -> Result<(), Lost> {
        self.note_passed(Count::Sent, acks.len() as u64);
        let done = self.complete(acks);
        acks.clear();
        done
    }

    /// PUBACK: the message is complete.
    pub(super) fn handle_puback(&mut self, ack: &Ack<'_>, done: &mut Vec<u64>) -> Result<(), Lost> {
        match self.in_flight.get(&ack.packet_id) {
            Some(sent) if sent.qos == QoS::AtLeastOnce => {
                self.finish(ack, done);
                Ok(())
            }
            _ => Err(Lost::Protocol("a PUBACK for what it was not sent")),
        }
    }

    /// PUBREC: PUBREL is sent when the PUBREC is stored.
    pub(super) fn handle_pubrec(&mut self, ack: &Ack<'_>, done: &mut Vec<u64>) -> Result<(), Lost> {
        let sent = self.in_flight.get_mut(&ack.packet_id).filter(|sent| sent.qos == QoS::ExactlyOnce);
        let Some(sent) = sent else { return Err(Lost::Protocol("a PUBREC for what it was not sent")) };
        if ack.reason.is_error() {
            self.finish(ack, done);
            return Ok(());
        }
        let (at, first) = (sent.ack, !std::mem::replace(&mut sent.released, true));
        let stored = match first {
            true => {
                let released = self.kept.relay.turn(|turn| turn.session(|session| session.release(at)));
                released.flatten().ok_or(Lost::Stopped)?.unwrap_or_default()
            }
            false => Default::default(),
        };
        self.sends.push(stored, &mut self.out, |out| encode::pubrel(out, ack.packet_id));
        Ok(())
    }

    /// PUBCOMP: the message is complete.
    pub(super) fn handle_pubcomp(&mut self, ack: &Ack<'_>, done: &mut Vec<u64>) -> Result<(), Lost> {
        match self.in_flight.get(&ack.packet_id) {
            Some(sent) if sent.released => {
                let ok = Ack { reason: ReasonCode::Success, ..*ack };
                self.finish(&ok, done);
                Ok(())
            }
            // of a PUBREL that was sent before the identifier was used for the first time
            _ if self.kept.cleared.as_ref().is_some_and(|cleared| cleared.contains(&ack.packet_id)) => Ok(()),
            _ => Err(Lost::Protocol("a PUBCOMP for what it was not sent")),
        }
    }

    /// A message in flight is complete: the other broker has it, or refused it.
    fn finish(&mut self, ack: &Ack<'_>, done: &mut Vec<u64>) {
        let Some(sent) = self.in_flight.remove(&ack.packet_id) else { return };
        self.quota = self.quota.saturating_add(1).min(self.accepted.receive_maximum);
        match ack.reason.is_error() {
            true => {
                let (kept, reason) = (&mut *self.kept, ack.reason);
                kept.shared.add(Count::Refused, 1);
                if kept.losses.is_first(Loss::Refused(reason), 1, kept.relay.clock().now()) {
                    let bridge = &kept.options.name;
                    tracing::warn!(target: "dunlin::bridge", bridge, %reason, "the other broker refused a message");
                }
                // refused messages are not counted as sent
                let _ = self.complete(&[sent.ack]);
            }
            false => done.push(sent.ack),
        }
    }
}

impl Writer<'_> {
    /// Writes the PUBLISH of a message by `push`, if it is within the limits.
    fn publish(
        &mut self,
        taken: &Taken,
        id: Option<PacketId>,
        qos: QoS,
        now: Instant,
        push: impl FnOnce(PublishFlags, &mut dyn FnMut(&mut Vec<u8>)),
    ) -> Became {
        let message = &taken.message;
        if message.is_expired(now) {
            self.kept.shared.expired_late();
            self.kept.losses.note(Loss::Expired, 1, now);
            return Became::Done;
        }
        if !self.kept.topics.to_there(message.topic(), &mut self.topic) {
            // a topic was taken out of the configuration meanwhile
            self.kept.shared.add(Count::Unasked, 1);
            return Became::Done;
        }
        if message.extras().properties.user().any(|(name, value)| name == PASSED && *value == *self.kept.broker) {
            self.kept.shared.add(Count::Loops, 1);
            return Became::Done;
        }
        let id = id.filter(|_| qos != QoS::AtMostOnce);
        let is_5 = self.protocol.version == ProtocolVersion::V5;
        let retain = taken.retain && self.kept.options.outgoing_retain && self.accepted.retain;
        // with a new session, nothing is sent again
        let dup = taken.dup && self.accepted.session_present && qos != QoS::AtMostOnce;
        let flags = PublishFlags { dup, qos, retain };
        let payload = message.payload();
        let expiry = self.expiry(taken, now);
        self.properties.clear();
        if is_5 {
            message.extras().properties.copy_without(&[], &mut self.properties);
            self.properties.push(PropertyId::UserProperty, PropertyValue::Pair(PASSED, &self.kept.broker));
        }
        let of_publisher = self.properties.as_properties();
        let properties =
            PublishProperties { of_publisher: of_publisher.as_bytes(), expiry, alias: None, identifiers: &[] };
        let topic = self.topic.as_bytes();
        let length = match is_5 {
            true => codec::publish_len_5(topic.len(), qos, &properties, payload.len()),
            false => codec::publish_len(topic.len(), qos, payload.len()),
        };
        let most = self.kept.options.max_packet_size.unwrap_or(usize::MAX).min(self.accepted.max_packet_size);
        if length > most.min(codec::MAX_REMAINING_LENGTH) {
            self.kept.shared.add(Count::TooLarge, 1);
            if self.kept.losses.is_first(Loss::TooLarge, 1, now) {
                let (bridge, topic) = (&self.kept.options.name, message.topic().as_str());
                tracing::warn!(target: "dunlin::bridge", bridge, topic, length, most, "a message is too large to be sent");
            }
            return Became::Done;
        }
        let clears = id.filter(|id| {
            qos == QoS::ExactlyOnce && !taken.dup && self.kept.cleared.as_mut().is_some_and(|all| all.insert(*id))
        });
        push(flags, &mut |out: &mut Vec<u8>| {
            if let Some(id) = clears {
                encode::pubrel(out, id);
            }
            match is_5 {
                true => encode::publish_header_5(out, flags, topic, id, &properties, payload.len()),
                false => encode::publish_header_of(out, flags, topic, id, payload.len()),
            }
            out.extend_from_slice(payload);
        });
        if !self.protocol.has_no_local() {
            self.kept.echo.sent(&self.topic, payload, taken.dup, now);
        }
        Became::Sent
    }

    /// The rest of its Message Expiry Interval, limited by the bridge's `expiry`.
    fn expiry(&self, taken: &Taken, now: Instant) -> Option<u32> {
        let left = taken.message.expires().map(|at| {
            let left = at.saturating_duration_since(now);
            u32::try_from(left.as_secs() + u64::from(left.subsec_nanos() > 0)).unwrap_or(u32::MAX)
        });
        match (left, self.kept.options.expiry) {
            (Some(left), Some(most)) => Some(left.min(most)),
            (left, most) => left.or(most),
        }
    }
}
