//! Tokens whose keys an identity provider publishes: `auth.token_jwks_url`. The provider is a thread of the test.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use dunlin::{Config, config::AuthConfig, router::Count};
use parking_lot::Mutex;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::tokens::{now, token};
use crate::{
    log::{connections::configured, field, unquoted},
    support::{
        Broker, five,
        raw::{Client, Connect, Message, connack},
        scram::says,
        secure::Certs,
        wait_until,
    },
};

const ISSUER: &str = "https://login.example";

/// A key of the provider.
#[derive(Clone)]
struct Signer {
    kid: String,
    pair: Arc<EcdsaKeyPair>,
}

impl Signer {
    fn new(kid: &str) -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random).unwrap();
        Self { kid: kid.into(), pair: Arc::new(pair) }
    }

    fn public(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|half| BASE64.encode(half));
        json!({ "kty": "EC", "use": "sig", "alg": "ES256", "crv": "P-256", "x": x, "y": y, "kid": self.kid })
    }

    fn signs(&self, header: &Value, claims: &Value) -> String {
        token(header, claims, |message| self.pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec())
    }

    /// A token for this user with some claims changed.
    fn token_with(&self, user: &str, changes: Value) -> String {
        let mut claims = json!({ "sub": user, "exp": now() + 86_400, "iss": ISSUER, "aud": ["mqtt", "web"] });
        let changes = changes.as_object().cloned().unwrap_or_default();
        claims.as_object_mut().unwrap().extend(changes);
        self.signs(&json!({ "alg": "ES256", "typ": "JWT", "kid": self.kid }), &claims)
    }

    fn token(&self, user: &str) -> String {
        self.token_with(user, json!({}))
    }
}

#[derive(Clone)]
struct Provider {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    asked: usize,
    does: Does,
}

#[derive(Clone)]
enum Does {
    Answer { status: u16, headers: &'static str, body: String },
    Close,
    Nothing,
}

impl Provider {
    fn new(keys: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = Arc::new(Mutex::new(State { asked: 0, does: Does::Close }));
        let provider = Self { address: listener.local_addr().unwrap(), state: state.clone() };
        provider.publishes(keys);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = state.clone();
                thread::spawn(move || serve(stream, &state));
            }
        });
        provider
    }

    fn does(&self, does: Does) {
        self.state.lock().does = does;
    }

    fn answers(&self, status: u16, headers: &'static str, body: impl Into<String>) {
        self.does(Does::Answer { status, headers, body: body.into() });
    }

    fn publishes(&self, keys: &[&Signer]) {
        let keys: Vec<_> = keys.iter().map(|key| key.public()).collect();
        self.answers(200, "", json!({ "keys": keys }).to_string());
    }

    fn asked(&self) -> usize {
        self.state.lock().asked
    }

    fn config(&self, change: impl FnOnce(&mut AuthConfig)) -> Config {
        let mut config = crate::support::config();
        config.auth.token_jwks_url = Some(format!("http://{}/keys", self.address).parse().unwrap());
        config.auth.token_issuer = Some(ISSUER.into());
        config.auth.token_audience = Some("mqtt".into());
        config.auth.failed_login_delay = None;
        change(&mut config.auth);
        config
    }

    fn broker(&self) -> Broker {
        Broker::new(self.config(|_| ()))
    }
}

/// Answers a request, if at all, and closes the connection.
fn serve(mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let is_asked =
        [&b"GET /keys HTTP/1.1\r\n"[..], b"GET /keys?2 HTTP/1.1\r\n"].iter().any(|line| head.starts_with(line));
    assert!(is_asked, "{}", String::from_utf8_lossy(&head));
    let does = {
        let mut state = state.lock();
        state.asked += 1;
        state.does.clone()
    };
    match does {
        Does::Answer { status, headers, body } => {
            let headers = format!("{headers}Connection: close\r\nContent-Length: {}\r\n", body.len());
            write!(stream, "HTTP/1.1 {status} X\r\n{headers}\r\n{body}").ok()
        }
        Does::Close => None,
        // until the other side has gone
        Does::Nothing => stream.read(&mut [0]).ok().map(|_| ()),
    }
}

fn login(client: &str, token: &str) -> Connect {
    Connect::new(client).user("", token)
}

#[track_caller]
fn accepts(broker: &Broker, token: &str) {
    broker.connect(&login("c", token), 0).disconnect();
}

#[track_caller]
fn refuses(broker: &Broker, token: &str, code: u8) {
    broker.refuses(&login("c", token), code);
}

/// The answer to a token in Authentication Data.
fn by_method(broker: &Broker, token: &str) -> u8 {
    let connect = five::Connect::new("c").with(says("OAUTH2-JWT", token));
    five::Five::connect(broker.address(), &connect).1.code
}

#[test]
fn keys_are_fetched_when_a_login_needs_them() {
    let (first, second) = (Signer::new("1"), Signer::new("2"));
    let provider = Provider::new(&[&first, &second]);
    let broker = provider.broker();
    // it is a login: nobody is let in without one
    broker.refuses(&Connect::new("c"), 5);
    assert_eq!(provider.asked(), 0);
    accepts(&broker, &first.token("ann"));
    accepts(&broker, &second.token("bob"));
    broker.connect(&Connect::new("c").user("ann", &first.token("ann")), 0).disconnect();
    broker.refuses(&Connect::new("c").user("bob", &first.token("ann")), 4);
    assert_eq!(by_method(&broker, &first.token("cy")), 0);
    assert_eq!(provider.asked(), 1);
}

/// Ends the threads of a test, also if it fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_rotation_of_keys_under_load_refuses_nobody() {
    const CLIENTS: usize = 6;
    let (mut last, mut signer) = (Signer::new("0"), Signer::new("1"));
    let provider = Provider::new(&[&last, &signer]);
    let broker = provider.broker();
    accepts(&broker, &last.token("ann"));
    let issues = Mutex::new((1, signer.clone()));
    let ends = AtomicBool::new(false);
    let [begun, done]: [[AtomicUsize; CLIENTS]; 2] = Default::default();
    let logins: usize = thread::scope(|scope| {
        let _end = Ending(&ends);
        let threads: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (broker, issues, ends, begun, done) = (&broker, &issues, &ends, &begun[n], &done[n]);
                scope.spawn(move || {
                    let mut logins = 0;
                    while !ends.load(Ordering::Relaxed) {
                        let (round, signer) = issues.lock().clone();
                        let token = signer.token_with("ann", json!({ "jti": format!("{n}-{logins}") }));
                        let mut client = broker.open();
                        client.send(&login(&format!("c{n}"), &token).frame());
                        begun.store(round, Ordering::Relaxed);
                        client.expect(&connack(0, 0));
                        done.store(round, Ordering::Relaxed);
                        client.disconnect();
                        logins += 1;
                    }
                    logins
                })
            })
            .collect();
        let all = |what: &[AtomicUsize], round| {
            let have = || what.iter().all(|one| one.load(Ordering::Relaxed) >= round);
            wait_until(|| have() || threads.iter().any(|one| one.is_finished()), || format!("{what:?} {round}"));
        };
        for round in 2..6 {
            // the provider publishes a key, issues tokens by it, and takes the last but one away
            (last, signer) = (signer.clone(), Signer::new(&round.to_string()));
            provider.publishes(&[&signer, &last]);
            *issues.lock() = (round, signer.clone());
            all(&begun, round);
            broker.turn(Duration::from_secs(31));
            all(&done, round);
            assert_eq!(provider.asked(), round);
        }
        ends.store(true, Ordering::Relaxed);
        threads.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert!(logins >= CLIENTS * 4, "{logins}");
    broker.expect_counts(&[(Count::RefusedLogins, 0)]);
}

#[test]
fn forged_tokens_are_refused_each_for_its_reason() {
    let (signer, other) = (Signer::new("1"), Signer::new("1"));
    let provider = Provider::new(&[&signer]);
    let text = format!(
        "[[listener]]\naddress = '127.0.0.1:0'\n[auth]\ntoken_jwks_url = 'http://{}/keys'\ntoken_issuer = '{ISSUER}'\n\
         token_audience = 'mqtt'\nfailed_login_delay = 'off'\n",
        provider.address
    );
    let (_files, mut running) = configured(&text, &[]);
    let claims = json!({ "sub": "ann", "exp": now() + 600, "iss": ISSUER, "aud": "mqtt" });
    let unsigned = |alg: &str| token(&json!({ "alg": alg, "kid": "1" }), &claims, |_| Vec::new());
    let by_public = token(&json!({ "alg": "HS256", "kid": "1" }), &claims, |message| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, signer.pair.public_key().as_ref());
        hmac::sign(&key, message).as_ref().to_vec()
    });
    let by_path = signer.signs(&json!({ "alg": "ES256", "kid": "../../../../dev/null" }), &claims);
    for (token, reason) in [
        (by_path, "names a key that is not configured (kid"),
        (unsigned("none"), "is not signed (alg none)"),
        (unsigned("None"), "is not signed (alg none)"),
        (unsigned("ES512"), "of an algorithm that is not known"),
        (unsigned("ES256"), "signature is not by a configured key"),
        (by_public, "of an algorithm for which no key is configured"),
        (other.token("ann"), "signature is not by a configured key"),
        (signer.token_with("ann", json!({ "aud": "web" })), "for another audience"),
        (signer.token_with("ann", json!({ "iss": "https://login.example.org" })), "by another issuer"),
        (signer.token_with("ann", json!({ "exp": now() - 600 })), "the token has ended"),
        (signer.token_with("ann", json!({ "nbf": now() + 600 })), "not valid yet"),
    ] {
        let mut client = Client::open(running.addresses[0]);
        client.send(&login("c", &token).frame());
        client.expect_refused(4);
        let line = running.wait_for(" refused ");
        let told = unquoted(field(&line, "reason").expect(&line));
        assert!(told.contains(reason), "{reason}: {line}");
    }
    let mut client = Client::open(running.addresses[0]);
    client.send(&login("c", &signer.token("ann")).frame());
    client.expect(&connack(0, 0));
    assert_eq!(provider.asked(), 1);
}

#[test]
fn a_provider_that_is_down_is_not_a_bad_token() {
    let (signer, new) = (Signer::new("1"), Signer::new("2"));
    let provider = Provider::new(&[]);
    provider.does(Does::Close);
    let broker = provider.broker();
    refuses(&broker, &signer.token("ann"), 3);
    broker.turn(Duration::from_secs(31));
    assert_eq!(by_method(&broker, &signer.token("ann")), 0x88);
    provider.publishes(&[&signer]);
    broker.turn(Duration::from_secs(31));
    accepts(&broker, &signer.token("ann"));
    let secret = json!({ "keys": [{ "kty": "oct", "kid": "2", "alg": "HS256", "k": BASE64.encode("x".repeat(32)) }] });
    for does in [
        Does::Close,
        Does::Answer { status: 500, headers: "", body: "{}".into() },
        Does::Answer { status: 302, headers: "Location: /elsewhere\r\n", body: String::new() },
        Does::Answer { status: 200, headers: "", body: "<html>".into() },
        Does::Answer { status: 200, headers: "", body: r#"{"keys": []}"#.into() },
        Does::Answer { status: 200, headers: "", body: secret.to_string() },
        Does::Answer { status: 200, headers: "", body: " ".repeat(1 << 20) },
    ] {
        provider.does(does);
        // the keys are stale
        broker.turn(Duration::from_secs(2 * 60 * 60));
        let before = provider.asked();
        refuses(&broker, &new.token("ann"), 3);
        assert_eq!(provider.asked(), before + 1);
        accepts(&broker, &signer.token("ann"));
    }
    // a slow one holds up those whose key is not known, for a while
    provider.does(Does::Nothing);
    broker.turn(Duration::from_secs(31));
    let before = provider.asked();
    let mut waits = broker.open();
    waits.send(&login("waits", &new.token("ann")).frame());
    wait_until(|| provider.asked() > before, || "it is not asked".into());
    accepts(&broker, &signer.token("ann"));
    waits.expect_no_bytes();
    broker.turn(Duration::from_secs(11));
    waits.expect_refused(3);
    // it is back
    provider.publishes(&[&signer, &new]);
    broker.turn(Duration::from_secs(31));
    accepts(&broker, &new.token("ann"));
}

#[test]
fn unknown_keys_cause_a_request_in_half_a_minute() {
    let signer = Signer::new("1");
    let provider = Provider::new(&[&signer]);
    let mut config = provider.config(|_| ());
    config.http = crate::http::http("");
    config.http.metrics_open = true;
    let broker = Broker::new(config);
    let metric = |name: &str| {
        let metrics = crate::http::get(crate::http::address(&broker), "/metrics").body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("dunlin_auth_token_keys{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).to_owned()
    };
    accepts(&broker, &signer.token("ann"));
    for round in 0..3 {
        let unknown = |n| login(&format!("c{n}"), &Signer::new(&format!("{round}-{n}")).token("ann"));
        let mut clients: Vec<_> = (0..5)
            .map(|n| {
                let mut client = broker.open();
                client.send(&unknown(n).frame());
                client
            })
            .collect();
        wait_until(|| metric("_waiting") == "5", || metric("_waiting"));
        broker.turn(Duration::from_secs(20));
        // known keys do not wait
        accepts(&broker, &signer.token("ann"));
        clients.iter_mut().for_each(Client::expect_no_bytes);
        assert_eq!(provider.asked(), 1 + round);
        broker.turn(Duration::from_secs(11));
        clients.iter_mut().for_each(|client| client.expect_refused(4));
        assert_eq!(provider.asked(), 2 + round);
    }
    provider.does(Does::Close);
    broker.turn(Duration::from_secs(31));
    refuses(&broker, &Signer::new("x").token("ann"), 3);
    let figures = ["_requests_total{answer=\"keys\"}", "_requests_total{answer=\"error\"}", "", "_waiting", "_up"];
    assert_eq!(figures.map(metric), ["4", "1", "1", "0", "0"]);
}

#[test]
fn keys_are_fetched_again_before_they_are_stale() {
    let (signer, new) = (Signer::new("1"), Signer::new("2"));
    let provider = Provider::new(&[]);
    let publishes = |keys: &[&Signer]| {
        let keys: Vec<_> = keys.iter().map(|key| key.public()).collect();
        provider.answers(200, "Cache-Control: public, max-age=1000\r\n", json!({ "keys": keys }).to_string());
    };
    publishes(&[&signer]);
    let broker = provider.broker();
    let token = signer.token("ann");
    accepts(&broker, &token);
    broker.turn(Duration::from_secs(790));
    accepts(&broker, &signer.token("ann"));
    assert_eq!(provider.asked(), 1);
    // this login does not wait for it, as its key is known
    publishes(&[&signer, &new]);
    broker.turn(Duration::from_secs(11));
    accepts(&broker, &token);
    wait_until(|| provider.asked() == 2, || provider.asked().to_string());
    accepts(&broker, &new.token("ann"));
    // one whose key is gone is refused, and not known from before
    publishes(&[&new]);
    broker.turn(Duration::from_secs(1_001));
    refuses(&broker, &token, 4);
    accepts(&broker, &new.token("ann"));
    assert_eq!(provider.asked(), 3);
}

#[test]
fn a_reload_keeps_the_keys_of_the_same_url() {
    let (signer, new) = (Signer::new("1"), Signer::new("2"));
    let provider = Provider::new(&[&signer]);
    let mut broker = provider.broker();
    let mut ann = broker.connect(&login("ann", &signer.token("ann")), 0);
    provider.publishes(&[&new]);
    broker.turn(Duration::from_secs(31));
    accepts(&broker, &new.token("bob"));
    provider.does(Does::Close);
    broker.reload(|config| config.auth.token_leeway += Duration::from_secs(1));
    accepts(&broker, &new.token("bob"));
    assert_eq!(provider.asked(), 2);
    // her key is gone, as after a rotation, and her token is valid until it expires
    ann.publish(Message::new("a", "1").qos(1));
    broker.reload(|config| config.auth.token_jwks_url = Some("http://127.0.0.1:9/other".parse().unwrap()));
    ann.expect_closed();
}

#[test]
fn clients_of_a_key_that_was_taken_away_stay_until_the_url_changes() {
    let (taken, new) = (Signer::new("1"), Signer::new("2"));
    let provider = Provider::new(&[&taken, &new]);
    let mut broker = provider.broker();
    let (token, url) = (taken.token("ann"), format!("http://{}/keys?2", provider.address));
    let mut ann = broker.connect(&login("ann", &token), 0);
    provider.publishes(&[&new]);
    broker.turn(Duration::from_secs(901));
    refuses(&broker, &taken.token("bob"), 4);
    ann.publish(Message::new("a", "1").qos(1));
    // as the page says: a parameter is enough
    broker.reload(|config| config.auth.token_jwks_url = Some(url.parse().unwrap()));
    ann.expect_closed();
    accepts(&broker, &new.token("ann"));
    broker.turn(Duration::from_secs(31));
    refuses(&broker, &taken.token("ann"), 4);
}

/// A server with TLS in front of a provider.
fn secured(certs: &Certs, provider: SocketAddr) -> SocketAddr {
    let key = PrivateKeyDer::from_pem_file(certs.path("server.key")).unwrap();
    let chain = CertificateDer::pem_file_iter(certs.path("server.pem")).unwrap().map(Result::unwrap).collect();
    let config = ServerConfig::builder_with_provider(default_provider().into());
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let relay = move |stream: TcpStream| {
        let mut outside = StreamOwned::new(ServerConnection::new(config.clone()).ok()?, stream);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            outside.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let (mut inside, mut answer) = (TcpStream::connect(provider).ok()?, Vec::new());
        inside.write_all(&head).ok()?;
        inside.read_to_end(&mut answer).ok()?;
        outside.write_all(&answer).ok()?;
        outside.conn.send_close_notify();
        outside.flush().ok()
    };
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(|stream| _ = relay(stream)));
    address
}

#[test]
fn a_provider_has_a_certificate_of_an_authority_in_a_file() {
    let (signer, certs, others) = (Signer::new("1"), Certs::new(), Certs::new());
    let provider = Provider::new(&[&signer]);
    let port = secured(&certs, provider.address).port();
    for (authorities, is_known) in [(&others, false), (&certs, true)] {
        let broker = Broker::new(provider.config(|auth| {
            auth.token_jwks_url = Some(format!("https://localhost:{port}/keys").parse().unwrap());
            auth.token_ca_file = Some(authorities.path("ca.pem"));
        }));
        if is_known {
            accepts(&broker, &signer.token("ann"));
        } else {
            refuses(&broker, &signer.token("ann"), 3);
        }
    }
    assert_eq!(provider.asked(), 1);
}

#[test]
fn a_session_belongs_to_the_user_of_the_token() {
    let signer = Signer::new("1");
    let provider = Provider::new(&[&signer]);
    let mut broker = provider.broker();
    let of = |user: &str| login("lamp", &signer.token(user)).persistent();
    broker.connect(&of("ann"), 0).disconnect();
    broker.refuses(&of("bob"), 2);
    broker.connect(&of("ann"), 1).disconnect();
    // when no tokens are taken any more, her session is not hers
    let service = super::services::Service::new(&[("bob", 204, "")]);
    broker.reload(|config| {
        config.auth = AuthConfig { services: vec![service.config(|_| ())], ..AuthConfig::default() };
    });
    broker.connect(&super::services::login("lamp", "bob").persistent(), 0).disconnect();
}

#[test]
fn a_url_of_keys_closes_the_http_side() {
    let provider = Provider::new(&[]);
    let mut config = provider.config(|_| ());
    config.http = crate::http::http("");
    let broker = Broker::new(config);
    let at = crate::http::address(&broker);
    assert_eq!(crate::http::get(at, "/metrics").code(), "no-users");
    assert_eq!(crate::http::get(at, "/readyz").status, 200);
}

#[test]
fn what_a_url_needs_is_told() {
    let provider = Provider::new(&[]);
    let told = |change: fn(&mut AuthConfig)| {
        dunlin::server::check_files(&provider.config(change)).map_err(|error| error.to_string())
    };
    let error = told(|auth| auth.token_issuer = None).unwrap_err();
    assert!(error.starts_with("auth.token_issuer: it is missing") && error.contains("realms/main"), "{error}");
    let error = told(|auth| auth.token_audience = None).unwrap_err();
    assert!(error.starts_with("auth.token_audience: it is missing") && error.contains("\"any\""), "{error}");
    let error = told(|auth| auth.token_ca_file = Some("x".into())).unwrap_err();
    assert!(error.starts_with("auth.token_ca_file: it is for TLS"), "{error}");
    let missing = told(|auth| {
        auth.token_jwks_url = Some("https://login.example/keys".parse().unwrap());
        auth.token_ca_file = Some("no such file".into());
    });
    assert!(missing.unwrap_err().starts_with("auth.token_ca_file = no such file"));
    assert_eq!(told(|_| ()), Ok(String::new()));
    let warned = told(|auth| auth.token_jwks_url = Some("http://login.example/keys".parse().unwrap())).unwrap();
    assert!(warned.contains("auth.token_jwks_url = http://login.example/keys: without TLS"), "{warned}");
    // in so many words
    let signer = Signer::new("1");
    provider.publishes(&[&signer]);
    let broker = Broker::new(provider.config(|auth| auth.token_audience = Some("any".into())));
    accepts(&broker, &signer.token_with("ann", json!({ "aud": "web" })));
    accepts(&broker, &signer.token_with("ann", json!({ "aud": null })));
}
