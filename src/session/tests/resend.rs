//! Messages in flight when the client reconnects.

use super::*;

/// A session of a client that is away: `count` messages of `size` bytes in flight, each third of them released, and a
/// message that waits after them.
fn with_inflight(count: u64, size: usize) -> Session {
    let message = |n: u64| Message::new(TopicName::new("t").unwrap(), &payload(n, size), QoS::ExactlyOnce);
    let state = |n: u64| match n {
        n if n > count => RestoredState::Queued {
            message: message(n),
            qos: QoS::AtLeastOnce,
            retain: false,
            shared: false,
            identifiers: Default::default(),
        },
        n if n % 3 == 0 => RestoredState::Released { sent: n },
        n => RestoredState::Sent {
            sent: n,
            message: message(n),
            qos: QoS::ExactlyOnce,
            retain: false,
            shared: false,
            identifiers: Default::default(),
        },
    };
    let messages = (1..=count + 1).map(|number| RestoredMessage { number, state: state(number) }).collect();
    Session::restore("c".into(), SessionNumber(std::num::NonZeroU64::MIN), messages, [])
}

fn payload(number: u64, size: usize) -> Vec<u8> {
    [&number.to_be_bytes()[..], &vec![0; size - 8]].concat()
}

#[test]
fn messages_in_flight_are_resent_in_order_with_back_pressure() {
    // in one buffer with others, and written from their place
    for size in [1_000, LARGE_PAYLOAD] {
        const COUNT: u64 = 2_000;
        let mut end = End::new(SessionLimits { max_inflight_out: 5_000, max_outbound_bytes: 30_000, ..LIMITS });
        end.session = with_inflight(COUNT, size);
        let (session, mut turn) = end.parts();
        session.attach(&Welcome::plain(ProtocolVersion::V311, true), None, &mut turn);
        let (mut sent, mut buffers) = (Vec::new(), 0);
        loop {
            assert!(end.session.pending() <= 30_000 + size + 20, "{} bytes at once", end.session.pending());
            let frames = end.sent();
            if frames.is_empty() {
                break;
            }
            sent.extend(frames);
            buffers += 1;
            let (session, mut turn) = end.parts();
            session.fill(&mut turn);
        }
        assert!(buffers > 30, "{buffers}");
        // the queued message waits for a place in the window
        assert_eq!(sent.len() as u64, 1 + COUNT);
        for (frame, n) in sent[1..].iter().zip(1..) {
            match decode(frame) {
                Packet::Pubrel(ack) => assert_eq!((ack.packet_id, n % 3), (packet_ids::of(n), 0)),
                Packet::Publish(p) => {
                    let expected = (true, Some(packet_ids::of(n)), &payload(n, size)[..]);
                    assert!(
                        (p.dup, p.packet_id, p.payload) == expected,
                        "message {n}: DUP {}, {:?}",
                        p.dup,
                        p.packet_id
                    );
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn acknowledged_or_unreadable_messages_are_not_resent() {
    let mut end = End::new(SessionLimits { max_inflight_out: 100, max_outbound_bytes: 2_000, ..LIMITS });
    end.session = with_inflight(9, 1_000);
    let (session, mut turn) = end.parts();
    session.attach(&Welcome::plain(ProtocolVersion::V311, true), None, &mut turn);
    // 1 and 2 are being sent; the client may at once acknowledge messages of the earlier connection
    assert_eq!(name(end.handle(Packet::Pubrec(id(4).into()))), "release 4");
    assert_eq!(name(end.handle(Packet::Pubcomp(id(4).into()))), "none");
    assert_eq!(name(end.handle(Packet::Pubcomp(id(9).into()))), "none");
    let before = backlog(&end.session);
    // 5, 7, 8 in flight and 10 in the queue; sent messages are not skipped
    assert_eq!((end.session.skip_unreadable(|_| false), end.session.skipped()), (4, 4));
    assert_eq!(backlog(&end.session), before);
    let mut ids = Vec::new();
    loop {
        let frames = end.sent();
        if frames.is_empty() {
            break;
        }
        ids.extend(frames.iter().filter_map(|frame| match decode(frame) {
            Packet::Publish(p) => p.packet_id.map(PacketId::get),
            Packet::Pubrel(ack) => Some(ack.packet_id.get()),
            _ => None,
        }));
        let (session, mut turn) = end.parts();
        session.fill(&mut turn);
    }
    assert_eq!(ids, [1, 2, 3, 6]);
    // nothing precedes a new message
    assert!(matches!(end.deliver(b"new", QoS::AtLeastOnce), Delivery::Sent));
    assert_eq!(end.messages(), [(10, b"new".to_vec())]);
    // the right is back: messages in flight are sent again with their identifiers, then queued ones
    assert_eq!(end.session.skip_unreadable(|_| true), 0);
    let mut again = Vec::new();
    loop {
        let (session, mut turn) = end.parts();
        session.fill(&mut turn);
        let frames = end.sent();
        if frames.is_empty() {
            break;
        }
        again.extend(frames.iter().map(|frame| match decode(frame) {
            Packet::Publish(p) => (p.packet_id.map(PacketId::get), p.dup),
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(again, [(Some(5), true), (Some(7), true), (Some(8), true), (Some(11), false)]);
    assert_eq!((end.session.skipped(), end.session.waits_for(&end.limits)), (0, None));
}

#[test]
fn a_client_that_disconnects_during_a_resend_gets_all_again() {
    let mut end = End::new(SessionLimits { max_inflight_out: 100, max_outbound_bytes: 2_000, ..LIMITS });
    end.session = with_inflight(9, 1_000);
    for _ in 0..3 {
        let (session, mut turn) = end.parts();
        session.attach(&Welcome::plain(ProtocolVersion::V311, true), None, &mut turn);
        assert_eq!(end.messages().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2]);
        end.detach();
    }
    assert_eq!(end.session.backlog().messages, 10);
}

#[test]
fn no_message_in_flight_has_the_identifiers_that_a_relay_uses_for_other_packets() {
    let session = with_inflight(9, 10);
    let free: Vec<_> = session.free_relay_ids().map(|id| u64::from(id.get())).collect();
    // those that messages get last are the first
    assert_eq!(free[..3], [65_535, 65_534, 65_533]);
    assert_eq!((free.len() as u64, free.iter().min()), (packet_ids::COUNT - 9, Some(&10)));
    let fresh = Session::new("c".into(), Expiry::WithConnection, None);
    assert_eq!(fresh.free_relay_ids().take(2).map(|id| id.get()).collect::<Vec<_>>(), [65_535, 65_534]);
}
