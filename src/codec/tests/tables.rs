//! Each packet type both ways, in bytes written out by hand.

use super::*;
use crate::{
    topic::{TopicFilter, TopicName},
    types::{PacketId, QoS, SubscriptionOptions},
};

const V31: ProtocolVersion = ProtocolVersion::V31;
const V311: ProtocolVersion = ProtocolVersion::V311;

pub(super) fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

pub(super) fn topic(text: &str) -> &TopicName {
    TopicName::new(text).unwrap()
}

pub(super) fn filter(text: &str) -> &TopicFilter {
    TopicFilter::new(text).unwrap()
}

fn no_properties() -> Properties<'static> {
    Properties::default()
}

fn connect(version: ProtocolVersion, client_id: &str) -> Connect<'_> {
    Connect {
        version,
        bridge: false,
        clean_session: true,
        keep_alive: 60,
        client_id,
        will: None,
        username: None,
        password: None,
        properties: no_properties(),
    }
}

fn publish<'a>(name: &'a str, payload: &'a [u8]) -> Publish<'a> {
    Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: topic(name),
        packet_id: None,
        payload,
        properties: no_properties(),
    }
}

/// `packet` ↔ `bytes`.
#[track_caller]
pub(super) fn both_ways(version: ProtocolVersion, packet: Packet<'_>, bytes: &[u8]) {
    assert_eq!(encoded(version, &packet), bytes);
    assert_eq!(decode_whole(version, bytes), Ok(packet));
}

#[test]
fn connect_of_each_version() {
    both_ways(
        V311,
        Packet::Connect(Box::new(connect(V311, ""))),
        b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x3C\x00\x00", // no client id
    );
    both_ways(
        V31,
        Packet::Connect(Box::new(connect(V31, "dunlin"))),
        b"\x10\x14\x00\x06MQIsdp\x03\x02\x00\x3C\x00\x06dunlin",
    );
}

#[test]
fn a_connect_is_decoded_in_its_own_version() {
    let packet = Packet::Connect(Box::new(connect(V31, "a")));
    assert_eq!(decode_whole(V311, &encoded(V311, &packet)), Ok(packet));
}

/// Figure 3.6 of the standard: user name, password, Will with QoS 1, Clean Session, Keep Alive 10.
#[test]
fn connect_with_everything() {
    let will = Will {
        topic: topic("w/t"),
        payload: &[0, 255],
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: no_properties(),
    };
    let packet = Connect {
        keep_alive: 10,
        will: Some(will.clone()),
        username: Some("me"),
        password: Some(&[0xFF]),
        ..connect(V311, "id")
    };
    both_ways(
        V311,
        Packet::Connect(Box::new(packet.clone())),
        b"\x10\x1E\x00\x04MQTT\x04\xCE\x00\x0A\x00\x02id\x00\x03w/t\x00\x02\x00\xFF\x00\x02me\x00\x01\xFF",
    );
    let will = Will { qos: QoS::ExactlyOnce, retain: true, payload: b"", ..will };
    both_ways(
        V311,
        Packet::Connect(Box::new(Connect { will: Some(will), clean_session: false, password: None, ..packet })),
        b"\x10\x19\x00\x04MQTT\x04\xB4\x00\x0A\x00\x02id\x00\x03w/t\x00\x00\x00\x02me",
    );
}

/// 3.1 leaves bit 0 of the flags unused, allows a password alone, and lets the Remaining Length overrule both flags.
#[test]
fn connect_of_3_1_is_tolerated() {
    let with_bit_0 = b"\x10\x0F\x00\x06MQIsdp\x03\x03\x00\x3C\x00\x01a";
    assert_eq!(decode_whole(V31, with_bit_0), Ok(Packet::Connect(Box::new(connect(V31, "a")))));
    both_ways(
        V31,
        Packet::Connect(Box::new(Connect { password: Some(b"p"), ..connect(V31, "a") })),
        b"\x10\x12\x00\x06MQIsdp\x03\x42\x00\x3C\x00\x01a\x00\x01p",
    );
    let without_fields = b"\x10\x0F\x00\x06MQIsdp\x03\xC2\x00\x3C\x00\x01a";
    assert_eq!(decode_whole(V31, without_fields), Ok(Packet::Connect(Box::new(connect(V31, "a")))));
    let without_password = b"\x10\x12\x00\x06MQIsdp\x03\xC2\x00\x3C\x00\x01a\x00\x01u";
    let expected = Connect { username: Some("u"), ..connect(V31, "a") };
    assert_eq!(decode_whole(V31, without_password), Ok(Packet::Connect(Box::new(expected))));
}

#[test]
fn a_byte_order_mark_is_kept() {
    let bytes = b"\x10\x0F\x00\x04MQTT\x04\x02\x00\x3C\x00\x03\xEF\xBB\xBF";
    both_ways(V311, Packet::Connect(Box::new(connect(V311, "\u{FEFF}"))), bytes); // [MQTT-1.5.3-3]
}

#[test]
fn connack() {
    use ReasonCode::*;
    let codes = [
        Success,
        UnsupportedProtocolVersion,
        ClientIdentifierNotValid,
        ServerUnavailable,
        BadUserNameOrPassword,
        NotAuthorized,
    ];
    for (byte, reason) in codes.into_iter().enumerate() {
        let packet = Connack { session_present: false, reason, properties: no_properties() };
        both_ways(V311, Packet::Connack(packet), &[0x20, 2, 0, byte as u8]);
    }
    let packet = Connack { session_present: true, reason: Success, properties: no_properties() };
    both_ways(V311, Packet::Connack(packet), &[0x20, 2, 1, 0]);
    let absent = Connack { session_present: false, ..packet };
    assert_eq!(encoded(V31, &Packet::Connack(packet)), [0x20, 2, 0, 0]);
    assert_eq!(decode_whole(V31, &[0x20, 2, 0xFF, 0]), Ok(Packet::Connack(absent)));
}

/// Figure 3.11 of the standard: topic `a/b`, Packet Identifier 10.
#[test]
fn publish_of_each_qos() {
    let at_most_once = publish("a/b", b"hello");
    both_ways(V311, Packet::Publish(at_most_once), b"\x30\x0A\x00\x03a/bhello");
    both_ways(V311, Packet::Publish(Publish { retain: true, payload: b"", ..at_most_once }), b"\x31\x05\x00\x03a/b");
    let at_least_once = Publish { qos: QoS::AtLeastOnce, packet_id: Some(id(10)), ..at_most_once };
    both_ways(V311, Packet::Publish(at_least_once), b"\x32\x0C\x00\x03a/b\x00\x0Ahello");
    let exactly_once = Publish { qos: QoS::ExactlyOnce, packet_id: Some(id(0xFFFE)), dup: true, ..at_most_once };
    both_ways(V311, Packet::Publish(exactly_once), b"\x3C\x0C\x00\x03a/b\xFF\xFEhello");
    both_ways(V31, Packet::Publish(Publish { retain: true, ..exactly_once }), b"\x3D\x0C\x00\x03a/b\xFF\xFEhello");
}

#[test]
fn publish_of_3_1_may_have_dup_with_qos_0() {
    let packet = Publish { dup: true, ..publish("a", b"") };
    assert_eq!(decode_whole(V31, b"\x38\x03\x00\x01a"), Ok(Packet::Publish(packet)));
}

#[test]
fn acknowledgements() {
    let ack = Ack::from(id(0x1234));
    both_ways(V311, Packet::Puback(ack), b"\x40\x02\x12\x34");
    both_ways(V311, Packet::Pubrec(ack), b"\x50\x02\x12\x34");
    both_ways(V311, Packet::Pubrel(ack), b"\x62\x02\x12\x34");
    both_ways(V311, Packet::Pubcomp(ack), b"\x70\x02\x12\x34");
    let unsuback = Unsuback { packet_id: id(0x1234), codes: Vec::new(), properties: no_properties() };
    both_ways(V311, Packet::Unsuback(unsuback), b"\xB0\x02\x12\x34");
}

/// Figure 3.23 of the standard: `a/b` with QoS 1, `c/d` with QoS 2, Packet Identifier 10.
#[test]
fn subscribe() {
    let options = |qos| SubscriptionOptions::from(qos);
    let packet = Packet::Subscribe(Subscribe {
        packet_id: id(10),
        filters: vec![(filter("a/b"), options(QoS::AtLeastOnce)), (filter("c/d"), options(QoS::ExactlyOnce))],
        properties: no_properties(),
    });
    let bytes = b"\x82\x0E\x00\x0A\x00\x03a/b\x01\x00\x03c/d\x02";
    both_ways(V311, packet.clone(), bytes);
    let mut with_dup = *bytes;
    with_dup[0] = 0x8A;
    assert_eq!(decode_whole(V31, &with_dup), Ok(packet));
}

/// Figure 3.26 of the standard: QoS 0, QoS 2, Failure.
#[test]
fn suback() {
    let codes = vec![
        SubackCode::Granted(QoS::AtMostOnce),
        SubackCode::Granted(QoS::ExactlyOnce),
        SubackCode::Failure(ReasonCode::UnspecifiedError),
    ];
    let packet = Suback { packet_id: id(10), codes, properties: no_properties() };
    both_ways(V311, Packet::Suback(packet), b"\x90\x05\x00\x0A\x00\x02\x80");
    let mut out = Vec::new();
    let codes = vec![SubackCode::Failure(ReasonCode::NotAuthorized)];
    encode::suback(&mut out, V311, &Suback { packet_id: id(1), codes, properties: no_properties() });
    assert_eq!(out, b"\x90\x03\x00\x01\x80");
}

/// Figure 3.30 of the standard: `a/b`, `c/d`, Packet Identifier 10.
#[test]
fn unsubscribe() {
    let packet = Packet::Unsubscribe(Unsubscribe {
        packet_id: id(10),
        filters: vec![filter("a/b"), filter("c/d")],
        properties: no_properties(),
    });
    both_ways(V311, packet.clone(), b"\xA2\x0C\x00\x0A\x00\x03a/b\x00\x03c/d");
    assert_eq!(decode_whole(V31, b"\xAA\x0C\x00\x0A\x00\x03a/b\x00\x03c/d"), Ok(packet));
}

#[test]
fn packets_without_a_body() {
    both_ways(V311, Packet::Pingreq, b"\xC0\x00");
    both_ways(V311, Packet::Pingresp, b"\xD0\x00");
    let disconnect = Disconnect { reason: ReasonCode::Success, properties: no_properties() };
    both_ways(V311, Packet::Disconnect(disconnect), b"\xE0\x00");
}

/// Table 2.4 of the standard: the first and last length of each number of bytes.
#[test]
fn remaining_lengths() {
    let rows: [(usize, &[u8]); 8] = [
        (3, &[0x03]),
        (127, &[0x7F]),
        (128, &[0x80, 0x01]),
        (16_383, &[0xFF, 0x7F]),
        (16_384, &[0x80, 0x80, 0x01]),
        (2_097_151, &[0xFF, 0xFF, 0x7F]),
        (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
        (268_435_455, &[0xFF, 0xFF, 0xFF, 0x7F]),
    ];
    for (length, expected) in rows {
        let mut out = Vec::new();
        encode::publish_header(&mut out, PublishFlags::default(), topic("a"), None, length - 3);
        assert_eq!(out, [&[0x30], expected, b"\x00\x01a"].concat());
        let whole = 1 + expected.len() + length;
        assert_eq!(publish_len(1, QoS::AtMostOnce, length - 3), whole);
        let needed = if length == 3 { frame(V311, &out[..4], usize::MAX) } else { frame(V311, &out, usize::MAX) };
        assert_eq!(needed, Ok(Cut::Need(whole)), "{length}");
        for cut in 1..=expected.len() {
            let known = frame(V311, &out[..cut], usize::MAX);
            assert!(matches!(known, Ok(Cut::Need(needed)) if needed > cut && needed <= whole), "{length}: {known:?}");
        }
    }
}

/// 3.1.1 does not ask for the shortest form of a length.
#[test]
fn a_remaining_length_may_be_padded() {
    assert_eq!(decode_whole(V311, b"\xC0\x80\x00"), Ok(Packet::Pingreq));
    assert_eq!(decode_whole(V311, b"\x40\x82\x80\x80\x00\x00\x01"), Ok(Packet::Puback(Ack::from(id(1)))));
}

#[test]
fn encode_refuses_fields_longer_than_65535_bytes() {
    let long = "x".repeat(65_536);
    let mut out = vec![1, 2, 3];
    let rows = [
        (Connect { client_id: &long, ..connect(V311, "") }, Field::ClientId),
        (Connect { username: Some(&long), ..connect(V311, "") }, Field::UserName),
        (Connect { username: Some("u"), password: Some(long.as_bytes()), ..connect(V311, "") }, Field::Password),
    ];
    for (packet, field) in rows {
        let refused = encode(V311, &Packet::Connect(Box::new(packet)), &mut out);
        assert_eq!(refused, Err(EncodeError::FieldTooLong(field)));
    }
    let huge = "y".repeat(65_535);
    let filters = vec![filter(&huge); 4_097];
    let packet = Packet::Unsubscribe(Unsubscribe { packet_id: id(1), filters, properties: no_properties() });
    assert!(matches!(encode(V311, &packet, &mut out), Err(EncodeError::PacketTooLarge(_))));
    assert_eq!(out, [1, 2, 3]);
}

#[test]
fn the_longest_connect_is_accepted() {
    let long = "z".repeat(65_535);
    let will = Will {
        topic: topic(&long),
        payload: long.as_bytes(),
        qos: QoS::AtMostOnce,
        retain: true,
        properties: no_properties(),
    };
    let packet = Packet::Connect(Box::new(Connect {
        will: Some(will),
        username: Some(&long),
        password: Some(long.as_bytes()),
        ..connect(V31, &long)
    }));
    assert_eq!(decode_whole(V31, &encoded(V31, &packet)), Ok(packet));
}

#[test]
fn a_topic_that_repeats_is_not_validated_again() {
    let bytes = b"\x32\x0C\x00\x03a/b\x00\x0Ahello";
    let Ok(Cut::Frame(frame)) = frame(V311, bytes, usize::MAX) else { panic!() };
    assert_eq!(publish_topic_bytes(&frame), Some(&b"a/b"[..]));
    assert_eq!(decode_publish_with_topic(V311, frame, topic("a/b")), decode_publish(V311, frame));
    for body in [&b""[..], b"\x00", b"\x00\x02a"] {
        assert_eq!(publish_topic_bytes(&Frame { first: 0x30, body, len: 2 + body.len() }), None);
    }
}

#[test]
fn the_direction_of_each_packet_type_is_checked() {
    let servers = [0x20, 0x90, 0xB0, 0xD0];
    for first in (0x10..=0xE0).step_by(0x10) {
        let frame = Frame { first, body: &[], len: 2 };
        assert_eq!(frame.is_from_client(), !servers.contains(&first), "{first:#04x}");
    }
}
