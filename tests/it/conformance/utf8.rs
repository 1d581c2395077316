//! Section 1.5.3: UTF-8 encoded strings.

use crate::support::raw::{Message, connect, frame, text};

/// Overlong, a surrogate, beyond U+10FFFF, never a byte of UTF-8, cut short.
const ILL_FORMED: [&[u8]; 6] =
    [&[0xC0, 0xAF], &[0xED, 0xA0, 0x80], &[0xF4, 0x90, 0x80, 0x80], &[0xFF], &[0xE2, 0x82], &[b'a', 0x80, b'b']];

const NULL: [&[u8]; 3] = [b"\0", b"a\0b", b"a\0"];

fn publish(topic: &[u8]) -> Vec<u8> {
    frame(0x30, &[&text(topic)[..], b"payload"].concat())
}

fn subscribe(filter: &[u8]) -> Vec<u8> {
    frame(0x82, &[&[0, 1], &text(filter)[..], &[0]].concat())
}

fn unsubscribe(filter: &[u8]) -> Vec<u8> {
    frame(0xA2, &[&[0, 1], &text(filter)[..]].concat())
}

#[test]
fn mqtt_1_5_3_1_ill_formed_text_closes() {
    let case = case!();
    for bad in ILL_FORMED {
        case.assert_closes(&publish(bad));
        case.assert_closes(&subscribe(bad));
        case.assert_closes(&unsubscribe(bad));
    }
}

#[test]
fn mqtt_1_5_3_1_ill_formed_text_in_connect_closes() {
    let case = case!();
    for bad in ILL_FORMED {
        case.assert_connect_closes(&connect(0x02, &[bad]));
        case.assert_connect_closes(&connect(0x06, &[b"utf8bad", bad, b"will"]));
        case.assert_connect_closes(&connect(0x82, &[b"utf8bad", bad]));
    }
}

#[test]
fn mqtt_1_5_3_2_null_closes() {
    let case = case!();
    for bad in NULL {
        case.assert_closes(&publish(bad));
        case.assert_closes(&subscribe(bad));
        case.assert_closes(&unsubscribe(bad));
    }
}

#[test]
fn mqtt_1_5_3_2_null_in_connect_closes() {
    let case = case!();
    for bad in NULL {
        case.assert_connect_closes(&connect(0x02, &[bad]));
        case.assert_connect_closes(&connect(0x06, &[b"utf8null", bad, b"will"]));
        case.assert_connect_closes(&connect(0x82, &[b"utf8null", bad]));
    }
}

#[test]
fn mqtt_1_5_3_3_byte_order_mark_is_kept() {
    let case = case!();
    let (mut subscriber, mut publisher) = (case.client("sub"), case.client("pub"));
    // At the very beginning, where a decoder might take it for an encoding mark, and in the middle.
    let (plain, marked) = (case.topic("ab"), format!("\u{FEFF}{}", case.topic("a\u{FEFF}b")));
    subscriber.subscribe(&[(&marked, 1)]);
    publisher.publish(Message::new(&plain, "plain").qos(1));
    publisher.publish(Message::new(&case.topic("a\u{FEFF}b"), "half").qos(1));
    publisher.publish(Message::new(&marked, "marked").qos(1));
    subscriber.expect_message(&marked, "marked", 1);
}

#[test]
fn also_text_of_every_width_arrives_as_sent() {
    let case = case!();
    let (mut subscriber, mut publisher) = (case.client("sub"), case.client("pub"));
    let topic = case.topic("a/é/€/𝄞/\u{10FFFD}/ ");
    subscriber.subscribe(&[(&topic, 1)]);
    publisher.publish(Message::new(&topic, "payload").qos(1));
    subscriber.expect_message(&topic, "payload", 1);
}
