//! Retained messages that two clients set at once: subscribers receive the one that is stored.

use std::{collections::BTreeMap, sync::Barrier, thread};

use super::place::Place;
use crate::support::{
    raw::{Client, Message, PINGREQ, PINGRESP, ack, puback, suback, subscribe, unsubscribe},
    running::Running,
};

const TOPICS: usize = 10_000;
/// Of them, those that a client sets at once.
const AT_ONCE: usize = 20;
const ROUNDS: usize = 2;

#[test]
fn the_retained_message_in_memory_is_the_stored_one() {
    let place = Place::new();
    // a thread for each of the two publishers
    let configuration = "workers = 2\n[limits]\nmax_queued_messages = 1000000\n";
    let mut broker = place.configured(configuration);
    for round in 0..ROUNDS {
        let turn = Barrier::new(2);
        thread::scope(|scope| {
            for name in ["one", "other"] {
                let (client, turn) = (broker.client(name), &turn);
                scope.spawn(move || publish(client, &format!("{name} {round}"), name == "other", turn));
            }
        });
        let found = retained(&broker);
        assert_eq!(found.len(), TOPICS);
        broker.kill();
        broker = place.configured(configuration);
        let kept = retained(&broker);
        let differs = found.iter().find(|(topic, payload)| kept.get(*topic) != Some(*payload));
        assert_eq!(differs, None, "after the restart it is {:?}", differs.and_then(|(topic, _)| kept.get(topic)));
    }
    broker.stop();
}

/// Sets the retained message of each topic, a few at a time, when the other does; one of the two backwards, so that
/// they meet somewhere in between. All of it is acknowledged.
fn publish(mut client: Client, payload: &str, backwards: bool, turn: &Barrier) {
    let id = |n: usize| n as u16 + 1;
    for first in (0..TOPICS).step_by(AT_ONCE) {
        let mut topics: Vec<usize> = (first..first + AT_ONCE).collect();
        if backwards {
            topics.reverse();
        }
        let message = |&n: &usize| Message::new(&format!("t/{n}"), payload).qos(1).id(id(n)).retain().frame();
        let messages: Vec<u8> = topics.iter().flat_map(message).collect();
        turn.wait();
        client.send(&messages);
        topics.into_iter().for_each(|n| client.expect(&puback(id(n))));
    }
}

/// The retained messages by topic.
fn retained(broker: &Running) -> BTreeMap<String, String> {
    let mut client = broker.client("looks");
    client.send(&subscribe(1, &[("t/#", 0)]));
    let mut found = BTreeMap::new();
    while found.len() < TOPICS {
        if let Some(message) = client.expect_any().message() {
            found.insert(message.topic.clone(), message.text().to_owned());
        }
    }
    client.send(PINGREQ);
    client.expect(PINGRESP);
    found
}

#[test]
fn suback_precedes_retained_messages_of_the_same_commit() {
    let place = Place::new();
    let broker = place.start();
    let mut publisher = broker.client("pub");
    const MESSAGES: usize = 15;
    for n in 0..MESSAGES {
        publisher.publish(Message::new(&format!("r/{n}"), "retained").qos(1).retain());
    }
    let mut client = broker.begin("kept");
    for round in 0..100 {
        // the first of two SUBSCRIBEs brings nothing, the second brings messages of all kinds
        let packets = [
            &subscribe(1, &[("nothing/here", 1)])[..],
            &subscribe(2, &[("r/+", round % 2)]),
            &unsubscribe(3, &["nothing/here"]),
            PINGREQ,
        ];
        client.send(&packets.concat());
        client.expect(&suback(1, &[1]));
        client.expect(&suback(2, &[round % 2]));
        for _ in 0..MESSAGES {
            assert!(client.take().retain, "round {round}");
        }
        client.expect(&ack(0xB0, 3));
        client.expect(PINGRESP);
    }
    drop(broker);
}

#[test]
fn suback_precedes_matching_live_messages() {
    let place = Place::new();
    let broker = place.start();
    let mut client = broker.begin("kept");
    let mut publisher = broker.client("pub");
    for round in 1..100 {
        let own = Message::new("live", "own").frame();
        client.send(&[&subscribe(round, &[("live", 1)])[..], &own].concat());
        // more than a queue holds, while the SUBACK waits for the disk
        let others = Message::new("live", "x").frame().repeat(1_500);
        publisher.send(&[&others[..], PINGREQ].concat());
        publisher.expect(PINGRESP);
        client.expect(&suback(round, &[1]));
        let texts: Vec<_> = (0..=1_500).map(|_| client.receive().text().to_owned()).collect();
        assert_eq!(texts.iter().filter(|text| *text == "own").count(), 1, "round {round}");
        client.send(&unsubscribe(round, &["live"]));
        client.expect(&ack(0xB0, round));
    }
    drop(broker);
}

#[test]
fn a_connection_that_ends_before_its_suback_delays_no_message_of_the_next() {
    let place = Place::new();
    let broker = place.start();
    let mut publisher = broker.client("pub");
    publisher.publish(Message::new("r/1", "retained").qos(1).retain());
    let mut client = broker.begin("kept");
    for round in 0..50 {
        client.send(&subscribe(1, &[("r/+", 1)]));
        // its subscriptions and their messages belong to its session
        client.abort();
        client = broker.resume("kept");
        publisher.publish(Message::new("r/live", "live").qos(1));
        let mut texts = Vec::new();
        while texts.last().is_none_or(|last| last != "live") {
            texts.push(client.receive().text().to_owned());
        }
        assert!(texts.len() <= 2 + round, "{texts:?}");
    }
    drop(broker);
}
