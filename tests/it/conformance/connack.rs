//! Section 3.2: CONNACK.

use crate::support::raw::{Connect, Message, connect};

#[test]
fn mqtt_3_2_0_1_first_packet_is_connack() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.begin("sub"));
    client.subscribe(&[(&topic, 1)]);
    client.disconnect();
    case.client("pub").publish(Message::new(&topic, "waiting").qos(1));
    // The message waits already, but CONNACK goes first.
    case.resume("sub").expect_message(&topic, "waiting", 1);
}

#[test]
fn mqtt_3_2_2_1_clean_session_has_no_session_present() {
    let case = case!();
    case.begin("sub").disconnect();
    case.connect(&Connect::new(&case.id("sub")), 0);
    // Nor where the stored session's client is connected still.
    let _connected = case.begin("other");
    case.connect(&Connect::new(&case.id("other")), 0);
}

#[test]
fn mqtt_3_2_2_2_stored_session_is_present() {
    let case = case!();
    case.begin("sub").disconnect();
    case.resume("sub").disconnect();
    case.resume("sub").abort();
    // Taken over while connected, and for the third time.
    let mut connected = case.resume("sub");
    let _taker = case.resume("sub");
    connected.expect_closed();
}

#[test]
fn mqtt_3_2_2_3_no_stored_session_is_not_present() {
    let case = case!();
    case.client("clean").disconnect();
    case.begin("clean").disconnect();
    // A clean session ends the stored one.
    case.client("clean").disconnect();
    case.begin("clean");
}

#[test]
fn mqtt_3_2_2_3_taken_over_clean_session_is_not_present() {
    let case = case!();
    let mut clean = case.client("same");
    let _taker = case.begin("same");
    clean.expect_closed();
}

#[test]
fn mqtt_3_2_2_4_refusal_has_no_session_present() {
    let case = case!();
    case.begin("sub").disconnect();
    let mut client = case.open();
    client.send(&Connect::new(&case.id("sub")).persistent().protocol("MQTT", 100).frame());
    client.expect(&[0x20, 2, 0, 1]);
}

#[test]
fn mqtt_3_2_2_5_refusal_is_followed_by_a_close() {
    let case = case!();
    for refused in [Connect::new("").persistent(), Connect::new(&case.id("level")).protocol("MQTT", 100)] {
        let mut client = case.open();
        client.send(&refused.frame());
        assert_ne!(client.expect_any().body[1], 0);
        client.expect_closed();
    }
}

#[test]
fn mqtt_3_2_2_6_without_a_fitting_code_the_connection_closes_silently() {
    // There is no return code for a Will QoS of 3.
    case!().assert_connect_closes(&connect(0x1E, &[b"nocodefits", b"topic", b"will"]));
}
