//! Section 3.1.2.5 to 3.1.2.7: the Will Message.

use super::case::Case;
use crate::support::raw::{Client, Connect, Message};

/// A client that watches the will topic, and one that has the will, with a clean session.
fn with_will(case: &Case, will: &Message) -> (Client, Client) {
    let mut watcher = case.client("watcher");
    watcher.subscribe(&[(&will.topic, 2)]);
    (watcher, case.connect(&Connect::new(&case.id("mortal")).will(will), 0))
}

#[test]
fn mqtt_3_1_2_8_will_is_published_when_the_connection_closes() {
    let case = case!();
    let topic = case.topic("will");
    let (mut watcher, client) = with_will(&case, &Message::new(&topic, "gone"));
    watcher.expect_nothing_pending();
    client.abort();
    watcher.expect_message(&topic, "gone", 0);
    watcher.expect_nothing_pending();
}

#[test]
fn mqtt_3_1_2_8_will_is_published_after_a_violation() {
    let case = case!();
    let topic = case.topic("will");
    let (mut watcher, mut client) = with_will(&case, &Message::new(&topic, "gone").qos(1));
    client.send(&[0xF0, 0]);
    client.expect_closed();
    watcher.expect_message(&topic, "gone", 1);
}

#[test]
fn mqtt_3_1_2_8_will_reaches_sessions_that_are_away() {
    let case = case!();
    let (topic, mut away) = (case.topic("will"), case.begin("away"));
    away.subscribe(&[(&topic, 1)]);
    away.disconnect();
    let (mut watcher, client) = with_will(&case, &Message::new(&topic, "gone").qos(1));
    client.abort();
    watcher.expect_message(&topic, "gone", 1);
    case.resume("away").expect_message(&topic, "gone", 1);
}

#[test]
fn mqtt_3_1_2_9_will_qos_retain_topic_and_message_are_used() {
    let case = case!();
    for qos in 0..=2 {
        let topic = case.topic(&qos.to_string());
        let (mut watcher, client) = with_will(&case, &Message::new(&topic, "gone").qos(qos).retain());
        client.abort();
        watcher.expect_message(&topic, "gone", qos);
        let stored = case.retained(&topic, 1);
        assert_eq!((stored[0].text(), stored[0].qos, stored[0].retain), ("gone", qos, true));
    }
}

#[test]
fn mqtt_3_1_2_9_empty_will_message_is_published() {
    let case = case!();
    let topic = case.topic("will");
    let (mut watcher, client) = with_will(&case, &Message::new(&topic, "").qos(1));
    client.abort();
    watcher.expect_message(&topic, "", 1);
}

#[test]
fn mqtt_3_1_2_10_will_is_removed_once_published() {
    let case = case!();
    let topic = case.topic("will");
    let mut watcher = case.client("watcher");
    watcher.subscribe(&[(&topic, 1)]);
    let connect = Connect::new(&case.id("mortal")).persistent();
    let client = case.connect(&connect.clone().will(&Message::new(&topic, "gone").qos(1)), 0);
    client.abort();
    watcher.expect_message(&topic, "gone", 1);
    // The same session without a will.
    let mut client = case.connect(&connect, 1);
    client.send(&[0xF0, 0]);
    client.expect_closed();
    case.client("pub").publish(Message::new(&topic, "next").qos(1));
    watcher.expect_message(&topic, "next", 1);
}

#[test]
fn mqtt_3_1_2_10_will_is_removed_after_disconnect() {
    let case = case!();
    let topic = case.topic("will");
    let mut watcher = case.client("watcher");
    watcher.subscribe(&[(&topic, 1)]);
    let connect = Connect::new(&case.id("mortal")).persistent();
    case.connect(&connect.clone().will(&Message::new(&topic, "gone").qos(1)), 0).disconnect();
    let mut client = case.connect(&connect, 1);
    client.send(&[0xF0, 0]);
    client.expect_closed();
    case.client("pub").publish(Message::new(&topic, "next").qos(1));
    watcher.expect_message(&topic, "next", 1);
}

#[test]
fn mqtt_3_1_2_12_without_will_flag_nothing_is_published() {
    let case = case!();
    let mut watcher = case.client("watcher");
    watcher.subscribe(&[(&case.topic("#"), 1)]);
    let mut client = case.client("mortal");
    client.send(&[0xF0, 0]);
    client.expect_closed();
    case.client("pub").publish(Message::new(&case.topic("next"), "next").qos(1));
    watcher.expect_message(&case.topic("next"), "next", 1);
}

#[test]
fn mqtt_3_1_2_14_will_qos_0_1_and_2_are_accepted() {
    let case = case!();
    for qos in 0..=2 {
        let topic = case.topic(&qos.to_string());
        let (mut watcher, client) = with_will(&case, &Message::new(&topic, "gone").qos(qos));
        client.abort();
        watcher.expect_message(&topic, "gone", qos);
    }
}

#[test]
fn mqtt_3_1_2_16_will_without_retain_is_not_retained() {
    let case = case!();
    let topic = case.topic("will");
    let (mut watcher, client) = with_will(&case, &Message::new(&topic, "gone").qos(1));
    client.abort();
    watcher.expect_message(&topic, "gone", 1);
    assert_eq!(case.retained(&topic, 0), []);
}

#[test]
fn mqtt_3_1_2_17_will_with_retain_is_retained() {
    let case = case!();
    let topic = case.topic("will");
    let (mut watcher, client) = with_will(&case, &Message::new(&topic, "gone").qos(1).retain());
    client.abort();
    let live = watcher.take();
    assert_eq!((live.text(), live.retain), ("gone", false));
    let stored = case.retained(&topic, 1);
    assert_eq!((stored[0].text(), stored[0].retain), ("gone", true));
}

#[test]
fn mqtt_3_14_4_3_disconnect_discards_the_will() {
    let case = case!();
    let topic = case.topic("will");
    let (mut watcher, client) = with_will(&case, &Message::new(&topic, "gone").qos(1).retain());
    client.disconnect();
    case.client("pub").publish(Message::new(&topic, "next").qos(1));
    watcher.expect_message(&topic, "next", 1);
    assert_eq!(case.retained(&topic, 0), []);
}

#[test]
fn also_will_of_a_refused_connect_is_not_published() {
    let case = case!();
    let (topic, mut watcher) = (case.topic("will"), case.client("watcher"));
    watcher.subscribe(&[(&topic, 1)]);
    let mut client = case.open();
    client.send(&Connect::new("").persistent().will(&Message::new(&topic, "gone").qos(1)).frame());
    client.expect_refused(2);
    case.client("pub").publish(Message::new(&topic, "next").qos(1));
    watcher.expect_message(&topic, "next", 1);
}

#[test]
fn also_new_connect_brings_a_new_will() {
    let case = case!();
    let topic = case.topic("will");
    let (mut watcher, client) = with_will(&case, &Message::new(&topic, "first").qos(1));
    client.disconnect();
    let client = case.connect(&Connect::new(&case.id("mortal")).will(&Message::new(&topic, "second").qos(1)), 0);
    client.abort();
    watcher.expect_message(&topic, "second", 1);
}

#[test]
fn also_a_client_s_own_will_is_queued_for_its_persistent_session() {
    let case = case!();
    let (topic, mut watcher) = (case.topic("will"), case.client("watcher"));
    watcher.subscribe(&[(&topic, 1)]);
    let connect = Connect::new(&case.id("mortal")).persistent().will(&Message::new(&topic, "gone").qos(1));
    let mut client = case.connect(&connect, 0);
    client.subscribe(&[(&topic, 1)]);
    client.abort();
    watcher.expect_message(&topic, "gone", 1);
    case.resume("mortal").expect_message(&topic, "gone", 1);
}
