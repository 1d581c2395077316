//! How a client checks and answers received packets.

use std::time::{Duration, Instant};

use super::{
    client::{Client, is_shared},
    promises::{Got, Number, Promises, RETAINED, fault},
    session::{Delivery, Session},
    wills::Fate,
};
use crate::{
    codec::{self, Ack, Connack, Cut, Packet, PacketType, PropertyId, Publish, ReasonCode, SubackCode},
    types::{PacketId, QoS},
};

/// The context that a client needs to check a packet.
pub(super) struct Ear<'a> {
    pub(super) promises: &'a mut Promises,
    pub(super) now: Instant,
    /// The existing sessions: client and number.
    pub(super) living: &'a [(usize, u32)],
    /// Prints the events.
    pub(super) tells: bool,
}

impl Client {
    /// Reads the received bytes, and makes room for this many more. `true`: there were some.
    pub(super) fn read(&mut self, room: usize, ear: &mut Ear<'_>) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        let come = connection.line.take(room);
        if come.is_empty() {
            return false;
        }
        connection.inbox.extend(come);
        let mut bytes = std::mem::take(&mut connection.inbox);
        let mut at = 0;
        loop {
            let frame = match codec::frame(self.version, &bytes[at..], usize::MAX) {
                Ok(Cut::Frame(frame)) => frame,
                Ok(Cut::Need(_)) => break,
                Err(error) => fault!("{} is sent bytes that are no packet: {error}", self.name),
            };
            at += frame.len;
            match codec::decode(self.version, frame) {
                Ok(packet) => self.hear(&packet, ear),
                Err(error) => fault!("{} is sent a packet that is malformed: {error}", self.name),
            }
        }
        bytes.drain(..at);
        if let Some(connection) = &mut self.connection {
            connection.inbox = bytes;
        }
        true
    }

    fn hear(&mut self, packet: &Packet<'_>, ear: &mut Ear<'_>) {
        if ear.tells {
            eprintln!("  {} hears {packet:?}", self.name);
        }
        let Some(connection) = &mut self.connection else { return };
        if !connection.accepted && !matches!(packet, Packet::Connack(_)) {
            fault!("{} hears {packet:?} before its CONNACK", self.name);
        }
        match packet {
            Packet::Connack(connack) => self.accepted(connack, ear),
            Packet::Publish(publish) => self.published(publish, ear),
            Packet::Puback(ack) => self.completed(ack, QoS::AtLeastOnce, ear),
            Packet::Pubrec(ack) => self.received(ack, ear),
            Packet::Pubcomp(ack) => self.completed(ack, QoS::ExactlyOnce, ear),
            Packet::Pubrel(ack) => {
                self.receipts.remove(&ack.packet_id);
                self.answer(PacketType::Pubcomp, ack.packet_id);
            }
            Packet::Suback(suback) => {
                if !matches!(suback.codes[..], [SubackCode::Granted(_)]) {
                    fault!("{} has its subscription refused: {suback:?}", self.name);
                }
                self.subscribed(suback.packet_id, ear);
            }
            Packet::Unsuback(unsuback) => self.subscribed(unsuback.packet_id, ear),
            // its session was taken over, or it was silent for too long
            Packet::Disconnect(_) => {}
            other => fault!("{} hears {other:?}", self.name),
        }
    }

    fn answer(&mut self, packet: PacketType, id: PacketId) {
        let mut bytes = Vec::new();
        codec::encode::ack_of(&mut bytes, self.version, packet, &Ack::from(id));
        if let Some(connection) = &mut self.connection {
            connection.acks.push_back(bytes);
        }
    }

    fn accepted(&mut self, connack: &Connack<'_>, ear: &mut Ear<'_>) {
        let Some(connection) = &mut self.connection else { return };
        if connack.reason != ReasonCode::Success || connection.accepted {
            fault!("{} is refused: {connack:?}", self.name);
        }
        connection.accepted = true;
        let (present, session) = (connack.session_present, &mut self.session);
        if present && (connection.clean || !session.possible) {
            fault!("{} finds a session that it cannot have", self.name);
        }
        if !present && session.exists && !connection.clean {
            fault!("the session of {} is lost: {session:?}", self.name);
        }
        if let Some((number, _)) = connection.will {
            ear.promises.messages[number].fate = Some(Fate::Armed);
        }
        connection.is_kept = !present;
        let lasts = connection.lasts;
        ear.promises.answered(self.who, present, ear.now);
        if !present {
            *session = Session::none(ear.promises.next_session());
            let absent = ear.promises.tick();
            session.subscriptions.iter_mut().for_each(|subscription| subscription.absent = absent);
        }
        session.was_away = session.away.map(|(earliest, _)| earliest).or(session.was_away);
        (session.exists, session.possible, session.lasts, session.away) = (true, true, lasts, None);
        if !present {
            self.drop_state();
        }
        self.is_unsure = false;
        self.send_again(ear.promises);
    }

    fn published(&mut self, publish: &Publish<'_>, ear: &mut Ear<'_>) {
        let topic = publish.topic.as_str();
        let number = std::str::from_utf8(publish.payload).ok().and_then(|text| text.parse::<Number>().ok());
        if let Some(id) = publish.packet_id {
            let answer = if publish.qos == QoS::ExactlyOnce { PacketType::Pubrec } else { PacketType::Puback };
            self.answer(answer, id);
            if publish.qos == QoS::ExactlyOnce {
                match self.receipts.insert(id, number.unwrap_or(Number::MAX)) {
                    Some(before) if before == number.unwrap_or(Number::MAX) && publish.dup => return,
                    Some(before) => fault!("{} gets {number:?} where {id:?} is not released of {before}", self.name),
                    None => {}
                }
            }
        }
        // a retained message was cleared
        let Some(number) = number else { return };
        let message = &ear.promises.messages[number];
        if message.topic != topic || publish.qos > message.qos.min(self.qos[message.filter]) {
            fault!("{} gets {publish:?}, which is not {message:?}", self.name);
        }
        self.check_expiry(number, publish, ear);
        let (filter, is_shared) = (message.filter, is_shared(message.filter));
        if message.fate.is_some() {
            ear.promises.will_came(number, ear.now);
        }
        let Publish { dup, qos, retain, .. } = *publish;
        self.session.hear(&self.name, ear.promises, Delivery { number, qos, dup, retain, is_shared });
        if is_shared {
            let (living, life) = (ear.living, ear.promises.life);
            let got = Got { who: self.who, session: self.session.number, qos, life };
            ear.promises.came_to_member(number, got, |who, session| !living.contains(&(who, session)));
        }
        if filter == RETAINED
            && retain
            && let Some(connection) = &mut self.connection
            && let Some((acknowledged, value)) = connection.values.get_mut(topic)
        {
            ear.promises.check_value(&self.name, topic, Some(number), *acknowledged);
            *value = Some(number);
        }
    }

    /// Checks that a message that expired before the connection began is not sent.
    fn check_expiry(&self, number: Number, publish: &Publish<'_>, ear: &Ear<'_>) {
        let message = &ear.promises.messages[number];
        let Some(expiry) = message.expiry else { return };
        let told = publish.properties.number(PropertyId::MessageExpiryInterval);
        let (Some(acknowledged), Some(connection)) = (message.acknowledged, &self.connection) else { return };
        if message.sends > 1 || publish.dup {
            return;
        }
        let waited = connection.began.saturating_duration_since(acknowledged);
        let left = Duration::from_secs(expiry.into()).saturating_sub(waited);
        if left.is_zero() {
            fault!("{number} came to {} after it had expired", self.name);
        }
        let most = left.as_millis().div_ceil(1000);
        if told.is_some_and(|told| u128::from(told) > most) {
            fault!("{number} came to {} with {told:?} s left of {left:?}", self.name);
        }
    }

    fn received(&mut self, ack: &Ack<'_>, ear: &mut Ear<'_>) {
        let Some(own) = self.own.iter_mut().find(|own| own.id == ack.packet_id) else {
            fault!("{} hears a PUBREC of what it did not send", self.name);
        };
        own.is_released = true;
        ear.promises.acknowledge(own.number, ear.now);
        self.answer(PacketType::Pubrel, ack.packet_id);
    }

    fn completed(&mut self, ack: &Ack<'_>, qos: QoS, ear: &mut Ear<'_>) {
        let Some(at) = self.own.iter().position(|own| own.id == ack.packet_id) else {
            fault!("{} hears an answer to what it did not send: {ack:?}", self.name);
        };
        let own = &self.own[at];
        if ear.promises.messages[own.number].qos != qos || (qos == QoS::ExactlyOnce) != own.is_released {
            fault!("{} hears an answer that is not due: {ack:?}", self.name);
        }
        ear.promises.acknowledge(own.number, ear.now);
        self.own.remove(at);
    }

    /// A SUBACK or UNSUBACK.
    fn subscribed(&mut self, id: PacketId, ear: &mut Ear<'_>) {
        let Some(connection) = &mut self.connection else { return };
        let Some((filter, subscribes)) = connection.asked.remove(&id) else {
            fault!("{} hears an answer to what it did not ask", self.name);
        };
        let (tick, subscription) = (ear.promises.tick(), &mut self.session.subscriptions[filter]);
        subscription.asked = None;
        if subscribes {
            subscription.there.get_or_insert(tick);
        } else {
            (subscription.there, subscription.possible, subscription.absent) = (None, None, tick);
        }
    }
}
