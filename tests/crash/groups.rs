//! [`Groups`]: two groups of shared subscriptions. One member receives each message: at QoS 1 at least once, at QoS 2
//! exactly once. The members must be those of the acknowledged SUBSCRIBEs.

use std::{collections::BTreeSet, thread};

use crate::{
    inbox::Inbox,
    publisher::{GROUPED, Publisher, Stream},
    support::{
        random::Random,
        raw::{Client, Connect, Frame, Message, PINGREQ, ack, connack, suback, subscribe, unsubscribe},
    },
    wire::{Broker, Connection},
};

/// The filters of the groups, at the QoS of the published messages.
const FILTERS: [(&str, u8); 2] = [("$share/crash/g/+/1", 1), ("$share/crash/g/+/2", 2)];
/// The message to this topic is the last of those that waited in a member.
const LAST: &str = "g/last";
/// Prefix of the payloads of messages that show the members of the group of QoS 1.
const PROBE: &str = "probe";
const PROBE_TOPIC: &str = "g/probe/1";
/// Each member gets as many of them, be there two or three.
const PROBES: usize = 12;
const LOYAL: usize = 2;
const MEMBERS: usize = LOYAL + 1;
const WINDOW: usize = 30;
/// How often all members are asked whether nothing waits any more: a message that waits in one may go to another that
/// has said so already.
const LOOKS: usize = 5;

/// A member's session: whether it is in the group of QoS 1; `None`: there is no session.
type Session = Option<bool>;

/// A publisher, and the members.
pub struct Groups {
    publisher: Publisher,
    /// The last one is in the group of QoS 1 alone, leaves it and comes back, and its session ends now and then: a QoS
    /// 2 message that was sent ends with its session [MQTT-4.8.2-5], one of QoS 1 goes to another.
    members: [Member; MEMBERS],
    /// The last messages of which it is known that members have them.
    settled: [u64; 2],
    /// Messages that came more than once, as QoS 1 may.
    pub repeated: u64,
}

struct Member {
    id: String,
    is_loyal: bool,
    inbox: Inbox,
    /// Its possible states: one, unless a request was not answered.
    possible: Vec<Session>,
    received: BTreeSet<(Stream, u64)>,
    repeated: u64,
    probes: usize,
}

impl Groups {
    /// All are members from now on.
    pub fn new(broker: &Broker) -> Self {
        let members = std::array::from_fn(|n| Member::new(broker, n));
        Self { publisher: Publisher::new(GROUPED, WINDOW), members, settled: [0; 2], repeated: 0 }
    }

    /// The threads of all, until the broker is killed. Members may be away.
    pub fn traffic<'s>(&'s mut self, scope: &'s thread::Scope<'s, '_>, broker: &'s Broker, random: &mut Random) {
        let Self { publisher, members, .. } = self;
        let own = random.fork();
        scope.spawn(move || publisher.send(broker, own));
        for member in members {
            let (own, is_away) = (random.fork(), random.once_in(3));
            if !is_away {
                scope.spawn(move || member.receive(broker, own));
            }
        }
    }

    /// All clients complete their requests; then nothing is lost, and the groups are as acknowledged.
    pub fn settle(&mut self, broker: &Broker, end: &str) {
        self.publisher.finish(broker);
        let mut connections = self.members.each_mut().map(|member| member.ready(broker));
        let mut prober = Client::open(broker.address());
        prober.send(&Connect::new("group-prober").frame());
        prober.expect(&connack(0, 0));
        for look in 0..LOOKS {
            self.drain(&mut connections, &mut prober, &format!("{end}, {look}"));
            if self.missing().is_none() {
                break;
            }
        }
        if let Some((stream, number)) = self.missing() {
            panic!("no member of the group has {stream:?} {number}: lost");
        }
        self.settled = self.publisher.sent().into_values().collect::<Vec<_>>().try_into().expect("two streams");
        self.expect_once();
        (0..PROBES).for_each(|n| prober.publish(Message::new(PROBE_TOPIC, &format!("{PROBE} {n}")).qos(1)));
        self.drain(&mut connections, &mut prober, &format!("{end}, probes"));
        self.judge_probes();
        connections.into_iter().for_each(Connection::disconnect);
    }

    /// How many messages were published to them.
    pub fn sent(&self) -> u64 {
        self.publisher.sent().into_values().sum()
    }

    /// Members have all that waits, and their acknowledgements have arrived.
    fn drain(&mut self, connections: &mut [Connection<'_>; MEMBERS], prober: &mut Client, last: &str) {
        thread::scope(|scope| {
            for (member, connection) in self.members.iter_mut().zip(connections) {
                scope.spawn(|| member.drain(connection, last));
            }
            prober.publish(Message::new(LAST, last).qos(1));
        });
    }

    /// The first message that no member has.
    fn missing(&self) -> Option<(Stream, u64)> {
        let sent = self.publisher.sent().into_iter().zip(self.settled);
        let mut all = sent.flat_map(|((stream, last), from)| (from + 1..=last).map(move |number| (stream, number)));
        all.find(|one| self.members.iter().all(|member| !member.received.contains(one)))
    }

    /// At QoS 2 no two members have the same message.
    fn expect_once(&mut self) {
        let [one, two, ..] = &self.members;
        let twice = one.received.intersection(&two.received).find(|(stream, _)| stream.qos == 2);
        assert!(twice.is_none(), "two members of the group have {twice:?}");
        self.repeated = self.members.iter().map(|member| member.repeated).sum();
    }

    /// All members are connected and wait for nothing: they get messages in turn.
    fn judge_probes(&mut self) {
        let found = self.members.each_ref().map(|member| member.probes);
        let joined = found.iter().filter(|&&probes| probes > 0).count();
        let fair = |probes: usize| probes == 0 || probes == PROBES / joined;
        assert!(joined >= LOYAL && found.into_iter().all(fair), "the members got {found:?} of {PROBES} messages");
        for member in &mut self.members {
            let (id, session) = (&member.id, Some(member.probes > 0));
            let possible = std::mem::replace(&mut member.possible, vec![session]);
            assert!(possible.contains(&session), "{id} is in the group: {session:?}, not {possible:?}");
            member.probes = 0;
        }
    }
}

impl Member {
    fn new(broker: &Broker, n: usize) -> Self {
        let (id, is_loyal) = (format!("member-{n}"), n < LOYAL);
        let (mut connection, present) = Connection::persistent(broker, &id).expect("nobody kills it");
        assert!(!present, "{id} has a session already");
        let filters = if is_loyal { &FILTERS[..] } else { &FILTERS[..1] };
        connection.send(&subscribe(1, filters));
        let granted: Vec<u8> = filters.iter().map(|(_, qos)| *qos).collect();
        assert_eq!(connection.read().expect("nobody kills it").bytes(), suback(1, &granted));
        connection.disconnect();
        let (inbox, possible, received) = (Inbox::default(), vec![Some(true)], BTreeSet::new());
        Self { id, is_loyal, inbox, possible, received, repeated: 0, probes: 0 }
    }

    /// Receives until the broker is killed; sometimes it goes away before, and sometimes it comes back.
    fn receive(&mut self, broker: &Broker, mut random: Random) {
        loop {
            if !self.is_loyal && random.once_in(4) && self.end_session(broker).is_none() {
                return;
            }
            let Some(mut connection) = self.connect(broker) else { return };
            let joins = random.once_in(2);
            if !self.is_loyal && random.once_in(2) {
                self.possible.push(Some(joins));
                connection.send(&if joins { subscribe(1, &FILTERS[..1]) } else { unsubscribe(1, &[FILTERS[0].0]) });
            }
            // unacknowledged messages arrive again, at this member or another
            let comes_back = connection.hear(&mut random, |frame| match frame.first {
                0x90 | 0xB0 => {
                    self.acknowledged(frame, joins);
                    None
                }
                _ => Some(self.handle(frame)),
            });
            if !comes_back {
                return;
            }
        }
    }

    fn acknowledged(&mut self, frame: &Frame, joins: bool) {
        assert_eq!(frame.bytes(), if joins { suback(1, &[1]) } else { ack(0xB0, 1) });
        self.possible = vec![Some(joins)];
    }

    /// With Clean Session 1. `None`: the broker was killed.
    fn end_session(&mut self, broker: &Broker) -> Option<()> {
        let mut connection = Connection::open(broker)?;
        self.possible.push(None);
        connection.send(&Connect::new(&self.id).frame());
        let present = connection.accepted()?;
        assert!(!present, "{}: Session Present after Clean Session 1", self.id);
        (self.possible, self.inbox) = (vec![None], Inbox::default());
        connection.disconnect();
        Some(())
    }

    fn connect<'b>(&mut self, broker: &'b Broker) -> Option<Connection<'b>> {
        let mut connection = Connection::open(broker)?;
        let before = self.possible.clone();
        if before.contains(&None) {
            self.possible.push(Some(false));
        }
        connection.send(&Connect::new(&self.id).persistent().frame());
        let present = connection.accepted()?;
        let expected = before.iter().any(|session| session.is_some() == present);
        assert!(expected, "{}: Session Present is {present}, and {before:?} was possible", self.id);
        if present {
            self.possible = before.into_iter().filter(Option::is_some).collect();
        } else {
            (self.possible, self.inbox) = (vec![Some(false)], Inbox::default());
        }
        Some(connection)
    }

    /// Connected, and subscribed to [`LAST`].
    fn ready<'b>(&mut self, broker: &'b Broker) -> Connection<'b> {
        let mut connection = self.connect(broker).expect("nobody kills it");
        connection.send(&subscribe(9, &[(LAST, 1)]));
        loop {
            let frame = connection.read().expect("nobody kills it");
            if frame.first == 0x90 {
                assert_eq!(frame.bytes(), suback(9, &[1]));
                return connection;
            }
            let answer = self.handle(&frame);
            connection.send(&answer);
        }
    }

    /// Receives all that waits, up to the message to [`LAST`] that says `last`. Nobody kills the broker meanwhile.
    fn drain(&mut self, connection: &mut Connection<'_>, last: &str) {
        let mut asked = false;
        loop {
            let frame = connection.read().expect("nobody kills it");
            if frame.first == 0xD0 {
                return;
            }
            let answer = self.handle(&frame);
            connection.send(&answer);
            // the answers so far are known to the broker with the answer to this
            if !asked && frame.message().is_some_and(|m| m.topic == LAST && m.text() == last) {
                asked = true;
                connection.send(PINGREQ);
            }
        }
    }

    /// Checks a received message, and returns the answer.
    fn handle(&mut self, frame: &Frame) -> Vec<u8> {
        let (message, answer) = self.inbox.handle(frame);
        match message {
            Some(message) if message.topic == LAST => {}
            Some(message) if message.topic == PROBE_TOPIC => self.probes += 1,
            Some(message) => self.judge(&message),
            None => {}
        }
        answer
    }

    fn judge(&mut self, message: &Message) {
        let (stream, number) = Stream::of(message);
        assert_eq!(message.qos, stream.qos, "{}: {stream:?} {number}: QoS", self.id);
        if !self.received.insert((stream, number)) {
            assert_eq!(stream.qos, 1, "{}: {stream:?} {number} came twice at QoS 2: {message:?}", self.id);
            self.repeated += 1;
        }
    }
}
