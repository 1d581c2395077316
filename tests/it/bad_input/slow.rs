//! Clients that stall, trickle, or do not read.

use std::time::Duration;

use dunlin::{config::Limits, router::Count};

use super::clients::{Healthy, Raw, broker, header, valid_session};
use crate::support::{
    raw::{self, Client, Connect, Message, PINGREQ, PINGRESP, connack, subscribe},
    running::accepted,
};

#[test]
fn a_client_that_sends_byte_by_byte_is_served() {
    let broker = broker(Limits::default());
    let mut healthy = Healthy::new(broker.address());
    let mut slow = Raw::open(broker.address());
    for (packet, answer) in valid_session("slow") {
        for byte in packet {
            slow.send(&[byte]);
            // its only thread has served others since: this byte was read alone
            healthy.exchange();
        }
        slow.read_exact(&answer);
    }
    assert_eq!(slow.read_to_end(), b"");
    assert_eq!(broker.count(Count::ProtocolErrors), 0);
}

#[test]
fn a_client_that_stalls_before_connect_is_closed() {
    let broker = broker(Limits::default());
    let mut healthy = Healthy::new(broker.address());
    let connect = Connect::new("stalls").frame();
    let stalled: Vec<Raw> = [0, 1, 2, connect.len() - 1]
        .into_iter()
        .map(|sent| {
            let mut raw = Raw::open(broker.address());
            raw.send(&connect[..sent]);
            raw
        })
        .collect();
    // a client that sends a byte now and then gains nothing
    let mut trickle = Raw::open(broker.address());
    trickle.send(&header(0x10, 70_000));
    trickle.send(&connect[2..]);
    while trickle.send(&[0]) {
        healthy.exchange();
        broker.turn(Duration::from_secs(1));
    }
    for mut raw in stalled {
        assert_eq!(raw.read_to_end(), b"");
    }
    healthy.exchange();
    assert_eq!(broker.count(Count::ConnectTimeouts), 5);
}

#[test]
fn a_client_that_never_reads_delays_no_other_and_is_closed() {
    let limits = Limits { max_outbound_bytes: 100_000, max_queued_messages: 10, ..Limits::default() };
    let broker = broker(limits.clone());
    let mut healthy = Healthy::new(broker.address());
    let mut watcher = accepted(broker.address(), "watcher");
    watcher.subscribe(&[("end", 0)]);

    let mut deaf = Client::open(broker.address());
    deaf.send(&Connect::new("deaf").will(&Message::new("end", "of deaf")).frame());
    deaf.send(&subscribe(1, &[("flood", 1)]));
    deaf.expect(&connack(0, 0));
    deaf.expect(&raw::suback(1, &[1]));

    // QoS 0 is dropped and counted, QoS 1 is queued as far as the limit goes; each publish is answered
    let mut publisher = accepted(broker.address(), "publisher");
    let payload = "x".repeat(30_000);
    let mut published = 0;
    while broker.count(Count::DroppedOutboundFull) < 10 || broker.count(Count::DroppedQueueFull) < 10 {
        publisher.publish(Message::new("flood", &payload));
        publisher.publish(Message::new("flood", "").qos(1));
        published += 1;
        assert!(published < 10_000, "300 MB were sent to a client that does not read");
    }
    healthy.exchange();
    broker.turn_until(limits.write_timeout, || broker.count(Count::WriteTimeouts) > 0);
    // its Will shows that it was closed
    watcher.expect_message("end", "of deaf", 0);
    assert_eq!(broker.count(Count::WriteTimeouts), 1);
    healthy.exchange();
    publisher.publish(Message::new("flood", &payload));
    drop(deaf);
}

#[test]
fn a_client_that_reads_no_answers_is_not_read_and_is_closed() {
    let limits = Limits { max_outbound_bytes: 100_000, ..Limits::default() };
    let broker = broker(limits.clone());
    let mut healthy = Healthy::new(broker.address());
    let mut greedy = Raw::open(broker.address());
    greedy.send(&Connect::new("greedy").frame());
    let pings = PINGREQ.repeat(50_000);
    // ends when the broker has closed; the broker reads only as much as it can answer
    let sender = std::thread::spawn(move || {
        let mut blocks: u64 = 0;
        while greedy.send(&pings) {
            blocks += 1;
            assert!(blocks < 10_000, "1 GB of requests was read of a client that does not read the answers");
        }
    });
    broker.turn_until(limits.write_timeout, || broker.count(Count::WriteTimeouts) > 0);
    sender.join().expect("its sends have failed");
    assert_eq!(broker.count(Count::WriteTimeouts), 1);
    assert_eq!(PINGRESP.len(), PINGREQ.len());
    assert!(broker.count(Count::BytesReceived) <= broker.count(Count::BytesSent) + 100_000 + (1 << 20));
    healthy.exchange();
}
