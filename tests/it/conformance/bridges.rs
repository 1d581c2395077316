//! Bridges with mosquitto's defaults: Protocol Level 0x84 or 0x83 means 3.1.1 or 3.1, and that the client is a bridge.

use super::case::Case;
use crate::support::raw::{Client, Connect, Message};

fn bridge(case: &Case, role: &str) -> Connect {
    Connect::new(&case.id(role)).protocol("MQTT", 0x84)
}

/// The next message, and its RETAIN.
fn next(client: &mut Client) -> (String, bool) {
    let message = client.receive();
    (message.text().into(), message.retain)
}

#[test]
fn also_a_bridge_has_no_local_and_retain_as_published() {
    let case = case!();
    let topic = case.topic("t");
    for (role, name, level) in [("new", "MQTT", 0x84), ("old", "MQIsdp", 0x83)] {
        let mut bridge = case.connect(&Connect::new(&case.id(role)).protocol(name, level), 0);
        let (mut subscriber, mut publisher) = (case.client("sub"), case.client("pub"));
        // overlapping filters, as several "topic" lines of a bridge make them
        bridge.subscribe(&[(&topic, 1), (&case.topic("+"), 0)]);
        subscriber.subscribe(&[(&topic, 1)]);
        for qos in [0, 1, 2] {
            for (message, retain) in
                [(Message::new(&topic, "plain"), false), (Message::new(&topic, "kept").retain(), true)]
            {
                // to others as to any client
                bridge.publish(message.clone().qos(qos));
                assert_eq!(next(&mut subscriber), (message.text().into(), false));
                publisher.publish(message.clone().qos(qos));
                assert_eq!(next(&mut bridge), (message.text().into(), retain));
                assert_eq!(next(&mut subscriber), (message.text().into(), false));
            }
        }
        // clearing is forwarded as such, a large payload as a small one
        publisher.publish(Message::new(&topic, "").qos(1).retain());
        assert_eq!(next(&mut bridge), (String::new(), true));
        let large = "x".repeat(20_000);
        publisher.publish(Message::new(&topic, &large).retain());
        assert_eq!(next(&mut bridge), (large, true));
        publisher.publish(Message::new(&topic, "").qos(1).retain());
        assert_eq!(next(&mut bridge), (String::new(), true));
        bridge.expect_nothing_pending();
    }
}

#[test]
fn also_queued_messages_of_a_bridge_keep_retain() {
    let case = case!();
    let topic = case.topic("t");
    let connect = bridge(&case, "away").persistent();
    let mut away = case.connect(&connect, 0);
    away.subscribe(&[(&topic, 1)]);
    away.disconnect();
    let mut publisher = case.client("pub");
    publisher.publish(Message::new(&topic, "kept").qos(1).retain());
    publisher.publish(Message::new(&topic, "plain").qos(1));
    let mut away = case.connect(&connect, 1);
    assert_eq!(next(&mut away), ("kept".into(), true));
    assert_eq!(next(&mut away), ("plain".into(), false));
    publisher.publish(Message::new(&topic, "").qos(1).retain());
}

#[test]
fn also_a_bridge_publishes_the_state_of_its_connection() {
    let case = case!();
    let state = |of: &str| format!("$SYS/broker/connection/{of}/state");
    let (mut watcher, id) = (case.client("watch"), case.id("bridge"));
    watcher.subscribe(&[(&state("+"), 1)]);
    let will = Message::new(&state(&id), "0").qos(1).retain();
    // bridges over other versions, or with try_private false, look like any client
    for (name, level) in [("MQTT", 0x84), ("MQTT", 4)] {
        let mut client = case.connect(&Connect::new(&id).protocol(name, level).will(&will), 0);
        client.publish(Message::new(&state(&id), "1").qos(1).retain());
        watcher.expect_message(&state(&id), "1", 1);
        let retained = case.retained(&state(&id), 1);
        assert_eq!((retained[0].text(), retained[0].retain), ("1", true));
        // not that of another client, nor anything beside it
        for other in [state("other"), state(""), format!("$SYS/broker/connection/{id}/state/more")] {
            client.publish(Message::new(&other, "1").qos(1).retain());
        }
        client.abort();
        watcher.expect_message(&state(&id), "0", 1);
        watcher.expect_nothing_pending();
    }
}
