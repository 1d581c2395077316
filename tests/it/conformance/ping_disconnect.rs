//! Sections 3.6.1, 3.12 and 3.14: PUBREL's flags, PINGREQ, DISCONNECT.

use crate::support::raw::{Connect, DISCONNECT, Message, PINGREQ, PINGRESP, pubrec};

#[test]
fn mqtt_3_6_1_1_pubrel_with_other_flags_closes() {
    let case = case!();
    for flags in (0..16).filter(|flags| *flags != 2) {
        let mut client = case.client(&format!("pub{flags}"));
        client.send(&Message::new(&case.topic("t"), "payload").qos(2).id(1).frame());
        client.expect(&pubrec(1));
        client.send(&[0x60 | flags, 2, 0, 1]);
        client.expect_closed();
    }
}

#[test]
fn mqtt_3_12_4_1_pingreq_gets_pingresp() {
    let case = case!();
    let mut client = case.client("pinging");
    for _ in 0..3 {
        client.send(PINGREQ);
        client.expect(&[0xD0, 0]);
    }
    client.send(&PINGREQ.repeat(50));
    for _ in 0..50 {
        client.expect(PINGRESP);
    }
}

#[test]
fn mqtt_3_14_1_1_disconnect_with_flags_is_malformed() {
    let case = case!();
    let (topic, mut watcher) = (case.topic("will"), case.client("watcher"));
    watcher.subscribe(&[(&topic, 1)]);
    for flags in 1..16 {
        // Both are followed by a close; the will tells them apart.
        let will = Message::new(&topic, &flags.to_string()).qos(1);
        let mut client = case.connect(&Connect::new(&case.id("leaving")).will(&will), 0);
        client.send(&[0xE0 | flags, 0]);
        client.expect_closed();
        watcher.expect_message(&topic, &flags.to_string(), 1);
    }
}

#[test]
fn also_disconnect_is_followed_by_a_close() {
    let case = case!();
    let mut client = case.client("leaving");
    client.send(DISCONNECT);
    client.expect_closed();
}

#[test]
fn also_packets_before_disconnect_are_processed() {
    let case = case!();
    let (topic, mut subscriber) = (case.topic("t"), case.client("sub"));
    subscriber.subscribe(&[(&topic, 0)]);
    let mut client = case.client("pub");
    client.send(&[Message::new(&topic, "last").frame(), DISCONNECT.to_vec()].concat());
    client.expect_closed();
    subscriber.expect_message(&topic, "last", 0);
}
