//! Section 3.1.2: protocol name and level, connect flags, keep alive. Sessions and wills have files of their own.

use std::time::{Duration, Instant};

use crate::support::raw::{Connect, Message, connect};

#[test]
fn mqtt_3_1_2_1_wrong_protocol_name_is_not_served() {
    let case = case!();
    for name in ["mqtt", "MQTTX", "MQT", "", "HTTP"] {
        let mut client = case.open();
        client.send(&Connect::new(&case.id("wrong")).protocol(name, 4).frame());
        // The standard lets a server close at once; a refusal before the close is no service either.
        if let Some(frame) = client.read() {
            assert_eq!((frame.first, frame.body[0]), (0x20, 0), "{name}: {:02x?}", frame.bytes());
            assert_ne!(frame.body[1], 0, "{name} was accepted");
            client.expect_closed();
        }
    }
}

#[test]
fn mqtt_3_1_2_2_unknown_protocol_level_gets_connack_1() {
    let case = case!();
    // Level 5 is left out: a server may speak it.
    for level in [0, 1, 2, 6, 100, 255] {
        let mut client = case.open();
        client.send(&Connect::new(&case.id("level")).protocol("MQTT", level).frame());
        client.expect_refused(1);
    }
}

#[test]
fn mqtt_3_1_2_3_reserved_connect_flag_closes() {
    let case = case!();
    let id = case.id("reserved");
    case.assert_connect_closes(&connect(0x03, &[id.as_bytes()]));
    case.assert_connect_closes(&connect(0x01, &[id.as_bytes()]));
    case.assert_connect_closes(&connect(0x07, &[id.as_bytes(), b"topic", b"will"]));
}

#[test]
fn mqtt_3_1_2_9_will_flag_without_will_fields_closes() {
    let case = case!();
    let id = case.id("will");
    case.assert_connect_closes(&connect(0x06, &[id.as_bytes()]));
    case.assert_connect_closes(&connect(0x06, &[id.as_bytes(), b"topic"]));
}

#[test]
fn mqtt_3_1_2_11_will_fields_without_will_flag_close() {
    let case = case!();
    let id = case.id("will");
    case.assert_connect_closes(&connect(0x02, &[id.as_bytes(), b"topic", b"will"]));
    case.assert_connect_closes(&connect(0x3A, &[id.as_bytes()]));
}

#[test]
fn mqtt_3_1_2_13_will_qos_without_will_flag_closes() {
    let case = case!();
    let id = case.id("will");
    for flags in [0x0A, 0x12, 0x1A] {
        case.assert_connect_closes(&connect(flags, &[id.as_bytes()]));
        case.assert_connect_closes(&connect(flags, &[id.as_bytes(), b"topic", b"will"]));
    }
}

#[test]
fn mqtt_3_1_2_14_will_qos_3_closes() {
    let case = case!();
    let id = case.id("will");
    case.assert_connect_closes(&connect(0x1E, &[id.as_bytes(), b"topic", b"will"]));
}

#[test]
fn mqtt_3_1_2_15_will_retain_without_will_flag_closes() {
    let case = case!();
    let id = case.id("will");
    case.assert_connect_closes(&connect(0x22, &[id.as_bytes()]));
    case.assert_connect_closes(&connect(0x22, &[id.as_bytes(), b"topic", b"will"]));
}

#[test]
fn mqtt_3_1_2_18_user_name_without_its_flag_closes() {
    let case = case!();
    let id = case.id("user");
    case.assert_connect_closes(&connect(0x02, &[id.as_bytes(), b"name"]));
}

#[test]
fn mqtt_3_1_2_19_user_name_flag_without_user_name_closes() {
    let case = case!();
    let id = case.id("user");
    case.assert_connect_closes(&connect(0x82, &[id.as_bytes()]));
}

#[test]
fn mqtt_3_1_2_20_password_without_its_flag_closes() {
    let case = case!();
    let id = case.id("user");
    case.assert_connect_closes(&connect(0x82, &[id.as_bytes(), b"name", b"word"]));
}

#[test]
fn mqtt_3_1_2_21_password_flag_without_password_closes() {
    let case = case!();
    let id = case.id("user");
    case.assert_connect_closes(&connect(0xC2, &[id.as_bytes(), b"name"]));
}

#[test]
fn mqtt_3_1_2_22_password_flag_without_user_name_flag_closes() {
    let case = case!();
    let id = case.id("user");
    case.assert_connect_closes(&connect(0x42, &[id.as_bytes(), b"word"]));
}

#[test]
fn mqtt_3_1_2_24_silence_of_one_and_a_half_keep_alives_closes() {
    let case = case!();
    let (topic, mut watcher) = (case.topic("will"), case.client("watcher"));
    watcher.subscribe(&[(&topic, 0)]);
    let will = Message::new(&topic, "as if the network had failed");
    let begin = Instant::now();
    let mut client = case.connect(&Connect::new(&case.id("silent")).keep_alive(1).will(&will), 0);
    client.expect_closed();
    let silence = begin.elapsed();
    assert!(silence >= Duration::from_millis(1400), "closed after {silence:?}: before one and a half keep alives");
    assert!(silence < Duration::from_secs(8), "closed after {silence:?} only");
    watcher.expect_message(&topic, "as if the network had failed", 0);
}

#[test]
fn also_a_ping_restarts_the_keep_alive() {
    let case = case!();
    let mut client = case.connect(&Connect::new(&case.id("pinging")).keep_alive(2), 0);
    // Two clients that are closed for their silence, one after the other, are the clock: 1.5 s each.
    for clock in ["first", "second"] {
        case.connect(&Connect::new(&case.id(clock)).keep_alive(1), 0).expect_closed();
        client.expect_nothing_pending();
    }
}

#[test]
fn also_user_name_without_password_is_allowed() {
    let case = case!();
    let (id, mut client) = (case.id("user"), case.open());
    client.send(&connect(0x82, &[id.as_bytes(), b"name"]));
    client.expect(&crate::support::raw::connack(0, 0));
}

#[test]
fn also_password_and_will_may_be_any_bytes() {
    let case = case!();
    let (id, topic, mut client) = (case.id("bytes"), case.topic("will"), case.open());
    let mut watcher = case.client("watcher");
    watcher.subscribe(&[(&topic, 0)]);
    client.send(&connect(0xC6, &[id.as_bytes(), topic.as_bytes(), b"\0\xFF\xC3\x28", b"name", b"\0\xFF\xED\xA0\x80"]));
    client.expect(&crate::support::raw::connack(0, 0));
    client.abort();
    assert_eq!(watcher.take().payload, b"\0\xFF\xC3\x28");
}
