//! Subscriptions of a client, and the lifetime of its session.

use std::time::Duration;

use dunlin::{config::Limits, router::Count};

use crate::support::{
    Broker, expect_exactly, publish_all,
    raw::{Connect, suback, subscribe},
};

#[test]
fn one_subscription_too_many_fails_alone() {
    let broker = Broker::limits(Limits { max_subscriptions: 2, ..Limits::default() });
    let (mut client, mut other) = (broker.begin("client"), broker.client("other"));
    client.send(&subscribe(1, &[("a", 0), ("b", 1), ("c", 1), ("a", 1), ("d/#", 2)]));
    // a repeated filter takes no place more
    client.expect(&suback(1, &[0, 1, 0x80, 1, 0x80]));
    broker.expect_counts(&[(Count::RefusedSubscriptions, 2), (Count::Subscribes, 3)]);
    other.subscribe(&[("c", 1), ("d/#", 1)]);
    publish_all(&mut other, "a", &["a"]);
    client.expect_message("a", "a", 1);
    // also for the session when its client returns
    client.disconnect();
    let mut client = broker.resume("client");
    client.send(&subscribe(2, &[("c", 1)]));
    client.expect(&suback(2, &[0x80]));
    client.unsubscribe(&["a", "never"]);
    client.subscribe(&[("c", 2)]);
    broker.expect_counts(&[(Count::RefusedSubscriptions, 3), (Count::Subscribes, 6), (Count::Unsubscribes, 1)]);
}

#[test]
fn a_further_session_is_refused_and_existing_ones_are_not() {
    let broker = Broker::limits(Limits { max_sessions: 2, ..Limits::default() });
    broker.begin("away").disconnect();
    let mut here = broker.begin("here");
    broker.refuses(&Connect::new("third").persistent(), 3);
    // a session that ends with its connection is bounded by the connections
    broker.client("clean").expect_nothing_pending();
    broker.resume("away").expect_nothing_pending();
    here.expect_nothing_pending();
    broker.expect_counts(&[(Count::RefusedSessions, 1)]);
    // an ended session makes room
    broker.client("away").expect_nothing_pending();
    broker.client("here").disconnect();
    broker.begin("third").expect_nothing_pending();
}

#[test]
fn a_session_whose_client_stays_away_expires() {
    let limits = Limits { session_expiry: Some(Duration::from_secs(3600)), ..Limits::default() };
    let (broker, recorder) = Broker::observed(limits);
    let (mut away, mut here, mut publisher) = (broker.begin("away"), broker.begin("here"), broker.client("pub"));
    away.subscribe(&[("t", 1)]);
    here.subscribe(&[("t", 1)]);
    away.disconnect();
    publish_all(&mut publisher, "t", &["1"]);
    broker.turn(Duration::from_secs(3601));
    recorder.wait_for("expired away 3600s");
    broker.expect_counts(&[(Count::SessionsExpired, 1)]);
    // neither the message nor the subscription is left
    let mut away = broker.begin("away");
    publish_all(&mut publisher, "t", &["2"]);
    away.expect_nothing_pending();
    // sessions of connected clients do not expire
    expect_exactly(&mut here, &["1", "2"]);
    // a client that returns in time, and stays connected, keeps its session
    here.disconnect();
    let mut here = broker.resume("here");
    away.disconnect();
    recorder.take();
    broker.turn(Duration::from_secs(3601));
    recorder.wait_for("expired away");
    publish_all(&mut publisher, "t", &["3"]);
    expect_exactly(&mut here, &["3"]);
    assert_eq!(recorder.lines("expired here"), [""; 0]);
}

#[test]
fn a_session_may_end_with_its_connection_or_never() {
    let (broker, recorder) = Broker::observed(Limits { session_expiry: Some(Duration::ZERO), ..Limits::default() });
    broker.begin("client").disconnect();
    broker.begin("client").disconnect();
    assert_eq!(recorder.lines("expired"), [""; 0]);

    let (broker, recorder) = Broker::observed(Limits { session_expiry: None, ..Limits::default() });
    broker.begin("client").disconnect();
    let sessions = || recorder.lines("expired").len();
    broker.resume("client").disconnect();
    broker.connect(&Connect::new("client"), 0).disconnect();
    broker.begin("client").disconnect();
    assert_eq!(sessions(), 0);
    broker.expect_counts(&[(Count::SessionsExpired, 0)]);
}
