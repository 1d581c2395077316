//! Retained messages that two clients set at once: the one that subscribers get is the one that is kept.

use std::{collections::BTreeMap, sync::Barrier, thread};

use crate::{
    raw::{Client, Message, PINGREQ, PINGRESP, puback, subscribe},
    running::Running,
    support::Place,
};

const TOPICS: usize = 10_000;
/// Of them, those that a client sets at once.
const AT_ONCE: usize = 20;
const ROUNDS: usize = 2;

#[test]
fn of_two_messages_at_once_the_retained_one_is_the_kept_one() {
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

/// Sets the retained message of each topic, a few at a time, when the other does; one of the two backwards, so that they meet
/// somewhere in between. All of it is acknowledged.
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

/// What is retained, by topic.
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
