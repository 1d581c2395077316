//! Section 3.3.1.3: RETAIN.

use crate::support::raw::Message;

fn only(mut messages: Vec<Message>) -> Message {
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

#[test]
fn mqtt_3_3_1_5_retained_message_is_stored_with_its_qos() {
    let case = case!();
    let mut publisher = case.client("pub");
    for qos in 0..=2 {
        let topic = case.topic(&qos.to_string());
        publisher.publish(Message::new(&topic, "stored").qos(qos).retain());
        let message = only(case.retained(&topic, 1));
        assert_eq!((message.topic.as_str(), message.text(), message.qos), (topic.as_str(), "stored", qos));
    }
}

#[test]
fn mqtt_3_3_1_6_new_subscription_gets_the_last_retained_message_of_each_topic() {
    let case = case!();
    let mut publisher = case.client("pub");
    for (rest, payload) in
        [("a/x", "old"), ("b/x", "b"), ("a/x", "a"), ("a/y", "another filter's"), ("c/d/x", "deeper")]
    {
        publisher.publish(Message::new(&case.topic(rest), payload).qos(1).retain());
    }
    let mut messages = case.retained(&case.topic("+/x"), 2);
    messages.sort_by(|a, b| a.topic.cmp(&b.topic));
    let found: Vec<_> = messages.iter().map(|message| (message.topic.clone(), message.text())).collect();
    assert_eq!(found, [(case.topic("a/x"), "a"), (case.topic("b/x"), "b")]);
    assert_eq!(case.retained(&case.topic("#"), 4).len(), 4);
    assert_eq!(case.retained(&case.topic("a/#"), 2).len(), 2);
    assert_eq!(only(case.retained(&case.topic("c/d/x"), 1)).text(), "deeper");
}

#[test]
fn mqtt_3_3_1_7_retained_qos_0_replaces_the_previous_message() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.client("pub"));
    publisher.publish(Message::new(&topic, "before").qos(1).retain());
    publisher.publish(Message::new(&topic, "after").retain());
    // The standard lets a server forget the new one; dunlin does not.
    let message = only(case.retained(&topic, 1));
    assert_eq!((message.text(), message.qos), ("after", 0));
}

#[test]
fn mqtt_3_3_1_8_retain_is_1_for_a_new_subscription() {
    let case = case!();
    let topic = case.topic("t");
    case.client("pub").publish(Message::new(&topic, "stored").qos(1).retain());
    let message = only(case.retained(&topic, 1));
    assert!(message.retain && !message.dup);
}

#[test]
fn mqtt_3_3_1_9_retain_is_0_for_an_existing_subscription() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    for qos in 0..=2 {
        publisher.publish(Message::new(&topic, "live").qos(qos).retain());
        let message = subscriber.take();
        assert_eq!((message.text(), message.qos, message.retain), ("live", qos, false));
    }
}

#[test]
fn mqtt_3_3_1_9_retain_is_0_for_an_existing_subscription_while_away() {
    let case = case!();
    let (topic, mut subscriber) = (case.topic("t"), case.begin("sub"));
    subscriber.subscribe(&[(&topic, 1)]);
    subscriber.disconnect();
    case.client("pub").publish(Message::new(&topic, "live").qos(1).retain());
    let mut subscriber = case.resume("sub");
    let message = subscriber.take();
    assert_eq!((message.text(), message.retain), ("live", false));
    // And a session that returns is no new subscription.
    subscriber.expect_nothing_pending();
}

#[test]
fn mqtt_3_3_1_10_empty_retained_message_clears_and_is_delivered() {
    let case = case!();
    let mut publisher = case.client("pub");
    for qos in 0..=2 {
        let (topic, mut subscriber) = (case.topic(&qos.to_string()), case.client(&format!("sub{qos}")));
        publisher.publish(Message::new(&topic, "stored").qos(1).retain());
        assert_eq!(subscriber.subscribe_retained(&[(&topic, 0)], 1).len(), 1);
        publisher.publish(Message::new(&topic, "").qos(qos).retain());
        let message = subscriber.take();
        assert_eq!((message.text(), message.retain), ("", false));
        assert_eq!(case.retained(&topic, 0), []);
    }
}

#[test]
fn mqtt_3_3_1_11_empty_message_is_not_retained() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.client("pub"));
    for qos in 0..=2 {
        publisher.publish(Message::new(&topic, "").qos(qos).retain());
        assert_eq!(case.retained(&topic, 0), []);
    }
}

#[test]
fn mqtt_3_3_1_12_message_without_retain_is_not_stored_and_replaces_nothing() {
    let case = case!();
    let (topic, other, mut publisher) = (case.topic("t"), case.topic("other"), case.client("pub"));
    publisher.publish(Message::new(&topic, "stored").qos(1).retain());
    for qos in 0..=2 {
        publisher.publish(Message::new(&topic, "passing").qos(qos));
        publisher.publish(Message::new(&topic, "").qos(qos));
        publisher.publish(Message::new(&other, "passing").qos(qos));
    }
    assert_eq!(only(case.retained(&topic, 1)).text(), "stored");
    assert_eq!(case.retained(&other, 0), []);
}

#[test]
fn mqtt_3_1_2_7_retained_messages_outlive_the_session() {
    let case = case!();
    let topic = case.topic("t");
    let mut publisher = case.client("pub");
    publisher.publish(Message::new(&topic, "stays").qos(1).retain());
    publisher.disconnect();
    assert_eq!(only(case.retained(&topic, 1)).text(), "stays");
    // Also where a persistent session ended by a clean one had sent it.
    let mut publisher = case.begin("persistent");
    publisher.publish(Message::new(&topic, "stays too").qos(1).retain());
    publisher.disconnect();
    case.client("persistent").disconnect();
    assert_eq!(only(case.retained(&topic, 1)).text(), "stays too");
}

#[test]
fn also_a_retained_message_arrives_at_the_lower_qos() {
    let case = case!();
    let mut publisher = case.client("pub");
    for published in 0..=2 {
        let topic = case.topic(&published.to_string());
        publisher.publish(Message::new(&topic, "stored").qos(published).retain());
        for granted in 0..=2 {
            let mut subscriber = case.client(&format!("sub{published}{granted}"));
            let message = only(subscriber.subscribe_retained(&[(&topic, granted)], 1));
            assert_eq!((message.qos, message.retain), (published.min(granted), true));
        }
    }
}

#[test]
fn also_retained_message_is_not_sent_to_other_subscribers_again() {
    let case = case!();
    let (topic, mut first) = (case.topic("t"), case.client("first"));
    first.subscribe(&[(&topic, 1)]);
    case.client("pub").publish(Message::new(&topic, "stored").qos(1).retain());
    first.expect_message(&topic, "stored", 1);
    assert_eq!(case.retained(&topic, 1).len(), 1);
    first.expect_nothing_pending();
}
