//! Webhooks: the events and their order, and the effect of a service that fails, refuses, stalls or dies.
//!
//! | file | has |
//! |---|---|
//! | this one | the tests |
//! | `acknowledged` | acknowledgements |
//! | `durable` | durable messages |
//! | `events` | refused and banned clients, Wills, dropped messages, ended sessions, the store's condition, bridges |
//! | `failures` | services that answer late, ask for patience or use TLS; the bounds of the queue |
//! | `latency` | round trips of publishers beside services that fail |
//! | `published` | events as MQTT messages |
//! | `service` | a service that a test controls |

mod acknowledged;
mod durable;
mod events;
mod failures;
mod latency;
mod published;
pub mod service;

use std::{collections::BTreeMap, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use dunlin::{Builder, Config, Server, WebhookView};
use serde_json::{Value, json};

pub use self::events::Full;
use self::service::{Does, Request, Service};
use crate::{
    http,
    support::{
        config,
        raw::{Client, Connect, Message},
        reload, shut_down, start, wait_until,
    },
};

const ALL: &str = "'client.connected', 'client.disconnected', 'client.subscribed', 'client.unsubscribed', \
                   'session.expired', 'message.published', 'message.delivered', 'message.acknowledged', \
                   'message.dropped', 'will.published', 'broker.started', 'broker.stopping'";

/// A broker with a webhook at that service; `more` are further keys of it.
fn hooked(service: &Service, events: &str, more: &str) -> Config {
    let url = format!("http://{}/hook?key=k", service.address);
    let linger = if more.contains("linger") { "" } else { "linger = '1ms'\n" };
    let text = format!("[[webhook]]\nname = 'w'\nurl = '{url}'\nevents = [{events}]\n{linger}{more}\n");
    let webhooks = dunlin::config::parse(&text, "test").expect("the webhook is right").webhooks;
    Config { webhooks, ..config() }
}

fn view(server: &Server) -> WebhookView {
    server.webhooks().into_iter().next().expect("there is a webhook")
}

fn client(server: &Server, id: &str) -> Client {
    Client::accepted(server.local_addrs()[0], &Connect::new(id), 0)
}

/// Waits until nothing is on its way.
fn wait_until_sent(server: &Server, sent: u64) {
    let is_done = || view(server).counts.sent >= sent && view(server).counts.queued == 0;
    wait_until(is_done, || format!("{:?}", view(server)));
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[test]
fn webhooks_send_cloud_events_in_order() {
    let service = Service::new(|_| Does::Answers(200));
    let server = start(Builder::new(hooked(&service, ALL, "payload = 'text'")));
    let mut one = client(&server, "a/b");
    one.subscribe(&[("t/#", 1)]);
    one.publish_apart("t/x", "hi", 1);
    one.expect_message("t/x", "hi", 1);
    one.unsubscribe(&["t/#"]);
    one.publish(Message::new("$other", "no").qos(1));
    one.disconnect();
    wait_until_sent(&server, 8);
    shut_down(server);
    let events = service.events();
    let of_broker = |event: &&Value| event["type"].as_str().unwrap().starts_with("dunlin.broker.");
    let (broker, client): (Vec<Value>, Vec<Value>) = events.iter().cloned().partition(|event| of_broker(&event));
    assert_eq!(types(&broker), ["dunlin.broker.started", "dunlin.broker.stopping"]);
    let expected = [
        "dunlin.client.connected",
        "dunlin.client.subscribed",
        "dunlin.message.published",
        "dunlin.message.delivered",
        "dunlin.message.acknowledged",
        "dunlin.client.unsubscribed",
        "dunlin.client.disconnected",
    ];
    assert_eq!(types(&client), expected);
    for event in &client {
        assert_eq!(event["specversion"], "1.0");
        assert!(event["source"].as_str().unwrap().ends_with("/clients/a%2Fb"), "{event}");
        assert_eq!(event["data"]["client_id"], "a/b");
        assert_eq!(event["sequence"].as_str().unwrap().len(), 20);
        assert!(humantime::parse_rfc3339(event["time"].as_str().unwrap()).is_ok());
    }
    let published = &client[2];
    assert_eq!(published["subject"], "t/x");
    let expected = json!({ "client_id": "a/b", "topic": "t/x", "qos": 1, "retain": false, "size": 2, "payload": "hi" });
    assert_eq!(published["data"], expected);
    assert!(client[3]["data"].get("payload").is_none());
    let mut ids: Vec<_> = events.iter().map(|event| (event["source"].to_string(), event["id"].to_string())).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), events.len());
}

#[test]
fn events_are_chosen_by_topic_and_client() {
    let service = Service::new(|_| Does::Answers(204));
    let more = "filter = ['t/+']\nclients = 'dev-*'\npayload = 'none'";
    let server = start(Builder::new(hooked(&service, "'message.published', 'client.connected'", more)));
    let mut other = client(&server, "other");
    other.publish(Message::new("t/x", "1").qos(1));
    let mut device = client(&server, "dev-1");
    device.publish(Message::new("u", "2").qos(1));
    device.publish(Message::new("t/x", "3").qos(1));
    wait_until_sent(&server, 2);
    shut_down(server);
    let events = service.events();
    assert_eq!(types(&events), ["dunlin.client.connected", "dunlin.message.published"]);
    assert_eq!(events[0]["data"]["client_id"], "dev-1");
    assert_eq!(
        events[1]["data"],
        json!({ "client_id": "dev-1", "topic": "t/x", "qos": 1, "retain": false, "size": 1 })
    );
}

/// HMAC of SHA-256, as the headers of Standard Webhooks have it.
fn signature(secret: &str, request: &Request) -> String {
    let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    let text = format!("{}.{}.{}", request.header("webhook-id"), request.header("webhook-timestamp"), request.body);
    format!("v1,{}", BASE64_STANDARD.encode(ring::hmac::sign(&key, text.as_bytes())))
}

#[test]
fn webhook_requests_are_signed_and_retried_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let (secret, file) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", dir.path().join("secret"));
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let service = Service::new(|number| match number {
        0 => Does::Answers(500),
        1 => Does::Ends,
        2 => Does::Garbage,
        3 => Does::Redirects,
        _ => Does::Answers(200),
    });
    let more = format!("secret_file = '{}'", file.display());
    let server = start(Builder::new(hooked(&service, "'client.connected'", &more)));
    let _one = client(&server, "a");
    wait_until_sent(&server, 1);
    let told = view(&server);
    assert_eq!((told.counts.sent, told.counts.dropped, told.counts.lost), (1, 0, 0));
    assert!(told.counts.failed >= 3 && !told.fails && told.error.is_some(), "{told:?}");
    assert_eq!(told.url, format!("http://{}/hook", service.address));
    shut_down(server);
    let requests = service.requests();
    assert!(requests.len() >= 4, "{requests:?}");
    for request in &requests {
        assert_eq!(request.first, "POST /hook?key=k HTTP/1.1");
        assert_eq!(
            (&request.body, request.header("webhook-id")),
            (&requests[0].body, requests[0].header("webhook-id"))
        );
        assert_eq!(request.header("content-type"), "application/cloudevents-batch+json; charset=UTF-8");
        assert_eq!(request.header("webhook-signature"), signature(secret, request));
    }
}

#[test]
fn requests_of_a_webhook_have_other_identifiers_after_a_reload() {
    let service = Service::new(|_| Does::Answers(200));
    let server = start(Builder::new(hooked(&service, "'message.published'", "")));
    let mut one = client(&server, "a");
    one.publish(Message::new("t", "1").qos(1));
    wait_until_sent(&server, 1);
    // it begins anew: the numbers of its requests and its counters, too
    reload(&server, &hooked(&service, "'message.published'", "batch = 7")).unwrap();
    one.publish(Message::new("t", "2").qos(1));
    wait_until_sent(&server, 1);
    shut_down(server);
    let requests = service.requests();
    let ids: Vec<Vec<&str>> =
        requests.iter().map(|request| request.header("webhook-id").split('_').collect()).collect();
    let [[_, boot, turn, lane, number], [_, next_boot, next_turn, next_lane, next_number]] =
        [0, 1].map(|place| <[&str; 5]>::try_from(ids[place].clone()).expect("five parts"));
    assert_eq!((requests.len(), boot, lane, number), (2, next_boot, next_lane, next_number));
    assert_ne!(turn, next_turn);
}

#[test]
fn refused_webhook_events_are_dropped_and_counted() {
    let service = Service::new(|number| if number == 0 { Does::Answers(422) } else { Does::Answers(200) });
    let server = start(Builder::new(hooked(&service, "'client.connected'", "")));
    let _one = client(&server, "a");
    wait_until(|| view(&server).counts.dropped == 1, || format!("{:?}", view(&server)));
    assert!(view(&server).error.unwrap().0.contains("422"));
    let _two = client(&server, "b");
    wait_until_sent(&server, 1);
    shut_down(server);
    let ids: Vec<_> = service.events().iter().map(|event| event["data"]["client_id"].clone()).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn an_unresponsive_webhook_service_slows_no_client_and_losses_are_reported() {
    let service = Service::new(|number| if number == 0 { Does::Waits } else { Does::Answers(200) });
    let server = start(Builder::new(hooked(&service, "'message.published'", "queue = 10\nbatch = 4")));
    let mut one = client(&server, "a");
    one.publish(Message::new("t", "0").qos(1));
    wait_until(|| !service.requests().is_empty(), || "there is no request".into());
    // each of them is acknowledged
    (1..1_000).for_each(|n| one.publish(Message::new("t", &n.to_string()).qos(1)));
    wait_until(|| view(&server).counts.lost == 990, || format!("{:?}", view(&server)));
    assert_eq!(view(&server).counts.queued, 10);
    service.go_on();
    wait_until_sent(&server, 10);
    one.publish(Message::new("t", "last").qos(1));
    wait_until_sent(&server, 11);
    shut_down(server);
    let events = service.events();
    let lost: u64 = events.iter().filter_map(|event| event["data"]["lost"].as_u64()).sum();
    assert_eq!((events.len() - 1, lost), (11, 990));
    assert_eq!(events[1]["type"], "dunlin.events.lost");
}

#[test]
fn the_events_of_each_client_are_in_order_over_many_clients_and_failures() {
    const CLIENTS: usize = 8;
    const MESSAGES: usize = 100;
    let service = Service::new(|number| match number % 32 {
        7 => Does::Answers(503),
        11 => Does::Ends,
        16 => Does::Sleeps,
        21 => Does::Garbage,
        27 => Does::Redirects,
        _ => Does::Answers(200),
    });
    let more = "payload = 'text'\nbatch = 50\ntimeout = '500ms'";
    let server =
        start(Builder::new(hooked(&service, "'message.published', 'client.connected', 'client.disconnected'", more)));
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let server = &server;
            scope.spawn(move || {
                for round in 0..4 {
                    let mut one = client(server, &format!("c{number}"));
                    for n in 0..MESSAGES / 4 {
                        one.publish(Message::new("t", &(round * MESSAGES / 4 + n).to_string()).qos(1));
                    }
                    one.disconnect();
                }
            });
        }
    });
    wait_until_sent(&server, (CLIENTS * (MESSAGES + 8)) as u64);
    shut_down(server);
    let mut of_clients: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for event in service.events() {
        // repeated events are recognised by source and id
        if seen.insert((event["source"].to_string(), event["id"].to_string())) {
            let text = event["data"].get("payload").unwrap_or(&event["type"]).as_str().unwrap().to_owned();
            of_clients.entry(event["source"].to_string()).or_default().push(text);
        }
    }
    let mut expected = Vec::new();
    for round in 0..4 {
        expected.push("dunlin.client.connected".to_owned());
        expected.extend((0..MESSAGES / 4).map(|n| (round * MESSAGES / 4 + n).to_string()));
        expected.push("dunlin.client.disconnected".to_owned());
    }
    assert_eq!(of_clients.len(), CLIENTS);
    for (source, events) in of_clients {
        assert_eq!(events, expected, "{source}");
    }
}

#[test]
fn metrics_and_the_api_show_each_webhook() {
    let service = Service::new(|number| if number == 0 { Does::Answers(400) } else { Does::Answers(200) });
    let config = Config { http: http::http(""), ..hooked(&service, "'client.connected'", "") };
    let server = start(Builder::new(config));
    let address = server.http_urls()[0].strip_prefix("http://").unwrap().parse().unwrap();
    let _one = client(&server, "a");
    wait_until(|| view(&server).counts.dropped == 1, || format!("{:?}", view(&server)));
    let _two = client(&server, "b");
    wait_until_sent(&server, 1);
    let answer: Value = serde_json::from_str(&http::get(address, "/api/v1/webhooks").body).unwrap();
    let shown = &answer["data"][0];
    assert_eq!((&shown["name"], &shown["state"]), (&json!("w"), &json!("working")));
    assert!(shown["error"].as_str().unwrap().contains("400"), "{shown}");
    let expected = json!({ "sent": 1, "failed": 1, "dropped": 1, "lost": 0, "queued": 0 });
    assert_eq!(shown["counters"], expected);
    let metrics = http::get(address, "/metrics").body;
    for line in [
        "dunlin_webhook_sent_total{webhook=\"w\"} 1",
        "dunlin_webhook_failed_total{webhook=\"w\"} 1",
        "dunlin_webhook_dropped_total{webhook=\"w\"} 1",
        "dunlin_webhook_lost_total{webhook=\"w\"} 0",
        "dunlin_webhook_queued{webhook=\"w\"} 0",
        "dunlin_webhook_failing{webhook=\"w\"} 0",
        "dunlin_webhook_stopped{webhook=\"w\"} 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line}: {metrics}");
    }
    shut_down(server);
}

#[test]
fn an_invalid_webhook_is_refused_with_an_instruction() {
    let url = "url = 'http://127.0.0.1:1/'\n";
    let events = "events = ['client.connected']\n";
    let durable = "events = ['message.published']\ndurable = true\n";
    let table = [
        (format!("{url}{events}"), "a webhook needs a name"),
        (format!("name = 'w'\n{events}"), "a webhook needs its address"),
        (format!("name = 'w'\n{url}"), "no event is selected"),
        (format!("name = 'w'\n{url}events = ['client.baned']"), "did you mean \"client.banned\"?"),
        (format!("name = 'w'\n{url}{events}ca_file = 'a'"), "it is for TLS"),
        (format!("name = 'w'\nurl = 'ftp://a'\n{events}"), "is not a URL"),
        (format!("name = 'w'\n{url}{events}durable = true"), "it is about published messages"),
        (format!("name = 'w'\n{url}{durable}clients = 'a*'"), "the publishers of stored messages are not known"),
        (format!("name = 'w'\n{url}{durable}filter = ['$share/g/a']"), "would be divided"),
        (format!("name = 'w'\n{url}{events}[[webhook]]\nname = 'w'\n{url}{events}"), "already the name of a webhook"),
    ];
    for (text, expected) in table {
        let error = dunlin::config::parse(&format!("[[webhook]]\n{text}"), "test").unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let starts_with = |events: &str, more: &str| {
        let text = format!("[[webhook]]\nname = 'w'\n{url}{events}{more}");
        let webhooks = dunlin::config::parse(&text, "test").unwrap().webhooks;
        crate::support::run(Builder::new(Config { webhooks, ..config() }).start()).err().map(|error| error.to_string())
    };
    let starts = |more: &str| starts_with(events, more);
    let error = starts_with(durable, "").unwrap();
    assert!(error.contains("webhook w: durable: messages are stored in data_dir, and this broker has none"), "{error}");
    let missing = Path::new("/nowhere/secret");
    let error = starts(&format!("secret_file = '{}'", missing.display())).unwrap();
    assert!(error.contains("secret_file: /nowhere/secret"), "{error}");
    let error = starts("filter = ['a/#/b']").unwrap();
    assert!(error.contains("is not a Topic Filter"), "{error}");
}
