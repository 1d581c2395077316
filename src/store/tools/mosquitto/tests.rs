//! Databases made by hand, and any bytes.

use proptest::prelude::*;

use super::{plan::*, *};
use crate::types::QoS;

/// A chunk with its length.
fn chunk(kind: u32, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&kind.to_be_bytes()[..], &u32::try_from(body.len()).unwrap().to_be_bytes(), &body].concat()
}

fn file(version: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    let config = chunk(1, &[&9u64.to_ne_bytes(), &[1, 8, 0, 0, 0, 0, 0, 0]]);
    [&b"\0\xb5\0mosquitto db\0\0\0\0"[..], &version.to_be_bytes(), &config, &chunks.concat()].concat()
}

fn message(id: u64, topic: &str, retain: bool) -> Vec<u8> {
    let be = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let lengths = [be(0), be(3), be(0), be(topic.len()), be(0)].concat();
    let numbers = [&id.to_ne_bytes()[..], &0i64.to_ne_bytes(), &2u32.to_be_bytes(), &lengths].concat();
    chunk(2, &[&numbers, &[2, u8::from(retain)], b"pub", topic.as_bytes(), b"hi"])
}

fn entry(id: u64, client: &str, packet_id: u16, state: u8, direction: u8) -> Vec<u8> {
    let length = u16::try_from(client.len()).unwrap().to_be_bytes();
    let numbers = [&id.to_ne_bytes()[..], &packet_id.to_be_bytes(), &length, &[2, state, 0, direction]].concat();
    chunk(3, &[&numbers, client.as_bytes()])
}

fn client(name: &str, ends: i64, expiry: u32) -> Vec<u8> {
    let length = u16::try_from(name.len()).unwrap().to_be_bytes();
    let numbers = [&ends.to_ne_bytes()[..], &expiry.to_be_bytes(), &[0, 7], &length, &[0; 8]].concat();
    chunk(6, &[&numbers, name.as_bytes()])
}

fn subscription(name: &str, filter: &str) -> Vec<u8> {
    let lengths = [name, filter].map(|text| u16::try_from(text.len()).unwrap().to_be_bytes()).concat();
    chunk(5, &[&[0, 0, 0, 0], &lengths, &[1, 8, 0, 0], name.as_bytes(), filter.as_bytes()])
}

const NOW: u64 = 2_000_000_000_000;

#[test]
fn the_database_is_converted_to_a_store() {
    let never = u32::MAX;
    let bytes = file(
        6,
        &[
            message(1, "a", false),
            message(2, "b", true),
            message(3, "c", false),
            client("away", 0, never),
            entry(1, "away", 65_000, 3, 1),
            entry(3, "away", 4, 9, 1),
            entry(2, "away", 5, 11, 1),
            client("gone", 1_999_999_999, 10),
            entry(1, "gone", 1, 11, 1),
            client("soon", 2_000_000_040, 100),
            client("five", 0, 0),
            subscription("soon", "c/#"),
            subscription("five", "x"),
            chunk(4, &[&2u64.to_ne_bytes()]),
            chunk(9, &[b"of a later version"]),
        ],
    );
    let chunks = chunks::read(&bytes).unwrap();
    let plan = Plan::of(&chunks, NOW).unwrap();
    let names: Vec<_> = plan.sessions.iter().map(|session| (session.client, session.away, session.lasts)).collect();
    assert_eq!(names, [("away", 0, None), ("soon", 60_000, Some(100))]);
    let sent: Vec<_> = plan.sessions[0].deliveries.iter().map(|one| (one.sent, one.body)).collect();
    // 65,000 comes before 4, which is that of 65,539
    assert_eq!(sent, [(Some(65_000), Some(0)), (Some(65_539), None), (None, Some(1))]);
    let bodies: Vec<_> = plan.bodies.iter().map(|body| (body.topic.as_str(), body.retained)).collect();
    assert_eq!(bodies, [("a", false), ("b", true)]);
    let (filter, options) = plan.sessions[1].subscriptions[0];
    assert!(filter.as_str() == "c/#" && options.qos == QoS::AtLeastOnce && options.retain_as_published);
    assert_eq!(plan.left_out.to_string(), "1 that expired");
}

/// mosquitto publishes a QoS 2 message at its release, dunlin at its arrival.
#[test]
fn unreleased_messages_go_to_their_subscribers() {
    let bytes = file(
        6,
        &[
            message(1, "c/1", true),
            client("pub", 0, u32::MAX),
            entry(1, "pub", 7, 7, 0),
            client("sub", 0, u32::MAX),
            subscription("sub", "c/#"),
        ],
    );
    let chunks = chunks::read(&bytes).unwrap();
    let plan = Plan::of(&chunks, NOW).unwrap();
    assert_eq!(plan.sessions[0].received.iter().map(|id| id.get()).collect::<Vec<_>>(), [7]);
    let delivery = Delivery { qos: QoS::AtLeastOnce, retain: true, sent: None, body: Some(0), identifiers: &[] };
    assert_eq!(plan.sessions[1].deliveries, [delivery]);
    assert!(plan.bodies[0].retained);
}

#[test]
fn a_damaged_mosquitto_db_is_refused_with_the_reason() {
    let read =
        |bytes: &[u8]| chunks::read(bytes).and_then(|chunks| Plan::of(&chunks, NOW).map(drop)).unwrap_err().to_string();
    assert_eq!(read(b"listener 1883\n"), "this is not a database of mosquitto");
    assert!(read(&file(5, &[])).starts_with("it has version 5, and version 6 is read"));
    assert_eq!(read(&file(6, &[])[..30]), "it is cut short or damaged at byte 27");
    assert_eq!(
        read(&file(6, &[message(1, "a", false), message(1, "b", false)])),
        "it has message 1 twice: it is damaged"
    );
    let without_config = [&file(6, &[])[..23], &message(1, "a", false)].concat();
    assert!(read(&without_config).contains("does not begin as mosquitto writes it"));
    assert!(read(&file(6, &[client("\u{e9}", 0, 1)[..33].to_vec()])).contains("byte"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>()) {
        let whole = file(6, &[
            message(1, "a/b", true), client("away", 0, 7), entry(1, "away", 3, 3, 1), subscription("away", "a/#"),
        ]);
        let at = at.index(whole.len());
        let changed = [&whole[..at], &bytes, &whole[(at + bytes.len()).min(whole.len())..]].concat();
        for bytes in [&bytes[..], &whole[..at], &changed] {
            if let Ok(chunks) = chunks::read(bytes) {
                let _ = Plan::of(&chunks, NOW);
            }
        }
    }
}
