//! Wills of clients that are connected when the broker ends, by SIGTERM or SIGKILL.

use super::place::{Place, away};
use crate::support::{
    raw::{Client, Connect, Message},
    running::Running,
};

fn with_will(id: &str, topic: &str, qos: u8) -> Connect {
    Connect::new(id).will(&will(topic, qos))
}

fn will(topic: &str, qos: u8) -> Message {
    Message::new(topic, "offline").qos(qos)
}

/// A typical device: its Will is retained, and it publishes that it is online.
fn device(broker: &Running, topic: &str, qos: u8) -> Client {
    let mut device = broker.connect(&Connect::new(topic).will(&will(topic, qos).retain()), 0);
    device.publish(Message::new(topic, "online").qos(1).retain());
    device
}

fn retained(broker: &Running, count: usize) -> Vec<(String, String)> {
    let mut found = broker.client("reader").subscribe_retained(&[("device/#", 0)], count);
    found.sort_by(|a, b| a.topic.cmp(&b.topic));
    found.into_iter().map(|message| (message.topic.clone(), message.text().to_owned())).collect()
}

#[test]
fn a_retained_will_survives_any_end_of_the_broker() {
    let ends: [fn(Running); 2] = [Running::stop, |mut broker| broker.kill()];
    for end in ends {
        let place = Place::new();
        let broker = place.start();
        let _connected = [device(&broker, "device/0", 0), device(&broker, "device/1", 1)];
        device(&broker, "device/left", 1).disconnect();
        let mut lost = device(&broker, "device/back", 1);
        lost.send(&[0]);
        lost.expect_closed();
        let mut back = broker.client("device/back");
        back.publish(Message::new("device/back", "back").qos(1).retain());
        end(broker);
        let broker = place.start();
        let expected =
            [("device/0", "offline"), ("device/1", "offline"), ("device/back", "back"), ("device/left", "online")];
        assert_eq!(retained(&broker, 4), expected.map(|(topic, text)| (topic.to_owned(), text.to_owned())));
        // it was published once: later messages stay
        broker.client("device/0").publish(Message::new("device/0", "online").qos(1).retain());
        end(broker);
        assert_eq!(retained(&place.start(), 4)[0].1, "online");
    }
}

#[test]
fn a_persistent_session_gets_the_will_in_either_order() {
    let place = Place::new();
    let mut broker = place.start();
    away(&broker, "earlier", "earlier", 1);
    let _connected =
        ["earlier", "later", "nobody"].map(|topic| broker.connect(&with_will(&format!("of {topic}"), topic, 1), 0));
    away(&broker, "later", "later", 1);
    broker.kill();
    let broker = place.start();
    for heir in ["earlier", "later"] {
        let mut client = broker.resume(heir);
        client.expect_message(heir, "offline", 1);
        client.expect_nothing_pending();
    }
    broker.stop();
    let broker = place.start();
    for heir in ["earlier", "later"] {
        broker.resume(heir).expect_nothing_pending();
    }
}

#[test]
fn at_sigterm_those_that_wait_for_it_are_still_connected() {
    let place = Place::new();
    let in_memory = Running::start(&[]);
    for broker in [in_memory, place.start()] {
        let mut watcher = broker.client("watcher");
        watcher.subscribe(&[("will/#", 1)]);
        let will = will("will/kept", 1);
        let _kept = broker.connect(&Connect::new("kept").persistent().will(&will), 0);
        let _clean = broker.connect(&with_will("clean", "will/clean", 0), 0);
        broker.client("left").disconnect();
        broker.signal("TERM");
        let mut got = [watcher.take(), watcher.take()].map(|message| (message.topic, message.qos));
        got.sort();
        assert_eq!(got, [("will/clean".to_owned(), 0), ("will/kept".to_owned(), 1)]);
        watcher.expect_closed();
    }
    // the next start has nothing more to publish
    let broker = place.start();
    let mut watcher = broker.client("watcher");
    watcher.subscribe(&[("will/#", 1)]);
    watcher.expect_nothing_pending();
}
