//! Promise 1 from the outside: a broker with a disk is killed with SIGKILL during traffic, again and again. No
//! acknowledged message is lost; QoS 2 arrives once; order is kept; subscriptions, sessions and retained messages are
//! as acknowledged last. Unacknowledged requests may be done or not.
//!
//! `DUNLIN_CRASH_ROUNDS` is the number of kills (30), `DUNLIN_CRASH_SEED` the random seed; a failing run prints its
//! seed. The seed decides the actions of clients and the received packet at which the broker is killed, but not the
//! scheduling of threads.
//!
//! | file | has |
//! |---|---|
//! | `wire` | the broker and its end; connections |
//! | `outbox`, `inbox` | sender and receiver of QoS 1 and 2 in a client with a persistent session |
//! | `publisher`, `subscriber` | numbered messages, and the check of them |
//! | `groups` | groups of shared subscriptions: their members and messages |
//! | `retained`, `subscriptions`, `sessions`, `bursts` | other state that must be as acknowledged |
//! | `wills` | Wills, and the check of each |
//! | `inside` | clients within the process, in rounds of their own |
//! | `published` | messages that are published over HTTP |
//! | `slow_disk` | the broker with fsyncs that take longer |

// this crate uses a part of it
#[allow(dead_code)]
#[path = "../it/support/mod.rs"]
mod support;

mod bursts;
mod groups;
mod inbox;
mod inside;
mod outbox;
mod published;
mod publisher;
mod retained;
mod sessions;
mod slow_disk;
mod subscriber;
mod subscriptions;
mod wills;
mod wire;

use std::{
    collections::BTreeMap,
    env, fs,
    hash::{BuildHasher, RandomState},
    path::PathBuf,
    thread,
    time::Duration,
};

use bursts::Bursts;
use dunlin::auth::{PasswordChange, edit};
use groups::Groups;
use inbox::END;
use publisher::{Publisher, Stream};
use retained::Retainer;
use sessions::{Comers, USERS};
use subscriber::Subscriber;
use subscriptions::Chooser;
use support::{
    random::Random,
    raw::{Client, Connect, Message, connack},
    running::Running,
};
use wills::{Watcher, Willer, willers};
use wire::Broker;

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let rounds = number("DUNLIN_CRASH_ROUNDS").unwrap_or(30);
    let seed = number("DUNLIN_CRASH_SEED").unwrap_or_else(|| RandomState::new().hash_one(rounds)) | 1;
    println!("DUNLIN_CRASH_SEED={seed} DUNLIN_CRASH_ROUNDS={rounds}");
    let mut random = Random::new(seed);
    let place = Place::new();
    let broker = place.start();
    let mut clients = Clients::new(&broker);
    clients.traffic(broker, &mut random);
    for round in 1..rounds {
        if random.once_in(4) {
            place.start_and_kill();
        }
        let broker = place.start_somehow(&mut random);
        // half of the time, the state after an earlier crash is kept for the next one
        if random.once_in(2) {
            clients.settle(&broker, round);
        }
        clients.traffic(broker, &mut random);
    }
    let broker = place.start();
    clients.settle(&broker, rounds);
    broker.into_process().stop();
    let broker = place.start();
    clients.expect_settled(&broker, rounds + 1);
    clients.report();
    broker.into_process().stop();
    place.clear();
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// A data directory and a configuration that live through all rounds; left where they are if a round fails.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        // on the disk that is built on: /tmp may be none
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory").keep();
        println!("in {}", dir.display());
        let data_dir = dir.join(DATA);
        let password_file = dir.join(PASSWORDS);
        for user in USERS {
            edit(&password_file, user, PasswordChange::Set(user.as_bytes())).expect("the user can be added");
        }
        let text = format!(
            "data_dir = '{}'\nallow_anonymous = true\n[auth]\npassword_file = '{}'\n[limits]\nmax_queued_messages = \
             1000000000\n",
            data_dir.display(),
            password_file.display()
        );
        fs::write(dir.join("dunlin.toml"), text).expect("the configuration can be written");
        Self(dir)
    }

    fn flags(&self) -> [String; 2] {
        ["--config".into(), self.0.join("dunlin.toml").display().to_string()]
    }

    fn start(&self) -> Broker {
        let flags = self.flags();
        Broker::new(Running::start(&[&flags[0], &flags[1]]))
    }

    /// With more threads, with fsyncs that take longer, with both, or neither.
    fn start_somehow(&self, random: &mut Random) -> Broker {
        let workers = if random.once_in(3) { 4 } else { 1 };
        if random.once_in(4) {
            let delay = Duration::from_micros(200 + random.below(4_000) as u64);
            let mut process = Running::run(&mut slow_disk::command(&self.0, workers, delay));
            process.wait_until_ready();
            return Broker::new(process);
        }
        let [config, path] = self.flags();
        Broker::new(Running::start(&[&config, &path, "--workers", &workers.to_string()]))
    }

    /// A kill while the broker restores its state.
    fn start_and_kill(&self) {
        let flags = self.flags();
        let mut process = Running::spawn(&["127.0.0.1:0"], &[&flags[0], &flags[1]]);
        process.wait_for("dunlin ");
        process.kill();
    }

    fn clear(self) {
        fs::remove_dir_all(self.0).expect("the directory can be removed");
    }
}

/// Everybody.
struct Clients {
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    groups: Groups,
    retainer: Retainer,
    chooser: Chooser,
    comers: Comers,
    bursts: Bursts,
    willers: Vec<Willer>,
    watcher: Watcher,
    heard: usize,
}

/// The data directory, beside the configuration.
const DATA: &str = "data";
/// The password file, there too.
const PASSWORDS: &str = "passwords";
/// How many messages each publisher has in flight.
const WINDOWS: [usize; 3] = [1, 8, 40];

impl Clients {
    fn new(broker: &Broker) -> Self {
        let all = || (0..WINDOWS.len()).flat_map(|publisher| [1, 2].map(|qos| Stream { publisher, qos }));
        let subscribers = vec![
            Subscriber::new(broker, "t/#", 1, all()),
            Subscriber::new(broker, "t/#", 2, all()),
            Subscriber::new(broker, "t/+/2", 2, all().filter(|stream| stream.qos == 2)),
            Subscriber::new(broker, "t/2/1", 2, all().filter(|s| (s.publisher, s.qos) == (2, 1))),
            Subscriber::new(broker, "t/1/#", 2, all().filter(|stream| stream.publisher == 1)),
        ];
        Self {
            publishers: WINDOWS.iter().enumerate().map(|(n, &window)| Publisher::new(n, window)).collect(),
            subscribers,
            groups: Groups::new(broker),
            retainer: Retainer::new(),
            chooser: Chooser::new(broker),
            comers: Comers::new(),
            bursts: Bursts::new(),
            willers: willers(),
            watcher: Watcher::new(broker),
            heard: 0,
        }
    }

    /// All at once, until the broker is killed.
    fn traffic(&mut self, broker: Broker, random: &mut Random) {
        self.retainer.check(&broker);
        let heard = if random.once_in(5) { 1 + random.below(30) } else { 1 + random.below(6_000) };
        self.heard += heard;
        broker.kill_after(heard);
        let broker = &broker;
        thread::scope(|scope| {
            for publisher in &mut self.publishers {
                let random = random.fork();
                scope.spawn(move || publisher.send(broker, random));
            }
            for subscriber in &mut self.subscribers {
                let (random, away) = (random.fork(), random.once_in(3));
                if !away {
                    scope.spawn(move || subscriber.receive(broker, random));
                }
            }
            for willer in &mut self.willers {
                let random = random.fork();
                scope.spawn(move || willer.come_and_go(broker, random));
            }
            self.groups.traffic(scope, broker, random);
            let watcher = &mut self.watcher;
            if !random.once_in(3) {
                scope.spawn(move || watcher.watch(broker));
            }
            let Self { retainer, chooser, comers, bursts, .. } = self;
            let randoms = [random.fork(), random.fork(), random.fork(), random.fork()];
            let [first, second, third, fourth] = randoms;
            scope.spawn(move || retainer.change(broker, first));
            scope.spawn(move || chooser.choose(broker, second));
            scope.spawn(move || comers.come(broker, third));
            scope.spawn(move || bursts.come(broker, fourth));
        });
        self.willers.iter_mut().for_each(|willer| willer.killed(broker.killed_at()));
    }

    /// All clients complete their requests; then the state must be as acknowledged.
    fn settle(&mut self, broker: &Broker, round: u64) {
        self.retainer.check(broker);
        thread::scope(|scope| {
            let Self { publishers, retainer, comers, .. } = self;
            publishers.iter_mut().for_each(|publisher| _ = scope.spawn(|| publisher.finish(broker)));
            scope.spawn(|| retainer.finish(broker));
            scope.spawn(|| comers.check(broker));
        });
        self.retainer.check(broker);
        let end = format!("round {round}");
        self.bursts.check(broker, &end);
        self.chooser.check(broker, &end);
        self.groups.settle(broker, &end);
        self.watcher.settle(broker, &end, &self.willers);
        let sent: BTreeMap<Stream, u64> = self.publishers.iter().flat_map(Publisher::sent).collect();
        thread::scope(|scope| {
            for subscriber in &mut self.subscribers {
                scope.spawn(|| subscriber.drain(broker, &end, &sent));
            }
        });
    }

    /// After an end in peace, nothing is left of all that was settled.
    fn expect_settled(&mut self, broker: &Broker, round: u64) {
        let end = format!("round {round}");
        let mut client = Client::open(broker.address());
        client.send(&Connect::new("ends").frame());
        client.expect(&connack(0, 0));
        client.publish(Message::new(END, &end).qos(2));
        self.subscribers.iter_mut().for_each(|subscriber| subscriber.expect_drained(broker, &end));
        self.retainer.check(broker);
        self.watcher.expect_settled(broker, &end);
        self.comers.check(broker);
        self.bursts.check(broker, &format!("{end}, again"));
        self.chooser.check(broker, &format!("{end}, again"));
        self.groups.settle(broker, &end);
    }

    fn report(&self) {
        let sent: u64 = self.publishers.iter().flat_map(|p| p.sent().into_values()).sum();
        let repeated: u64 = self.subscribers.iter().map(|s| s.repeated).sum();
        println!("{sent} messages published, {} acknowledgements and messages heard", self.heard);
        println!("{repeated} messages of QoS 1 came more than once");
        println!("{} messages published to groups, {} came more than once", self.groups.sent(), self.groups.repeated);
        let [published, discarded, open, wait] = self
            .willers
            .iter()
            .map(Willer::fates)
            .fold([0; 4], |sum, fates| std::array::from_fn(|n| sum[n] + fates[n]));
        println!(
            "{published} Wills had to be published, {discarded} not, {open} might be, {wait} wait for their delay"
        );
        println!("{} bursts of connections", self.bursts.count);
    }
}
