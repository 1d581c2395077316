//! The port `Observe`: receives every event, in order, with all its fields.

use std::{sync::Arc, time::Duration};

use dunlin::{
    EventKinds,
    config::{Limits, QueueFull},
    inspect::{EventStream, What},
    router::{Count, Event, Observe},
};
use parking_lot::Mutex;

use crate::support::{
    Broker, config, five, publish_all,
    raw::{self, Connect, Message, connack, puback},
    run, shut_down, wait_until,
};

#[test]
fn observers_get_the_events_of_an_exchange_in_order() {
    let (broker, recorder) = Broker::observed(Limits::default());
    let told = |expected: &[&str]| assert_eq!(recorder.take(), expected);
    let mut sub = broker.begin("sub");
    told(&["connect sub clean=false present=false"]);
    sub.subscribe(&[("t/#", 1), ("t/#", 2), ("u", 0)]);
    told(&["subscribe sub t/# qos=1", "subscribe sub t/# qos=2", "subscribe sub u qos=0"]);
    let mut publisher = broker.connect(&Connect::new("pub").will(&Message::new("t/will", "bye").qos(1).retain()), 0);
    told(&["connect pub clean=true present=false"]);

    for qos in [0, 1, 2] {
        publisher.publish(Message::new("t/a", "12345").qos(qos));
        sub.expect_message("t/a", "12345", qos);
        let ping = if qos == 0 { vec!["ping pub".to_owned()] } else { Vec::new() };
        let published = format!("publish pub t/a qos={qos} retain=false 5 bytes");
        let delivered = format!("deliver sub t/a qos={qos} 5 bytes");
        assert_eq!(recorder.take(), [vec![published, delivered], ping].concat());
    }
    publisher.publish(Message::new("u", "").qos(2).retain());
    sub.expect_message("u", "", 0);
    told(&["publish pub u qos=2 retain=true 0 bytes", "deliver sub u qos=0 0 bytes"]);
    publisher.publish(Message::new("nobody", "1").qos(1));
    told(&["publish pub nobody qos=1 retain=false 1 bytes"]);
    sub.unsubscribe(&["u", "never"]);
    told(&["unsubscribe sub u"]);
    sub.expect_nothing_pending();
    told(&["ping sub"]);

    publisher.abort();
    sub.expect_message("t/will", "bye", 1);
    recorder.wait_for("will");
    told(&[
        "disconnect pub ConnectionLost",
        "publish pub t/will qos=1 retain=true 3 bytes",
        "deliver sub t/will qos=1 3 bytes",
        "will pub t/will",
    ]);
    sub.disconnect();
    told(&["disconnect sub ClientDisconnect"]);

    // queued messages are delivered when the client connects
    let mut publisher = broker.client("pub");
    publish_all(&mut publisher, "t/b", &["later"]);
    let mut sub = broker.resume("sub");
    sub.expect_message("t/b", "later", 1);
    // retained messages are
    sub.subscribe_retained(&[("t/will", 0)], 1);
    told(&[
        "connect pub clean=true present=false",
        "publish pub t/b qos=1 retain=false 5 bytes",
        "connect sub clean=false present=true",
        "deliver sub t/b qos=1 5 bytes",
        "subscribe sub t/will qos=0",
        "deliver sub t/will qos=0 3 bytes",
        "ping sub",
    ]);
    shut_down(broker.server);
    let mut last = recorder.take();
    last.sort();
    assert_eq!(last, ["disconnect pub ServerShutdown", "disconnect sub ServerShutdown"]);
}

#[test]
fn observers_get_a_take_over_as_a_disconnect_and_a_connect() {
    let (broker, recorder) = Broker::observed(Limits::default());
    let mut old = broker.connect(&Connect::new("c").persistent().will(&Message::new("will", "")), 0);
    old.subscribe(&[("t", 1), ("will", 0)]);
    let mut publisher = broker.client("pub");
    publish_all(&mut publisher, "t", &["x"]);
    publisher.disconnect();
    assert_eq!(old.receive().text(), "x");
    recorder.take();
    let mut new = broker.resume("c");
    old.expect_closed();
    // messages in flight are resent, and the Will of the old connection goes to the new one
    let again = new.receive();
    assert!(again.dup && again.text() == "x");
    new.send(&puback(again.id));
    new.expect_message("will", "", 0);
    new.expect_nothing_pending();
    assert_eq!(
        recorder.take(),
        [
            "disconnect c SessionTakenOver",
            "connect c clean=false present=true",
            "publish c will qos=0 retain=false 0 bytes",
            "deliver c will qos=0 0 bytes",
            "will c will",
            "ping c",
        ]
    );
    // the same with an end of the session
    let mut clean = broker.client("c");
    new.expect_closed();
    clean.expect_nothing_pending();
    let expected = ["disconnect c SessionTakenOver", "connect c clean=true present=false", "ping c"];
    assert_eq!(recorder.take(), expected);
}

#[test]
fn each_end_has_its_reason() {
    let (broker, recorder) = Broker::observed(Limits { max_packet_size: 100, ..Limits::default() });
    let two = [Message::new("t", "").frame(), Connect::new("c").frame()].concat();
    let bad: [(&[u8], &str); 5] = [
        (&two, "Protocol(SecondConnect)"),
        (&[0xD0, 0], "Malformed("),
        (&[0x30, 0xFF, 1], "Malformed(PacketTooLarge {"),
        (&Message::new("+", "").frame(), "Malformed("),
        (&[0xE0, 0], "ClientDisconnect"),
    ];
    for (bytes, reason) in bad {
        let mut client = broker.client("c");
        client.send(bytes);
        client.expect_closed();
        let lines = recorder.lines("disconnect");
        assert!(lines.len() == 1 && lines[0].starts_with(&format!("disconnect c {reason}")), "{reason}: {lines:?}");
        recorder.take();
    }
    let mut client = broker.connect(&Connect::new("c").keep_alive(60), 0);
    broker.turn(Duration::from_secs(91));
    client.expect_closed();
    assert_eq!(recorder.lines("disconnect"), ["disconnect c KeepAliveTimeout { keep_alive: 60 }"]);
    // a refused client has no disconnect event
    recorder.take();
    let mut attempt = broker.open();
    attempt.send(&[0xC0, 0]);
    attempt.expect_closed();
    assert_eq!(recorder.take(), [""; 0]);
}

#[test]
fn observers_get_each_drop_with_reason_and_client() {
    let limits = Limits {
        max_queued_messages: 1,
        queue_full: QueueFull::DropOldest,
        max_retained_messages: 0,
        session_expiry: Some(Duration::from_secs(3600)),
        ..Limits::default()
    };
    let (broker, recorder) = Broker::observed(limits);
    let (mut one, mut two, mut publisher) = (broker.begin("one"), broker.begin("two"), broker.client("pub"));
    one.subscribe(&[("#", 1)]);
    two.subscribe(&[("b", 1)]);
    one.disconnect();
    two.disconnect();
    for topic in ["a", "b", "b"] {
        publisher.publish(Message::new(topic, topic).qos(1));
    }
    publisher.publish(Message::new("c", "12").qos(1).retain());
    publisher.publish(Message::new("$SYS/x", "123").qos(1));
    let mut drops = recorder.lines("drop");
    // which of two subscribers is first is not said
    drops[1..3].sort();
    assert_eq!(
        drops,
        [
            "drop one a 1 bytes QueueFull",
            "drop one b 1 bytes QueueFull",
            "drop two b 1 bytes QueueFull",
            "drop pub c 2 bytes RetainedFull",
            "drop one b 1 bytes QueueFull",
            "drop pub $SYS/x 3 bytes SysTopic",
        ]
    );
    broker.expect_counts(&[(Count::PublishDropped, 6)]);
}

#[test]
fn observers_get_no_event_of_a_refused_client() {
    let (broker, recorder) = Broker::observed(Limits { max_client_id_length: 3, ..Limits::default() });
    broker.refuses(&Connect::new("long"), 2);
    assert_eq!(recorder.take(), [""; 0]);
    let mut client = broker.open();
    client.send(&Connect::new("old").protocol("MQTT", 9).frame());
    client.expect(&connack(0, 1));
    client.expect_closed();
    assert_eq!(recorder.take(), [""; 0]);
}

/// Wants the given kinds, and records the events.
#[derive(Default)]
struct Picky {
    wants: Mutex<EventKinds>,
    told: Mutex<Vec<String>>,
}

impl Picky {
    fn that_wants(kinds: EventKinds) -> Arc<Self> {
        Arc::new(Self { wants: Mutex::new(kinds), ..Self::default() })
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock())
    }
}

impl Observe for Picky {
    fn observe(&self, event: &Event<'_>) {
        let told = match event {
            Event::Connect { client, info, .. } => format!("connect {client} {info:?}"),
            Event::Disconnect { client, info, .. } => format!("disconnect {client} {info:?}"),
            Event::Subscribe { client, info, .. } => format!("subscribe {client} {info:?}"),
            Event::Unsubscribe { client, info, .. } => format!("unsubscribe {client} {info:?}"),
            Event::Publish { user, content, .. } => format!("publish {user:?} {}", String::from_utf8_lossy(content)),
            Event::Will { user, content, .. } => format!("will {user:?} {}", String::from_utf8_lossy(content)),
            other => format!("{:?}", other.kind()),
        };
        self.told.lock().push(told);
    }

    fn wants(&self) -> EventKinds {
        *self.wants.lock()
    }
}

#[test]
fn each_observer_gets_the_kinds_of_events_that_it_wants() {
    let (all, some) = (Picky::that_wants(EventKinds::ALL), Picky::that_wants(EventKinds::NONE));
    let (first, second) = (all.clone(), some.clone());
    let broker = Broker::build(config(), |builder| builder.observe(first).observe(second));
    let mut client = broker.client("c");
    client.subscribe(&[("t", 0)]);
    assert_eq!((all.take().len(), some.take().len()), (2, 0));
    *some.wants.lock() = EventKinds::PUBLISH | EventKinds::DELIVER;
    client.publish(Message::new("u", "one"));
    client.send(&Message::new("t", "two").frame());
    client.expect_message("t", "two", 0);
    assert_eq!(some.take(), ["publish None one", "publish None two", &format!("{:?}", EventKinds::DELIVER)]);
    *some.wants.lock() = EventKinds::PING;
    *all.wants.lock() = EventKinds::NONE;
    all.take();
    client.expect_nothing_pending();
    assert_eq!((all.take().len(), some.take().len()), (0, 1));
}

#[test]
fn events_have_the_client_and_its_message() {
    let all = Picky::that_wants(EventKinds::ALL);
    let observe = all.clone();
    let mut config = config();
    config.listeners.push(config.listeners[0].clone());
    let broker = Broker::build(config, |builder| builder.observe(observe));
    let connect = Connect::new("old").user("ann", "").will(&Message::new("gone", "bye"));
    let mut old = raw::Client::accepted(broker.server.local_addrs()[1], &connect, 0);
    old.subscribe(&[("t", 0)]);
    old.unsubscribe(&["t"]);
    old.publish(Message::new("u", "hello"));
    let ann = r#"ClientInfo { user: Some("ann"), listener: 1, version: V311 }"#;
    let expected = ["connect", "subscribe", "unsubscribe"].map(|what| format!("{what} old {ann}"));
    let told = all.take();
    assert_eq!(told[..3], expected);
    assert_eq!(told[3], r#"publish Some("ann") hello"#);
    let mut five = five::Five::accepted(broker.address(), &five::Connect::new("five"), 0);
    five.subscribe(&[("gone", 0)]);
    all.take();
    old.abort();
    five.expect_payloads(&["bye"]);
    wait_until(|| all.told.lock().iter().any(|told| told.starts_with("will")), String::new);
    let told = all.take();
    assert_eq!(told[0], format!("disconnect old {ann}"));
    assert_eq!(told[1], r#"publish Some("ann") bye"#);
    assert!(told.contains(&r#"will Some("ann") bye"#.to_owned()), "{told:?}");
    five.leave();
    wait_until(|| all.told.lock().len() == 1, || format!("{:?}", all.told.lock()));
    assert_eq!(all.take(), ["disconnect five ClientInfo { user: None, listener: 0, version: V5 }"]);
}

#[test]
fn a_stream_has_the_wanted_events_and_counts_lost_ones() {
    let broker = Broker::new(config());
    let mut all = broker.server.events(EventKinds::CONNECT | EventKinds::PUBLISH | EventKinds::PAYLOADS);
    let mut sizes = broker.server.events(EventKinds::PUBLISH);
    let next = |stream: &mut EventStream| run(stream.recv());
    let mut client = broker.connect(&Connect::new("c").user("ann", ""), 0);
    client.publish(Message::new("t", "one").qos(1));
    client.publish(Message::new("t", "three").qos(1));
    let connected = next(&mut all);
    assert!(matches!(connected.what, What::Connect { clean_session: true, session_present: false, .. }));
    let client_of = connected.client.as_ref().map(|client| client.as_str());
    assert_eq!((connected.kind, client_of, connected.user.as_deref()), (EventKinds::CONNECT, Some("c"), Some("ann")));
    assert_eq!(connected.came_by.map(|(listener, _)| listener), Some(0));
    for payload in ["one", "three"] {
        for (stream, wants) in [(&mut all, true), (&mut sizes, false)] {
            let published = next(stream);
            let What::Message { topic, payload: bytes, content, .. } = &published.what else { panic!("{published:?}") };
            assert_eq!((&**topic, *bytes, published.user.as_deref()), ("t", payload.len(), Some("ann")));
            assert_eq!(content.as_deref(), wants.then_some(payload.as_bytes()));
        }
    }
    drop(all);
    // a ring holds 4,096
    client.send(&Message::new("t", "x").frame().repeat(5_000));
    client.expect_nothing_pending();
    assert_eq!(sizes.lost(), 5_000 - 4_096);
    assert_eq!(std::iter::from_fn(|| sizes.try_recv()).count(), 4_096);
    drop(sizes);
    client.expect_nothing_pending();
}
