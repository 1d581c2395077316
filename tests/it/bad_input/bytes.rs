//! Bytes that are not MQTT, or almost MQTT.

use dunlin::{config::Limits, router::Count};

use super::clients::{Healthy, broker, said_to, valid_session};
use crate::support::{
    malformed::MALFORMED,
    random::Random,
    raw::{Client, Connect, connack},
    running::accepted,
};

#[test]
fn each_malformed_packet_closes_its_connection_alone() {
    let broker = broker(Limits::default());
    let mut healthy = Healthy::new(broker.address());
    for row in MALFORMED {
        let is_connect = row.bytes[0] >> 4 == 1;
        let mut bad = if is_connect { Client::open(broker.address()) } else { accepted(broker.address(), "bad") };
        bad.context = row.name.to_owned();
        bad.send(row.bytes);
        if row.statement == "MQTT-3.1.2-2" {
            bad.expect_refused(1);
        } else {
            bad.expect_closed();
        }
        healthy.exchange();
    }
    assert_eq!(broker.count(Count::ProtocolErrors), MALFORMED.len() as u64);
}

#[test]
fn a_session_cut_after_any_byte_is_answered_as_far_as_it_went() {
    let broker = broker(Limits::default());
    let mut healthy = Healthy::new(broker.address());
    let packets = valid_session("cut");
    let bytes: Vec<u8> = packets.iter().flat_map(|(packet, _)| packet.clone()).collect();
    for cut in 0..=bytes.len() {
        let (mut end, mut expected) = (0, Vec::new());
        for (packet, answer) in &packets {
            end += packet.len();
            if end <= cut {
                expected.extend_from_slice(answer);
            }
        }
        assert_eq!(said_to(broker.address(), &bytes[..cut]), expected, "cut after {cut} bytes");
        if cut % 8 == 0 {
            healthy.exchange();
        }
    }
    healthy.exchange();
    assert_eq!(broker.count(Count::ProtocolErrors), 0);
}

#[test]
fn a_flipped_bit_affects_no_other_client() {
    let broker = broker(Limits::default());
    let mut healthy = Healthy::new(broker.address());
    let bytes: Vec<u8> = valid_session("flipped").into_iter().flat_map(|(packet, _)| packet).collect();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // the answers do not matter, only that the connection ends
        said_to(broker.address(), &flipped);
        if bit % 32 == 0 {
            healthy.exchange();
        }
    }
    healthy.exchange();
    assert!(broker.count(Count::ProtocolErrors) > 100, "many of these are violations");
}

#[test]
fn random_bytes_affect_no_other_client() {
    let broker = broker(Limits::default());
    let mut healthy = Healthy::new(broker.address());
    let mut random = Random::new(0x5EED);
    for round in 0..1_500 {
        let mut bytes = random.bytes(400);
        if round % 3 > 0 {
            // a client's packet with a length that fits, so that more than the header is looked at
            let first = [0x30, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70, 0x82, 0xA2][random.below(9)];
            let mut frame = crate::support::raw::frame(first, &bytes);
            frame.append(&mut bytes);
            let connect = Connect::new(&format!("random-{}", round % 7)).frame();
            bytes = [connect, frame].concat();
        }
        let answer = said_to(broker.address(), &bytes);
        assert!(round % 3 == 0 || answer.starts_with(&connack(0, 0)), "round {round}");
        if round % 50 == 0 {
            healthy.exchange();
        }
    }
    healthy.exchange();
    assert!(broker.count(Count::ProtocolErrors) > 1_000, "almost all of these are violations");
}
