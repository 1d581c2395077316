//! QoS 1 and 2 messages through a bridge whose line is cut and stalls, while either broker is killed with SIGKILL: no
//! message is lost, none is repeated at QoS 2, and they stay in order.
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

use super::proxy::Proxy;
use crate::support::{
    random::Random,
    raw::{Client, Connect, Message, puback, pubcomp, pubrec, pubrel},
    running::Running,
    wait_until,
};

/// The topic of numbered messages, and of the one behind them.
const TOPIC: &str = "numbers";
const END: &str = "end";
/// Messages that a publisher sends before it waits for their acknowledgements.
const BATCH: usize = 500;

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
            "[[bridge]]\nname = 'centre'\naddresses = ['{}']\ntopics = ['# out {qos}']\nkeep_alive = '1s'\nreconnect_min = \
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
fn publish(address: SocketAddr, qos: u8, numbers: std::ops::Range<usize>) {
    let mut client = Client::accepted(address, &Connect::new("publisher"), 0);
    let all: Vec<_> = numbers.collect();
    for batch in all.chunks(BATCH) {
        let frame =
            |(n, number): (usize, &usize)| Message::new(TOPIC, &number.to_string()).qos(qos).id(n as u16 + 1).frame();
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

fn rounds(qos: u8) {
    let long = env::var_os("DUNLIN_LONG").is_some_and(|long| long == "1");
    let (rounds, messages) = if long { (200, 100_000) } else { (20, 5_000) };
    let seed = env::var("DUNLIN_BRIDGE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(qos)) | 1;
    println!("DUNLIN_BRIDGE_SEED={seed}");
    let mut random = Random::new(seed);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut world = World::new(dir.path(), qos);
    Client::accepted(world.centre.addresses[0], &Connect::new("subscriber").persistent(), 0).subscribe(&[("#", qos)]);
    for round in 0..rounds {
        world.proxy.pass(0);
        let numbers = round * messages..(round + 1) * messages;
        publish(world.edge.addresses[0], qos, numbers.clone());
        for _ in 0..5 {
            let bytes = 200 + random.below(messages * 6);
            world.fault(&mut random, bytes);
        }
        let mut last = Client::accepted(world.edge.addresses[0], &Connect::new("last"), 0);
        last.publish(Message::new(END, &round.to_string()).qos(qos));
        world.proxy.pass(i64::MAX);
        let mut subscriber = Client::accepted(world.centre.addresses[0], &Connect::new("subscriber").persistent(), 1);
        let mut next = numbers.start;
        receive(&mut subscriber, |message| {
            if message.topic == END {
                let is_last = message.text() == round.to_string();
                // that of the round before, whose acknowledgement was on the line when it stalled
                assert!(is_last || qos == 1, "an end came twice");
                return is_last;
            }
            let number: usize = message.text().parse().unwrap();
            match number.cmp(&next) {
                std::cmp::Ordering::Equal => next += 1,
                // unacknowledged messages are resent from the first one
                std::cmp::Ordering::Less if qos == 1 => {}
                _ => panic!("{number} came where {next} was to come, in round {round}"),
            }
            false
        });
        assert_eq!(next, numbers.end, "round {round} lost what is behind");
        subscriber.send(crate::support::raw::DISCONNECT);
        subscriber.expect_closed();
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
