//! Section 2.2: the fixed header, and section 4.8: malformed packets close the connection.

use crate::support::raw::{
    Connect, Message, PINGREQ, PINGRESP, connack, frame, puback, pubcomp, pubrec, pubrel, subscribe,
};

/// Each packet that a client may send after CONNECT and whose flags are fixed, well-formed but for its flags.
fn fixed_flags(topic: &str) -> [(u8, Vec<u8>); 8] {
    [
        (0x0, puback(1)),
        (0x0, pubrec(1)),
        (0x2, pubrel(1)),
        (0x0, pubcomp(1)),
        (0x2, subscribe(1, &[(topic, 0)])),
        (0x2, crate::support::raw::unsubscribe(1, &[topic])),
        (0x0, PINGREQ.to_vec()),
        (0x0, crate::support::raw::DISCONNECT.to_vec()),
    ]
}

#[test]
fn mqtt_2_2_2_1_reserved_flags_of_sent_packets_are_as_listed() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.client("both"));
    // Whole frames are compared: SUBACK, PUBACK, PUBREC, PUBCOMP, UNSUBACK and PINGRESP with flags 0, PUBREL with 2.
    client.subscribe(&[(&topic, 2)]);
    client.unsubscribe(&[&topic]);
    client.publish(Message::new(&topic, "one").qos(1));
    client.publish(Message::new(&topic, "two").qos(2));
    client.expect_nothing_pending();
    let mut subscriber = case.client("sub");
    subscriber.subscribe(&[(&topic, 2)]);
    client.publish(Message::new(&topic, "three").qos(2));
    subscriber.expect_message(&topic, "three", 2);
}

#[test]
fn mqtt_2_2_2_2_invalid_flags_close() {
    let case = case!();
    for (valid, packet) in fixed_flags(&case.topic("t")) {
        for flags in (0..16).filter(|flags| *flags != valid) {
            let mut bad = packet.clone();
            bad[0] = bad[0] & 0xF0 | flags;
            case.assert_closes(&bad);
        }
    }
}

#[test]
fn mqtt_2_2_2_2_invalid_flags_of_connect_close() {
    let case = case!();
    for flags in 1..16 {
        let mut bad = Connect::new(&case.id("bad")).frame();
        bad[0] |= flags;
        case.assert_connect_closes(&bad);
    }
}

#[test]
fn mqtt_4_8_0_1_packets_that_only_servers_send_close() {
    let case = case!();
    for bad in [&[0x20, 2, 0, 0][..], &[0x90, 3, 0, 1, 0], &[0xB0, 2, 0, 1], PINGRESP] {
        case.assert_closes(bad);
    }
}

#[test]
fn mqtt_4_8_0_1_reserved_packet_types_close() {
    let case = case!();
    for bad in [[0x00, 0], [0x0F, 0], [0xF0, 0], [0xFF, 0]] {
        case.assert_closes(&bad);
        case.assert_connect_closes(&bad);
    }
}

#[test]
fn mqtt_4_8_0_1_other_clients_are_not_affected() {
    let case = case!();
    let (topic, mut subscriber) = (case.topic("t"), case.client("sub"));
    subscriber.subscribe(&[(&topic, 1)]);
    case.assert_closes(&[0xFF; 6]);
    case.assert_connect_closes(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(100)).as_bytes());
    case.client("pub").publish(Message::new(&topic, "still here").qos(1));
    subscriber.expect_message(&topic, "still here", 1);
}

#[test]
fn also_packets_of_a_wrong_length_close() {
    let case = case!();
    for first in [0x40, 0x50, 0x62, 0x70] {
        for body in [&[][..], &[1], &[0, 1, 0]] {
            case.assert_closes(&frame(first, body));
        }
    }
    case.assert_closes(&frame(0xC0, &[0]));
    case.assert_closes(&frame(0xE0, &[0]));
    // A PUBLISH that ends within its topic, or before its Packet Identifier.
    for (first, body) in [(0x30, &[][..]), (0x30, &[0]), (0x30, &[0, 5, b'a']), (0x32, &[0, 1, b'a', 0])] {
        case.assert_closes(&frame(first, body));
    }
    // A SUBSCRIBE without its QoS, or that ends within its filter, or within its Packet Identifier; so UNSUBSCRIBE.
    for body in [&[0, 1, 0, 1, b'a'][..], &[0, 1, 0, 2, b'a'], &[0, 1, 0], &[0]] {
        case.assert_closes(&frame(0x82, body));
    }
    for body in [&[0, 1, 0, 2, b'a'][..], &[0, 1, 0], &[0], &[0, 1, 0, 1, b'a', 0]] {
        case.assert_closes(&frame(0xA2, body));
    }
}

#[test]
fn also_remaining_length_of_five_bytes_closes() {
    let case = case!();
    case.assert_closes(&[0x30, 0x80, 0x80, 0x80, 0x80, 0x01]);
    case.assert_connect_closes(&[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]);
}

#[test]
fn also_remaining_length_of_every_width_arrives() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 1)]);
    // On both sides of each place where the Remaining Length takes one byte more.
    let head = topic.len() + 4;
    for length in [0, 127 - head, 128 - head, 16_383 - head, 16_384 - head, 500_000] {
        let payload = "x".repeat(length);
        publisher.publish(Message::new(&topic, &payload).qos(1));
        subscriber.expect_message(&topic, &payload, 1);
    }
}

#[test]
fn also_remaining_length_is_encoded_in_the_fewest_bytes() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 0)]);
    let plain = Message::new(&topic, "x").frame();
    let padded = [&[plain[0], plain[1] | 0x80, 0x80, 0x80, 0], &plain[2..]].concat();
    publisher.send(&padded);
    // the frame as it came: `read` would hide how its length was written
    let mut got = vec![0; plain.len()];
    subscriber.read_exact(&mut got);
    assert_eq!(got, plain);
}

#[test]
fn also_frames_arrive_however_they_are_cut() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.open());
    let connect = Connect::new(&case.id("cut")).frame();
    let stream = [connect, subscribe(1, &[(&topic, 0)]), Message::new(&topic, "cut").frame(), PINGREQ.to_vec()];
    for byte in stream.concat() {
        client.send(&[byte]);
    }
    client.expect(&connack(0, 0));
    // A message may go before the SUBACK (section 3.8.4), as it does when both packets were in one read.
    let mut rest = [(); 3].map(|()| client.expect_any().bytes());
    rest.sort();
    assert_eq!(rest, [Message::new(&topic, "cut").frame(), crate::support::raw::suback(1, &[0]), PINGRESP.to_vec()]);
}

#[test]
fn also_many_packets_in_one_write_are_all_handled() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 0)]);
    let message = |number: u16| Message::new(&topic, &number.to_string()).qos(1).id(number);
    let stream: Vec<u8> = (1..=90).flat_map(|number| message(number).frame()).collect();
    publisher.send(&stream);
    for number in 1..=90 {
        publisher.expect(&puback(number));
        assert_eq!(subscriber.receive().text(), number.to_string());
    }
    publisher.expect_nothing_pending();
}
