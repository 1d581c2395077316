//! Tokens in Authentication Data (OAUTH2-JWT), and their renewal.

use std::{sync::Arc, time::Duration};

use dunlin::{router::Count, types::Transport};
use serde_json::json;

use super::{
    Files,
    tokens::{SECRET, config, for_an_hour, hs256, now},
};
use crate::support::{
    Broker, Recorder,
    five::{Connect, Five, Properties, Publish, property},
    raw::{self, Message},
    scram::{auth, says},
};

const METHOD: &str = "OAUTH2-JWT";

fn connect(id: &str, token: &str) -> Connect {
    Connect::new(id).with(says(METHOD, token))
}

/// An accepted client. CONNACK has the method and no data.
#[track_caller]
fn let_in(broker: &Broker, connect: &Connect) -> Five {
    let (client, connack) = Five::connect(broker.address(), connect);
    assert_eq!(connack.code, 0);
    assert_eq!(connack.properties.string(property::AUTHENTICATION_METHOD).as_deref(), Some(METHOD));
    assert!(!connack.properties.ids().contains(&property::AUTHENTICATION_DATA));
    client
}

/// Shows another token.
#[track_caller]
fn renew(client: &mut Five, token: &str) {
    client.send(&auth(0x19, &says(METHOD, token)));
    assert_eq!(client.expect_auth(0x00, METHOD), "");
}

/// For this user, for so many seconds.
fn ending(user: &str, seconds: u64) -> String {
    hs256(&json!({ "sub": user, "exp": now() + seconds }))
}

#[test]
fn an_enhanced_token_is_checked_like_a_password_token() {
    let broker = Broker::new(config(|_| {}));
    let good = for_an_hour("bob");
    let_in(&broker, &connect("c", &good)).leave();
    // its name may be said, and is no other
    let named = |user: &str| Connect { flags: 0x82, user: raw::text(user), ..connect("c", &good) };
    let_in(&broker, &named("bob")).leave();
    let ended = hs256(&json!({ "sub": "bob", "exp": now() - 600 }));
    let cases = [
        (named("eve"), 0x86),
        (connect("c", &ended), 0x86),
        (connect("c", &format!("{good}x")), 0x86),
        (connect("c", "password"), 0x87),
        (connect("c", ""), 0x87),
        (Connect::new("c").with(Properties::new().text(property::AUTHENTICATION_METHOD, METHOD)), 0x87),
        (Connect::new("c").with(says("SCRAM-SHA-256", &good)), 0x8C),
        (Connect::new("c").with(says("oauth2-jwt", &good)), 0x8C),
    ];
    for (connect, code) in cases {
        let (mut client, connack) = Five::connect(broker.address(), &connect);
        assert_eq!((connack.flags, connack.code, connack.properties), (0, code, Properties::new()));
        client.expect_closed();
    }
    broker.expect_counts(&[(Count::RefusedLogins, 6)]);
}

#[test]
fn a_connection_outlives_its_first_token_and_ends_with_its_last() {
    let recorder = Arc::<Recorder>::default();
    let observe = recorder.clone();
    let config = config(|auth| auth.token_leeway = Duration::ZERO);
    let broker = Broker::build(config, |b| b.observe(observe));
    let lasting = |id: &str, token: &str| connect(id, token).lasting(1_000);
    let mut stays = let_in(&broker, &lasting("stays", &ending("bob", 600)));
    let mut ends = let_in(&broker, &lasting("ends", &ending("bob", 600)));
    ends.subscribe(&[("t", 1)]);
    broker.turn(Duration::from_secs(500));
    // by people's clock, of which the broker's is ahead by now
    renew(&mut stays, &ending("bob", 1_100));
    broker.turn(Duration::from_secs(101));
    ends.expect_disconnect(0xA0);
    recorder.wait_for("disconnect ends TokenEnded");
    stays.expect_nothing_pending();
    // the session stays and queues messages
    assert_eq!(stays.publish(&Publish::new("t", "kept").qos(1)), 0);
    let mut back = Five::accepted(broker.address(), &lasting("ends", &ending("bob", 2_000)).resume(), 1);
    assert_eq!(back.take().text(), "kept");
    broker.turn(Duration::from_secs(500));
    stays.expect_disconnect(0xA0);
    back.expect_nothing_pending();
}

#[test]
fn a_later_token_changes_rights_but_not_the_user() {
    let broker = Broker::new(config(|_| {}));
    let may = |topics: &[&str]| {
        hs256(&json!({ "sub": "bob", "exp": now() + 600, "acl": { "publish": topics, "subscribe": topics } }))
    };
    let mut client = let_in(&broker, &connect("c", &may(&["a", "b"])));
    client.subscribe(&[("a", 1), ("b", 1)]);
    assert_eq!(client.publish(&Publish::new("a", "1").qos(1)), 0);
    assert_eq!(client.take().text(), "1");
    renew(&mut client, &may(&["b"]));
    // also where its last PUBLISH was of that topic
    assert_eq!(client.publish(&Publish::new("a", "2").qos(1)), 0x87);
    assert_eq!(client.publish(&Publish::new("b", "3").qos(1)), 0);
    assert_eq!(client.take().text(), "3");
    let mut other = broker.connect(&raw::Connect::new("other").user("eve", &for_an_hour("eve")), 0);
    other.publish(Message::new("a", "not read").qos(1));
    client.expect_nothing_pending();
    // back again: what waited for the right is delivered
    renew(&mut client, &may(&["a", "b"]));
    client.send(&auth(0x19, &says(METHOD, for_an_hour("eve"))));
    client.expect_disconnect(0x87);
    for wrong in ["no token", "", &format!("{}x", for_an_hour("bob"))] {
        let mut client = let_in(&broker, &connect("c", &for_an_hour("bob")));
        client.send(&auth(0x19, &says(METHOD, wrong)));
        client.expect_disconnect(0x87);
    }
}

#[test]
fn removing_a_key_closes_the_connections_of_its_tokens() {
    let mut broker = Broker::new(config(|_| {}));
    let mut client = let_in(&broker, &connect("c", &for_an_hour("bob")));
    renew(&mut client, &for_an_hour("bob"));
    broker.reload(|config| config.auth.token_secret = Some(dunlin::config::Secret(SECRET.replace('0', "1"))));
    client.expect_disconnect(0x98);
}

#[test]
fn a_certificate_and_a_token_have_to_name_the_same_user() {
    use crate::support::secure::{Certs, secure};
    use dunlin::{
        Config,
        config::{CertificateIdentity, ClientCertificates},
    };
    use std::io::Write;

    let (certs, _files) = (Certs::new(), Files::new());
    let mut listener = certs.listener(Transport::Tls);
    listener.client_ca_file = Some(certs.path("ca.pem"));
    listener.client_certificates = ClientCertificates::Required;
    listener.identity = Some(CertificateIdentity::CommonName);
    let broker = Broker::new(Config { listeners: vec![listener], ..config(|_| {}) });
    for (user, code) in [("lamp", 0), ("bob", 0x86)] {
        let mut stream = secure(broker.address(), &certs.lamp());
        stream.write_all(&connect("c", &for_an_hour(user)).frame()).unwrap();
        let (first, body) = crate::support::scram::packet(&mut stream);
        assert_eq!((first, body[1]), (0x20, code), "{user}");
    }
}
