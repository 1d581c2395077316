//! Sessions of MQTT 5 after a restart.

use std::time::Duration;

use dunlin::Config;

use super::client_of;
use crate::support::{
    Broker, config,
    five::{Connect, Five, NO_LOCAL, Properties, Publish, RETAIN_AS_PUBLISHED, property, suback, subscribe},
    shut_down,
};

#[test]
fn also_sessions_subscriptions_and_messages_are_the_same_after_a_restart() {
    let directory = tempfile::tempdir().expect("a folder");
    let start = || Broker::new(Config { data_dir: Some(directory.path().into()), ..config() });
    let lasting = |broker: &Broker, id: &str, seconds, present| {
        Five::accepted(broker.address(), &Connect::new(id).lasting(seconds), present)
    };
    let properties = Properties::new()
        .user("z", "1")
        .text(property::RESPONSE_TOPIC, "answers")
        .user("a", "2")
        .text(property::CORRELATION_DATA, [0, 0xFF])
        .user("z", "1");
    let broker = start();
    let mut client = lasting(&broker, "sub", 1_000, 0);
    client.subscribe_as(300, "t", 2 | RETAIN_AS_PUBLISHED | NO_LOCAL);
    client.subscribe_as(5, "other/#", 1);
    let mut publisher = client_of(&broker, "pub");
    publisher.publish(&Publish::new("t", "in flight").qos(2).retain().with(properties.clone()).expires(10_000));
    let sent = client.receive();
    assert!(sent.retain);
    client.leave();
    lasting(&broker, "short", 5, 0).leave();
    lasting(&broker, "ended", 0, 0).leave();
    publisher.publish(&Publish::new("t", "queued").qos(1).with(properties.clone()).expires(10_000));
    publisher.publish(&Publish::new("t", "expires").qos(1).expires(20));
    publisher.publish(&Publish::new("other/t", "kept").qos(1).retain().with(properties.clone()).expires(10_000));
    broker.turn(Duration::from_secs(4));
    publisher.leave();
    shut_down(broker.server);

    let broker = start();
    broker.turn(Duration::from_secs(30));
    lasting(&broker, "short", 5, 0);
    lasting(&broker, "ended", 0, 0);
    let mut client = lasting(&broker, "sub", 1_000, 1);
    let mut whole = vec![property::MESSAGE_EXPIRY];
    whole.extend(properties.ids());
    whole.push(property::SUBSCRIPTION_IDENTIFIER);
    let expect = |came: &Publish, identifier| {
        assert_eq!(came.properties.ids(), whole);
        assert_eq!(came.properties.identifiers(), [identifier]);
        let left = came.properties.number(property::MESSAGE_EXPIRY).expect("an interval");
        assert!((9_900..=9_970).contains(&left), "{left} seconds are left");
        let own = &came.properties.0[5..][..properties.0.len()];
        assert_eq!(own, properties.0);
    };
    let again = client.take();
    assert_eq!((again.text(), again.dup, again.id, again.retain), ("in flight", true, sent.id, true));
    expect(&again, 300);
    let queued = client.take();
    assert_eq!((queued.text(), queued.dup, queued.retain), ("queued", false, false));
    expect(&queued, 300);
    let kept = client.take();
    assert_eq!((kept.text(), kept.retain), ("kept", false));
    expect(&kept, 5);
    client.expect_nothing_pending();
    // No Local and Retain As Published hold
    client.publish(&Publish::new("t", "mine").qos(1));
    client.expect_nothing_pending();
    client_of(&broker, "pub").publish(&Publish::new("t", "").qos(1).retain());
    let came = client.take();
    assert_eq!((came.text(), came.retain, came.properties.identifiers()), ("", true, vec![300]));
    // the retained message has its properties
    let mut late = client_of(&broker, "late");
    late.send(&subscribe(1, &Properties::new(), &[("other/t", 1)]));
    late.expect(&suback(1, &[1]));
    let came = late.take();
    assert_eq!((came.text(), came.retain), ("kept", true));
    assert_eq!(came.properties.0[5..], properties.0);
}

/// Waiting acknowledgements count once.
#[test]
fn also_a_client_may_use_the_whole_receive_maximum_while_the_store_is_waited_for() {
    let directory = tempfile::tempdir().expect("a folder");
    let mut config = Config { data_dir: Some(directory.path().into()), ..config() };
    config.limits.receive_maximum = 5;
    let broker = Broker::new(config);
    let mut kept = Five::accepted(broker.address(), &Connect::new("kept").lasting(1_000), 0);
    kept.subscribe(&[("t", 2)]);
    let mut publisher = client_of(&broker, "pub");
    for round in 0..20 {
        for qos in [1, 2] {
            let publish = |id: u16| Publish::new("t", "m").qos(qos).id(id).frame();
            publisher.send(&(1..=5).flat_map(publish).collect::<Vec<_>>());
            let ack = if qos == 1 { 0x40 } else { 0x50 };
            (1..=5).for_each(|id| assert_eq!(publisher.expect_ack(ack, id), 0, "round {round}"));
            for id in (1..=5).filter(|_| qos == 2) {
                publisher.send(&[0x62, 2, 0, id as u8]);
                assert_eq!(publisher.expect_ack(0x70, id), 0);
            }
        }
    }
}
