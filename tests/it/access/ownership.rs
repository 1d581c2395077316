//! The owner of a session, and the Client Identifiers that a user may have.

use std::sync::Arc;

use dunlin::{
    Authenticate, Config, Credentials, Identity, Verdict,
    auth::{PasswordChange, edit},
    config::{AuthConfig, Secret},
    types::{ClientIdBinding, SessionOwnership},
};

use super::{Files, password, tokens};
use crate::support::{
    Broker,
    raw::{Connect, Message},
    reload,
};

const RULES: &str = "topic #\nuser bob\ntopic #\nuser eve\ntopic #\n";

fn of(user: &str, id: &str) -> Connect {
    Connect::new(id).user(user, &password(user))
}

#[test]
fn a_session_is_its_users_alone() {
    let files = Files::new();
    let config = files.config(&["bob", "eve"], RULES);
    let broker = Broker::new(config.clone());
    let mut publisher = broker.connect(&of("eve", "publisher"), 0);
    let mut bob = broker.connect(&of("bob", "lamp").persistent(), 0);
    bob.subscribe(&[("t", 1)]);
    let others =
        [of("eve", "lamp"), of("eve", "lamp").persistent(), Connect::new("lamp"), Connect::new("lamp").persistent()];
    // while he is connected, and while he is away
    for connect in &others {
        broker.refuses(connect, 2);
    }
    bob.expect_nothing_pending();
    bob.disconnect();
    publisher.publish(Message::new("t", "for bob").qos(1));
    for connect in &others {
        broker.refuses(connect, 2);
    }
    // also of a connection whose session ends with it
    let clean = broker.connect(&of("bob", "clean"), 0);
    broker.refuses(&of("eve", "clean"), 2);
    clean.disconnect();
    broker.connect(&of("eve", "clean"), 0).disconnect();
    // his own, wherever he comes from
    let mut bob = broker.connect(&of("bob", "lamp").persistent(), 1);
    bob.expect_message("t", "for bob", 1);
    // its acknowledgement has arrived
    bob.expect_nothing_pending();
    let mut again = broker.connect(&of("bob", "lamp").persistent(), 1);
    bob.expect_closed();
    again.expect_nothing_pending();
    again.disconnect();
    // what lets another in
    let anyone = AuthConfig { session_owner: SessionOwnership::Anyone, ..config.auth.clone() };
    reload(&broker.server, &Config { auth: anyone, ..config }).unwrap();
    broker.connect(&of("eve", "lamp").persistent(), 1).disconnect();
}

#[test]
fn a_session_without_an_owner_goes_to_the_next_client() {
    let files = Files::new();
    let config = files.config(&["bob", "eve"], RULES);
    let broker = Broker::new(config.clone());
    let mut nameless = broker.begin("lamp");
    nameless.subscribe(&[("t", 1)]);
    nameless.disconnect();
    broker.connect(&Connect::new("p"), 0).publish(Message::new("t", "waits").qos(1));
    // it is bob's from now on
    let mut bob = broker.connect(&of("bob", "lamp").persistent(), 1);
    bob.expect_message("t", "waits", 1);
    bob.disconnect();
    broker.refuses(&Connect::new("lamp").persistent(), 2);
    broker.refuses(&of("eve", "lamp").persistent(), 2);
    // without an owner, because bob is not configured any more: it ends
    edit(&files.path("passwords"), "bob", PasswordChange::Delete).unwrap();
    reload(&broker.server, &config).unwrap();
    broker.connect(&of("eve", "lamp").persistent(), 0).disconnect();
    broker.connect(&of("eve", "lamp").persistent(), 1).disconnect();
}

#[test]
fn a_name_counts_as_configured_while_its_way_of_login_is() {
    let files = Files::new();
    let mut config = files.config(&["eve"], RULES);
    config.auth.token_secret = Some(Secret(tokens::SECRET.into()));
    let broker = Broker::new(config.clone());
    let token = tokens::for_an_hour("bob");
    let bob = Connect::new("lamp").user("bob", &token).persistent();
    broker.connect(&bob, 0).disconnect();
    // no file knows bob, and tokens are still taken
    broker.refuses(&of("eve", "lamp").persistent(), 2);
    config.auth.token_secret = None;
    reload(&broker.server, &config).unwrap();
    broker.connect(&of("eve", "lamp").persistent(), 0).disconnect();
}

/// Accepts every client under its user name.
struct Believes;

impl Authenticate for Believes {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        Ok(Identity { user: credentials.username.map(Into::into), ..Identity::default() }).into()
    }
}

#[test]
fn a_plugin_is_a_way_of_login() {
    let broker = Broker::build(crate::support::config(), |b| b.authenticate(Arc::new(Believes)));
    broker.connect(&Connect::new("lamp").user("bob", "").persistent(), 0).disconnect();
    broker.refuses(&Connect::new("lamp").user("eve", "").persistent(), 2);
    broker.refuses(&Connect::new("lamp"), 2);
    broker.connect(&Connect::new("lamp").user("bob", "").persistent(), 1).disconnect();
}

#[test]
fn identifiers_are_bound_to_user_names() {
    use ClientIdBinding::{Any, BeginsWithUser, FromUser, IsUser};
    const REFUSED: Option<&str> = None;
    let files = Files::new();
    let config = files.config(&["bob"], RULES);
    // a Client Identifier that bob gives, and the one that he has then
    for (binding, nameless, table) in [
        (Any, 0, [("x", Some("x")), ("bob", Some("bob")), ("bob-1", Some("bob-1")), ("bobby", Some("bobby"))]),
        (IsUser, 5, [("x", REFUSED), ("bob", Some("bob")), ("bob-1", REFUSED), ("", Some("bob"))]),
        (BeginsWithUser, 5, [("x", REFUSED), ("bob", Some("bob")), ("bob-1", Some("bob-1")), ("bobby", REFUSED)]),
        (FromUser, 5, [("x", Some("bob")), ("bob", Some("bob")), ("eve", Some("bob")), ("", Some("bob"))]),
    ] {
        let auth = AuthConfig { client_id: binding, ..config.auth.clone() };
        let recorder = Arc::<crate::support::Recorder>::default();
        let observe = recorder.clone();
        let broker = Broker::build(Config { auth, ..config.clone() }, |b| b.observe(observe));
        for (given, has) in table {
            match has {
                Some(has) => {
                    broker.connect(&of("bob", given), 0).disconnect();
                    assert_eq!(
                        recorder.lines("connect").last().unwrap(),
                        &format!("connect {has} clean=true present=false")
                    );
                }
                None => broker.refuses(&of("bob", given), 2),
            }
        }
        match nameless {
            0 => broker.connect(&Connect::new("nameless"), 0).disconnect(),
            code => broker.refuses(&Connect::new("nameless"), code),
        }
        // one that the broker chooses
        if binding == BeginsWithUser {
            broker.connect(&of("bob", ""), 0).disconnect();
            assert!(recorder.lines("connect").last().unwrap().starts_with("connect bob-"));
        }
    }
}

#[test]
fn identifiers_of_the_broker_are_refused_from_the_network() {
    let broker = Broker::new(crate::support::config());
    for id in ["$", "$SYS", "$bridge/x"] {
        broker.refuses(&Connect::new(id), 2);
        broker.refuses(&Connect::new(id).persistent(), 2);
    }
    // that of a health check is one's that is nothing else
    broker.refuses(&Connect::new("$health").persistent(), 2);
    broker.refuses(&Connect::new("$health").user("bob", ""), 2);
    let mut watcher = broker.client("watcher");
    watcher.subscribe(&[("#", 0)]);
    let mut check = broker.connect(&Connect::new("$health"), 0);
    check.send(&Message::new("t", "x").frame());
    check.expect_closed();
    watcher.expect_nothing_pending();
    broker.connect(&Connect::new("$health"), 0).disconnect();
}
