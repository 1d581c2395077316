//! Wrong lengths, and the limit on the length of a packet.

use std::time::Duration;

use dunlin::{config::Limits, router::Count};

use super::clients::{Healthy, Raw, broker, header};
use crate::support::{
    raw::{Connect, Message, PINGREQ, PINGRESP, connack},
    running::accepted,
};

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn more_than_the_limit_closes_before_it_is_sent() {
    let broker = broker(Limits { max_packet_size: 10_000, ..Limits::default() });
    let mut healthy = Healthy::new(broker.address());
    // the header alone: nothing but its length can be what closes
    let too_long = [10_001 - 3, 1 << 20, 268_435_455];
    for length in too_long {
        let mut bad = accepted(broker.address(), "bad");
        bad.send(&header(0x30, length));
        bad.expect_closed();
        healthy.exchange();
    }
    assert_eq!(broker.count(Count::PacketsTooLarge), too_long.len() as u64);

    // to the byte
    let mut good = accepted(broker.address(), "good");
    let message = Message::new("t", &"x".repeat(10_000 - 3 - 3));
    assert_eq!(message.frame().len(), 10_000);
    good.publish(message);
}

#[test]
fn a_first_packet_other_than_connect_is_refused_by_its_first_byte() {
    let broker = broker(Limits { connect_timeout: HOUR, ..Limits::default() });
    for first in [0x30, 0x32, 0x40, 0x62, 0x82, 0xA2, 0xC0, 0xE0] {
        // were its length believed, the rest of it would be waited for
        let mut bad = Raw::open(broker.address());
        bad.send(&[first]);
        assert_eq!(bad.read_to_end(), b"", "{first:#x}");
    }
    assert_eq!(broker.count(Count::ProtocolErrors), 8);
}

#[test]
fn a_thousand_incomplete_packets_delay_no_other_client() {
    let broker = broker(Limits::default());
    let mut healthy = Healthy::new(broker.address());
    let mut liars = Vec::new();
    for n in 0..1_000 {
        let mut liar = Raw::open(broker.address());
        let mut bytes = Connect::new(&format!("liar-{n}")).frame();
        bytes.extend_from_slice(PINGREQ);
        bytes.extend(header(0x30, (1 << 20) - 4));
        bytes.extend_from_slice(b"\0\x01t and little more");
        liar.send(&bytes);
        liar.read_exact(&connack(0, 0));
        liar.read_exact(PINGRESP);
        liars.push(liar);
        if n % 50 == 0 {
            healthy.exchange();
        }
    }
    healthy.exchange();
    for mut liar in liars {
        liar.end();
        assert_eq!(liar.read_to_end(), b"");
    }
    healthy.exchange();
    assert_eq!(broker.count(Count::PacketsTooLarge) + broker.count(Count::ProtocolErrors), 0);
}
