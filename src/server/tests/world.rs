//! [`World`]: one history.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    SECOND,
    client::{Begins, Client},
    hearing::Ear,
    promises::{FILTERS, Promises, RETAINED, SHARED, fault},
    session::Lasts,
    wills::Fate,
};
use crate::{
    clock::TestClock,
    net::{self, NetLimits},
    router::{Ports, Router, RouterLimits},
    session::SessionLimits,
    store::{self, Fault, Rng, Simulated},
    types::{ProtocolVersion, QoS, QueueFull, SharedSubscriptions},
};

pub(super) const CLIENTS: usize = 6;
/// The interval of the broker's housekeeping.
const HOUSE: Duration = Duration::from_millis(500);
const MS: Duration = Duration::from_millis(1);

/// Counts of the events in a history, or in all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) steps: u64,
    pub(super) crashes: u64,
    pub(super) rests: u64,
    pub(super) messages: u64,
    pub(super) acknowledged: u64,
    pub(super) wills: u64,
    pub(super) sessions: u64,
    pub(super) take_overs: u64,
    pub(super) shared: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        let Self { steps, crashes, rests, messages, acknowledged, wills, sessions, take_overs, shared } = other;
        self.steps += steps;
        self.crashes += crashes;
        self.rests += rests;
        self.messages += messages;
        self.acknowledged += acknowledged;
        self.wills += wills;
        self.sessions += sessions;
        self.take_overs += take_overs;
        self.shared += shared;
    }

    /// Did all kinds of events happen in this many histories?
    pub(super) fn is_enough(&self, histories: u64) {
        let Self { crashes, rests, acknowledged, wills, sessions, take_overs, shared, .. } = *self;
        let each = [crashes, rests, acknowledged / 10, wills, sessions / 5, take_overs, shared];
        assert!(each.iter().all(|&number| number >= histories / 2), "too little happens: {self:?}");
    }
}

struct Broker {
    net: net::Stepped,
    store: store::Stepped,
    router: Arc<Router>,
}

pub(super) struct World {
    pub(super) rng: Rng,
    clock: TestClock,
    files: Simulated,
    limits: RouterLimits,
    broker: Option<Broker>,
    pub(super) clients: Vec<Client>,
    pub(super) promises: Promises,
    next_house: Instant,
    looked: Instant,
    /// When the last batch that survives a power cut was written.
    durable: Instant,
    pub(super) tally: Tally,
    pub(super) tells: bool,
}

impl World {
    /// Plays one history. `tells`: prints the events.
    pub(super) fn run(seed: u64, tells: bool) -> Tally {
        let mut world = Self::new(seed, tells);
        world.start();
        for _ in 0..100 + world.rng.below(700) {
            world.step();
        }
        world.end();
        let Self { tally, promises, .. } = &mut world;
        tally.messages = promises.messages.len() as u64;
        tally.acknowledged = promises.messages.iter().filter(|message| message.acknowledged.is_some()).count() as u64;
        tally.sessions = promises.session.into();
        tally.shared = promises.messages.iter().filter(|message| !message.members.is_empty()).count() as u64;
        let is_will = |message: &&super::promises::Message| message.fate.is_some() && message.acknowledged.is_some();
        tally.wills = promises.messages.iter().filter(is_will).count() as u64;
        // the tasks of this thread's worker are dropped first
        world.broker = None;
        world.tally.clone()
    }

    fn new(seed: u64, tells: bool) -> Self {
        let mut rng = Rng::new(seed);
        let clock = TestClock::still();
        let clients = (0..CLIENTS).map(|who| {
            let version = if rng.one_in(2) { ProtocolVersion::V5 } else { ProtocolVersion::V311 };
            let lasts = match (version, rng.below(3)) {
                (_, 0) => Lasts::WithConnection,
                (ProtocolVersion::V5, 1) => Lasts::Seconds(2 + rng.below(5) as u32),
                _ => Lasts::Forever,
            };
            let qos = [(); FILTERS.len()].map(|()| match rng.below(9) {
                0 => QoS::AtMostOnce,
                1..5 => QoS::AtLeastOnce,
                _ => QoS::ExactlyOnce,
            });
            let mut client = Client::new(who, version, lasts, qos);
            client.qos[SHARED] = client.qos[SHARED].max(QoS::AtLeastOnce);
            client
        });
        let clients = clients.collect();
        let (limits, now) = (limits(&mut rng), clock.clock().now());
        Self {
            rng,
            clock,
            files: Simulated::default(),
            limits,
            broker: None,
            clients,
            promises: Promises::default(),
            next_house: now + HOUSE,
            looked: now,
            durable: now,
            tally: Tally::default(),
            tells,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.clock().now()
    }

    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            eprintln!("{}", what());
        }
    }

    /// Starts a broker on the present disk.
    fn start(&mut self) {
        let clock = self.clock.clock();
        let started = store::Stepped::start(&self.files, 4096, clock.clone());
        let (store, port, restored) = started.unwrap_or_else(|error| fault!("the broker does not start: {error}"));
        let ports = Ports { store: Some(port), ..Ports::default() };
        let router = Arc::new(Router::new(self.limits.clone(), ports, 7));
        let now = self.now();
        router.restore(&mut router.local(now), restored, now);
        let net = net::Stepped::begin(router.clone(), net_limits(), clock);
        self.broker = Some(Broker { net, store, router });
        self.promises.life += 1;
        self.promises.wills_restart(now);
        self.next_house = now + HOUSE;
    }

    pub(super) fn line(&mut self) -> Option<net::Line> {
        let room = if self.rng.one_in(4) { self.rng.below(50) } else { 4096 };
        self.broker.as_mut().map(|broker| broker.net.connect(room))
    }

    fn step(&mut self) {
        self.tally.steps += 1;
        match self.rng.below(1000) {
            0..380 => _ = self.poll(),
            380..520 => _ = self.store(),
            520..930 => self.act(),
            930..970 => {
                let by = MS * (1 + self.rng.below(12) as u32);
                self.turn(by);
            }
            970..984 => {
                let by = HOUSE * (1 + self.rng.below(3) as u32);
                self.turn(by);
            }
            984..995 => self.rest(),
            995..997 => {
                // within the next operations of the store
                let next = 1 + self.rng.below(6) as u64;
                self.files.break_at(next, if self.rng.one_in(3) { Fault::Short } else { Fault::Broken });
            }
            _ => self.crash(),
        }
        if self.broker.as_ref().is_some_and(|broker| broker.store.has_failed()) {
            self.crash();
        }
    }

    /// A connection that was woken has its turn. `false`: none was.
    fn poll(&mut self) -> bool {
        let Some(broker) = &mut self.broker else { return false };
        let woken = broker.net.woken();
        if woken.is_empty() {
            return false;
        }
        broker.net.poll(woken[self.rng.below(woken.len())]);
        true
    }

    /// The store makes a step. `false`: it has nothing to do.
    fn store(&mut self) -> bool {
        let Some(broker) = &mut self.broker else { return false };
        if self.rng.one_in(8) {
            broker.store.prepare();
        }
        if broker.store.is_syncing() && self.rng.one_in(2) {
            if self.rng.one_in(2) {
                self.turn(MS);
            }
            let Some(broker) = &mut self.broker else { return false };
            broker.store.sync();
            self.durable = broker.store.durable().unwrap_or(self.durable);
            return true;
        }
        broker.store.step() || broker.store.is_syncing()
    }

    /// Advances the time.
    pub(super) fn turn(&mut self, by: Duration) {
        let until = self.now() + by;
        loop {
            self.notice();
            let now = self.now();
            let next = self.next_house.min(until);
            self.clock.turn(next - now);
            if next == self.next_house {
                self.next_house += HOUSE;
                if let Some(broker) = &mut self.broker {
                    broker.net.housekeeping();
                    self.looked = next;
                }
            }
            let looked = self.looked;
            self.promises.wills_due(looked);
            for client in &mut self.clients {
                client.session.pass(next, looked, client.connection.is_some());
            }
            if next == until {
                return;
            }
        }
    }

    /// Clients notice the connections that the broker has closed.
    pub(super) fn notice(&mut self) {
        let (now, expected) = (self.now(), self.broker.as_ref().is_none_or(|broker| broker.store.has_failed()));
        for client in &mut self.clients {
            client.notice(&mut self.promises, now, expected);
        }
    }

    /// The power fails, or the process is killed; later a broker is started again.
    fn crash(&mut self) {
        self.notice();
        let now = self.now();
        let power = !self.rng.one_in(4);
        self.tell(|| format!("crash, of the power: {power}"));
        for client in &mut self.clients {
            client.give_up(&mut self.promises, now, true);
            client.old.clear();
            for number in client.wills_in_doubt.drain(..) {
                self.promises.messages[number].fate = Some(Fate::Open);
            }
            client.session.survives(self.durable, now);
            if let (Lasts::Seconds(_), Some((earliest, _))) = (client.lasts, client.session.away) {
                self.promises.wills_of_session(client.who, earliest);
            }
        }
        self.broker = None;
        if power {
            self.files.power_cut(&mut self.rng)
        } else {
            self.files.kill()
        }
        let away = [0, 1, 100, 3000][self.rng.below(4)];
        if away > 0 {
            self.turn(MS * away);
        }
        self.tally.crashes += 1;
        self.start();
        if self.rng.one_in(2) {
            let who = self.rng.below(CLIENTS);
            self.connect(who, Begins { clean: false, keep_alive: 0, will: None });
            self.rest();
            self.subscribe(who, RETAINED);
            self.rest();
        }
    }

    /// Client `who` reads and answers.
    pub(super) fn hear(&mut self, who: usize, room: usize) -> bool {
        self.notice();
        let now = self.now();
        let living = self.clients.iter().filter(|client| client.session.exists);
        let living: Vec<_> = living.map(|client| (client.who, client.session.number)).collect();
        let Self { promises, tells, .. } = self;
        let mut ear = Ear { promises, now, living: &living, tells: *tells };
        self.clients[who].read(room, &mut ear)
    }

    /// All clients and tasks continue until nothing is left to do: then every due message must have arrived at the
    /// clients that read.
    pub(super) fn rest(&mut self) {
        self.tell(|| "rest".to_owned());
        self.tally.rests += 1;
        for client in &self.clients {
            client.old.iter().filter(|old| !old.waits).for_each(|old| old.line.hang_up());
        }
        for _ in 0..5_000 {
            let mut is_busy = self.poll() | self.store();
            self.notice();
            for who in 0..CLIENTS {
                if self.clients[who].connection.as_ref().is_some_and(|connection| !connection.stalls) {
                    is_busy |= self.hear(who, 4096);
                    self.clients[who].acknowledge(usize::MAX);
                    is_busy |= self.clients[who].pump(usize::MAX);
                }
            }
            let Some(broker) = &self.broker else { return };
            if broker.store.has_failed() {
                return self.crash();
            }
            // a connection that has room again was woken just now
            if is_busy || !broker.net.woken().is_empty() {
                continue;
            }
            let now = self.now();
            match broker.store.sleeps_until() {
                Some(at) if at < now + SECOND / 10 => self.turn(at - now),
                _ => return self.all_has_come(),
            }
        }
        fault!("there is no rest");
    }

    /// Checks that nothing is left to do.
    fn all_has_come(&mut self) {
        self.notice();
        let now = self.now();
        self.promises.goodbyes_are_kept();
        self.promises.owe_wills(&mut self.clients, now);
        for client in &mut self.clients {
            client.wills_in_doubt.clear();
            if !client.old.is_empty() {
                fault!("a connection of {} that is given up is not closed", client.name);
            }
            let Some(connection) = &mut client.connection else { continue };
            connection.is_kept |= connection.accepted;
            client.session.was_away = None;
            if connection.stalls {
                continue;
            }
            let name = &client.name;
            if !connection.accepted {
                fault!("{name} hears no CONNACK");
            }
            if let Some(own) = client.own.front() {
                fault!("{name} hears no acknowledgement of {}", own.number);
            }
            if !connection.asked.is_empty() {
                fault!("{name} hears no answer to {:?}", connection.asked);
            }
            if !client.receipts.is_empty() {
                fault!("{name} hears no PUBREL of {:?}", client.receipts);
            }
            if let Some(number) = client.session.due.iter().find(|&&number| self.promises.is_owed(number, now)) {
                fault!("{number} did not come to {name}: {:?}", self.promises.messages[*number]);
            }
            for (topic, (acknowledged, value)) in std::mem::take(&mut connection.values) {
                self.promises.check_value(name, topic, value, acknowledged);
            }
        }
    }

    /// All clients reconnect, and must receive all due messages.
    fn end(&mut self) {
        self.files.kill();
        for connection in self.clients.iter_mut().filter_map(|client| client.connection.as_mut()) {
            connection.stalls = false;
        }
        self.rest();
        for who in 0..CLIENTS {
            if self.clients[who].connection.as_ref().is_none_or(|connection| connection.keep_alive > 0) {
                self.connect(who, Begins { clean: false, keep_alive: 0, will: None });
            }
        }
        self.rest();
        for _ in 0..2 {
            self.turn(2 * SECOND);
            self.rest();
        }
        for who in 0..CLIENTS {
            if self.clients[who].is_accepted() {
                self.subscribe(who, RETAINED);
            }
        }
        self.rest();
        let Some(broker) = &self.broker else { return };
        let backlog = broker.router.backlog();
        if backlog.messages != 0 {
            fault!("nothing waits, and the broker counts {backlog:?}");
        }
        self.groups_lost_nothing();
    }

    /// If a member of a group exists all the time, each message must arrive at one member. A crash drops the messages
    /// of a member whose session is not stored.
    fn groups_lost_nothing(&self) {
        for (number, message) in self.promises.messages.iter().enumerate() {
            let is_member = |&(who, session): &(usize, u32)| {
                let (session, now) = (session, &self.clients[who].session);
                let there = now.subscriptions[SHARED].there;
                now.exists && now.number == session && there.is_some_and(|there| there < message.sent)
            };
            let is_owed =
                message.qos == QoS::AtLeastOnce && message.acknowledged.is_some() && message.life == self.promises.life;
            if is_owed && message.group.iter().any(is_member) && message.members.is_empty() {
                fault!("{number} came to no member of its group: {message:?}");
            }
        }
    }
}

fn limits(rng: &mut Rng) -> RouterLimits {
    // the policies by hash depend on addresses of sessions in memory, which differ in each run
    let policies = [SharedSubscriptions::RoundRobin, SharedSubscriptions::Random, SharedSubscriptions::Sticky];
    RouterLimits {
        session: SessionLimits {
            max_inflight_out: 1 + rng.below(4),
            max_inflight_in: 20,
            max_queued_messages: 100_000,
            max_queued_bytes: 1 << 30,
            queue_full: QueueFull::DropNewest,
            queue_qos0: rng.one_in(2),
            max_outbound_bytes: 200 + rng.below(500),
        },
        receive_maximum: 5,
        session_expiry: None,
        shared_subscriptions: policies[rng.below(policies.len())],
        ..RouterLimits::default()
    }
}

fn net_limits() -> NetLimits {
    let hour = Duration::from_secs(3600);
    NetLimits {
        max_connections: 1000,
        max_connecting: 1000,
        max_connecting_bytes: 1 << 20,
        connect_timeout: hour,
        max_packet_size: 1 << 20,
        max_connect_size: 1 << 16,
        write_timeout: hour,
        publish_rate: None,
        publish_bytes_rate: None,
        publish_burst: SECOND,
        publish_disconnects: false,
        connect_rate: None,
        sys_interval: None,
    }
}

/// The protocol features of a client, for the printed events.
pub(super) fn version(client: &Client) -> &'static str {
    if client.version == ProtocolVersion::V5 { "5" } else { "3.1.1" }
}
