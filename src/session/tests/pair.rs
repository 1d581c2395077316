//! The broker's side and a client's side of one session, and a link between them that may break after any packet and
//! lose packets. [`Pair`] has a model of the session's state, and compares after each step.

use std::collections::{BTreeSet, VecDeque};

use super::*;
use crate::{
    codec::{Ack, Cut, PublishFlags},
    topic::TopicName,
};

/// Topics of messages.
const TOPICS: [&str; 3] = ["a", "b/c", "d"];

/// The number of a message, with which its payload begins.
pub(super) type Number = u32;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Waiting {
    number: Number,
    qos: QoS,
    retain: bool,
    topic: usize,
    size: usize,
}

/// A message that the session sent and that is not completed.
#[derive(Clone, Copy, Debug)]
struct Flight {
    number: Number,
    qos: QoS,
    retain: bool,
    /// Known once its bytes were seen.
    id: Option<PacketId>,
    released: bool,
}

/// Messages that the client received or the broker published: number, topic, QoS.
type Log = Vec<(Number, usize, QoS)>;

/// A message of the client that is not completed.
#[derive(Clone, Debug)]
struct Own {
    id: PacketId,
    number: Number,
    qos: QoS,
    released: bool,
}

pub(super) struct Pair {
    session: Session,
    pub limits: SessionLimits,
    pool: BufPool,
    numbers: Number,
    /// The socket accepts nothing: this many bytes of earlier output are unwritten.
    blocked: usize,
    // the expected state of the session
    queue: VecDeque<Waiting>,
    inflight: VecDeque<Flight>,
    /// QoS 2 messages of the client that were published and not released.
    taken: BTreeSet<PacketId>,
    published: Log,
    delivered: Log,
    dropped: BTreeSet<Number>,
    // the link, packet by packet
    to_client: VecDeque<Vec<u8>>,
    to_broker: VecDeque<Vec<u8>>,
    // the client
    answers: VecDeque<Vec<u8>>,
    unreleased: BTreeSet<PacketId>,
    received: Log,
    own: Vec<Own>,
    sent: Log,
    last_id: u16,
}

impl Pair {
    /// A connected session.
    pub fn new(limits: SessionLimits) -> Self {
        let mut pair = Self {
            session: Session::new("c".into(), Expiry::Never, None),
            limits,
            pool: BufPool::default(),
            numbers: 0,
            blocked: 0,
            queue: VecDeque::new(),
            inflight: VecDeque::new(),
            taken: BTreeSet::new(),
            published: Vec::new(),
            delivered: Vec::new(),
            dropped: BTreeSet::new(),
            to_client: VecDeque::new(),
            to_broker: VecDeque::new(),
            answers: VecDeque::new(),
            unreleased: BTreeSet::new(),
            received: Vec::new(),
            own: Vec::new(),
            sent: Vec::new(),
            last_id: 0,
        };
        pair.connect();
        pair
    }

    fn next_number(&mut self) -> Number {
        self.numbers += 1;
        self.numbers
    }

    // ---- the broker: the actions of router and connection ----

    /// Delivers a message to the session.
    pub fn deliver(&mut self, topic: usize, qos: QoS, padding: usize) {
        let number = self.next_number();
        let payload = payload(number, padding);
        let topic_name = TopicName::new(TOPICS[topic]).unwrap();
        let outgoing = Outgoing::new(topic_name, &payload, QoS::ExactlyOnce);
        let (size, pending) = (outgoing.size(), self.session.pending());
        let full = pending > 0 && pending + size > self.limits.max_outbound_bytes;
        self.delivered.push((number, topic, qos));
        let mut turn = turn(&self.limits, &mut self.pool, Told::default());
        match self.session.deliver(&outgoing, How::from(qos), &mut turn) {
            Delivery::Sent | Delivery::SentFive => {
                assert!(self.session.is_connected() && !full);
                if qos != QoS::AtMostOnce {
                    assert_eq!(self.queue, [], "{number} overtakes what waits");
                    self.inflight.push_back(Flight { number, qos, retain: false, id: None, released: false });
                }
            }
            Delivery::TooLarge => panic!("a client of MQTT 3.1.1 says no size"),
            Delivery::Inside => panic!("its client is not within the process"),
            Delivery::Queued => {
                let window_full = self.inflight.len() >= self.limits.max_inflight_out;
                assert!(!self.session.is_connected() || full || window_full || !self.queue.is_empty());
                let dropped = turn.journal.dropped;
                let expected = self.enqueue(Waiting { number, qos, retain: false, topic, size });
                let dropped: Vec<Number> = dropped.iter().map(|m| number_of(m.payload())).collect();
                assert_eq!(dropped, expected, "a full queue drops the right ones");
                self.dropped.extend(dropped);
            }
            Delivery::OutboundFull => {
                assert!(qos == QoS::AtMostOnce && full);
                self.dropped.insert(number);
            }
            Delivery::NotConnected => {
                assert!(qos == QoS::AtMostOnce && !self.session.is_connected() && !self.limits.queue_qos0);
                self.dropped.insert(number);
            }
        }
        self.flush();
    }

    /// The queue and its policy as the configuration describes them. Returns the dropped messages.
    fn enqueue(&mut self, new: Waiting) -> Vec<Number> {
        let mut dropped = Vec::new();
        loop {
            let counted = || self.queue.iter().filter(|w| !w.retain);
            let bytes: usize = counted().map(|w| w.size).sum();
            if counted().count() < self.limits.max_queued_messages && bytes + new.size <= self.limits.max_queued_bytes {
                self.queue.push_back(new);
                return dropped;
            }
            match self.gives_way_to(new).filter(|_| new.size <= self.limits.max_queued_bytes) {
                Some(older) => dropped.push(self.queue.remove(older).unwrap().number),
                None => {
                    dropped.push(new.number);
                    return dropped;
                }
            }
        }
    }

    /// The position in a full queue of the message that is dropped for `new`.
    fn gives_way_to(&self, new: Waiting) -> Option<usize> {
        let counted = || self.queue.iter().enumerate().filter(|(_, w)| !w.retain);
        let oldest = counted().next().map(|(at, _)| at);
        match self.limits.queue_full {
            QueueFull::DropNewest => None,
            QueueFull::DropOldest => oldest,
            QueueFull::KeepLast => {
                let same = counted().find(|(_, w)| w.topic == new.topic);
                let is_outdated =
                    |(at, w): &(usize, &Waiting)| counted().any(|(later, x)| later > *at && x.topic == w.topic);
                same.or_else(|| counted().find(is_outdated)).map(|(at, _)| at).or(oldest)
            }
        }
    }

    /// Delivers a retained message of a new subscription.
    pub fn deliver_retained(&mut self, topic: usize, qos: QoS, padding: usize) {
        if !self.session.is_connected() {
            return;
        }
        let number = self.next_number();
        let message = Message::new(TopicName::new(TOPICS[topic]).unwrap(), &payload(number, padding), qos);
        self.queue.push_back(Waiting { number, qos, retain: true, topic, size: message.size() });
        self.delivered.push((number, topic, qos));
        let mut turn = turn(&self.limits, &mut self.pool, ());
        assert!(self.session.deliver_retained(&message, QoS::ExactlyOnce.into(), None, usize::MAX, &mut turn));
        self.flush();
    }

    /// One packet of the client arrives.
    pub fn broker_reads(&mut self) -> bool {
        let Some(bytes) = self.to_broker.pop_front() else { return false };
        let mut replies = Vec::new();
        let packet = decode(&bytes);
        match &packet {
            Packet::Puback(ack) => self.inflight.retain(|f| f.id != Some(ack.packet_id)),
            Packet::Pubrec(ack) => {
                self.inflight.iter_mut().filter(|f| f.id == Some(ack.packet_id)).for_each(|f| f.released = true);
            }
            Packet::Pubcomp(ack) => self.inflight.retain(|f| f.id != Some(ack.packet_id)),
            Packet::Pubrel(ack) => _ = self.taken.remove(&ack.packet_id),
            _ => {}
        }
        let mut reading = turn(&self.limits, &mut self.pool, Told::default());
        let action = self.session.handle_packet(packet, &mut reading).expect("a client that does nothing wrong");
        let sent = std::mem::take(&mut reading.journal.sent);
        match action {
            Action::Publish(publish) => {
                self.publish(publish.topic, publish.payload, publish.qos, publish.packet_id, &mut replies);
            }
            Action::Defer(publish) => {
                assert!(self.taken.len() >= self.limits.max_inflight_in, "deferred although there was a place");
                let message = Message::new(publish.topic, publish.payload, publish.qos);
                let deferred =
                    Deferred { packet_id: publish.packet_id.unwrap(), retain: publish.retain, message, may: None };
                self.session.defer(deferred, &reading).expect("few bytes are deferred");
            }
            Action::Repeated(id) => {
                assert!(self.taken.contains(&id), "{id} is not one that was taken");
                codec::encode::pubrec(&mut replies, id);
            }
            Action::Release(id, ..) => codec::encode::pubrel(&mut replies, id),
            Action::Complete(id, _, _, next) => {
                codec::encode::pubcomp(&mut replies, id);
                if let Some(Deferred { packet_id, message, .. }) = next {
                    self.publish(message.topic(), message.payload(), message.qos(), Some(packet_id), &mut replies);
                }
            }
            _ => {}
        }
        self.began(sent);
        self.session.append(&mut replies, &mut self.pool);
        self.flush();
        true
    }

    fn publish(&mut self, topic: &TopicName, payload: &[u8], qos: QoS, id: Option<PacketId>, replies: &mut Vec<u8>) {
        self.published.push((number_of(payload), topic_index(topic), qos));
        match id {
            Some(id) if qos == QoS::ExactlyOnce => {
                let mut turn = turn(&self.limits, &mut self.pool, ());
                assert_eq!(self.session.received(id, Stored::Done, &mut turn), Stored::Done);
                self.taken.insert(id);
                assert!(self.taken.len() <= self.limits.max_inflight_in, "more is taken than limits.max_inflight_in");
                codec::encode::pubrec(replies, id);
            }
            Some(id) => codec::encode::puback(replies, id),
            None => {}
        }
    }

    /// Queued messages are being sent now.
    fn began(&mut self, moved: Vec<(QoS, usize)>) {
        for (qos, payload) in moved {
            let next = self.queue.pop_front().expect("only what waits can be sent");
            let topic = self.delivered.iter().find(|(n, ..)| *n == next.number).unwrap().1;
            assert_eq!((qos, payload + TOPICS[topic].len()), (next.qos, next.size), "the first of the queue is sent");
            if qos != QoS::AtMostOnce {
                let Waiting { number, qos, retain, .. } = next;
                self.inflight.push_back(Flight { number, qos, retain, id: None, released: false });
            }
        }
    }

    /// The end of a turn.
    fn flush(&mut self) {
        if self.session.is_connected() {
            self.session.set_writing(self.blocked);
            // the session returns a bounded amount at a time: repeat until there is no more
            while self.blocked == 0 {
                let mut turn = turn(&self.limits, &mut self.pool, Told::default());
                self.session.fill(&mut turn);
                let sent = turn.journal.sent;
                self.began(sent);
                let frames = self.take();
                self.session.set_writing(0);
                if frames.is_empty() {
                    break;
                }
                self.to_client.extend(frames);
            }
        }
        self.compare();
    }

    /// Takes the output, and learns the assigned identifiers from it.
    fn take(&mut self) -> Vec<Vec<u8>> {
        let Some(out) = self.session.take_out() else { return Vec::new() };
        let frames = frames(*out);
        for frame in &frames {
            let Packet::Publish(publish) = decode(frame) else { continue };
            let (Some(id), false) = (publish.packet_id, publish.dup) else { continue };
            assert!(self.inflight.iter().all(|f| f.id != Some(id)), "{id} is in flight already [MQTT-2.3.1-4]");
            let flight = self.inflight.iter_mut().find(|f| f.id.is_none()).expect("something began");
            let expected = (flight.number, flight.qos, flight.retain);
            assert_eq!((number_of(publish.payload), publish.qos, publish.retain), expected, "sent in their order");
            flight.id = Some(id);
        }
        frames
    }

    fn compare(&self) {
        assert!(self.inflight.len() <= self.limits.max_inflight_out, "more in flight than the window allows");
        let bytes = self.queue.iter().filter(|w| !w.retain).map(|w| w.size).sum();
        assert_eq!(backlog(&self.session), (self.queue.len() + self.inflight.len(), bytes));
    }

    /// The socket accepts no more, with this many bytes unwritten; 0: it accepts everything.
    pub fn block(&mut self, bytes: usize) {
        self.blocked = bytes;
        self.flush();
    }

    // ---- the link ----

    /// Breaks the link, after these many more packets have arrived at the client and at the broker.
    pub fn disconnect(&mut self, client_reads: usize, broker_reads: usize) {
        if !self.session.is_connected() {
            return;
        }
        (0..client_reads).for_each(|_| _ = self.client_reads());
        (0..broker_reads).for_each(|_| _ = self.broker_reads());
        // lost, but their identifiers are assigned
        self.take();
        self.session.detach(&mut turn(&self.limits, &mut self.pool, ()));
        if !self.limits.queue_qos0 {
            let gone = self.queue.iter().filter(|w| w.qos == QoS::AtMostOnce);
            self.dropped.extend(gone.map(|w| w.number));
            self.queue.retain(|w| w.qos != QoS::AtMostOnce);
        }
        self.to_client.clear();
        self.to_broker.clear();
        self.answers.clear();
        self.blocked = 0;
        self.compare();
    }

    /// The client reconnects: both sides send their in-flight packets again.
    pub fn connect(&mut self) {
        if self.session.is_connected() {
            return;
        }
        let mut attaching = turn(&self.limits, &mut self.pool, Told::default());
        self.session.attach(&Welcome::plain(ProtocolVersion::V311, true), None, &mut attaching);
        let sent = attaching.journal.sent;
        let again: Vec<Flight> = self.inflight.iter().copied().collect();
        self.began(sent);
        let mut frames = self.take();
        assert_eq!(frames[0], [0x20, 2, 1, 0], "CONNACK comes first");
        // the rest as the socket accepts it
        loop {
            self.session.set_writing(0);
            let mut turn = turn(&self.limits, &mut self.pool, Told::default());
            self.session.fill(&mut turn);
            let sent = turn.journal.sent;
            self.began(sent);
            let more = self.take();
            let Some((_, others)) = more.split_last() else { break };
            let bytes: usize = others.iter().map(Vec::len).sum();
            assert!(bytes <= self.limits.max_outbound_bytes, "{bytes} bytes at once, and one message more");
            frames.extend(more);
        }
        for (frame, flight) in frames[1..].iter().zip(&again) {
            match (decode(frame), flight) {
                (Packet::Pubrel(ack), Flight { released: true, id, .. }) => assert_eq!(Some(ack.packet_id), *id),
                (Packet::Publish(publish), Flight { released: false, .. }) => {
                    let Publish { dup, qos, retain, packet_id, payload, .. } = publish;
                    let sent_again = (dup, qos, retain, packet_id, number_of(payload));
                    assert_eq!(sent_again, (true, flight.qos, flight.retain, flight.id, flight.number));
                }
                (packet, flight) => panic!("{packet:?} for {flight:?}"),
            }
        }
        assert!(frames.len() > again.len(), "{} packets in flight, {} after CONNACK", again.len(), frames.len() - 1);
        self.to_client.extend(frames);
        for own in &self.own {
            let topic = self.sent.iter().find(|(n, ..)| *n == own.number).unwrap().1;
            self.to_broker.push_back(own.packet(topic, true));
        }
        self.flush();
    }

    // ---- the client ----

    /// The client publishes.
    pub fn client_publishes(&mut self, topic: usize, qos: QoS) {
        if !self.session.is_connected() {
            return;
        }
        let number = self.next_number();
        self.last_id += 1;
        let own = Own { id: PacketId::new(self.last_id).unwrap(), number, qos, released: false };
        self.sent.push((number, topic, qos));
        self.to_broker.push_back(own.packet(topic, false));
        if qos != QoS::AtMostOnce {
            self.own.push(own);
        }
    }

    /// The client repeats one of its unanswered QoS 2 packets, or an acknowledgement.
    pub fn client_repeats(&mut self, which: usize) {
        let again: Vec<_> = self.own.iter().filter(|o| o.qos == QoS::ExactlyOnce).collect();
        if which.is_multiple_of(2)
            && let Some(own) = again.get(which / 2 % again.len().max(1))
        {
            let topic = self.sent.iter().find(|(n, ..)| *n == own.number).unwrap().1;
            let packet = own.packet(topic, true);
            self.to_broker.extend(self.session.is_connected().then_some(packet));
        } else if let Some(last) = self.to_broker.back().filter(|last| matches!(last[0] >> 4, 4..=7)) {
            self.to_broker.push_back(last.clone());
        }
    }

    /// One packet arrives at the client; its answer is due.
    pub fn client_reads(&mut self) -> bool {
        let Some(bytes) = self.to_client.pop_front() else { return false };
        let mut answer = Vec::new();
        match decode(&bytes) {
            Packet::Publish(publish) => {
                let received = (number_of(publish.payload), topic_index(publish.topic), publish.qos);
                match (publish.qos, publish.packet_id) {
                    (QoS::ExactlyOnce, Some(id)) => {
                        if self.unreleased.insert(id) {
                            self.received.push(received);
                        }
                        codec::encode::pubrec(&mut answer, id);
                    }
                    (_, id) => {
                        self.received.push(received);
                        id.into_iter().for_each(|id| codec::encode::puback(&mut answer, id));
                    }
                }
            }
            Packet::Pubrel(ack) => {
                self.unreleased.remove(&ack.packet_id);
                codec::encode::pubcomp(&mut answer, ack.packet_id);
            }
            Packet::Puback(ack) | Packet::Pubcomp(ack) => self.own.retain(|o| o.id != ack.packet_id),
            Packet::Pubrec(Ack { packet_id, .. }) => {
                self.own.iter_mut().filter(|o| o.id == packet_id).for_each(|o| o.released = true);
                codec::encode::pubrel(&mut answer, packet_id);
            }
            Packet::Connack(_) => {}
            other => panic!("{other:?} to a client"),
        }
        if !answer.is_empty() {
            self.answers.push_back(answer);
        }
        true
    }

    /// The client sends one answer.
    pub fn client_answers(&mut self) -> bool {
        self.answers.pop_front().map(|answer| self.to_broker.push_back(answer)).is_some()
    }

    // ---- the end ----

    /// Lets every packet arrive, and checks the fate of each message.
    pub fn finish(mut self) {
        self.connect();
        self.block(0);
        while self.client_reads() | self.client_answers() | self.broker_reads() {}
        assert_eq!(backlog(&self.session), (0, 0), "nothing waits when both ends have said everything");
        assert_eq!(self.taken.len() + self.unreleased.len() + self.own.len(), 0, "QoS 2 is completed at both ends");
        // QoS 0 messages may be lost with the link, but are only dropped if the session reported it
        let dropped = |n: Number| self.dropped.contains(&n);
        check(&self.delivered, &self.received, dropped, "to the client");
        check(&self.sent, &self.published, |_| false, "from the client");
    }
}

/// Each message arrived often enough, not too often, and in order.
fn check(sent: &Log, arrived: &Log, dropped: impl Fn(Number) -> bool, way: &str) {
    for message @ (number, _, qos) in sent {
        let times = arrived.iter().filter(|a| *a == message).count();
        let allowed = match qos {
            _ if dropped(*number) => times == 0,
            QoS::AtMostOnce => times <= 1,
            QoS::AtLeastOnce => times >= 1,
            QoS::ExactlyOnce => times == 1,
        };
        assert!(allowed, "{number} of {qos:?} arrived {times} times {way}");
    }
    assert!(arrived.iter().all(|a| sent.contains(a)), "something arrived {way} that was not sent");
    for (topic, name) in TOPICS.iter().enumerate() {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut firsts = Vec::new();
            for (number, ..) in arrived.iter().filter(|(_, t, q)| (*t, *q) == (topic, qos)) {
                if !firsts.contains(number) {
                    firsts.push(*number);
                }
            }
            assert!(firsts.is_sorted(), "{name} at {qos:?} {way}: out of order: {firsts:?}");
        }
    }
}

impl Own {
    fn packet(&self, topic: usize, dup: bool) -> Vec<u8> {
        let mut packet = Vec::new();
        if self.released {
            codec::encode::pubrel(&mut packet, self.id);
        } else {
            let flags = PublishFlags { dup: dup && self.qos != QoS::AtMostOnce, qos: self.qos, retain: false };
            let id = (self.qos != QoS::AtMostOnce).then_some(self.id);
            let topic = TopicName::new(TOPICS[topic]).unwrap();
            codec::encode::publish(&mut packet, flags, topic, id, &payload(self.number, 0));
        }
        packet
    }
}

fn payload(number: Number, padding: usize) -> Vec<u8> {
    [&number.to_be_bytes()[..], &vec![0; padding]].concat()
}

fn number_of(payload: &[u8]) -> Number {
    Number::from_be_bytes(payload[..4].try_into().unwrap())
}

fn topic_index(topic: &TopicName) -> usize {
    TOPICS.iter().position(|t| *t == topic.as_str()).unwrap()
}

pub(super) fn decode(frame: &[u8]) -> Packet<'_> {
    match codec::frame(ProtocolVersion::V311, frame, usize::MAX) {
        Ok(Cut::Frame(frame)) => codec::decode(ProtocolVersion::V311, frame).unwrap(),
        other => panic!("{frame:02x?} is {other:?}"),
    }
}

/// The packets in a buffer, taken like a socket does.
pub(super) fn frames(out: OutBuf) -> Vec<Vec<u8>> {
    frames_of(out, ProtocolVersion::V311)
}

/// The same of this version.
pub(super) fn frames_of(mut out: OutBuf, version: ProtocolVersion) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    while !out.is_empty() {
        let mut slices = [std::io::IoSlice::new(&[]); 4];
        let filled = out.io_slices(&mut slices, usize::MAX);
        let before = bytes.len();
        slices[..filled].iter().for_each(|slice| bytes.extend_from_slice(slice));
        out.advance(bytes.len() - before);
    }
    let (mut frames, mut rest) = (Vec::new(), &bytes[..]);
    while let Ok(Cut::Frame(frame)) = codec::frame(version, rest, usize::MAX) {
        frames.push(rest[..frame.len].to_vec());
        rest = &rest[frame.len..];
    }
    assert!(rest.is_empty(), "a packet was cut");
    frames
}
