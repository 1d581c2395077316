//! The web console: its files, and the streams for it. `tests/clients/console` runs it in a browser.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use dunlin::{Publication, QoS};

use super::{
    address,
    api::{Stream, api, client, done},
    ask, broker, get, http,
};
use crate::support::{Broker, config, raw::Message, run, wait_until};

#[test]
fn the_page_is_served_with_a_policy_and_a_tag() {
    let broker = broker("");
    let at = address(&broker);
    let page = get(at, "/");
    assert_eq!(page.status, 200);
    assert!(page.headers.contains("content-type: text/html; charset=utf-8"), "{}", page.headers);
    assert!(page.headers.contains("default-src 'none'; script-src 'self';"), "{}", page.headers);
    assert!(!page.headers.contains("unsafe"), "{}", page.headers);
    assert!(page.body.starts_with("<!doctype html>"), "{}", page.body);
    let tag = page.headers.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag");
    let known = ask(at, "GET", "/", &[&format!("If-None-Match: {tag}")]);
    assert_eq!((known.status, known.body.as_str()), (304, ""));
    for file in ["/app.js", "/pages/overview.js", "/vendor/preact.mjs", "/console.css", "/index.html", "/icon.svg"] {
        assert_eq!(get(at, file).status, 200, "{file}");
    }
    for none in ["/none.js", "/pages/none.js", "/vendor/../app.js", "/pages/%2e%2e/app.js"] {
        assert_eq!(get(at, none).status, 404, "{none}");
    }
    assert_eq!(ask(at, "POST", "/", &["Content-Length: 0"]).status, 405);
    assert!(ask(at, "HEAD", "/", &[]).body.is_empty());
}

#[test]
fn the_console_needs_no_login_and_can_be_disabled() {
    let shown = broker("");
    assert_eq!(ask(address(&shown), "GET", "/", &["Host: console.example"]).status, 200);
    let mut off = broker("console = false");
    assert_eq!(get(address(&off), "/").status, 404);
    assert_eq!(get(address(&off), "/app.js").status, 404);
    off.reload(|config| config.http.console = true);
    assert_eq!(get(address(&off), "/").status, 200);
}

#[test]
fn the_console_is_served_from_a_configured_directory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.html"), "mine").unwrap();
    std::fs::write(dir.path().join("app.js"), "first").unwrap();
    let http = dunlin::config::HttpConfig { console_dir: Some(dir.path().to_owned()), ..http("") };
    let broker = Broker::new(dunlin::Config { http, ..config() });
    let at = address(&broker);
    assert_eq!(get(at, "/").body, "mine");
    std::fs::write(dir.path().join("app.js"), "second").unwrap();
    assert_eq!(get(at, "/app.js").body, "second");
    assert_eq!(get(at, "/console.css").status, 404);
}

#[test]
fn history_has_a_point_for_each_second() {
    let broker = broker("");
    let at = address(&broker);
    let mut lamp = client(&broker, "lamp");
    lamp.publish(Message::new("a", "b").qos(1));
    let history = || done(&api(at, "GET", "history", None));
    let has_point = || {
        let points = history()["points"]["connected"].as_array().cloned().unwrap_or_default();
        points.last().is_some_and(|last| *last == 1)
    };
    wait_until(has_point, || history().to_string());
    assert_eq!(history()["every"], 1);
    let mut stream = Stream::open(at, "live?points=true");
    let (name, point) = stream.next();
    assert_eq!((name.as_str(), &point["connected"]), ("point", &1.into()));
    assert!(point["at"].is_string() && point["fsync_p99"].is_null(), "{point}");
}

#[test]
fn the_live_stream_has_the_last_message_of_each_topic() {
    let broker = broker("");
    let at = address(&broker);
    let publish = |topic: &str, payload: Vec<u8>, retain| {
        run(broker.server.publish(Publication::new(topic, payload).qos(QoS::AtLeastOnce).retain(retain))).unwrap();
    };
    publish("old", b"kept".to_vec(), true);
    let mut stream = Stream::open(at, "live?topics=%23");
    let (name, told) = stream.next();
    assert_eq!(name, "topics");
    let row = &told["data"][0];
    let text = |at: usize| row[at].as_str().unwrap();
    assert_eq!((text(0), text(5), &row[1], &row[2], &row[4]), ("old", "kept", &1.into(), &4.into(), &1.into()));
    // a thousand messages of one topic are few updates, and none of them is forgotten
    let (mut count, mut updates) = (0, 0);
    (0..1000).for_each(|n: u32| publish("busy", n.to_string().into_bytes(), false));
    let last = loop {
        let (_, told) = stream.next();
        updates += 1;
        let rows = told["data"].as_array().unwrap();
        assert!(rows.len() == 1 && rows[0][0] == "busy", "{told}");
        count += rows[0][1].as_u64().unwrap();
        if count == 1000 {
            break rows[0].clone();
        }
    };
    assert_eq!(last[5], "999");
    assert!(updates <= 500, "{updates} updates");
    // another stream continues, without earlier messages
    let mut resumed = Stream::open(at, "live?topics=%23&resumed=topics");
    publish("new", vec![0xff], false);
    let (_, told) = resumed.next();
    assert_eq!((&told["data"][0][0], &told["data"][0][6]), (&"new".into(), &"/w==".into()));
}

#[test]
fn the_live_stream_has_at_most_20_updates_a_second() {
    let broker = broker("");
    let at = address(&broker);
    let mut stream = Stream::open(at, "live?topics=%23");
    let stops = Arc::new(AtomicBool::new(false));
    let (mut lamp, publishes) = (client(&broker, "lamp"), stops.clone());
    let publisher = thread::spawn(move || {
        let mut sent = 0_u64;
        while !publishes.load(Ordering::Relaxed) {
            lamp.publish(Message::new("busy", &sent.to_string()).qos(1));
            sent += 1;
        }
        sent
    });
    // over many updates a late reader or a late thread changes little
    const UPDATES: u32 = 30;
    stream.next();
    let (began, mut told) = (Instant::now(), 0);
    for _ in 0..UPDATES {
        let (name, update) = stream.next();
        assert_eq!((name.as_str(), &update["data"][0][0]), ("topics", &"busy".into()));
        told += update["data"][0][1].as_u64().unwrap();
    }
    let took = began.elapsed();
    stops.store(true, Ordering::Relaxed);
    let sent = publisher.join().unwrap();
    assert!(took >= Duration::from_millis(50) * UPDATES, "{UPDATES} updates in {took:?}");
    // there was more to tell than updates
    assert!(sent > u64::from(2 * UPDATES) && told > u64::from(UPDATES), "{sent} sent, {told} told");
}

#[test]
fn the_live_stream_has_deliveries_of_clients_for_those_who_ask() {
    let broker = broker("");
    let at = address(&broker);
    let mut lamp = client(&broker, "lamp");
    lamp.subscribe(&[("a/#", 1)]);
    // the lane of this stream is no subscriber that is shown
    let mut stream = Stream::open(at, "live?deliveries=a/%23&record=a/%23");
    let mut other = client(&broker, "other");
    other.publish(Message::new("b", "no").qos(1));
    other.publish(Message::new("a/b", "yes").qos(1));
    let delivered = loop {
        let (name, told) = stream.next();
        if name == "deliveries" {
            break told;
        }
        assert_eq!(name, "record");
    };
    let data = delivered["data"].as_array().unwrap();
    let shown =
        |one: &serde_json::Value| ["client", "topic", "payload"].map(|name| one[name].as_str().unwrap().to_owned());
    assert_eq!(data.iter().map(shown).collect::<Vec<_>>(), [["lamp", "a/b", "yes"].map(str::to_owned)]);
    assert_eq!((&data[0]["qos"], &delivered["skipped"]), (&1.into(), &0.into()));
    // published messages are no part of it
    let wrong = api(at, "GET", "live?deliveries=a%23", None);
    assert_eq!((wrong.status, wrong.code()), (400, "filter".into()));
}

#[test]
fn the_live_stream_has_whole_messages() {
    let broker = broker("");
    let at = address(&broker);
    let mut stream = Stream::open(at, "live?watch=a/b&messages=a/%23&events=true");
    let mut lamp = client(&broker, "lamp");
    lamp.publish(Message::new("a/b", &"x".repeat(5000)).qos(1));
    lamp.publish(Message::new("a/c", "y").qos(1));
    let (mut watched, mut passed, mut events) = (Vec::new(), Vec::new(), Vec::new());
    while watched.is_empty() || passed.len() < 2 || events.is_empty() {
        let (name, told) = stream.next();
        let data = told["data"].as_array().unwrap().clone();
        match name.as_str() {
            "watch" => watched.extend(data),
            "messages" => passed.extend(data),
            "events" => events.extend(data),
            other => panic!("{other}"),
        }
    }
    assert_eq!((watched.len(), watched[0]["payload"].as_str().map(str::len)), (1, Some(5000)));
    assert_eq!((&passed[1]["topic"], &passed[1]["client"]), (&"a/c".into(), &"lamp".into()));
    assert_eq!((&events[0]["type"], &events[0]["client_id"]), (&"connect".into(), &"lamp".into()));
}

#[test]
fn subscriptions_of_a_live_stream_end_with_it() {
    let broker = broker("");
    let at = address(&broker);
    let subscriptions = || {
        let metrics = get(at, "/metrics").body;
        let line = metrics.lines().find_map(|line| line.strip_prefix("dunlin_subscriptions ")).map(str::to_owned);
        line.expect("a number of subscriptions")
    };
    // a subscription brings what is retained; what is published then is told without it
    let stream = Stream::open(at, "live?topics=%23&messages=%23&record=%23");
    wait_until(|| subscriptions() == "1", || format!("{} subscriptions", subscriptions()));
    drop(stream);
    wait_until(|| subscriptions() == "0", || format!("{} subscriptions", subscriptions()));
    let wrong = api(at, "GET", "live?topics=a%23", None);
    assert_eq!((wrong.status, wrong.code()), (400, "filter".into()));
}
