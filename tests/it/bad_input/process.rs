//! The binary under malformed input: its log and its memory.

use std::io::Write;

use super::clients::{Healthy, Raw, header, said_to, valid_session};
use crate::support::{
    malformed::MALFORMED,
    random::Random,
    raw::{Connect, Message, PINGREQ, PINGRESP, connack, subscribe},
    running::Running,
};

/// The binary with this in its configuration, behind `[limits]`.
fn start(limits: &str) -> Running {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "[limits]\n{limits}\n").unwrap();
    Running::start(&["--workers=2", "--config", file.path().to_str().unwrap()])
}

#[test]
fn the_log_names_the_broken_statement_of_a_malformed_packet() {
    // at debug no line is summed up
    let mut broker = start("[log]\nlevel = 'debug'");
    for row in MALFORMED {
        let mut bad = Raw::open(broker.addresses[0]);
        let is_connect = row.bytes[0] >> 4 == 1;
        if !is_connect {
            bad.send(&Connect::new("bad").frame());
            bad.read_exact(&connack(0, 0));
        }
        bad.send(row.bytes);
        let line = broker.reason(bad.address());
        // a server's packet from a client is invalid with any content
        let said = line.contains(row.error) && line.contains(&format!("[{}]", row.statement));
        assert!(said || line.contains("a client may not send"), "{}: {line}", row.name);
        assert_eq!(line.contains("client=bad"), !is_connect, "{line}");
    }
}

#[test]
fn the_log_has_the_reason_of_a_closed_connection() {
    let limits = "max_packet_size = 10000\nconnect_timeout = '300ms'\nwrite_timeout = '300ms'\n\
                  max_inflight_in = 1\nmax_queued_bytes = 10";
    let mut broker = start(limits);
    let connect = |id: &str| Connect::new(id).frame();
    let qos2 = |id| Message::new("topic", "payload").qos(2).id(id).frame();
    let cases: &[(&str, Vec<u8>, bool)] = &[
        ("limit of 10000", [connect("a"), header(0x30, 10_000)].concat(), false),
        ("a second CONNECT [MQTT-3.1.0-2]", [connect("a"), connect("a")].concat(), false),
        ("the first packet is not CONNECT [MQTT-3.1.0-1]", PINGREQ.to_vec(), false),
        (
            "no whole CONNECT (only 9 bytes) within the connect timeout (limits.connect_timeout)",
            connect("a")[..9].to_vec(),
            false,
        ),
        ("the client closed the connection without DISCONNECT", [connect("a"), vec![0x30]].concat(), true),
        ("the client sent DISCONNECT", [connect("a"), crate::support::raw::DISCONNECT.to_vec()].concat(), false),
        ("nothing received for 1.5 times the Keep Alive of 1 s", Connect::new("a").keep_alive(1).frame(), false),
        ("more than limits.max_queued_bytes wait", [connect("a"), qos2(1), qos2(2)].concat(), false),
    ];
    for (expected, bytes, end) in cases {
        let mut bad = Raw::open(broker.addresses[0]);
        bad.send(bytes);
        if *end {
            bad.end();
        }
        let line = broker.reason(bad.address());
        assert!(line.contains(expected), "{expected:?} is not in {line}");
    }

    let mut deaf = Raw::open(broker.addresses[0]);
    deaf.send(&[connect("deaf"), subscribe(1, &[("flood", 0)])].concat());
    let flood = Message::new("flood", &"x".repeat(9_000)).frame().repeat(100);
    let mut publisher = Raw::open(broker.addresses[0]);
    publisher.send(&[connect("publisher"), subscribe(1, &[("nothing", 0)])].concat());
    publisher.read_exact(&connack(0, 0));
    publisher.read_exact(&crate::support::raw::suback(1, &[0]));
    // 90 MB are more than any socket buffers hold
    for _ in 0..100 {
        publisher.send(&[&flood[..], PINGREQ].concat());
        publisher.read_exact(PINGRESP);
    }
    let line = broker.reason(deaf.address());
    assert!(line.contains("the client read nothing for limits.write_timeout while"), "{line}");
}

/// What memory may grow by although nothing is kept: the allocator's share.
const MARGIN: usize = 1 << 20;

#[test]
fn a_thousand_bad_connections_leak_no_memory() {
    let broker = start("");
    let mut healthy = Healthy::new(broker.addresses[0]);
    let mut random = Random::new(0xBAD);
    let session: Vec<u8> = valid_session("bad").into_iter().flat_map(|(packet, _)| packet).collect();
    let mut round = |count: usize| {
        for n in 0..count {
            let bytes = match n % 5 {
                0 => MALFORMED[n / 5 % MALFORMED.len()].bytes.to_vec(),
                1 => session[..random.below(session.len())].to_vec(),
                2 => [&Connect::new("bad").frame()[..], &header(0x30, 1_000_000), &[0; 200_000]].concat(),
                3 => [&Connect::new("bad").frame()[..], &header(0x30, 268_435_455), &[0; 100]].concat(),
                _ => random.bytes(1_000),
            };
            said_to(broker.addresses[0], &bytes);
        }
        healthy.exchange();
        broker.memory()
    };
    let warm = round(1_000);
    let after = round(1_000);
    assert!(after <= warm + MARGIN, "{warm} bytes after the first 1,000 bad connections, {after} after as many more");
}

#[test]
fn a_thousand_announcements_of_a_mebibyte_take_no_memory() {
    let broker = start("");
    let mut healthy = Healthy::new(broker.addresses[0]);
    let mut connected = Vec::new();
    for n in 0..1_000 {
        let mut liar = Raw::open(broker.addresses[0]);
        liar.send(&[&Connect::new(&format!("liar-{n}")).frame()[..], PINGREQ].concat());
        liar.read_exact(&connack(0, 0));
        liar.read_exact(PINGRESP);
        connected.push(liar);
    }
    healthy.exchange();
    let before = broker.memory();
    for liar in &mut connected {
        // the ping is answered before the rest is waited for
        liar.send(&[PINGREQ, &header(0x30, (1 << 20) - 4), b"\0\x01t and little more"].concat());
        liar.read_exact(PINGRESP);
    }
    healthy.exchange();
    let after = broker.memory();
    // 1 GB is announced, 20 kB are sent; a page for each connection and a margin
    assert!(after <= before + (4_096 << 10) + MARGIN, "{before} bytes before, {after} with 1,000 announcements");
    healthy.exchange();
}
