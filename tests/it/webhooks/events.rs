//! Events of refused and banned clients, of the store and of bridges.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use dunlin::{
    Builder, Config,
    config::Limits,
    inspect::{Ban, BanTarget},
    router::{Condition, QueuedCopy, Record, Store},
    session::{CommitSeq, Message, Stored},
};
use serde_json::json;

use super::{
    client, hooked,
    service::{Does, Service},
    types, wait_until_sent,
};
use crate::support::{
    config,
    raw::{Client, Connect},
    run, shut_down, start,
};

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
struct Full(AtomicBool);

impl Store for Full {
    fn append(&self, _: Record) -> Stored {
        Stored::Done
    }

    fn done(&self) -> CommitSeq {
        CommitSeq(0)
    }

    fn append_copies(&self, _: &Message, _: &QueuedCopy, _: &[QueuedCopy]) -> Stored {
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
