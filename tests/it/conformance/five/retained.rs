//! Sections 3.3.1.3 and 3.8.3.1: retained messages, and what subscriptions ask of them.

use crate::support::{
    five::{Five, Properties, Publish, RETAIN_AS_PUBLISHED, RETAIN_IF_NEW, RETAIN_NEVER, property, suback, subscribe},
    raw::Message,
};

/// Subscribes, and gives what comes with it: payload and RETAIN.
#[track_caller]
fn ask(client: &mut Five, filter: &str, options: u8) -> Vec<(String, bool)> {
    let id = client.fresh_id();
    client.send(&subscribe(id, &Properties::new(), &[(filter, options)]));
    client.expect(&suback(id, &[options & 3]));
    pending(client)
}

/// What has come: payload and RETAIN.
#[track_caller]
fn pending(client: &mut Five) -> Vec<(String, bool)> {
    client.send(&[0xC0, 0]);
    let mut came = Vec::new();
    loop {
        let next = client.expect_any();
        match Publish::parse(&next) {
            Some(publish) => came.push((publish.text().to_owned(), publish.retain)),
            None => break,
        }
    }
    came
}

fn kept(payload: &str) -> Vec<(String, bool)> {
    vec![(payload.to_owned(), true)]
}

#[test]
fn a_retained_message_is_replaced_and_removed_by_retained_ones_alone() {
    let case = case!();
    let (topic, mut publisher, mut live) = (case.topic("t"), case.five("pub"), case.five("live"));
    live.subscribe(&[(&topic, 0)]);
    let look = |role: &str| ask(&mut case.five(role), &topic, 0);
    publisher.publish(&Publish::new(&topic, "1").qos(1).retain());
    assert_eq!(look("a"), kept("1"));
    publisher.publish(&Publish::new(&topic, "2").retain());
    assert_eq!(look("b"), kept("2"));
    publisher.publish(&Publish::new(&topic, "not kept").qos(1));
    publisher.publish(&Publish::new(&topic, "").qos(1));
    assert_eq!(look("c"), kept("2"));
    // an old client is served the same
    assert_eq!(case.retained(&topic, 1)[0].text(), "2");
    publisher.publish(&Publish::new(&topic, "").qos(1).retain().with(Properties::new().user("a", "b")));
    assert_eq!(look("d"), []);
    live.expect_payloads(&["1", "2", "not kept", "", ""]);
}

#[test]
fn retain_handling_says_which_subscriptions_bring_retained_messages() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    publisher.publish(&Publish::new(&topic, "kept").retain());
    let mut client = case.lasting("sub", 0);
    // for a subscription that is new, and for one that is there
    assert_eq!(ask(&mut client, &topic, RETAIN_NEVER), []);
    assert_eq!(ask(&mut client, &topic, RETAIN_IF_NEW), []);
    assert_eq!(ask(&mut client, &topic, 0), kept("kept"));
    assert_eq!(ask(&mut client, &topic, 0), kept("kept"));
    assert_eq!(ask(&mut client, &topic, RETAIN_NEVER | 1), []);
    client.give_up(&[&topic]);
    assert_eq!(ask(&mut client, &topic, RETAIN_IF_NEW), kept("kept"));
    assert_eq!(ask(&mut client, &topic, RETAIN_IF_NEW | 2), []);
    // one of a session that goes on is there, and brings nothing by that
    client.leave();
    let mut client = case.lasting("sub", 1);
    assert_eq!(pending(&mut client), []);
    assert_eq!(ask(&mut client, &topic, RETAIN_IF_NEW), []);
    assert_eq!(ask(&mut client, &topic, 0), kept("kept"));
    // each filter of a SUBSCRIBE is asked by itself
    let other = case.topic("+");
    let id = client.fresh_id();
    client.send(&subscribe(id, &Properties::new(), &[(&topic, RETAIN_IF_NEW), (&other, RETAIN_IF_NEW)]));
    client.expect(&suback(id, &[0, 0]));
    assert_eq!(pending(&mut client), kept("kept"));
}

#[test]
fn retain_is_passed_on_live_only_to_those_that_ask_for_it() {
    let case = case!();
    let (topic, mut publisher, mut old_publisher) = (case.topic("t"), case.five("pub"), case.client("old pub"));
    let (mut plain, mut asks, mut old) = (case.five("plain"), case.five("asks"), case.client("old"));
    plain.subscribe(&[(&topic, 1)]);
    asks.subscribe(&[(&topic, 1 | RETAIN_AS_PUBLISHED)]);
    old.subscribe(&[(&topic, 1)]);
    case.lasting("away", 0).leave_with_options(&topic, 1 | RETAIN_AS_PUBLISHED);
    case.lasting("away plain", 0).leave_with_options(&topic, 1);
    for qos in [1, 0] {
        for retain in [true, false] {
            publisher.publish(&Publish { retain, ..Publish::new(&topic, "m").qos(qos) });
            old_publisher.publish(Message { retain, ..Message::new(&topic, "m").qos(qos) });
            for _ in 0..2 {
                assert!(!plain.take().retain && !old.take().retain);
                assert_eq!(asks.take().retain, retain);
            }
        }
    }
    for (role, asks) in [("away", true), ("away plain", false)] {
        let mut away = case.lasting(role, 1);
        let flags: Vec<_> = (0..4).map(|_| away.take().retain).collect();
        assert_eq!(flags, [asks, asks, false, false]);
        away.expect_nothing_pending();
    }
    // what a subscription brings is retained, whatever it asks for
    assert_eq!(ask(&mut plain, &topic, 0), kept("m"));
    assert_eq!(ask(&mut asks, &topic, RETAIN_AS_PUBLISHED), kept("m"));
}

#[test]
fn subscription_identifiers_come_with_retained_messages() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    publisher.publish(&Publish::new(&topic, "kept").qos(1).retain().with(Properties::new().user("a", "b")));
    let mut client = case.lasting("sub", 0);
    for identifier in [1, 127, 128, 268_435_455] {
        client.subscribe_as(identifier, &topic, 1);
        let came = client.take();
        assert_eq!((came.text(), came.retain), ("kept", true));
        assert_eq!(came.properties.identifiers(), [identifier as usize]);
        assert_eq!(came.properties.ids(), [property::USER_PROPERTY, property::SUBSCRIPTION_IDENTIFIER]);
    }
    // each filter brings it under its own identifier, and without one there is none
    client.subscribe_as(9, &case.topic("#"), 1);
    assert_eq!(client.take().properties.identifiers(), [9]);
    let id = client.fresh_id();
    client.send(&subscribe(id, &Properties::new(), &[(&topic, 1)]));
    client.expect(&suback(id, &[1]));
    let came = client.receive();
    assert!(came.properties.identifiers().is_empty());
    // nor is it another when it is sent again
    client.leave();
    assert_eq!(case.lasting("sub", 1).take(), came.dup());
}
