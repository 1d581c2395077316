//! The router's counts of messages in sessions, compared with a walk over all sessions; and the owners of sessions.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    task::Waker,
};

use proptest::{prelude::*, sample::Index};

use super::*;
use crate::{
    codec::{self, Connect, Cut, PublishFlags},
    session::{CloseReason, RestoredMessage, RestoredState, SessionNumber},
    types::{PacketId, ProtocolVersion, QoS, QueueFull},
};

/// Client Identifiers; the sessions of those in capitals are kept.
const CLIENTS: [&str; 5] = ["a", "B", "C", "d", "Restored"];
const TOPICS: [&str; 4] = ["t", "t/1", "t/2", "secret/x"];
const FILTERS: [&str; 6] = ["#", "t", "t/+", "secret/x", "$share/g/t", "$share/h/#"];

#[derive(Clone, Debug)]
enum Step {
    Connect {
        client: usize,
        clean: bool,
    },
    End {
        client: usize,
    },
    Publish {
        client: usize,
        topic: usize,
        qos: QoS,
        retain: bool,
        size: usize,
    },
    Subscribe {
        client: usize,
        filter: usize,
        qos: QoS,
    },
    /// The client acknowledges some of the messages that it was sent.
    Acknowledge {
        client: usize,
        which: Vec<Index>,
    },
    Flush {
        client: usize,
        unwritten: usize,
    },
    /// Clients may no longer read `secret/…`, or may again.
    Rules {
        limit: bool,
    },
    Expire,
    Policy {
        full: QueueFull,
        queue_qos0: bool,
        thread: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS.len();
    let qos = prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)];
    let full = prop_oneof![Just(QueueFull::DropNewest), Just(QueueFull::DropOldest), Just(QueueFull::KeepLast)];
    prop_oneof![
        4 => (client.clone(), any::<bool>()).prop_map(|(client, clean)| Step::Connect { client, clean }),
        3 => client.clone().prop_map(|client| Step::End { client }),
        12 => (client.clone(), 0..TOPICS.len(), qos.clone(), any::<bool>(), 0..60usize)
            .prop_map(|(client, topic, qos, retain, size)| Step::Publish { client, topic, qos, retain, size }),
        4 => (client.clone(), 0..FILTERS.len(), qos)
            .prop_map(|(client, filter, qos)| Step::Subscribe { client, filter, qos }),
        8 => (client.clone(), proptest::collection::vec(any::<Index>(), 0..6))
            .prop_map(|(client, which)| Step::Acknowledge { client, which }),
        4 => (client, prop_oneof![Just(0), Just(1 << 20)])
            .prop_map(|(client, unwritten)| Step::Flush { client, unwritten }),
        4 => any::<bool>().prop_map(|limit| Step::Rules { limit }),
        1 => Just(Step::Expire),
        1 => (full, any::<bool>(), any::<bool>())
            .prop_map(|(full, queue_qos0, thread)| Step::Policy { full, queue_qos0, thread }),
    ]
}

/// Rules that allow or deny reading topics of `secret/…`.
#[derive(Default)]
struct Rules(AtomicBool);

struct NoSecrets;

impl Authorize for Rules {
    fn rights(&self, _: &ClientId, _: &Identity) -> Option<Arc<dyn Rights>> {
        self.0.load(Ordering::Relaxed).then(|| Arc::new(NoSecrets) as Arc<dyn Rights>)
    }
}

impl Rights for NoSecrets {
    fn may_publish(&self, _: &TopicName) -> bool {
        true
    }

    fn may_subscribe(&self, _: &TopicFilter) -> bool {
        true
    }

    fn may_receive(&self, topic: &TopicName) -> bool {
        !topic.as_str().starts_with("secret/")
    }

    fn limits_reading(&self) -> bool {
        true
    }
}

fn limits() -> RouterLimits {
    RouterLimits {
        session: SessionLimits {
            max_inflight_out: 3,
            max_inflight_in: 2,
            max_queued_messages: 4,
            max_queued_bytes: 150,
            queue_full: QueueFull::DropNewest,
            queue_qos0: false,
            max_outbound_bytes: 400,
        },
        max_client_id_length: 100,
        max_topic_length: 100,
        max_topic_levels: 10,
        max_retained_messages: 10,
        max_retained_bytes: 1_000,
        max_subscriptions: 10,
        max_sessions: 10,
        ..RouterLimits::default()
    }
}

/// A router with two threads that are used in turn.
struct World {
    router: Router,
    rules: Arc<Rules>,
    threads: [RouterThread; 2],
    thread: usize,
    now: Instant,
    clients: [Option<Client>; CLIENTS.len()],
    /// Messages to each client: whether PUBACK (otherwise PUBCOMP) completes it, and the identifier.
    sent: [Vec<(bool, PacketId)>; CLIENTS.len()],
}

impl World {
    fn new() -> Self {
        let (rules, now) = (Arc::new(Rules::default()), Instant::now());
        let ports = Ports { authorize: Some(rules.clone()), ..Ports::default() };
        let router = Router::new(limits(), ports, 7);
        let mut threads = [router.local(now), router.local(now)];
        let message = |number| RestoredMessage {
            number,
            state: RestoredState::Queued {
                identifiers: Default::default(),
                message: crate::session::Message::new(TopicName::new("t").unwrap(), b"kept", QoS::AtLeastOnce),
                qos: QoS::AtLeastOnce,
                retain: false,
                shared: false,
            },
        };
        let number = SessionNumber(7.try_into().unwrap());
        let session = RestoredSession {
            session: number,
            client: "Restored".into(),
            owner: None,
            lasts: None,
            away: Duration::ZERO,
            subscriptions: Vec::new(),
            messages: vec![message(1), message(2)],
            received: Vec::new(),
            retained_due: Vec::new(),
            will: None,
            will_left: None,
            due: Vec::new(),
        };
        let restored =
            Restored { sessions: vec![session], retained: Vec::new(), wills: Vec::new(), next_session: number };
        router.restore(&mut threads[1], restored, now);
        Self { router, rules, threads, thread: 0, now, clients: Default::default(), sent: Default::default() }
    }

    fn take(&mut self, step: Step) {
        let (router, local) = (&self.router, &mut self.threads[self.thread]);
        router.refresh(local, self.now);
        match step {
            Step::Connect { client, clean } => {
                let name = CLIENTS[client];
                let clean = clean && !name.starts_with(char::is_uppercase);
                let connected = router.connect(
                    local,
                    &connect(name, clean),
                    name.into(),
                    Identity::default(),
                    Peer { address: ([127, 0, 0, 1], 1).into(), loopback_listener: true, listener: 0 },
                    Waker::noop().clone(),
                );
                self.sent[client].clear();
                self.clients[client] = Some(connected.unwrap().client);
            }
            Step::End { client } => {
                if let Some(client) = self.clients[client].take() {
                    router.end(local, &client, &CloseReason::ConnectionLost, self.now);
                }
            }
            Step::Publish { client, topic, qos, retain, size } => {
                let mut bytes = Vec::new();
                let flags = PublishFlags { dup: false, qos, retain };
                let id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
                let topic = TopicName::new(TOPICS[topic]).unwrap();
                codec::encode::publish(&mut bytes, flags, topic, id, &vec![b'x'; size]);
                self.handle(client, &bytes);
                if qos == QoS::ExactlyOnce {
                    self.handle(client, &[0x62, 2, 0, 1]);
                }
            }
            Step::Subscribe { client, filter, qos } => {
                let filter = FILTERS[filter];
                let length = u8::try_from(filter.len()).unwrap();
                let mut bytes = vec![0x82, length + 5, 0, 1, 0, length];
                bytes.extend_from_slice(filter.as_bytes());
                bytes.push(qos as u8);
                self.handle(client, &bytes);
            }
            Step::Acknowledge { client, which } => {
                let mut acks = Vec::new();
                for index in which.iter().filter(|_| !self.sent[client].is_empty()) {
                    let (first, id) = self.sent[client][index.index(self.sent[client].len())];
                    let kind = if first { 0x40 } else { 0x70 };
                    acks.extend_from_slice(&[kind, 2, id.get().to_be_bytes()[0], id.get().to_be_bytes()[1]]);
                }
                // a QoS 2 message is answered in two steps, and a wrong answer ends the connection
                self.handle(client, &acks);
            }
            Step::Flush { client, unwritten } => self.flush(client, unwritten),
            Step::Rules { limit } => {
                self.rules.0.store(limit, Ordering::Relaxed);
                router.permissions_changed();
            }
            Step::Expire => {
                self.now += Duration::from_secs(61);
                router.refresh(local, self.now);
                router.requeue_waiting(local, self.now, 2);
                router.requeue_waiting(local, self.now, 100);
                router.expire_sessions(local, self.now, usize::MAX);
            }
            Step::Policy { full, queue_qos0, thread } => {
                self.thread = usize::from(thread);
                let session = SessionLimits { queue_full: full, queue_qos0, ..limits().session };
                router.set_limits(RouterLimits { session, ..limits() });
            }
        }
    }

    /// Compares the gauges with a walk over all sessions.
    fn compare(&self, after: &Step) {
        let counted = self.router.backlog();
        let Backlog { messages, bytes, .. } = self.router.sessions.walk_backlogs();
        assert_eq!((counted.messages, counted.bytes), (messages, bytes), "after {after:?}");
        assert_eq!(counted.cost, self.cost(), "after {after:?}");
    }

    /// Messages that their clients may not read now.
    fn skipped(&self) -> usize {
        self.router.sessions.all().iter().map(|slot| slot.lock().session.skipped()).sum()
    }

    /// The memory of all queued, in-flight and skipped messages, each counted once.
    fn cost(&self) -> usize {
        let (mut messages, mut places) = (BTreeMap::new(), 0);
        self.router.sessions.all().iter().for_each(|slot| {
            places += slot.lock().session.costs(|message| _ = messages.insert(message.address(), message.cost()));
        });
        places + messages.values().sum::<usize>()
    }

    /// Handles bytes from a client; invalid packets end its connection.
    fn handle(&mut self, client: usize, mut bytes: &[u8]) {
        while !bytes.is_empty()
            && let Some(connected) = &mut self.clients[client]
        {
            let local = &mut self.threads[self.thread];
            let Ok(Cut::Frame(frame)) = codec::frame(ProtocolVersion::V311, bytes, 1 << 20) else { unreachable!() };
            let (mut handled, mut replies) = (Handled::one(frame), Vec::new());
            let result = self.router.handle_frame(local, connected, frame, bytes, &mut handled, &mut replies);
            if let Err(reason) = result {
                self.router.end(local, connected, &reason, self.now);
                self.clients[client] = None;
                return;
            }
            bytes = &bytes[handled.bytes..];
        }
    }

    fn flush(&mut self, client: usize, unwritten: usize) {
        let Some(connected) = &mut self.clients[client] else { return };
        let local = &mut self.threads[self.thread];
        let Flush::Write(Some(out)) = self.router.flush(local, connected, &mut Vec::new(), unwritten) else { return };
        let mut bytes = out.contiguous().expect("small payloads stand in one piece");
        while let Ok(Cut::Frame(frame)) = codec::frame(ProtocolVersion::V311, bytes, 1 << 20) {
            if frame.first >> 4 == 3 {
                let publish = codec::decode_publish(ProtocolVersion::V311, frame).unwrap();
                // PUBACK completes QoS 1, PUBCOMP completes QoS 2
                self.sent[client].extend(publish.packet_id.map(|id| (publish.qos != QoS::ExactlyOnce, id)));
                if let (QoS::ExactlyOnce, Some(id)) = (publish.qos, publish.packet_id) {
                    let id = id.get().to_be_bytes();
                    let pubrec = [0x50, 2, id[0], id[1]];
                    let frame_of = codec::frame(ProtocolVersion::V311, &pubrec, 4);
                    let Ok(Cut::Frame(pubrec_frame)) = frame_of else { unreachable!() };
                    let mut handled = Handled::one(pubrec_frame);
                    let handled = self.router.handle_frame(
                        local,
                        connected,
                        pubrec_frame,
                        &pubrec,
                        &mut handled,
                        &mut Vec::new(),
                    );
                    handled.unwrap();
                }
            }
            bytes = &bytes[frame.len..];
        }
    }
}

/// The CONNECT of a client of 3.1.1.
pub(crate) fn connect(client_id: &str, clean_session: bool) -> Connect<'_> {
    Connect {
        version: ProtocolVersion::V311,
        bridge: false,
        clean_session,
        keep_alive: 0,
        client_id,
        will: None,
        username: None,
        password: None,
        properties: Default::default(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_gauges_equal_the_sums_over_all_sessions(steps in proptest::collection::vec(step(), 1..200)) {
        let mut world = World::new();
        let Backlog { messages, bytes, .. } = world.router.backlog();
        prop_assert_eq!((messages, bytes), (2, 10));
        for step in steps {
            world.take(step.clone());
            world.compare(&step);
        }
        for client in 0..CLIENTS.len() {
            world.take(Step::End { client });
        }
        world.take(Step::Expire);
        prop_assert_eq!(world.router.session_count(), 0);
        prop_assert_eq!(world.router.backlog(), Backlog::default());
    }
}

#[test]
fn skipped_messages_count_in_the_gauges_until_dropped() {
    const SECRET: usize = 3;
    let [a, b, c] = [0, 1, 2];
    let publish = |topic, qos| Step::Publish { client: a, topic, qos, retain: false, size: 10 };
    let policy = |queue_qos0, thread| Step::Policy { full: QueueFull::DropOldest, queue_qos0, thread };
    let come = |client| Step::Connect { client, clean: false };
    let flush = |client| Step::Flush { client, unwritten: 0 };
    let [limit, free] = [true, false].map(|limit| Step::Rules { limit });
    let mut world = World::new();
    // each step, and the number of skipped messages after it
    for (at, (step, skipped)) in [
        (come(a), 0),
        (come(b), 0),
        (Step::Subscribe { client: b, filter: 0, qos: QoS::ExactlyOnce }, 0),
        (Step::End { client: b }, 0),
        (policy(true, false), 0),
        (publish(SECRET, QoS::AtLeastOnce), 0),
        (publish(SECRET, QoS::AtMostOnce), 0),
        (publish(SECRET, QoS::ExactlyOnce), 0),
        (limit.clone(), 3),
        (publish(0, QoS::AtLeastOnce), 3),
        // the queue is full: the oldest skipped message makes room
        (publish(0, QoS::AtLeastOnce), 2),
        (free.clone(), 0),
        (limit.clone(), 2),
        // a message of QoS 0 is dropped when the client disconnects
        (policy(false, true), 2),
        (come(b), 2),
        (Step::End { client: b }, 1),
        (free.clone(), 0),
        // one message is queued for one client and in flight to another
        (come(c), 0),
        (Step::Subscribe { client: c, filter: SECRET, qos: QoS::AtLeastOnce }, 0),
        (publish(SECRET, QoS::AtLeastOnce), 0),
        (flush(c), 0),
        (limit.clone(), 2),
        (Step::End { client: c }, 2),
        (limit.clone(), 3),
        (free.clone(), 0),
        (limit.clone(), 3),
        (come(c), 3),
        (free.clone(), 0),
        (flush(c), 0),
        (Step::End { client: c }, 0),
        (limit, 3),
    ]
    .into_iter()
    .enumerate()
    {
        world.take(step.clone());
        world.compare(&step);
        assert_eq!(world.skipped(), skipped, "step {at}, {step:?}");
    }
    world.take(Step::End { client: a });
    world.take(Step::Expire);
    assert_eq!((world.router.session_count(), world.router.backlog()), (0, Backlog::default()));
}

#[test]
fn a_user_with_half_of_the_sessions_gets_no_further_one() {
    let (router, now) =
        (Router::new(RouterLimits { max_sessions: 2_400, ..limits() }, Ports::default(), 7), Instant::now());
    let mut local = router.local(now);
    let mut come = |user: Option<&str>, n: usize| {
        let identity = Identity {
            user: user.map(Into::into),
            proof: if user.is_some() { Proof::Password } else { Proof::None },
            ..Identity::default()
        };
        let name = format!("{}{n}", user.unwrap_or("nobody"));
        let peer = Peer { address: ([127, 0, 0, 1], 1).into(), loopback_listener: true, listener: 0 };
        let connect = connect(&name, false);
        router.connect(&mut local, &connect, name.as_str().into(), identity, peer, Waker::noop().clone())
    };
    let first: Vec<_> = (0..1_200).map(|n| come(Some("a"), n).unwrap().client).collect();
    // there is one user, and no user has more than half
    let more = come(Some("a"), 1_200).unwrap().client;
    let refused = |result: Result<Connected, CloseReason>| match result {
        Err(CloseReason::Refused { code, why }) => {
            assert_eq!(code, codec::ReasonCode::QuotaExceeded);
            assert!(why.contains("its user has"), "{why}");
        }
        other => panic!("refused, not {other:?}"),
    };
    refused(come(Some("a"), 1_201));
    // a client with a session may return to it, and other users may begin sessions
    assert!(come(Some("a"), 7).unwrap().session_present);
    come(Some("b"), 1).unwrap();
    (0..1_000).for_each(|n| _ = come(None, n).unwrap());
    come(None, 1_000).unwrap();
    let mut local = router.local(now);
    assert_eq!(router.counters().get(Count::RefusedSessions), 1);
    // sessions that expire make room
    for client in [&first[0], &first[1], &more] {
        router.end(&mut local, client, &CloseReason::ClientDisconnect, now);
    }
    router.expire_sessions(&mut local, now + Duration::from_secs(61), usize::MAX);
    assert_eq!(router.session_count(), 1_201 + 1 + 1_001 - 3);
    come(Some("a"), 1_201).unwrap();
}

#[test]
fn sessions_of_the_broker_s_own_parts_do_not_expire_before_these_begin() {
    let now = Instant::now();
    let router =
        Router::new(RouterLimits { session_expiry: Some(Duration::from_secs(60)), ..limits() }, Ports::default(), 7);
    let mut local = router.local(now);
    let names = ["$bridge/w", "$sink/w", "$webhook/w", "$other", "sensor"];
    let session = |(client, number): (&str, u64)| RestoredSession {
        session: SessionNumber(number.try_into().unwrap()),
        client: client.into(),
        owner: None,
        lasts: None,
        away: Duration::from_secs(3_600),
        subscriptions: Vec::new(),
        messages: Vec::new(),
        received: Vec::new(),
        retained_due: Vec::new(),
        will: None,
        will_left: None,
        due: Vec::new(),
    };
    let sessions = names.into_iter().zip(1..).map(session).collect();
    let next_session = SessionNumber(9.try_into().unwrap());
    router.restore(&mut local, Restored { sessions, retained: Vec::new(), wills: Vec::new(), next_session }, now);
    router.expire_sessions(&mut local, now + Duration::from_secs(3_600), usize::MAX);
    let are_there = names.map(|name| router.sessions.get(&name.into()).is_some());
    assert_eq!(are_there, [true, true, true, false, false]);
}
