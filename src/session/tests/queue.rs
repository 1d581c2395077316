//! The queue alone with the policy `keep-last`: the newest message of each topic stays.

use std::collections::VecDeque;

use super::*;
use crate::session::queue::{Queue, Queued, WORK};

/// The expected state of a queued message.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Waiting {
    number: u64,
    topic: u8,
    qos: QoS,
}

impl Waiting {
    fn queued(self) -> Queued {
        let topic = format!("t/{}", self.topic);
        let message = Message::new(TopicName::new(&topic).unwrap(), &self.number.to_be_bytes(), self.qos);
        let Self { number, qos, .. } = self;
        Queued { number, message, qos, retain: false, share: Share::NONE, ids: Default::default() }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(u8, QoS),
    Pop,
    TakeOldest,
    TakeOutdatedBy(u8),
    Take(usize),
    Forget(QoS),
}

fn step() -> impl Strategy<Value = Step> {
    let qos = || prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce)];
    prop_oneof![
        12 => (0..20u8, qos()).prop_map(|(t, q)| Step::Push(t, q)),
        4 => Just(Step::Pop),
        2 => Just(Step::TakeOldest),
        6 => (0..25u8).prop_map(Step::TakeOutdatedBy),
        4 => (0..40usize).prop_map(Step::Take),
        1 => qos().prop_map(Step::Forget),
    ]
}

/// The position of the message that is dropped for a new one of this topic.
fn gives_way(waiting: &VecDeque<Waiting>, topic: u8) -> Option<usize> {
    let all = || waiting.iter().enumerate();
    let is_outdated = |(at, w): &(usize, &Waiting)| all().any(|(later, x)| later > *at && x.topic == w.topic);
    let same = all().find(|(_, w)| w.topic == topic);
    same.or_else(|| all().find(is_outdated)).or_else(|| all().next()).map(|(at, _)| at)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// With and without an index of topics, and whenever the index is built or dropped.
    #[test]
    fn a_queue_equals_a_plain_list(full in 0..150u8, steps in vec(step(), 1..300)) {
        let first = (0..full).map(|n| Step::Push(n % 20, QoS::AtLeastOnce));
        let (mut queue, mut waiting, mut number) = (Queue::default(), VecDeque::<Waiting>::new(), 0);
        for step in first.chain(steps) {
            number += 1;
            let (got, expected) = match step {
                Step::Push(topic, qos) => {
                    let new = Waiting { number, topic, qos };
                    queue.push_back(new.queued());
                    queue.learn_topics();
                    waiting.push_back(new);
                    (None, None)
                }
                Step::Pop => (queue.pop_front(), waiting.pop_front()),
                Step::TakeOldest => (queue.take_oldest(), waiting.pop_front()),
                Step::TakeOutdatedBy(topic) => {
                    let new = Waiting { number, topic, qos: QoS::AtLeastOnce };
                    let gone = gives_way(&waiting, topic).and_then(|at| waiting.remove(at));
                    (queue.take_outdated_by(&new.queued().message), gone)
                }
                Step::Take(at) => {
                    let number = waiting.get(at).map_or(number, |w| w.number);
                    assert_eq!(queue.count_up_to(number, 1_000), waiting.iter().filter(|w| w.number <= number).count());
                    (queue.take(number), waiting.remove(at))
                }
                Step::Forget(qos) => {
                    let mut asked = Vec::new();
                    queue.retain(|m| {
                        asked.push(m.number);
                        m.qos != qos
                    });
                    prop_assert_eq!(asked, waiting.iter().map(|w| w.number).collect::<Vec<_>>());
                    waiting.retain(|w| w.qos != qos);
                    (None, None)
                }
            };
            prop_assert_eq!(got.map(|m| m.number), expected.map(|w| w.number), "{:?}", step);
            prop_assert_eq!(queue.len(), waiting.len());
            prop_assert_eq!(queue.front().map(|m| m.number), waiting.front().map(|w| w.number));
        }
    }
}

impl End {
    /// The payloads, each with its topic, that the delivery of `topic=payload` dropped from the queue.
    fn dropped_for(&mut self, message: &str) -> String {
        let (topic, payload) = message.split_once('=').unwrap();
        let outgoing = Outgoing::new(TopicName::new(topic).unwrap(), payload.as_bytes(), QoS::AtLeastOnce);
        let mut turn = turn(&self.limits, &mut self.pool, Told::default());
        let how = How::from(QoS::AtLeastOnce);
        let Delivery::Queued = self.session.deliver(&outgoing, how, &mut turn) else { panic!("it waits") };
        let dropped = turn.journal.dropped.iter();
        let dropped = dropped.map(|m| format!("{}={}", m.topic().as_str(), std::str::from_utf8(m.payload()).unwrap()));
        dropped.collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_full_queue_keeps_the_newest_of_each_topic() {
    let limits = SessionLimits { queue_full: QueueFull::KeepLast, max_queued_messages: 4, ..LIMITS };
    let large = "x".repeat(60);
    for messages in [
        // the oldest one of the same topic
        &[("a=1", ""), ("b=1", ""), ("a=2", ""), ("a=3", ""), ("a=4", "a=1"), ("b=2", "b=1")][..],
        // the oldest one of another topic that is not the newest of its topic
        &[("a=1", ""), ("b=1", ""), ("b=2", ""), ("a=2", ""), ("c=1", "a=1"), ("d=1", "b=1")],
        // each is the newest of its topic: the oldest one
        &[("a=1", ""), ("b=1", ""), ("c=1", ""), ("d=1", ""), ("e=1", "a=1"), ("c=2", "c=1"), ("f=1", "b=1")],
        // as many as the bytes need, those of its own topic first; a message larger than the whole queue drops none
        &[("a=1", ""), ("b=1", ""), (&format!("b={large}"), ""), (&format!("b=y{large}"), &format!("b=1 b={large}"))],
        &[("a=1", ""), (&format!("a={large}{large}"), &format!("a={large}{large}")), ("a=2", "")],
    ] {
        let mut end = End::new(limits.clone());
        for (message, dropped) in messages {
            assert_eq!(end.dropped_for(message), *dropped, "{message} of {messages:?}");
        }
    }
}

#[test]
fn messages_in_flight_are_not_replaced_by_newer_ones() {
    let limits =
        SessionLimits { queue_full: QueueFull::KeepLast, max_inflight_out: 1, max_queued_messages: 1, ..LIMITS };
    let mut end = End::new(limits);
    end.attach();
    assert!(matches!(end.deliver(b"sent", QoS::ExactlyOnce), Delivery::Sent));
    assert_eq!(end.dropped_for("t=1"), "");
    assert_eq!(end.dropped_for("t=2"), "t=1");
    assert_eq!(end.messages(), [(1, b"sent".to_vec())]);
    end.handle(Packet::Pubrec(id(1).into())).unwrap();
    assert_eq!(end.dropped_for("t=3"), "t=2");
    end.handle(Packet::Pubcomp(id(1).into())).unwrap();
    assert_eq!(end.messages(), [(2, b"3".to_vec())]);
    assert_eq!(backlog(&end.session), (1, 0));
}

#[test]
fn a_changed_policy_applies_to_queued_messages() {
    let mut end = End::new(SessionLimits { max_queued_messages: 100, max_queued_bytes: 10_000, ..LIMITS });
    for n in 0..100 {
        assert_eq!(end.dropped_for(&format!("{}={n}", n % 50)), "");
    }
    for (queue_full, message, dropped) in [
        (QueueFull::DropNewest, "7=new", "7=new"),
        (QueueFull::KeepLast, "7=newer", "7=7"),
        (QueueFull::KeepLast, "other=new", "0=0"),
        (QueueFull::DropOldest, "7=newest", "1=1"),
        (QueueFull::DropNewest, "7=last", "7=last"),
    ] {
        end.limits.queue_full = queue_full;
        assert_eq!(end.dropped_for(message), dropped);
    }
    assert_eq!(end.session.backlog().messages, 100);
}

/// With messages of topics `a` and `b` in turn.
fn with_two_topics(end: &mut End, count: usize) {
    for n in 0..count {
        let topic = if n % 2 == 0 { "a" } else { "b" };
        assert!(matches!(end.deliver_to(topic, format!("{n}").as_bytes(), QoS::AtLeastOnce), Delivery::Queued));
    }
}

#[test]
fn unreadable_messages_are_skipped_and_return_to_their_places() {
    for queue_full in [QueueFull::DropNewest, QueueFull::DropOldest, QueueFull::KeepLast] {
        let mut end =
            End::new(SessionLimits { max_queued_messages: 200, max_queued_bytes: 10_000, queue_full, ..LIMITS });
        end.detach();
        with_two_topics(&mut end, 100);
        let before = backlog(&end.session);
        assert_eq!(end.session.skip_unreadable(|topic| topic.as_str() != "a"), 50);
        assert_eq!(end.session.skip_unreadable(|topic| topic.as_str() != "a"), 0, "they are skipped already");
        assert_eq!((backlog(&end.session), end.session.skipped()), (before, 50));
        with_two_topics(&mut end, 2);
        assert_eq!(end.session.skip_unreadable(|topic| topic.as_str() != "b"), 51, "the others now");
        assert_eq!(end.session.skip_unreadable(|_| true), 0);
        assert_eq!(end.session.skipped(), 0);
        let expected: Vec<_> = (0..100).chain(0..2).map(|n| format!("{n}")).collect();
        assert_eq!(end.all_messages(), expected);
        assert_eq!(end.session.backlog(), Backlog::default());
    }
}

#[test]
fn skipped_messages_are_dropped_first_when_the_queue_is_full() {
    for queue_full in [QueueFull::DropNewest, QueueFull::DropOldest, QueueFull::KeepLast] {
        let mut end = End::new(SessionLimits { max_queued_messages: 10, queue_full, ..LIMITS });
        end.detach();
        with_two_topics(&mut end, 10);
        assert_eq!(end.session.skip_unreadable(|topic| topic.as_str() != "a"), 5);
        for n in 10..13 {
            assert!(matches!(end.deliver_to("b", format!("{n}").as_bytes(), QoS::AtLeastOnce), Delivery::Queued));
        }
        assert_eq!((end.session.backlog().messages, end.session.skipped(), end.session.take_dropped()), (10, 2, 3));
        assert_eq!(end.session.skip_unreadable(|_| true), 0);
        assert_eq!(end.all_messages(), ["1", "3", "5", "6", "7", "8", "9", "10", "11", "12"]);
    }
    // queued QoS 0 messages of a client that is away are dropped if they are no longer queued
    let mut end = End::new(SessionLimits { queue_qos0: true, ..LIMITS });
    end.detach();
    assert!(matches!(end.deliver_to("a", b"0", QoS::AtMostOnce), Delivery::Queued));
    assert_eq!(end.session.skip_unreadable(|_| false), 1);
    end.limits.queue_qos0 = false;
    end.detach();
    assert_eq!((end.session.backlog(), end.session.skipped()), (Backlog::default(), 0));
}

#[test]
fn a_queued_message_takes_24_bytes() {
    assert_eq!(size_of::<Queued>(), 24);
}

impl End {
    /// Refuses or allows each waiting message, as `may` says about its number, and has them sent and acknowledged.
    /// Returns what was sent.
    fn decide_all(&mut self, may: impl Fn(u64) -> bool) -> usize {
        let (mut sent, mut packet_ids) = (0, Vec::new());
        loop {
            while !self.session.has_enough_allowed()
                && let Some((number, _)) = self.session.first_unasked()
            {
                match may(number) {
                    true => self.session.allow(number),
                    false => assert!(self.session.refuse_unasked(number, &mut ()).is_some()),
                }
            }
            let (session, mut turn) = self.parts();
            session.fill(&mut turn);
            packet_ids.extend(self.messages().into_iter().map(|(packet_id, _)| packet_id));
            if packet_ids.is_empty() {
                return sent;
            }
            sent += packet_ids.len();
            for packet_id in packet_ids.drain(..) {
                self.handle(Packet::Puback(id(packet_id).into())).unwrap();
            }
        }
    }
}

#[test]
fn refused_messages_cost_as_much_each_however_long_the_queue_is() {
    for queue_full in [QueueFull::DropNewest, QueueFull::KeepLast] {
        for (count, every) in [(1_000, 1), (20_000, 1), (20_000, 2), (20_000, 7)] {
            let limits = SessionLimits {
                queue_full,
                max_queued_messages: count,
                max_queued_bytes: 1 << 30,
                max_inflight_out: 20,
                ..LIMITS
            };
            let mut end = End::new(limits);
            end.session.ask_first();
            end.attach();
            for n in 0..count {
                let topic = format!("t/{}", n % 10);
                assert!(matches!(end.deliver_to(&topic, b"x", QoS::AtLeastOnce), Delivery::Queued));
            }
            let before = WORK.get();
            let sent = end.decide_all(|number| number % every != 0);
            let refused = count / every as usize;
            assert_eq!(sent, count - refused);
            assert_eq!(backlog(&end.session), (0, 0));
            let work = WORK.get() - before;
            assert!(work <= 64 * refused, "{work} for {refused} of {count}");
        }
    }
}
