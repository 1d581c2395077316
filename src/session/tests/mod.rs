//! Properties of a session under any behaviour of the link, and corner cases that random tests would not find.

mod five;
mod message;
mod pair;
mod queue;
mod resend;
mod will;

use std::time::Instant;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::topic::TopicName;
use pair::{Pair, decode, frames, frames_of};

// ---- random histories ----

#[derive(Clone, Copy, Debug)]
enum Step {
    Deliver(usize, QoS, usize),
    DeliverRetained(usize, QoS, usize),
    ClientPublishes(usize, QoS),
    ClientRepeats(usize),
    ClientReads(usize),
    ClientAnswers(usize),
    BrokerReads(usize),
    Block(usize),
    Disconnect(usize, usize),
    Connect,
}

fn step() -> impl Strategy<Value = Step> {
    let topic = || 0..3usize;
    let qos = || prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)];
    // the largest payload is large enough to be written from its place
    let padding = || prop_oneof![20 => 0..20usize, 2 => Just(300), 1 => Just(LARGE_PAYLOAD)];
    prop_oneof![
        12 => (topic(), qos(), padding()).prop_map(|(t, q, p)| Step::Deliver(t, q, p)),
        1 => (topic(), qos(), padding()).prop_map(|(t, q, p)| Step::DeliverRetained(t, q, p)),
        6 => (topic(), qos()).prop_map(|(t, q)| Step::ClientPublishes(t, q)),
        2 => (0..20usize).prop_map(Step::ClientRepeats),
        6 => (1..6usize).prop_map(Step::ClientReads),
        6 => (1..6usize).prop_map(Step::ClientAnswers),
        6 => (1..6usize).prop_map(Step::BrokerReads),
        1 => prop_oneof![Just(0), 1..500usize].prop_map(Step::Block),
        2 => (0..8usize, 0..8usize).prop_map(|(c, b)| Step::Disconnect(c, b)),
        3 => Just(Step::Connect),
    ]
}

fn any_limits() -> impl Strategy<Value = SessionLimits> {
    let bytes = prop_oneof![Just(40), Just(400), Just(100_000)];
    let outbound = prop_oneof![Just(60), Just(1_000), Just(100_000)];
    let queue_full = prop_oneof![Just(QueueFull::DropNewest), Just(QueueFull::DropOldest), Just(QueueFull::KeepLast)];
    (1..6usize, 1..4usize, 1..10usize, bytes, queue_full, any::<bool>(), outbound).prop_map(
        |(max_inflight_out, max_inflight_in, messages, bytes, queue_full, queue_qos0, max_outbound_bytes)| {
            SessionLimits {
                max_inflight_out,
                max_inflight_in,
                max_queued_messages: messages,
                max_queued_bytes: bytes.max(max_inflight_in * 100),
                queue_full,
                queue_qos0,
                max_outbound_bytes,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// QoS 1 at least once, QoS 2 exactly once, both ways; in order; no identifier twice; no more than the window; the
    /// queue exactly as its limits say; after a break all of it again, with DUP, in order, under the same identifiers.
    #[test]
    fn no_message_is_lost_repeated_or_reordered(limits in any_limits(), steps in vec(step(), 1..150)) {
        let mut pair = Pair::new(limits);
        for step in steps {
            match step {
                Step::Deliver(topic, qos, padding) => pair.deliver(topic, qos, padding),
                Step::DeliverRetained(topic, qos, padding) => pair.deliver_retained(topic, qos, padding),
                Step::ClientPublishes(topic, qos) => pair.client_publishes(topic, qos),
                Step::ClientRepeats(which) => pair.client_repeats(which),
                Step::ClientReads(n) => (0..n).for_each(|_| _ = pair.client_reads()),
                Step::ClientAnswers(n) => (0..n).for_each(|_| _ = pair.client_answers()),
                Step::BrokerReads(n) => (0..n).for_each(|_| _ = pair.broker_reads()),
                Step::Block(bytes) => pair.block(bytes),
                Step::Disconnect(client, broker) => pair.disconnect(client, broker),
                Step::Connect => pair.connect(),
            }
        }
        pair.finish();
    }
}

// ---- single cases ----

/// Messages and bytes that are queued or in flight.
fn backlog(session: &Session) -> (usize, usize) {
    let Backlog { messages, bytes, .. } = session.backlog();
    (messages, bytes)
}

const LIMITS: SessionLimits = SessionLimits {
    max_inflight_out: 4,
    max_inflight_in: 2,
    max_queued_messages: 3,
    max_queued_bytes: 100,
    queue_full: QueueFull::DropNewest,
    queue_qos0: false,
    max_outbound_bytes: 1 << 20,
};

/// Records what it is told; nothing is stored.
#[derive(Default)]
struct Told {
    /// QoS and bytes of payload.
    sent: Vec<(QoS, usize)>,
    dropped: Vec<Message>,
}

impl Journal for Told {
    fn sent(&mut self, _: &ClientId, message: &Message, qos: QoS, _: Way) {
        self.sent.push((qos, message.payload().len()));
    }

    fn dropped(&mut self, _: &ClientId, message: &Message, _: Gone) {
        self.dropped.push(message.clone());
    }

    fn changed(&mut self, _: SessionNumber, change: SessionChange<'_>) -> Stored {
        unreachable!("a session without a number has nothing to keep: {change:?}")
    }

    fn done(&self) -> CommitSeq {
        unreachable!("nothing waits")
    }
}

/// A session and its environment.
struct End {
    session: Session,
    limits: SessionLimits,
    pool: BufPool,
}

/// A turn of a session in this environment.
fn turn<'a, J: Journal>(limits: &'a SessionLimits, pool: &'a mut BufPool, journal: J) -> Turn<'a, J> {
    Turn { now: Instant::now(), limits, pool, journal }
}

impl End {
    /// The session, and a turn for it.
    fn parts(&mut self) -> (&mut Session, Turn<'_, ()>) {
        (&mut self.session, turn(&self.limits, &mut self.pool, ()))
    }

    fn new(limits: SessionLimits) -> Self {
        Self { session: Session::new("c".into(), Expiry::Never, None), limits, pool: BufPool::default() }
    }

    /// The packets that are sent at once after the connect.
    fn attach(&mut self) -> Vec<Vec<u8>> {
        let (session, mut turn) = self.parts();
        session.attach(&Welcome::plain(ProtocolVersion::V311, true), None, &mut turn);
        self.sent()
    }

    fn detach(&mut self) {
        let (session, mut turn) = self.parts();
        session.detach(&mut turn);
    }

    fn deliver(&mut self, payload: &[u8], qos: QoS) -> Delivery {
        self.deliver_to("t", payload, qos)
    }

    fn deliver_to(&mut self, topic: &str, payload: &[u8], qos: QoS) -> Delivery {
        let outgoing = Outgoing::new(TopicName::new(topic).unwrap(), payload, qos);
        let (session, mut turn) = self.parts();
        session.deliver(&outgoing, How::from(qos), &mut turn)
    }

    /// The payloads that the delivery of this one dropped from the queue.
    fn dropped(&mut self, payload: &str) -> Vec<String> {
        let outgoing = Outgoing::new(TopicName::new("t").unwrap(), payload.as_bytes(), QoS::AtLeastOnce);
        let mut turn = turn(&self.limits, &mut self.pool, Told::default());
        let how = How::from(QoS::AtLeastOnce);
        match self.session.deliver(&outgoing, how, &mut turn) {
            Delivery::Queued => {
                turn.journal.dropped.iter().map(|m| String::from_utf8(m.payload().to_vec()).unwrap()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Handles a packet. A message to be published counts as published.
    fn handle<'a>(&mut self, packet: Packet<'a>) -> Result<Action<'a>, ProtocolError> {
        let (session, mut turn) = self.parts();
        let action = session.handle_packet(packet, &mut turn);
        let published = match &action {
            Ok(Action::Publish(publish)) => publish.packet_id,
            Ok(Action::Complete(_, _, _, next)) => next.as_ref().map(|next| next.packet_id),
            _ => None,
        };
        if let Some(id) = published {
            assert_eq!(session.received(id, Stored::Done, &mut turn), Stored::Done);
        }
        action
    }

    fn defer(&mut self, deferred: Deferred) -> Result<(), ProtocolError> {
        let (session, turn) = self.parts();
        session.defer(deferred, &turn)
    }

    fn sent(&mut self) -> Vec<Vec<u8>> {
        let sent = self.session.take_out().map_or_else(Vec::new, |out| frames(*out));
        self.session.set_writing(0);
        sent
    }

    /// The client connects, and acknowledges messages of QoS 1 until no more arrive. Returns their payloads.
    fn all_messages(&mut self) -> Vec<String> {
        let (session, mut turn) = self.parts();
        session.attach(&Welcome::plain(ProtocolVersion::V311, true), None, &mut turn);
        let mut all = Vec::new();
        loop {
            let messages = self.messages();
            if messages.is_empty() {
                self.detach();
                return all;
            }
            for (packet_id, payload) in messages {
                all.push(String::from_utf8(payload).unwrap());
                assert_eq!(name(self.handle(Packet::Puback(id(packet_id).into()))), "none");
            }
        }
    }

    /// The identifiers and payloads of the sent messages.
    fn messages(&mut self) -> Vec<(u16, Vec<u8>)> {
        let sent = self.sent();
        let messages = sent.iter().filter_map(|frame| match decode(frame) {
            Packet::Publish(p) => Some((p.packet_id.map_or(0, PacketId::get), p.payload.to_vec())),
            _ => None,
        });
        messages.collect()
    }
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn publish(packet_id: u16, payload: &[u8]) -> Packet<'_> {
    Packet::Publish(Publish {
        dup: false,
        qos: QoS::ExactlyOnce,
        retain: false,
        topic: TopicName::new("t").unwrap(),
        packet_id: Some(id(packet_id)),
        payload,
        properties: Default::default(),
    })
}

/// A short text for an action.
fn name(action: Result<Action<'_>, ProtocolError>) -> String {
    match action {
        Ok(Action::None) => "none".into(),
        Ok(Action::Publish(p)) => format!("publish {}", p.packet_id.map_or(0, PacketId::get)),
        Ok(Action::Repeated(id)) => format!("repeated {id}"),
        Ok(Action::Defer(p)) => format!("defer {}", p.packet_id.map_or(0, PacketId::get)),
        Ok(Action::Complete(id, _, Stored::Done, None)) => format!("complete {id}"),
        Ok(Action::Complete(id, _, Stored::Done, Some(next))) => format!("complete {id}, publish {}", next.packet_id),
        Ok(Action::Release(id, _, Stored::Done)) => format!("release {id}"),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("error: {error:?}"),
    }
}

#[test]
fn identifiers_wrap_around_a_message_that_is_never_acknowledged() {
    let mut end = End::new(LIMITS);
    end.attach();
    // the first takes identifier 1 and keeps it
    assert!(matches!(end.deliver(b"old", QoS::AtLeastOnce), Delivery::Sent));
    assert_eq!(end.messages(), [(1, b"old".to_vec())]);
    for n in 0..2 * 65_534 + 10_u32 {
        assert!(matches!(end.deliver(&n.to_be_bytes(), QoS::AtLeastOnce), Delivery::Sent));
        let expected = u16::try_from(n % 65_534 + 2).unwrap();
        assert_eq!(end.messages(), [(expected, n.to_be_bytes().to_vec())], "1 is passed over, and nothing else");
        assert_eq!(name(end.handle(Packet::Puback(id(expected).into()))), "none");
    }
    assert_eq!(backlog(&end.session), (1, 0));
    // it is sent first, with its identifier, when the client reconnects
    assert!(matches!(end.deliver(b"new", QoS::AtLeastOnce), Delivery::Sent));
    end.detach();
    let again = end.attach();
    assert_eq!(again.len(), 3);
    for (frame, (packet_id, payload)) in again[1..].iter().zip([(1, &b"old"[..]), (12, b"new")]) {
        let Packet::Publish(p) = decode(frame) else { panic!("{frame:02x?}") };
        assert_eq!((p.dup, p.packet_id, p.payload), (true, Some(id(packet_id)), payload));
    }
    for packet_id in [1, 12] {
        assert_eq!(name(end.handle(Packet::Puback(id(packet_id).into()))), "none");
    }
    assert_eq!(backlog(&end.session), (0, 0));
}

#[test]
fn a_message_still_being_published_is_not_acknowledged_or_repeated() {
    let mut end = End::new(LIMITS);
    end.attach();
    let receive = |end: &mut End| {
        let (session, mut turn) = end.parts();
        session.handle_packet(publish(7, b"x"), &mut turn).map(|action| matches!(action, Action::Publish(_)))
    };
    assert_eq!(receive(&mut end), Ok(true));
    // another connection of the same client
    end.detach();
    end.attach();
    assert_eq!(receive(&mut end), Err(ProtocolError::StillPublishing));
    // it was refused: the next one is the first
    end.session.refuse(id(7));
    assert_eq!(name(end.handle(publish(7, b"x"))), "publish 7");
    assert_eq!(name(end.handle(publish(7, b"x"))), "repeated 7");
    // a published message stays published
    end.session.refuse(id(7));
    assert_eq!(name(end.handle(publish(7, b"x"))), "repeated 7");
}

#[test]
fn a_window_of_all_identifiers_uses_each_once() {
    let mut end = End::new(SessionLimits { max_inflight_out: 65_535, ..LIMITS });
    end.attach();
    for packet_id in 1..=65_535 {
        assert!(matches!(end.deliver(b"", QoS::ExactlyOnce), Delivery::Sent));
        // still in flight, and a sign that the client accepts messages
        assert_eq!(name(end.handle(Packet::Pubrec(id(packet_id).into()))), format!("release {packet_id}"));
    }
    assert_eq!(end.dropped("waits"), [""; 0]);
    let mut ids: Vec<u16> = end.messages().into_iter().map(|(id, _)| id).collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(1..=65_535));
    // the only free identifier is used
    assert_eq!(name(end.handle(Packet::Pubcomp(id(40_000).into()))), "none");
    assert_eq!(end.messages(), [(40_000, b"waits".to_vec())]);
}

#[test]
fn the_window_opens_to_a_client_that_acknowledges() {
    let mut end = End::new(SessionLimits { max_inflight_out: 30, max_queued_messages: 100, ..LIMITS });
    end.attach();
    for n in 1..=50 {
        let sent = matches!(end.deliver(b"", QoS::AtLeastOnce), Delivery::Sent);
        assert_eq!(sent, n <= 20, "message {n}");
    }
    let mut sent = end.messages().len();
    for n in 1..=20 {
        end.handle(Packet::Puback(id(n).into())).unwrap();
        sent += end.messages().len();
        assert_eq!(sent, if n < 20 { 20 + usize::from(n) } else { 50 }, "after {n} acknowledgements");
    }
    // the next connection begins anew
    (0..50).for_each(|_| _ = end.deliver(b"", QoS::AtLeastOnce));
    end.detach();
    assert_eq!(end.attach().len(), 1 + 30, "CONNACK, and what was in flight is sent again");
    (21..=39).for_each(|n| _ = end.handle(Packet::Puback(id(n).into())));
    assert_eq!(end.messages().len(), 9, "20 again");
}

#[test]
fn a_full_queue_drops_by_count_and_by_bytes_as_configured() {
    // three messages, 100 bytes with the topic's one byte each
    let [big, too_big] = ["x".repeat(60), "y".repeat(100)];
    type Deliveries<'a> = &'a [(&'a str, &'a [&'a str])];
    let (newest, oldest) = (QueueFull::DropNewest, QueueFull::DropOldest);
    let cases: [(QueueFull, Deliveries<'_>); 4] = [
        (newest, &[("a", &[]), ("b", &[]), ("c", &[]), ("d", &["d"]), ("e", &["e"])]),
        (oldest, &[("a", &[]), ("b", &[]), ("c", &[]), ("d", &["a"]), ("e", &["b"])]),
        (newest, &[("a", &[]), (&big, &[]), (&big, &[&big]), (&too_big, &[&too_big]), ("b", &[])]),
        (oldest, &[("a", &[]), (&big, &[]), (&big, &["a", &big]), (&too_big, &[&too_big]), ("b", &[])]),
    ];
    for (queue_full, deliveries) in cases {
        let mut end = End::new(SessionLimits { queue_full, ..LIMITS });
        let mut left = Vec::new();
        for (payload, expected) in deliveries {
            left.push(payload.to_string());
            assert_eq!(end.dropped(payload), *expected, "{payload}, {queue_full:?}");
            expected.iter().for_each(|gone| left.remove(left.iter().position(|l| l == gone).unwrap()).clear());
        }
        assert_eq!(backlog(&end.session), (left.len(), left.iter().map(|l| l.len() + 1).sum()));
    }
    // exact to the byte
    let mut end = End::new(LIMITS);
    assert_eq!(end.dropped(&"x".repeat(99)), [""; 0]);
    assert_eq!(end.dropped(""), [""]);
}

#[test]
fn acknowledgements_fit_the_message_or_end_the_connection() {
    let mut end = End::new(LIMITS);
    end.attach();
    assert!(matches!(end.deliver(b"", QoS::AtLeastOnce), Delivery::Sent));
    assert!(matches!(end.deliver(b"", QoS::ExactlyOnce), Delivery::Sent));
    for (packet, expected) in [
        (Packet::Pubrec(id(1).into()), "error: WrongAcknowledgement(1)"),
        (Packet::Pubcomp(id(1).into()), "error: WrongAcknowledgement(1)"),
        (Packet::Puback(id(2).into()), "error: WrongAcknowledgement(2)"),
        (Packet::Pubcomp(id(2).into()), "error: WrongAcknowledgement(2)"),
        // not in flight: not an error after a lost session
        (Packet::Puback(id(3).into()), "none"),
        (Packet::Pubrec(id(3).into()), "release 3"),
        (Packet::Pubcomp(id(65_535).into()), "none"),
        (Packet::Pubrec(id(2).into()), "release 2"),
        (Packet::Pubrec(id(2).into()), "release 2"),
        (Packet::Puback(id(2).into()), "error: WrongAcknowledgement(2)"),
        (Packet::Pubcomp(id(2).into()), "none"),
        (Packet::Puback(id(1).into()), "none"),
        (Packet::Puback(id(1).into()), "none"),
    ] {
        assert_eq!(name(end.handle(packet.clone())), expected, "{packet:?}");
    }
    assert_eq!(backlog(&end.session), (0, 0));
}

#[test]
fn qos_2_from_the_client_is_published_once_and_waits_beyond_the_window() {
    let mut end = End::new(LIMITS);
    end.attach();
    let steps = |end: &mut End, steps: &[(Packet<'static>, &str)]| {
        for (packet, expected) in steps {
            let action = end.handle(packet.clone());
            if let Ok(Action::Defer(publish)) = &action {
                let message = Message::new(publish.topic, publish.payload, publish.qos);
                let packet_id = publish.packet_id.unwrap();
                let deferred = Deferred { packet_id, retain: false, message, may: None };
                end.defer(deferred).unwrap();
            }
            assert_eq!(name(action), *expected, "{packet:?}");
        }
    };
    let pubrel = |packet_id| Packet::Pubrel(id(packet_id).into());
    steps(
        &mut end,
        &[
            (publish(1, b""), "publish 1"),
            (publish(1, b""), "repeated 1"),
            (publish(2, b""), "publish 2"),
            (publish(3, b""), "defer 3"),
            (publish(4, b""), "defer 4"),
            // no PUBREC for a waiting message, however often it arrives
            (publish(3, b""), "none"),
            (publish(2, b""), "repeated 2"),
            // not taken yet: its release frees no place
            (pubrel(3), "complete 3"),
            (pubrel(2), "complete 2, publish 3"),
            (publish(3, b""), "repeated 3"),
            // the identifier is free again; its message is a new one, after the waiting ones
            (publish(2, b""), "defer 2"),
            (pubrel(2), "complete 2"),
        ],
    );
    // taken messages stay taken over a reconnect; the client sends waiting ones again
    end.detach();
    end.attach();
    steps(
        &mut end,
        &[
            (publish(1, b""), "repeated 1"),
            (publish(3, b""), "repeated 3"),
            (publish(4, b""), "defer 4"),
            (pubrel(1), "complete 1, publish 4"),
            (pubrel(1), "complete 1"),
            (pubrel(3), "complete 3"),
            (pubrel(4), "complete 4"),
            (publish(4, b""), "publish 4"),
        ],
    );
}

#[test]
fn waiting_messages_of_a_client_are_bounded_in_bytes() {
    let mut end = End::new(LIMITS);
    let mut defer = |packet_id, payload: &[u8]| {
        let message = Message::new(TopicName::new("t").unwrap(), payload, QoS::ExactlyOnce);
        end.defer(Deferred { packet_id: id(packet_id), retain: false, message, may: None })
    };
    assert_eq!(defer(1, &[0; 49]), Ok(()));
    assert_eq!(defer(2, &[0; 49]), Ok(()));
    assert_eq!(defer(3, b""), Err(ProtocolError::TooManyUnreleased));
}

#[test]
fn a_full_window_asks_for_no_buffer() {
    let mut end = End::new(SessionLimits { max_inflight_out: 1, ..LIMITS });
    end.attach();
    assert!(matches!(end.deliver(b"", QoS::AtLeastOnce), Delivery::Sent));
    assert_eq!(end.dropped("waits"), [""; 0]);
    assert_eq!(end.sent().len(), 1);
    let (session, mut turn) = end.parts();
    session.fill(&mut turn);
    assert!(end.session.take_out().is_none(), "there is nothing to write");
}

#[test]
fn a_clean_session_keeps_no_message_that_is_in_flight() {
    let mut end = End::new(LIMITS);
    end.session = Session::new("c".into(), Expiry::WithConnection, None);
    end.attach();
    assert!(matches!(end.deliver(b"", QoS::AtLeastOnce), Delivery::Sent));
    end.sent();
    assert_eq!(name(end.handle(Packet::Puback(id(1).into()))), "none");
    end.detach();
    assert!(end.session.outbound.is_none(), "an idle session of a client that is away holds no table");
}

#[test]
fn waiting_messages_keep_their_order_when_the_window_grows() {
    let mut end = End::new(SessionLimits { max_inflight_in: 1, ..LIMITS });
    end.attach();
    assert_eq!(name(end.handle(publish(1, b""))), "publish 1");
    let message = Message::new(TopicName::new("t").unwrap(), b"", QoS::ExactlyOnce);
    assert_eq!(name(end.handle(publish(2, b""))), "defer 2");
    end.defer(Deferred { packet_id: id(2), retain: false, message, may: None }).unwrap();
    // after a reload
    end.limits.max_inflight_in = 10;
    assert_eq!(name(end.handle(publish(3, b""))), "defer 3");
    assert_eq!(name(end.handle(Packet::Pubrel(id(1).into()))), "complete 1, publish 2");
}

#[test]
fn a_published_message_no_longer_counts_as_waiting() {
    let mut end = End::new(SessionLimits { max_inflight_in: 1, ..LIMITS });
    end.attach();
    let payload = [0; 60];
    assert_eq!(name(end.handle(publish(1, b""))), "publish 1");
    for packet_id in 2..10 {
        assert_eq!(name(end.handle(publish(packet_id, &payload))), format!("defer {packet_id}"));
        let message = Message::new(TopicName::new("t").unwrap(), &payload, QoS::ExactlyOnce);
        let deferred = Deferred { packet_id: id(packet_id), retain: false, message, may: None };
        assert_eq!(end.defer(deferred), Ok(()));
        let released = name(end.handle(Packet::Pubrel(id(packet_id - 1).into())));
        assert_eq!(released, format!("complete {}, publish {packet_id}", packet_id - 1));
    }
}

#[test]
fn qos_0_does_not_overtake_a_queued_retained_message() {
    let mut end = End::new(SessionLimits { max_inflight_out: 1, ..LIMITS });
    end.attach();
    assert!(matches!(end.deliver(b"in flight", QoS::AtLeastOnce), Delivery::Sent));
    let retained = Message::new(TopicName::new("t").unwrap(), b"retained", QoS::AtLeastOnce);
    let (session, mut turn) = end.parts();
    assert!(session.deliver_retained(&retained, QoS::AtLeastOnce.into(), None, usize::MAX, &mut turn));
    assert!(matches!(end.deliver(b"newer", QoS::AtMostOnce), Delivery::Queued));
    assert_eq!(end.messages(), [(1, b"in flight".to_vec())]);
    assert_eq!(name(end.handle(Packet::Puback(id(1).into()))), "none");
    assert_eq!(end.messages(), [(2, b"retained".to_vec()), (0, b"newer".to_vec())]);
}

#[test]
fn retained_messages_that_are_looked_up_in_steps_come_in_front_of_newer_messages() {
    let mut end = End::new(LIMITS);
    end.attach();
    assert!(matches!(end.deliver(b"older", QoS::AtMostOnce), Delivery::Sent));
    let before = end.session.last_number();
    end.session.wait_for_suback(before);
    let mut numbers = end.session.reserve_numbers(3);
    for (step, payload) in [b"first", b"other"].into_iter().enumerate() {
        let newer = format!("newer {step}");
        assert!(matches!(end.deliver(newer.as_bytes(), QoS::AtMostOnce), Delivery::Queued));
        let retained = Message::new(TopicName::new("t").unwrap(), payload, QoS::AtMostOnce);
        let (session, mut turn) = end.parts();
        assert!(session.deliver_retained(&retained, QoS::AtMostOnce.into(), numbers.next(), 2, &mut turn));
        assert!(!session.deliver_retained(&retained, QoS::AtMostOnce.into(), None, step + 1, &mut turn));
    }
    assert_eq!(end.messages(), [(0, b"older".to_vec())]);
    let (session, mut turn) = end.parts();
    session.suback_sent(before, &mut turn);
    let messages = ["first", "other", "newer 0", "newer 1"].map(|payload| (0, payload.as_bytes().to_vec()));
    assert_eq!(end.messages(), messages);
    assert_eq!(end.session.backlog(), Backlog::default());
}
