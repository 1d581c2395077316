//! Packets that take more than one turn: the packets that their clients and others receive, whatever happens between
//! the steps.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Instant,
};

use parking_lot::Mutex;
use proptest::{collection::vec, prelude::*};

use super::{super::*, *};
use crate::{
    codec::{self, Connect, Cut, PublishFlags, Will},
    router::{Authorize, Observe, Right, Rights, ports, tests::connect, thread::Work},
    session::{CloseReason, CommitSeq, Message, Stored},
    topic::{TopicFilter, TopicName},
    types::{ClientId, PacketId, ProtocolVersion, QoS, QueueFull},
};

/// A router, and its thread. The length of all turns is given.
struct World {
    router: Arc<Router>,
    local: RouterThread,
}

/// A packet that a client was sent: its type, and of a PUBLISH topic, payload and RETAIN.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sent {
    Packet(u8),
    Message(String, String, bool),
}

const LONG: u32 = NODES_A_TURN;

impl World {
    fn new() -> Self {
        Self::with(Ports::default())
    }

    fn with(ports: Ports) -> Self {
        Self::limited(ports, |_| {})
    }

    fn limited(ports: Ports, set: impl FnOnce(&mut RouterLimits)) -> Self {
        let session = SessionLimits {
            max_inflight_out: 20,
            max_inflight_in: 20,
            max_queued_messages: 1_000,
            max_queued_bytes: 1 << 20,
            queue_full: QueueFull::DropNewest,
            queue_qos0: false,
            max_outbound_bytes: 1 << 20,
        };
        let mut limits = RouterLimits {
            session,
            max_retained_messages: 100_000,
            max_retained_bytes: 1 << 30,
            max_subscriptions: 100_000,
            ..RouterLimits::default()
        };
        set(&mut limits);
        let router = Arc::new(Router::new(limits, ports, 7));
        let local = router.local(Instant::now());
        Self { router, local }
    }

    fn connect(&mut self, client_id: &str, clean_session: bool) -> Client {
        self.connect_as(&connect(client_id, clean_session))
    }

    fn connect_as(&mut self, connect: &Connect<'_>) -> Client {
        let peer = Peer { address: ([127, 0, 0, 1], 1).into(), loopback_listener: true, listener: 0 };
        let Self { router, local } = self;
        let (id, waker) = (connect.client_id.into(), Waker::noop().clone());
        let mut client = router.connect(local, connect, id, Identity::default(), peer, waker).unwrap().client;
        assert_eq!(self.sent(&mut client, &mut Vec::new())[0], Sent::Packet(2));
        client
    }

    /// Handles a packet, in a turn of this many steps.
    fn handle(&mut self, client: &mut Client, bytes: &[u8], steps: u32) -> Result<Vec<u8>, CloseReason> {
        let Self { router, local } = self;
        local.work = Work::with_left(steps);
        let Ok(Cut::Frame(frame)) = codec::frame(ProtocolVersion::V311, bytes, 1 << 24) else { unreachable!() };
        let mut replies = Vec::new();
        router.handle_frame(local, client, frame, bytes, &mut Handled::one(frame), &mut replies)?;
        // if it is not completed, no other packet is handled in this turn
        assert!(!client.is_busy() || local.work.is_spent(0));
        Ok(replies)
    }

    /// One more turn of this many steps.
    fn resume(&mut self, client: &mut Client, steps: u32, replies: &mut Vec<u8>) {
        self.local.work = Work::with_left(steps);
        self.router.resume(&mut self.local, client, replies).unwrap();
        assert!(!client.is_busy() || self.local.work.is_spent(0));
    }

    /// The whole output for a client.
    fn sent(&mut self, client: &mut Client, replies: &mut Vec<u8>) -> Vec<Sent> {
        let mut sent = Vec::new();
        loop {
            let flush = self.router.flush(&mut self.local, client, replies, 0);
            let Flush::Write(Some(out)) = flush else {
                assert!(matches!(flush, Flush::Write(None)), "{flush:?}");
                return sent;
            };
            let mut bytes = out.contiguous().expect("small payloads stand in one piece");
            while let Ok(Cut::Frame(frame)) = codec::frame(ProtocolVersion::V311, bytes, 1 << 20) {
                sent.push(match frame.first >> 4 {
                    3 => {
                        let publish = codec::decode_publish(ProtocolVersion::V311, frame).unwrap();
                        let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
                        Sent::Message(publish.topic.as_str().to_owned(), payload, publish.retain)
                    }
                    other => Sent::Packet(other),
                });
                bytes = &bytes[frame.len..];
            }
            self.local.pool.put(out);
        }
    }

    /// A PUBLISH in consecutive turns of this many steps. Returns the number of turns, and the answer.
    fn publish(&mut self, client: &mut Client, publish: &[u8], steps: u32) -> (usize, Vec<Sent>) {
        let mut replies = self.handle(client, publish, steps).unwrap();
        let mut turns = 1;
        while client.is_busy() {
            assert!(replies.is_empty());
            self.resume(client, steps, &mut replies);
            turns += 1;
        }
        (turns, self.sent(client, &mut replies))
    }

    fn retain(&mut self, client: &mut Client, topic: &str, payload: &str) {
        self.publish(client, &publish(topic, payload, QoS::AtMostOnce, true), LONG);
    }

    fn end(&mut self, mut client: Client) {
        self.router.abandon(&mut self.local, &mut client);
        self.router.end(&mut self.local, &client, &CloseReason::ConnectionLost, Instant::now());
    }

    /// Checks that no walk is left.
    fn expect_no_pins(&self) {
        assert_eq!(self.router.retained.nodes_and_pins().1, 0);
        assert_eq!(self.router.subscriptions.nodes_and_pins().1, 0);
    }
}

fn publish(topic: &str, payload: &str, qos: QoS, retain: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let flags = PublishFlags { dup: false, qos, retain };
    let id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
    codec::encode::publish(&mut bytes, flags, TopicName::new(topic).unwrap(), id, payload.as_bytes());
    bytes
}

fn packet(first: u8, filters: &[&str], qos: Option<QoS>) -> Vec<u8> {
    let mut body = vec![0, 1];
    for filter in filters {
        body.extend_from_slice(&u16::try_from(filter.len()).unwrap().to_be_bytes());
        body.extend_from_slice(filter.as_bytes());
        body.extend(qos.map(|qos| qos as u8));
    }
    let mut bytes = vec![first];
    let mut length = body.len();
    while length > 127 {
        bytes.push((length % 128) as u8 | 0x80);
        length /= 128;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(&body);
    bytes
}

fn subscribe(filters: &[&str]) -> Vec<u8> {
    packet(0x82, filters, Some(QoS::AtMostOnce))
}

fn unsubscribe(filters: &[&str]) -> Vec<u8> {
    packet(0xA2, filters, None)
}

const TOPICS: [&str; 6] = ["a", "a/b", "a/c", "b", "b/c/d", "c/x/y"];
const FILTERS: [&str; 6] = ["#", "+/#", "a/#", "+/+", "a/b", "+/c/d"];

#[derive(Clone, Debug)]
enum Event {
    /// One turn of the subscriber, of this many steps.
    Step(u32),
    /// A message; without a payload if it clears the topic.
    Publish { topic: usize, retain: bool, clear: bool },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (1..6_u32).prop_map(Event::Step),
        3 => (0..TOPICS.len(), any::<bool>(), any::<bool>())
            .prop_map(|(topic, retain, clear)| Event::Publish { topic, retain, clear: retain && clear }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// For all publications, retained messages and clearings between the steps: the SUBACK arrives first, then for each
    /// topic the message that was retained at the look-up, unless it was cleared or replaced meanwhile, then all later
    /// messages, in order.
    #[test]
    fn retained_messages_in_steps_equal_those_of_one_look_up(
        before in vec(0..TOPICS.len(), 0..12),
        filters in vec(0..FILTERS.len(), 1..4),
        events in vec(event(), 0..60),
        first in 1..8_u32,
        clean: bool,
    ) {
        let mut world = World::new();
        let (mut publisher, mut subscriber) = (world.connect("p", true), world.connect("s", clean));
        let mut values = (1..).map(|value: u32| value.to_string());
        let mut retained = BTreeMap::new();
        for topic in before {
            let value = values.next().unwrap();
            world.retain(&mut publisher, TOPICS[topic], &value);
            retained.insert(TOPICS[topic], value);
        }
        let filters: Vec<_> = filters.into_iter().map(|filter| FILTERS[filter]).collect();
        let mut replies = world.handle(&mut subscriber, &subscribe(&filters), first).unwrap();
        let mut sent = world.sent(&mut subscriber, &mut replies);
        let mut live: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        // messages that are retained when all filters are in the trie, and not replaced since
        let mut unchanged = retained.clone();
        let all_in = |client: &Client| world_has_filters(client, &filters);
        let mut are_in = all_in(&subscriber);
        for event in events {
            match event {
                Event::Step(steps) => {
                    world.resume(&mut subscriber, steps, &mut replies);
                    if !are_in && all_in(&subscriber) {
                        (are_in, unchanged) = (true, retained.clone());
                    }
                }
                Event::Publish { topic, retain, clear } => {
                    let topic = TOPICS[topic];
                    let value = if clear { String::new() } else { values.next().unwrap() };
                    world.publish(&mut publisher, &publish(topic, &value, QoS::AtMostOnce, retain), LONG);
                    if retain {
                        unchanged.remove(topic);
                        match clear {
                            true => retained.remove(topic),
                            false => retained.insert(topic, value.clone()),
                        };
                    }
                    if are_in {
                        live.entry(topic).or_default().push(value);
                    }
                }
            }
            sent.extend(world.sent(&mut subscriber, &mut replies));
        }
        while subscriber.is_busy() {
            prop_assert_eq!(&sent, &[]);
            world.resume(&mut subscriber, 3, &mut replies);
            if !are_in && all_in(&subscriber) {
                (are_in, unchanged) = (true, retained.clone());
            }
        }
        sent.extend(world.sent(&mut subscriber, &mut replies));
        // messages may precede the SUBACK only if they arrived while filters were being added to the trie
        prop_assert_eq!(&sent[0], &Sent::Packet(9));
        for topic in TOPICS {
            let name = TopicName::new(topic).unwrap();
            let matches = filters.iter().filter(|f| TopicFilter::new(f).unwrap().matches(name)).count();
            let got = |with: bool| {
                sent.iter().filter_map(move |sent| match sent {
                    Sent::Message(of, payload, retain) if *of == topic && *retain == with => Some(payload.as_str()),
                    _ => None,
                })
            };
            let is_brought = |sent: &Sent| matches!(sent, Sent::Message(of, _, true) if *of == topic);
            let is_live = |sent: &Sent| matches!(sent, Sent::Message(of, _, false) if *of == topic);
            if let (Some(brought), Some(live)) = (sent.iter().rposition(is_brought), sent.iter().position(is_live)) {
                prop_assert!(brought < live, "{} in {:?}", topic, sent);
            }
            if matches == 0 {
                prop_assert_eq!(got(true).chain(got(false)).count(), 0);
                continue;
            }
            let expected = live.get(topic).map_or(&[][..], |values| values);
            let since = got(false).collect::<Vec<_>>();
            prop_assert!(since.ends_with(&expected.iter().map(String::as_str).collect::<Vec<_>>()), "{:?}", since);
            // no message that was retained all the time is missing, and each filter brings it once
            let distinct = filters.iter().collect::<std::collections::BTreeSet<_>>().into_iter();
            let times = distinct.filter(|f| TopicFilter::new(f).unwrap().matches(name)).count();
            if let Some(value) = unchanged.get(topic) {
                prop_assert_eq!(got(true).collect::<Vec<_>>(), vec![value.as_str(); times], "{}", topic);
            }
            // no older message follows a retained one
            let newest = got(true).filter_map(|value| value.parse::<u32>().ok()).max().unwrap_or(0);
            prop_assert!(since.iter().filter_map(|value| value.parse::<u32>().ok()).all(|value| value > newest));
        }
        world.end(subscriber);
        world.expect_no_pins();
    }
}

/// Are all of them filters of its session?
fn world_has_filters(client: &Client, filters: &[&str]) -> bool {
    let distinct = filters.iter().collect::<std::collections::BTreeSet<_>>().len();
    client.slot.lock().session.subscriptions().len() == distinct
}

/// A world with this many retained messages `t/<n>`.
fn retained(count: usize) -> (World, Client) {
    let mut world = World::new();
    let mut publisher = world.connect("publisher", true);
    for n in 0..count {
        world.retain(&mut publisher, &format!("t/{n}"), "x");
    }
    (world, publisher)
}

#[test]
fn a_connection_that_ends_during_a_subscribe_leaves_no_subscription() {
    let (mut world, mut publisher) = retained(100);
    for clean in [true, false] {
        let mut subscriber = world.connect("s", clean);
        assert_eq!(world.handle(&mut subscriber, &subscribe(&["#", "t/+"]), 50), Ok(vec![]));
        assert!(subscriber.is_busy());
        assert_eq!(world.router.retained.nodes_and_pins().1, 1);
        // its filters are the session's, as just before the SUBACK
        assert_eq!(world.router.subscription_count(), 2);
        world.end(subscriber);
        assert_eq!(world.router.subscription_count(), if clean { 0 } else { 2 });
    }
    world.expect_no_pins();
    for n in 0..100 {
        world.retain(&mut publisher, &format!("t/{n}"), "");
    }
    assert_eq!(world.router.retained.nodes_and_pins(), (1, 0));
}

#[test]
fn a_take_over_during_a_subscribe_gives_the_session_to_the_new_connection() {
    let (mut world, _publisher) = retained(100);
    let mut first = world.connect("s", false);
    assert_eq!(world.handle(&mut first, &subscribe(&["#"]), 50), Ok(vec![]));
    let mut second = world.connect("s", false);
    world.local.work = Work::with_left(LONG);
    let resumed = world.router.resume(&mut world.local, &mut first, &mut Vec::new());
    assert_eq!(resumed, Err(CloseReason::SessionTakenOver));
    world.end(first);
    world.expect_no_pins();
    let mut replies = world.handle(&mut second, &subscribe(&["t/5"]), LONG).unwrap();
    let sent = world.sent(&mut second, &mut replies);
    assert_eq!(sent.last(), Some(&Sent::Message("t/5".into(), "x".into(), true)));
}

#[test]
fn all_filters_of_a_packet_are_handled_in_turns_of_any_length() {
    let mut world = World::new();
    let mut client = world.connect("c", true);
    let filters: Vec<_> = (0..1_000).map(|n| format!("{n}/+")).collect();
    let filters: Vec<_> = filters.iter().map(String::as_str).collect();
    for (bytes, answer, held) in [(subscribe(&filters), 9, 1_000), (unsubscribe(&filters), 11, 0)] {
        let mut replies = world.handle(&mut client, &bytes, 100).unwrap();
        let mut turns = 1;
        while client.is_busy() {
            assert!(replies.is_empty());
            world.resume(&mut client, 100, &mut replies);
            turns += 1;
        }
        assert!(turns >= 10, "{turns} turns");
        assert_eq!(world.sent(&mut client, &mut replies), [Sent::Packet(answer)]);
        assert_eq!(world.router.subscription_count(), held);
    }
    assert_eq!(world.router.subscriptions.nodes_and_pins(), (1, 0));
}

#[test]
fn a_large_match_and_a_wide_fan_out_are_done_in_steps() {
    let mut world = World::new();
    // eight levels, each `x` or `+`: 256 filters match, and twice as many nodes are visited; ten sessions share them
    let filters: Vec<_> = (0..1 << 12)
        .map(|n| (0..12).map(|bit| if n >> bit & 1 == 0 { "x" } else { "+" }).collect::<Vec<_>>().join("/"))
        .collect();
    let mut subscribers: Vec<_> = (0..10).map(|n| world.connect(&format!("s{n}"), true)).collect();
    for (n, filters) in filters.chunks(410).enumerate() {
        let filters: Vec<_> = filters.iter().map(String::as_str).collect();
        let mut replies = world.handle(&mut subscribers[n], &subscribe(&filters), LONG).unwrap();
        world.sent(&mut subscribers[n], &mut replies);
    }
    let mut others: Vec<_> = (0..300).map(|n| world.connect(&format!("o{n}"), true)).collect();
    let mut publisher = world.connect("p", true);
    let topic = ["x"; 12].join("/");
    for (n, (qos, answer)) in
        [(QoS::AtMostOnce, vec![]), (QoS::AtLeastOnce, vec![4]), (QoS::ExactlyOnce, vec![5])].into_iter().enumerate()
    {
        let answer: Vec<_> = answer.into_iter().map(Sent::Packet).collect();
        for retain in [false, true] {
            // the cached match of the topic is stale
            let stale = format!("x/+/{n}{retain}");
            world.handle(&mut subscribers[0], &subscribe(&[&stale]), LONG).unwrap();
            world.sent(&mut subscribers[0], &mut Vec::new());
            let (turns, sent) = world.publish(&mut publisher, &publish(&topic, "in steps", qos, retain), 500);
            assert!(turns > 8, "{turns} turns");
            assert_eq!(sent, answer);
            let message = Sent::Message(topic.clone(), "in steps".into(), false);
            for subscriber in &mut subscribers {
                assert_eq!(world.sent(subscriber, &mut Vec::new()), std::slice::from_ref(&message));
            }
            // it is cached
            let (turns, _) = world.publish(&mut publisher, &publish(&topic, "again", qos, false), 500);
            assert_eq!(turns, 1);
            subscribers.iter_mut().for_each(|subscriber| drop(world.sent(subscriber, &mut Vec::new())));
            if qos == QoS::ExactlyOnce {
                world.handle(&mut publisher, &[0x62, 2, 0, 1], LONG).unwrap();
                world.sent(&mut publisher, &mut Vec::new());
            }
        }
    }
    // one that ends while it is matched
    world.handle(&mut subscribers[0], &subscribe(&["x/+/stale"]), LONG).unwrap();
    let mut ends = world.connect("ends", true);
    world.handle(&mut ends, &publish(&topic, "never", QoS::ExactlyOnce, false), 500).unwrap();
    world.resume(&mut ends, 500, &mut Vec::new());
    assert_eq!(world.router.subscriptions.nodes_and_pins().1, 1);
    world.end(ends);
    world.expect_no_pins();
    // and one message to very many
    for other in &mut others {
        let mut replies = world.handle(other, &subscribe(&["wide"]), LONG).unwrap();
        world.sent(other, &mut replies);
    }
    // an answer that does not fit into the first turn is deferred completely
    for (qos, expected) in [(QoS::AtMostOnce, 4), (QoS::AtLeastOnce, 4), (QoS::ExactlyOnce, 1)] {
        let (turns, _) = world.publish(&mut publisher, &publish("wide", "to all", qos, false), 30);
        assert_eq!(turns, expected, "{qos:?}");
        for other in &mut others {
            assert_eq!(world.sent(other, &mut Vec::new()), [Sent::Message("wide".into(), "to all".into(), false)]);
        }
    }
}

/// Publishes as another client while a SUBSCRIBE is handled: its filters are in the trie, and its SUBACK is not
/// written.
#[derive(Default)]
struct PublishesMeanwhile(Mutex<Option<(Arc<Router>, RouterThread, Client)>>);

impl Observe for PublishesMeanwhile {
    fn observe(&self, event: &ports::Event<'_>) {
        if !matches!(event, ports::Event::Subscribe { .. }) {
            return;
        }
        let mut publisher = self.0.lock();
        let (router, local, client) = publisher.as_mut().unwrap();
        let bytes = publish("live", "x", QoS::AtMostOnce, false);
        let Ok(Cut::Frame(frame)) = codec::frame(ProtocolVersion::V311, &bytes, 1 << 24) else { unreachable!() };
        router.handle_frame(local, client, frame, &bytes, &mut Handled::one(frame), &mut Vec::new()).unwrap();
    }
}

#[test]
fn the_suback_comes_before_messages_published_during_the_subscribe() {
    for steps in (1..12).chain([LONG]) {
        let observe = Arc::new(PublishesMeanwhile::default());
        let mut world = World::with(Ports { observe: vec![observe.clone()], ..Ports::default() });
        let (mut publisher, mut subscriber) = (world.connect("p", true), world.connect("s", true));
        ["a", "b", "c"].iter().for_each(|topic| world.retain(&mut publisher, topic, "before"));
        let local = world.router.local(Instant::now());
        *observe.0.lock() = Some((world.router.clone(), local, publisher));
        let (mut replies, mut sent) = (world.handle(&mut subscriber, &subscribe(&["#"]), steps).unwrap(), Vec::new());
        while subscriber.is_busy() {
            sent.extend(world.sent(&mut subscriber, &mut replies));
            world.resume(&mut subscriber, steps, &mut replies);
        }
        sent.extend(world.sent(&mut subscriber, &mut replies));
        assert_eq!(sent.remove(0), Sent::Packet(9), "turns of {steps} steps");
        sent.sort_by_key(|sent| format!("{sent:?}"));
        let message = |topic: &str, payload: &str, retain| Sent::Message(topic.into(), payload.into(), retain);
        let retained = ["a", "b", "c"].map(|topic| message(topic, "before", true));
        assert_eq!(sent, [&retained[..], &[message("live", "x", false)]].concat(), "turns of {steps} steps");
        observe.0.lock().take();
    }
}

/// The QoS of each message that is reported.
#[derive(Default)]
struct Told(Mutex<Vec<QoS>>);

impl Observe for Told {
    fn observe(&self, event: &ports::Event<'_>) {
        if let ports::Event::Publish { qos, .. } = event {
            self.0.lock().push(*qos);
        }
    }
}

/// Is full when that is set, and counts what is appended then.
#[derive(Default)]
struct MayBeFull(AtomicBool, AtomicUsize);

impl ports::Store for MayBeFull {
    fn append(&self, _: ports::Record) -> Stored {
        self.1.fetch_add(usize::from(self.0.load(Ordering::Relaxed)), Ordering::Relaxed);
        Stored::Done
    }

    fn append_copies(&self, _: &Message, _: &ports::QueuedCopy, others: &[ports::QueuedCopy]) -> Stored {
        self.1.fetch_add(others.len(), Ordering::Relaxed);
        Stored::Done
    }

    fn together(&self, append: &mut dyn FnMut()) {
        append();
    }

    fn done(&self) -> CommitSeq {
        CommitSeq(u64::MAX)
    }

    fn wake_when_done(&self, _: CommitSeq, waker: &Waker) {
        waker.wake_by_ref();
    }

    fn condition(&self) -> ports::Condition {
        if self.0.load(Ordering::Relaxed) { ports::Condition::Full } else { ports::Condition::Ready }
    }
}

/// The QoS of the messages that a client is sent.
fn delivered(world: &mut World, client: &mut Client) -> Vec<u8> {
    let Flush::Write(Some(out)) = world.router.flush(&mut world.local, client, &mut Vec::new(), 0) else {
        return Vec::new();
    };
    let (mut bytes, mut found) = (out.contiguous().unwrap(), Vec::new());
    while let Ok(Cut::Frame(frame)) = codec::frame(ProtocolVersion::V311, bytes, 1 << 20) {
        found.extend((frame.first >> 4 == 3).then_some(frame.first >> 1 & 3));
        bytes = &bytes[frame.len..];
    }
    world.local.pool.put(out);
    found
}

#[test]
fn an_upgraded_message_is_reported_at_its_own_qos() {
    let told = Arc::new(Told::default());
    let ports = Ports { observe: vec![told.clone()], ..Ports::default() };
    let mut world = World::limited(ports, |limits| limits.upgrade_outgoing_qos = true);
    let (mut publisher, mut subscriber) = (world.connect("p", true), world.connect("s", true));
    // so many filters match that they are looked for in steps
    let filters: Vec<_> = (0..1 << 12)
        .map(|n| (0..12).map(|bit| if n >> bit & 1 == 0 { "x" } else { "+" }).collect::<Vec<_>>().join("/"))
        .chain(["once".into(), "will".into()])
        .collect();
    for filters in filters.chunks(410) {
        let filters: Vec<_> = filters.iter().map(String::as_str).collect();
        let mut replies = world.handle(&mut subscriber, &packet(0x82, &filters, Some(QoS::ExactlyOnce)), LONG).unwrap();
        while subscriber.is_busy() {
            world.resume(&mut subscriber, LONG, &mut replies);
        }
        world.sent(&mut subscriber, &mut replies);
    }
    for (n, (qos, turns)) in
        [(QoS::AtMostOnce, false), (QoS::AtLeastOnce, true), (QoS::AtMostOnce, true)].into_iter().enumerate()
    {
        let topic = if turns { ["x"; 12].join("/") } else { "once".to_owned() };
        // the match that is known is stale
        let other = format!("x/+/{n}");
        world.handle(&mut subscriber, &subscribe(&[&other]), LONG).unwrap();
        delivered(&mut world, &mut subscriber);
        let (took, _) = world.publish(&mut publisher, &publish(&topic, "x", qos, false), 500);
        assert_eq!(took > 1, turns);
        assert_eq!(delivered(&mut world, &mut subscriber), [2]);
        assert_eq!(std::mem::take(&mut *told.0.lock()), [qos]);
    }
    let topic = TopicName::new("will").unwrap();
    let properties = Default::default();
    let will = Will { topic, payload: b"gone", qos: QoS::AtMostOnce, retain: false, properties };
    let dying = world.connect_as(&Connect { will: Some(will), ..connect("d", true) });
    world.end(dying);
    assert_eq!(delivered(&mut world, &mut subscriber), [2]);
    assert!(told.0.lock().iter().all(|qos| *qos == QoS::AtMostOnce), "{told:?}", told = told.0.lock());
    assert!(!told.0.lock().is_empty());
    // and so it is counted
    assert_eq!(world.local.observers.traffic().published_so_far().map(|load| load.messages), [2, 1, 0]);
}

#[test]
fn an_upgraded_message_that_a_full_store_refuses_is_delivered_as_it_came() {
    let store = Arc::new(MayBeFull::default());
    let ports = Ports { store: Some(store.clone()), ..Ports::default() };
    let mut world = World::limited(ports, |limits| limits.upgrade_outgoing_qos = true);
    let (mut publisher, mut subscriber) = (world.connect("p", true), world.connect("s", false));
    let mut replies = world.handle(&mut subscriber, &packet(0x82, &["a"], Some(QoS::AtLeastOnce)), LONG).unwrap();
    world.sent(&mut subscriber, &mut replies);
    for (full, expected) in [(false, 1), (true, 0), (false, 1)] {
        store.0.store(full, Ordering::Relaxed);
        world.publish(&mut publisher, &publish("a", "x", QoS::AtMostOnce, false), LONG);
        assert_eq!(delivered(&mut world, &mut subscriber), [expected], "full: {full}");
    }
    assert_eq!(store.1.load(Ordering::Relaxed), 0, "nothing is stored while it is full");
    // as without the option
    store.0.store(true, Ordering::Relaxed);
    let refused = world.handle(&mut publisher, &publish("a", "x", QoS::AtLeastOnce, false), LONG);
    assert_eq!(refused, Err(CloseReason::StoreFull));
}

/// Nobody may publish, if that is set; with the other one, asking for rights fails.
#[derive(Default)]
struct Closes(AtomicBool, AtomicBool);

struct MayPublish(bool);

impl Authorize for Closes {
    fn rights(&self, _: &ClientId, _: &Identity) -> Option<Arc<dyn Rights>> {
        assert!(!self.1.load(Ordering::Relaxed), "it fails");
        Some(Arc::new(MayPublish(!self.0.load(Ordering::Relaxed))))
    }
}

impl Rights for MayPublish {
    fn may_publish(&self, _: &TopicName) -> bool {
        self.0
    }

    fn may_subscribe(&self, _: &TopicFilter) -> bool {
        true
    }
}

#[test]
fn retained_messages_from_within_the_process_are_sent_whatever_clients_may_do() {
    let rules = Arc::new(Closes::default());
    let ports = Ports { authorize: Some(rules.clone()), ..Ports::default() };
    let mut world = World::limited(ports, |limits| limits.check_retain_source = true);
    for (id, topic) in [("p", "client"), ("$bridge/b", "bridge")] {
        let mut publisher = world.connect(id, true);
        world.retain(&mut publisher, topic, "x");
    }
    let mut subscriber = world.connect("s", true);
    let mut topics = |world: &mut World| {
        let mut replies = world.handle(&mut subscriber, &subscribe(&["#"]), LONG).unwrap();
        let sent = world.sent(&mut subscriber, &mut replies);
        let topic = |sent: Sent| if let Sent::Message(topic, ..) = sent { Some(topic) } else { None };
        let mut topics: Vec<_> = sent.into_iter().filter_map(topic).collect();
        topics.sort();
        topics
    };
    assert_eq!(topics(&mut world), ["bridge", "client"]);
    rules.0.store(true, Ordering::Relaxed);
    assert_eq!(topics(&mut world), ["bridge"]);
    // a plug-in that fails allows nothing
    rules.0.store(false, Ordering::Relaxed);
    rules.1.store(true, Ordering::Relaxed);
    let World { router, local } = &mut world;
    let (topic, publisher) = (TopicName::new("client").unwrap(), ports::Publisher { client: "p".into(), user: None });
    let by = subscriptions::RetainedBy { at: None, publisher: Some(Arc::new(publisher)) };
    let may = local.finish(|local| router.sources(local).unwrap().may_still_publish(topic, &by, &local.observers));
    assert_eq!(may, (false, true));
}

/// Asks another service, and forgets each answer as soon as it was read: its cache may have no place for it. A topic
/// that begins with "no" is refused.
#[derive(Default)]
struct Forgets(Mutex<HashSet<String>>);

struct Services(Arc<Forgets>);

impl Authorize for Services {
    fn rights(&self, client: &ClientId, _: &Identity) -> Option<Arc<dyn Rights>> {
        (client.as_str() == "asks").then(|| self.0.clone() as Arc<dyn Rights>)
    }
}

impl Rights for Forgets {
    fn may_publish(&self, topic: &TopicName) -> bool {
        panic!("{} was asked about", topic.as_str())
    }

    fn may_subscribe(&self, filter: &TopicFilter) -> bool {
        panic!("{} was asked about", filter.as_str())
    }

    fn asks(&self) -> bool {
        true
    }

    fn ask(&self, right: Right<'_>, _: &Waker) -> Option<bool> {
        let (text, what) = match right {
            Right::Publish(topic) => (topic.as_str(), "publish"),
            Right::Subscribe(filter) => (filter.as_str(), "subscribe"),
            Right::Receive(topic) => (topic.as_str(), "receive"),
        };
        let (mut asked, question) = (self.0.lock(), format!("{what} {text}"));
        if asked.insert(question.clone()) {
            return None;
        }
        asked.remove(&question);
        Some(!text.starts_with("no"))
    }
}

impl World {
    fn asking(set: impl FnOnce(&mut RouterLimits)) -> (Self, Client) {
        let ports = Ports { authorize: Some(Arc::new(Services(Arc::default()))), ..Ports::default() };
        let mut world = Self::limited(ports, set);
        let client = world.connect("asks", true);
        (world, client)
    }

    /// The next output for a client.
    fn bytes(&mut self, client: &mut Client, replies: &mut Vec<u8>) -> Vec<u8> {
        let flush = self.router.flush(&mut self.local, client, replies, 0);
        let Flush::Write(Some(out)) = flush else { panic!("{flush:?}") };
        out.contiguous().expect("small packets stand in one piece").to_vec()
    }

    /// Handles a packet whose rights are asked about: how often it waited for an answer, and the replies.
    fn handle_asked(&mut self, client: &mut Client, bytes: &[u8], steps: u32) -> (usize, Vec<u8>) {
        for waited in 0..100 {
            let mut replies = self.handle(client, bytes, steps).unwrap();
            if client.waits_for_rights() {
                assert!(replies.is_empty());
                continue;
            }
            while client.is_busy() {
                self.resume(client, steps, &mut replies);
            }
            return (waited, replies);
        }
        panic!("the packet is never handled");
    }
}

#[test]
fn answers_about_filters_hold_until_their_packet_is_handled_whatever_the_cache_forgets() {
    for (filters, steps, waits) in [(1, LONG, 1), (3, LONG, 1), (200, LONG, 4), (200, 5, 4)] {
        let (mut world, mut client) = World::asking(|_| {});
        let (refused, granted): (Vec<_>, Vec<_>) = (0..filters).partition(|n| n % 3 == 1);
        let text = |n: &usize| format!("{}/{n}", if n % 3 == 1 { "no" } else { "f" });
        let all: Vec<_> = (0..filters).map(|n| text(&n)).collect();
        let bytes = subscribe(&all.iter().map(String::as_str).collect::<Vec<_>>());
        let (waited, mut replies) = world.handle_asked(&mut client, &bytes, steps);
        assert_eq!(waited, waits, "{filters} filters");
        let suback = world.bytes(&mut client, &mut replies);
        let codes = &suback[suback.len() - filters..];
        assert!(granted.iter().all(|&n| codes[n] == 0) && refused.iter().all(|&n| codes[n] == 0x80), "{codes:?}");
        // and no longer
        let (waited, mut replies) = world.handle_asked(&mut client, &subscribe(&["no/x"]), LONG);
        assert_eq!((waited, world.bytes(&mut client, &mut replies)), (1, vec![0x90, 3, 0, 1, 0x80]));
    }
}

#[test]
fn an_answer_about_a_topic_holds_for_its_message_whatever_the_cache_forgets() {
    let (mut world, mut client) = World::asking(|limits| limits.session.max_inflight_in = 1);
    let mut subscriber = world.connect("s", true);
    let mut replies = world.handle(&mut subscriber, &subscribe(&["#"]), LONG).unwrap();
    world.sent(&mut subscriber, &mut replies);
    let mut came = |world: &mut World| {
        let sent = world.sent(&mut subscriber, &mut Vec::new());
        let text = |sent| if let Sent::Message(_, text, _) = sent { text } else { panic!("{sent:?}") };
        sent.into_iter().map(text).collect::<Vec<_>>()
    };
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        for (topic, text) in [("f", "1"), ("no", "2"), ("f", "3"), ("f", "4"), ("no", "5"), ("no", "6")] {
            let (waited, replies) = world.handle_asked(&mut client, &publish(topic, text, qos, false), LONG);
            assert_eq!((waited, replies.len()), (1, 4 * qos as usize), "{text}");
        }
        assert_eq!(came(&mut world), ["1", "3", "4"]);
    }
    // at QoS 2 a message may wait for a place, and the answer with it
    for (id, topic) in [(1, "f"), (2, "no"), (3, "f"), (4, "no")] {
        let mut bytes = Vec::new();
        let flags = PublishFlags { dup: false, qos: QoS::ExactlyOnce, retain: false };
        let (topic, id) = (TopicName::new(topic).unwrap(), PacketId::new(id));
        codec::encode::publish(&mut bytes, flags, topic, id, id.unwrap().get().to_string().as_bytes());
        let (waited, replies) = world.handle_asked(&mut client, &bytes, LONG);
        assert_eq!((waited, replies.is_empty()), (1, id.unwrap().get() > 1));
    }
    assert_eq!(came(&mut world), ["1"]);
    // the second is refused, which frees its place
    for (released, text) in [(1, vec!["3"]), (3, Vec::new())] {
        world.handle(&mut client, &[0x62, 2, 0, released], LONG).unwrap();
        assert_eq!(came(&mut world), text, "after {released}");
    }
}
