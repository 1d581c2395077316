//! The broker stops reading from a client only while the client's own answers wait for it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use dunlin::{config::Limits, router::Count};

use crate::support::{
    Broker, GUARD,
    raw::{Connect, Message, PINGREQ, PINGRESP, connack, narrow, puback, suback, subscribe},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A connected client as a bare socket.
fn bare(broker: &Broker, connect: &Connect) -> TcpStream {
    connected(TcpStream::connect(broker.address()).expect("the broker accepts connections"), connect)
}

fn connected(mut stream: TcpStream, connect: &Connect) -> TcpStream {
    stream.set_read_timeout(Some(GUARD)).expect("a read timeout");
    stream.write_all(&connect.frame()).expect("a CONNECT is sent");
    expect(&mut stream, &connack(0, 0));
    stream
}

#[track_caller]
fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).expect("an answer");
    assert_eq!(got, bytes);
}

#[test]
fn a_client_that_reads_its_answers_at_last_is_read_from_again() {
    let broker = Broker::limits(Limits { max_outbound_bytes: 10_000, ..Limits::default() });
    let mut late = connected(narrow(broker.address()), &Connect::new("late"));
    // it sends until nothing moves any more: the broker waits for it, and it for the broker
    let pings = PINGREQ.repeat(32 << 10);
    late.set_write_timeout(Some(Duration::from_millis(300))).expect("a write timeout");
    let mut sent = 0;
    while let Ok(n) = late.write(&pings[sent % 2..]) {
        sent += n;
    }
    expect(&mut late, &PINGRESP.repeat(sent / 2));
}

#[test]
fn a_slow_subscriber_s_own_packets_are_read() {
    // it does not read, and is not to be closed for that
    let limits = Limits { max_outbound_bytes: 1_000_000, write_timeout: 24 * HOUR, ..Limits::default() };
    let (broker, recorder) = Broker::observed(limits);
    let mut slow = bare(&broker, &Connect::new("slow").keep_alive(60));
    slow.write_all(&subscribe(1, &[("flood", 0)])).expect("a SUBSCRIBE is sent");
    expect(&mut slow, &suback(1, &[0]));
    let mut publisher = broker.client("pub");
    let mut dropped = 0;
    while broker.server.counters().get(Count::DroppedOutboundFull) < 10 {
        publisher.publish(Message::new("flood", &"x".repeat(5_000)));
        dropped += 1;
        assert!(dropped < 20_000, "a client that reads nothing gets everything");
    }
    // it sends packets for longer than its Keep Alive would allow silence
    for _ in 0..10 {
        recorder.take();
        slow.write_all(PINGREQ).expect("a PINGREQ is sent");
        recorder.wait_for("ping slow");
        broker.turn(MINUTE);
    }
    publisher.expect_nothing_pending();
    assert_eq!(recorder.lines("disconnect slow"), [""; 0]);
}

#[test]
fn a_client_that_never_ends_its_packet_is_silent() {
    let (broker, recorder) = Broker::observed(Limits::default());
    let mut slow = bare(&broker, &Connect::new("slow").keep_alive(60));
    // a PUBLISH of 4 KiB, a byte at a time
    send(&broker, &mut slow, &[0x30, 0x80, 0x20, 0, 1, b't']);
    for _ in 0..4_000 {
        if slow.write_all(b"x").is_err() || !recorder.lines("disconnect slow").is_empty() {
            break;
        }
        broker.turn(MINUTE / 60);
    }
    recorder.wait_for("disconnect slow");
    let lines = recorder.lines("disconnect slow");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("disconnect slow PacketTooSlow { keep_alive: 60, received: "), "{lines:?}");
    assert!(lines[0].ends_with(", expected: 4099 }"), "{lines:?}");
}

/// Sends `bytes`; the broker has read them when this returns, and no other client sends anything.
fn send(broker: &Broker, stream: &mut TcpStream, bytes: &[u8]) {
    let before = broker.count(Count::BytesReceived);
    stream.write_all(bytes).expect("the broker reads");
    broker.wait_for_count(Count::BytesReceived, before + bytes.len() as u64);
}

/// Sends `bytes` in pieces that take `time` in all.
fn trickle(broker: &Broker, stream: &mut TcpStream, bytes: &[u8], piece: usize, time: Duration) {
    for part in bytes.chunks(piece) {
        send(broker, stream, part);
        broker.turn(time.mul_f64(part.len() as f64 / bytes.len() as f64));
    }
}

#[test]
fn a_packet_may_take_longer_than_the_keep_alive_while_it_makes_progress() {
    let (broker, recorder) = Broker::observed(Limits::default());
    let mut subscriber = broker.client("sub");
    subscriber.subscribe(&[("large", 1)]);
    let mut slow = bare(&broker, &Connect::new("slow").keep_alive(60));
    // 3 KB in three Keep Alives, then one that is held in a buffer of its own
    for (size, minutes) in [(3_000, 3), (300_000, 2)] {
        let message = Message::new("large", &"x".repeat(size)).qos(1).id(1);
        trickle(&broker, &mut slow, &message.frame(), size / 60, minutes * MINUTE);
        expect(&mut slow, &puback(1));
        assert_eq!(subscriber.receive().payload.len(), size);
    }
    assert_eq!(recorder.lines("disconnect slow"), [""; 0]);
    // behind it, silence is silence
    broker.turn(2 * MINUTE);
    recorder.wait_for("disconnect slow");
    assert_eq!(recorder.lines("disconnect slow"), ["disconnect slow KeepAliveTimeout { keep_alive: 60 }"]);
}

#[test]
fn a_connect_gets_more_time_while_it_makes_progress() {
    let broker = Broker::limits(Limits::default());
    let will = Message::new("will", &"x".repeat(60_000));
    let connect = Connect::new("slow").will(&will).frame();
    let mut slow = TcpStream::connect(broker.address()).expect("the broker accepts connections");
    slow.set_read_timeout(Some(GUARD)).expect("a read timeout");
    trickle(&broker, &mut slow, &connect, 1000, 3 * Limits::default().connect_timeout);
    expect(&mut slow, &connack(0, 0));
    // at most six times the connect timeout, with any progress
    let mut stalls = TcpStream::connect(broker.address()).expect("the broker accepts connections");
    stalls.set_read_timeout(Some(GUARD)).expect("a read timeout");
    send(&broker, &mut stalls, &connect[..connect.len() - 1]);
    broker.turn(5 * Limits::default().connect_timeout);
    broker.turn(Limits::default().connect_timeout / 2);
    broker.turn(Duration::ZERO);
    broker.expect_counts(&[(Count::ConnectTimeouts, 0)]);
    broker.turn(Limits::default().connect_timeout);
    assert_eq!(stalls.read(&mut [0]).ok(), Some(0));
    broker.expect_counts(&[(Count::ConnectTimeouts, 1)]);
}
