//! Sections 3.1.2.11.2 and 3.1.4: the state that a connection takes over from the one before it; faults that users of
//! other brokers reported.

use std::time::Duration;

use dunlin::config::Limits;

use crate::support::{
    five::{Connect, Publish},
    raw::ack,
};

#[test]
fn also_a_take_over_resumes_messages_in_flight() {
    let case = case!();
    let (topic, mut publisher, mut old) = (case.topic("t"), case.five("pub"), case.lasting("sub", 0));
    old.subscribe(&[(&topic, 2)]);
    for (payload, qos) in [("1", 1), ("2", 2), ("3", 2), ("4", 1)] {
        publisher.publish(&Publish::new(&topic, payload).qos(qos));
    }
    let [one, two, three, four] = std::array::from_fn(|_| old.receive());
    old.send(&ack(0x50, two.id));
    old.expect(&ack(0x62, two.id));
    old.send(&ack(0x40, four.id));
    old.expect_nothing_pending();
    let mut new = case.lasting("sub", 1);
    old.expect_disconnect(0x8E);
    assert_eq!(new.receive(), one.clone().dup());
    // PUBREL and PUBLISH have an order each; a store may keep them apart
    let mut next = [new.expect_any().bytes(), new.expect_any().bytes()];
    next.sort_unstable();
    assert_eq!(next, [three.clone().dup().frame(), ack(0x62, two.id)]);
    publisher.publish(&Publish::new(&topic, "5").qos(1));
    assert_eq!(new.take().text(), "5");
    for answer in [ack(0x40, one.id), ack(0x70, two.id), ack(0x50, three.id)] {
        new.send(&answer);
    }
    new.expect(&ack(0x62, three.id));
    new.send(&ack(0x70, three.id));
    new.expect_nothing_pending();
    // nothing of it is left
    new.leave();
    case.lasting("sub", 1).expect_nothing_pending();
}

#[test]
fn also_a_qos_2_message_is_not_published_again_after_a_take_over() {
    let case = case!();
    let (topic, mut subscriber, mut old) = (case.topic("t"), case.five("sub"), case.lasting("pub", 0));
    subscriber.subscribe(&[(&topic, 2)]);
    let publish = Publish::new(&topic, "once").qos(2).id(7);
    old.send(&publish.frame());
    old.expect(&ack(0x50, 7));
    let mut new = case.lasting("pub", 1);
    old.expect_disconnect(0x8E);
    new.send(&publish.dup().frame());
    new.expect(&ack(0x50, 7));
    new.send(&ack(0x62, 7));
    new.expect(&ack(0x70, 7));
    // the identifier is that of another message from now on
    new.send(&Publish::new(&topic, "twice").qos(2).id(7).frame());
    new.expect(&ack(0x50, 7));
    subscriber.expect_payloads(&["once", "twice"]);
}

#[test]
fn also_a_session_has_the_expiry_of_its_last_connection() {
    let Some(case) = case_with!(Limits { session_expiry: None, ..Limits::default() }) else { return };
    let connect = |seconds| Connect::new(&case.id("c")).lasting(seconds);
    let away = |seconds| case.turn(Duration::from_secs(seconds));
    // longer, shorter, and after a take-over
    case.accepted(&connect(10), 0).leave();
    case.accepted(&connect(1_000), 1).leave();
    away(500);
    let mut old = case.accepted(&connect(10), 1);
    let new = case.accepted(&connect(1_000), 1);
    old.expect_disconnect(0x8E);
    new.leave();
    away(500);
    case.accepted(&connect(10), 1).leave();
    away(11);
    case.accepted(&connect(1_000), 0).leave();
    // no interval means 0
    case.accepted(&Connect::new(&case.id("c")).resume(), 1).leave();
    case.accepted(&connect(u32::MAX), 0).leave();
    away(100 * 24 * 3_600);
    case.accepted(&connect(0), 1).leave();
    case.accepted(&connect(0), 0);
}
