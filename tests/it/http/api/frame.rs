//! Paths, parameters, roles, and the document.

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use dunlin::{
    Config,
    auth::{PasswordChange, edit},
    config::AuthConfig,
};
use serde_json::{Value, json};

use super::{address, api, ask, broker, client, get, http, send, status_and_code};
use crate::support::{Broker, config};

#[test]
fn an_invalid_request_gets_a_problem_with_the_known_names() {
    let broker = broker("");
    let at = address(&broker);
    for (method, path, expected, words) in [
        ("GET", "client", (404, "not-found"), "did you mean /api/v1/clients?"),
        ("GET", "", (404, "not-found"), "openapi.json has all"),
        ("GET", "clients/a/b", (404, "not-found"), "nothing at"),
        ("PUT", "clients", (405, "method"), "known are GET"),
        ("GET", "clients?queue_min=3", (400, "unknown"), "did you mean \\\"queued_min\\\"?"),
        ("GET", "clients?fields=client", (400, "unknown"), "did you mean \\\"client_id\\\"?"),
        ("GET", "clients?sort=queue", (400, "unknown"), "did you mean \\\"queued\\\"?"),
        ("GET", "clients?sort=queued&cursor=1", (400, "cursor"), "no cursor"),
        ("GET", "clients?limit=0", (400, "parameter"), "from 1 to 1000"),
        ("GET", "clients?cursor=next", (400, "cursor"), "next of the answer before"),
        ("GET", "clients?peer=lan", (400, "parameter"), "192.0.2.0/24"),
        ("GET", "clients?state=gone", (400, "unknown"), "connected, away, all"),
        ("GET", "clients?subscribed_to=a%23", (400, "filter"), "not a Topic Filter"),
        ("GET", "clients?user=%ff", (400, "encoding"), "UTF-8"),
        ("GET", "clients/%zz", (400, "encoding"), "percent"),
        ("GET", "clients/nobody", (404, "no-client"), "no client"),
        ("GET", "clients//queue", (404, "no-client"), "no client"),
        ("GET", "routes", (400, "missing-parameter"), "topic is missing"),
        ("GET", "routes?topic=a&topic=b", (400, "repeated-parameter"), "twice"),
        ("GET", "explain?user=a", (400, "missing-parameter"), "publish or subscribe"),
        ("POST", "kick", (400, "no-filter"), "every client"),
        ("DELETE", "sessions?dry_run=true", (400, "no-filter"), "every client"),
        ("DELETE", "retained", (400, "no-filter"), "every retained message"),
        ("POST", "publish", (400, "json"), "not JSON"),
        ("POST", "reload", (409, "embedded"), "does not support a reload"),
        ("GET", "config", (403, "role"), "admin"),
    ] {
        let answer = api(at, method, path, None);
        assert_eq!(status_and_code(&answer), (expected.0, expected.1.to_owned()), "{method} {path}: {answer:?}");
        assert!(answer.body.contains(words), "{method} {path}: {}", answer.body);
        assert!(answer.headers.contains("application/problem+json"));
    }
    assert!(api(at, "POST", "clients", None).headers.contains("allow: get"));
    // a body that is not read, one that is too large, one that is too deep: nothing happens
    assert_eq!(api(at, "GET", "broker", Some(&json!({}))).code(), "body");
    let answer = api(at, "POST", "publish", Some(&json!({ "topic": "home/r", "retain": true })));
    assert_eq!((answer.code(), answer.body.contains("an empty payload is")), ("body".into(), true), "{}", answer.body);
    let deep = "[".repeat(100_000);
    let head = format!("POST /api/v1/publish HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n");
    let answer = send(at, format!("{head}Content-Length: {}\r\n\r\n{deep}", deep.len()).as_bytes());
    assert_eq!(status_and_code(&answer), (400, "json".to_owned()));
    let body = "x".repeat((1 << 20) + 1);
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    assert_eq!(status_and_code(&send(at, chunked.as_bytes())), (413, "too-large".to_owned()));
}

#[test]
fn identifiers_are_percent_encoded() {
    let broker = broker("");
    let at = address(&broker);
    let ids = [("a/b", "a%2Fb"), ("closed", "closed"), ("%2F", "%252F"), ("ä ?#", "%C3%A4%20%3F%23"), ("+", "+")];
    let _clients: Vec<_> = ids.iter().map(|(id, _)| client(&broker, id)).collect();
    for (id, encoded) in ids {
        assert_eq!(get(at, &format!("clients/{encoded}"))["client_id"], id);
        assert_eq!(get(at, &format!("clients?client_id={encoded}"))["data"][0]["client_id"], id);
        assert_eq!(get(at, &format!("clients/{encoded}/queue"))["data"], json!([]));
    }
    // longer than a URL may be
    let long = "x".repeat(65_535);
    let kicked = api(at, "POST", "kick", Some(&json!({ "client_id": long, "dry_run": true })));
    assert_eq!(super::done(&kicked), json!({ "clients": 0, "done": 0, "dry_run": true }));
}

#[test]
fn answers_have_the_schemas_of_the_document() {
    let broker = broker("");
    let at = address(&broker);
    let _client = client(&broker, "lamp");
    let document = get(at, "openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let shape = |name: &str| names(&document["components"]["schemas"][name]["properties"]);
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(names(&get(at, "broker"))), sorted(shape("Broker")));
    assert_eq!(sorted(names(&get(at, "clients")["data"][0])), sorted(shape("Client")));
    assert_eq!(sorted(names(&get(at, "clients/lamp"))), sorted(shape("ClientAndWill")));
    assert_eq!(sorted(names(&get(at, "explain?publish=a"))), sorted(shape("Explanation")));
    assert_eq!(sorted(names(&get(at, "routes?topic=a"))), sorted(shape("Routes")));
}

/// Users vera, otto and ada with the roles in their order.
fn with_roles() -> (tempfile::TempDir, Broker) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users");
    for user in ["vera", "otto", "ada"] {
        edit(&file, user, PasswordChange::Set(b"secret")).unwrap();
    }
    assert!(fs::metadata(&file).is_ok());
    let auth = AuthConfig { password_file: Some(file), failed_login_delay: None, ..AuthConfig::default() };
    let http = http("users = [\"vera:viewer\", \"otto:operator\", \"ada:admin\"]");
    let broker = Broker::new(Config { auth, http, ..config() });
    (dir, broker)
}

#[test]
fn each_route_is_for_its_role_and_those_above() {
    let (_dir, broker) = with_roles();
    let at = address(&broker);
    let login = |user: &str| format!("Authorization: Basic {}", BASE64.encode(format!("{user}:secret")));
    let roles = [("viewer", login("vera")), ("operator", login("otto")), ("admin", login("ada"))];
    let document = ask(at, "GET", "/api/v1/openapi.json", &[&roles[0].1]);
    let document: Value = serde_json::from_str(&document.body).unwrap();
    let mut seen = [0; 3];
    for (path, verbs) in document["paths"].as_object().unwrap() {
        for (verb, operation) in verbs.as_object().unwrap() {
            let least = roles.iter().position(|(role, _)| operation["x-role"] == *role).unwrap();
            seen[least] += 1;
            for (at_role, (role, login)) in roles.iter().enumerate() {
                // an authorized caller gets an error about the parameter, and nothing happens
                let path = format!("{}?nonsense=1", path.replace("{id}", "a"));
                let answer = ask(at, &verb.to_uppercase(), &path, &[login, "Content-Length: 0"]);
                let expected = if at_role < least { (403, "role") } else { (400, "unknown") };
                assert_eq!(status_and_code(&answer), (expected.0, expected.1.to_owned()), "{verb} {path} as {role}");
            }
            let nobody = ask(at, &verb.to_uppercase(), &path.replace("{id}", "a"), &["Content-Length: 0"]);
            assert_eq!(nobody.status, 401);
        }
    }
    assert!(seen.iter().all(|count| *count > 1), "{seen:?}");
    // payloads of events are for operators
    let events = ask(at, "GET", "/api/v1/events?payload=true", &[&roles[0].1]);
    assert_eq!(status_and_code(&events), (403, "role".to_owned()));
}

#[test]
fn without_logins_no_route_answers_a_page_of_another_server_or_a_proxy() {
    let broker = broker("");
    let at = address(&broker);
    let document = get(at, "openapi.json");
    for (path, verbs) in document["paths"].as_object().unwrap() {
        for verb in verbs.as_object().unwrap().keys() {
            for (line, code) in [
                ("Host: evil.example", "host"),
                ("Origin: http://evil.example", "origin"),
                ("X-Forwarded-For: 127.0.0.1", "forwarded"),
            ] {
                let path = path.replace("{id}", "a");
                let answer = ask(at, &verb.to_uppercase(), &path, &[line, "Content-Length: 0"]);
                assert_eq!(status_and_code(&answer), (403, code.to_owned()), "{verb} {path} with {line}");
            }
        }
    }
}

#[test]
fn an_administrator_reads_and_checks_configurations() {
    let (_dir, broker) = with_roles();
    let at = address(&broker);
    let login = format!("Authorization: Basic {}", BASE64.encode("ada:secret"));
    let settings: Value = serde_json::from_str(&ask(at, "GET", "/api/v1/config", &[&login]).body).unwrap();
    let settings = settings["data"].as_array().unwrap();
    let of = |key: &str| settings.iter().find(|setting| setting["key"] == key).unwrap();
    assert_eq!(of("http.users")["value"], "[\"vera:viewer\", \"otto:operator\", \"ada:admin\"]");
    assert!(settings.len() > 60);
    // the audit log has refused requests too
    let otto = format!("Authorization: Basic {}", BASE64.encode("otto:secret"));
    ask(at, "DELETE", "/api/v1/clients/lamp?reason=a", &[&otto]);
    let audit: Value = serde_json::from_str(&ask(at, "GET", "/api/v1/audit?limit=1", &[&login]).body).unwrap();
    let write = &audit["data"][0];
    assert_eq!((&write["by"], &write["method"], &write["status"]), (&"otto".into(), &"DELETE".into(), &404.into()));
    assert_eq!(write["what"], "/api/v1/clients/lamp?reason=a");
    let check = |text: &str| -> Value {
        let head = format!("POST /api/v1/config/check HTTP/1.1\r\nHost: {at}\r\n{login}\r\nConnection: close\r\n");
        let answer = send(at, format!("{head}Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
        serde_json::from_str(&answer.body).unwrap()
    };
    let wrong = check("[limits]\nmax_conections = 3\n");
    assert_eq!(wrong["ok"], false);
    assert!(wrong["error"].as_str().unwrap().contains("did you mean \"max_connections\"?"), "{wrong}");
    let right = check("[limits]\nmax_connections = 3\n");
    assert_eq!(right["ok"], true);
    assert!(right["changes"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains("= 3 (was")));
}
