//! What holds for all packets and for all bytes.

use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::{
    topic::{TopicFilter, TopicName},
    types::{PacketId, QoS, SubscriptionOptions},
};

/// A packet that owns what a [`Packet`] borrows: the text and bytes from which `packet` makes one.
#[derive(Clone, Debug)]
enum Owned {
    Connect {
        v31: bool,
        clean_session: bool,
        keep_alive: u16,
        client_id: String,
        will: Option<(String, Vec<u8>, QoS, bool)>,
        username: Option<String>,
        password: Option<Vec<u8>>,
    },
    Connack(bool, u8),
    Publish {
        dup: bool,
        qos: QoS,
        retain: bool,
        topic: String,
        id: PacketId,
        payload: Vec<u8>,
    },
    Ack(u8, PacketId),
    Subscribe(PacketId, Vec<(String, QoS)>),
    Suback(PacketId, Vec<Option<QoS>>),
    Unsubscribe(PacketId, Vec<String>),
    Empty(u8),
}

impl Owned {
    fn packet(&self) -> Packet<'_> {
        let properties = Properties::default();
        match self {
            Self::Connect { v31, clean_session, keep_alive, client_id, will, username, password } => {
                let will = will.as_ref().map(|(topic, payload, qos, retain)| Will {
                    topic: TopicName::new(topic).unwrap(),
                    payload,
                    qos: *qos,
                    retain: *retain,
                    properties,
                });
                Packet::Connect(Box::new(Connect {
                    version: if *v31 { ProtocolVersion::V31 } else { ProtocolVersion::V311 },
                    bridge: false,
                    clean_session: *clean_session,
                    keep_alive: *keep_alive,
                    client_id,
                    will,
                    username: username.as_deref(),
                    password: password.as_deref().filter(|_| username.is_some()),
                    properties,
                }))
            }
            Self::Connack(session_present, code) => {
                let reason = match code {
                    0 => return Packet::Connack(Connack::accepted(*session_present)),
                    1 => ReasonCode::UnsupportedProtocolVersion,
                    2 => ReasonCode::ClientIdentifierNotValid,
                    3 => ReasonCode::ServerUnavailable,
                    4 => ReasonCode::BadUserNameOrPassword,
                    _ => ReasonCode::NotAuthorized,
                };
                Packet::Connack(Connack::refused(reason))
            }
            Self::Publish { dup, qos, retain, topic, id, payload } => Packet::Publish(Publish {
                dup: *dup && *qos != QoS::AtMostOnce,
                qos: *qos,
                retain: *retain,
                topic: TopicName::new(topic).unwrap(),
                packet_id: (*qos != QoS::AtMostOnce).then_some(*id),
                payload,
                properties,
            }),
            Self::Ack(kind, id) => [Packet::Puback, Packet::Pubrec, Packet::Pubrel, Packet::Pubcomp, Packet::Unsuback]
                [usize::from(*kind)](Ack::from(*id)),
            Self::Subscribe(packet_id, filters) => Packet::Subscribe(Subscribe {
                packet_id: *packet_id,
                filters: filters
                    .iter()
                    .map(|(filter, qos)| (TopicFilter::new(filter).unwrap(), SubscriptionOptions::from(*qos)))
                    .collect(),
                properties,
            }),
            Self::Suback(packet_id, codes) => Packet::Suback(Suback {
                packet_id: *packet_id,
                codes: codes
                    .iter()
                    .map(|qos| qos.map_or(SubackCode::Failure(ReasonCode::UnspecifiedError), SubackCode::Granted))
                    .collect(),
                properties,
            }),
            Self::Unsubscribe(packet_id, filters) => Packet::Unsubscribe(Unsubscribe {
                packet_id: *packet_id,
                filters: filters.iter().map(|filter| TopicFilter::new(filter).unwrap()).collect(),
                properties,
            }),
            Self::Empty(0) => Packet::Pingreq,
            Self::Empty(1) => Packet::Pingresp,
            Self::Empty(_) => Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties }),
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    "[^\0]{0,24}"
}

fn topic() -> impl Strategy<Value = String> {
    "[^\0+#]{1,24}"
}

fn filter() -> impl Strategy<Value = String> {
    "([^\0+#]{1,8}|\\+)(/([^\0+#/]{0,6}|\\+)){0,4}(/#)?|#"
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

fn id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|id| PacketId::new(id).unwrap())
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => vec(any::<u8>(), 0..200), 1 => vec(any::<u8>(), 16_000..17_000)]
}

fn connect() -> impl Strategy<Value = Owned> {
    let will = option::of((topic(), bytes(), qos(), any::<bool>()));
    (any::<bool>(), any::<bool>(), any::<u16>(), text(), will, option::of(text()), option::of(bytes())).prop_map(
        |(v31, clean_session, keep_alive, client_id, will, username, password)| Owned::Connect {
            v31,
            clean_session,
            keep_alive,
            client_id,
            will,
            username,
            password,
        },
    )
}

fn packet() -> impl Strategy<Value = Owned> {
    prop_oneof![
        connect(),
        (any::<bool>(), 0..6u8).prop_map(|(session_present, code)| Owned::Connack(session_present, code)),
        (any::<bool>(), qos(), any::<bool>(), topic(), id(), bytes())
            .prop_map(|(dup, qos, retain, topic, id, payload)| Owned::Publish { dup, qos, retain, topic, id, payload }),
        (0..5u8, id()).prop_map(|(kind, id)| Owned::Ack(kind, id)),
        (id(), vec((filter(), qos()), 1..12)).prop_map(|(id, filters)| Owned::Subscribe(id, filters)),
        (id(), vec(option::of(qos()), 1..12)).prop_map(|(id, codes)| Owned::Suback(id, codes)),
        (id(), vec(filter(), 1..12)).prop_map(|(id, filters)| Owned::Unsubscribe(id, filters)),
        (0..3u8).prop_map(Owned::Empty),
    ]
}

const VERSION: ProtocolVersion = ProtocolVersion::V311;

/// Cuts all frames off a stream that arrives in `pieces`, as a connection does.
fn cut_stream(pieces: &[&[u8]]) -> Vec<(u8, Vec<u8>)> {
    let (mut buffer, mut frames) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut at = 0;
        loop {
            match frame(VERSION, &buffer[at..], usize::MAX).unwrap() {
                Cut::Frame(frame) => {
                    frames.push((frame.first, frame.body.to_vec()));
                    at += frame.len;
                }
                Cut::Need(needed) => {
                    assert!(needed > buffer.len() - at);
                    break;
                }
            }
        }
        buffer.drain(..at);
    }
    assert!(buffer.is_empty());
    frames
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decode_of_encode_is_identity(owned in packet()) {
        let packet = owned.packet();
        let bytes = encoded(VERSION, &packet);
        prop_assert_eq!(decode_whole(VERSION, &bytes), Ok(packet));
    }

    #[test]
    fn publish_len_is_what_publish_writes(owned in packet()) {
        if let Packet::Publish(packet) = owned.packet() {
            let length = publish_len(packet.topic.as_str().len(), packet.qos, packet.payload.len());
            prop_assert_eq!(encoded(VERSION, &Packet::Publish(packet)).len(), length);
        }
    }

    #[test]
    fn any_split_of_a_stream_cuts_alike(
        packets in vec(packet(), 1..6),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let stream: Vec<u8> = packets.iter().flat_map(|owned| encoded(VERSION, &owned.packet())).collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for to in cuts.into_iter().chain([stream.len()]) {
            pieces.push(&stream[from..to]);
            from = to;
        }
        let frames = cut_stream(&pieces);
        prop_assert_eq!(&frames, &cut_stream(&[&stream]));
        prop_assert_eq!(frames.len(), packets.len());
        for ((first, body), owned) in frames.iter().zip(&packets) {
            let frame = Frame { first: *first, body, len: 0 };
            prop_assert_eq!(decode(VERSION, frame), Ok(owned.packet()));
        }
    }

    /// Each prefix of a packet needs more; each prefix of a body is an error, or else a packet that may end there.
    #[test]
    fn a_packet_cut_short_never_panics(owned in packet()) {
        let bytes = encoded(VERSION, &owned.packet());
        let Ok(Cut::Frame(whole)) = frame(VERSION, &bytes, usize::MAX) else { panic!("not a frame") };
        for end in 0..bytes.len().min(300) {
            let cut = frame(VERSION, &bytes[..end], usize::MAX);
            prop_assert!(matches!(cut, Ok(Cut::Need(needed)) if needed > end && needed <= bytes.len().max(2)));
        }
        for end in 0..whole.body.len().min(300) {
            let _ = decode(VERSION, Frame { body: &whole.body[..end], ..whole });
            let _ = decode(ProtocolVersion::V31, Frame { body: &whole.body[..end], ..whole });
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..64), is_v31: bool, limit in 0..300usize) {
        let version = if is_v31 { ProtocolVersion::V31 } else { ProtocolVersion::V311 };
        match frame(version, &bytes, limit) {
            Ok(Cut::Frame(frame)) => {
                prop_assert!(frame.len <= bytes.len() && frame.len <= limit);
                if let Ok(packet) = decode(version, frame) {
                    prop_assert!(encode(version, &packet, &mut Vec::new()).is_ok());
                }
            }
            Ok(Cut::Need(needed)) => prop_assert!(needed > bytes.len()),
            Err(_) => {}
        }
    }

    /// Any body under any legal first byte: further into the parsers than bytes without a form get.
    #[test]
    fn arbitrary_bodies_never_panic(first: u8, body in vec(any::<u8>(), 0..64), is_v31: bool) {
        let version = if is_v31 { ProtocolVersion::V31 } else { ProtocolVersion::V311 };
        let frame = Frame { first, body: &body, len: body.len() + 2 };
        let _ = decode_from_client(version, frame);
        let _ = publish_topic_bytes(&frame);
        let _ = decode(version, frame);
    }

    /// The parser's short way to a Topic Name finds what [`TopicName::new`] finds.
    #[test]
    fn a_topic_name_is_checked_as_its_type_does(name in "[ab/\0+#é]{0,12}|[ab/é]{0,80}[ab/\0+#]{0,8}") {
        let field = Field::TopicName;
        let body = [&(name.len() as u16).to_be_bytes(), name.as_bytes()].concat();
        let publish = decode_publish(Frame { first: 0x30, body: &body, len: body.len() + 2 });
        let expected = TopicName::new(&name).map_err(|error| DecodeError::Topic { field, error });
        prop_assert_eq!(publish.map(|publish| publish.topic), expected);
    }

    /// One byte of a packet is another: refused or understood, and what is understood is written as it was read.
    #[test]
    fn a_changed_byte_is_refused_or_understood(owned in packet(), at: prop::sample::Index, byte: u8) {
        let mut bytes = encoded(VERSION, &owned.packet());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(Cut::Frame(frame)) = frame(VERSION, &bytes, usize::MAX)
            && let Ok(packet) = decode(VERSION, frame)
        {
            let again = encoded(VERSION, &packet);
            prop_assert_eq!(decode_whole(VERSION, &again), Ok(packet));
        }
    }
}
