//! Events of refused and banned clients, of ends of connections and of sessions, of Wills and dropped messages, of the
//! store and of bridges.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::Duration,
};

use dunlin::{
    Builder, Config, InsideClient,
    config::{Limits, SysConfig},
    inspect::{Ban, BanTarget},
    router::{Condition, QueuedCopy, Record, Store},
    session::{self, CommitSeq, Stored},
};
use serde_json::{Value, json};

use super::{
    client, hooked,
    service::{Does, Service},
    types, wait_until_sent,
};
use crate::{
    http::{self, api::streams::Stream},
    support::{
        Broker, config, five,
        raw::{Client, Connect, Message, PINGREQ, PINGRESP},
        run, shut_down, start,
    },
};

#[test]
fn the_end_of_a_connection_has_its_duration_and_bytes() {
    let service = Service::new(|_| Does::Answers(200));
    let hooked = hooked(&service, "'client.disconnected'", "linger = '0s'\nclients = 'dev-*'");
    let sys = SysConfig { events: true, ..hooked.sys };
    let broker = Broker::new(Config { sys, http: http::http(""), allow_anonymous: Some(true), ..hooked });
    let at = http::address(&broker);
    let mut stream = Stream::open(at, "events?types=disconnect");
    let filters = vec!["$events/client/disconnected/#".into()];
    let asked = InsideClient { id: "$reader".into(), filters, ..InsideClient::default() };
    let reader = run(broker.server.client(asked)).expect("a client within the process");
    let mut expect = |sent, id: &str, duration: f64, received: usize, to_it: usize| {
        wait_until_sent(&broker.server, sent);
        let of_hook = service.events().pop().unwrap()["data"].clone();
        let message = run(reader.recv()).expect("an event");
        let message: Value = serde_json::from_slice(message.payload()).unwrap();
        let (name, of_stream) = stream.next();
        assert_eq!(name, "disconnect");
        for event in [&of_hook, &message["data"], &of_stream] {
            assert_eq!(event["client_id"], id, "{event}");
            let figures = [&event["duration_seconds"], &event["received_bytes"], &event["sent_bytes"]];
            assert_eq!(figures, [&json!(duration), &json!(received), &json!(to_it)], "{event}");
        }
    };

    let connect = Connect::new("dev-1").keep_alive(0);
    let mut one = broker.connect(&connect, 0);
    one.send(PINGREQ);
    one.expect(PINGRESP);
    broker.turn(Duration::from_millis(90_500));
    one.disconnect();
    // CONNECT, PINGREQ and DISCONNECT; CONNACK and PINGRESP
    expect(1, "dev-1", 90.5, connect.frame().len() + 2 + 2, 4 + 2);

    // the DISCONNECT of the broker is the last of the bytes
    let connect = five::Connect::new("dev-5");
    let mut five = Client::open(broker.address());
    five.send(&connect.frame());
    let connack = five.expect_any().bytes().len();
    assert_eq!(http::ask(at, "DELETE", "/api/v1/clients/dev-5", &[]).status, 200);
    let disconnect = five.expect_any().bytes().len();
    five.expect_closed();
    expect(2, "dev-5", 0.0, connect.frame().len(), connack + disconnect);

    // another connection takes the session over
    let connect = Connect::new("dev-2").keep_alive(0);
    let mut before = broker.connect(&connect, 0);
    before.publish(Message::new("t", "x").qos(1));
    let publish = Message::new("t", "x").qos(1).id(1).frame().len();
    broker.turn(Duration::from_secs(7));
    let _after = broker.connect(&connect, 0);
    before.expect_closed();
    expect(3, "dev-2", 7.0, connect.frame().len() + publish, 4 + 4);
}

#[test]
fn ended_sessions_dropped_messages_and_wills_are_webhook_events() {
    let service = Service::new(|_| Does::Answers(200));
    let more = "linger = '0s'\nfilter = ['t/#']\npayload = 'text'\nclients = 'dev-*'";
    let hooked = hooked(&service, "'session.expired', 'message.dropped', 'will.published'", more);
    let limits = Limits { max_queued_messages: 1, ..hooked.limits };
    let broker = Broker::new(Config { limits, ..hooked });
    let next = |sent| {
        wait_until_sent(&broker.server, sent);
        let mut event = service.events().pop().unwrap();
        (event["type"].take(), event["data"].take())
    };

    let mut away = five::Five::accepted(broker.address(), &five::Connect::new("dev-away").lasting(3_600), 0);
    away.subscribe(&[("t/#", 1), ("u/#", 1)]);
    away.send(&five::disconnect(0));
    away.expect_closed();
    let mut publisher = broker.client("publisher");
    publisher.publish(Message::new("t/1", "first").qos(1));
    // no event: the filter of the webhook does not match
    publisher.publish(Message::new("u/1", "second").qos(1));
    publisher.publish(Message::new("t/2", "third").qos(1));
    let reason = "its client's queue is full (limits.max_queued_messages, limits.max_queued_bytes)";
    let data = json!({ "client_id": "dev-away", "topic": "t/2", "size": 5, "reason": reason });
    assert_eq!(next(1), ("dunlin.message.dropped".into(), data));

    broker.connect(&Connect::new("dev-other").will(&Message::new("u/2", "no").qos(1)), 0).abort();
    broker.wait_until_away("dev-other");
    let mut dying = broker.connect(&Connect::new("dev-dying").will(&Message::new("t/3", "bye").qos(1).retain()), 0);
    dying.send(PINGREQ);
    dying.expect(PINGRESP);
    dying.abort();
    wait_until_sent(&broker.server, 3);
    let mut events = service.events().split_off(1);
    // of two clients, so perhaps of two lanes
    events.sort_by_key(|event| event["type"].to_string());
    assert_eq!(types(&events), ["dunlin.message.dropped", "dunlin.will.published"]);
    // its copy for the session that is away
    assert_eq!((&events[0]["data"]["client_id"], &events[0]["data"]["topic"]), (&json!("dev-away"), &json!("t/3")));
    let will =
        json!({ "client_id": "dev-dying", "topic": "t/3", "qos": 1, "retain": true, "size": 3, "payload": "bye" });
    assert_eq!(events[1]["data"], will);

    broker.turn(Duration::from_secs(3_600));
    let data = json!({ "client_id": "dev-away", "away_seconds": 3_600 });
    assert_eq!(next(4), ("dunlin.session.expired".into(), data));
}

#[test]
fn refused_and_banned_clients_are_webhook_events() {
    let service = Service::new(|_| Does::Answers(200));
    let hooked = hooked(&service, "'client.refused', 'client.banned'", "");
    let limits = Limits { max_client_id_length: 20, ..Limits::default() };
    let server = start(Builder::new(Config { limits, ..hooked }));
    let refuse = |connect: &Connect, code| {
        let mut client = Client::open(server.local_addrs()[0]);
        client.send(&connect.frame());
        client.expect_refused(code);
    };
    refuse(&Connect::new("$own").user("eve", "x"), 2);
    wait_until_sent(&server, 1);
    let ban = Ban { target: BanTarget::client("a/b"), reason: "noise".into(), by: "ann".into(), until: None };
    run(server.ban(ban)).expect("a ban");
    refuse(&Connect::new("a/b"), 5);
    let of_user = Ban { target: BanTarget::user("eve"), reason: "".into(), by: "ann".into(), until: None };
    run(server.ban(of_user)).expect("a ban");
    let _accepted = client(&server, "b");
    wait_until_sent(&server, 4);
    shut_down(server);
    let mut events = service.events();
    events.sort_by_key(|event| event["sequence"].to_string());
    let expected = ["dunlin.client.refused", "dunlin.client.banned", "dunlin.client.refused", "dunlin.client.banned"];
    assert_eq!(types(&events), expected);
    let data = |place: usize| &events[place]["data"];
    assert_eq!(
        (&data(0)["client_id"], &data(0)["user"], &data(0)["listener"]),
        (&json!("$own"), &json!("eve"), &json!(0))
    );
    assert!(data(0)["reason"].as_str().unwrap().contains("begin with $"), "{}", data(0));
    assert!(data(0)["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{}", data(0));
    assert_eq!(*data(1), json!({ "client_id": "a/b", "reason": "noise", "by": "ann", "until": null }));
    assert!(events[1]["source"].as_str().unwrap().ends_with("/clients/a%2Fb"), "{}", events[1]);
    let reason = data(2)["reason"].as_str().unwrap();
    assert!(reason.starts_with("banned by ann") && reason.ends_with(": noise"), "{reason}");
    assert_eq!(*data(3), json!({ "user": "eve", "reason": "", "by": "ann", "until": null }));
}

/// A store that stores nothing and is full when the test says so.
#[derive(Default)]
pub struct Full(pub AtomicBool);

impl Store for Full {
    fn append(&self, _: Record) -> Stored {
        Stored::Done
    }

    fn done(&self) -> CommitSeq {
        CommitSeq(0)
    }

    fn append_copies(&self, _: &session::Message, _: &QueuedCopy, _: &[QueuedCopy]) -> Stored {
        Stored::Done
    }

    fn together(&self, append: &mut dyn FnMut()) {
        append();
    }

    fn wake_when_done(&self, _: CommitSeq, waker: &Waker) {
        waker.wake_by_ref();
    }

    fn condition(&self) -> Condition {
        if self.0.load(Ordering::Relaxed) { Condition::Full } else { Condition::Ready }
    }
}

#[test]
fn the_condition_of_the_store_is_a_webhook_event_when_it_changes() {
    let service = Service::new(|_| Does::Answers(200));
    let store = Arc::new(Full::default());
    // its client is none of the pattern's, but the broker is concerned
    let hooked = hooked(&service, "'store.condition'", "clients = 'dev-*'");
    let server = start(Builder::new(hooked).store(store.clone()));
    store.0.store(true, Ordering::Relaxed);
    wait_until_sent(&server, 1);
    store.0.store(false, Ordering::Relaxed);
    wait_until_sent(&server, 2);
    shut_down(server);
    let conditions: Vec<_> = service.events().iter().map(|event| event["data"].clone()).collect();
    assert_eq!(conditions, [json!({ "condition": "full" }), json!({ "condition": "ready" })]);
}

#[test]
fn a_bridge_that_connects_and_is_lost_is_a_webhook_event() {
    let service = Service::new(|_| Does::Answers(200));
    let other = start(Builder::new(config()));
    let address = other.local_addrs()[0];
    let bridge =
        format!("[[bridge]]\nname = 'b'\naddresses = ['{address}']\nreconnect_min = '10ms'\ntopics = ['# out']");
    let bridges = dunlin::config::parse(&bridge, "test").expect("the bridge is right").bridges;
    let hooked = hooked(&service, "'bridge.up', 'bridge.down'", "");
    let server = start(Builder::new(Config { bridges, ..hooked }));
    wait_until_sent(&server, 1);
    shut_down(other);
    wait_until_sent(&server, 2);
    shut_down(server);
    let events = service.events();
    assert_eq!(types(&events[..2]), ["dunlin.bridge.up", "dunlin.bridge.down"]);
    assert_eq!(events[0]["data"], json!({ "name": "b", "address": address.to_string() }));
    assert_eq!(events[1]["data"]["name"], "b");
    assert!(!events[1]["data"]["reason"].as_str().unwrap().is_empty(), "{}", events[1]);
}
