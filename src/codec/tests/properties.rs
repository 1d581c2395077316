//! What holds for all packets and for all bytes.

use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::{
    topic::{TopicFilter, TopicName},
    types::{PacketId, QoS, SubscriptionOptions},
};

/// A packet of one version that owns what a [`Packet`] borrows.
#[derive(Clone, Debug)]
struct Owned {
    version: ProtocolVersion,
    body: Body,
    /// In MQTT 5.
    reason: ReasonCode,
    properties: PropertiesBuf,
    will_properties: PropertiesBuf,
}

/// The text and bytes from which [`Owned::packet`] makes a packet.
#[derive(Clone, Debug)]
enum Body {
    Connect {
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
    Ack(PacketType, PacketId),
    Subscribe(PacketId, Vec<(String, QoS)>),
    Suback(PacketId, Vec<Option<QoS>>),
    Unsubscribe(PacketId, Vec<String>),
    Unsuback(PacketId, usize),
    Empty(PacketType),
}

impl Body {
    fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect { .. } => PacketType::Connect,
            Self::Connack(..) => PacketType::Connack,
            Self::Publish { .. } => PacketType::Publish,
            Self::Ack(packet, _) | Self::Empty(packet) => *packet,
            Self::Subscribe(..) => PacketType::Subscribe,
            Self::Suback(..) => PacketType::Suback,
            Self::Unsubscribe(..) => PacketType::Unsubscribe,
            Self::Unsuback(..) => PacketType::Unsuback,
        }
    }
}

impl Owned {
    fn packet(&self) -> Packet<'_> {
        let is_5 = self.version == ProtocolVersion::V5;
        let properties = if is_5 { self.properties.as_properties() } else { Properties::default() };
        let reason = if is_5 { self.reason } else { ReasonCode::Success };
        match &self.body {
            Body::Connect { clean_session, keep_alive, client_id, will, username, password } => {
                let will = will.as_ref().map(|(topic, payload, qos, retain)| Will {
                    topic: TopicName::new(topic).unwrap(),
                    payload,
                    qos: *qos,
                    retain: *retain,
                    properties: if is_5 { self.will_properties.as_properties() } else { Properties::default() },
                });
                Packet::Connect(Box::new(Connect {
                    version: self.version,
                    bridge: false,
                    clean_session: *clean_session,
                    keep_alive: *keep_alive,
                    client_id,
                    will,
                    username: username.as_deref(),
                    password: password.as_deref().filter(|_| is_5 || username.is_some()),
                    properties,
                }))
            }
            Body::Connack(session_present, code) => {
                let reason = match code {
                    _ if is_5 => reason,
                    0 => ReasonCode::Success,
                    1 => ReasonCode::UnsupportedProtocolVersion,
                    2 => ReasonCode::ClientIdentifierNotValid,
                    3 => ReasonCode::ServerUnavailable,
                    4 => ReasonCode::BadUserNameOrPassword,
                    _ => ReasonCode::NotAuthorized,
                };
                // MQTT 3.1 has no Session Present
                let has_place = self.version != ProtocolVersion::V31 && reason == ReasonCode::Success;
                Packet::Connack(Connack { session_present: *session_present && has_place, reason, properties })
            }
            Body::Publish { dup, qos, retain, topic, id, payload } => Packet::Publish(Publish {
                dup: *dup && *qos != QoS::AtMostOnce,
                qos: *qos,
                retain: *retain,
                topic: match properties.has(PropertyId::TopicAlias) && topic.len() < 6 {
                    true => TopicName::from_valid(""),
                    false => TopicName::new(topic).unwrap(),
                },
                packet_id: (*qos != QoS::AtMostOnce).then_some(*id),
                payload,
                properties,
            }),
            Body::Ack(packet, id) => {
                let ack = Ack { packet_id: *id, reason, properties };
                match packet {
                    PacketType::Puback => Packet::Puback(ack),
                    PacketType::Pubrec => Packet::Pubrec(ack),
                    PacketType::Pubrel => Packet::Pubrel(ack),
                    _ => Packet::Pubcomp(ack),
                }
            }
            Body::Subscribe(packet_id, filters) => Packet::Subscribe(Subscribe {
                packet_id: *packet_id,
                filters: filters
                    .iter()
                    .map(|(filter, qos)| {
                        let identifier = properties.number(PropertyId::SubscriptionIdentifier);
                        let identifier = identifier.and_then(std::num::NonZeroU32::new);
                        (TopicFilter::new(filter).unwrap(), SubscriptionOptions { identifier, ..(*qos).into() })
                    })
                    .collect(),
                properties,
            }),
            Body::Suback(packet_id, codes) => Packet::Suback(Suback {
                packet_id: *packet_id,
                codes: codes
                    .iter()
                    .map(|qos| qos.map_or(SubackCode::Failure(ReasonCode::UnspecifiedError), SubackCode::Granted))
                    .collect(),
                properties,
            }),
            Body::Unsubscribe(packet_id, filters) => Packet::Unsubscribe(Unsubscribe {
                packet_id: *packet_id,
                filters: filters.iter().map(|filter| TopicFilter::new(filter).unwrap()).collect(),
                properties,
            }),
            Body::Unsuback(packet_id, count) => {
                let codes = vec![reason; if is_5 { *count } else { 0 }];
                Packet::Unsuback(Unsuback { packet_id: *packet_id, codes, properties })
            }
            Body::Empty(PacketType::Pingreq) => Packet::Pingreq,
            Body::Empty(PacketType::Pingresp) => Packet::Pingresp,
            Body::Empty(PacketType::Auth) if is_5 => Packet::Auth(Auth { reason, properties }),
            Body::Empty(_) => Packet::Disconnect(Disconnect {
                reason: if reason.is_for(PacketType::Disconnect) { reason } else { ReasonCode::Success },
                properties,
            }),
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

fn body() -> impl Strategy<Value = Body> {
    let will = option::of((topic(), bytes(), qos(), any::<bool>()));
    let connect = (any::<bool>(), any::<u16>(), text(), will, option::of(text()), option::of(bytes())).prop_map(
        |(clean_session, keep_alive, client_id, will, username, password)| Body::Connect {
            clean_session,
            keep_alive,
            client_id,
            will,
            username,
            password,
        },
    );
    let acks = [PacketType::Puback, PacketType::Pubrec, PacketType::Pubrel, PacketType::Pubcomp];
    let empty = [PacketType::Pingreq, PacketType::Pingresp, PacketType::Disconnect, PacketType::Auth];
    prop_oneof![
        connect,
        (any::<bool>(), 0..6u8).prop_map(|(session_present, code)| Body::Connack(session_present, code)),
        (any::<bool>(), qos(), any::<bool>(), topic(), id(), bytes())
            .prop_map(|(dup, qos, retain, topic, id, payload)| Body::Publish { dup, qos, retain, topic, id, payload }),
        (prop::sample::select(acks.to_vec()), id()).prop_map(|(packet, id)| Body::Ack(packet, id)),
        (id(), vec((filter(), qos()), 1..12)).prop_map(|(id, filters)| Body::Subscribe(id, filters)),
        (id(), vec(option::of(qos()), 1..12)).prop_map(|(id, codes)| Body::Suback(id, codes)),
        (id(), vec(filter(), 1..12)).prop_map(|(id, filters)| Body::Unsubscribe(id, filters)),
        (id(), 1..12usize).prop_map(|(id, count)| Body::Unsuback(id, count)),
        prop::sample::select(empty.to_vec()).prop_map(Body::Empty),
    ]
}

/// A property's identifier, and a value of each type.
type Wanted = (u8, u32, String, String, Vec<u8>, bool);

/// One property: where its value does not fit its type, it is left out.
fn property() -> impl Strategy<Value = Wanted> {
    (0..0x30u8, 1..=u32::MAX, text(), topic(), vec(any::<u8>(), 0..24), any::<bool>())
}

/// Those of `wanted` that a packet may carry, the ones that may be there once at most once.
fn properties(carrier: Carrier, wanted: &[Wanted], with_method: bool) -> PropertiesBuf {
    let mut buffer = PropertiesBuf::default();
    if with_method {
        buffer.text(PropertyId::AuthenticationMethod, "method");
    }
    for (id, number, text, topic, bytes, flag) in wanted {
        let id = PropertyId::all().find(|known| *known as u8 == *id);
        let Some(id) = id.filter(|id| id.is_for(carrier)) else { continue };
        if id == PropertyId::AuthenticationData && !buffer.as_properties().has(PropertyId::AuthenticationMethod) {
            continue;
        }
        let repeats = id == PropertyId::UserProperty
            || id == PropertyId::SubscriptionIdentifier && carrier == Carrier::Packet(PacketType::Publish);
        if buffer.as_properties().has(id) && !repeats {
            continue;
        }
        let text = if id == PropertyId::ResponseTopic { topic } else { text };
        let numbers = [*number, number % 0x0FFF_FFFF + 1, number % 0xFFFF + 1];
        let mut values = numbers.map(PropertyValue::Number).to_vec();
        values.extend([PropertyValue::Flag(*flag), PropertyValue::Text(text), PropertyValue::Bytes(bytes)]);
        values.push(PropertyValue::Pair(text, topic));
        values.into_iter().any(|value| buffer.push(id, value));
    }
    buffer
}

fn version() -> impl Strategy<Value = ProtocolVersion> {
    prop_oneof![1 => Just(ProtocolVersion::V31), 1 => Just(ProtocolVersion::V311), 2 => Just(ProtocolVersion::V5)]
}

fn packet_of(version: ProtocolVersion) -> impl Strategy<Value = Owned> {
    (body(), vec(property(), 0..8), vec(property(), 0..8), any::<u8>()).prop_map(move |(body, of, of_will, reason)| {
        let packet = body.packet_type();
        let of = if reason < 64 { &[][..] } else { &of };
        let reasons: Vec<_> = (0..=u8::MAX).filter_map(|code| ReasonCode::from_byte(code, packet)).collect();
        Owned {
            version,
            reason: reasons.get(usize::from(reason) % reasons.len().max(1)).copied().unwrap_or_default(),
            properties: properties(Carrier::Packet(packet), of, packet == PacketType::Auth),
            will_properties: properties(Carrier::Will, &of_will, false),
            body,
        }
    })
}

fn packet() -> impl Strategy<Value = Owned> {
    version().prop_flat_map(packet_of)
}

const VERSION: ProtocolVersion = ProtocolVersion::V5;

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
        let bytes = encoded(owned.version, &packet);
        prop_assert_eq!(decode_whole(owned.version, &bytes), Ok(packet));
    }

    #[test]
    fn publish_len_is_the_length_of_the_encoded_publish(owned in packet_of(ProtocolVersion::V311)) {
        if let Packet::Publish(packet) = owned.packet() {
            let length = publish_len(packet.topic.as_str().len(), packet.qos, packet.payload.len());
            prop_assert_eq!(encoded(owned.version, &Packet::Publish(packet)).len(), length);
        }
    }

    #[test]
    fn any_split_of_a_stream_cuts_alike(
        packets in vec(packet_of(VERSION), 1..6),
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
        let bytes = encoded(owned.version, &owned.packet());
        let Ok(Cut::Frame(whole)) = frame(owned.version, &bytes, usize::MAX) else { panic!("not a frame") };
        for end in 0..bytes.len().min(300) {
            let cut = frame(owned.version, &bytes[..end], usize::MAX);
            prop_assert!(matches!(cut, Ok(Cut::Need(needed)) if needed > end && needed <= bytes.len().max(2)));
        }
        for end in 0..whole.body.len().min(300) {
            for version in [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5] {
                let _ = decode(version, Frame { body: &whole.body[..end], ..whole });
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..64), version in version(), limit in 0..300usize) {
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
    fn arbitrary_bodies_never_panic(first: u8, body in vec(any::<u8>(), 0..64), version in version()) {
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
        let publish = decode_publish(ProtocolVersion::V311, Frame { first: 0x30, body: &body, len: body.len() + 2 });
        let expected = TopicName::new(&name).map_err(|error| DecodeError::Topic { field, error });
        prop_assert_eq!(publish.map(|publish| publish.topic), expected);
    }

    /// One changed byte: the packet is refused, or it is decoded and encoded to the same bytes.
    #[test]
    fn a_changed_byte_is_refused_or_understood(owned in packet(), at: prop::sample::Index, byte: u8) {
        let mut bytes = encoded(owned.version, &owned.packet());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(Cut::Frame(frame)) = frame(owned.version, &bytes, usize::MAX)
            && let Ok(packet) = decode(owned.version, frame)
        {
            let again = encoded(owned.version, &packet);
            prop_assert_eq!(decode_whole(owned.version, &again), Ok(packet));
        }
    }
}
