//! Clients: listed, selected, disconnected, removed.

use serde_json::json;

use super::{address, api, broker, client, column, done, get, status_and_code};
use crate::support::{
    raw::{Connect, Message},
    wait_until,
};

#[test]
fn clients_are_selected_sorted_and_listed_in_pages() {
    let broker = broker("");
    let at = address(&broker);
    let mut clients: Vec<_> = ["a1", "a2", "b"].iter().map(|id| client(&broker, id)).collect();
    clients[0].subscribe(&[("x/#", 1), ("y", 0)]);
    clients[2].subscribe(&[("x/#", 0)]);
    let mut away = broker.connect(&Connect::new("away").persistent(), 0);
    away.subscribe(&[("y", 1)]);
    away.disconnect();
    for _ in 0..3 {
        clients[2].publish(Message::new("y", "message").qos(1));
    }

    let ids = |query: &str| {
        let list = get(at, &format!("clients?{query}"));
        let mut ids: Vec<_> = column(&list, "client_id").into_iter().map(str::to_owned).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(""), ["a1", "a2", "away", "b"]);
    assert_eq!(ids("state=away"), ["away"]);
    assert_eq!(ids("state=connected&prefix=a"), ["a1", "a2"]);
    assert_eq!(ids("subscribed_to=x/%23"), ["a1", "b"]);
    assert_eq!(ids("subscribed_to=x/%23&prefix=b"), ["b"]);
    assert_eq!(ids("queued_min=3"), ["away"]);
    assert_eq!(ids("peer=127.0.0.0/8&protocol=3.1.1"), ["a1", "a2", "b"]);
    assert_eq!(ids("peer=192.0.2.1"), [""; 0]);
    assert_eq!(ids("user=alice"), [""; 0]);
    assert_eq!(ids("listener=127.0.0.1:1"), [""; 0]);
    assert_eq!(ids("connected_before=2000-01-01T00:00:00Z"), [""; 0]);
    assert_eq!(ids("connected_after=2000-01-01T00:00:00Z"), ["a1", "a2", "b"]);
    assert_eq!(ids("idle_min=1h"), [""; 0]);
    let listener = get(at, "clients/a1")["listener"].as_str().unwrap().to_owned();
    assert_eq!(ids(&format!("listener={listener}")), ["a1", "a2", "away", "b"]);

    let sorted = get(at, "clients?sort=-subscriptions&limit=1&fields=client_id,subscriptions");
    assert_eq!(sorted, json!({ "data": [{ "client_id": "a1", "subscriptions": 2 }], "next": null }));
    assert_eq!(column(&get(at, "clients?sort=-queued&limit=1"), "client_id"), ["away"]);

    // every client is on one page
    let (mut seen, mut query) = (Vec::new(), "limit=2".to_owned());
    loop {
        let page = get(at, &format!("clients?{query}"));
        seen.extend(column(&page, "client_id").into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("limit=2&cursor={next}");
    }
    seen.sort();
    assert_eq!(seen, ["a1", "a2", "away", "b"]);

    let queue = get(at, "clients/away/queue?payload=true&limit=2");
    assert_eq!(column(&queue, "payload"), ["message"; 2]);
    let rest = get(at, &format!("clients/away/queue?limit=2&cursor={}", queue["next"].as_str().unwrap()));
    assert_eq!((column(&rest, "topic"), column(&rest, "payload")), (vec!["y"], vec!["-"]));
    assert!(rest["next"].is_null());
}

#[test]
fn subscriptions_and_routes_are_listed() {
    let broker = broker("");
    let at = address(&broker);
    let mut many = client(&broker, "many");
    many.subscribe(&[("a/1", 0), ("a/2", 1), ("a/3", 2), ("a/+", 1)]);
    let mut one = client(&broker, "one");
    one.subscribe(&[("a/1", 2), ("$share/g/a/1", 0)]);

    assert_eq!(get(at, "clients/many/subscriptions")["data"].as_array().unwrap().len(), 4);
    let (mut seen, mut query) = (Vec::new(), "limit=1".to_owned());
    loop {
        let page = get(at, &format!("subscriptions?{query}"));
        let pair = |entry: &serde_json::Value| format!("{} {}", entry["client_id"], entry["filter"]).replace('"', "");
        seen.extend(page["data"].as_array().unwrap().iter().map(pair));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("limit=1&cursor={next}");
    }
    seen.sort();
    assert_eq!(seen, ["many a/+", "many a/1", "many a/2", "many a/3", "one $share/g/a/1", "one a/1"]);
    let exact = get(at, "subscriptions?filter=a/1");
    assert_eq!(exact["data"].as_array().unwrap().len(), 2);

    let routes = get(at, "routes?topic=a/1");
    assert_eq!(routes["subscribers"], 3);
    let group = routes["data"].as_array().unwrap().iter().find(|one| one["group"] == "$share/g/a/1").unwrap();
    assert_eq!((&group["client_id"], &group["may_receive"]), (&json!("one"), &json!(true)));
    assert_eq!(get(at, "explain?client=one&publish=a")["allowed"], true);
    assert_eq!(get(at, "explain?client=one&publish=$SYS/a")["allowed"], false);
}

#[test]
fn clients_are_disconnected_and_sessions_end() {
    let broker = broker("");
    let at = address(&broker);
    let mut lamp = broker.connect(&Connect::new("lamp").persistent(), 0);
    lamp.subscribe(&[("a", 1)]);
    let answer = api(at, "DELETE", "clients/lamp?reason=new%20firmware", None);
    assert_eq!(done(&answer), json!({ "client_id": "lamp", "result": "closing" }));
    lamp.expect_closed();
    let went = |count: usize| {
        let gone = || get(at, "closed-clients")["data"].as_array().unwrap().len();
        wait_until(|| gone() == count, || format!("{} went", gone()));
    };
    went(1);
    let gone = get(at, "closed-clients?limit=1");
    assert_eq!(column(&gone, "client_id"), ["lamp"]);
    assert!(gone["data"][0]["reason"].as_str().unwrap().contains("new firmware"), "{gone}");
    assert_eq!(done(&api(at, "DELETE", "clients/lamp", None))["result"], "away");
    assert_eq!(done(&api(at, "DELETE", "clients/lamp?session=end", None))["result"], "ended");
    assert_eq!(status_and_code(&api(at, "DELETE", "clients/lamp", None)), (404, "no-client".to_owned()));

    let mut all: Vec<_> = (0..5).map(|n| client(&broker, &format!("many-{n}"))).collect();
    let mut other = client(&broker, "other");
    let dry = api(at, "POST", "kick?prefix=many-&dry_run=true", None);
    assert_eq!(done(&dry), json!({ "clients": 5, "done": 0, "dry_run": true }));
    let kicked = api(at, "POST", "kick", Some(&json!({ "prefix": "many-", "reason": "" })));
    assert_eq!(done(&kicked), json!({ "clients": 5, "done": 5, "dry_run": false }));
    all.iter_mut().for_each(|client| client.expect_closed());
    other.expect_nothing_pending();

    for id in ["s1", "s2"] {
        broker.connect(&Connect::new(id).persistent(), 0).disconnect();
    }
    went(1 + 5 + 2);
    let ended = api(at, "DELETE", "sessions?state=away", None);
    assert_eq!(done(&ended), json!({ "clients": 2, "done": 2, "dry_run": false }));
    assert_eq!(get(at, "clients?state=away")["data"], json!([]));

    // pages of those that went, the latest first
    let (mut seen, mut query) = (Vec::new(), "limit=3".to_owned());
    loop {
        let page = get(at, &format!("closed-clients?{query}"));
        seen.extend(column(&page, "client_id").into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("limit=3&cursor={next}");
    }
    assert_eq!(seen.len(), 1 + 5 + 2);
    assert_eq!(seen.last().map(String::as_str), Some("lamp"));
}
