//! Retained messages that an administrator removes: the other broker's are cleared as well.

use std::{fs, net::SocketAddr, path::Path};

use dunlin::{Builder, Config, Server, TopicFilter, config::Limits, inspect::Cursor};

use super::{
    bridged,
    retained::{client, pairs, pause, resume, retain, retained},
    view, wait_until_connected,
};
use crate::support::{
    Broker,
    command::told,
    config,
    mosquitto::Mosquitto,
    raw::{Client, Message},
    run,
    running::Running,
    shut_down, start, wait_until,
};

/// Removes what an administrator removes with this filter; the number of messages.
fn remove(server: &Server, filter: &str) -> usize {
    let filter = TopicFilter::new(filter).unwrap();
    let (mut messages, mut next) = (0, Some(Cursor::default()));
    while let Some(after) = next {
        let removed = run(server.remove_retained(filter, after, 16)).expect("it is durable");
        messages += removed.messages;
        next = removed.next;
    }
    messages
}

fn wait_until_all_arrived(here: &Server) {
    let counts = || view(here).counts;
    wait_until(|| counts().queued + counts().retained_due == 0, || format!("{:?}", view(here)));
}

/// The messages that come until that of `end`, as topic and payload.
fn until(watcher: &mut Client, end: &str) -> Vec<(String, String)> {
    let mut came = Vec::new();
    loop {
        let message = watcher.take();
        if message.topic == end {
            return came;
        }
        came.push((message.topic.clone(), message.text().to_owned()));
    }
}

/// Removals are passed on, with the other broker connected or away, and each is sent once.
fn passes_removals_on(there: SocketAddr) {
    for (version, direction, qos) in
        [("5", "out", 0), ("5", "out", 1), ("5", "both", 2), ("3.1.1", "out", 1), ("3.1.1", "both", 0)]
    {
        let case = format!("{version}-{direction}-{qos}");
        let topics = format!("# {direction} {qos} \"\" {case}/");
        let more = format!("protocol = '{version}'\nclient_id = 'c-{case}'\nnotifications = 'off'");
        let here = start(Builder::new(bridged("b", there, &[&topics], &more)));
        wait_until_connected(&here);
        let mut publisher = client(here.local_addrs()[0], "p");
        let mut watcher = client(there, "w");
        watcher.subscribe(&[(&format!("{case}/#"), 0)]);
        let named = |topic: &str| format!("{case}/{topic}");
        for topic in ["a", "b/1", "b/2", "b/3", "stays"] {
            retain(&mut publisher, 1, topic, "1");
            watcher.expect_message(&named(topic), "1", 0);
        }
        wait_until_all_arrived(&here);

        assert_eq!(remove(&here, "a"), 1);
        watcher.expect_message(&named("a"), "", 0);
        wait_until_all_arrived(&here);

        pause(&here);
        assert_eq!(remove(&here, "b/#"), 3);
        // newer than the removal
        retain(&mut publisher, 1, "b/2", "2");
        resume(&here);
        let mut came = Vec::new();
        while came.len() < 3 {
            let message = watcher.take();
            came.push((message.topic.clone(), message.text().to_owned()));
        }
        came.sort();
        assert_eq!(came, pairs(&[(&named("b/1"), ""), (&named("b/2"), "2"), (&named("b/3"), "")]), "{case}");
        wait_until_all_arrived(&here);
        publisher.publish(Message::new("end", "x").qos(1));
        assert_eq!(until(&mut watcher, &named("end")), [], "{case}");
        let expected = pairs(&[(&named("b/2"), "2"), (&named("stays"), "1")]);
        assert_eq!(retained(there, &format!("{case}/#"), 2), expected, "{case}");
        assert_eq!(retained(here.local_addrs()[0], "#", 2), pairs(&[("b/2", "2"), ("stays", "1")]), "{case}");
        shut_down(here);
    }
}

#[test]
fn dunlin_clears_what_an_administrator_removes_here() {
    passes_removals_on(Broker::new(config()).address());
}

#[test]
fn mosquitto_clears_what_an_administrator_removes_here() {
    let dir = tempfile::tempdir().unwrap();
    let Some(there) = Mosquitto::start(dir.path(), "allow_anonymous true\n") else { return };
    passes_removals_on(there.address);
}

#[test]
fn what_came_from_the_other_broker_is_cleared_there_only_if_the_topic_goes_out_too() {
    let there = Broker::new(config());
    let mut other = there.client("other");
    for topic in ["both/x", "in/x"] {
        retain(&mut other, 1, topic, "there");
    }
    let topics = ["both/# both 1", "in/# in 1", "out/# out 1"];
    let here = start(Builder::new(bridged("b", there.address(), &topics, "notifications = 'off'")));
    wait_until_connected(&here);
    let at = here.local_addrs()[0];
    for topic in ["both/x", "in/x"] {
        wait_until(|| !super::retained::retained_now(at, topic).is_empty(), || format!("{:?}", view(&here)));
    }
    let mut publisher = client(at, "p");
    // of no topic of the bridge
    retain(&mut publisher, 1, "own/x", "here");
    let mut watcher = there.client("w");
    watcher.subscribe_retained(&[("#", 0)], 2);
    assert_eq!(remove(&here, "#"), 3);
    watcher.expect_message("both/x", "", 0);
    publisher.publish(Message::new("out/end", "x").qos(1));
    assert_eq!(until(&mut watcher, "out/end"), []);
    assert_eq!(retained(there.address(), "#", 1), pairs(&[("in/x", "there")]));
    shut_down(here);
}

/// A broker with a data directory and an admin API, whose bridge goes there.
fn edge(dir: &Path, there: SocketAddr) -> Running {
    let (data, socket) = (dir.join("data"), dir.join("admin.sock"));
    let text = format!(
        "data_dir = '{}'\n[http]\nlisten = 'unix:{}'\n[[bridge]]\nname = 'b'\naddresses = ['{there}']\ntopics = ['# out \
         1']\nreconnect_min = '5ms'\nreconnect_max = '50ms'\nnotifications = 'off'\nstart = 'automatic'\n",
        data.display(),
        socket.display()
    );
    fs::write(dir.join("edge.toml"), text).unwrap();
    Running::start(&["--config", dir.join("edge.toml").to_str().unwrap()])
}

#[test]
fn a_removal_survives_kill_9_while_the_other_broker_is_away() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ctl = |words: &[&str]| told(dir.path(), &[], &[&["ctl", "--config", "edge.toml"], words].concat());
    let there = Broker::new(config());
    let mut running = edge(dir.path(), there.address());
    let mut watcher = there.client("w");
    watcher.subscribe(&[("#", 0)]);
    let mut publisher = running.client("p");
    for topic in ["a", "b/1", "b/2", "stays"] {
        retain(&mut publisher, 1, topic, "1");
        watcher.expect_message(topic, "1", 0);
    }
    ctl(&["bridges", "--pause", "b"]);
    wait_until(|| ctl(&["bridges"]).contains("paused"), || ctl(&["bridges"]));
    ctl(&["retained", "a", "--remove"]);
    ctl(&["retained", "b/#", "--remove"]);
    running.kill();
    let running = edge(dir.path(), there.address());
    let mut came: Vec<_> = (0..3).map(|_| watcher.take()).map(|m| (m.topic.clone(), m.text().to_owned())).collect();
    came.sort();
    assert_eq!(came, pairs(&[("a", ""), ("b/1", ""), ("b/2", "")]));
    let mut publisher = running.client("p");
    publisher.publish(Message::new("end", "x").qos(1));
    assert_eq!(until(&mut watcher, "end"), []);
    assert_eq!(retained(there.address(), "#", 1), pairs(&[("stays", "1")]));
}

#[test]
fn many_removals_fill_no_queue_and_all_arrive() {
    const COUNT: usize = 9_000;
    // a broker whose queue for the watcher has room for all
    let limits = Limits { max_queued_messages: 2 * COUNT, max_outbound_bytes: 64 << 20, ..config().limits };
    let there = Broker::new(Config { limits, ..config() });
    let more = "notifications = 'off'\nqueue_messages = 100\nqueue_full = 'drop-oldest'\n";
    let here = start(Builder::new(bridged("b", there.address(), &["# out 1"], more)));
    wait_until_connected(&here);
    let at = here.local_addrs()[0];
    let mut publisher = client(at, "p");
    for n in 0..COUNT {
        publisher.send(&Message::new(&format!("t/{n}"), "x").retain().frame());
        if n % 50 == 0 {
            publisher.publish(Message::new("pause", "x").qos(1));
            wait_until(|| view(&here).counts.queued == 0, || format!("{:?}", view(&here)));
        }
    }
    let retained = || super::retained::retained_now(there.address(), "t/#").len();
    wait_until(|| retained() == COUNT, || format!("{:?}", view(&here)));
    let dropped = view(&here).counts.queue_full;
    for paused in [false, true] {
        if paused {
            pause(&here);
        }
        let filter = if paused { "t/#" } else { "t/1" };
        assert_eq!(remove(&here, filter), if paused { COUNT - 1 } else { 1 });
        let mut waits = Vec::new();
        if paused {
            // waits in the queue, from which no removal drops it
            for n in 0..100 {
                publisher.publish(Message::new(&format!("m/{n}"), "x").qos(1));
                waits.push((format!("m/{n}"), "x".to_owned()));
            }
        }
        let mut watcher = there.client("w");
        watcher.subscribe(&[("m/#", 0)]);
        if paused {
            resume(&here);
        }
        let came: Vec<_> =
            waits.iter().map(|_| watcher.take()).map(|m| (m.topic.clone(), m.text().to_owned())).collect();
        assert_eq!(came, waits);
        let left = if paused { 0 } else { COUNT - 1 };
        wait_until(|| retained() == left, || format!("{:?}", view(&here)));
    }
    assert_eq!(view(&here).counts.queue_full, dropped);
    shut_down(here);
}
