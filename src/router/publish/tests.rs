//! Groups of shared subscriptions against a model, under a virtual clock: members connect, disconnect, stall,
//! unsubscribe and end.

use std::{
    collections::{BTreeMap, BTreeSet},
    task::Waker,
    time::{Duration, Instant},
};

use proptest::{collection::vec, prelude::*};

use crate::{
    codec::{self, Connect, Cut, PublishFlags},
    router::{Client, Flush, Handled, Identity, Peer, Ports, Router, RouterLimits, RouterThread, SysPublish},
    session::{CloseReason, SessionLimits},
    topic::TopicName,
    types::{PacketId, ProtocolVersion, QoS, QueueFull, SharedSubscriptions},
};

/// The sessions of those in capitals are kept.
const MEMBERS: [&str; 5] = ["a", "B", "C", "d", "E"];
const POLICIES: [SharedSubscriptions; 6] = [
    SharedSubscriptions::RoundRobin,
    SharedSubscriptions::Random,
    SharedSubscriptions::Sticky,
    SharedSubscriptions::HashClient,
    SharedSubscriptions::HashTopic,
    SharedSubscriptions::Off,
];

#[derive(Clone, Debug)]
enum Step {
    /// A member's client connects, if it is away, and subscribes, if its session is new.
    Come(usize),
    /// Its connection ends.
    Go(usize),
    /// Its session ends.
    End(usize),
    /// It unsubscribes.
    Leave(usize),
    Publish(u8, u8),
    /// It reads all output.
    Read(usize),
    /// It acknowledges this many of the messages that it has read.
    Acknowledge(usize, usize),
    /// This many milliseconds pass.
    Pass(u64),
    Policy(usize),
}

fn is_kept(who: usize) -> bool {
    MEMBERS[who].starts_with(char::is_uppercase)
}

fn steps(moves: bool) -> impl Strategy<Value = Vec<Step>> {
    let member = || 0..MEMBERS.len();
    let often = if moves { 2 } else { 0 };
    let step = prop_oneof![
        6 => member().prop_map(Step::Come),
        2 => member().prop_map(Step::Go),
        often => member().prop_map(Step::End),
        often => member().prop_map(Step::Leave),
        24 => (0..3_u8, 0..3_u8).prop_map(|(topic, qos)| Step::Publish(topic, qos)),
        8 => member().prop_map(Step::Read),
        8 => (member(), 0..5_usize).prop_map(|(member, count)| Step::Acknowledge(member, count)),
        often => (0..1_500_u64).prop_map(Step::Pass),
        1 => (0..POLICIES.len()).prop_map(Step::Policy),
    ];
    vec(step, 1..250)
}

/// A member's session, from its beginning to its end.
#[derive(Default)]
struct Life {
    client: Option<Client>,
    has_session: bool,
    is_member: bool,
    /// Received messages without an acknowledgement: QoS, Packet Identifier, number of the message.
    inbox: Vec<(QoS, PacketId, u64)>,
    received: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
    /// The last message of each topic and QoS.
    last: BTreeMap<(String, u8), u64>,
}

struct World {
    router: Router,
    local: RouterThread,
    now: Instant,
    publisher: Client,
    lives: [Life; MEMBERS.len()],
    ended: Vec<Life>,
    published: u64,
    /// Messages of QoS 1 and 2 that a member must receive.
    owed: BTreeMap<u64, QoS>,
    /// Messages never change their member.
    in_order: bool,
}

fn limits(policy: SharedSubscriptions, requeue_after: Duration) -> RouterLimits {
    RouterLimits {
        session: SessionLimits {
            max_inflight_out: 3,
            max_inflight_in: 20,
            max_queued_messages: 100_000,
            max_queued_bytes: 1 << 30,
            queue_full: QueueFull::DropNewest,
            queue_qos0: true,
            max_outbound_bytes: 200,
        },
        max_client_id_length: 100,
        max_topic_length: 100,
        max_topic_levels: 10,
        max_queued_bytes_total: usize::MAX,
        max_memory: None,
        message_expiry: None,
        retained_expiry: None,
        reconnects: None,
        says: Default::default(),
        max_retained_messages: 10,
        max_retained_bytes: 1_000,
        max_subscription_bytes: usize::MAX,
        max_subscriptions: 10,
        max_sessions: 100,
        session_expiry: None,
        sys_publish: SysPublish::Drop,
        has_events: false,
        session_owner: Default::default(),
        client_id: Default::default(),
        client_ids: Default::default(),
        max_packet_size: 2_000_000,
        check_retain_source: false,
        upgrade_outgoing_qos: false,
        max_message_size: None,
        receive_maximum: u16::MAX,
        topic_alias_maximum: 10,
        shared_subscriptions: policy,
        shared_requeue_after: requeue_after,
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn connected(router: &Router, local: &mut RouterThread, client_id: &str, clean_session: bool) -> Client {
    let connect = Connect {
        version: ProtocolVersion::V311,
        bridge: false,
        clean_session,
        keep_alive: 0,
        client_id,
        will: None,
        username: None,
        password: None,
        properties: Default::default(),
    };
    let peer = Peer { address: ([127, 0, 0, 1], 1).into(), loopback_listener: true, listener: 0 };
    let waker = Waker::noop().clone();
    router.connect(local, &connect, client_id.into(), Identity::default(), peer, waker).unwrap().client
}

impl World {
    fn new(in_order: bool) -> Self {
        let after = if in_order { Duration::from_secs(3_600) } else { SECOND };
        let router = Router::new(limits(SharedSubscriptions::RoundRobin, after), Ports::default(), 7);
        let now = Instant::now();
        let mut local = router.local(now);
        let publisher = connected(&router, &mut local, "publisher", true);
        let (lives, ended) = (Default::default(), Vec::new());
        Self { router, local, now, publisher, lives, ended, published: 0, owed: BTreeMap::new(), in_order }
    }

    fn take(&mut self, step: Step) {
        self.router.refresh(&mut self.local, self.now);
        match step {
            Step::Come(who) => self.come(who),
            // the messages of a session that is not kept would move
            Step::Go(who) if self.in_order && !is_kept(who) => {}
            Step::Go(who) => self.go(who),
            Step::End(who) => self.end(who),
            Step::Leave(who) => self.leave(who),
            Step::Publish(topic, qos) => self.publish(topic, QoS::from_bits(qos).unwrap()),
            Step::Read(who) => self.read(who),
            Step::Acknowledge(who, count) => self.acknowledge(who, count),
            Step::Pass(milliseconds) => {
                self.now += Duration::from_millis(milliseconds);
                self.router.refresh(&mut self.local, self.now);
                self.router.requeue_waiting(&mut self.local, self.now, 1_000);
            }
            Step::Policy(policy) => {
                let after = if self.in_order { Duration::from_secs(3_600) } else { SECOND };
                self.router.set_limits(limits(POLICIES[policy], after));
            }
        }
    }

    fn come(&mut self, who: usize) {
        let (name, life) = (MEMBERS[who], &mut self.lives[who]);
        if life.client.is_some() {
            return;
        }
        life.client = Some(connected(&self.router, &mut self.local, name, !is_kept(who)));
        life.inbox.clear();
        life.has_session = true;
        if !life.is_member {
            // `off` only refuses later subscriptions
            self.handle(who, &[&[0x82, 17, 0, 1, 0, 12][..], b"$share/g/t/#", &[2]].concat());
            let is_granted = self.router.shared_subscription_count() > self.members();
            self.lives[who].is_member = is_granted;
        }
    }

    fn members(&self) -> usize {
        self.lives.iter().filter(|life| life.is_member).count()
    }

    fn go(&mut self, who: usize) {
        // messages in its output buffer count as sent
        self.read(who);
        let Some(client) = self.lives[who].client.take() else { return };
        self.router.end(&mut self.local, &client, &CloseReason::ConnectionLost, self.now);
        if !is_kept(who) {
            self.bury(who);
        }
    }

    fn end(&mut self, who: usize) {
        self.go(who);
        if self.lives[who].has_session {
            let client = connected(&self.router, &mut self.local, MEMBERS[who], true);
            self.router.end(&mut self.local, &client, &CloseReason::ConnectionLost, self.now);
            self.bury(who);
        }
    }

    fn bury(&mut self, who: usize) {
        let life = std::mem::take(&mut self.lives[who]);
        // a QoS 2 message that was sent once goes to no other member
        self.owed.retain(|number, qos| *qos != QoS::ExactlyOnce || !life.received.contains(number));
        self.ended.push(life);
        self.forget_if_alone();
    }

    fn leave(&mut self, who: usize) {
        self.read(who);
        let life = &mut self.lives[who];
        if life.client.is_none() || !life.is_member {
            return;
        }
        life.is_member = false;
        // messages that it was sent stay with it
        self.owed.retain(|number, _| !life.received.contains(number));
        self.forget_if_alone();
        self.handle(who, &[&[0xA2, 16, 0, 2, 0, 12][..], b"$share/g/t/#"].concat());
    }

    /// Without a member, no message must be received.
    fn forget_if_alone(&mut self) {
        if self.members() == 0 {
            self.owed.clear();
        }
    }

    fn publish(&mut self, topic: u8, qos: QoS) {
        let (mut bytes, topic) = (Vec::new(), format!("t/{topic}"));
        let flags = PublishFlags { dup: false, qos, retain: false };
        let id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
        let payload = self.published.to_string();
        codec::encode::publish(&mut bytes, flags, TopicName::new(&topic).unwrap(), id, payload.as_bytes());
        if qos == QoS::ExactlyOnce {
            bytes.extend_from_slice(&[0x62, 2, 0, 1]);
        }
        if qos != QoS::AtMostOnce && self.members() > 0 {
            self.owed.insert(self.published, qos);
        }
        self.published += 1;
        let Self { router, local, publisher, .. } = self;
        handle(router, local, publisher, &bytes);
        router.flush(local, publisher, &mut Vec::new(), 0);
    }

    fn handle(&mut self, who: usize, bytes: &[u8]) {
        let client = self.lives[who].client.as_mut().unwrap();
        handle(&self.router, &mut self.local, client, bytes);
    }

    fn read(&mut self, who: usize) {
        let Some(client) = &mut self.lives[who].client else { return };
        let mut messages = Vec::new();
        // a second call returns messages that wait for acknowledgements, or belong to the next turn
        let Flush::Write(Some(out)) = self.router.flush(&mut self.local, client, &mut Vec::new(), 0) else { return };
        let mut bytes = out.contiguous().expect("small payloads stand in one piece");
        while let Ok(Cut::Frame(frame)) = codec::frame(ProtocolVersion::V311, bytes, 1 << 20) {
            if frame.first >> 4 == 3 {
                let publish = codec::decode_publish(ProtocolVersion::V311, frame).unwrap();
                let number: u64 = std::str::from_utf8(publish.payload).unwrap().parse().unwrap();
                let topic = publish.topic.as_str().to_owned();
                messages.push((topic, publish.qos, publish.packet_id, number, publish.dup));
            }
            bytes = &bytes[frame.len..];
        }
        for (topic, qos, id, number, dup) in messages {
            self.receive(who, topic, (qos, number, dup));
            self.lives[who].inbox.extend(id.map(|id| (qos, id, number)));
        }
    }

    fn receive(&mut self, who: usize, topic: String, (qos, number, dup): (QoS, u64, bool)) {
        let (in_order, life) = (self.in_order, &mut self.lives[who]);
        if !life.received.insert(number) {
            assert!(dup && !life.acknowledged.contains(&number), "{number} came twice to {who}");
            return;
        }
        let last = life.last.insert((topic, qos as u8), number);
        assert!(!in_order || last.is_none_or(|last| last < number), "{number} came behind {last:?}");
        let others = self.lives.iter().enumerate().filter(|(other, _)| *other != who).map(|(_, life)| life);
        for other in others {
            assert!(!other.received.contains(&number), "{number} came to two members");
        }
        for other in self.ended.iter().filter(|other| other.received.contains(&number)) {
            assert_eq!(qos, QoS::AtLeastOnce, "{number} came to another session too");
            assert!(!other.acknowledged.contains(&number), "{number} was acknowledged, and came again");
        }
    }

    fn acknowledge(&mut self, who: usize, count: usize) {
        let life = &mut self.lives[who];
        if life.client.is_none() {
            return;
        }
        let count = count.min(life.inbox.len());
        for (qos, id, number) in life.inbox.drain(..count).collect::<Vec<_>>() {
            let [high, low] = id.get().to_be_bytes();
            self.lives[who].acknowledged.insert(number);
            self.owed.remove(&number);
            match qos {
                QoS::ExactlyOnce => {
                    self.handle(who, &[0x50, 2, high, low]);
                    self.handle(who, &[0x70, 2, high, low]);
                }
                _ => self.handle(who, &[0x40, 2, high, low]),
            }
        }
        self.read(who);
    }

    /// All members read and acknowledge until nothing is left.
    fn settle(&mut self) {
        for who in 0..MEMBERS.len() {
            if self.lives[who].has_session {
                self.come(who);
            }
        }
        for _ in 0..300 {
            for who in 0..MEMBERS.len() {
                self.read(who);
                self.acknowledge(who, usize::MAX);
            }
            self.take(Step::Pass(1_000));
        }
    }
}

fn handle(router: &Router, local: &mut RouterThread, client: &mut Client, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let Ok(Cut::Frame(frame)) = codec::frame(ProtocolVersion::V311, bytes, 1 << 20) else { unreachable!() };
        let (mut handled, mut replies) = (Handled::one(frame), Vec::new());
        router.handle_frame(local, client, frame, bytes, &mut handled, &mut replies).unwrap();
        bytes = &bytes[handled.bytes..];
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn each_message_goes_to_one_member_of_a_group(steps in steps(true)) {
        let mut world = World::new(false);
        for step in steps {
            world.take(step);
        }
        world.settle();
        prop_assert_eq!(&world.owed, &BTreeMap::new());
        prop_assert_eq!(world.router.backlog().messages, 0);
        // nothing is left of groups without members
        for who in 0..MEMBERS.len() {
            world.end(who);
        }
        prop_assert_eq!(world.router.shared_subscription_count(), 0);
        prop_assert!(world.router.subscriptions.group_count() == 0);
    }

    #[test]
    fn messages_that_stay_with_a_member_keep_their_order(steps in steps(false)) {
        let mut world = World::new(true);
        for step in steps {
            world.take(step);
        }
    }
}
