//! Section 4.12: enhanced authentication, by SCRAM.

use dunlin::{
    Config,
    auth::{PasswordChange, edit},
    config::AuthConfig,
};
use tempfile::TempDir;

use crate::support::{
    Broker, config,
    five::{Connect, Five, Properties, Publish, disconnect, property, subscribe},
    raw::PINGREQ,
    scram::{Hash, Scram, auth, says},
};

/// A broker that has bob, with his password, and serves anonymous clients.
fn broker() -> (Broker, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("passwords");
    let iterations = 4096.try_into().expect("not 0");
    edit(&file, "bob", PasswordChange::SetScram { password: b"pencil", iterations }).expect("a password file");
    let auth = AuthConfig { password_file: Some(file), ..AuthConfig::default() };
    (Broker::new(Config { auth, allow_anonymous: Some(true), ..config() }), dir)
}

fn bob() -> Scram {
    Scram::new(Hash::Sha256, "bob", "pencil")
}

const METHOD: &str = "SCRAM-SHA-256";

/// A client that has the challenge, and the answer to it.
#[track_caller]
fn challenged(broker: &Broker, id: &str, scram: &mut Scram) -> (Five, String) {
    challenged_by(broker, &Connect::new(id).with(says(METHOD, scram.first())), scram)
}

#[track_caller]
fn challenged_by(broker: &Broker, connect: &Connect, scram: &mut Scram) -> (Five, String) {
    let mut client = Five::open(broker.address());
    client.send(&connect.frame());
    let challenge = client.expect_auth(0x18, METHOD);
    let answer = scram.last(&challenge);
    (client, answer)
}

/// A client that is let in.
#[track_caller]
fn let_in(broker: &Broker, id: &str) -> Five {
    let (mut client, answer) = challenged(broker, id, &mut bob());
    client.send(&auth(0x18, &says(METHOD, answer)));
    assert_eq!(client.connack().code, 0);
    client
}

/// Begins once more; the answer to the challenge.
#[track_caller]
fn begin_again(client: &mut Five, scram: &mut Scram) -> String {
    client.send(&auth(0x19, &says(METHOD, scram.first())));
    scram.last(&client.expect_auth(0x18, METHOD))
}

#[test]
fn auth_and_connack_name_the_method_of_connect() {
    let (broker, _dir) = broker();
    let mut scram = bob();
    let (mut client, answer) = challenged(&broker, "c", &mut scram);
    client.send(&auth(0x18, &says(METHOD, answer)));
    let connack = client.connack();
    assert_eq!((connack.flags, connack.code), (0, 0));
    assert_eq!(connack.properties.string(property::AUTHENTICATION_METHOD).as_deref(), Some(METHOD));
    scram.expect_proof(&connack.properties.string(property::AUTHENTICATION_DATA).expect("the proof"));
    client.expect_nothing_pending();
}

#[test]
fn another_method_in_auth_is_refused() {
    let (broker, _dir) = broker();
    for method in ["SCRAM-SHA-512", "SCRAM-SHA-1", "OAUTH2-JWT", ""] {
        let (mut client, answer) = challenged(&broker, "c", &mut bob());
        client.context = method.into();
        client.send(&auth(0x18, &says(method, answer)));
        client.expect_refused(0x8C);
    }
}

#[test]
fn only_auth_and_disconnect_are_accepted_before_connack() {
    let (broker, _dir) = broker();
    let topic = "taken-too-early";
    let publish = Publish::new(topic, "x").retain().frame();
    let subscribe = subscribe(1, &Properties::new(), &[("#", 0)]);
    for bytes in [&publish, &subscribe, &PINGREQ.to_vec(), &Connect::new("c").frame()] {
        let (mut client, answer) = challenged(&broker, "c", &mut bob());
        client.send(&[bytes, &auth(0x18, &says(METHOD, answer))[..]].concat());
        client.expect_refused(0x82);
    }
    // sent directly behind the CONNECT, and not looked at before it is answered
    let mut early = Five::open(broker.address());
    early.send(&[Connect::new("c").with(says(METHOD, bob().first())).frame(), publish].concat());
    early.expect_auth(0x18, METHOD);
    early.expect_refused(0x82);
    let (client, _) = challenged(&broker, "c", &mut bob());
    client.leave_with(&disconnect(0));
    let (mut client, _) = challenged(&broker, "c", &mut bob());
    client.send(&[0xF1, 0]);
    client.expect_refused(0x81);
    assert_eq!(broker.retained(topic, 0), []);
}

#[test]
fn an_auth_with_another_reason_than_the_exchange_has_ends_it() {
    let (broker, _dir) = broker();
    for reason in [0x00, 0x19, 0x01, 0x80, 0x87] {
        let (mut client, answer) = challenged(&broker, "c", &mut bob());
        client.send(&auth(reason, &says(METHOD, answer)));
        client.expect_refused(0x82);
    }
}

#[test]
fn a_client_without_a_proof_is_refused() {
    let (broker, _dir) = broker();
    let mut wrong = Scram::new(Hash::Sha256, "bob", "pen");
    let (mut client, answer) = challenged(&broker, "c", &mut wrong);
    client.send(&auth(0x18, &says(METHOD, answer)));
    client.expect_refused(0x86);
    for answer in ["", "c=biws", "p=AAAA"] {
        let (mut client, _) = challenged(&broker, "c", &mut bob());
        client.send(&auth(0x18, &says(METHOD, answer)));
        client.expect_refused(0x87);
    }
    let mut silent = Five::open(broker.address());
    silent.send(&Connect::new("c").with(Properties::new().text(property::AUTHENTICATION_METHOD, METHOD)).frame());
    silent.expect_refused(0x87);
}

#[test]
fn an_auth_larger_than_the_client_s_limit_is_not_sent() {
    let (broker, _dir) = broker();
    let scram = bob();
    let properties =
        |most: u32| Properties([says(METHOD, scram.first()).0, Properties::new().int(0x27, most).0].concat());
    let mut client = Five::open(broker.address());
    client.send(&Connect::new("c").with(properties(60)).frame());
    client.expect_refused(0x95);
    // with its limit there is room for neither a Reason String nor User Properties
    let mut scram = scram.clone();
    let (mut client, answer) = challenged_by(&broker, &Connect::new("c").with(properties(200)), &mut scram);
    client.send(&auth(0x18, &says(METHOD, answer)));
    assert_eq!(client.connack().code, 0);
    begin_again(&mut client, &mut bob());
}

#[test]
fn messages_are_delivered_during_a_re_authentication() {
    let (broker, _dir) = broker();
    let mut client = let_in(&broker, "c");
    client.subscribe(&[("t", 1)]);
    for _ in 0..2 {
        let mut scram = bob();
        let answer = begin_again(&mut client, &mut scram);
        assert_eq!(client.publish(&Publish::new("t", "meanwhile").qos(1)), 0);
        assert_eq!(client.take().text(), "meanwhile");
        client.send(&auth(0x18, &says(METHOD, answer)));
        scram.expect_proof(&client.expect_auth(0x00, METHOD));
    }
    client.expect_nothing_pending();
}

#[test]
fn a_client_that_fails_to_authenticate_again_is_disconnected() {
    let (broker, _dir) = broker();
    for (user, password) in [("bob", "pen"), ("eve", "pencil")] {
        let mut client = let_in(&broker, "c");
        let mut wrong = Scram::new(Hash::Sha256, user, password);
        client.send(&auth(0x19, &says(METHOD, wrong.first())));
        // another user than that of the connection is found out at once
        if user == "bob" {
            let answer = wrong.last(&client.expect_auth(0x18, METHOD));
            client.send(&auth(0x18, &says(METHOD, answer)));
        }
        client.expect_disconnect(0x87);
    }
    for method in ["SCRAM-SHA-512", "other"] {
        let mut client = let_in(&broker, "c");
        client.send(&auth(0x19, &says(method, bob().first())));
        client.expect_disconnect(0x8C);
    }
    for reason in [0x00, 0x18] {
        let mut client = let_in(&broker, "c");
        client.send(&auth(reason, &says(METHOD, bob().first())));
        client.expect_disconnect(0x82);
    }
    // one exchange at a time
    let mut client = let_in(&broker, "c");
    begin_again(&mut client, &mut bob());
    client.send(&auth(0x19, &says(METHOD, bob().first())));
    client.expect_disconnect(0x82);
    let mut client = let_in(&broker, "c");
    client.send(&[auth(0x19, &says(METHOD, bob().first())), auth(0x18, &says(METHOD, "c=biws"))].concat());
    client.expect_disconnect(0x82);
}
