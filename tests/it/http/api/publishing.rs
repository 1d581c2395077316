//! Publishing and retained messages.

use serde_json::{Value, json};

use super::{address, api, broker, client, column, done, get, status_and_code};
use crate::support::raw::Message;

#[test]
fn the_busiest_topics_are_counted_after_the_first_request() {
    let broker = broker("");
    let at = address(&broker);
    let mut publisher = client(&broker, "publisher");
    publisher.publish(Message::new("before", "nobody asked").qos(1));
    let first = get(at, "topics");
    assert_eq!((&first["data"], &first["by"]), (&json!([]), &json!("messages")));
    for (topic, payload) in [("often", "1"), ("often", "2"), ("once", "a long payload"), ("often", "3")] {
        publisher.publish(Message::new(topic, payload).qos(1));
    }
    let row = |topic: &str, count: u64| json!({ "topic": topic, "count": count, "error": 0 });
    let counted = get(at, "topics?by=messages");
    assert_eq!(counted["data"], json!([row("often", 3), row("once", 1)]));
    assert!(counted["since"].is_string(), "{counted}");
    assert_eq!(get(at, "topics?by=bytes&limit=1")["data"], json!([row("once", 14)]));
    assert_eq!(status_and_code(&api(at, "GET", "topics?by=sound", None)), (400, "unknown".to_owned()));
}

#[test]
fn a_subscriber_that_acknowledges_late_is_slow() {
    let broker = broker("slow_threshold = \"1ms\"");
    let at = address(&broker);
    let mut publisher = client(&broker, "publisher");
    let mut lazy = client(&broker, "lazy");
    lazy.subscribe(&[("home/#", 1)]);
    // until one of them is timed
    let mut sent = 0;
    let slow = || get(at, "slow?limit=1")["data"].as_array().unwrap().first().cloned();
    let waits = loop {
        publisher.publish(Message::new("home/door", "open").qos(1));
        sent += 1;
        if let Some(pair) = slow() {
            break pair;
        }
    };
    assert_eq!((&waits["client_id"], &waits["topic"], &waits["qos"]), (&json!("lazy"), &json!("home/door"), &json!(1)));
    assert_eq!(waits["acknowledged_at"], Value::Null);
    let seconds = |pair: &Value, name: &str| pair[name].as_f64().unwrap();
    assert!(seconds(&waits, "seconds") >= 0.001 && seconds(&waits, "unacknowledged_seconds") > 0.0, "{waits}");
    (0..sent).for_each(|_| lazy.expect_message("home/door", "open", 1));
    crate::support::wait_until(
        || slow().is_some_and(|pair| pair["acknowledged_at"].is_string()),
        || format!("{:?}", slow()),
    );
    let document = get(at, "openapi.json");
    let shape = &document["components"]["schemas"]["SlowSubscriber"]["properties"];
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&slow().unwrap()), names(shape));
    assert_eq!(status_and_code(&api(at, "GET", "slow?limit=101", None)), (400, "parameter".to_owned()));
}

#[test]
fn one_or_many_messages_are_published_over_http() {
    let broker = broker("");
    let at = address(&broker);
    let mut subscriber = client(&broker, "subscriber");
    subscriber.subscribe(&[("a/#", 1)]);
    let publish = |body: Value| api(at, "POST", "publish", Some(&body));
    let one = publish(json!({ "topic": "a/b", "payload": "text", "qos": 1 }));
    assert_eq!(done(&one), json!({ "subscribers": 1 }));
    subscriber.expect_message("a/b", "text", 1);
    done(&publish(json!({ "topic": "a/c", "payload_base64": "aGFsbG8=" })));
    subscriber.expect_message("a/c", "hallo", 0);
    done(&publish(json!({ "topic": "a/d", "payload_json": { "on": true } })));
    subscriber.expect_message("a/d", "{\"on\":true}", 0);

    let many: Vec<_> = (0..1_000).map(|n| json!({ "topic": "a/n", "payload": n.to_string() })).collect();
    let answer = done(&publish(many.into()));
    assert_eq!(answer["data"].as_array().unwrap().len(), 1_000);
    for n in 0..1_000 {
        subscriber.expect_message("a/n", &n.to_string(), 0);
    }

    for (body, code) in [
        (json!({}), "body"),
        (json!(3), "body"),
        (json!([[]]), "body"),
        (json!({ "topic": "a/+" }), "topic"),
        (json!({ "topic": "" }), "topic"),
        (json!({ "topic": "$SYS/a" }), "topic"),
        (json!({ "topic": 1 }), "body"),
        (json!({ "topic": "a/b", "retain": true }), "body"),
        (json!({ "topic": "a/b", "payload": "", "qos": 3 }), "body"),
        (json!({ "topic": "a/b", "payload": "", "qos": "1" }), "body"),
        (json!({ "topic": "a/b", "payload": "", "retain": 1 }), "body"),
        (json!({ "topic": "a/b", "payload": "", "payload_json": 1 }), "body"),
        (json!({ "topic": "a/b", "payload_base64": "!" }), "body"),
        (json!({ "topic": "a/b", "payload": "", "paylod": "" }), "unknown"),
        (json!({ "topic": "a/b", "payload": "", "properties": { "topic_alias": 1 } }), "unknown"),
        (json!({ "topic": "a/b", "payload": "", "properties": { "response_topic": "#" } }), "property"),
        (json!({ "topic": "a/b", "payload": "", "properties": { "user_property": ["a"] } }), "property"),
        (json!({ "topic": "a/b", "payload": "", "properties": { "message_expiry_interval": -1 } }), "property"),
        (json!({ "topic": "a/b", "payload": "", "properties": [] }), "property"),
        // nothing is published unless all can be
        (json!([{ "topic": "a/b", "payload": "" }, { "topic": "#" }]), "topic"),
    ] {
        let answer = publish(body.clone());
        assert_eq!(status_and_code(&answer), (400, code.to_owned()), "{body}: {answer:?}");
    }
    let too_many: Vec<_> = (0..1_001).map(|_| json!({ "topic": "a/n", "payload": "" })).collect();
    assert_eq!(publish(too_many.into()).code(), "too-many");
    subscriber.expect_nothing_pending();
}

#[test]
fn retained_messages_are_set_seen_and_removed() {
    let broker = broker("");
    let at = address(&broker);
    for n in 0..5 {
        let properties = json!({ "content_type": "text/plain", "user_property": [["a", "b"]] });
        let body = json!({ "payload": format!("value {n}"), "qos": 1, "properties": properties });
        done(&api(at, "PUT", &format!("retained?topic=r/{n}"), Some(&body)));
    }
    done(&api(at, "PUT", "retained?topic=bytes", Some(&json!({ "payload_base64": "/w==" }))));
    let one = get(at, "retained?topic=r/3&payload=true");
    assert_eq!(one["data"][0]["payload"], "value 3");
    assert_eq!(one["data"][0]["properties"], json!({ "content_type": "text/plain", "user_property": [["a", "b"]] }));
    assert_eq!(get(at, "retained?topic=bytes&payload=true")["data"][0]["payload_base64"], "/w==");
    assert!(get(at, "retained?topic=bytes")["data"][0].get("payload_base64").is_none());

    let (mut seen, mut query) = (Vec::new(), "filter=r/%23&limit=2".to_owned());
    loop {
        let page = get(at, &format!("retained?{query}"));
        assert!(page["data"].as_array().unwrap().len() <= 2);
        seen.extend(column(&page, "topic").into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("filter=r/%23&limit=2&cursor={next}");
    }
    seen.sort();
    assert_eq!(seen, ["r/0", "r/1", "r/2", "r/3", "r/4"]);

    let remove = |query: &str| done(&api(at, "DELETE", &format!("retained?{query}"), None));
    assert_eq!(remove("filter=r/%23&dry_run=true"), json!({ "messages": 5, "dry_run": true }));
    assert_eq!(remove("topic=r/0"), json!({ "messages": 1, "dry_run": false }));
    assert_eq!(remove("filter=r/%23"), json!({ "messages": 4, "dry_run": false }));
    assert_eq!(column(&get(at, "retained"), "topic"), ["bytes"]);
    // an empty one removes it, as with MQTT
    done(&api(at, "PUT", "retained?topic=bytes", Some(&json!({ "payload": "" }))));
    assert_eq!(get(at, "retained")["data"], json!([]));
}
