//! Keys of programs.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, SystemTime},
};

use dunlin::{
    Config,
    auth::{ApiKey, PasswordChange, edit},
    config::AuthConfig,
    types::Role,
};
use serde_json::{Value, json};

use super::{Answer, address, ask, http, send};
use crate::support::{
    Broker,
    command::{refused, told},
    config,
    running::Running,
};

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}

/// With a body.
fn post(at: SocketAddr, login: &str, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let head = format!("POST /api/v1/{path} HTTP/1.1\r\nHost: {at}\r\n{login}\r\nConnection: close\r\n");
    send(at, format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
}

fn broker(file: &Path) -> Broker {
    let auth = AuthConfig { failed_login_delay: None, ..AuthConfig::default() };
    Broker::new(Config { auth, http: http(&format!("keys_file = {file:?}")), ..config() })
}

#[test]
fn a_key_admits_a_program_until_it_expires_or_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let hour = Duration::from_secs(3_600);
    let (ci, _) = ApiKey::add(&file, "ci", Role::Viewer, Some(SystemTime::now() + hour)).unwrap();
    let (ops, _) = ApiKey::add(&file, "ops", Role::Operator, None).unwrap();
    let mut broker = broker(&file);
    let at = address(&broker);
    let status = |key: &str, path: &str| {
        let answer = ask(at, "GET", &format!("/api/v1/{path}"), &[&bearer(key)]);
        (answer.status, if answer.status == 200 { String::new() } else { answer.code() })
    };
    let refused = |code: &str, status: u16| (status, code.to_owned());
    assert_eq!(status(&ci, "broker").0, 200);
    assert_eq!(status(&ci, "retained"), refused("role", 403));
    assert_eq!(status(&ops, "retained").0, 200);
    assert_eq!(ask(at, "GET", "/metrics", &[&bearer(&ci)]).status, 200);
    for wrong in ["dunlin_", &ci[1..], &format!("{ci}x"), "x"] {
        assert_eq!(status(wrong, "broker"), refused("key", 401), "{wrong:?}");
    }
    // a caller without a key is refused, even on this machine
    assert_eq!(ask(at, "GET", "/api/v1/broker", &[]).code(), "login");
    broker.set_wall(3_601);
    assert_eq!(status(&ci, "broker"), refused("key", 401));
    assert_eq!(status(&ops, "broker").0, 200);
    ApiKey::delete(&file, "ops").unwrap();
    broker.reload(|_| {});
    assert_eq!(status(&ops, "broker"), refused("key", 401));
    // what cannot be read is not put in force
    fs::write(&file, "ops:admin\n").unwrap();
    let wrong = Config { http: http(&format!("keys_file = {file:?}")), ..config() };
    let error = crate::support::reload(&broker.server, &wrong).unwrap_err().to_string();
    assert!(error.contains("keys:1: name:role:SHA-256:expires is expected"), "{error}");
}

#[test]
fn wrong_keys_are_delayed_and_valid_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let (key, _) = ApiKey::add(&file, "ci", Role::Viewer, None).unwrap();
    let broker = Broker::new(Config { http: http(&format!("keys_file = {file:?}")), ..config() });
    let at = address(&broker);
    let wrong = move |n: u32| ask(at, "GET", "/api/v1/broker", &[&bearer(&format!("wrong {n}"))]).status;
    assert_eq!((0..3).map(wrong).collect::<Vec<_>>(), [401; 3]);
    // from now on each waits until the clock is turned; beyond 16 they do not wait
    let (sender, answers) = mpsc::channel();
    for n in 0..20 {
        let sender = sender.clone();
        thread::spawn(move || sender.send(wrong(n)));
    }
    let at_once: Vec<_> = answers.iter().take(4).collect();
    assert_eq!(at_once, [429; 4]);
    assert_eq!(ask(at, "GET", "/api/v1/broker", &[&bearer(&key)]).status, 200);
    assert!(answers.try_recv().is_err());
    broker.turn(Duration::from_secs(20));
    assert_eq!(answers.iter().take(16).collect::<Vec<_>>(), [401; 16]);
}

#[test]
fn keys_are_created_listed_and_deleted_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let (admin, _) = ApiKey::add(&file, "root", Role::Admin, None).unwrap();
    fs::write(&file, format!("# who: ops\n{}", fs::read_to_string(&file).unwrap())).unwrap();
    let broker = broker(&file);
    let at = address(&broker);
    let login = bearer(&admin);
    let made = post(at, &login, "keys", &json!({ "name": "ci", "role": "viewer", "expires": "90d" }));
    assert_eq!(made.status, 200, "{made:?}");
    let made: Value = serde_json::from_str(&made.body).unwrap();
    let key = made["key"].as_str().unwrap();
    assert_eq!(ask(at, "GET", "/api/v1/broker", &[&bearer(key)]).status, 200, "it is in force at once");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# who: ops\nroot:admin:") && !text.contains(key), "{text}");

    let list = ask(at, "GET", "/api/v1/keys", &[&login]);
    let list: Value = serde_json::from_str(&list.body).unwrap();
    assert_eq!(list["data"][0], json!({ "name": "root", "role": "admin", "expires_at": null, "expired": false }));
    assert_eq!((&list["data"][1]["name"], &list["data"][1]["expires_at"]), (&"ci".into(), &made["expires_at"]));
    assert!(!list.to_string().contains("dunlin_"));

    let code = |answer: Answer| (answer.status, answer.code());
    let again = post(at, &login, "keys", &json!({ "name": "ci", "role": "admin" }));
    assert_eq!(code(again), (409, "exists".into()));
    for wrong in [
        json!({ "name": "a:b", "role": "admin" }),
        json!({ "name": "", "role": "admin" }),
        json!({ "name": "b", "role": "boss" }),
        json!({ "name": "b" }),
        json!({ "name": 5, "role": "admin" }),
        json!({ "name": "b", "role": "admin", "expires": "soon" }),
        json!({ "name": "b", "role": "admin", "expires": "0s" }),
        json!({ "name": "b", "role": "admin", "expires": "1000000years" }),
        json!({ "name": "b", "role": "admin", "expire": "1d" }),
        json!([]),
    ] {
        assert_eq!(post(at, &login, "keys", &wrong).status, 400, "{wrong}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), text);

    let delete = |name: &str| ask(at, "DELETE", &format!("/api/v1/keys?name={name}"), &[&login]);
    assert_eq!(code(delete("nobody")), (404, "unknown-name".into()));
    assert_eq!(delete("ci").status, 200);
    assert_eq!(ask(at, "GET", "/api/v1/broker", &[&bearer(key)]).code(), "key");
    // a directory in which nothing may be written; root may always
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(dir.path().join("probe"), "").is_err() {
        let answer = delete("root");
        assert!(answer.body.contains("keys"), "{answer:?}");
        assert_eq!(code(answer), (409, "read-only".into()));
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn without_a_file_there_are_no_keys() {
    let broker = super::broker("");
    let at = address(&broker);
    // a local program is an operator
    assert_eq!(ask(at, "GET", "/api/v1/keys", &[]).code(), "role");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users");
    edit(&file, "ada", PasswordChange::Set(b"secret")).unwrap();
    let auth = AuthConfig { password_file: Some(file), ..AuthConfig::default() };
    let broker = Broker::new(Config { auth, http: http("users = [\"ada:admin\"]"), ..config() });
    let at = address(&broker);
    let login = "Authorization: Basic YWRhOnNlY3JldA==";
    let answer = ask(at, "GET", "/api/v1/keys", &[login]);
    assert_eq!((answer.status, answer.code()), (409, "not-configured".into()));
    let answer = post(at, login, "keys", &json!({ "name": "ci", "role": "viewer" }));
    assert_eq!((answer.status, answer.code()), (409, "not-configured".into()));
}

#[test]
fn dunlin_key_creates_keys_for_ctl() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("dunlin.toml"), "[http]\nlisten = \"127.0.0.1:0\"\nkeys_file = \"keys\"\n").unwrap();
    let run = |words: &[&str]| told(dir.path(), &[], &[&["key", "-c", "dunlin.toml"], words].concat());
    let key = run(&["add", "ci", "--role", "viewer", "--expires", "90d"]);
    fs::write(at("ci.key"), &key).unwrap();
    fs::write(at("wrong.key"), "dunlin_wrong\n").unwrap();
    run(&["add", "ops", "--role", "admin"]);
    let list = run(&["list"]);
    assert!(list.contains("ci  viewer  expires 20") && list.contains("ops  admin  expires never\n"), "{list}");
    assert!(!list.contains(key.trim()));
    let again = refused(dir.path(), &[], &["key", "-c", "dunlin.toml", "add", "ci", "--role", "admin"], 1);
    assert!(again.contains("key \"ci\" exists"), "{again}");
    let nowhere = refused(dir.path(), &[], &["key", "list"], 1);
    assert!(nowhere.contains("no http.keys_file is configured"), "{nowhere}");

    let broker = Running::start(&["--config", at("dunlin.toml").to_str().unwrap()]);
    let line = broker.read.iter().find(|line| line.contains("urls=")).expect("HTTP is served");
    let url = line.split("urls=").nth(1).unwrap().split([' ', ',']).next().unwrap().trim_matches('"').to_owned();
    let ctl = |key: &str| ["ctl", "--url", &url, "--key-file", key, "broker"].map(str::to_owned);
    let ctl = |key: &str| ctl(key).to_vec();
    let words = ctl("ci.key");
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    assert!(told(dir.path(), &[], &words).contains("version: "));
    let words = ctl("wrong.key");
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    assert!(refused(dir.path(), &[], &words, 1).contains("(401 key)"));
    let deleted = run(&["delete", "ci"]);
    assert!(deleted.contains("key \"ci\" deleted"), "{deleted}");
    broker.stop();
}
