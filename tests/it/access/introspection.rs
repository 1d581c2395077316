//! Tokens that a provider is asked about: `auth.token_introspection_url`. The provider is a thread of the test.

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use dunlin::{
    Config,
    config::{AuthConfig, LoginWay, Secret},
    router::Count,
};
use serde_json::{Value, json};

use super::{
    Files, password,
    services::Service,
    tokens::{SECRET, for_an_hour, now},
};
use crate::{
    log::{connections::configured, field, unquoted},
    support::{
        Broker, five,
        raw::{Client, Connect, Message, connack},
        scram::says,
        wait_until,
    },
};

/// The service has one answer for all: it is not asked by user name.
fn answers(provider: &Service, changes: Value) {
    let mut answer = json!({ "active": true, "sub": "ann", "username": "Ann", "aud": "mqtt", "exp": now() + 100 });
    answer.as_object_mut().unwrap().extend(changes.as_object().cloned().unwrap());
    provider.answers("", 200, &answer.to_string());
}

fn config(provider: &Service, files: &Files, change: impl FnOnce(&mut AuthConfig)) -> Config {
    let mut config = crate::support::config();
    config.auth.token_introspection_url = Some(format!("http://{}/introspect", provider.address).parse().unwrap());
    config.auth.token_introspection_client_id = Some("dunlin".into());
    let secret = files.write("secret", "s3cret/+\n");
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    config.auth.token_introspection_secret_file = Some(secret);
    config.auth.token_audience = Some("mqtt".into());
    config.auth.token_leeway = Duration::ZERO;
    config.auth.failed_login_delay = None;
    change(&mut config.auth);
    config
}

fn login(client: &str, token: &str) -> Connect {
    Connect::new(client).user("", token)
}

#[test]
fn a_provider_is_asked_about_tokens() {
    let (provider, files) = (Service::new(&[]), Files::new());
    let broker = Broker::new(config(&provider, &files, |_| ()));
    // it counts as a login: anonymous clients are refused
    broker.refuses(&Connect::new("c"), 5);
    answers(&provider, json!({}));
    broker.connect(&login("c", "opaque.1+/="), 0).disconnect();
    let request = provider.last();
    assert_eq!(request.body, "token=opaque.1%2B%2F%3D&token_type_hint=access_token");
    // dunlin:s3cret%2F%2B; the stand-in has headers in lower case
    let basic = "authorization: basic ZHVubGluOnMzY3JldCUyRiUyQg==".to_lowercase();
    assert!(request.headers.contains(&basic), "{}", request.headers);
    assert!(request.headers.contains("content-type: application/x-www-form-urlencoded"), "{}", request.headers);
    // the answer about a token is cached once, for all clients and user names
    broker.connect(&login("d", "opaque.1+/="), 0).disconnect();
    broker.connect(&Connect::new("c").user("ann", "opaque.1+/="), 0).disconnect();
    broker.refuses(&Connect::new("c").user("bob", "opaque.1+/="), 4);
    assert_eq!(provider.asked(), 1);
    // a JWT for which there is no key
    broker.connect(&login("c", &for_an_hour("ann")), 0).disconnect();
    assert_eq!((provider.asked(), by_method(&broker, "opaque.2")), (2, 0));
    // not a token: it is not sent
    let before = provider.asked();
    broker.refuses(&Connect::new("c").user("ann", "a password"), 4);
    assert_eq!(by_method(&broker, "no token"), 0x87);
    assert_eq!(provider.asked(), before);
    for (status, body) in [(500, "{}"), (401, "{}"), (302, ""), (200, "<html>"), (200, "{}")] {
        provider.answers("", status, body);
        broker.refuses(&login("c", &format!("down.{status}.{}", body.len())), 3);
    }
    provider.is_down(true);
    assert_eq!(by_method(&broker, "down"), 0x88);
    provider.is_down(false);
    answers(&provider, json!({}));
    assert_eq!(by_method(&broker, "down"), 0);
}

/// The answer to a token in Authentication Data.
fn by_method(broker: &Broker, token: &str) -> u8 {
    let connect = five::Connect::new("c").with(says("OAUTH2-JWT", token));
    five::Five::connect(broker.address(), &connect).1.code
}

#[test]
fn a_token_is_refused_for_a_reason_in_the_log() {
    let provider = Service::new(&[]);
    let text = format!(
        "[[listener]]\naddress = '127.0.0.1:0'\n[auth]\ntoken_introspection_url = 'http://{}/introspect'\n\
         token_introspection_client_id = 'dunlin'\ntoken_introspection_secret_file = 'DIR/secret'\ntoken_issuer = 'us'\n\
         token_audience = 'mqtt'\nfailed_login_delay = 'off'\n",
        provider.address
    );
    let (_files, mut running) = configured(&text, &[("secret", "s3cret")]);
    for (n, (changes, reason)) in [
        (json!({ "active": false }), "the token is not active"),
        (json!({ "aud": ["web"] }), "for another audience"),
        (json!({ "aud": null }), "for another audience"),
        (json!({ "iss": "them" }), "by another issuer"),
        (json!({ "iss": null }), "by another issuer"),
        (json!({ "exp": now() - 600 }), "the token has ended"),
        (json!({ "nbf": now() + 600 }), "not valid yet"),
        (json!({ "sub": null }), "names no user"),
    ]
    .into_iter()
    .enumerate()
    {
        answers(&provider, json!({ "iss": "us" }));
        let mut answer: Value = serde_json::from_str(&provider.answer("")).unwrap();
        answer.as_object_mut().unwrap().extend(changes.as_object().cloned().unwrap());
        provider.answers("", 200, &answer.to_string());
        // the second is cached
        for _ in 0..2 {
            let mut client = Client::open(running.addresses[0]);
            client.send(&login("c", &format!("bad.{n}")).frame());
            client.expect_refused(4);
            let line = running.wait_for(" refused ");
            let told = unquoted(field(&line, "reason").expect(&line));
            assert!(told.contains(reason), "{reason}: {line}");
        }
        assert_eq!(provider.asked(), n + 1);
    }
}

#[test]
fn a_thousand_clients_with_one_token_cause_one_request() {
    let (provider, files) = (Service::new(&[]), Files::new());
    let broker = Broker::new(config(&provider, &files, |_| ()));
    answers(&provider, json!({}));
    let tokens = ["one", "two"];
    let mut clients: Vec<_> = (0..1_000)
        .map(|n| {
            let mut client = broker.open();
            client.send(&login(&format!("c{n}"), tokens[n % 2]).frame());
            client
        })
        .collect();
    clients.iter_mut().for_each(|client| client.expect(&connack(0, 0)));
    assert_eq!(provider.asked(), tokens.len());
}

#[test]
fn a_connection_ends_with_its_token() {
    let (provider, files) = (Service::new(&[]), Files::new());
    let mut broker = Broker::new(config(&provider, &files, |_| ()));
    answers(&provider, json!({}));
    let connect = five::Connect::new("ends").with(says("OAUTH2-JWT", "ends")).lasting(1_000);
    let mut ends = five::Five::accepted(broker.address(), &connect, 0);
    answers(&provider, json!({ "exp": now() + 5_000 }));
    let mut stays = broker.connect(&login("stays", "stays"), 0);
    // an answer is not cached for longer than the token is valid
    answers(&provider, json!({ "exp": now() + 20 }));
    broker.connect(&login("c", "short"), 0).disconnect();
    broker.turn(Duration::from_secs(25));
    answers(&provider, json!({ "active": false }));
    broker.refuses(&login("c", "short"), 4);
    broker.turn(Duration::from_secs(80));
    ends.expect_disconnect(0xA0);
    // its session stays
    answers(&provider, json!({ "exp": now() + 5_000 }));
    five::Five::accepted(
        broker.address(),
        &five::Connect::new("ends").with(says("OAUTH2-JWT", "again")).lasting(1_000),
        1,
    );
    stays.publish(Message::new("a", "1").qos(1));
    broker.reload(|config| config.auth.token_leeway += Duration::from_secs(1));
    stays.publish(Message::new("a", "1").qos(1));
    broker.reload(|config| config.auth.token_audience = Some("other".into()));
    stays.expect_closed();
    // the cached answer is not used for the new requirements
    broker.refuses(&login("stays", "stays"), 4);
}

#[test]
fn an_answer_is_cached_for_a_minute() {
    let (provider, files) = (Service::new(&[]), Files::new());
    let broker = Broker::new(config(&provider, &files, |_| ()));
    answers(&provider, json!({ "exp": now() + 5_000 }));
    broker.connect(&login("c", "good"), 0).disconnect();
    answers(&provider, json!({ "active": false }));
    for (seconds, asked) in [(0, 2), (7, 2), (4, 3)] {
        broker.turn(Duration::from_secs(seconds));
        broker.refuses(&login("c", "bad"), 4);
        broker.connect(&login("c", "good"), 0).disconnect();
        assert_eq!(provider.asked(), asked);
    }
    broker.turn(Duration::from_secs(61));
    broker.refuses(&login("c", "good"), 4);
}

#[test]
fn users_and_keys_of_the_broker_decide_first() {
    let (provider, files) = (Service::new(&[]), Files::new());
    let passwords = files.users(&["op"]);
    let broker = Broker::new(config(&provider, &files, |auth| {
        auth.password_file = Some(passwords);
        auth.token_secret = Some(Secret(SECRET.into()));
        auth.token_audience = Some("any".into());
    }));
    broker.connect(&Connect::new("c").user("op", &password("op")), 0).disconnect();
    broker.refuses(&Connect::new("c").user("op", "wrong"), 4);
    broker.connect(&login("c", &for_an_hour("bob")), 0).disconnect();
    assert_eq!(provider.asked(), 0);
    // a JWT that no key has signed may be the provider's
    answers(&provider, json!({ "active": false }));
    broker.refuses(&login("c", &format!("{}x", for_an_hour("bob"))), 4);
    answers(&provider, json!({ "aud": null }));
    broker.connect(&login("c", "opaque"), 0).disconnect();
    assert_eq!(provider.asked(), 2);
    // Authentication Data is a token, also of a user in the file
    answers(&provider, json!({ "sub": "op" }));
    let mut connect = five::Connect::new("c").with(says("OAUTH2-JWT", "opaque.op"));
    (connect.flags, connect.user) = (connect.flags | 0x80, b"\0\x02op".to_vec());
    five::Five::accepted(broker.address(), &connect, 0);
    assert_eq!(provider.asked(), 3);
}

#[test]
fn what_the_provider_does_not_know_may_be_a_password_for_a_service() {
    let (provider, service, files) = (Service::new(&[]), Service::new(&[("ann", 204, "")]), Files::new());
    let mut broker = Broker::new(config(&provider, &files, |auth| auth.services = vec![service.config(|_| ())]));
    answers(&provider, json!({ "active": false }));
    broker.connect(&Connect::new("c").user("ann", "secret"), 0).disconnect();
    assert_eq!((provider.asked(), service.asked()), (1, 1));
    broker.refuses(&Connect::new("c").user("bob", "secret"), 4);
    // not a JWT, and not Authentication Data
    broker.refuses(&Connect::new("c").user("ann", &for_an_hour("ann")), 4);
    assert_eq!(by_method(&broker, "other"), 0x86);
    assert_eq!((provider.asked(), service.asked()), (3, 2));
    broker.reload(|config| config.auth.order = [LoginWay::Http, LoginWay::Token, LoginWay::Files]);
    answers(&provider, json!({ "sub": "eve" }));
    broker.connect(&Connect::new("c").user("ann", "another"), 0).disconnect();
    broker.connect(&Connect::new("c").user("eve", "opaque"), 0).disconnect();
    assert_eq!((provider.asked(), service.asked()), (4, 4));
}

#[test]
fn a_provider_that_is_asked_about_tokens_closes_the_http_side() {
    let (provider, files) = (Service::new(&[]), Files::new());
    let config = config(&provider, &files, |_| ());
    let broker = Broker::new(Config { http: crate::http::http(""), ..config });
    let at = crate::http::address(&broker);
    assert_eq!(crate::http::get(at, "/metrics").code(), "no-users");
    assert_eq!((crate::http::get(at, "/readyz").status, provider.asked()), (200, 0));
}

#[test]
fn the_admin_api_shows_all_that_are_asked_about_logins() {
    let (provider, service, files) = (Service::new(&[]), Service::new(&[("ann", 204, "")]), Files::new());
    let keys = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = config(&provider, &files, |auth| {
        auth.services = vec![service.config(|service| service.url += "?key=k")];
        auth.password_file = Some(files.users(&["op"]));
        auth.token_issuer = Some("us".into());
        // nothing listens there any more
        auth.token_jwks_url = Some(format!("http://{keys}/keys?key=k").parse().unwrap());
    });
    config.http = crate::http::http("users = ['op:viewer']");
    let broker = Broker::new(config);
    answers(&provider, json!({ "active": false }));
    let ann = Connect::new("c").user("ann", "secret");
    // the provider does not know it; the service accepts it; then both are cached
    broker.connect(&ann, 0).disconnect();
    broker.connect(&ann, 0).disconnect();
    // a JWT of ES256, whose key has to be fetched
    broker.refuses(&login("c", "eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.e30.AA"), 3);
    service.is_down(true);
    broker.refuses(&Connect::new("c").user("bob", "not a token"), 3);
    let basic = format!("Authorization: Basic {}", STANDARD.encode(format!("op:{}", password("op"))));
    let body = crate::http::ask(crate::http::address(&broker), "GET", "/api/v1/logins", &[&basic]).body;
    let mut all: Value = serde_json::from_str(&body).unwrap();
    let mut errors = Vec::new();
    for one in all["data"].as_array_mut().unwrap() {
        let at = one["error_at"].take();
        assert!(at.is_null() || humantime::parse_rfc3339(at.as_str().unwrap()).is_ok(), "{at}");
        errors.push(one["error"].take());
    }
    let shown = |name: &str, kind: &str, url: String, state: &str, counters: Value| {
        json!({ "name": name, "kind": kind, "url": url, "state": state, "error": null, "error_at": null,
                "counters": counters })
    };
    let of_service = json!({ "waiting": 0, "requests": 2, "allowed": 1, "denied": 0, "ignored": 0, "failed": 1,
                             "cache_hits": 1, "stale": 0 });
    let of_provider = json!({ "waiting": 0, "requests": 1, "allowed": 0, "denied": 0, "ignored": 1, "failed": 0,
                              "cache_hits": 1, "stale": 0 });
    let of_keys = json!({ "waiting": 0, "requests": 1, "failed": 1, "keys": 0 });
    let expected = [
        shown("http", "http", format!("http://{}/mqtt", service.address), "failing", of_service),
        shown(
            "$introspection",
            "introspection",
            format!("http://{}/introspect", provider.address),
            "working",
            of_provider,
        ),
        shown("$keys", "keys", format!("http://{keys}/keys"), "failing", of_keys),
    ];
    assert_eq!(all["data"], json!(expected));
    assert!(errors[0].is_string() && errors[1].is_null(), "{errors:?}");
    assert!(errors[2].as_str().unwrap().contains("refused"), "{errors:?}");
}

#[test]
fn guessed_tokens_are_delayed_and_the_provider_is_in_the_metrics() {
    let (provider, files) = (Service::new(&[]), Files::new());
    let mut config = config(&provider, &files, |auth| auth.failed_login_delay = Some(Duration::from_secs(10)));
    config.http = crate::http::http("");
    config.http.metrics_open = true;
    let broker = Broker::new(config);
    answers(&provider, json!({ "active": false }));
    for n in 0..3 {
        broker.refuses(&login("c", &format!("guess.{n}")), 4);
    }
    let mut fourth = broker.open();
    fourth.send(&login("c", "guess.3").frame());
    let metrics = || crate::http::get(crate::http::address(&broker), "/metrics").body;
    let line = "dunlin_auth_http_requests_total{service=\"$introspection\",answer=\"ignore\"} 4";
    wait_until(|| metrics().lines().any(|one| one == line), || format!("no {line} in\n{}", metrics()));
    fourth.expect_no_bytes();
    broker.turn_until(Duration::from_secs(1), || broker.count(Count::RefusedLogins) == 4);
    fourth.expect_refused(4);
}

#[test]
fn what_it_needs_is_told() {
    let (provider, files) = (Service::new(&[]), Files::new());
    let told = |change: fn(&mut AuthConfig)| {
        dunlin::server::check_files(&config(&provider, &files, change)).map_err(|error| error.to_string())
    };
    assert_eq!(told(|_| ()), Ok(String::new()));
    type Change = fn(&mut AuthConfig);
    let cases: [(Change, &str); 6] = [
        (|auth| auth.token_introspection_client_id = None, "auth.token_introspection_client_id: it is missing"),
        (|auth| auth.token_introspection_secret_file = None, "auth.token_introspection_secret_file: it is missing"),
        (|auth| auth.token_audience = None, "auth.token_audience: it is missing"),
        (
            |auth| auth.token_introspection_secret_file = Some("none".into()),
            "auth.token_introspection_secret_file = none",
        ),
        (|auth| auth.token_ca_file = Some("x".into()), "auth.token_ca_file: it is for TLS"),
        (
            |auth| {
                auth.token_introspection_url = Some("https://login.example/introspect".parse().unwrap());
                auth.token_ca_file = Some("no such file".into());
            },
            "auth.token_ca_file = no such file",
        ),
    ];
    for (change, expected) in cases {
        let error = told(change).unwrap_err();
        assert!(error.starts_with(expected), "{expected}: {error}");
    }
    let warned = told(|auth| auth.token_introspection_url = Some("http://login.example/i".parse().unwrap())).unwrap();
    assert!(warned.contains("auth.token_introspection_url = http://login.example/i: without TLS"), "{warned}");
}
