//! Packets from the other broker: its messages, which are acknowledged when they are stored here, and its answers.

use super::{error::Lost, exchange::Exchange, state::Count};
use crate::{
    codec::{self, Cut, Frame, Packet, PacketType, Properties, Publish, Suback, SubackCode, encode},
    inside::Incoming,
    outbound::reason_string,
    router::PASSED,
    session::{CloseReason, Stored},
    topic::TopicName,
    types::QoS,
};

/// The result of a packet.
enum Handled {
    Done,
    /// It is an acknowledgement; acknowledgements that follow each other are handled together.
    Acknowledged,
}

impl Exchange<'_> {
    /// Handles all whole packets that `read` begins with: how many bytes these are.
    pub(super) fn handle_packets(&mut self, read: &[u8]) -> Result<usize, Lost> {
        let most = self.kept.relay.turn(|turn| turn.max_packet_size()).ok_or(Lost::Stopped)?;
        let (mut at, mut done) = (0, Vec::new());
        let mut here = String::new();
        loop {
            match codec::frame(self.protocol.version, &read[at..], most.max(LEAST))? {
                Cut::Need(_) => break,
                Cut::Frame(frame) => {
                    let len = frame.len;
                    // packets behind acknowledgements may need the room that these make
                    if let Handled::Done = self.handle(frame, &mut done, &mut here)? {
                        self.completed(&mut done)?;
                    }
                    at += len;
                }
            }
        }
        self.completed(&mut done)?;
        Ok(at)
    }

    fn handle(&mut self, frame: Frame<'_>, done: &mut Vec<u64>, here: &mut String) -> Result<Handled, Lost> {
        match codec::decode(self.protocol.version, frame)? {
            Packet::Publish(publish) => self.handle_publish(&publish, here)?,
            Packet::Puback(ack) => {
                self.handle_puback(&ack, done)?;
                return Ok(Handled::Acknowledged);
            }
            Packet::Pubrec(ack) => self.handle_pubrec(&ack, done)?,
            Packet::Pubcomp(ack) => {
                self.handle_pubcomp(&ack, done)?;
                return Ok(Handled::Acknowledged);
            }
            Packet::Pubrel(ack) => {
                let id = ack.packet_id;
                if let Some(missing) = &mut self.missing {
                    missing.released(id);
                }
                let stored = self.kept.relay.turn(|turn| turn.session(|session| session.complete(id)));
                let stored = stored.flatten().ok_or(Lost::Stopped)?;
                self.acks.push(stored, &mut self.out, |out| encode::pubcomp(out, id));
            }
            Packet::Suback(suback) => self.handle_suback(&suback)?,
            Packet::Pingresp => {
                self.pinged = false;
                self.due_arrived()?;
                if let Some(missing) = &mut self.missing {
                    missing.answered(self.kept.relay.clock().now());
                }
            }
            Packet::Disconnect(disconnect) => {
                return Err(Lost::Disconnected(disconnect.reason, reason_string(&disconnect.properties)));
            }
            Packet::Unsuback(_) => {}
            _ => return Err(Lost::Protocol("a packet that a server does not send")),
        }
        Ok(Handled::Done)
    }

    fn handle_publish(&mut self, publish: &Publish<'_>, here: &mut String) -> Result<(), Lost> {
        let stored = self.publish_here(publish, here)?;
        let Some(id) = publish.packet_id else { return Ok(()) };
        let write = if publish.qos == QoS::ExactlyOnce { encode::pubrec } else { encode::puback };
        self.acks.push(stored, &mut self.out, |out| write(out, id));
        Ok(())
    }

    /// Publishes a message of the other broker. Returns when it is stored. A message that is dropped counts as stored.
    fn publish_here(&mut self, publish: &Publish<'_>, here: &mut String) -> Result<Stored, Lost> {
        let kept = &mut *self.kept;
        if publish.topic.as_str().is_empty() {
            return Err(Lost::Protocol("a Topic Alias, which it was not allowed"));
        }
        let dropped = |kept: &super::exchange::Kept, count| {
            kept.shared.add(count, 1);
            Ok(Stored::Done)
        };
        let has_topic = kept.topics.to_here(publish.topic, here);
        if let Some(missing) = &mut self.missing {
            missing.came(publish, has_topic.then_some(here));
        }
        if !has_topic {
            return dropped(kept, Count::Unasked);
        }
        if publish.properties.user().any(|(name, value)| name == PASSED && *value == *kept.broker) {
            return dropped(kept, Count::Loops);
        }
        let now = kept.relay.clock().now();
        let Ok(topic) = TopicName::new(here) else { return dropped(kept, Count::Unasked) };
        if publish.retain && self.retained.is_newer_here(topic, &kept.relay)? {
            return dropped(kept, Count::Outdated);
        }
        if !self.protocol.has_no_local() && kept.echo.came(publish, now) {
            return dropped(kept, Count::Echoes);
        }
        let incoming = Incoming {
            topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            once: publish.packet_id.filter(|_| publish.qos == QoS::ExactlyOnce),
            properties: publish.properties,
        };
        match kept.relay.turn(|turn| turn.publish(&incoming)).ok_or(Lost::Stopped)? {
            Ok(stored) => {
                self.note_passed(Count::Received, 1);
                Ok(stored)
            }
            Err(CloseReason::Protocol(_)) => dropped(kept, Count::TooLarge),
            Err(reason) => Err(Lost::Here(reason)),
        }
    }

    /// Asks whether the other broker has sent all that it retains, when it is time to.
    pub(super) fn ask_for_the_end(&mut self) {
        let Some(missing) = self.missing.as_mut().filter(|_| !self.pinged) else { return };
        if missing.asks(self.kept.relay.clock().now()) {
            self.pinged = true;
            // behind the acknowledgements that wait for the store
            let write = |out: &mut Vec<u8>| out.extend_from_slice(&[(PacketType::Pingreq as u8) << 4, 0]);
            self.acks.push(Stored::Done, &mut self.out, write);
        }
    }

    /// If all was sent that is retained there, clears what is missing of some of the messages that are retained here.
    pub(super) fn clear_missing(&mut self) -> Result<(), Lost> {
        let Some((missing, cursor)) = self.missing.as_mut().and_then(|all| all.ended().map(|at| (all, at))) else {
            return Ok(());
        };
        let (kept, mut topics) = (&*self.kept, Vec::new());
        let looked_at = kept.relay.turn(|turn| {
            // what is published while the disk is behind piles up
            let looks = !turn.is_behind();
            looks.then(|| {
                turn.retained(cursor, LOOKS_AT, &mut |topic| {
                    if missing.has_not(topic.as_str())
                        && topic.as_str() != kept.options.notification_topic
                        && kept.topics.comes_from_there(topic)
                    {
                        topics.push(topic.as_str().to_owned());
                    }
                })
            })
        });
        let Some(next) = looked_at.ok_or(Lost::Stopped)? else { return Ok(()) };
        for topic in &topics {
            let Ok(topic) = TopicName::new(topic) else { continue };
            let (qos, properties) = (QoS::AtLeastOnce, Properties::default());
            let empty = Incoming { topic, payload: &[], qos, retain: true, once: None, properties };
            let cleared = kept.relay.turn(|turn| turn.publish(&empty)).ok_or(Lost::Stopped)?;
            let _in_the_order_of_the_log = cleared.map_err(Lost::Here)?;
        }
        let total = missing.cleared(topics.len());
        match next {
            Some(next) => missing.looked_at(next),
            None => {
                self.missing = None;
                if total > 0 {
                    let bridge = &kept.options.name;
                    tracing::info!(target: "dunlin::bridge", bridge, count = total,
                        "retained messages are missing at the other broker: cleared");
                }
            }
        }
        Ok(())
    }

    fn handle_suback(&mut self, suback: &Suback<'_>) -> Result<(), Lost> {
        let at = self.asked.due.iter().position(|(id, _)| *id == suback.packet_id);
        let Some(at) = at else { return Err(Lost::Protocol("a SUBACK for what it was not sent")) };
        let (_, filters) = self.asked.due.swap_remove(at);
        for (filter, code) in filters.iter().zip(&suback.codes) {
            if let SubackCode::Failure(reason) = code {
                let bridge = &self.kept.options.name;
                tracing::error!(target: "dunlin::bridge", bridge, filter, %reason, "the other broker refused a topic");
                self.refused = true;
            }
        }
        if self.asked.due.is_empty() {
            self.kept.shared.subscribed();
            if self.refused {
                // nothing is known of the topics that were not granted
                self.missing = None;
            }
            if let Some(missing) = &mut self.missing {
                missing.subscribed(self.kept.relay.clock().now());
            }
        }
        Ok(())
    }
}

/// Bytes of a packet that are accepted despite smaller limits.
const LEAST: usize = 1 << 10;
/// Retained messages that are looked at in one step, about.
const LOOKS_AT: usize = 256;
