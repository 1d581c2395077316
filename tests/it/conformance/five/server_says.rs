//! The limits that CONNACK announces besides Receive Maximum and Maximum Packet Size (section 3.2.2.3), as configured;
//! and their enforcement, also for clients of earlier versions.

use std::time::Duration;

use dunlin::{Config, config::Limits, router::Count};

use super::client_of;
use crate::support::{
    Broker, config,
    five::{Connect, Five, Properties, Publish, RETAIN_AS_PUBLISHED, disconnect, disconnect_with, property, refused},
    raw::{self, Message},
    shut_down,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn max_qos_bounds_publications_and_granted_subscriptions() {
    for max_qos in [0, 1] {
        let broker = Broker::limits(Limits { max_qos, ..Limits::default() });
        let (mut client, connack) = Five::connect(broker.address(), &Connect::new("c"));
        assert_eq!(connack.properties.number(property::MAXIMUM_QOS), Some(max_qos.into()));
        // granted as far as it goes [MQTT-3.2.2-10]
        let granted = client.ask(&Properties::new(), &[("a", 0), ("b", 1), ("t", 2)]);
        assert_eq!(granted, [0, 1, 2].map(|qos: u8| qos.min(max_qos)));
        let mut old = broker.client("old");
        old.send(&raw::subscribe(1, &[("a", 2), ("b", 0)]));
        old.expect(&raw::suback(1, &[max_qos, 0]));
        for qos in 0..=max_qos {
            client.publish(&Publish::new("t", "m").qos(qos));
            assert_eq!(client.take().qos, qos);
            old.publish(Message::new("t", "m").qos(qos));
            assert_eq!(client.take().qos, qos);
        }
        // a client of MQTT 5 gets the new value; one that cannot be told is closed
        for qos in max_qos + 1..=2 {
            let mut bad = client_of(&broker, "bad");
            bad.send(&Publish::new("t", "above").qos(qos).id(1).frame());
            bad.expect_disconnect(0x9B);
            let mut bad = broker.client("bad");
            bad.send(&Message::new("t", "above").qos(qos).id(1).frame());
            bad.expect_closed();
        }
        client.expect_nothing_pending();
        broker.expect_counts(&[(Count::RefusedQos, 2 * u64::from(2 - max_qos))]);
    }
}

#[test]
fn a_will_above_max_qos_or_that_would_be_retained_is_refused() {
    let broker = Broker::limits(Limits { max_qos: 1, retain_available: false, ..Limits::default() });
    let mut watcher = client_of(&broker, "watcher");
    watcher.subscribe(&[("w", 1)]);
    let will = |qos| Publish::new("w", "five").qos(qos);
    for (will, code) in [(will(2), 0x9B), (will(0).retain(), 0x9A), (will(2).retain(), 0x9B)] {
        let mut client = raw::Client::open(broker.address());
        client.send(&Connect::new("c").will(&will).frame());
        client.expect(&refused(code));
        client.expect_closed();
    }
    let will = |qos| Message::new("w", "old").qos(qos);
    let mut client = raw::Client::open(broker.address());
    client.send(&raw::Connect::new("c").will(&will(2)).frame());
    client.expect_refused(2);
    // to the QoS that there is, and not retained where its client cannot be told that it will not be
    raw::Client::accepted(broker.address(), &raw::Connect::new("c").will(&will(1).retain()), 0).abort();
    let came = watcher.take();
    assert_eq!((came.text(), came.qos, came.retain), ("old", 1, false));
    Five::accepted(broker.address(), &Connect::new("c").will(&Publish::new("w", "five").qos(1)), 0)
        .leave_with(&disconnect(4));
    watcher.expect_payloads(&["five"]);
    client_of(&broker, "late").subscribe(&[("w", 0)]);
    broker.expect_counts(&[(Count::RefusedQos, 3), (Count::RefusedRetain, 1)]);
}

#[test]
fn retain_available_false_refuses_retained_messages() {
    let mut broker = Broker::limits(Limits::default());
    let mut early = client_of(&broker, "early");
    early.publish(&Publish::new("before", "kept").retain());
    broker.reload(|config| config.limits.retain_available = false);
    let (mut client, connack) = Five::connect(broker.address(), &Connect::new("c"));
    assert_eq!(connack.properties.number(property::RETAIN_AVAILABLE), Some(0));
    client.subscribe(&[("#", RETAIN_AS_PUBLISHED)]);
    client.expect_payloads(&["kept"]);
    for qos in [0, 1, 2] {
        let mut bad = client_of(&broker, "bad");
        bad.send(&Publish::new("t", "five").qos(qos).id(1).retain().frame());
        bad.expect_disconnect(0x9A);
        // 3.1.1 has no word for it: as if it had not set it
        let mut old = broker.client("old");
        old.publish(Message::new("t", "old").qos(qos).retain());
        let came = client.take();
        assert_eq!((came.text(), came.retain), ("old", false));
    }
    client_of(&broker, "late").subscribe(&[("t", 0)]);
    broker.expect_counts(&[(Count::RefusedRetain, 6)]);
    // a connection keeps the values in its CONNACK
    early.publish(&Publish::new("after", "kept too").retain());
    client.expect_payloads(&["kept too"]);
}

#[test]
fn also_a_keep_alive_that_is_too_long_is_shortened_or_refused() {
    let Some(case) = case_with!(Limits { max_keep_alive: Some(10 * SECOND), ..Limits::default() }) else { return };
    for asked in [0, 11, u16::MAX] {
        let connect = Connect::new(&case.id("c")).keep_alive(asked);
        let (mut client, connack) = Five::connect(case.address(), &connect);
        assert_eq!(connack.properties.number(property::SERVER_KEEP_ALIVE), Some(10));
        case.turn(14 * SECOND);
        client.expect_nothing_pending();
        case.turn(16 * SECOND);
        client.expect_disconnect(0x8D);
        let mut old = case.open();
        old.send(&raw::Connect::new(&case.id("c")).keep_alive(asked).frame());
        old.expect_refused(2);
    }
    for asked in [1, 10] {
        let (_, connack) = Five::connect(case.address(), &Connect::new(&case.id("c")).keep_alive(asked));
        assert_eq!(connack.properties.number(property::SERVER_KEEP_ALIVE), None);
        case.connect(&raw::Connect::new(&case.id("old")).keep_alive(asked), 0).disconnect();
    }
}

#[test]
fn also_response_information_is_sent_on_request_with_the_client_s_names() {
    let mut broker = Broker::new(Config { response_information: Some("answers/%c/100%".into()), ..config() });
    let asks = |id: &str| {
        let asks = Properties::new().byte(property::REQUEST_RESPONSE_INFORMATION, 1);
        let (_, connack) = Five::connect(broker.address(), &Connect::new(id).with(asks));
        (connack.code, connack.properties.string(property::RESPONSE_INFORMATION))
    };
    assert_eq!(asks("lamp"), (0, Some("answers/lamp/100%".into())));
    // a name is not replaced again, and a wildcard would include others
    assert_eq!(asks("%u%c"), (0, Some("answers/%u%c/100%".into())));
    assert_eq!(asks("+"), (0, None));
    assert_eq!(asks(&"x".repeat(65_530)), (0, None), "no text is so long");
    let (_, connack) = Five::connect(broker.address(), &Connect::new("lamp"));
    assert_eq!(connack.properties.string(property::RESPONSE_INFORMATION), None);
    // a client with a smaller limit goes without it
    let small =
        Properties::new().byte(property::REQUEST_RESPONSE_INFORMATION, 1).int(property::MAXIMUM_PACKET_SIZE, 30);
    let (_, connack) = Five::connect(broker.address(), &Connect::new("lamp").with(small));
    assert_eq!((connack.code, connack.properties.string(property::RESPONSE_INFORMATION)), (0, None));

    broker.reload(|config| config.response_information = Some("%u".into()));
    for (user, expected) in [(None, None), (Some("bob"), Some("bob"))] {
        let asks = Properties::new().byte(property::REQUEST_RESPONSE_INFORMATION, 1);
        let connect = Connect::new("lamp").with(asks);
        let connect = match user {
            Some(user) => Connect { flags: 0x82, user: raw::text(user), ..connect },
            None => connect,
        };
        let (_, connack) = Five::connect(broker.address(), &connect);
        assert_eq!(connack.properties.string(property::RESPONSE_INFORMATION).as_deref(), expected);
    }
}

#[test]
fn also_refused_or_disconnected_clients_get_the_server_reference() {
    const OTHER: &str = "other.example.org:1883";
    let limits = Limits { max_sessions: 1, ..Limits::default() };
    let broker = Broker::new(Config { limits, server_reference: Some(OTHER.into()), ..config() });
    let named = Properties::new().text(property::SERVER_REFERENCE, OTHER);
    let address = broker.address();
    let mut first = Five::accepted(address, &Connect::new("first").lasting(100), 0);
    let (mut refused_one, connack) = Five::connect(address, &Connect::new("second").lasting(100));
    assert_eq!((connack.code, &connack.properties), (0x9C, &named));
    refused_one.expect_closed();
    // a client with a smaller limit gets only the rest
    let small = |id: &str| Connect::new(id).with(Properties::new().int(property::MAXIMUM_PACKET_SIZE, 20));
    let mut client = raw::Client::open(address);
    let lasting = small("second").properties.clone().int(property::SESSION_EXPIRY, 100);
    client.send(&small("second").resume().with(lasting).frame());
    client.expect(&refused(0x97));
    client.expect_closed();
    let mut old = raw::Client::open(address);
    old.send(&raw::Connect::new("second").persistent().frame());
    old.expect_refused(3);
    // what another server would not do either is refused as it is
    let method = Properties::new().text(property::AUTHENTICATION_METHOD, "none");
    let (_, connack) = Five::connect(address, &Connect::new("second").with(method));
    assert_eq!((connack.code, connack.properties), (0x8C, Properties::new()));

    let mut little = Five::accepted(address, &small("little"), 0);
    let mut old = broker.client("old");
    let Broker { server, .. } = broker;
    let ends = std::thread::spawn(move || shut_down(server));
    first.expect(&disconnect_with(0x9C, &named));
    first.expect_closed();
    little.expect_disconnect(0x8B);
    old.expect_closed();
    drop((first, little, old));
    ends.join().expect("it ends");
}

#[test]
fn also_the_packet_size_in_connack_stays_valid_after_a_reload() {
    let mut broker = Broker::limits(Limits { max_packet_size: 5_000, ..Limits::default() });
    let (mut client, connack) = Five::connect(broker.address(), &Connect::new("c"));
    assert_eq!(connack.properties.number(property::MAXIMUM_PACKET_SIZE), Some(5_000));
    client.subscribe(&[("t", 0)]);
    broker.reload(|config| config.limits.max_packet_size = 1_000);
    let sized = |size: usize| Publish::new("t", &"x".repeat(size - 7)).frame();
    assert_eq!(sized(5_000).len(), 5_000);
    client.send(&sized(5_000));
    assert_eq!(client.receive().payload.len(), 4_993);
    client.send(&sized(5_001));
    client.expect_disconnect(0x95);
    let (mut client, connack) = Five::connect(broker.address(), &Connect::new("c"));
    assert_eq!(connack.properties.number(property::MAXIMUM_PACKET_SIZE), Some(1_000));
    client.send(&sized(1_001));
    client.expect_disconnect(0x95);
}

#[test]
fn also_qos_and_keep_alive_in_connack_stay_valid_after_a_reload() {
    let mut broker = Broker::limits(Limits::default());
    let mut early = Five::accepted(broker.address(), &Connect::new("early").keep_alive(100), 0);
    broker.reload(|config| {
        config.limits.max_qos = 0;
        config.limits.max_keep_alive = Some(SECOND);
    });
    broker.turn(100 * SECOND);
    early.subscribe(&[("t", 2)]);
    early.publish(&Publish::new("t", "m").qos(2));
    assert_eq!(early.take().qos, 2);
    let (_, connack) = Five::connect(broker.address(), &Connect::new("late").keep_alive(100));
    let number = |id| connack.properties.number(id);
    assert_eq!([property::MAXIMUM_QOS, property::SERVER_KEEP_ALIVE].map(number), [Some(0), Some(1)]);
}
