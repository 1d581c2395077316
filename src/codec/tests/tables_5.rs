//! Each packet type of MQTT 5 both ways, in bytes written out by hand.

use std::num::NonZeroU32;

use super::{
    tables::{both_ways, filter, id, topic},
    *,
};
use crate::types::{QoS, RetainHandling, SubscriptionOptions};

const V5: ProtocolVersion = ProtocolVersion::V5;

fn none() -> Properties<'static> {
    Properties::default()
}

/// Properties in this order.
fn properties(all: &[(PropertyId, PropertyValue<'_>)]) -> PropertiesBuf {
    let mut buffer = PropertiesBuf::default();
    for (id, value) in all {
        assert!(buffer.push(*id, *value), "{id:?}: {value:?}");
    }
    buffer
}

fn connect(properties: Properties<'_>) -> Connect<'_> {
    Connect {
        version: V5,
        bridge: false,
        clean_session: true,
        keep_alive: 60,
        client_id: "",
        will: None,
        username: None,
        password: None,
        properties,
    }
}

#[test]
fn connect_with_nothing_and_with_everything() {
    both_ways(V5, Packet::Connect(Box::new(connect(none()))), b"\x10\x0D\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x00");
    let of_connect = properties(&[
        (PropertyId::SessionExpiryInterval, PropertyValue::Number(10)),
        (PropertyId::ReceiveMaximum, PropertyValue::Number(20)),
        (PropertyId::MaximumPacketSize, PropertyValue::Number(0x0102_0304)),
        (PropertyId::TopicAliasMaximum, PropertyValue::Number(0)),
        (PropertyId::RequestResponseInformation, PropertyValue::Flag(true)),
        (PropertyId::RequestProblemInformation, PropertyValue::Flag(false)),
        (PropertyId::UserProperty, PropertyValue::Pair("n", "v")),
        (PropertyId::AuthenticationMethod, PropertyValue::Text("m")),
        (PropertyId::AuthenticationData, PropertyValue::Bytes(b"\xFF")),
    ]);
    let of_will = properties(&[
        (PropertyId::WillDelayInterval, PropertyValue::Number(5)),
        (PropertyId::PayloadFormatIndicator, PropertyValue::Flag(true)),
        (PropertyId::ContentType, PropertyValue::Text("t")),
    ]);
    let will = Will {
        topic: topic("w"),
        payload: b"p",
        qos: QoS::AtLeastOnce,
        retain: true,
        properties: of_will.as_properties(),
    };
    let packet = Connect {
        client_id: "c",
        will: Some(will),
        password: Some(b"s"), // without a user name
        ..connect(of_connect.as_properties())
    };
    let expected = [
        &b"\x10\x46\x00\x04MQTT\x05\x6E\x00\x3C"[..],
        b"\x23\x11\x00\x00\x00\x0A\x21\x00\x14\x27\x01\x02\x03\x04\x22\x00\x00\x19\x01\x17\x00\x26\x00\x01n\x00\x01v",
        b"\x15\x00\x01m\x16\x00\x01\xFF",
        b"\x00\x01c\x0B\x18\x00\x00\x00\x05\x01\x01\x03\x00\x01t\x00\x01w\x00\x01p\x00\x01s",
    ];
    both_ways(V5, Packet::Connect(Box::new(packet)), &expected.concat());
}

#[test]
fn connack() {
    let refused = Connack { session_present: false, reason: ReasonCode::BadAuthenticationMethod, properties: none() };
    both_ways(V5, Packet::Connack(refused), b"\x20\x03\x00\x8C\x00");
    let said = properties(&[
        (PropertyId::AssignedClientIdentifier, PropertyValue::Text("id")),
        (PropertyId::ServerKeepAlive, PropertyValue::Number(30)),
        (PropertyId::MaximumQos, PropertyValue::Flag(true)),
        (PropertyId::SharedSubscriptionAvailable, PropertyValue::Flag(false)),
    ]);
    let accepted = Connack { properties: said.as_properties(), ..Connack::accepted(true) };
    both_ways(V5, Packet::Connack(accepted), b"\x20\x0F\x01\x00\x0C\x12\x00\x02id\x13\x00\x1E\x24\x01\x2A\x00");
}

#[test]
fn publish() {
    let plain = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: topic("a/b"),
        packet_id: None,
        payload: b"hi",
        properties: none(),
    };
    both_ways(V5, Packet::Publish(plain), b"\x30\x08\x00\x03a/b\x00hi");
    let said = properties(&[
        (PropertyId::MessageExpiryInterval, PropertyValue::Number(3)),
        (PropertyId::ResponseTopic, PropertyValue::Text("r")),
        (PropertyId::CorrelationData, PropertyValue::Bytes(b"\x00\xFF")),
        (PropertyId::SubscriptionIdentifier, PropertyValue::Number(268_435_455)),
        (PropertyId::SubscriptionIdentifier, PropertyValue::Number(128)),
        (PropertyId::UserProperty, PropertyValue::Pair("", "")),
        (PropertyId::UserProperty, PropertyValue::Pair("", "")),
    ]);
    let full = Publish {
        qos: QoS::ExactlyOnce,
        packet_id: Some(id(7)),
        dup: true,
        retain: true,
        properties: said.as_properties(),
        ..plain
    };
    let expected = [
        &b"\x3D\x2A\x00\x03a/b\x00\x07\x20\x02\x00\x00\x00\x03\x08\x00\x01r\x09\x00\x02\x00\xFF"[..],
        b"\x0B\xFF\xFF\xFF\x7F\x0B\x80\x01\x26\x00\x00\x00\x00\x26\x00\x00\x00\x00hi",
    ];
    both_ways(V5, Packet::Publish(full), &expected.concat());
    let read = full.properties;
    assert_eq!(read.subscription_identifiers().collect::<Vec<_>>(), [268_435_455, 128]);
    assert_eq!(read.user().collect::<Vec<_>>(), [("", ""), ("", "")]);
    assert_eq!(read.number(PropertyId::MessageExpiryInterval), Some(3));
    assert_eq!(read.bytes(PropertyId::CorrelationData), Some(&b"\x00\xFF"[..]));
    assert_eq!((read.text(PropertyId::ResponseTopic), read.text(PropertyId::ContentType)), (Some("r"), None));
    assert_eq!((read.flag(PropertyId::PayloadFormatIndicator), read.short(PropertyId::TopicAlias)), (None, None));
}

#[test]
fn a_topic_alias_stands_for_a_topic() {
    let said = properties(&[(PropertyId::TopicAlias, PropertyValue::Number(1))]);
    let publish = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: crate::topic::TopicName::from_valid(""),
        packet_id: None,
        payload: b"x",
        properties: said.as_properties(),
    };
    both_ways(V5, Packet::Publish(publish), b"\x30\x07\x00\x00\x03\x23\x00\x01x");
}

#[test]
fn acknowledgements_of_success_have_the_short_form() {
    let ack = Ack::from(id(0x1234));
    both_ways(V5, Packet::Puback(ack), b"\x40\x02\x12\x34");
    both_ways(V5, Packet::Pubrel(ack), b"\x62\x02\x12\x34");
    let refused = Ack { reason: ReasonCode::QuotaExceeded, ..ack };
    both_ways(V5, Packet::Pubrec(refused), b"\x50\x03\x12\x34\x97");
    both_ways(V5, Packet::Pubrel(Ack { reason: ReasonCode::PacketIdentifierNotFound, ..ack }), b"\x62\x03\x12\x34\x92");
    let said = properties(&[(PropertyId::ReasonString, PropertyValue::Text("no"))]);
    let told = Ack { properties: said.as_properties(), ..refused };
    both_ways(V5, Packet::Puback(told), b"\x40\x09\x12\x34\x97\x05\x1F\x00\x02no");
    both_ways(
        V5,
        Packet::Pubcomp(Ack { reason: ReasonCode::Success, ..told }),
        b"\x70\x09\x12\x34\x00\x05\x1F\x00\x02no",
    );
    // as others may write it
    assert_eq!(decode_whole(V5, b"\x40\x04\x12\x34\x00\x00"), Ok(Packet::Puback(ack)));
    assert_eq!(decode_whole(V5, b"\x40\x03\x12\x34\x00"), Ok(Packet::Puback(ack)));
}

#[test]
fn subscribe_and_suback() {
    let said = properties(&[(PropertyId::SubscriptionIdentifier, PropertyValue::Number(9))]);
    let options = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
        identifier: NonZeroU32::new(9),
    };
    let second = SubscriptionOptions { identifier: NonZeroU32::new(9), ..QoS::AtLeastOnce.into() };
    let packet = Subscribe {
        packet_id: id(1),
        filters: vec![(filter("a"), options), (filter("b"), second)],
        properties: said.as_properties(),
    };
    both_ways(V5, Packet::Subscribe(packet), b"\x82\x0D\x00\x01\x02\x0B\x09\x00\x01a\x2E\x00\x01b\x01");
    let codes =
        vec![SubackCode::Granted(QoS::ExactlyOnce), SubackCode::Failure(ReasonCode::SharedSubscriptionsNotSupported)];
    let packet = Suback { packet_id: id(1), codes, properties: none() };
    both_ways(V5, Packet::Suback(packet), b"\x90\x05\x00\x01\x00\x02\x9E");
}

#[test]
fn unsubscribe_and_unsuback() {
    let packet = Unsubscribe { packet_id: id(1), filters: vec![filter("a"), filter("b")], properties: none() };
    both_ways(V5, Packet::Unsubscribe(packet), b"\xA2\x09\x00\x01\x00\x00\x01a\x00\x01b");
    let codes = vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
    let packet = Unsuback { packet_id: id(1), codes, properties: none() };
    both_ways(V5, Packet::Unsuback(packet), b"\xB0\x05\x00\x01\x00\x00\x11");
}

#[test]
fn disconnect_and_auth() {
    let packet = Disconnect { reason: ReasonCode::Success, properties: none() };
    both_ways(V5, Packet::Disconnect(packet), b"\xE0\x00");
    let packet = Disconnect { reason: ReasonCode::DisconnectWithWill, ..packet };
    both_ways(V5, Packet::Disconnect(packet), b"\xE0\x02\x04\x00");
    // without the length of its properties it is the same
    assert_eq!(decode_whole(V5, b"\xE0\x01\x04"), Ok(Packet::Disconnect(packet)));
    let said = properties(&[(PropertyId::SessionExpiryInterval, PropertyValue::Number(1))]);
    let packet = Disconnect { properties: said.as_properties(), ..packet };
    both_ways(V5, Packet::Disconnect(packet), b"\xE0\x07\x04\x05\x11\x00\x00\x00\x01");
    let said = properties(&[(PropertyId::AuthenticationMethod, PropertyValue::Text("m"))]);
    let packet = Auth { reason: ReasonCode::ContinueAuthentication, properties: said.as_properties() };
    both_ways(V5, Packet::Auth(packet), b"\xF0\x06\x18\x04\x15\x00\x01m");
}

#[test]
fn a_property_with_an_unencodable_value_is_not_written() {
    let mut buffer = PropertiesBuf::default();
    let long = "x".repeat(65_536);
    for (id, value) in [
        (PropertyId::ReceiveMaximum, PropertyValue::Number(65_536)),
        (PropertyId::SubscriptionIdentifier, PropertyValue::Number(268_435_456)),
        (PropertyId::ReasonString, PropertyValue::Text(&long)),
        (PropertyId::UserProperty, PropertyValue::Pair("n", &long)),
        (PropertyId::ReasonString, PropertyValue::Flag(true)),
    ] {
        assert!(!buffer.push(id, value), "{id:?}");
    }
    assert_eq!(buffer, PropertiesBuf::default());
}

/// Each property is taken in the packets that Table 2-4 of the standard names, and in no others.
#[test]
fn properties_belong_to_packets() {
    use PacketType::*;
    const PACKETS: [PacketType; 13] = [
        Connect,
        Connack,
        Publish,
        Puback,
        Pubrec,
        Pubrel,
        Pubcomp,
        Subscribe,
        Suback,
        Unsubscribe,
        Unsuback,
        Disconnect,
        Auth,
    ];
    let acknowledgements = [Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback];
    let value = |id| match id {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2A => &b"\x01"[..],
        0x13 | 0x21 | 0x22 | 0x23 => b"\x00\x01",
        0x02 | 0x11 | 0x18 | 0x27 => b"\x00\x00\x00\x01",
        0x0B => b"\x01",
        0x26 => b"\x00\x01n\x00\x01v",
        _ => b"\x00\x01x",
    };
    for id in 0..=u8::MAX {
        let (packets, will): (Vec<PacketType>, bool) = match id {
            0x01 | 0x02 | 0x03 | 0x08 | 0x09 => (vec![Publish], true),
            0x0B => (vec![Publish, Subscribe], false),
            0x11 => (vec![Connect, Connack, Disconnect], false),
            0x12 | 0x13 | 0x1A | 0x24 | 0x25 | 0x28..=0x2A => (vec![Connack], false),
            0x15 | 0x16 => (vec![Connect, Connack, Auth], false),
            0x17 | 0x19 => (vec![Connect], false),
            0x18 => (vec![], true),
            0x1C => (vec![Connack, Disconnect], false),
            0x1F => ([&acknowledgements[..], &[Connack, Disconnect, Auth]].concat(), false),
            0x21 | 0x22 | 0x27 => (vec![Connect, Connack], false),
            0x23 => (vec![Publish], false),
            0x26 => (PACKETS.to_vec(), true),
            _ => (vec![], false),
        };
        let bytes = [&[id][..], value(id)].concat();
        let written = [&[bytes.len() as u8][..], &bytes].concat();
        let read = |carrier| Properties::read(&mut cursor::Cursor::new(&written), carrier);
        for packet in PACKETS {
            assert_eq!(read(Carrier::Packet(packet)).is_ok(), packets.contains(&packet), "{id:#04x} in {packet}");
        }
        assert_eq!(read(Carrier::Will).is_ok(), will, "{id:#04x} in a Will");
    }
}
