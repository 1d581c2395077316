//! Users and rules over HTTP: edits of the files, which are in force at once.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf, thread};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use dunlin::{
    Config, Publication,
    auth::{PasswordChange, edit},
    config::AuthConfig,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Answer, address, http, send, status_and_code};
use crate::support::{Broker, config, raw::Connect, run};

const RULES: &str = "# ours\ntopic read news/#\n\nuser ann\n# her lamp\ntopic lamp/ann\n";

struct Place {
    dir: TempDir,
    broker: Broker,
    at: SocketAddr,
}

impl Place {
    /// Users ada, an administrator, and ann; rules.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [users, rules] = ["users", "rules"].map(|name| dir.path().join(name));
        edit(&users, "ada", PasswordChange::Set(b"secret")).unwrap();
        edit(&users, "ann", PasswordChange::Set(b"secret")).unwrap();
        let text = fs::read_to_string(&users).unwrap();
        fs::write(&users, format!("# people\n{text}")).unwrap();
        fs::write(&rules, RULES).unwrap();
        let auth = AuthConfig {
            password_file: Some(users),
            acl_file: Some(rules),
            failed_login_delay: None,
            ..AuthConfig::default()
        };
        let broker = Broker::new(Config { auth, http: http("users = [\"ada:admin\"]"), ..config() });
        let at = address(&broker);
        Self { dir, broker, at }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn ask(&self, method: &str, path: &str, headers: &[&str], body: Option<&Value>) -> Answer {
        let body = body.map(Value::to_string).unwrap_or_default();
        let login = BASE64.encode("ada:secret");
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let head = format!("{method} /api/v1/{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {login}\r\n{lines}");
        let length = body.len();
        send(self.at, format!("{head}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes())
    }

    #[track_caller]
    fn done(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        super::done(&self.ask(method, path, &[], body))
    }
}

/// The version that an answer names, in quotation marks.
fn tag(answer: &Answer) -> String {
    let line = answer.head.lines().find(|line| line.to_lowercase().starts_with("etag:")).expect("a version");
    line.split_once(':').unwrap().1.trim().to_owned()
}

#[test]
fn a_rule_for_an_unknown_user_is_set_with_a_warning() {
    let place = Place::new();
    let rule = |user: &str| json!({ "user": user, "access": "read", "filter": "a/#" });
    let set = place.done("PUT", "rules", Some(&rule("bobby")));
    assert_eq!(set["warning"], "user \"bobby\" is not in auth.password_file and cannot log in");
    assert!(place.text("rules").contains("user bobby\ntopic read a/#\n"), "{}", place.text("rules"));
    assert_eq!(place.done("PUT", "rules", Some(&rule("ann")))["warning"], Value::Null);
}

#[test]
fn edits_of_users_over_http_are_in_force_at_once() {
    let place = Place::new();
    let list = place.done("GET", "users", None);
    assert_eq!(list["data"][0], json!({ "name": "ada", "stored": "argon2id", "role": "admin" }));
    assert_eq!(list["data"][1], json!({ "name": "ann", "stored": "argon2id", "role": null }));
    let page = place.done("GET", "users?limit=1", None);
    let rest = place.done("GET", &format!("users?limit=5&cursor={}", page["next"].as_str().unwrap()), None);
    assert_eq!((super::column(&rest, "name"), &rest["next"]), (vec!["ann"], &Value::Null));

    place.broker.refuses(&Connect::new("c").user("b/ö", "pw"), 4);
    let added = place.done("PUT", "users/b%2F%C3%B6", Some(&json!({ "password": "pw" })));
    assert_eq!(added["result"], "added");
    drop(place.broker.connect(&Connect::new("c").user("b/ö", "pw"), 0));
    assert_eq!(place.done("GET", "users/b%2F%C3%B6", None)["name"], "b/ö");
    let scram = json!({ "password": "other", "scram_iterations": 4096 });
    assert_eq!(status_and_code(&place.ask("PUT", "users/b%2F%C3%B6", &[], Some(&scram))), (400, "invalid".into()));
    assert_eq!(place.done("PUT", "users/ann", Some(&scram))["result"], "changed");
    assert_eq!(place.done("GET", "users/ann", None)["stored"], "scram");

    let mut ann = place.broker.connect(&Connect::new("a").user("ann", "other"), 0);
    let deleted = place.done("DELETE", "users/ann", None);
    assert_eq!((&deleted["result"], &deleted["rules_left"]), (&json!("deleted"), &json!(1)));
    ann.expect_closed();
    place.broker.refuses(&Connect::new("a").user("ann", "other"), 4);
    let text = place.text("users");
    assert!(text.starts_with("# people\nada:") && text.contains("\nb/ö:") && !text.contains("ann:"), "{text}");

    for (method, path, body, expected) in [
        ("GET", "users/nobody", None, (404, "unknown-name")),
        ("DELETE", "users/nobody", None, (404, "unknown-name")),
        ("PUT", "users/", Some(json!({ "password": "x" })), (400, "invalid")),
        ("PUT", "users/a:b", Some(json!({ "password": "x" })), (400, "invalid")),
        ("PUT", "users/%23a", Some(json!({ "password": "x" })), (400, "invalid")),
        ("PUT", "users/a", Some(json!({ "password": "" })), (400, "invalid")),
        ("PUT", "users/a", Some(json!({ "password": "a\u{0}b" })), (400, "invalid")),
        ("PUT", "users/a", Some(json!({ "password": "x", "scram_iterations": 1 })), (400, "body")),
        ("PUT", "users/a", Some(json!({ "pasword": "x" })), (400, "unknown")),
        ("PUT", "users/a", Some(json!({})), (400, "body")),
    ] {
        let answer = place.ask(method, path, &[], body.as_ref());
        assert_eq!(status_and_code(&answer), (expected.0, expected.1.to_owned()), "{method} {path} {body:?}");
    }
    assert_eq!(place.text("users"), text);
}

#[test]
fn edits_of_rules_over_http_apply_to_connected_clients() {
    let place = Place::new();
    let rules = place.done("GET", "rules", None);
    assert_eq!(rules["text"], RULES);
    let rule = json!({ "line": 6, "for": "user", "user": "ann", "access": "readwrite", "filter": "lamp/ann" });
    assert_eq!(rules["rules"][1], rule);
    let mut ann = place.broker.connect(&Connect::new("a").user("ann", "secret"), 0);
    ann.subscribe(&[("door/#", 1), ("own/ann", 0)]);
    // of the broker itself: it may publish everything
    let publish = |topic: &str, payload: &str| {
        run(place.broker.server.publish(Publication::new(topic, payload.as_bytes().to_vec()))).unwrap();
    };
    publish("door/1", "not yet");
    place.done("PUT", "rules", Some(&json!({ "user": "ann", "access": "read", "filter": "door/#" })));
    publish("door/1", "now");
    ann.expect_message("door/1", "now", 0);
    assert_eq!(place.text("rules"), format!("{RULES}topic read door/#\n"));
    place.done("PUT", "rules", Some(&json!({ "for": "everybody", "access": "read", "filter": "own/%u" })));
    publish("own/ann", "hers");
    ann.expect_message("own/ann", "hers", 0);
    place.done("DELETE", "rules?user=ann&filter=door/%23", None);
    publish("door/1", "not any more");
    publish("own/ann", "still");
    ann.expect_message("own/ann", "still", 0);
    place.done("DELETE", "rules?for=everybody&filter=own/%25u", None);
    assert_eq!(place.text("rules"), RULES);

    for body in [
        json!({}),
        json!({ "access": "read", "filter": "a" }),
        json!({ "user": "ann", "access": "all", "filter": "a" }),
        json!({ "user": "ann", "access": "read", "filter": "a#" }),
        json!({ "user": "ann", "access": "read", "filter": "a\ntopic #" }),
        json!({ "user": "ann\ntopic #", "access": "read", "filter": "a" }),
        json!({ "user": "ann", "for": "everybody", "access": "read", "filter": "a" }),
        json!({ "text": "topic a\n", "access": "read" }),
        json!({ "text": 5 }),
        json!([]),
    ] {
        assert_eq!(place.ask("PUT", "rules", &[], Some(&body)).status, 400, "{body}");
    }
    let none = place.ask("DELETE", "rules?user=ann&filter=b", &[], None);
    assert_eq!(status_and_code(&none), (404, "unknown-name".into()));
    assert_eq!(place.text("rules"), RULES);
}

#[test]
fn the_slower_of_two_writers_gets_409_with_the_new_version() {
    let place = Place::new();
    let read = place.ask("GET", "rules", &[], None);
    let version = tag(&read);
    let text = json!({ "text": "# mine\ntopic #\n" });
    assert_eq!(status_and_code(&place.ask("PUT", "rules", &[], Some(&text))), (428, "version".into()));
    let if_match = format!("If-Match: {version}");
    let put = |text: &str| place.ask("PUT", "rules", &[&if_match], Some(&json!({ "text": text })));
    let answers: Vec<_> = thread::scope(|scope| {
        let both = ["# one\ntopic #\n", "# two\ntopic #\n"].map(|text| scope.spawn(move || put(text)));
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let (won, lost) = match answers[0].status {
        200 => (&answers[0], &answers[1]),
        _ => (&answers[1], &answers[0]),
    };
    assert_eq!(won.status, 200, "{won:?}");
    assert_eq!(status_and_code(lost), (409, "changed".into()));
    let told: Value = serde_json::from_str(&lost.body).unwrap();
    assert_eq!(format!("{}", told["version"]), tag(won));
    assert_eq!((tag(lost), tag(&place.ask("GET", "rules", &[], None))), (tag(won), tag(won)));
    // the other files, each with its own
    let users = tag(&place.ask("GET", "users", &[], None));
    let body = json!({ "password": "x" });
    let by = |tag: &str| place.ask("PUT", "users/eve", &[&format!("If-Match: {tag}")], Some(&body));
    assert_eq!(status_and_code(&by(&version)), (409, "changed".into()));
    assert_eq!(by("nonsense").status, 400);
    assert_eq!(by(&users).status, 200);
    assert_eq!(status_and_code(&by(&users)), (409, "changed".into()));
    assert_eq!(by("*").status, 200);
    let gone = place.ask("DELETE", "users/eve", &[&format!("If-Match: {users}")], None);
    assert_eq!(status_and_code(&gone), (409, "changed".into()));
}

#[test]
fn an_unreadable_or_read_only_file_is_reported_and_kept() {
    let place = Place::new();
    let version = format!("If-Match: {}", tag(&place.ask("GET", "rules", &[], None)));
    let wrong = place.ask("PUT", "rules", &[&version], Some(&json!({ "text": "topic a\ntopc b\n" })));
    assert_eq!(status_and_code(&wrong), (400, "invalid".into()));
    assert!(wrong.body.contains("the rules:2:"), "{wrong:?}");
    // another file that is broken meanwhile: nothing can be put in force
    let users = place.text("users");
    fs::write(place.path("users"), "ada:clear\n").unwrap();
    let body = json!({ "user": "ann", "access": "read", "filter": "x" });
    let broken = place.ask("PUT", "rules", &[], Some(&body));
    assert_eq!(status_and_code(&broken), (409, "configuration".into()));
    assert_eq!(place.text("rules"), RULES);
    fs::write(place.path("users"), &users).unwrap();
    // root may write everywhere
    fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let probe = fs::write(place.path("probe"), "");
    for (method, path, body) in [
        ("PUT", "rules", Some(body)),
        ("PUT", "users/eve", Some(json!({ "password": "x" }))),
        ("DELETE", "users/ann", None),
    ] {
        let answer = place.ask(method, path, &[], body.as_ref());
        if probe.is_err() {
            assert_eq!(status_and_code(&answer), (409, "read-only".into()), "{method} {path}");
            assert!(answer.body.contains(place.dir.path().to_str().unwrap()), "{answer:?}");
        }
    }
    fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn without_configured_files_edits_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let (key, _) = dunlin::auth::ApiKey::add(&keys, "root", dunlin::types::Role::Admin, None).unwrap();
    let broker = Broker::new(Config { http: http(&format!("keys_file = {keys:?}")), ..config() });
    let at = address(&broker);
    let login = format!("Authorization: Bearer {key}");
    for path in ["users", "users/a", "rules"] {
        let answer = super::ask(at, "GET", &format!("/api/v1/{path}"), &[&login]);
        assert_eq!(status_and_code(&answer), (409, "not-configured".into()), "{path}");
        assert!(answer.body.contains("auth."), "{answer:?}");
    }
}
