//! Logins, by the policy in force.

use std::{fs, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::hmac;
use serde_json::{Value, json};

use super::*;
use crate::{
    TestClock,
    codec::Properties,
    router::Peer,
    types::{ProtocolVersion, Secret},
};

fn settings(dir: &tempfile::TempDir) -> Settings {
    let password_file = dir.path().join("passwords");
    edit(&password_file, "bob", PasswordChange::Set(b"secret")).unwrap();
    Settings { password_file: Some(password_file), ..Settings::default() }
}

/// A client without credentials.
fn anonymous(peer: Peer) -> Credentials<'static> {
    Credentials {
        client_id: "c",
        username: None,
        certificate_name: None,
        names_in_certificates: false,
        password: None,
        authentication: None,
        peer,
        version: ProtocolVersion::V5,
        will: None,
        properties: Properties::default(),
    }
}

fn ask(auth: &Auth, username: Option<&str>, password: Option<&[u8]>, loopback_listener: bool) -> Checked {
    let peer = Peer { address: ([127, 0, 0, 1], 5000).into(), loopback_listener, listener: 0 };
    decided(auth.authenticate(&Credentials { username, password, ..anonymous(peer) }))
}

/// The final verdict.
fn decided(verdict: Verdict) -> Checked {
    match verdict {
        Verdict::Decided(verdict) => verdict.map(|admitted| admitted.identity),
        Verdict::Later(pending) | Verdict::Queued(pending) => {
            decided(tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(pending))
        }
        Verdict::Continue { .. } => panic!("it is not asked for more"),
    }
}

#[test]
fn without_users_only_loopback_listeners_serve_anonymous_clients() {
    for (allow_anonymous, loopback_listener, allowed) in [
        (None, true, true),
        (None, false, false),
        (Some(true), false, true),
        (Some(true), true, true),
        (Some(false), true, false),
        (Some(false), false, false),
    ] {
        let auth = Auth::new(
            Policy::load(&Settings { allow_anonymous, ..Settings::default() }).unwrap(),
            Listeners::default(),
            Clock::system(),
        );
        for user in [None, Some("u")] {
            let got = ask(&auth, user, user.map(|_| &b"p"[..]), loopback_listener);
            assert_eq!(got.is_ok(), allowed, "allow_anonymous {allow_anonymous:?}, loopback {loopback_listener}");
            match got {
                Ok(identity) => assert_eq!(identity.user.as_deref(), user),
                Err(refusal) => assert!(refusal.why.contains("allow_anonymous"), "{}", refusal.why),
            }
        }
    }
}

#[test]
fn users_log_in_with_their_passwords() {
    let dir = tempfile::tempdir().unwrap();
    let auth = Auth::new(Policy::load(&settings(&dir)).unwrap(), Listeners::default(), Clock::system());
    let refused = |user, password: Option<&[u8]>| ask(&auth, Some(user), password, true).err().unwrap();
    assert_eq!(ask(&auth, Some("bob"), Some(b"secret"), false).ok().unwrap().user.as_deref(), Some("bob"));
    for (user, password, why) in [
        ("bob", Some(&b"Secret"[..]), "wrong password"),
        ("bob", Some(b""), "it gives an empty password"),
        ("eve", Some(b"secret"), "no such user"),
        ("bob", None, "it gives a user name and no password"),
    ] {
        let refusal = refused(user, password);
        assert_eq!(refusal.code, ReasonCode::BadUserNameOrPassword);
        assert!(refusal.why.starts_with(why), "{}", refusal.why);
    }
}

#[test]
fn a_line_with_the_hash_of_an_empty_password_locks_its_user_out_and_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let password_file = dir.path().join("passwords");
    let [empty, other] = [&b""[..], b"x"].map(password::Hash::make);
    fs::write(&password_file, format!("\u{FEFF}eve:{empty}\n# -\nbob:{other}\n")).unwrap();
    fs::set_permissions(&password_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let policy = Policy::load(&Settings { password_file: Some(password_file), ..Settings::default() }).unwrap();
    let [warning] = policy.warnings() else { panic!("{:?}", policy.warnings()) };
    // the first line is looked at on a busy machine too, and the mark is no part of its name
    assert!(warning.contains("passwords:1: user \"eve\" has the hash of an empty password"), "{warning}");
    let auth = Auth::new(policy, Listeners::default(), Clock::system());
    let refused = ask(&auth, Some("eve"), Some(b""), true).err().unwrap();
    assert_eq!(refused.code, ReasonCode::BadUserNameOrPassword);
    assert!(ask(&auth, Some("bob"), Some(b"x"), true).is_ok());
}

#[test]
fn rules_for_unknown_users_cause_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let acl_file = dir.path().join("acl");
    let strangers: String = (0..12).map(|n| format!("user stranger {n}\ntopic a\n")).collect();
    fs::write(&acl_file, format!("user bob\ntopic a\n{strangers}")).unwrap();
    let settings = Settings { acl_file: Some(acl_file), ..settings(&dir) };
    let warnings = Policy::load(&settings).unwrap().warnings().to_vec();
    assert_eq!(warnings.len(), 11, "{warnings:#?}");
    assert!(warnings[0].contains("acl:3: rules for user \"stranger 0\", who is not in auth.password_file"));
    assert!(warnings[10].contains("rules for 2 more users"));
    // users that tokens name, besides those of the file
    let tokens = TokenSettings { secret: Some(crate::types::Secret("x".repeat(32))), ..TokenSettings::default() };
    for settings in [
        Settings { tokens, ..settings.clone() },
        Settings { other_login: Some(OtherLogin::Certificates), ..settings.clone() },
    ] {
        assert_eq!(Policy::load(&settings).unwrap().warnings(), [""; 0]);
    }
}

#[test]
fn with_a_login_anonymous_clients_are_refused_by_default() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = TokenSettings { secret: Some(crate::types::Secret("x".repeat(32))), ..TokenSettings::default() };
    for login in [
        settings(&dir),
        Settings { tokens, ..Settings::default() },
        Settings { other_login: Some(OtherLogin::Certificates), ..Settings::default() },
    ] {
        for allow_anonymous in [None, Some(false), Some(true)] {
            let settings = Settings { allow_anonymous, ..login.clone() };
            let auth = Auth::new(Policy::load(&settings).unwrap(), Listeners::default(), Clock::system());
            for loopback in [true, false] {
                let got = ask(&auth, None, None, loopback);
                assert_eq!(got.is_ok(), allow_anonymous == Some(true), "{settings:?}");
                assert!(got.err().is_none_or(|refusal| refusal.why.contains("allow_anonymous")));
            }
        }
    }
}

#[test]
fn a_policy_is_replaced_completely_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    let auth = Auth::new(Policy::load(&settings).unwrap(), Listeners::default(), Clock::system());
    let bob = ask(&auth, Some("bob"), Some(b"secret"), true).ok().unwrap();
    assert!(auth.knows(&bob) && auth.rights(&"c".into(), &bob).is_none());
    let acl_file = dir.path().join("acl");
    fs::write(&acl_file, "topic a\nuser").unwrap();
    let with_rules = Settings { acl_file: Some(acl_file.clone()), ..settings };
    let error = Policy::load(&with_rules).err().unwrap().to_string();
    assert_eq!(error, format!("{}:2: a user's name is missing: user <name>", acl_file.display()));
    fs::write(&acl_file, "user bob\ntopic a").unwrap();
    edit(with_rules.password_file.as_deref().unwrap(), "bob", PasswordChange::Delete).unwrap();
    auth.replace(Policy::load(&with_rules).unwrap());
    assert!(!auth.knows(&bob) && auth.rights(&"c".into(), &bob).is_some());
    assert_eq!(auth.policy().summary(), (Some(0), Some(1), false));
}

#[test]
fn a_password_without_a_user_name_makes_no_anonymous_client_while_a_login_is_configured() {
    let dir = tempfile::tempdir().unwrap();
    let allow_anonymous = Some(true);
    let tokens = TokenSettings { secret: Some(Secret(SECRET.into())), ..TokenSettings::default() };
    let other_login = Some(OtherLogin::Certificates);
    for (settings, is_let_in) in [
        (Settings { allow_anonymous, ..Settings::default() }, true),
        (Settings { allow_anonymous, ..settings(&dir) }, false),
        (Settings { allow_anonymous, tokens, ..Settings::default() }, false),
        (Settings { allow_anonymous, other_login, ..Settings::default() }, false),
    ] {
        let auth = Auth::new(Policy::load(&settings).unwrap(), Listeners::default(), Clock::system());
        assert!(ask(&auth, None, None, true).is_ok(), "an anonymous client");
        let alone = ask(&auth, None, Some(b"a password"), true);
        assert_eq!(alone.as_ref().err().map(|refusal| refusal.code), (!is_let_in).then_some(CODE), "{settings:?}");
    }
    const CODE: ReasonCode = ReasonCode::BadUserNameOrPassword;
}

#[test]
fn a_listener_s_setting_overrides_the_global_one_and_a_certificate_is_a_login() {
    let dir = tempfile::tempdir().unwrap();
    for own in [true, false] {
        let listeners = Listeners::new(ArcSwap::from_pointee(vec![
            OfListener::default(),
            OfListener { allow_anonymous: Some(own), ..OfListener::default() },
        ]));
        let settings = Settings { allow_anonymous: Some(!own), ..settings(&dir) };
        let auth = Auth::new(Policy::load(&settings).unwrap(), listeners, Clock::system());
        let asked = |listener, certificate_name: Option<&str>| {
            let peer = Peer { address: ([192, 0, 2, 1], 5000).into(), loopback_listener: false, listener };
            let names_in_certificates = certificate_name.is_some();
            let credentials = Credentials { certificate_name, names_in_certificates, ..anonymous(peer) };
            match auth.authenticate(&credentials) {
                Verdict::Decided(verdict) => verdict.map(|admitted| admitted.identity),
                _ => panic!("at once"),
            }
        };
        assert_eq!((asked(0, None).is_ok(), asked(1, None).is_ok(), asked(9, None).is_ok()), (!own, own, !own));
        // not one of the users, and no password
        let lamp = asked(1, Some("lamp")).ok().unwrap();
        assert_eq!((lamp.user.as_deref(), lamp.proof), (Some("lamp"), Proof::Certificate));
        assert!(auth.knows(&lamp));
    }
}

#[test]
fn a_deny_pattern_yields_to_a_rule_of_the_user() {
    let dir = tempfile::tempdir().unwrap();
    let acl_file = dir.path().join("acl");
    fs::write(&acl_file, "user bob\ntopic read a/#\npattern deny #\npattern read b/%c\n").unwrap();
    let policy = Policy::load(&Settings { acl_file: Some(acl_file), ..Settings::default() }).unwrap();
    for (user, topic, allowed) in
        [(Some("bob"), "a/#", true), (Some("bob"), "#", true), (Some("bob"), "b/+", false), (None, "#", false)]
    {
        let explained = policy.explain(&Question { user, client: "c", publish: false, topic });
        assert_eq!(explained.allowed, allowed, "{user:?} {topic}: {explained}");
    }
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn takes_tokens(clock: Clock, leeway: u64) -> Auth {
    let leeway = Duration::from_secs(leeway);
    let tokens = TokenSettings { secret: Some(Secret(SECRET.into())), leeway, ..TokenSettings::default() };
    let settings = Settings { tokens, failed_login_delay: None, ..Settings::default() };
    Auth::new(Policy::load(&settings).unwrap(), Listeners::default(), clock)
}

fn token(header: &Value, claims: &Value) -> String {
    let mut token = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), token.as_bytes());
    token += &format!(".{}", BASE64.encode(signature));
    token
}

/// Seconds since 1970 by this clock.
fn seconds(clock: &TestClock) -> f64 {
    clock.clock().wall().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn an_invalid_token_is_refused_with_the_reason() {
    let clock = TestClock::new();
    let now = seconds(&clock);
    let auth = takes_tokens(clock.clock(), 0);
    let good = json!({ "alg": "HS256" });
    let table = [
        (json!({ "alg": "HS256", "crit": ["b64"], "b64": false }), json!({ "exp": now + 60.0 }), Err("(crit)")),
        (json!({ "alg": "HS256", "crit": [] }), json!({ "exp": now + 60.0 }), Err("(crit)")),
        (good.clone(), json!({}), Err("the token has no exp")),
        (good.clone(), json!({ "exp": null }), Err("claims are not as they should be")),
        (good.clone(), json!({ "exp": "2040" }), Err("claims are not as they should be")),
        (good.clone(), json!({ "exp": now - 0.5 }), Err("has ended")),
        (good.clone(), json!({ "exp": -1e300 }), Err("has ended")),
        (good.clone(), json!({ "exp": now + 60.0, "nbf": now + 30.25 }), Err("not valid yet")),
        (good.clone(), json!({ "exp": now + 60.5, "nbf": now - 0.25 }), Ok(Some(60))),
        (good.clone(), json!({ "exp": now as u64 + 60 }), Ok(Some(59))),
        (good.clone(), json!({ "exp": 1e300 }), Ok(None)),
        (good, json!({ "exp": u64::MAX }), Ok(None)),
    ];
    for (header, mut claims, expected) in table {
        claims["sub"] = json!("bob");
        let got = ask(&auth, Some("bob"), Some(token(&header, &claims).as_bytes()), true);
        match (got, expected) {
            (Ok(Identity { until: None, .. }), Ok(None)) => {}
            (Ok(Identity { until: Some(until), .. }), Ok(Some(about))) => {
                let left = until.duration_since(clock.clock().now()).as_secs();
                assert!((about - 2..=about).contains(&left), "{claims}: {left} s");
            }
            (Err(refusal), Err(why)) => {
                assert_eq!(refusal.code, ReasonCode::BadUserNameOrPassword);
                assert!(refusal.why.contains(why), "{header} {claims}: {}", refusal.why);
            }
            (got, _) => panic!("{header} {claims}: {:?}", got.map(|identity| identity.until)),
        }
    }
}

#[test]
fn a_token_ends_by_the_clock_that_is_set_meanwhile() {
    const DAY: i64 = 24 * 60 * 60;
    let clock = TestClock::new();
    let right = seconds(&clock);
    let auth = takes_tokens(clock.clock(), 30);
    let claims = json!({ "sub": "bob", "exp": right + 3600.0 });
    let token = token(&json!({ "alg": "HS256" }), &claims);
    let give = || ask(&auth, Some("bob"), Some(token.as_bytes()), true);
    // two days slow: the token seems to be good for two days more
    clock.set_wall(-2 * DAY);
    let identity = give().ok().unwrap();
    let left = |identity: &Identity| identity.until.unwrap().duration_since(clock.clock().now()).as_secs() as i64;
    assert!((2 * DAY + 3600..=2 * DAY + 3630).contains(&left(&identity)));
    // the clock is set: the token is cached, and expires by the new time
    clock.set_wall(2 * DAY);
    let again = give().ok().unwrap();
    assert!((3600..=3630).contains(&left(&again)), "{} s", left(&again));
    assert!(auth.knows(&identity));
    // two days fast, and back
    clock.set_wall(2 * DAY);
    assert!(!auth.knows(&identity));
    assert!(give().err().unwrap().why.contains("has ended"));
    clock.set_wall(-2 * DAY);
    clock.turn(Duration::from_secs(11)); // a wrong token is cached for this time
    assert!(give().is_ok());
    // without the time of the clock no token can be judged, and no client is refused permanently
    clock.set_wall(-(right as i64) + 100);
    let refusal = give().err().unwrap();
    assert_eq!(refusal.code, ReasonCode::ServerUnavailable);
    assert!(refusal.why.contains("the clock of this machine is not set"), "{}", refusal.why);
}

#[test]
fn delays_and_cached_logins_do_not_depend_on_the_wall_clock() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), TestClock::new());
    let settings = Settings { failed_login_delay: Some(Duration::from_secs(3600)), ..settings(&dir) };
    let auth = Auth::new(Policy::load(&settings).unwrap(), Listeners::default(), clock.clock());
    assert!(ask(&auth, Some("bob"), Some(b"secret"), true).is_ok());
    for by in [1_000_000_000, -2_000_000_000] {
        clock.set_wall(by);
        // known: it is not compared, so that it costs the throttle nothing
        let peer = Peer { address: ([127, 0, 0, 1], 5000).into(), loopback_listener: true, listener: 0 };
        let bob = Credentials { username: Some("bob"), password: Some(b"secret"), ..anonymous(peer) };
        let verdict = auth.authenticate(&bob);
        assert!(matches!(verdict, Verdict::Decided(Ok(_))), "after the clock was set by {by} s");
    }
    // three failures are free; the fourth waits an hour by the monotonic clock
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let wrong: Vec<_> = (0..4).map(|n| format!("wrong {n}")).collect();
    for password in &wrong[..3] {
        assert!(ask(&auth, Some("bob"), Some(password.as_bytes()), true).is_err());
    }
    let peer = Peer { address: ([127, 0, 0, 1], 5000).into(), loopback_listener: true, listener: 0 };
    let bob = Credentials { username: Some("bob"), password: Some(wrong[3].as_bytes()), ..anonymous(peer) };
    let Verdict::Queued(mut pending) = auth.authenticate(&bob) else { panic!("it is compared") };
    clock.set_wall(1_000_000_000);
    let delayed = runtime.block_on(async { clock.clock().timeout(Duration::from_millis(200), &mut pending).await });
    assert!(delayed.is_err(), "the delay is not over because the clock was set");
    clock.turn(Duration::from_secs(3601));
    assert!(decided(runtime.block_on(pending)).is_err());
}

#[test]
fn user_names_that_change_a_pattern_s_meaning_cause_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let (password_file, acl_file) = (dir.path().join("passwords"), dir.path().join("acl"));
    for user in ["bob", "a/b", "c+"] {
        edit(&password_file, user, PasswordChange::Set(b"x")).unwrap();
    }
    let settings =
        Settings { password_file: Some(password_file), acl_file: Some(acl_file.clone()), ..Settings::default() };
    for (rules, expected) in [("pattern read x/%c\n", 0), ("pattern read x/%c\npattern write u/%u\n", 2)] {
        fs::write(&acl_file, rules).unwrap();
        let warnings = Policy::load(&settings).unwrap().warnings().to_vec();
        assert_eq!(warnings.len(), expected, "{warnings:?}");
        if expected > 0 {
            assert!(warnings[0].contains("acl:2: ") && warnings[0].contains("\"a/b\" has / in it"), "{warnings:?}");
            assert!(warnings[1].contains("\"c+\" has + or # in it, and no pattern holds"), "{warnings:?}");
        }
    }
}

#[test]
fn lines_of_mosquitto_that_serve_scram_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let password_file = dir.path().join("passwords");
    let keys = PasswordChange::SetScram { password: b"pencil", iterations: 4096.try_into().unwrap() };
    edit(&password_file, "bob", keys).unwrap();
    let settings = Settings { password_file: Some(password_file.clone()), ..Settings::default() };
    let load = |scram_from_password_file| {
        let policy = Policy::load(&Settings { scram_from_password_file, ..settings.clone() }).unwrap();
        let warnings = policy.warnings().to_vec();
        let auth = Auth::new(policy, Listeners::default(), Clock::system());
        let serves = ["SCRAM-SHA-256", "SCRAM-SHA-512", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "OAUTH2-JWT", ""];
        (serves.map(|method| auth.serves(method)), warnings)
    };
    let both = [true, true, false, false, false, false];
    for setting in [false, true] {
        assert_eq!(load(setting), (both, Vec::new()));
    }
    let hash = "Yzvq5OFn8Mi3AgahDENE6I0UcvywQcJHgl4vmxJVb1N+Y8J6ViCLb82my4Z+bcbztX/5/DFGJg32jEsxLRIlgA==";
    fs::write(&password_file, format!("eve:$7$101$LLGT7/feVyZegqdF${hash}\n")).unwrap();
    assert_eq!(load(false), ([false; 6], Vec::new()));
    let (serves, warnings) = load(true);
    assert_eq!(serves, [false, true, false, false, false, false]);
    assert!(
        warnings.len() == 1 && warnings[0].contains("from 1 $7$ lines (the fewest iterations are 101;"),
        "{warnings:?}"
    );
}
