//! A message that is kept, made from the frame that it came in.

use super::*;
use crate::codec::{Cut, Properties, PropertiesBuf, PropertyId, PropertyValue};

/// The properties of a PUBLISH: `None` is the one that each message says anew.
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
