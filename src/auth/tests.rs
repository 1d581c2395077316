//! Who is let in, by the policy in force.

use std::fs;

use super::*;
use crate::router::Peer;

fn settings(dir: &tempfile::TempDir) -> Settings {
    let password_file = dir.path().join("passwords");
    edit(&password_file, "bob", PasswordChange::Set(b"secret")).unwrap();
    Settings { password_file: Some(password_file), ..Settings::default() }
}

fn ask(auth: &Auth, username: Option<&str>, password: Option<&[u8]>, loopback_listener: bool) -> Checked {
    let peer = Peer { address: ([127, 0, 0, 1], 5000).into(), loopback_listener, listener: 0 };
    match auth.authenticate(&Credentials {
        client_id: "c",
        username,
        certificate_name: None,
        names_in_certificates: false,
        password,
        peer,
    }) {
        Verdict::Decided(verdict) => verdict,
        Verdict::Later(pending) | Verdict::Queued(pending) => {
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(pending)
        }
    }
}

#[test]
fn without_users_unset_means_loopback_listeners_only() {
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
fn users_prove_who_they_are() {
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
fn rules_for_users_whom_the_file_lacks_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let acl_file = dir.path().join("acl");
    let strangers: String = (0..12).map(|n| format!("user stranger {n}\ntopic a\n")).collect();
    fs::write(&acl_file, format!("user bob\ntopic a\n{strangers}")).unwrap();
    let settings = Settings { acl_file: Some(acl_file), ..settings(&dir) };
    let warnings = Policy::load(&settings).unwrap().warnings().to_vec();
    assert_eq!(warnings.len(), 11, "{warnings:#?}");
    assert!(warnings[0].contains("acl:3: rules for user \"stranger 0\", whom auth.password_file lacks"));
    assert!(warnings[10].contains("rules for 2 more users"));
    // whose names come from elsewhere as well
    let tokens = TokenSettings { secret: Some(crate::types::Secret("x".repeat(32))), ..TokenSettings::default() };
    for settings in [
        Settings { tokens, ..settings.clone() },
        Settings { other_login: Some(OtherLogin::Certificates), ..settings.clone() },
    ] {
        assert_eq!(Policy::load(&settings).unwrap().warnings(), [""; 0]);
    }
}

#[test]
fn with_a_login_unset_means_nowhere() {
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
fn a_policy_is_replaced_as_one_or_not_at_all() {
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
fn what_a_listener_says_goes_first_and_a_certificate_is_proof() {
    let dir = tempfile::tempdir().unwrap();
    for own in [true, false] {
        let listeners = Listeners::new(ArcSwap::from_pointee(vec![None, Some(own)]));
        let settings = Settings { allow_anonymous: Some(!own), ..settings(&dir) };
        let auth = Auth::new(Policy::load(&settings).unwrap(), listeners, Clock::system());
        let asked = |listener, certificate_name: Option<&str>| {
            let peer = Peer { address: ([192, 0, 2, 1], 5000).into(), loopback_listener: false, listener };
            let (client_id, username, password) = ("c", None, None);
            let names_in_certificates = certificate_name.is_some();
            let credentials =
                Credentials { client_id, username, certificate_name, names_in_certificates, password, peer };
            match auth.authenticate(&credentials) {
                Verdict::Decided(verdict) => verdict,
                Verdict::Later(_) | Verdict::Queued(_) => panic!("at once"),
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
fn a_pattern_denies_only_what_no_rule_of_the_user_allows() {
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
