//! Sessions of browsers: a cookie, and a header for writes.

use std::{net::SocketAddr, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use dunlin::{
    Config,
    auth::{ApiKey, PasswordChange, edit},
    config::AuthConfig,
    types::Role,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Answer, address, ask, http, send};
use crate::support::{Broker, config};

const AT: &str = "/api/v1/session";

/// A request with a body.
fn post(at: SocketAddr, headers: &[&str], body: &Value) -> Answer {
    let body = body.to_string();
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("POST {AT} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n{lines}");
    send(at, format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
}

fn basic(login: &str) -> String {
    format!("Authorization: Basic {}", BASE64.encode(login))
}

/// Users vera, otto and ada with the roles in their order, and an empty file of keys.
fn with_users(dir: &Path) -> Config {
    let (users, keys) = (dir.join("users"), dir.join("keys"));
    for user in ["vera", "otto", "ada"] {
        edit(&users, user, PasswordChange::Set(b"secret")).unwrap();
    }
    std::fs::write(&keys, "# none\n").unwrap();
    let auth = AuthConfig { password_file: Some(users), failed_login_delay: None, ..AuthConfig::default() };
    let lines = format!("users = [\"vera:viewer\", \"otto:operator\", \"ada:admin\"]\nkeys_file = {keys:?}");
    Config { auth, http: http(&lines), ..config() }
}

fn broker() -> (TempDir, Broker) {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::new(with_users(dir.path()));
    (dir, broker)
}

/// A session: its cookie as a line, its header as a line.
struct Page {
    cookie: String,
    csrf: String,
}

impl Page {
    #[track_caller]
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        // heads are in small letters here, and the value of the cookie is not
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        Self { cookie: cookie(answer), csrf: format!("X-Dunlin-CSRF: {}", body["csrf"].as_str().unwrap()) }
    }
}

/// The header by which a browser sends the cookie that it was given.
fn cookie(answer: &Answer) -> String {
    let line = answer.head.lines().find(|line| line.to_lowercase().starts_with("set-cookie:")).expect("a cookie");
    format!("Cookie: {}", line.split_once(':').unwrap().1.split(';').next().unwrap().trim())
}

fn shown(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

#[test]
fn a_browser_logs_in_reads_writes_and_logs_out() {
    let (_dir, broker) = broker();
    let at = address(&broker);
    let begun = post(at, &[], &json!({ "user": "otto", "password": "secret" }));
    for word in ["httponly", "samesite=strict", "max-age=43200", "cache-control: no-store"] {
        assert!(begun.headers.contains(word), "{word}: {begun:?}");
    }
    assert!(!begun.headers.contains("path=") && !begun.headers.contains("; secure"), "{begun:?}");
    let body: Value = serde_json::from_str(&begun.body).unwrap();
    assert_eq!((&body["user"], &body["role"]), (&json!("otto"), &json!("operator")));
    assert_eq!(body.as_object().unwrap().len(), 3);
    let page = Page::of(&begun);

    let now = shown(&ask(at, "GET", AT, &[&page.cookie]));
    assert_eq!(now, json!({ "user": "otto", "role": "operator", "open": false, "csrf": body["csrf"], "test": false }));
    assert_eq!(ask(at, "GET", "/api/v1/retained", &[&page.cookie]).status, 200);
    assert_eq!(ask(at, "GET", "/api/v1/config", &[&page.cookie]).code(), "role");
    let other = format!("Cookie: theme=dark; {}", page.cookie.split_once(": ").unwrap().1);
    assert_eq!(ask(at, "GET", "/metrics", &[&other]).status, 200);

    // a write needs the header, whichever program sends it
    let write = |headers: &[&str]| {
        let answer = ask(at, "DELETE", "/api/v1/retained?filter=a", &[headers, &["Content-Length: 0"]].concat());
        (answer.status, if answer.status == 200 { String::new() } else { answer.code() })
    };
    assert_eq!(write(&[&page.cookie]), (403, "csrf".into()));
    assert_eq!(write(&[&page.cookie, "X-Dunlin-CSRF: x"]), (403, "csrf".into()));
    let another = Page::of(&post(at, &[], &json!({ "user": "otto", "password": "secret" })));
    assert_eq!(write(&[&page.cookie, &another.csrf]), (403, "csrf".into()));
    assert_eq!(write(&[&page.cookie, &page.csrf]), (200, String::new()));
    let foreign = [&*page.cookie, &page.csrf, "Origin: http://evil.example"];
    assert_eq!(write(&foreign), (403, "origin".into()));
    assert_eq!(write(&[&page.cookie, &page.csrf, &format!("Origin: http://{at}")]), (200, String::new()));

    assert_eq!(ask(at, "DELETE", AT, &[&page.cookie]).code(), "csrf");
    let ended = ask(at, "DELETE", AT, &[&page.cookie, &page.csrf]);
    assert_eq!(ended.status, 200);
    assert!(ended.headers.contains("max-age=0"), "{ended:?}");
    let after = ask(at, "GET", AT, &[&page.cookie]);
    assert_eq!((after.status, after.code()), (401, "login".into()));
    assert_eq!(shown(&ask(at, "GET", AT, &[&another.cookie]))["user"], "otto", "the other one stays");
}

#[test]
fn with_a_cookie_each_route_that_writes_needs_the_csrf_header() {
    let (_dir, broker) = broker();
    let at = address(&broker);
    let page = Page::of(&post(at, &[], &json!({ "user": "ada", "password": "secret" })));
    let document = shown(&ask(at, "GET", "/api/v1/openapi.json", &[&page.cookie]));
    let mut writes = 0;
    for (path, verbs) in document["paths"].as_object().unwrap() {
        for verb in verbs.as_object().unwrap().keys().filter(|verb| *verb != "get") {
            // a login needs no session
            if (verb.as_str(), path.as_str()) == ("post", AT) {
                continue;
            }
            let path = path.replace("{id}", "a");
            let answer = ask(at, &verb.to_uppercase(), &path, &[&page.cookie, "Content-Length: 0"]);
            assert_eq!((answer.status, answer.code().as_str()), (403, "csrf"), "{verb} {path}");
            writes += 1;
        }
    }
    assert!(writes > 20, "{writes}");
}

#[test]
fn a_page_s_refused_request_opens_no_login_form_of_the_browser() {
    let (dir, broker) = broker();
    let at = address(&broker);
    let (key, _) = ApiKey::add(&dir.path().join("keys"), "ci", Role::Viewer, None).unwrap();
    for answer in [
        ask(at, "GET", AT, &[]),
        ask(at, "GET", AT, &["Cookie: dunlin_1=x"]),
        post(at, &[], &json!({ "user": "otto", "password": "wrong" })),
        post(at, &[], &json!({ "user": "nobody", "password": "secret" })),
        post(at, &[], &json!({ "key": "wrong" })),
        // the file was not read again yet
        post(at, &[], &json!({ "key": key })),
        ask(at, "POST", AT, &["Content-Length: 0"]),
        ask(at, "POST", AT, &[&basic("otto:wrong"), "Content-Length: 0"]),
        ask(at, "GET", "/api/v1/broker", &["X-Dunlin-CSRF: x"]),
        ask(at, "GET", "/api/v1/events", &["Sec-Fetch-Mode: cors"]),
    ] {
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(answer.headers.contains("www-authenticate: bearer"), "{answer:?}");
        assert!(!answer.headers.contains("set-cookie"), "{answer:?}");
    }
    let typed = ask(at, "GET", "/metrics", &["Sec-Fetch-Mode: navigate"]);
    assert!(typed.headers.contains("www-authenticate: basic"), "{typed:?}");
    for wrong in [
        json!({ "user": "otto" }),
        json!({ "user": "otto", "password": 5 }),
        json!({ "user": "otto", "password": "secret", "key": "x" }),
        json!({ "name": "otto" }),
        json!([]),
    ] {
        assert_eq!(post(at, &[], &wrong).status, 400, "{wrong}");
    }
    assert_eq!(post(at, &[&basic("otto:secret")], &json!({ "key": "x" })).code(), "body");
    let foreign = ["Origin: http://evil.example"];
    assert_eq!(post(at, &foreign, &json!({ "user": "otto", "password": "secret" })).code(), "origin");
}

#[test]
fn a_login_in_a_header_and_one_with_a_key_begin_sessions_too() {
    let (dir, mut broker) = broker();
    let at = address(&broker);
    let (key, _) = ApiKey::add(&dir.path().join("keys"), "ci", Role::Viewer, None).unwrap();
    broker.reload(|_| {});
    let by_basic = ask(at, "POST", AT, &[&basic("ada:secret"), "Content-Length: 0"]);
    assert_eq!(shown(&by_basic)["role"], "admin");
    let by_key = post(at, &[], &json!({ "key": key }));
    assert_eq!(shown(&by_key)["user"], "key:ci");
    let by_bearer = ask(at, "POST", AT, &[&format!("Authorization: Bearer {key}"), "Content-Length: 0"]);
    assert_eq!(shown(&ask(at, "GET", AT, &[&cookie(&by_bearer)]))["role"], "viewer");
    // without a session
    let now = shown(&ask(at, "GET", AT, &[&basic("vera:secret")]));
    assert_eq!(now, json!({ "user": "vera", "role": "viewer", "open": false, "csrf": null, "test": false }));
    let none = ask(at, "DELETE", AT, &[&basic("vera:secret")]);
    assert_eq!((none.status, none.code()), (409, "no-session".into()));
    // behind a proxy that speaks TLS
    for line in ["Origin: https://broker.example.org", "X-Forwarded-Proto: https"] {
        let lines = ["Host: broker.example.org", line, &basic("ada:secret"), "Content-Length: 0"];
        let secure = ask(at, "POST", AT, &lines);
        assert!(secure.headers.contains("; secure"), "{secure:?}");
    }
    // the audit log has the user that logged in
    let audit = shown(&ask(at, "GET", "/api/v1/audit?limit=1", &[&cookie(&by_basic)]));
    assert_eq!((&audit["data"][0]["by"], &audit["data"][0]["what"]), (&json!("ada"), &json!(AT)));
}

#[test]
fn a_reload_that_removes_a_login_ends_its_sessions() {
    let (dir, mut broker) = broker();
    let at = address(&broker);
    let keys = dir.path().join("keys");
    let (key, _) = ApiKey::add(&keys, "ci", Role::Admin, None).unwrap();
    broker.reload(|_| {});
    let login = |user: &str| Page::of(&post(at, &[], &json!({ "user": user, "password": "secret" }))).cookie;
    let [vera, otto, ada] = ["vera", "otto", "ada"].map(login);
    let ci = Page::of(&post(at, &[], &json!({ "key": key }))).cookie;
    let role = |cookie: &str| {
        let answer = ask(at, "GET", AT, &[cookie]);
        (answer.status == 200).then(|| shown(&answer)["role"].as_str().unwrap().to_owned())
    };
    let all = || [&vera, &otto, &ada, &ci].map(|cookie| role(cookie));
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(all(), [some("viewer"), some("operator"), some("admin"), some("admin")]);

    // a role that is another, one that is gone
    let lines = format!("users = [\"vera:viewer\", \"ada:viewer\"]\nkeys_file = {keys:?}");
    broker.reload(|config| config.http = http(&lines));
    assert_eq!(all(), [some("viewer"), None, some("viewer"), some("admin")]);
    // it does not come back with the role
    let lines = format!("users = [\"vera:viewer\", \"otto:admin\", \"ada:viewer\"]\nkeys_file = {keys:?}");
    broker.reload(|config| config.http = http(&lines));
    assert_eq!(all(), [some("viewer"), None, some("viewer"), some("admin")]);
    // another password, a user that is gone, a key that is gone
    edit(&dir.path().join("users"), "vera", PasswordChange::Set(b"other")).unwrap();
    edit(&dir.path().join("users"), "ada", PasswordChange::Delete).unwrap();
    ApiKey::delete(&keys, "ci").unwrap();
    broker.reload(|_| {});
    assert_eq!(all(), [None, None, None, None]);
}

#[test]
fn a_session_ends_after_twelve_hours_and_with_its_key() {
    let (dir, mut broker) = broker();
    let at = address(&broker);
    let hour = Duration::from_secs(3_600);
    let soon = std::time::SystemTime::now() + 2 * hour;
    let (key, _) = ApiKey::add(&dir.path().join("keys"), "ci", Role::Viewer, Some(soon)).unwrap();
    broker.reload(|_| {});
    let vera = Page::of(&post(at, &[], &json!({ "user": "vera", "password": "secret" }))).cookie;
    let ci = Page::of(&post(at, &[], &json!({ "key": key }))).cookie;
    let is_in = |cookie: &str| ask(at, "GET", AT, &[cookie]).status == 200;
    assert!(is_in(&vera) && is_in(&ci));
    broker.set_wall(2 * 3_600);
    assert!(is_in(&vera) && !is_in(&ci));
    broker.turn(11 * hour);
    assert!(is_in(&vera));
    broker.turn(hour);
    assert!(!is_in(&vera));
}

#[test]
fn a_stream_ends_when_its_login_is_revoked() {
    let (dir, mut broker) = broker();
    let at = address(&broker);
    let page = Page::of(&post(at, &[], &json!({ "user": "otto", "password": "secret" })));
    let mut by_session = super::api::streams::Stream::open_with(at, "messages?filter=%23", &[&page.cookie]);
    let mut by_password = super::api::streams::Stream::open_with(at, "events", &[&basic("vera:secret")]);
    assert_eq!(ask(at, "DELETE", AT, &[&page.cookie, &page.csrf]).status, 200);
    by_session.expect_end();
    edit(&dir.path().join("users"), "vera", PasswordChange::Delete).unwrap();
    broker.reload(|_| {});
    by_password.expect_end();
}

#[test]
fn a_session_is_valid_only_for_allowed_hosts() {
    let (_dir, mut broker) = broker();
    let at = address(&broker);
    let page = Page::of(&post(at, &[], &json!({ "user": "otto", "password": "secret" })));
    let elsewhere = "Host: evil.example";
    assert_eq!(ask(at, "GET", AT, &[&page.cookie, elsewhere]).status, 200);
    broker.reload(|config| config.http.allowed_hosts = vec!["broker.lan".into()]);
    assert_eq!(ask(at, "GET", AT, &[&page.cookie, elsewhere]).code(), "host");
    assert_eq!(ask(at, "POST", AT, &[&basic("otto:secret"), elsewhere, "Content-Length: 0"]).code(), "host");
    assert_eq!(ask(at, "GET", AT, &[&page.cookie, "Host: broker.lan"]).status, 200);
    // a page on another port of the same machine
    let write = |origin: &str| {
        let lines = [&*page.cookie, &page.csrf, "Host: broker.lan", origin, "Content-Length: 0"];
        ask(at, "DELETE", "/api/v1/retained?filter=a", &lines).status
    };
    assert_eq!((write("Origin: http://broker.lan:8080"), write("Origin: null")), (403, 403));
    assert_eq!(write("Origin: http://broker.lan"), 200);
}

#[test]
fn without_logins_a_session_cannot_be_begun() {
    let broker = super::broker("");
    let at = address(&broker);
    let now = shown(&ask(at, "GET", AT, &[]));
    assert_eq!(now, json!({ "user": "local program", "role": "operator", "open": true, "csrf": null, "test": false }));
    let begun = post(at, &[], &json!({ "user": "a", "password": "b" }));
    assert_eq!((begun.status, begun.code()), (409, "no-login".into()));
    assert_eq!(ask(at, "GET", AT, &["Host: evil.example"]).code(), "host");
}
