//! The state after an end of the broker, by SIGTERM or SIGKILL.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::place::{Place, away};
use crate::support::{
    raw::{Client, Connect, Message, ack, puback, pubcomp, pubrec, pubrel},
    running::Running,
};

/// SIGTERM, or SIGKILL.
const ENDS: [fn(Running); 2] = [Running::stop, |mut broker| broker.kill()];

#[test]
fn queued_messages_wait_in_their_order() {
    let place = Place::new();
    let mut broker = place.start();
    away(&broker, "subscriber", "t/#", 2);
    let messages = [("t/a", "1", 1), ("t/b", "2", 2), ("t/a", "3", 2), ("t/b", "4", 1), ("t/a", "", 1)];
    let mut publisher = broker.client("publisher");
    for (topic, payload, qos) in messages {
        publisher.publish(Message::new(topic, payload).qos(qos));
    }
    for end in ENDS {
        end(broker);
        broker = place.start();
    }
    let mut subscriber = broker.resume("subscriber");
    let mut got = messages.map(|_| subscriber.take());
    // between two QoS, no order is promised
    got.sort_by_key(|message| message.qos);
    let got = got.each_ref().map(|m| (m.topic.as_str(), m.text(), m.qos));
    assert_eq!(got, [messages[0], messages[3], messages[4], messages[1], messages[2]]);
    subscriber.expect_nothing_pending();
    subscriber.disconnect();
    broker.stop();
    place.start().resume("subscriber").expect_nothing_pending();
}

#[test]
fn replaced_messages_of_a_queue_stay_replaced_after_a_restart() {
    const KEEP_LAST: &str = "[limits]\nqueue_full = 'keep-last'\nmax_queued_messages = 3\n";
    for end in ENDS {
        let place = Place::new();
        let broker = place.configured(KEEP_LAST);
        away(&broker, "reader", "state/#", 2);
        let mut publisher = broker.client("publisher");
        let send = |publisher: &mut Client, messages: &[(&str, &str)], qos| {
            messages.iter().for_each(|(topic, payload)| publisher.publish(Message::new(topic, payload).qos(qos)));
        };
        send(&mut publisher, &[("state/a", "old"), ("state/b", "old"), ("state/c", "stays"), ("state/a", "newer")], 2);
        send(&mut publisher, &[("state/b", "newer"), ("state/a", "newest")], 2);
        end(broker);
        // restored messages are replaced like new ones
        let broker = place.configured(KEEP_LAST);
        send(&mut broker.client("publisher"), &[("state/b", "newest")], 2);
        end(broker);
        let broker = place.configured(KEEP_LAST);
        let mut reader = broker.resume("reader");
        let got = [reader.take(), reader.take(), reader.take()];
        let got = got.each_ref().map(|m| (m.topic.as_str(), m.text()));
        assert_eq!(got, [("state/c", "stays"), ("state/a", "newest"), ("state/b", "newest")]);
        reader.expect_nothing_pending();
        reader.disconnect();
        end(broker);
        place.start().resume("reader").expect_nothing_pending();
    }
}

#[test]
fn a_message_in_flight_is_sent_again_under_its_packet_identifier() {
    for end in ENDS {
        let place = Place::new();
        let broker = place.start();
        let mut subscriber = broker.begin("subscriber");
        subscriber.subscribe(&[("t", 2)]);
        let mut publisher = broker.client("publisher");
        for (payload, qos) in [("first", 1), ("second", 1), ("third", 2)] {
            publisher.publish(Message::new("t", payload).qos(qos));
        }
        let sent = [subscriber.receive(), subscriber.receive(), subscriber.receive()];
        subscriber.send(&puback(sent[0].id));
        subscriber.expect_nothing_pending();
        subscriber.disconnect();
        publisher.publish(Message::new("t", "fourth").qos(1));
        end(broker);

        let broker = place.start();
        let mut subscriber = broker.resume("subscriber");
        for message in &sent[1..] {
            assert_eq!(subscriber.take(), message.clone().dup());
        }
        let fourth = subscriber.take();
        assert_eq!((fourth.text(), fourth.dup), ("fourth", false));
        assert!(sent[1..].iter().all(|message| message.id != fourth.id));
    }
}

#[test]
fn a_qos_2_message_that_the_client_received_is_released_and_not_sent_again() {
    for end in ENDS {
        let place = Place::new();
        let broker = place.start();
        let mut subscriber = broker.begin("subscriber");
        subscriber.subscribe(&[("t", 2)]);
        broker.client("publisher").publish(Message::new("t", "once").qos(2));
        let message = subscriber.receive();
        subscriber.send(&pubrec(message.id));
        subscriber.expect(&pubrel(message.id));
        // PUBCOMP is not sent: the broker does not know that PUBREL came
        end(broker);

        let broker = place.start();
        let mut subscriber = broker.resume("subscriber");
        subscriber.expect(&pubrel(message.id));
        subscriber.send(&pubcomp(message.id));
        broker.client("publisher").publish(Message::new("t", "next").qos(2));
        subscriber.expect_message("t", "next", 2);
        subscriber.expect_nothing_pending();
    }
}

#[test]
fn a_qos_2_message_that_the_broker_received_is_not_received_again() {
    for end in ENDS {
        let place = Place::new();
        let broker = place.start();
        away(&broker, "subscriber", "t", 2);
        let mut publisher = broker.begin("publisher");
        let message = Message::new("t", "once").qos(2).id(7);
        publisher.send(&message.frame());
        publisher.expect(&pubrec(7));
        end(broker);

        let broker = place.start();
        let mut publisher = broker.resume("publisher");
        publisher.send(&message.dup().frame());
        publisher.expect(&pubrec(7));
        publisher.send(&pubrel(7));
        publisher.expect(&pubcomp(7));
        end(broker);

        // the identifier is free again, and known to be
        let broker = place.start();
        let mut publisher = broker.resume("publisher");
        publisher.send(&Message::new("t", "another").qos(2).id(7).frame());
        publisher.expect(&pubrec(7));
        let mut subscriber = broker.resume("subscriber");
        subscriber.expect_message("t", "once", 2);
        subscriber.expect_message("t", "another", 2);
        subscriber.expect_nothing_pending();
    }
}

#[test]
fn subscriptions_are_as_they_were_last() {
    for end in ENDS {
        let place = Place::new();
        let broker = place.start();
        let mut subscriber = broker.begin("subscriber");
        subscriber.subscribe(&[("kept/+", 1), ("changed", 2), ("given/up", 1)]);
        subscriber.subscribe(&[("changed", 0)]);
        subscriber.unsubscribe(&["given/up"]);
        end(broker);

        let broker = place.start();
        let mut subscriber = broker.resume("subscriber");
        let mut publisher = broker.client("publisher");
        for topic in ["given/up", "changed", "kept/all"] {
            publisher.publish(Message::new(topic, "m").qos(2));
        }
        let mut got = [subscriber.take(), subscriber.take()].map(|m| (m.topic, m.qos));
        got.sort();
        assert_eq!(got, [("changed".to_owned(), 0), ("kept/all".to_owned(), 1)]);
        subscriber.expect_nothing_pending();
    }
}

#[test]
fn retained_messages_are_as_they_were_last() {
    for end in ENDS {
        let place = Place::new();
        let broker = place.start();
        let mut publisher = broker.client("publisher");
        let retain = |topic: &str, payload: &str, qos| Message::new(topic, payload).qos(qos).retain();
        for (topic, payload, qos) in
            [("r/set", "old", 1), ("r/set", "new", 2), ("r/cleared", "x", 1), ("r/cleared", "", 1), ("r/zero", "0", 0)]
        {
            publisher.publish(retain(topic, payload, qos));
        }
        // QoS 0 has no acknowledgement; a later acknowledged packet shows that it is durable
        publisher.publish(retain("r/last", "9", 1));
        end(broker);

        let broker = place.start();
        let mut found = broker.client("reader").subscribe_retained(&[("r/#", 2)], 3);
        found.sort_by(|a, b| a.topic.cmp(&b.topic));
        let found: Vec<_> = found.iter().map(|m| (m.topic.as_str(), m.text(), m.qos, m.retain)).collect();
        assert_eq!(found, [("r/last", "9", 1, true), ("r/set", "new", 2, true), ("r/zero", "0", 0, true)]);
    }
}

#[test]
fn an_ended_session_does_not_return_after_a_restart() {
    for end in ENDS {
        let place = Place::new();
        let broker = place.start();
        away(&broker, "client", "t", 1);
        broker.client("publisher").publish(Message::new("t", "for nobody").qos(1));
        // Clean Session 1 [MQTT-3.1.2-6]
        broker.client("client").disconnect();
        end(broker);
        place.start().begin("client").expect_nothing_pending();
    }
}

#[test]
fn the_will_of_a_client_that_was_connected_is_published_after_a_kill() {
    let place = Place::new();
    let mut broker = place.start();
    away(&broker, "heir", "will/#", 1);
    let with_will = |id: &str| {
        let will = Message::new(&format!("will/{id}"), "gone").qos(1).retain();
        Connect::new(id).persistent().will(&will)
    };
    let _connected = broker.connect(&with_will("connected"), 0);
    broker.connect(&with_will("left"), 0).disconnect();
    // the Will is that of the last connection
    broker.connect(&with_will("changed"), 0).disconnect();
    let _changed = broker.connect(&Connect::new("changed").persistent(), 1);
    // DISCONNECT has no acknowledgement; a later acknowledged packet shows that it is durable
    broker.client("publisher").publish(Message::new("kept", "m").qos(1).retain());
    broker.kill();

    // once, however often it is killed
    place.start().kill();
    let broker = place.start();
    let mut heir = broker.resume("heir");
    heir.expect_message("will/connected", "gone", 1);
    heir.expect_nothing_pending();
    let retained = broker.client("reader").subscribe_retained(&[("will/#", 1)], 1);
    assert_eq!(retained[0].topic, "will/connected");
}

#[test]
fn the_time_away_counts_over_restarts() {
    const EXPIRY: Duration = Duration::from_secs(2);
    let place = Place::new();
    let start = || place.configured("[sys]\ninterval = '100ms'\n[limits]\nsession_expiry = '2s'\n");
    let mut broker = start();
    away(&broker, "client", "t", 1);
    // DISCONNECT has no acknowledgement; a later acknowledged packet shows that it is durable
    broker.client("publisher").publish(Message::new("kept", "m").qos(1).retain());
    let left = Instant::now();
    broker.kill();
    let mut broker = start();
    // no broker lives as long as the session: it ends only if the time away is counted over all of them
    while !broker.read.iter().any(|line| line.contains("restored sessions=0")) {
        // once $SYS is published, it has looked for sessions that are due
        let mut looks = broker.client("looks");
        looks.subscribe_retained(&[("$SYS/broker/version", 0)], 1);
        // the end of a session is durable before later acknowledged packets
        looks.publish(Message::new("kept", "m").qos(1).retain());
        broker.kill();
        assert!(left.elapsed() < 10 * EXPIRY, "the session does not expire");
        broker = start();
    }
    assert!(left.elapsed() >= EXPIRY, "it expired after {:?}", left.elapsed());
    broker.begin("client").expect_nothing_pending();
}

#[test]
fn an_unacknowledged_publish_can_be_repeated_after_a_restart() {
    let place = Place::new();
    let mut broker = place.start();
    away(&broker, "subscriber", "t", 2);
    let mut publisher = broker.begin("publisher");
    let messages: Vec<Message> =
        (1..=50).map(|n| Message::new("t", &n.to_string()).qos(1 + (n % 2) as u8).id(n)).collect();
    let bytes: Vec<u8> = messages.iter().flat_map(Message::frame).collect();
    publisher.send(&bytes);
    // after any part of it
    broker.kill();

    let broker = place.start();
    let mut publisher = broker.resume("publisher");
    for message in &messages {
        publisher.send(&message.clone().dup().frame());
        let id = message.id;
        publisher.expect(&ack(if message.qos == 1 { 0x40 } else { 0x50 }, id));
    }
    let mut subscriber = broker.resume("subscriber");
    let mut times = BTreeMap::<u16, usize>::new();
    while times.len() < messages.len() {
        *times.entry(subscriber.take().text().parse().expect("a number")).or_default() += 1;
    }
    for message in &messages {
        let times = times[&message.id];
        assert!(times == 1 || message.qos == 1 && times == 2, "{message:?} came {times} times");
    }
}
