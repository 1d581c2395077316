//! Tests of a message that is stored, made from the frame in which it arrived.

use super::*;
use crate::codec::{Cut, Properties, PropertiesBuf, PropertyId, PropertyValue};

/// The properties of a PUBLISH; `None` stands for the one that differs in each message.
fn properties(all: &[Option<(&str, &str)>]) -> PropertiesBuf {
    let mut buffer = PropertiesBuf::default();
    for one in all {
        match one {
            Some((name, value)) => buffer.push(PropertyId::UserProperty, PropertyValue::Pair(name, value)),
            None => buffer.number(PropertyId::MessageExpiryInterval, 7),
        };
    }
    buffer
}

#[test]
fn the_shared_form_of_a_frame_is_that_of_its_parts() {
    let (topic, now) = (TopicName::new("a/b").unwrap(), Instant::now());
    let long = "x".repeat(200);
    let (one, two) = (Some(("name", "value")), Some(("b", long.as_str())));
    let cases: [&[_]; 8] =
        [&[], &[None], &[one], &[None, one], &[one, None], &[one, None, two], &[one, two, None], &[None, two, one]];
    for said in cases {
        for (qos, payload) in
            [(QoS::AtMostOnce, &b"payload"[..]), (QoS::AtLeastOnce, b""), (QoS::AtLeastOnce, &[7; 9_000])]
        {
            let buffer = properties(said);
            let publish = Publish {
                dup: false,
                qos,
                retain: false,
                topic,
                packet_id: (qos != QoS::AtMostOnce).then_some(crate::types::PacketId::MIN),
                payload,
                properties: buffer.as_properties(),
            };
            let mut bytes = Vec::new();
            codec::encode(ProtocolVersion::V5, &Packet::Publish(publish), &mut bytes).unwrap();
            let Ok(Cut::Frame(frame)) = codec::frame(ProtocolVersion::V5, &bytes, bytes.len()) else {
                panic!("a frame")
            };
            let publish = codec::decode_publish(ProtocolVersion::V5, frame).unwrap();
            let left = publish.properties.without(&[PropertyId::MessageExpiryInterval]);
            let expires = said.contains(&None).then_some(now);
            let extras = Extras { properties: left.as_properties(), expires };
            let sender = "sender".into();
            let outgoing = Outgoing::from_publish_5(&sender, &publish, extras, &bytes);
            let parts = Message::with(topic, payload, qos, extras);
            let seen = |message: &Message| {
                let Extras { properties, expires } = message.extras();
                assert_eq!(message.stored_properties(), properties.as_bytes());
                let own = Properties::of_stored(properties.as_bytes()).unwrap();
                assert_eq!(own, properties);
                let about = (message.topic().as_str().to_owned(), message.qos(), message.size());
                (about, message.payload().to_vec(), properties.as_bytes().to_vec(), expires)
            };
            assert_eq!(seen(outgoing.message()), seen(&parts), "{said:?}");
            assert_eq!(outgoing.message().size(), outgoing.size());
        }
    }
}

/// The bytes for a subscriber that receives the message at this QoS, with this Packet Identifier.
fn sent(outgoing: &Outgoing<'_>, version: ProtocolVersion, how: How<'_>, now: Instant) -> Vec<u8> {
    let (mut session, mut pool) = (Session::new("s".into(), Expiry::Never, None), BufPool::default());
    let mut turn = Turn { now, limits: &LIMITS, pool: &mut pool, journal: () };
    session.attach(&Welcome::plain(version, false), None, &mut turn);
    session.take_out();
    session.set_writing(0);
    let delivered = session.deliver(outgoing, how, &mut turn);
    assert!(matches!(delivered, Delivery::Sent | Delivery::SentFive));
    session.take_out().expect("a PUBLISH").contiguous().expect("a small one").to_vec()
}

#[test]
fn a_fan_out_to_both_versions_encodes_once_for_each() {
    let (topic, now, sender) = (TopicName::new("a/b").unwrap(), Instant::now(), "sender".into());
    let (own, expires) = (properties(&[Some(("name", "value"))]), now.checked_add(std::time::Duration::from_secs(7)));
    for (qos, of_publisher) in
        [(QoS::AtMostOnce, 5), (QoS::AtLeastOnce, 5), (QoS::AtLeastOnce, 4), (QoS::ExactlyOnce, 4)]
    {
        let version = if of_publisher == 5 { ProtocolVersion::V5 } else { ProtocolVersion::V311 };
        for payload in [&b""[..], &[7; 100], &[7; 300]] {
            let packet_id = (qos != QoS::AtMostOnce).then_some(crate::types::PacketId::MIN);
            let said = if of_publisher == 5 { own.as_properties() } else { Properties::default() };
            let publish = Publish { dup: true, qos, retain: true, topic, packet_id, payload, properties: said };
            let mut bytes = Vec::new();
            codec::encode(version, &Packet::Publish(publish), &mut bytes).unwrap();
            let extras = Extras { properties: said, ..Extras::default() };
            let outgoing = match of_publisher {
                5 => Outgoing::from_publish_5(&sender, &publish, extras, &bytes),
                _ => Outgoing::from_publish(&sender, &publish, &bytes),
            };
            let mut made = None;
            for to in [ProtocolVersion::V5, ProtocolVersion::V311, ProtocolVersion::V31].repeat(3) {
                for (qos, retain) in [(qos, false), (qos, true), (QoS::AtMostOnce, false)] {
                    let got = sent(&outgoing, to, How { qos, retain, ..How::from(qos) }, now);
                    let packet_id = (qos != QoS::AtMostOnce).then_some(crate::types::PacketId::MIN);
                    let properties = if to == ProtocolVersion::V5 { said } else { Properties::default() };
                    let expected = Publish { dup: false, qos, retain, topic, packet_id, payload, properties };
                    let mut bytes = Vec::new();
                    codec::encode(to, &Packet::Publish(expected), &mut bytes).unwrap();
                    assert_eq!(got, bytes, "{of_publisher} to {to:?} at {qos:?}");
                    // there is one message for the version that the publisher does not speak
                    let translated = outgoing.translated();
                    assert!(made.is_none() || made == translated, "it was made again");
                    made = translated;
                }
            }
            assert!(made.is_some());
            // with an expiry of its own it is another message
            let ends = outgoing.expiring(expires.unwrap());
            assert_eq!(ends.translated(), None);
        }
    }
}
