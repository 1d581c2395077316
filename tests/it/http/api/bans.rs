//! Bans over HTTP.

use std::time::Duration;

use dunlin::Config;
use serde_json::{Value, json};

use super::{address, api, broker, client, done, get, http, status_and_code};
use crate::support::{Broker, config, raw::Connect};

#[test]
fn a_ban_refuses_and_disconnects_until_it_ends() {
    let broker = broker("");
    let at = address(&broker);
    let ban = |body: Value| done(&api(at, "POST", "bans", Some(&body)))["closed"].as_u64().unwrap();
    let mut lamp = client(&broker, "lamp");
    let mut other = client(&broker, "other");
    assert_eq!(ban(json!({ "client_id": "lamp", "for": "1h", "reason": "too loud" })), 1);
    lamp.expect_closed();
    broker.refuses(&Connect::new("lamp"), 5);
    other.expect_nothing_pending();

    let list = get(at, "bans");
    let shown = &list["data"][0];
    assert_eq!((&shown["client_id"], &shown["user"], &shown["network"]), (&json!("lamp"), &Value::Null, &Value::Null));
    assert_eq!((&shown["reason"], &shown["by"]), (&json!("too loud"), &json!("local program")));
    assert!(shown["until"].as_str().unwrap().ends_with('Z'), "{shown}");
    broker.turn(Duration::from_secs(3_601));
    assert_eq!(get(at, "bans")["data"], json!([]));
    drop(client(&broker, "lamp"));

    assert_eq!(ban(json!({ "network": "127.0.0.1/8", "user": "eve" })), 0);
    assert_eq!(get(at, "bans")["data"][0]["network"], "127.0.0.0/8");
    let unban = |query: &str| api(at, "DELETE", &format!("bans?{query}"), None);
    assert_eq!(status_and_code(&unban("user=eve")), (404, "no-ban".into()), "it is of both");
    assert_eq!(done(&unban("user=eve&network=127.0.0.0%2F8")), json!({ "ended": true }));
}

#[test]
fn pages_list_each_ban_once() {
    let broker = broker("");
    let at = address(&broker);
    for n in 0..7 {
        done(&api(at, "POST", "bans", Some(&json!({ "client_id": format!("c{n}") }))));
    }
    let (mut seen, mut path) = (Vec::new(), "bans?limit=3".to_owned());
    loop {
        let page = get(at, &path);
        seen.extend(super::column(&page, "client_id").into_iter().map(str::to_owned));
        // entries that are removed meanwhile do not shift the page
        api(at, "DELETE", "bans?client_id=c1", None);
        let Some(next) = page["next"].as_str() else { break };
        path = format!("bans?limit=3&cursor={next}");
    }
    assert_eq!(seen, ["c0", "c1", "c2", "c3", "c4", "c5", "c6"]);
}

#[test]
fn what_is_no_ban_is_refused() {
    let broker = broker("");
    let at = address(&broker);
    for body in [
        json!({}),
        json!({ "reason": "x" }),
        json!({ "client_id": 5 }),
        json!({ "network": "lan" }),
        json!({ "client_id": "a", "for": "soon" }),
        json!({ "client_id": "a", "for": "1000years" }),
        json!({ "client_id": "a", "until": "2020-01-01T00:00:00Z" }),
        json!({ "client_id": "a", "for": "1h", "until": "2999-01-01T00:00:00Z" }),
        json!({ "client_id": "a", "reason": "x".repeat(1_001) }),
        json!({ "client": "a" }),
        json!([]),
    ] {
        assert_eq!(api(at, "POST", "bans", Some(&body)).status, 400, "{body}");
    }
    assert_eq!(status_and_code(&api(at, "DELETE", "bans", None)), (400, "no-filter".into()));
    assert_eq!(api(at, "GET", "bans?cursor=x", None).status, 400);
    assert_eq!(get(at, "bans"), json!({ "data": [], "next": null }));
}

#[test]
fn a_ban_is_answered_once_it_is_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let broker = Broker::new(Config { data_dir: Some(data_dir.clone()), http: http(""), ..config() });
    let at = address(&broker);
    done(&api(at, "POST", "bans", Some(&json!({ "client_id": "lamp" }))));
    let file = data_dir.join("bans.json");
    assert!(std::fs::read_to_string(&file).unwrap().contains("\"lamp\""));
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let answer = api(at, "POST", "bans", Some(&json!({ "client_id": "other" })));
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.body.contains("bans.json"), "{answer:?}");
    assert_eq!(get(at, "bans")["data"].as_array().unwrap().len(), 1);
    drop(client(&broker, "other"));
}
