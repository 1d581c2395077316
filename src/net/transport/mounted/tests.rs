//! Packets with and without their prefix, however they are cut.

use super::{incoming::Incoming, outgoing::Outgoing};

const CONNECT: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01c";
const CONNECT_5: &[u8] = b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01c";

/// What the broker hears of these bytes, whose client has the prefix `mp/`.
fn heard(bytes: &[u8], cut: usize) -> Vec<u8> {
    let (mut incoming, mut out) = (Incoming::new("mp/".into(), 1000), Vec::new());
    bytes.chunks(cut).for_each(|part| incoming.hear(part, &mut out));
    out
}

/// Packets behind a CONNECT, and what the broker hears of them.
#[track_caller]
fn hears(connect: &[u8], packets: &[u8], expected: &[u8]) {
    let bytes = [connect, packets].concat();
    for cut in 1..=bytes.len() {
        assert_eq!(heard(&bytes, cut), [connect, expected].concat(), "{packets:?} in parts of {cut}");
    }
}

#[test]
fn topics_and_filters_of_a_client_have_the_prefix() {
    hears(CONNECT, b"\x30\x05\0\x01a12\xc0\0", b"\x30\x08\0\x04mp/a12\xc0\0");
    hears(CONNECT, b"\x3d\x07\0\x01a\0\x0712\x62\x02\0\x07", b"\x3d\x0a\0\x04mp/a\0\x0712\x62\x02\0\x07");
    // a Remaining Length that grows by a byte
    let long = [&b"\x30\x7f\0\x01a"[..], &[7; 124]].concat();
    hears(CONNECT, &long, &[&b"\x30\x82\x01\0\x04mp/a"[..], &[7; 124]].concat());
    hears(CONNECT, b"\x82\x0a\0\x01\0\x01#\x01\0\x01b\x02", b"\x82\x10\0\x01\0\x04mp/#\x01\0\x04mp/b\x02");
    hears(CONNECT, b"\xa2\x05\0\x01\0\x01#", b"\xa2\x08\0\x01\0\x04mp/#");
    hears(CONNECT_5, b"\x82\x08\0\x01\x02\x0b\x05\0\0\0", b"\x82\x08\0\x01\x02\x0b\x05\0\0\0");
    hears(CONNECT_5, b"\x82\x09\0\x01\x02\x0b\x05\0\x01#\x02", b"\x82\x0c\0\x01\x02\x0b\x05\0\x04mp/#\x02");
    hears(CONNECT_5, b"\xa2\x06\0\x01\0\0\x01#", b"\xa2\x09\0\x01\0\0\x04mp/#");
    // a Topic Alias
    hears(CONNECT_5, b"\x30\x07\0\0\x03\x23\0\x01x", b"\x30\x07\0\0\x03\x23\0\x01x");
    hears(CONNECT_5, b"\x30\x08\0\x01a\x03\x23\0\x01x", b"\x30\x0b\0\x04mp/a\x03\x23\0\x01x");
    // a shared subscription is of what is behind the prefix
    hears(CONNECT, b"\x82\x0f\0\x01\0\x0a$share/g/a\x01", b"\x82\x12\0\x01\0\x0d$share/g/mp/a\x01");
    // what is wrong stays wrong
    hears(CONNECT, b"\x82\x0e\0\x01\0\x09$share/g/\x01", b"\x82\x05\0\x01\0\0\x01");
    hears(CONNECT, b"\x82\x0d\0\x01\0\x08$share/g\x01", b"\x82\x05\0\x01\0\0\x01");
    hears(CONNECT, b"\xe0\0", b"\xe0\0");
}

#[test]
fn so_has_a_will() {
    let will: &[u8] = b"\x10\x13\0\x04MQTT\x04\x06\0\x3c\0\x01c\0\x01w\0\x01x\x30\x03\0\x01a";
    let expected: &[u8] = b"\x10\x16\0\x04MQTT\x04\x06\0\x3c\0\x01c\0\x04mp/w\0\x01x\x30\x06\0\x04mp/a";
    let five: &[u8] = b"\x10\x17\0\x04MQTT\x05\x06\0\x3c\x02\x19\x01\0\0\0\0\x01w\0\x01x\xc0\0";
    let expected_5: &[u8] = b"\x10\x1a\0\x04MQTT\x05\x06\0\x3c\x02\x19\x01\0\0\0\0\x04mp/w\0\x01x\xc0\0";
    // its fields end where the packet does
    let five = [&five[..1], &[0x15], &five[2..]].concat();
    let expected_5 = [&expected_5[..1], &[0x18], &expected_5[2..]].concat();
    for cut in 1..will.len() {
        assert_eq!(heard(will, cut), expected, "in parts of {cut}");
        assert_eq!(heard(&five, cut), expected_5, "in parts of {cut}");
    }
}

#[test]
fn what_cannot_be_right_ends_the_connection() {
    // a topic that is longer than its packet; filters cut short; a topic that has no room for the prefix
    let wrong: [&[u8]; 5] = [
        b"\x30\x04\0\x05ab",
        b"\x82\x05\0\x01\0\x07a",
        b"\x82\x05\0\x01\0\x01a",
        b"\x30\x01\0",
        b"\x30\xff\xff\xff\xff\x01",
    ];
    for packet in wrong {
        hears(CONNECT, &[packet, b"\x30\x03\0\x01a"].concat(), &[0, 0]);
    }
    let long = [&b"\x30\x82\x80\x04\xff\xff"[..], &vec![b'a'; 65_536]].concat();
    assert_eq!(heard(&[CONNECT, &long].concat(), 1000), [CONNECT, &[0, 0]].concat());
    // larger than the broker takes, which is 1004 with the prefix: it knows from the fixed header
    let large = [&b"\x82\xe8\x07"[..], &[0; 1000]].concat();
    assert_eq!(heard(&[CONNECT, &large].concat(), 100), [CONNECT, b"\x82\xec\x07"].concat());
    // another protocol, and packets before a CONNECT, are for the broker to refuse
    for other in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x30\x03\0\x01a", b"\xff\xff\xff\xff\xff\xff"] {
        assert_eq!(heard(other, 3), other);
    }
}

#[test]
fn the_largest_packet_is_that_of_the_client() {
    // 1000 bytes, and 1003 with the prefix
    let publish = |length: usize| {
        let first = [0x30, (length & 0x7F) as u8 | 0x80, (length >> 7) as u8];
        [&first[..], b"\0\x01a", &vec![7; length - 3]].concat()
    };
    let expected = [&b"\x30\xe8\x07\0\x04mp/a"[..], &[7; 994]].concat();
    assert_eq!(heard(&[CONNECT_5, &publish(997)].concat(), 100), [CONNECT_5, &expected].concat());
    assert_eq!(expected.len(), 1003);
    // one byte more is more than this client was told
    let too_long = [CONNECT_5, b"\x30\xec\x07"].concat();
    assert_eq!(heard(&[CONNECT_5, &publish(998)].concat(), 100), too_long);
}

#[test]
fn short_filters_do_not_grow_without_bound() {
    for (connect, first, filter) in [(CONNECT, 0xA2, &b"\0\x01a"[..]), (CONNECT_5, 0x82, b"\0\x01a\x01")] {
        let filters = filter.repeat(900 / filter.len());
        let properties: &[u8] = if connect == CONNECT { &[] } else { &[0] };
        let body = [b"\0\x01", properties, &filters].concat();
        let packet = [&[first, (body.len() & 0x7F) as u8 | 0x80, (body.len() >> 7) as u8][..], &body].concat();
        let prefix = "p".repeat(9_999) + "/";
        let (mut incoming, mut out) = (Incoming::new(prefix.as_str().into(), 1000), Vec::new());
        incoming.hear(&[connect, &packet].concat(), &mut out);
        // a fixed header that the broker refuses
        assert_eq!(out[connect.len()..], [first, 0xf9, 0x55], "{first:#x}");
        assert!(out.capacity() < 10 * 1000, "{} bytes", out.capacity());
        assert!(incoming.has_ended());
    }
}

#[test]
fn a_client_does_not_see_the_prefix() {
    let packets: [(&[u8], &[u8]); 7] = [
        (b"\x20\x02\0\0", b"\x20\x02\0\0"),
        (b"\x30\x08\0\x04mp/a12", b"\x30\x05\0\x01a12"),
        (b"\x3b\x0a\0\x04mp/a\0\x0112", b"\x3b\x07\0\x01a\0\x0112"),
        (b"\x30\x07\0\0\x03\x23\0\x01x", b"\x30\x07\0\0\x03\x23\0\x01x"),
        // of a session that began on another listener
        (b"\x30\x04\0\x02ab", b"\x30\x04\0\x02ab"),
        (b"\x30\x05\0\x03mp/", b"\x30\x05\0\x03mp/"),
        (b"\xd0\0", b"\xd0\0"),
    ];
    let long = [&b"\x30\x82\x01\0\x04mp/a"[..], &[7; 124]].concat();
    let written = [packets.map(|(packet, _)| packet).concat(), long].concat();
    let expected = [packets.map(|(_, packet)| packet).concat(), b"\x30\x7f\0\x01a".to_vec(), vec![7; 124]].concat();
    for cut in 1..=written.len() {
        let (mut outgoing, mut out) = (Outgoing::new("mp/".into()), Vec::new());
        written.chunks(cut).for_each(|part| outgoing.write(part, &mut out));
        assert_eq!(out, expected, "in parts of {cut}");
    }
}
