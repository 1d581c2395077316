//! JSON Web Tokens as passwords. HS256 and ES256 are signed here, with keys made for the test; RS256 was signed once,
//! and only its public key was kept.

use std::{
    fmt::Write,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use dunlin::{
    Config,
    config::{AuthConfig, Secret},
    router::Count,
};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};

use super::{Files, password};
use crate::support::{
    Broker, Recorder,
    raw::{Connect, Message, suback, subscribe},
    reload,
};

pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub fn hs256(claims: &Value) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    token(&json!({ "alg": "HS256", "typ": "JWT" }), claims, |message| hmac::sign(&key, message).as_ref().to_vec())
}

/// For this user.
pub fn for_an_hour(user: &str) -> String {
    hs256(&json!({ "sub": user, "exp": now() + 3600 }))
}

pub fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let mut token = BASE64.encode(header.to_string());
    write!(token, ".{}", BASE64.encode(claims.to_string())).unwrap();
    let signature = sign(token.as_bytes());
    write!(token, ".{}", BASE64.encode(signature)).unwrap();
    token
}

/// A broker that takes such tokens and no others.
pub fn config(change: impl FnOnce(&mut AuthConfig)) -> Config {
    let mut config = crate::support::config();
    config.auth.token_secret = Some(Secret(SECRET.into()));
    config.auth.failed_login_delay = None;
    change(&mut config.auth);
    config
}

fn accepts(broker: &Broker, user: &str, token: &str) {
    broker.connect(&Connect::new("c").user(user, token), 0).disconnect();
}

fn refuses(broker: &Broker, user: &str, token: &str) {
    broker.refuses(&Connect::new("c").user(user, token), 4);
}

#[test]
fn claims_are_checked() {
    let broker = Broker::new(config(|auth| {
        auth.token_issuer = Some("me".into());
        auth.token_audience = Some("dunlin".into());
    }));
    let good = json!({ "sub": "bob", "exp": now() + 600, "iss": "me", "aud": ["dunlin", "other"] });
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        match value {
            Value::Null => _ = claims.as_object_mut().unwrap().remove(name),
            value => claims[name] = value,
        }
        hs256(&claims)
    };
    accepts(&broker, "bob", &hs256(&good));
    accepts(&broker, "bob", &with("aud", json!("dunlin")));
    accepts(&broker, "bob", &with("nbf", json!(now() - 10)));
    // within the leeway of half a minute
    accepts(&broker, "bob", &with("nbf", json!(now() + 10)));
    refuses(&broker, "eve", &hs256(&good));
    let bad = [
        ("exp", json!(now() - 60)),
        ("exp", Value::Null),
        ("exp", json!("soon")),
        ("nbf", json!(now() + 600)),
        ("iss", json!("you")),
        ("iss", Value::Null),
        ("aud", json!("other")),
        ("aud", Value::Null),
        ("sub", json!("eve")),
        ("sub", json!(7)),
        ("sub", Value::Null),
        ("acl", json!({ "publish": ["a#"] })),
        ("acl", json!({ "pubish": [] })),
        ("acl", json!(["a"])),
    ];
    let count = bad.len() as u64;
    for (name, value) in bad {
        refuses(&broker, "bob", &with(name, value));
    }
    let mut tampered = hs256(&good);
    tampered.replace_range(tampered.len() - 4.., "AAAA");
    let unsigned = token(&json!({ "alg": "none" }), &good, |_| Vec::new());
    let other = token(&json!({ "alg": "HS512" }), &good, |_| vec![0; 64]);
    for no_token in [tampered, unsigned, other, "eyJ.eyJ.".into(), "eyJ..".into(), "password".into(), String::new()] {
        refuses(&broker, "bob", &no_token);
    }
    broker.expect_counts(&[(Count::RefusedLogins, 1 + count + 7)]);
}

#[test]
fn a_key_is_used_with_its_own_algorithm() {
    let files = Files::new();
    let public = include_str!("../../data/tokens/rsa.pub");
    let rs256 = include_str!("../../data/tokens/rs256.jwt").trim();
    let key = files.write("key", public);
    let claims = json!({ "sub": "rsa-user", "exp": now() + 600 });
    // the public key as the secret of an HMAC: the oldest trick
    let forged = token(&json!({ "alg": "HS256", "kid": "r1" }), &claims, |message| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes()), message).as_ref().to_vec()
    });
    let jwks = files.write("jwks", include_str!("../../data/tokens/jwks.json"));
    for set in [false, true] {
        let broker = Broker::new(config(|auth| {
            auth.token_secret = None;
            *(if set { &mut auth.token_jwks_file } else { &mut auth.token_key_file }) =
                Some(if set { jwks.clone() } else { key.clone() });
            auth.token_issuer = Some("https://issuer.example".into());
        }));
        accepts(&broker, "rsa-user", rs256);
        refuses(&broker, "rsa-user", &forged);
        refuses(&broker, "rsa-user", &rs256[..rs256.len() - 6]);
        refuses(&broker, "rsa-user", &hs256(&claims));
    }
}

#[test]
fn es256_by_a_pem_and_by_a_set() {
    let files = Files::new();
    let random = SystemRandom::new();
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref();
    let sign = |message: &[u8]| pair.sign(&random, message).unwrap().as_ref().to_vec();
    let claims = json!({ "sub": "ec", "exp": now() + 600 });
    let by = |kid: &str| token(&json!({ "alg": "ES256", "kid": kid }), &claims, sign);

    // SubjectPublicKeyInfo of a point of P-256 (RFC 5480)
    let mut der = BASE64.decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE").unwrap();
    der.extend(&point[1..]);
    let pem = base64::engine::general_purpose::STANDARD.encode(der);
    let pem = files.write("pem", format!("-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----\n"));
    let broker = Broker::new(config(|auth| {
        auth.token_secret = None;
        auth.token_key_file = Some(pem);
    }));
    accepts(&broker, "ec", &by("any"));

    let [x, y] = [&point[1..33], &point[33..]].map(|half| BASE64.encode(half));
    let key = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "mine" });
    let set = files.write("set", json!({ "keys": [key] }).to_string());
    let broker = Broker::new(config(|auth| auth.token_jwks_file = Some(set)));
    accepts(&broker, "ec", &by("mine"));
    refuses(&broker, "ec", &by("another"));
    // beside the secret
    accepts(&broker, "ec", &hs256(&claims));
}

#[test]
fn a_connection_ends_with_its_token() {
    let recorder = Arc::<Recorder>::default();
    let observe = recorder.clone();
    let config = config(|auth| auth.token_leeway = std::time::Duration::ZERO);
    let broker = Broker::build(config, |b| b.observe(observe));
    let lasting = hs256(&json!({ "sub": "bob", "exp": now() + 6000 }));
    let mut stays = broker.connect(&Connect::new("stays").user("bob", &lasting), 0);
    let ending = hs256(&json!({ "sub": "bob", "exp": now() + 600 }));
    let mut ends = broker.connect(&Connect::new("ends").user("bob", &ending), 0);
    broker.turn(std::time::Duration::from_secs(500));
    ends.expect_nothing_pending();
    broker.turn(std::time::Duration::from_secs(101));
    ends.expect_closed();
    recorder.wait_for("disconnect ends TokenEnded");
    stays.expect_nothing_pending();
    // now it is refused, even if it was accepted recently
    broker.refuses(&Connect::new("late").user("bob", &ending), 4);
}

#[test]
fn a_connection_ends_with_its_token_by_the_clock_that_is_set_meanwhile() {
    const DAY: i64 = 24 * 60 * 60;
    let recorder = Arc::<Recorder>::default();
    let observe = recorder.clone();
    let broker = Broker::build(config(|_| {}), |b| b.observe(observe));
    // a machine that starts two days late
    broker.set_wall(-2 * DAY);
    let tokens = [3600, 3 * DAY as u64].map(|left| hs256(&json!({ "sub": "bob", "exp": now() + left })));
    let ids = ["hour", "days"];
    let mut clients: Vec<_> =
        ids.iter().zip(&tokens).map(|(id, token)| broker.connect(&Connect::new(id).user("bob", token), 0)).collect();
    broker.set_wall(2 * DAY);
    clients.iter_mut().for_each(|client| client.expect_nothing_pending());
    // the hour passes
    broker.turn(std::time::Duration::from_secs(3700));
    recorder.wait_for("disconnect hour TokenEnded");
    clients[0].expect_closed();
    clients[1].expect_nothing_pending();
    // the clock is found to be days late
    broker.set_wall(4 * DAY);
    recorder.wait_for("disconnect days TokenEnded");
}

#[test]
fn a_claim_narrows_what_the_rules_allow() {
    let files = Files::new();
    let base = files.config(&["eve"], "user eve\ntopic #\nuser bob\ntopic a/#\ntopic read b/#\n");
    let broker = Broker::new(Config {
        auth: AuthConfig { token_secret: Some(Secret(SECRET.into())), ..base.auth },
        ..crate::support::config()
    });
    let acl = json!({ "publish": ["a/x", "c/#"], "subscribe": ["a/#", "b/1", "c/+"] });
    let narrowed = hs256(&json!({ "sub": "bob", "exp": now() + 600, "acl": acl }));
    let mut bob = broker.connect(&Connect::new("bob").user("bob", &narrowed), 0);
    // with a password beside those with tokens
    let mut eve = broker.connect(&Connect::new("eve").user("eve", &password("eve")), 0);
    eve.subscribe(&[("#", 0)]);
    bob.send(&subscribe(1, &[("a/#", 0), ("#", 0), ("b/+", 0), ("b/1", 0), ("c/1", 0), ("a/+/c", 0)]));
    bob.expect(&suback(1, &[0, 0x80, 0x80, 0, 0, 0]));
    for (topic, allowed) in [("a/x", true), ("a/y", false), ("c/1", false), ("b/1", false)] {
        bob.send(&Message::new(topic, "").qos(1).id(9).frame());
        // PUBACK, and the message itself where it comes back
        let got: Vec<_> = std::iter::repeat_with(|| bob.expect_any()).take(1 + usize::from(allowed)).collect();
        assert!(got.iter().any(|frame| frame.first == 0x40), "{topic} is acknowledged");
        if allowed {
            eve.expect_message(topic, "", 0);
        }
        eve.expect_nothing_pending();
    }
    let mut publisher = broker.connect(&Connect::new("publisher").user("eve", &password("eve")), 0);
    for (topic, allowed) in [("a/y/c", true), ("b/1", true), ("c/1", false)] {
        publisher.publish(Message::new(topic, "to bob").qos(1));
        if allowed {
            bob.expect_message(topic, "to bob", 0);
        }
        bob.expect_nothing_pending();
    }
}

#[test]
fn invalid_token_keys_are_reported() {
    let files = Files::new();
    let told = |change: &dyn Fn(&mut AuthConfig)| {
        let config = config(|auth| {
            auth.token_secret = None;
            change(auth);
        });
        dunlin::server::check_files(&config).unwrap_err().to_string()
    };
    let private = files.write("private.pem", rcgen::KeyPair::generate().unwrap().serialize_pem());
    let (short, rubbish) = (files.write("short", "0123456789\n"), files.write("rubbish", "no key"));
    let empty = files.write("empty", r#"{ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "AA" }] }"#);
    type Case<'a> = (&'a dyn Fn(&mut AuthConfig), &'a str);
    let table: [Case<'_>; 7] = [
        (&|a| a.token_secret = Some(Secret("short".into())), "auth.token_secret: a secret of 5 bytes"),
        (&|a| a.token_secret_file = Some(short.clone()), "auth.token_secret_file: a secret of 10 bytes"),
        (&|a| a.token_key_file = Some(rubbish.clone()), "auth.token_key_file: "),
        (&|a| a.token_jwks_file = Some(rubbish.clone()), "auth.token_jwks_file: "),
        (&|a| a.token_jwks_file = Some(empty.clone()), "auth.token_jwks_file: "),
        (&|a| a.token_key_file = Some(files.path("none")), "auth.token_key_file = "),
        (&|a| a.token_key_file = Some(private.clone()), "auth.token_key_file: "),
    ];
    for (change, said) in table {
        let error = told(change);
        assert!(error.starts_with(said) && !error.contains('\n'), "{error}");
    }
    let error = told(&|a| a.token_key_file = Some(private.clone()));
    let extract = format!("openssl pkey -in {} -pubout", private.display());
    assert!(error.contains("a private key") && error.contains(&extract), "{error}");
}

#[test]
fn a_token_without_a_user_name_brings_its_own() {
    let files = Files::new();
    let rules = files.write("acl", "topic anonymous\nuser bob\ntopic bobs\n");
    let base = config(|auth| auth.acl_file = Some(rules));
    let broker = Broker::new(Config { allow_anonymous: Some(true), ..base.clone() });
    let named = hs256(&json!({ "sub": "bob", "exp": now() + 600 }));
    let nameless = hs256(&json!({ "exp": now() + 600 }));
    let ended = hs256(&json!({ "sub": "bob", "exp": now() - 600 }));
    let [mut bob, mut reader] = ["c", "reader"].map(|client| broker.connect(&Connect::new(client).user("", &named), 0));
    reader.subscribe(&[("#", 0)]);
    bob.publish(Message::new("anonymous", "x").qos(1));
    bob.publish(Message::new("bobs", "x").qos(1));
    reader.expect_message("bobs", "x", 0);
    reader.expect_nothing_pending();
    // though anonymous clients are served
    broker.client("anonymous");
    for password in ["garbage", "", &nameless, &ended, &format!("{named}x")] {
        broker.refuses(&Connect::new("d").user("", password), 4);
    }
    broker.refuses(&Connect::new("d").user("eve", &named), 4);

    // without a claim that is the name, it is let in without one, and stays when other files change
    let auth = AuthConfig { token_user_claim: None, ..base.auth.clone() };
    let without = Config { auth, allow_anonymous: Some(false), ..base };
    let broker = Broker::new(without.clone());
    let mut client = broker.connect(&Connect::new("c").user("", &nameless), 0);
    broker.refuses(&Connect::new("d").user("", "garbage"), 4);
    files.write("acl", "topic #\n");
    reload(&broker.server, &without).unwrap();
    client.expect_nothing_pending();
    client.publish(Message::new("a", "x").qos(1));
}

#[test]
fn a_token_s_client_is_disconnected_when_its_key_or_claims_change() {
    let config = config(|auth| auth.token_issuer = Some("us".into()));
    let with = |change: fn(&mut AuthConfig)| {
        let mut config = config.clone();
        change(&mut config.auth);
        config
    };
    let token = hs256(&json!({ "sub": "bob", "exp": now() + 600, "iss": "us" }));
    for (change, stays) in [
        ((|_| {}) as fn(&mut AuthConfig), true),
        (|auth| auth.token_issuer = None, true),
        (|auth| auth.token_issuer = Some("them".into()), false),
        (|auth| auth.token_audience = Some("dunlin".into()), false),
        (|auth| auth.token_secret = Some(Secret("another secret of 32 bytes or so".into())), false),
    ] {
        let broker = Broker::new(config.clone());
        let mut bob = broker.connect(&Connect::new("c").user("bob", &token), 0);
        reload(&broker.server, &with(change)).unwrap();
        if stays { bob.expect_nothing_pending() } else { bob.expect_closed() }
    }
}

#[test]
fn rights_that_are_null_are_none() {
    let broker = Broker::new(config(|_| {}));
    let claims = |acl: Value| hs256(&json!({ "sub": "bob", "exp": now() + 600, "acl": acl }));
    accepts(&broker, "bob", &claims(json!({})));
    for acl in [json!(null), json!({ "publish": null }), json!([null]), json!("#")] {
        broker.refuses(&Connect::new("c").user("bob", &claims(acl)), 4);
    }
}
