//! Sections 3.1.0, 3.1.3 and 3.1.4: CONNECT, its payload, and the response to it.

use crate::support::raw::{Connect, Message, PINGREQ, connack, connect, frame, subscribe};

#[test]
fn mqtt_3_1_0_1_first_packet_other_than_connect_closes() {
    let case = case!();
    let topic = case.topic("t");
    let publish = Message::new(&topic, "too early").retain();
    for early in
        [publish.frame(), subscribe(1, &[(&topic, 0)]), PINGREQ.to_vec(), crate::support::raw::DISCONNECT.to_vec()]
    {
        case.assert_connect_closes(&early);
    }
    assert_eq!(case.retained(&topic, 0), []);
}

#[test]
fn mqtt_3_1_0_2_second_connect_closes() {
    let case = case!();
    let connect = Connect::new(&case.id("twice"));
    let mut client = case.connect(&connect, 0);
    client.send(&connect.frame());
    client.expect_closed();
}

#[test]
fn mqtt_3_1_0_2_second_connect_behind_a_publish_to_its_name_closes() {
    let case = case!();
    let mut watcher = case.client("watcher");
    watcher.subscribe(&[("MQTT", 0)]);
    let connect = Connect::new(&case.id("twice")).user("name", "password");
    let mut client = case.connect(&connect, 0);
    // a broker may remember the last topic, and a CONNECT begins with the bytes of this one
    client.publish(Message::new("MQTT", "first"));
    client.send(&connect.frame());
    client.expect_closed();
    watcher.expect_message("MQTT", "first", 0);
    watcher.expect_nothing_pending();
}

#[test]
fn mqtt_3_1_0_2_second_connect_publishes_the_will() {
    let case = case!();
    let (topic, mut watcher) = (case.topic("will"), case.client("watcher"));
    watcher.subscribe(&[(&topic, 0)]);
    let connect = Connect::new(&case.id("twice")).will(&Message::new(&topic, "violated"));
    let mut client = case.connect(&connect, 0);
    client.send(&connect.frame());
    client.expect_closed();
    watcher.expect_message(&topic, "violated", 0);
}

#[test]
fn mqtt_3_1_3_1_payload_fields_are_read_in_their_order() {
    let case = case!();
    let (topic, mut watcher) = (case.topic("will"), case.client("watcher"));
    watcher.subscribe(&[(&topic, 0)]);
    // The will shows where each field was found; the id shows itself in the takeover.
    let fields = [case.id("ordered"), topic.clone(), "the will".to_owned(), "name".to_owned(), "word".to_owned()];
    let mut client = case.open();
    client.send(&connect(0xC6, &fields.each_ref().map(|field| field.as_bytes())));
    client.expect(&connack(0, 0));
    let _taker = case.client("ordered");
    client.expect_closed();
    watcher.expect_message(&topic, "the will", 0);
}

#[test]
fn mqtt_3_1_3_2_client_identifier_identifies_the_session() {
    let case = case!();
    let (first, second) = (case.topic("first"), case.topic("second"));
    let mut client = case.begin("first");
    client.subscribe(&[(&first, 1)]);
    client.disconnect();
    let mut client = case.begin("second");
    client.subscribe(&[(&second, 1)]);
    client.disconnect();

    let mut publisher = case.client("pub");
    publisher.publish(Message::new(&first, "for the first").qos(1));
    publisher.publish(Message::new(&second, "for the second").qos(1));
    let mut client = case.resume("first");
    client.expect_message(&first, "for the first", 1);
    client.expect_nothing_pending();
    let mut client = case.resume("second");
    client.expect_message(&second, "for the second", 1);
    client.expect_nothing_pending();
}

#[test]
fn mqtt_3_1_3_3_missing_client_identifier_closes() {
    let case = case!();
    case.assert_connect_closes(&connect(0x02, &[]));
    // One byte of its length, and a length with fewer bytes behind it.
    case.assert_connect_closes(&frame(0x10, b"\0\x04MQTT\x04\x02\0\0\0"));
    case.assert_connect_closes(&frame(0x10, b"\0\x04MQTT\x04\x02\0\0\0\x05four"));
}

#[test]
fn mqtt_3_1_3_4_client_identifier_that_is_not_utf8_closes() {
    case!().assert_connect_closes(&connect(0x02, &[b"id\xC3\x28"]));
}

#[test]
fn mqtt_3_1_3_5_ids_of_1_to_23_letters_and_digits_are_allowed() {
    const ALL: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let case = case!();
    for start in 0..ALL.len() {
        case.connect(&Connect::new(&ALL[start..=start]), 0);
    }
    for length in 1..=23 {
        case.connect(&Connect::new(&ALL[..length]), 0);
        case.connect(&Connect::new(&ALL[ALL.len() - length..]), 0);
    }
}

#[test]
fn mqtt_3_1_3_6_empty_id_gets_a_unique_id() {
    let case = case!();
    let topic = case.topic("t");
    let empty = Connect::new("");
    let (mut first, mut second) = (case.connect(&empty, 0), case.connect(&empty, 0));
    // Neither has taken over the other, and each has its own session.
    first.subscribe(&[(&topic, 1)]);
    second.publish(Message::new(&topic, "payload").qos(1));
    second.expect_nothing_pending();
    first.expect_message(&topic, "payload", 1);
}

#[test]
fn mqtt_3_1_3_8_empty_id_with_clean_session_0_is_rejected() {
    let case = case!();
    let mut client = case.open();
    client.send(&Connect::new("").persistent().frame());
    client.expect_refused(2);
}

#[test]
fn mqtt_3_1_3_10_will_topic_that_is_not_utf8_closes() {
    case!().assert_connect_closes(&connect(0x06, &[b"badwilltopic", b"a/\xC3\x28", b"will"]));
}

#[test]
fn mqtt_3_1_3_11_user_name_that_is_not_utf8_closes() {
    case!().assert_connect_closes(&connect(0x82, &[b"badusername", b"name\xC3\x28"]));
}

#[test]
fn mqtt_3_1_4_1_malformed_connect_closes_without_connack() {
    let case = case!();
    // Ends after each byte of a good one; and goes on after the end.
    let good = Connect::new("malformed").frame();
    for length in 0..good.len() - 2 {
        case.assert_connect_closes(&frame(0x10, &good[2..2 + length]));
    }
    case.assert_connect_closes(&frame(0x10, &[&good[2..], b"x"].concat()));
}

#[test]
fn mqtt_3_1_4_2_same_client_id_closes_the_existing_client() {
    let case = case!();
    let mut first = case.client("same");
    let mut second = case.client("same");
    first.expect_closed();
    second.expect_nothing_pending();
}

#[test]
fn mqtt_3_1_4_3_clean_session_is_processed() {
    let case = case!();
    let topic = case.topic("t");
    let connect = Connect::new(&case.id("sub"));
    let mut client = case.begin("sub");
    client.subscribe(&[(&topic, 1)]);
    client.disconnect();
    let mut client = case.connect(&connect, 0);
    case.client("pub").publish(Message::new(&topic, "for nobody").qos(1));
    client.expect_nothing_pending();
    client.disconnect();
    case.begin("sub").expect_nothing_pending();
}

#[test]
fn mqtt_3_1_4_4_valid_connect_gets_connack_0() {
    let case = case!();
    let mut client = case.open();
    client.send(&Connect::new(&case.id("valid")).user("name", "word").keep_alive(60).frame());
    client.expect(&[0x20, 2, 0, 0]);
}

#[test]
fn mqtt_3_1_4_5_nothing_after_a_rejected_connect_is_processed() {
    let case = case!();
    let topic = case.topic("t");
    let retained = Message::new(&topic, "after the refusal").retain();
    let mut client = case.open();
    client.send(&[Connect::new("").persistent().frame(), retained.frame()].concat());
    client.expect_refused(2);
    assert_eq!(case.retained(&topic, 0), []);
}

#[test]
fn also_packets_before_connack_are_served() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.open());
    // Section 3.1.4: a client need not wait for CONNACK.
    client.send(&[Connect::new(&case.id("eager")).frame(), subscribe(1, &[(&topic, 0)])].concat());
    client.expect(&connack(0, 0));
    client.expect(&crate::support::raw::suback(1, &[0]));
}

#[test]
fn also_ids_of_1_and_of_65535_bytes_are_served() {
    let case = case!();
    case.connect(&Connect::new("\u{21}"), 0).expect_nothing_pending();
    let longest = format!("{:z<65535}", case.id("long"));
    let mut first = case.connect(&Connect::new(&longest), 0);
    first.expect_nothing_pending();
    // All of its bytes count.
    let mut other = case.connect(&Connect::new(&longest[..65534]), 0);
    other.expect_nothing_pending();
    first.expect_nothing_pending();
    case.connect(&Connect::new(&longest), 0);
    first.expect_closed();
}

#[test]
fn also_takeover_publishes_the_will_of_the_first() {
    let case = case!();
    let (topic, mut watcher) = (case.topic("will"), case.client("watcher"));
    watcher.subscribe(&[(&topic, 1)]);
    let will = Message::new(&topic, "taken over").qos(1);
    let mut first = case.connect(&Connect::new(&case.id("same")).will(&will), 0);
    let _second = case.client("same");
    first.expect_closed();
    watcher.expect_message(&topic, "taken over", 1);
}
