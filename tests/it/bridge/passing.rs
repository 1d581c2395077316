//! Messages through a bridge, in each direction, version and combination of prefixes, to dunlin and to mosquitto.

use std::net::SocketAddr;

use dunlin::{BridgePhase, Builder, Config, config::Limits};

use super::{bridged, view, wait_until_connected};
use crate::support::{
    Broker, config,
    mosquitto::Mosquitto,
    raw::{Client, Connect, Message},
    reload, shut_down, start, wait_until,
};

/// Pattern and prefixes, a local topic, and the topic at the other broker.
const CASES: [(&str, &str, &str, &str); 5] = [
    ("a/#", "l/ r/", "l/a/b", "r/a/b"),
    ("a/#", "l/", "l/a/b", "a/b"),
    ("a/#", "\"\" r/", "a/b", "r/a/b"),
    ("a/#", "", "a/b", "a/b"),
    ("\"\"", "here there", "here", "there"),
];

fn client(address: SocketAddr, id: &str) -> Client {
    Client::accepted(address, &Connect::new(id), 0)
}

/// All cases by this version with a broker at that address.
fn passes(there: SocketAddr, version: &str) {
    for (n, (pattern, prefixes, here_topic, there_topic)) in CASES.into_iter().enumerate() {
        for direction in ["out", "in", "both"] {
            let topic = format!("{pattern} {direction} 2 {prefixes}");
            let more =
                format!("protocol = '{version}'\nclient_id = 'c-{version}-{n}-{direction}'\nclean_session = true");
            let here = start(Builder::new(bridged("b", there, &[&topic], &more)));
            wait_until_connected(&here);
            let mut at = [client(here.local_addrs()[0], "here"), client(there, "there")];
            at[0].subscribe(&[("#", 2)]);
            at[1].subscribe(&[("#", 2)]);
            let case = format!("{version} {topic}");
            for qos in 0..=2 {
                let text = format!("{case} {qos}");
                if direction != "in" {
                    at[0].publish_apart(here_topic, &text, qos);
                    at[0].expect_message(here_topic, &text, qos);
                    at[1].expect_message(there_topic, &text, qos);
                }
                if direction != "out" {
                    let text = format!("{text} back");
                    at[1].publish_apart(there_topic, &text, qos);
                    at[1].expect_message(there_topic, &text, qos);
                    at[0].expect_message(here_topic, &text, qos);
                }
            }
            // no echo arrives, and nothing passes the other way: the next message arrives first
            let [here_client, there_client] = &mut at;
            here_client.expect_nothing_pending();
            there_client.expect_nothing_pending();
            if direction == "in" {
                here_client.publish_apart(here_topic, "stays", 1);
                here_client.expect_message(here_topic, "stays", 1);
                there_client.expect_nothing_pending();
            }
            shut_down(here);
        }
    }
}

#[test]
fn to_dunlin_by_mqtt_5() {
    let there = Broker::new(config());
    passes(there.address(), "5");
}

#[test]
fn to_dunlin_by_mqtt_3_1_1() {
    let there = Broker::new(config());
    passes(there.address(), "3.1.1");
}

#[test]
fn to_mosquitto_by_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    let Some(there) = Mosquitto::start(dir.path(), "allow_anonymous true\n") else { return };
    passes(there.address, "5");
    passes(there.address, "3.1.1");
}

#[test]
fn messages_are_queued_in_order_while_the_other_broker_is_away() {
    let there = Broker::new(config());
    let address = there.address();
    let more = "notifications = 'off'";
    let here = start(Builder::new(bridged("b", address, &["# out 2"], more)));
    wait_until_connected(&here);
    drop(there);
    wait_until(|| view(&here).error.is_some(), || format!("{:?}", view(&here)));
    let mut publisher = client(here.local_addrs()[0], "p");
    for n in 0..100 {
        publisher.publish(Message::new("a", &n.to_string()).qos(1 + n % 2));
    }
    // QoS 0 does not wait
    publisher.publish(Message::new("a", "lost"));
    // the subscriber connects before the bridge
    assert!(here.pause_bridge("b", true));
    wait_until(|| view(&here).phase == BridgePhase::Paused, || format!("{:?}", view(&here)));
    let mut listens = config();
    listens.listeners[0].address = address.into();
    listens.limits.max_queued_messages = 1_000;
    let there = Broker::new(listens);
    let mut subscriber = there.client("s");
    subscriber.subscribe(&[("#", 2)]);
    assert!(here.pause_bridge("b", false));
    for n in 0..100 {
        assert_eq!(subscriber.take().text(), n.to_string());
    }
    publisher.publish(Message::new("a", "then").qos(1));
    assert_eq!(subscriber.take().text(), "then");
    shut_down(here);
}

#[test]
fn messages_that_the_other_broker_gets_while_the_bridge_is_away_come_later() {
    let there = Broker::new(config());
    let mut publisher = there.client("p");
    for (version, direction) in [("5", "in"), ("5", "both"), ("3.1.1", "in"), ("3.1.1", "both")] {
        let more = format!("protocol = '{version}'\nclient_id = 'c-{version}-{direction}'");
        let topic = format!("# {direction} 2 l/");
        let here = start(Builder::new(bridged("b", there.address(), &[&topic], &more)));
        wait_until_connected(&here);
        let mut subscriber = client(here.local_addrs()[0], "s");
        subscriber.subscribe(&[("l/a", 2)]);
        assert!(here.pause_bridge("b", true));
        wait_until(|| view(&here).phase == BridgePhase::Paused, || format!("{:?}", view(&here)));
        for (text, qos) in [("lost", 0), ("1", 1), ("2", 2), ("3", 1)] {
            publisher.publish(Message::new("a", text).qos(qos));
        }
        subscriber.expect_nothing_pending();
        assert!(here.pause_bridge("b", false));
        for (text, qos) in [("1", 1), ("2", 2), ("3", 1)] {
            let message = subscriber.take();
            assert_eq!((message.text(), message.qos), (text, qos), "{topic} {version}");
        }
        subscriber.expect_nothing_pending();
        shut_down(here);
    }
}

#[test]
fn retained_messages_that_are_missing_there_are_cleared_if_that_is_asked_for() {
    for clears in [false, true] {
        let there = Broker::new(config());
        let mut publisher = there.client("p");
        let retain = |publisher: &mut Client, topic: &str, payload: &str| {
            publisher.publish(Message::new(topic, payload).qos(1).retain());
        };
        retain(&mut publisher, "in/gone", "1");
        retain(&mut publisher, "in/stays", "1");
        let more = format!("clean_session = true\nclear_missing_retained = {clears}");
        let topics = ["in/# in 1 l/", "other/# out 1"];
        let here = start(Builder::new(bridged("b", there.address(), &topics, &more)));
        wait_until_connected(&here);
        wait_until(|| view(&here).counts.received == 2, || format!("{:?}", view(&here)));
        // those of clients of this broker are not of the bridge
        let mut own = client(here.local_addrs()[0], "own");
        retain(&mut own, "l/in/own", "1");
        retain(&mut own, "elsewhere", "1");
        assert!(here.pause_bridge("b", true));
        wait_until(|| view(&here).phase == BridgePhase::Paused, || format!("{:?}", view(&here)));
        retain(&mut publisher, "in/gone", "");
        retain(&mut publisher, "in/new", "1");
        let mut watcher = client(here.local_addrs()[0], "watcher");
        watcher.subscribe_retained(&[("l/in/gone", 1)], 1);
        assert!(here.pause_bridge("b", false));
        wait_until_connected(&here);
        // what the other broker sends behind the answer to the bridge's question is there when this is
        let expected = match clears {
            true => vec!["elsewhere", "l/in/new", "l/in/own", "l/in/stays"],
            false => vec!["elsewhere", "l/in/gone", "l/in/new", "l/in/own", "l/in/stays"],
        };
        wait_until(|| view(&here).counts.received == 4, || format!("{:?}", view(&here)));
        if clears {
            // its subscribers are told
            let cleared = watcher.take();
            assert_eq!((cleared.topic.as_str(), cleared.text()), ("l/in/gone", ""));
        }
        let mut reader = client(here.local_addrs()[0], "reader");
        let messages = reader.subscribe_retained(&[("#", 0)], expected.len());
        let mut topics: Vec<_> = messages.into_iter().map(|message| message.topic).collect();
        topics.sort();
        assert_eq!(topics, expected);
        shut_down(here);
    }
}

/// More retained messages than a window of the other broker: none of them is cleared, and one that is gone is.
fn clears_only_what_is_missing(there: SocketAddr) {
    const COUNT: u64 = 500;
    let mut publisher = client(there, "p");
    for n in 0..=COUNT {
        publisher.publish(Message::new(&format!("in/{n}"), "1").qos(1).retain());
    }
    for (version, qos, has_backlog) in [("5", 1, false), ("5", 2, false), ("3.1.1", 1, true), ("5", 2, true)] {
        publisher.publish(Message::new("in/gone", "1").qos(1).retain());
        let case = format!("{version}-{qos}-{has_backlog}");
        let bridge = |id: &str, more: &str| {
            let keys = format!("protocol = '{version}'\nclient_id = '{id}-{case}'\n{more}");
            bridged("b", there, &[&format!("in/# in {qos} l/")], &keys)
        };
        let here = start(Builder::new(bridge("first", "clean_session = true")));
        wait_until(|| view(&here).counts.received == COUNT + 2, || format!("{case} {:?}", view(&here)));
        let mut watcher = client(here.local_addrs()[0], "watcher");
        watcher.subscribe_retained(&[("l/in/gone", 1)], 1);
        // so that this bridge is not told when the message is gone
        assert!(here.pause_bridge("b", true));
        wait_until(|| view(&here).phase == BridgePhase::Paused, || format!("{:?}", view(&here)));
        let id = format!("second-{case}");
        let mut backlog = 0;
        if has_backlog {
            // what waits in the session there comes before what is retained
            let mut session = Client::accepted(there, &Connect::new(&id).persistent(), 0);
            session.subscribe(&[("in/more", 2)]);
            session.disconnect();
            for _ in 0..COUNT {
                publisher.publish(Message::new("in/more", "x").qos(2));
            }
            backlog = COUNT;
        }
        publisher.publish(Message::new("in/gone", "").qos(1).retain());
        let clears = format!("clean_session = {}\nclear_missing_retained = true", !has_backlog);
        reload(&here, &bridge("second", &clears)).unwrap();
        let cleared = watcher.take();
        assert_eq!((cleared.topic.as_str(), cleared.text()), ("l/in/gone", ""), "{case}");
        // what was wrongly cleared would be missing until it comes, or would be cleared behind it
        let received = view(&here).counts.received;
        assert_eq!(received, backlog + COUNT + 1, "{case}: all had come before");
        let mut reader = client(here.local_addrs()[0], "reader");
        let count = usize::try_from(COUNT).unwrap() + 1;
        assert_eq!(reader.subscribe_retained(&[("l/in/#", 0)], count).len(), count, "{case}");
        shut_down(here);
    }
}

#[test]
fn retained_messages_beyond_the_window_of_dunlin_are_not_missing() {
    let there = Config { limits: Limits { max_queued_messages: 10_000, ..config().limits }, ..config() };
    let there = Broker::new(there);
    clears_only_what_is_missing(there.address());
}

#[test]
fn retained_messages_beyond_the_window_of_mosquitto_are_not_missing() {
    let dir = tempfile::tempdir().unwrap();
    let text = "allow_anonymous true\nmax_queued_messages 10000\n";
    let Some(there) = Mosquitto::start(dir.path(), text) else { return };
    clears_only_what_is_missing(there.address);
}

#[test]
fn many_retained_messages_are_cleared_in_steps_while_others_pass() {
    const COUNT: u64 = 1_500;
    let limits = Limits { max_queued_messages: 10_000, ..config().limits };
    let there = Broker::new(Config { limits, ..config() });
    let mut publisher = there.client("p");
    for n in 0..COUNT {
        publisher.publish(Message::new(&format!("in/{n}"), "1").qos(1).retain());
    }
    let more = "clean_session = true\nclear_missing_retained = true";
    let here = start(Builder::new(bridged("b", there.address(), &["in/# in 1", "out/# out 1"], more)));
    wait_until(|| view(&here).counts.received == COUNT, || format!("{:?}", view(&here)));
    assert!(here.pause_bridge("b", true));
    wait_until(|| view(&here).phase == BridgePhase::Paused, || format!("{:?}", view(&here)));
    for n in 0..COUNT {
        publisher.publish(Message::new(&format!("in/{n}"), "").qos(1).retain());
    }
    let mut watcher = client(here.local_addrs()[0], "watcher");
    watcher.subscribe_retained(&[("in/#", 0)], 1_500);
    let mut gone = std::collections::BTreeSet::new();
    assert!(here.pause_bridge("b", false));
    publisher.subscribe(&[("out/#", 1)]);
    while gone.len() < usize::try_from(COUNT).unwrap() {
        let message = watcher.take();
        assert!(message.payload.is_empty() && gone.insert(message.topic));
    }
    watcher.publish_apart("out/a", "then", 1);
    publisher.expect_message("out/a", "then", 1);
    shut_down(here);
}

#[test]
fn retain_passes_and_retained_messages_come_with_the_first_connection() {
    let there = Broker::new(config());
    let mut publisher = there.client("p");
    publisher.publish(Message::new("in/old", "1").qos(1).retain());
    let here = start(Builder::new(bridged("b", there.address(), &["in/# in 1", "out/# out 1"], "")));
    wait_until_connected(&here);
    let mut watcher = client(here.local_addrs()[0], "w");
    wait_until(|| view(&here).counts.received > 0, || format!("{:?}", view(&here)));
    assert_eq!(watcher.subscribe_retained(&[("in/#", 1)], 1)[0].text(), "1");
    watcher.publish(Message::new("out/a", "2").qos(1).retain());
    // acknowledged, and so retained: not a live message during the subscription
    wait_until(|| view(&here).counts.sent > 0, || format!("{:?}", view(&here)));
    assert_eq!(there.retained("out/#", 1), [("out/a".into(), "2".into())]);
    shut_down(here);
}
