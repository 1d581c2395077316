//! Section 3.3.2.3.3: messages whose Message Expiry Interval ends in the broker, in all places where messages wait.
//! `publish` tests the interval that subscribers receive.

use std::time::Duration;

use dunlin::{Config, TestClock, config::Limits, router::Count};

use super::client_of;
use crate::support::{
    Broker, config,
    five::{Connect, Five, Properties, Publish, property, suback, subscribe},
    raw::{Message, ack},
    shut_down,
};

const SECOND: Duration = Duration::from_secs(1);

/// The messages for a new subscription of a new client: payloads, and the rest of their intervals in tens of seconds.
#[track_caller]
fn brought(broker: &Broker, filter: &str, count: usize) -> Vec<(String, Option<u32>)> {
    let mut client = client_of(broker, "looks");
    client.send(&subscribe(1, &Properties::new(), &[(filter, 1)]));
    client.expect(&suback(1, &[1]));
    let mut all: Vec<_> = (0..count)
        .map(|_| {
            let came = client.take();
            assert!(came.retain);
            let left = came.properties.number(property::MESSAGE_EXPIRY);
            (came.text().to_owned(), left.map(|seconds| seconds.div_ceil(10) * 10))
        })
        .collect();
    client.expect_nothing_pending();
    client.leave();
    all.sort();
    all
}

#[test]
fn also_expired_retained_messages_are_removed_without_a_request() {
    let broker = Broker::limits(Limits { max_retained_messages: 4, ..Limits::default() });
    let mut publisher = client_of(&broker, "pub");
    let retain = |topic: &str, payload: &str| Publish::new(topic, payload).qos(1).retain();
    for topic in ["a", "b", "c"] {
        publisher.publish(&retain(topic, "short").expires(10));
    }
    publisher.publish(&retain("d", "long").expires(100));
    publisher.publish(&retain("e", "one too many"));
    broker.expect_counts(&[(Count::DroppedRetainedFull, 1)]);
    // its replacement has a new interval, and a cleared one is removed
    publisher.publish(&retain("b", "again").expires(50));
    publisher.publish(&retain("c", ""));
    broker.turn(11 * SECOND);
    broker.wait_for_count(Count::RetainedExpired, 1);
    for topic in ["e", "f"] {
        publisher.publish(&retain(topic, "never"));
    }
    broker.expect_counts(&[(Count::DroppedRetainedFull, 1)]);
    let all = [("again", Some(40)), ("long", Some(90)), ("never", None), ("never", None)];
    assert_eq!(brought(&broker, "#", 4), all.map(|(payload, left)| (payload.to_owned(), left)));
    broker.turn(100 * SECOND);
    broker.wait_for_count(Count::RetainedExpired, 3);
    assert_eq!(brought(&broker, "#", 2).len(), 2);
    // the message that a full broker dropped is the only one
    broker.expect_counts(&[(Count::PublishDropped, 1)]);
}

#[test]
fn also_many_retained_messages_are_removed() {
    const MANY: u16 = 6_000;
    let broker = Broker::limits(Limits::default());
    let mut publisher = client_of(&broker, "pub");
    for first in (0..MANY).step_by(100) {
        let some = first..first + 100;
        let frames = some.map(|n| Publish::new(&format!("many/{n}"), "m").retain().expires(5).frame());
        publisher.send(&frames.collect::<Vec<_>>().concat());
    }
    publisher.expect_nothing_pending();
    broker.turn(6 * SECOND);
    broker.wait_for_count(Count::RetainedExpired, MANY.into());
    assert_eq!(brought(&broker, "#", 0), []);
}

#[test]
fn also_messages_leave_the_queues_of_clients_that_stay_away() {
    let (broker, recorder) = Broker::observed(Limits { max_inflight_out: 1, ..Limits::default() });
    let connect = Connect::new("away").lasting(1_000);
    Five::accepted(broker.address(), &connect, 0).leave_subscribed("t");
    let mut old = broker.begin("old");
    old.subscribe(&[("t", 1)]);
    old.disconnect();
    // this session exists, and has room for one message
    let mut slow = client_of(&broker, "slow");
    slow.subscribe(&[("t", 1)]);
    let mut publisher = client_of(&broker, "pub");
    let expires = |payload: &str, seconds| Publish::new("t", payload).qos(1).expires(seconds);
    publisher.publish(&Publish::new("t", "first").qos(1));
    let first = slow.receive();
    for _ in 0..10 {
        publisher.publish(&expires("short", 5));
    }
    publisher.publish(&expires("long", 100));
    publisher.publish(&Publish::new("t", "never").qos(1));
    broker.turn(6 * SECOND);
    broker.wait_for_count(Count::DroppedExpired, 30);
    broker.expect_counts(&[(Count::PublishDropped, 30)]);
    for client in ["away", "old", "slow"] {
        let lines = recorder.lines(&format!("drop {client} "));
        assert_eq!(lines, vec![format!("drop {client} t 5 bytes Expired"); 10]);
    }
    broker.turn(100 * SECOND);
    broker.wait_for_count(Count::DroppedExpired, 33);
    slow.send(&ack(0x40, first.id));
    slow.expect_payloads(&["never"]);
    Five::accepted(broker.address(), &connect, 1).expect_payloads(&["first", "never"]);
    let mut old = broker.resume("old");
    old.expect_message("t", "first", 1);
    old.expect_message("t", "never", 1);
    old.expect_nothing_pending();
    broker.expect_counts(&[(Count::DroppedExpired, 33)]);
}

#[test]
fn also_a_message_that_expires_before_its_turn_is_not_published() {
    let broker = Broker::limits(Limits { max_inflight_in: 1, ..Limits::default() });
    let (mut publisher, mut subscriber) = (client_of(&broker, "pub"), client_of(&broker, "sub"));
    subscriber.subscribe(&[("t", 2)]);
    publisher.publish(&Publish::new("t", "kept").retain());
    assert_eq!(subscriber.take().text(), "kept");
    let publish = |id, payload: &str| Publish::new("t", payload).qos(2).id(id);
    publisher.send(&publish(1, "first").frame());
    assert_eq!(publisher.expect_ack(0x50, 1), 0);
    // there is no room for these
    publisher.send(&publish(2, "expires").retain().expires(5).frame());
    publisher.send(&publish(3, "last").expires(100).frame());
    publisher.expect_nothing_pending();
    broker.turn(6 * SECOND);
    for id in 1..=3 {
        publisher.send(&ack(0x62, id));
        assert_eq!(publisher.expect_ack(0x70, id), 0);
        if id < 3 {
            assert_eq!(publisher.expect_ack(0x50, id + 1), 0);
        }
    }
    subscriber.expect_payloads(&["first", "last"]);
    assert_eq!(brought(&broker, "t", 1), [("kept".to_owned(), None)]);
    broker.expect_counts(&[(Count::DroppedExpired, 1)]);
}

/// Also while no broker runs; expired messages are removed from the disk.
#[test]
fn also_messages_expire_while_no_broker_runs() {
    let (directory, clock) = (tempfile::tempdir().expect("a folder"), TestClock::new());
    // the seconds that are left are compared
    clock.pause();
    let config = Config { data_dir: Some(directory.path().into()), ..config() };
    let begin = || Broker::with_clock(config.clone(), clock.clone());
    let broker = begin();
    let connect = Connect::new("away").lasting(10_000);
    Five::accepted(broker.address(), &connect, 0).leave_subscribed("q");
    let mut publisher = client_of(&broker, "pub");
    for (payload, seconds) in [("short", 60), ("long", 1_000)] {
        publisher.publish(&Publish::new(payload, payload).qos(1).retain().expires(seconds));
        publisher.publish(&Publish::new("q", payload).qos(1).expires(seconds));
    }
    publisher.leave();
    shut_down(broker.server);
    clock.turn(61 * SECOND);

    let broker = begin();
    broker.wait_for_count(Count::RetainedExpired, 1);
    broker.wait_for_count(Count::DroppedExpired, 1);
    assert_eq!(brought(&broker, "#", 1), [("long".to_owned(), Some(940))]);
    shut_down(broker.server);

    // they are in no log any more, or they would expire again
    let broker = begin();
    client_of(&broker, "pub").publish(&Publish::new("t", "m").qos(1).retain().expires(5));
    broker.turn(6 * SECOND);
    broker.wait_for_count(Count::RetainedExpired, 1);
    broker.expect_counts(&[(Count::RetainedExpired, 1), (Count::DroppedExpired, 0)]);
    Five::accepted(broker.address(), &connect, 1).expect_payloads(&["long"]);
    shut_down(broker.server);
}

#[test]
fn also_setting_the_wall_clock_does_not_change_expiry() {
    const DAY: i64 = 24 * 60 * 60;
    for set_by in [DAY, -DAY] {
        let (directory, clock) = (tempfile::tempdir().expect("a folder"), TestClock::new());
        let config = Config { data_dir: Some(directory.path().into()), ..config() };
        let begin = || Broker::with_clock(config.clone(), clock.clone());
        let broker = begin();
        Five::accepted(broker.address(), &Connect::new("away").lasting(10_000), 0).leave_subscribed("q");
        let mut publisher = client_of(&broker, "pub");
        publisher.publish(&Publish::new("t", "kept").qos(1).retain().expires(1_000));
        publisher.publish(&Publish::new("q", "queued").qos(1).expires(1_000));
        broker.set_wall(set_by);
        broker.turn(100 * SECOND);
        // the log has the present time
        publisher.publish(&Publish::new("other", "m").qos(1).retain());
        publisher.leave();
        shut_down(broker.server);
        let broker = begin();
        let left = |broker| brought(broker, "t", 1).remove(0).1.expect("an interval");
        assert_eq!(left(&broker), 900, "the clock was set by {set_by} s");
        broker.turn(800 * SECOND);
        assert_eq!(left(&broker), 100);
        broker.turn(101 * SECOND);
        broker.wait_for_count(Count::RetainedExpired, 1);
        broker.wait_for_count(Count::DroppedExpired, 1);
        shut_down(broker.server);
    }
}

/// The properties of those that go on are as they were, whatever becomes of their neighbours.
#[test]
fn also_messages_without_an_expiry_stay() {
    let broker = Broker::limits(Limits::default());
    let connect = Connect::new("away").lasting(1_000);
    let mut away = Five::accepted(broker.address(), &connect, 0);
    away.subscribe_as(7, "t", 1);
    away.leave();
    let mut publisher = client_of(&broker, "pub");
    let properties = || Properties::new().user("z", "1").user("a", "2").user("z", "1");
    for n in 0..10 {
        let publish = Publish::new("t", &n.to_string()).qos(1).with(properties());
        publisher.publish(&if n % 2 == 0 { publish.expires(5) } else { publish });
    }
    broker.turn(6 * SECOND);
    broker.wait_for_count(Count::DroppedExpired, 5);
    let mut away = Five::accepted(broker.address(), &connect, 1);
    for n in [1, 3, 5, 7, 9] {
        let came = away.take();
        assert_eq!((came.text(), came.properties.identifiers()), (&*n.to_string(), vec![7]));
        assert_eq!(came.properties.0[..properties().0.len()], properties().0);
    }
    away.expect_nothing_pending();
}

#[test]
fn also_a_message_of_3_1_1_never_expires_by_itself() {
    let broker = Broker::limits(Limits::default());
    Five::accepted(broker.address(), &Connect::new("away").lasting(u32::MAX), 0).leave_subscribed("t");
    broker.client("old").publish(Message::new("t", "m").qos(1).retain());
    broker.turn(365 * 24 * 3600 * SECOND);
    assert_eq!(brought(&broker, "t", 1), [("m".to_owned(), None)]);
    broker.expect_counts(&[(Count::DroppedExpired, 0), (Count::RetainedExpired, 0)]);
}
