//! `logins`: the services that are asked about logins, and their states: `[[auth.http]]`, the provider of keys, and the
//! one that is asked about tokens.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::{
    super::control::{LoginServiceState, TokenKeysState},
    call::{Answer, Call, answer, time},
    schema::{Is, Shape, field, nullable},
};

pub(super) static LOGIN_SERVICE: Shape = Shape {
    name: "LoginService",
    fields: &[
        field("name", Is::Text),
        field("kind", Is::Text),
        field("url", Is::Text),
        field("state", Is::Text),
        nullable("error", Is::Text),
        nullable("error_at", Is::Time),
        field("counters", Is::Any),
    ],
};

/// The name of the provider of keys; a service of `[[auth.http]]` cannot have it.
const KEYS: &str = "$keys";

pub(super) async fn list(call: Call) -> Answer {
    let (services, fetched) = (call.desk.control.login_services(), call.desk.control.token_keys());
    let all: Vec<_> = services.iter().map(service).chain(fetched.iter().map(keys)).collect();
    Ok(answer(&json!({ "data": all, "next": null })))
}

fn service(service: &LoginServiceState) -> Value {
    let LoginServiceState { name, url, is_introspection, requests, cache_hits, stale, checks, waiting, up, error } =
        service;
    let [(_, allowed), (_, denied), (_, ignored), (_, failed)] = *requests;
    let all = allowed + denied + ignored + failed;
    let mut counters = vec![
        ("waiting", *waiting as u64),
        ("requests", all),
        ("allowed", allowed),
        ("denied", denied),
        ("ignored", ignored),
        ("failed", failed),
        ("cache_hits", *cache_hits),
        ("stale", *stale),
    ];
    let [allowed, denied, failed, cached] = *checks;
    if !allowed.0.is_empty() {
        counters.extend([
            ("topics_requests", allowed.1 + denied.1 + failed.1),
            ("topics_allowed", allowed.1),
            ("topics_denied", denied.1),
            ("topics_failed", failed.1),
            ("topics_cache_hits", cached.1),
        ]);
    }
    shown(name, if *is_introspection { "introspection" } else { "http" }, url, *up, error.as_ref(), &counters)
}

fn keys(state: &TokenKeysState) -> Value {
    let TokenKeysState { url, fetched, failed, keys, waiting, up, error } = state;
    let counters =
        [("waiting", *waiting as u64), ("requests", fetched + failed), ("failed", *failed), ("keys", *keys as u64)];
    shown(KEYS, "keys", url, *up, error.as_ref(), &counters)
}

fn shown(
    name: &str,
    kind: &str,
    url: &str,
    up: bool,
    error: Option<&(String, SystemTime)>,
    counters: &[(&str, u64)],
) -> Value {
    let counters: Map<String, Value> =
        counters.iter().map(|(name, number)| ((*name).to_owned(), (*number).into())).collect();
    json!({
        "name": name,
        "kind": kind,
        "url": url,
        "state": if up { "working" } else { "failing" },
        "error": error.map(|(why, _)| why),
        "error_at": error.map(|(_, at)| time(*at)),
        "counters": counters,
    })
}
