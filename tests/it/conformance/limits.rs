//! Statements that need a broker with special settings.

use std::time::Duration;

use dunlin::config::Limits;

use crate::support::raw::{Connect, Message};

#[test]
fn mqtt_3_1_3_9_rejected_client_identifier_gets_connack_2() {
    let Some(case) = case_with!(Limits { max_client_id_length: 23, ..Limits::default() }) else { return };
    let id = "0123456789abcdefghijklmn";
    case.connect(&Connect::new(&id[..23]), 0);
    for connect in [Connect::new(id), Connect::new(id).persistent()] {
        let mut client = case.open();
        client.send(&connect.frame());
        client.expect_refused(2);
    }
}

#[test]
fn also_connection_without_connect_is_closed() {
    let timeout = Duration::from_secs(60);
    let Some(case) = case_with!(Limits { connect_timeout: timeout, ..Limits::default() }) else { return };
    let (mut silent, mut slow) = (case.open(), case.open());
    slow.send(&Connect::new("slow").frame()[..9]);
    // It was accepted after the others.
    case.client("later").expect_nothing_pending();
    case.turn(timeout + Duration::from_secs(1));
    silent.expect_closed();
    slow.expect_closed();
    // One that has connected has no such deadline: the two above outlast it.
    let mut client = case.client("connected");
    let mut silent = case.open();
    case.client("latest").expect_nothing_pending();
    case.turn(2 * timeout);
    silent.expect_closed();
    client.expect_nothing_pending();
}

#[test]
fn also_packet_beyond_the_limit_closes() {
    let Some(case) = case_with!(Limits { max_packet_size: 1000, ..Limits::default() }) else { return };
    let (topic, mut client) = (case.topic("t"), case.client("pub"));
    // Fixed header of three bytes, topic with its length, Packet Identifier.
    let room = 1000 - 3 - 2 - topic.len() - 2;
    client.publish(Message::new(&topic, &"x".repeat(room)).qos(1));
    // The fixed header is enough to know.
    let beyond = Message::new(&topic, &"x".repeat(room + 1)).qos(1).id(1).frame();
    case.assert_closes(&beyond[..3]);
    case.assert_closes(&beyond);
    case.assert_closes(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
}

#[test]
fn also_the_window_is_configurable() {
    let Some(case) = case_with!(Limits { max_inflight_out: 2, ..Limits::default() }) else { return };
    let (topic, mut client, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    client.subscribe(&[(&topic, 1)]);
    for number in 1..=5 {
        publisher.publish(Message::new(&topic, &number.to_string()).qos(1));
    }
    let ids = [client.receive().id, client.receive().id];
    client.expect_nothing_pending();
    client.send(&crate::support::raw::puback(ids[1]));
    assert_eq!(client.receive().text(), "3");
    client.expect_nothing_pending();
}

#[test]
fn also_qos_0_is_queued_if_configured() {
    let Some(case) = case_with!(Limits { queue_qos0: true, ..Limits::default() }) else { return };
    let (topic, mut client) = (case.topic("t"), case.begin("sub"));
    client.subscribe(&[(&topic, 1)]);
    client.disconnect();
    case.client("pub").publish(Message::new(&topic, "QoS 0"));
    case.resume("sub").expect_message(&topic, "QoS 0", 0);
}
