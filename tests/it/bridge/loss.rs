//! QoS 1 and 2 messages through a bridge, out, in and both ways, whose line is cut and stalls, while either broker is
//! killed with SIGKILL: no message is lost, none is repeated at QoS 2, and they stay in order.
//!
//! `DUNLIN_LONG=1`: 200 rounds of 100,000 messages instead of 20 of 5,000. `DUNLIN_BRIDGE_SEED` is the random seed; a
//! failing run prints its seed.

use std::{
    collections::HashSet,
    env, fs,
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    path::Path,
};

use dunlin::Builder;

use super::{bridged, proxy::Proxy, view};
use crate::support::{
    mosquitto::Mosquitto,
    random::Random,
    raw::{Client, Connect, Message, puback, pubcomp, pubrec, pubrel},
    running::Running,
    shut_down, start, wait_until,
};

/// The message behind the numbered ones.
const END: &str = "end";
/// Messages that a publisher sends before it waits for their acknowledgements.
const BATCH: usize = 500;

/// Where clients are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Edge,
    Centre,
}

/// What passes in a round: topics of numbered messages, and where they are published. A topic both ways has two.
const DIRECTIONS: [&[(&str, At)]; 3] =
    [&[("out/n", At::Edge)], &[("in/n", At::Centre)], &[("both/edge", At::Edge), ("both/centre", At::Centre)]];

/// The two brokers and the line between them.
struct World {
    edge: Running,
    centre: Running,
    files: [String; 2],
    proxy: Proxy,
}

impl World {
    fn new(dir: &Path, qos: u8) -> Self {
        let proxy = Proxy::new();
        let limits = "allow_anonymous = true\n[limits]\nmax_queued_messages = 1000000\n[sys]\ninterval = 'off'\n[http]\nlisten = \
                      'off'\n";
        let data = |name: &str| format!("data_dir = '{}'\n{limits}", dir.join(name).display());
        let bridge = format!(
            "[[bridge]]\nname = 'centre'\naddresses = ['{}']\ntopics = ['out/# out {qos}', \
             'in/# in {qos}', 'both/# both {qos}']\nkeep_alive = '1s'\nreconnect_min = \
             '5ms'\nreconnect_max = '50ms'\nqueue_messages = 1000000\nnotifications = 'off'\nclient_id = 'edge'\n",
            proxy.address()
        );
        let write = |name: &str, text: String| {
            let file = dir.join(name);
            fs::write(&file, text).unwrap();
            file.display().to_string()
        };
        let files = [write("edge.toml", data("e") + &bridge), write("centre.toml", data("c"))];
        let centre = Running::start(&["--config", &files[1]]);
        proxy.to(Some(centre.addresses[0]));
        let edge = Running::start(&["--config", &files[0]]);
        Self { edge, centre, files, proxy }
    }

    fn address(&self, at: At) -> SocketAddr {
        match at {
            At::Edge => self.edge.addresses[0],
            At::Centre => self.centre.addresses[0],
        }
    }

    /// Kept sessions of the subscribers, and the bridge's subscriptions at the centre.
    fn subscribe(&self, qos: u8) {
        for (at, filters) in [(At::Edge, ["in/#", "both/centre"]), (At::Centre, ["out/#", "both/edge"])] {
            let mut client = Client::accepted(self.address(at), &Connect::new("subscriber").persistent(), 0);
            client.subscribe(&filters.map(|filter| (filter, qos)));
            client.disconnect();
        }
        self.proxy.pass(i64::MAX);
        let mut centre = Client::accepted(self.address(At::Centre), &Connect::new("begins"), 0);
        let mut edge = Client::accepted(self.address(At::Edge), &Connect::new("begins"), 0);
        edge.subscribe(&[("both/begins", 0)]);
        // retained: it also comes if the bridge subscribes later
        centre.publish(Message::new("both/begins", "x").qos(1).retain());
        edge.expect_message("both/begins", "x", 0);
    }

    fn kill_edge(&mut self) {
        self.edge.kill();
        self.edge = Running::start(&["--config", &self.files[0]]);
    }

    fn kill_centre(&mut self) {
        self.centre.kill();
        self.proxy.to(None);
        self.proxy.cut();
        self.centre = Running::start(&["--config", &self.files[1]]);
        self.proxy.to(Some(self.centre.addresses[0]));
    }

    /// What goes wrong when so many bytes have passed.
    fn fault(&mut self, random: &mut Random, bytes: usize) {
        self.proxy.pass(bytes as i64);
        wait_until(|| self.proxy.stalls(), || "nothing passes".into());
        match random.below(4) {
            0 => self.kill_edge(),
            1 => self.kill_centre(),
            // the bridge notices that the other broker is gone
            2 if random.once_in(3) => {
                let before = self.proxy.accepted();
                wait_until(|| self.proxy.accepted() > before, || "the bridge does not notice".into());
            }
            _ => {}
        }
        self.proxy.cut();
    }
}

/// Publishes numbered messages: all of them are acknowledged when this returns.
fn publish(address: SocketAddr, topic: &str, qos: u8, numbers: std::ops::Range<usize>) {
    let mut client = Client::accepted(address, &Connect::new("publisher"), 0);
    let all: Vec<_> = numbers.collect();
    for batch in all.chunks(BATCH) {
        let frame =
            |(n, number): (usize, &usize)| Message::new(topic, &number.to_string()).qos(qos).id(n as u16 + 1).frame();
        let ids = 1..=batch.len() as u16;
        client.send(&batch.iter().enumerate().flat_map(frame).collect::<Vec<_>>());
        if qos == 1 {
            ids.for_each(|id| client.expect(&puback(id)));
            continue;
        }
        let mut completed = 0;
        while completed < batch.len() {
            let frame = client.expect_any();
            let id = u16::from_be_bytes([frame.body[0], frame.body[1]]);
            match frame.bytes() {
                bytes if bytes == pubrec(id) => client.send(&pubrel(id)),
                bytes => {
                    assert_eq!(bytes, pubcomp(id));
                    completed += 1;
                }
            }
        }
    }
    client.disconnect();
}

/// Receives and acknowledges messages up to the last one. Does not wait for a PUBREL before the next message: each of
/// them waits for the disk.
fn receive(client: &mut Client, mut is_last: impl FnMut(&Message) -> bool) {
    let (mut open, mut has_all) = (HashSet::new(), false);
    while !(has_all && open.is_empty()) {
        let frame = client.expect_any();
        let Some(message) = frame.message() else {
            let id = u16::from_be_bytes([frame.body[0], frame.body[1]]);
            assert_eq!(frame.bytes(), pubrel(id));
            open.remove(&id);
            client.send(&pubcomp(id));
            continue;
        };
        client.send(&if message.qos == 1 { puback(message.id) } else { pubrec(message.id) });
        if message.qos == 2 {
            open.insert(message.id);
        }
        has_all |= is_last(&message);
    }
}

/// Receives the messages of a round and the one behind them: all are there, in order.
fn expect_round(address: SocketAddr, topic: &str, qos: u8, round: usize, numbers: std::ops::Range<usize>) {
    let mut subscriber = Client::accepted(address, &Connect::new("subscriber").persistent(), 1);
    let mut next = numbers.start;
    receive(&mut subscriber, |message| {
        if let Some(of) = message.text().strip_prefix(END) {
            let is_last = message.topic == topic && of == round.to_string();
            // that of a round before, whose acknowledgement was on the line when it stalled
            assert!(is_last || qos == 1, "an end came twice");
            return is_last;
        }
        let number: usize = message.text().parse().unwrap();
        match number.cmp(&next) {
            std::cmp::Ordering::Equal if message.topic == topic => next += 1,
            // unacknowledged messages are resent from the first one
            std::cmp::Ordering::Less if qos == 1 => {}
            _ => panic!("{number} came on {} where {next} was to come on {topic}, in round {round}", message.topic),
        }
        false
    });
    assert_eq!(next, numbers.end, "round {round} lost what is behind on {topic}");
    subscriber.send(crate::support::raw::DISCONNECT);
    subscriber.expect_closed();
}

fn rounds(qos: u8) {
    let long = env::var_os("DUNLIN_LONG").is_some_and(|long| long == "1");
    let (rounds, messages) = if long { (200, 100_000) } else { (20, 5_000) };
    let seed = env::var("DUNLIN_BRIDGE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(qos)) | 1;
    println!("DUNLIN_BRIDGE_SEED={seed}");
    let mut random = Random::new(seed);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut world = World::new(dir.path(), qos);
    world.subscribe(qos);
    for round in 0..rounds {
        world.proxy.pass(0);
        let ways = DIRECTIONS[round % DIRECTIONS.len()];
        // both ways have as many together
        let numbers = round * messages..round * messages + messages / ways.len();
        for (topic, at) in ways {
            publish(world.address(*at), topic, qos, numbers.clone());
        }
        for _ in 0..5 {
            let bytes = 200 + random.below(messages * 4);
            world.fault(&mut random, bytes);
        }
        for (topic, at) in ways {
            let mut last = Client::accepted(world.address(*at), &Connect::new("last"), 0);
            last.publish(Message::new(topic, &format!("{END}{round}")).qos(qos));
        }
        world.proxy.pass(i64::MAX);
        for (topic, at) in ways {
            let there = if *at == At::Edge { At::Centre } else { At::Edge };
            expect_round(world.address(there), topic, qos, round, numbers.clone());
        }
    }
}

#[test]
fn a_bridge_loses_no_message_at_qos_1() {
    rounds(1);
}

#[test]
fn a_bridge_neither_loses_nor_repeats_messages_at_qos_2() {
    rounds(2);
}

/// What mosquitto has not acknowledged arrives when the line is back, and also at one that was killed and has forgotten
/// its sessions.
#[test]
fn what_mosquitto_had_not_acknowledged_arrives() {
    const COUNT: usize = 2_000;
    // of mosquitto, by default
    const IN_FLIGHT: usize = 20;
    let dir = tempfile::tempdir().unwrap();
    let begin = || {
        let text = "allow_anonymous true\nmax_queued_messages 0\n";
        let there = Mosquitto::start(dir.path(), text)?;
        let mut subscriber = Client::accepted(there.address, &Connect::new("s"), 0);
        subscriber.subscribe(&[("#", 2)]);
        Some((there, subscriber))
    };
    for (qos, kills) in [(1, false), (2, false), (1, true), (2, true)] {
        let Some((mut there, mut subscriber)) = begin() else { return };
        let proxy = Proxy::new();
        proxy.to(Some(there.address));
        let keys = "protocol = '5'\nclient_id = 'c'\nnotifications = 'off'";
        let here = start(Builder::new(bridged("b", proxy.address(), &["# out 2"], keys)));
        publish(here.local_addrs()[0], "n", qos, 0..COUNT);
        // so far, and an answer is lost
        proxy.pass(20_000);
        wait_until(|| proxy.stalls(), || "nothing passes".into());
        if kills {
            proxy.to(None);
            drop(subscriber);
            drop(there);
            (there, subscriber) = begin().expect("mosquitto is installed");
            proxy.to(Some(there.address));
        }
        let lost = view(&here).counts.failures;
        proxy.cut();
        wait_until(|| view(&here).counts.failures > lost, || format!("{:?}", view(&here)));
        let sent = usize::try_from(view(&here).counts.sent).unwrap();
        assert!((1..COUNT - IN_FLIGHT).contains(&sent), "{sent}");
        proxy.pass(i64::MAX);
        let mut numbers = Vec::new();
        receive(&mut subscriber, |message| {
            numbers.push(message.text().parse::<usize>().unwrap());
            *numbers.last().unwrap() == COUNT - 1
        });
        let case = format!("QoS {qos}, kills: {kills}, {sent} were acknowledged");
        if qos == 1 {
            // a message in flight when the line was cut comes twice
            numbers.sort_unstable();
            numbers.dedup();
        }
        let first = numbers[0];
        assert!(numbers.iter().copied().eq(first..COUNT), "{case}: {numbers:?}");
        match (kills, qos) {
            (false, _) => assert_eq!(first, 0, "{case}"),
            (true, 1) => assert_eq!(first, sent, "{case}"),
            // those with a PUBREC are complete
            _ => assert!((sent..=sent + IN_FLIGHT).contains(&first), "{case}: {first}"),
        }
        wait_until(|| view(&here).counts.queued == 0, || format!("{:?}", view(&here)));
        assert_eq!(view(&here).counts.sent, COUNT as u64, "{case}");
        shut_down(here);
        drop(there);
    }
}
