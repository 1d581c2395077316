//! The first lines of the log, and the stored and written data of each mode.

use std::collections::BTreeMap;

use super::place::{Place, away};
use crate::support::{
    raw::{Client, Message},
    running::Running,
};

#[test]
fn the_first_log_line_describes_persistence() {
    let place = Place::new();
    let data_dir = place.data_dir();
    let at = data_dir.display();
    for (text, expected) in [
        ("", format!(" persistence=disk data_dir={at}")),
        ("sync = 'interval'\nsync_interval = '250ms'", format!(" persistence=disk data_dir={at} sync_interval=250ms")),
    ] {
        let broker = place.configured(text);
        assert!(broker.read.iter().any(|line| line.ends_with(&expected)), "{expected}: {:#?}", broker.read);
        broker.stop();
    }
}

#[test]
fn with_an_interval_a_kill_loses_nothing() {
    let place = Place::new();
    // longer than the test: nothing but the acknowledgement makes it write
    let mut broker = place.configured("sync = 'interval'\nsync_interval = '1h'");
    away(&broker, "subscriber", "t", 2);
    let mut publisher = broker.client("publisher");
    for n in 0..100 {
        publisher.publish(Message::new("t", &n.to_string()).qos(1 + n % 2));
    }
    broker.kill();
    let broker = place.start();
    let mut subscriber = broker.resume("subscriber");
    let mut got: Vec<_> = (0..100).map(|_| subscriber.take()).map(|m| (m.qos, m.text().to_owned())).collect();
    // between two QoS, no order is promised
    got.sort_by_key(|&(qos, _)| qos);
    let expected = [1, 2].into_iter().flat_map(|qos| (qos - 1..100).step_by(2).map(move |n| (qos, n.to_string())));
    assert!(got.iter().cloned().eq(expected), "{got:?}");
}

#[test]
fn without_a_data_dir_state_is_in_memory_and_the_log_says_so() {
    let first = Running::start(&[]);
    assert!(first.read[0].ends_with(" persistence=none"));
    away(&first, "client", "t", 1);
    first.client("publisher").publish(Message::new("t", "retained").qos(1).retain());
    first.stop();
    let second = Running::start(&[]);
    second.begin("client").expect_nothing_pending();
    second.client("reader").subscribe(&[("#", 0)]);
}

/// The bytes that the store wrote since it was opened, from `$SYS`.
fn written(client: &mut Client) -> BTreeMap<String, u64> {
    const NAMES: [&str; 4] = ["frames", "records", "bytes written", "fsyncs"];
    let filters = NAMES.map(|name| format!("$SYS/broker/store/disk/{name}"));
    let asked: Vec<_> = filters.iter().map(|filter| (filter.as_str(), 0)).collect();
    let found = client.subscribe_retained(&asked, NAMES.len());
    client.unsubscribe(&filters.each_ref().map(String::as_str));
    found.into_iter().map(|m| (m.topic.clone(), m.text().parse().expect("a number"))).collect()
}

/// `$SYS` is published once more from its beginning: what happened before is in it.
fn next_figures(client: &mut Client) {
    client.subscribe(&[("$SYS/broker/uptime", 0)]);
    // the retained one, and two that change
    for _ in 0..3 {
        client.receive();
    }
    client.unsubscribe(&["$SYS/broker/uptime"]);
}

#[test]
fn messages_without_persistent_subscribers_need_no_disk() {
    let place = Place::new();
    let broker = place.configured("[sys]\ninterval = '100ms'");
    let mut statistics = broker.client("statistics");
    away(&broker, "keeper", "kept", 1);
    next_figures(&mut statistics);
    let before = written(&mut statistics);

    let mut subscriber = broker.client("subscriber");
    subscriber.subscribe(&[("t", 2)]);
    let mut publisher = broker.client("publisher");
    for n in 0..200 {
        publisher.publish(Message::new("t", &n.to_string()).qos(1 + n % 2));
        subscriber.expect_message("t", &n.to_string(), 1 + n % 2);
    }
    subscriber.disconnect();
    next_figures(&mut statistics);
    assert_eq!(written(&mut statistics), before);

    publisher.publish(Message::new("kept", "m").qos(1));
    next_figures(&mut statistics);
    let after = written(&mut statistics);
    assert!(after.iter().all(|(name, value)| *value > before[name]), "{before:?} {after:?}");
}
