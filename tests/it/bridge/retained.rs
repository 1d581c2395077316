//! Retained messages that change while the line is down: the other broker gets the changes when it is back, and what
//! changed here wins.

use std::{collections::BTreeSet, fs, net::SocketAddr};

use dunlin::{BridgePhase, Builder, Config, Server, config::Limits};

use super::{bridged, proxy::Proxy, view, wait_until_connected};
use crate::support::{
    Broker, config,
    mosquitto::Mosquitto,
    raw::{self, Client, Connect, Message},
    running::Running,
    shut_down, start, wait_until,
};

pub fn client(address: SocketAddr, id: &str) -> Client {
    Client::accepted(address, &Connect::new(id), 0)
}

/// The broker has read it when this returns.
pub fn retain(client: &mut Client, qos: u8, topic: &str, payload: &str) {
    client.publish(Message::new(topic, payload).qos(qos).retain());
    client.expect_nothing_pending();
}

/// What is retained there, by topic.
pub fn retained(address: SocketAddr, filter: &str, count: usize) -> Vec<(String, String)> {
    let mut reader = client(address, "reads-retained");
    let messages = reader.subscribe_retained(&[(filter, 0)], count);
    reader.expect_nothing_pending();
    let mut found: Vec<_> = messages.iter().map(|m| (m.topic.clone(), m.text().to_owned())).collect();
    found.sort();
    found
}

pub fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(topic, payload)| (topic.to_string(), payload.to_string())).collect()
}

pub fn pause(server: &Server) {
    assert!(server.pause_bridge("b", true));
    wait_until(|| view(server).phase == BridgePhase::Paused, || format!("{:?}", view(server)));
}

pub fn resume(server: &Server) {
    assert!(server.pause_bridge("b", false));
    wait_until_connected(server);
}

/// Only changed topics are sent, set and cleared ones.
fn sends_what_changed(there: SocketAddr) {
    for (version, topic_qos, qos) in [("5", 0, 0), ("5", 0, 1), ("3.1.1", 0, 0), ("5", 1, 0), ("3.1.1", 1, 1)] {
        let case = format!("{version}-{topic_qos}-{qos}");
        let topics = format!("# out {topic_qos} \"\" {case}/");
        let more = format!("protocol = '{version}'\nclient_id = 'c-{case}'\nnotifications = 'off'");
        let here = start(Builder::new(bridged("b", there, &[&topics], &more)));
        wait_until_connected(&here);
        let mut publisher = client(here.local_addrs()[0], "p");
        let mut watcher = client(there, "w");
        watcher.subscribe(&[(&format!("{case}/#"), 0)]);
        for topic in ["changes", "gone", "stays"] {
            retain(&mut publisher, qos, topic, "1");
            watcher.expect_message(&format!("{case}/{topic}"), "1", 0);
        }
        // the other broker's answers say that it has them
        wait_until(
            || view(&here).counts.queued + view(&here).counts.retained_due == 0,
            || format!("{:?}", view(&here)),
        );
        pause(&here);
        retain(&mut publisher, qos, "changes", "2");
        retain(&mut publisher, qos, "gone", "");
        retain(&mut publisher, qos, "new", "1");
        retain(&mut publisher, qos, "went", "1");
        retain(&mut publisher, qos, "went", "");
        resume(&here);
        publisher.publish(Message::new("then", "x").qos(1));
        let mut came = Vec::new();
        while came.last().is_none_or(|(topic, _)| topic != "then") {
            let message = watcher.take();
            came.push((message.topic[case.len() + 1..].to_owned(), message.text().to_owned()));
        }
        came.dedup();
        let went: &[_] = if qos.min(topic_qos) == 0 { &[("went", "")] } else { &[("went", "1"), ("went", "")] };
        let expected = [&[("changes", "2"), ("gone", ""), ("new", "1")], went, &[("then", "x")]].concat();
        assert_eq!(came, pairs(&expected), "{case}");
        let [changes, new, stays] = ["changes", "new", "stays"].map(|topic| format!("{case}/{topic}"));
        let expected = pairs(&[(&changes, "2"), (&new, "1"), (&stays, "1")]);
        assert_eq!(retained(there, &format!("{case}/#"), 3), expected);
        shut_down(here);
    }
}

#[test]
fn dunlin_gets_what_changed() {
    let there = Broker::new(config());
    sends_what_changed(there.address());
}

#[test]
fn mosquitto_gets_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let Some(there) = Mosquitto::start(dir.path(), "allow_anonymous true\n") else { return };
    sends_what_changed(there.address);
}

/// A broker with a data directory, whose bridge has a line that can be cut.
struct Edge {
    file: String,
    proxy: Proxy,
    _dir: tempfile::TempDir,
}

impl Edge {
    fn new(topic: &str) -> Self {
        let (dir, proxy) = (tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(), Proxy::new());
        let text = format!(
            "data_dir = '{}'\nallow_anonymous = true\n[sys]\ninterval = 'off'\n[http]\nlisten = 'off'\n[[bridge]]\nname = \
             'b'\naddresses = ['{}']\ntopics = ['{topic}']\nreconnect_min = '5ms'\nreconnect_max = '50ms'\nclient_id = \
             'edge'\nnotifications = 'off'\nprotocol = '5'\n",
            dir.path().join("data").display(),
            proxy.address()
        );
        let file = dir.path().join("edge.toml");
        fs::write(&file, text).unwrap();
        proxy.pass(i64::MAX);
        Self { file: file.display().to_string(), proxy, _dir: dir }
    }

    fn start(&self) -> Running {
        Running::start(&["--config", &self.file])
    }

    fn disconnect(&self) {
        self.proxy.to(None);
        self.proxy.cut();
    }
}

#[test]
fn changes_survive_kill_9_and_a_restart_while_the_line_is_down() {
    let there = Broker::new(config());
    let edge = Edge::new("# out");
    edge.proxy.to(Some(there.address()));
    let mut running = edge.start();
    let mut watcher = there.client("w");
    watcher.subscribe(&[("#", 0)]);
    let mut publisher = running.client("p");
    for topic in ["a", "b", "stays"] {
        retain(&mut publisher, 0, topic, "1");
        watcher.expect_message(topic, "1", 0);
    }
    for round in 2..4 {
        edge.disconnect();
        // the Will of a client that is connected when the broker is killed is published at the next start
        let will = Message::new("status", "gone").retain();
        let _connected = running.connect(&Connect::new("device").will(&will), 0);
        let mut publisher = running.client("p");
        let text = round.to_string();
        retain(&mut publisher, 0, "a", &text);
        retain(&mut publisher, 0, "b", "");
        // is acknowledged when all before it is durable
        retain(&mut publisher, 1, "c", &text);
        for _ in 0..round {
            running.kill();
            running = edge.start();
        }
        edge.proxy.to(Some(there.address()));
        let mut came = BTreeSet::new();
        while came.len() < 4 {
            // some came before the line was cut, and come again
            let message = watcher.take();
            if message.topic != "stays" {
                came.insert((message.topic.clone(), message.text().to_owned()));
            }
        }
        assert_eq!(
            Vec::from_iter(came),
            pairs(&[("a", &text), ("b", ""), ("c", &text), ("status", "gone")]),
            "{round}"
        );
        let expected = pairs(&[("a", &text), ("c", &text), ("status", "gone"), ("stays", "1")]);
        assert_eq!(retained(there.address(), "#", 4), expected);
        let mut publisher = running.client("p");
        retain(&mut publisher, 0, "b", "back");
        while watcher.take().text() != "back" {}
    }
}

#[test]
fn a_message_of_qos_0_that_a_broken_line_swallowed_is_sent_again() {
    let there = Broker::new(config());
    let edge = Edge::new("# out");
    edge.proxy.to(Some(there.address()));
    let running = edge.start();
    let mut watcher = there.client("w");
    watcher.subscribe(&[("#", 0)]);
    let mut publisher = running.client("p");
    retain(&mut publisher, 0, "a", "1");
    watcher.expect_message("a", "1", 0);
    edge.proxy.pass(0);
    retain(&mut publisher, 0, "a", "2");
    retain(&mut publisher, 0, "b", "1");
    edge.proxy.cut();
    edge.proxy.pass(i64::MAX);
    watcher.expect_message("a", "2", 0);
    watcher.expect_message("b", "1", 0);
}

#[test]
fn all_retained_messages_are_sent_when_more_changed_than_the_list_holds() {
    const COUNT: usize = 10_100;
    let there = Broker::new(config());
    let edge = Edge::new("# out");
    edge.proxy.to(Some(there.address()));
    let mut running = edge.start();
    let mut watcher = there.client("w");
    watcher.subscribe(&[("before", 0), ("cleared", 0)]);
    let mut publisher = running.client("p");
    for topic in ["before", "cleared"] {
        retain(&mut publisher, 0, topic, "1");
        watcher.expect_message(topic, "1", 0);
    }
    edge.disconnect();
    // cleared topics are sent while they are in the list
    retain(&mut publisher, 0, "cleared", "");
    let all: Vec<u8> = (0..COUNT).flat_map(|n| Message::new(&format!("t/{n}"), "x").retain().frame()).collect();
    publisher.send(&all);
    retain(&mut publisher, 1, "last", "1");
    running.kill();
    let _running = edge.start();
    edge.proxy.to(Some(there.address()));
    let mut came = BTreeSet::new();
    while came.len() < 2 {
        // the first time before the line was cut, perhaps
        let message = watcher.take();
        came.insert((message.topic.clone(), message.text().to_owned()));
    }
    assert!(came.into_iter().eq(pairs(&[("before", "1"), ("cleared", "")])));
    wait_until(|| retained_now(there.address(), "#").len() == COUNT + 2, || "not all come".into());
    assert_eq!(retained(there.address(), "last", 1), pairs(&[("last", "1")]));
}

/// What changed here while the line was down is not overwritten, and what changed there alone comes.
fn what_changed_here_wins(there: SocketAddr) {
    // more than a window of the other broker
    const MORE: usize = 300;
    let mut other = client(there, "other");
    for (version, more) in [
        ("5", "clean_session = true"),
        ("5", "clean_session = false"),
        ("3.1.1", "clean_session = true"),
        ("3.1.1", "clean_session = false"),
        ("3.1.1", "clean_session = true\ntry_private = false"),
    ] {
        for qos in [0, 1] {
            let case = format!("{version}-{qos}-{}", more.replace([' ', '=', '\n', '_'], ""));
            let more = format!("protocol = '{version}'\nclient_id = 'c-{case}'\nnotifications = 'off'\n{more}");
            let bridge = bridged("b", there, &[&format!("# both {qos} \"\" {case}/")], &more);
            let limits = Limits { max_queued_messages: 10_000, ..config().limits };
            let here = start(Builder::new(Config { limits, ..bridge }));
            wait_until_connected(&here);
            let at = here.local_addrs()[0];
            let mut publisher = client(at, "p");
            let mut watcher_there = client(there, "w");
            watcher_there.subscribe(&[(&format!("{case}/#"), 0)]);
            let topics = ["cleared", "free", "queued", "set"];
            for topic in topics {
                retain(&mut publisher, 1, topic, "old");
                watcher_there.expect_message(&format!("{case}/{topic}"), "old", 0);
            }
            wait_until(|| view(&here).counts.queued + view(&here).counts.retained_due == 0, || case.clone());
            pause(&here);
            // `set` is behind all of these, whatever the order
            for n in 0..MORE {
                other.publish(Message::new(&format!("{case}/more/{n}"), "x").qos(1).retain());
            }
            for topic in topics {
                other.publish(Message::new(&format!("{case}/{topic}"), "there").qos(1).retain());
            }
            retain(&mut publisher, 0, "set", "here");
            retain(&mut publisher, 0, "cleared", "");
            retain(&mut publisher, 1, "queued", "here");
            let mut watcher = client(at, "w");
            watcher.subscribe_retained(&[("set", 1), ("queued", 1), ("cleared", 1), ("end", 1)], 2);
            resume(&here);
            // all retained messages have come when those have
            wait_until(
                || retained_now(at, "free") == pairs(&[("free", "there")]),
                || format!("{case}: {:?}", view(&here)),
            );
            wait_until(|| retained_now(at, "more/#").len() == MORE, || format!("{case}: {:?}", view(&here)));
            other.publish(Message::new(&format!("{case}/end"), "x").qos(1));
            loop {
                let message = watcher.take();
                match message.topic.as_str() {
                    "end" => break,
                    // the other broker may send what it was sent
                    _ => assert_eq!(message.text(), "here", "{case} {}", message.topic),
                }
            }
            for (address, prefix) in [(at, String::new()), (there, format!("{case}/"))] {
                let read = |topic: &str, count| retained(address, &format!("{prefix}{topic}"), count);
                assert_eq!(read("set", 1)[0].1, "here", "{case} {prefix}");
                assert_eq!(read("queued", 1)[0].1, "here", "{case} {prefix}");
                assert_eq!(read("cleared", 0), [], "{case} {prefix}");
                assert_eq!(read("free", 1)[0].1, "there", "{case} {prefix}");
            }
            // from now on the last one wins
            other.publish(Message::new(&format!("{case}/set"), "later").qos(1).retain());
            let is_plain_client = more.contains("try_private");
            wait_until(|| is_plain_client || retained_now(at, "set") == pairs(&[("set", "later")]), || case.clone());
            shut_down(here);
        }
    }
}

/// What is retained now.
pub fn retained_now(address: SocketAddr, filter: &str) -> Vec<(String, String)> {
    let mut reader = client(address, "reads-now");
    reader.send(&[raw::subscribe(1, &[(filter, 0)]), raw::PINGREQ.to_vec()].concat());
    let mut messages = Vec::new();
    loop {
        let frame = reader.expect_any();
        match frame.message() {
            Some(message) => messages.push(message),
            None if frame.bytes() == raw::PINGRESP => break,
            None => {}
        }
    }
    let mut found: Vec<_> = messages.iter().map(|m| (m.topic.clone(), m.text().to_owned())).collect();
    found.sort();
    found
}

#[test]
fn what_changed_here_wins_over_dunlin() {
    let limits = Limits { max_queued_messages: 10_000, ..config().limits };
    let there = Broker::new(Config { limits, ..config() });
    what_changed_here_wins(there.address());
}

#[test]
fn what_changed_here_wins_over_mosquitto() {
    let dir = tempfile::tempdir().unwrap();
    let text = "allow_anonymous true\nmax_queued_messages 10000\n";
    let Some(there) = Mosquitto::start(dir.path(), text) else { return };
    what_changed_here_wins(there.address);
}
