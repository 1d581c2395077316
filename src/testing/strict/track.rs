//! [`Track`]: follows what one client has in flight, from the client's point of view, and checks its packets.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use crate::trace::{Direction, Seen};
use crate::{
    clock::Stopwatch,
    codec::PacketType,
    types::{ProtocolVersion, QoS},
};

/// What one client has in flight.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) version: ProtocolVersion,
    keep_alive: u16,
    /// Time since its last packet.
    silent: Option<Stopwatch>,
    /// Its unacknowledged PUBLISH packets; `true`: not sent again since the last connect.
    sent: HashMap<u16, bool>,
    /// Its unacknowledged SUBSCRIBE and UNSUBSCRIBE packets.
    asked: HashSet<u16>,
    /// Packets that it received, and the type of its answer.
    got: HashMap<u16, PacketType>,
    receive_maximum: u16,
    /// The session may be older than this track, which then does not know everything in flight.
    is_new: bool,
    /// A fault has changed what it sends: consequences are not the client's fault.
    pub(super) is_tampered: bool,
}

/// A violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The normative statement; `None`: legal, but other brokers reject it.
    pub(super) statement: Option<&'static str>,
    pub(super) text: String,
}

/// Tolerated delay of a client, because threads may be late.
const LATE: Duration = Duration::from_millis(500);

impl Default for Track {
    fn default() -> Self {
        Self {
            version: ProtocolVersion::default(),
            keep_alive: 0,
            silent: None,
            sent: HashMap::new(),
            asked: HashSet::new(),
            got: HashMap::new(),
            receive_maximum: u16::MAX,
            is_new: true,
            is_tampered: false,
        }
    }
}

impl Track {
    /// Checks a packet that the client sends.
    pub(super) fn sends(&mut self, version: ProtocolVersion, seen: &Seen) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if self.is_tampered {
            if seen.packet != PacketType::Connect {
                return wrong;
            }
            *self = Self::default();
        }
        if seen.packet == PacketType::Connect {
            self.connects(version, seen, &mut wrong);
        } else if self.is_silent() {
            let (seconds, most) = (self.silence().as_secs_f32(), self.keep_alive);
            self.breaks(
                &mut wrong,
                "MQTT-3.1.2-23",
                "MQTT-3.1.2-20",
                format!("silent for {seconds:.1} s, Keep Alive is {most} s"),
            );
        }
        self.silent = Some(Stopwatch::start());
        match (seen.packet, seen.packet_id) {
            (PacketType::Publish, id) => self.publishes(seen, id, &mut wrong),
            (PacketType::Subscribe | PacketType::Unsubscribe, Some(id)) => self.asks(seen.packet, id, &mut wrong),
            (PacketType::Pubrel, Some(id)) if !self.sent.contains_key(&id) && !self.is_new => {
                warn(&mut wrong, format!("PUBREL with Packet Identifier {id}, which is not in flight"));
            }
            (PacketType::Puback | PacketType::Pubrec | PacketType::Pubcomp, Some(id)) => {
                self.answers(seen, id, &mut wrong)
            }
            _ => {}
        }
        wrong
    }

    /// Time since its last packet.
    fn silence(&self) -> Duration {
        self.silent.map(Stopwatch::took).unwrap_or_default()
    }

    /// Has it been silent for longer than its Keep Alive? Turning the test's clock does not count.
    pub(super) fn is_silent(&self) -> bool {
        self.keep_alive > 0 && self.silence() > Duration::from_secs(self.keep_alive.into()) + LATE
    }

    fn connects(&mut self, version: ProtocolVersion, seen: &Seen, wrong: &mut Vec<Wrong>) {
        self.version = version;
        (self.keep_alive, self.receive_maximum) = (seen.keep_alive, u16::MAX);
        self.sent.values_mut().for_each(|again| *again = true);
        self.asked.clear();
        self.got.clear();
        if seen.is_clean {
            self.sent.clear();
        }
        if version < ProtocolVersion::V5 && seen.client_id.len() > 23 {
            let length = seen.client_id.len();
            warn(
                wrong,
                format!("a Client Identifier of {length} bytes: servers need not accept more than 23 [MQTT-3.1.3-5]"),
            );
        }
    }

    fn asks(&mut self, packet: PacketType, id: u16, wrong: &mut Vec<Wrong>) {
        if self.sent.contains_key(&id) || !self.asked.insert(id) {
            self.is_in_flight(wrong, packet, id);
        }
    }

    fn publishes(&mut self, seen: &Seen, id: Option<u16>, wrong: &mut Vec<Wrong>) {
        if let Some(topic) = seen.topic.as_deref().filter(|topic| topic.starts_with('/')) {
            warn(wrong, format!("topic {topic:?} begins with a slash: its first level is empty"));
        }
        let Some(id) = id else { return };
        match self.sent.get(&id).copied() {
            // once after each connect
            Some(true) if seen.dup => {}
            Some(true) => {
                let text = format!("the PUBLISH with Packet Identifier {id} comes again without DUP");
                self.breaks(wrong, "MQTT-3.3.1-1", "MQTT-3.3.1-1", text);
            }
            Some(false) if seen.dup && self.version < ProtocolVersion::V5 => {
                warn(
                    wrong,
                    format!(
                        "the PUBLISH with Packet Identifier {id} comes again on the same connection, which MQTT 5 forbids"
                    ),
                );
            }
            Some(false) if seen.dup => {
                let text = format!("the PUBLISH with Packet Identifier {id} comes again on the same connection");
                self.breaks(wrong, "MQTT-4.4.0-1", "MQTT-4.4.0-1", text);
            }
            Some(false) => self.is_in_flight(wrong, PacketType::Publish, id),
            None if seen.dup && !self.is_new => {
                warn(wrong, format!("DUP in the first PUBLISH with Packet Identifier {id}"));
            }
            None => {}
        }
        if self.asked.contains(&id) {
            self.is_in_flight(wrong, PacketType::Publish, id);
        }
        self.sent.insert(id, false);
        let under_way = self.sent.values().filter(|again| !**again).count();
        if self.version == ProtocolVersion::V5 && under_way > usize::from(self.receive_maximum) {
            let text =
                format!("{under_way} messages are not acknowledged, Receive Maximum is {}", self.receive_maximum);
            self.breaks(wrong, "MQTT-3.3.4-7", "MQTT-3.3.4-7", text);
        }
    }

    fn answers(&mut self, seen: &Seen, id: u16, wrong: &mut Vec<Wrong>) {
        let has_failed = seen.codes.first().is_some_and(|code| *code >= 0x80);
        if self.got.get(&id) != Some(&seen.packet) {
            let text = format!("{} with Packet Identifier {id}, for which nothing was sent", seen.packet);
            return match seen.packet {
                PacketType::Puback => self.breaks(wrong, "MQTT-4.3.2-2", "MQTT-4.3.2-4", text),
                PacketType::Pubrec => self.breaks(wrong, "MQTT-4.3.3-2", "MQTT-4.3.3-8", text),
                _ => self.breaks(wrong, "MQTT-4.3.3-2", "MQTT-4.3.3-11", text),
            };
        }
        // PUBREC is followed by PUBREL
        if seen.packet != PacketType::Pubrec || has_failed {
            self.got.remove(&id);
        }
    }

    /// Records a packet that the client receives.
    pub(super) fn gets(&mut self, seen: &Seen) {
        debug_assert_eq!(seen.direction, Direction::ToClient);
        let has_failed = seen.codes.first().is_some_and(|code| *code >= 0x80);
        match (seen.packet, seen.packet_id) {
            (PacketType::Connack, _) => {
                self.receive_maximum = seen.receive_maximum.unwrap_or(u16::MAX);
                if !seen.session_present {
                    self.sent.clear();
                    self.is_new = false;
                }
            }
            (PacketType::Publish, Some(id)) => {
                let answer = if seen.qos == Some(QoS::ExactlyOnce) { PacketType::Pubrec } else { PacketType::Puback };
                self.got.insert(id, answer);
            }
            (PacketType::Pubrel, Some(id)) => {
                self.got.insert(id, PacketType::Pubcomp);
            }
            (PacketType::Puback | PacketType::Pubcomp, Some(id)) => {
                self.sent.remove(&id);
            }
            (PacketType::Pubrec, Some(id)) if has_failed => {
                self.sent.remove(&id);
            }
            (PacketType::Suback | PacketType::Unsuback, Some(id)) => {
                self.asked.remove(&id);
            }
            _ => {}
        }
    }

    fn is_in_flight(&self, wrong: &mut Vec<Wrong>, packet: PacketType, id: u16) {
        let text = format!("{packet} with Packet Identifier {id}, which is in flight");
        self.breaks(wrong, "MQTT-2.3.1-2", "MQTT-2.2.1-3", text);
    }

    /// `before`: the statement of MQTT 3.1.1; `five`: that of MQTT 5.
    fn breaks(&self, wrong: &mut Vec<Wrong>, before: &'static str, five: &'static str, text: String) {
        let statement = if self.version == ProtocolVersion::V5 { five } else { before };
        wrong.push(Wrong { statement: Some(statement), text });
    }
}

fn warn(wrong: &mut Vec<Wrong>, text: String) {
    wrong.push(Wrong { statement: None, text });
}
