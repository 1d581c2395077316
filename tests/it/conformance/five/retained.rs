//! Sections 3.3.1.3 and 3.8.3.1: retained messages, and the options of subscriptions for them.

use dunlin::Config;

use super::client_of;
use crate::support::{
    Broker, config,
    five::{
        Connect, Five, NO_LOCAL, Properties, Publish, RETAIN_AS_PUBLISHED, RETAIN_IF_NEW, RETAIN_NEVER, disconnect,
        property, suback, subscribe,
    },
    raw::{self, Message},
    shut_down,
};

/// Subscribes, and returns the messages that follow: payload and RETAIN.
#[track_caller]
fn ask(client: &mut Five, filter: &str, options: u8) -> Vec<(String, bool)> {
    let id = client.fresh_id();
    client.send(&subscribe(id, &Properties::new(), &[(filter, options)]));
    client.expect(&suback(id, &[options & 3]));
    pending(client)
}

/// Received messages: payload and RETAIN.
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
fn only_retained_messages_replace_or_remove_a_retained_message() {
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
fn retain_handling_selects_the_subscriptions_with_retained_messages() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    publisher.publish(&Publish::new(&topic, "kept").retain());
    let mut client = case.lasting("sub", 0);
    // for a new subscription, and for an existing one
    assert_eq!(ask(&mut client, &topic, RETAIN_NEVER), []);
    assert_eq!(ask(&mut client, &topic, RETAIN_IF_NEW), []);
    assert_eq!(ask(&mut client, &topic, 0), kept("kept"));
    assert_eq!(ask(&mut client, &topic, 0), kept("kept"));
    assert_eq!(ask(&mut client, &topic, RETAIN_NEVER | 1), []);
    client.give_up(&[&topic]);
    assert_eq!(ask(&mut client, &topic, RETAIN_IF_NEW), kept("kept"));
    assert_eq!(ask(&mut client, &topic, RETAIN_IF_NEW | 2), []);
    // a resumed session's subscription exists, and brings no retained messages
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
fn live_messages_keep_retain_only_with_retain_as_published() {
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
    // messages for a new subscription have RETAIN, with any option
    assert_eq!(ask(&mut plain, &topic, 0), kept("m"));
    assert_eq!(ask(&mut asks, &topic, RETAIN_AS_PUBLISHED), kept("m"));
}

#[test]
fn retained_messages_have_subscription_identifiers() {
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

/// Whether a subscription is there is the session's to say, not the connection's, and nothing but the Topic Filter
/// tells one from another.
#[test]
fn also_a_subscription_is_new_only_if_its_session_has_no_equal_filter() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    publisher.publish(&Publish::new(&topic, "kept").retain());
    let mut client = case.lasting("sub", 0);
    assert_eq!(ask(&mut client, &topic, RETAIN_IF_NEW | 1), kept("kept"));
    // another QoS, other options and an identifier make it no new one
    for options in [0, 2, 1 | NO_LOCAL, 1 | RETAIN_AS_PUBLISHED] {
        assert_eq!(ask(&mut client, &topic, RETAIN_IF_NEW | options), []);
    }
    client.subscribe_as(9, &topic, RETAIN_IF_NEW | 1);
    assert_eq!(pending(&mut client), []);
    // another filter that matches the same is one
    assert_eq!(ask(&mut client, &case.topic("+"), RETAIN_IF_NEW), kept("kept"));
    // unsubscribed and subscribed again, with any option
    for handling in [0, RETAIN_IF_NEW] {
        client.give_up(&[&topic]);
        assert_eq!(ask(&mut client, &topic, handling), kept("kept"));
    }
    // a subscription that was refused before exists all the same
    client.give_up(&[&topic]);
    assert_eq!(ask(&mut client, &topic, RETAIN_NEVER), []);
    assert_eq!(ask(&mut client, &topic, RETAIN_IF_NEW), []);
    // taken over, it is the same session; begun anew, another
    let mut second = case.lasting("sub", 1);
    assert_eq!(ask(&mut second, &topic, RETAIN_IF_NEW), []);
    let mut third = case.five("sub");
    assert_eq!(ask(&mut third, &topic, RETAIN_IF_NEW), kept("kept"));
    third.leave();
    let mut fourth = case.lasting("sub", 0);
    assert_eq!(ask(&mut fourth, &topic, RETAIN_IF_NEW), kept("kept"));
    fourth.leave();
    // nor does the version of the client count
    let mut old = case.resume("sub");
    old.send(&raw::subscribe(1, &[(&topic, 0)]));
    old.expect(&raw::suback(1, &[0]));
    let came = old.receive();
    assert_eq!((came.text(), came.retain), ("kept", true));
}

#[test]
fn also_a_restored_subscription_is_not_new() {
    let directory = tempfile::tempdir().expect("a folder");
    let start = || Broker::new(Config { data_dir: Some(directory.path().into()), ..config() });
    let connect = Connect::new("sub").lasting(1_000);
    let broker = start();
    client_of(&broker, "pub").publish(&Publish::new("t", "kept").retain());
    let mut client = Five::accepted(broker.address(), &connect, 0);
    assert_eq!(ask(&mut client, "t", RETAIN_IF_NEW | RETAIN_AS_PUBLISHED | 1), kept("kept"));
    client.leave();
    shut_down(broker.server);
    let broker = start();
    let mut client = Five::accepted(broker.address(), &connect, 1);
    assert_eq!(pending(&mut client), []);
    assert_eq!(ask(&mut client, "t", RETAIN_IF_NEW | RETAIN_AS_PUBLISHED | 1), []);
    assert_eq!(ask(&mut client, "t", RETAIN_AS_PUBLISHED | 1), kept("kept"));
    shut_down(broker.server);
}

#[test]
fn also_one_matching_retain_as_published_is_enough() {
    let case = case!();
    let (topic, mut publisher, mut client) = (case.topic("t"), case.five("pub"), case.five("sub"));
    let all = case.topic("#");
    let live = |client: &mut Five, publisher: &mut Five| {
        publisher.publish(&Publish::new(&topic, "m").qos(1).retain());
        let came = client.take();
        client.expect_nothing_pending();
        came.retain
    };
    client.subscribe(&[(&topic, 1 | RETAIN_NEVER), (&all, 1 | RETAIN_NEVER | RETAIN_AS_PUBLISHED)]);
    assert!(live(&mut client, &mut publisher));
    // a subscription in its place counts from then on
    client.subscribe(&[(&all, 1 | RETAIN_NEVER)]);
    assert!(!live(&mut client, &mut publisher));
    client.subscribe(&[(&topic, 1 | RETAIN_NEVER | RETAIN_AS_PUBLISHED)]);
    assert!(live(&mut client, &mut publisher));
    client.give_up(&[&topic]);
    assert!(!live(&mut client, &mut publisher));
}

#[test]
fn also_retain_is_the_same_when_a_message_is_sent_again_and_in_a_will() {
    let case = case!();
    let topics = ["asks", "plain"].map(|topic| case.topic(topic));
    let mut client = case.lasting("sub", 0);
    client.subscribe(&[(&topics[0], 2 | RETAIN_AS_PUBLISHED), (&topics[1], 2)]);
    for (topic, asks) in topics.iter().zip([true, false]) {
        for retain in [true, false] {
            for qos in [0, 1, 2] {
                let will = Publish { retain, ..Publish::new(topic, "gone").qos(qos) };
                case.accepted(&Connect::new(&case.id("dies")).will(&will), 0).leave_with(&disconnect(0x04));
                let came = client.take();
                assert_eq!((came.text(), came.retain), ("gone", asks && retain));
            }
        }
        for (retain, qos) in [(true, 1), (false, 1), (true, 2), (false, 2)] {
            let publish = Publish { retain, ..Publish::new(topic, "live").qos(qos) };
            case.five("pub").publish(&publish);
            let sent = client.receive();
            assert_eq!((sent.text(), sent.retain), ("live", asks && retain));
            client.leave();
            client = case.lasting("sub", 1);
            assert_eq!(client.take(), sent.dup());
        }
    }
}

/// It says that it removes, and is no message that is retained.
#[test]
fn also_an_empty_retained_message_is_forwarded_and_clears_the_topic() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let mut asks = case.five("asks");
    asks.subscribe(&[(&topic, 1 | RETAIN_AS_PUBLISHED)]);
    for payload in ["kept", "", ""] {
        publisher.publish(&Publish::new(&topic, payload).qos(1).retain().expires(100));
        let came = asks.take();
        assert_eq!((came.text(), came.retain), (payload, true));
    }
    for handling in [0, RETAIN_IF_NEW, RETAIN_NEVER] {
        assert_eq!(ask(&mut case.five("late"), &topic, handling | 1), []);
    }
}
