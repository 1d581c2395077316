//! The log lines about denied access.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::hmac;

use super::{
    connections::{configured, has},
    field,
};
use crate::support::raw::{Client, Connect, Message, connack, suback, subscribe};

const ACL: &str = "topic readwrite open/#\ntopic deny closed/#\n";

#[test]
fn a_denial_is_logged_once_for_a_client_and_topic() {
    let (_certs, mut running) = configured(
        "workers = 1\nallow_anonymous = true\n[[listener]]\naddress = '127.0.0.1:0'\n\
         [auth]\npassword_file = 'DIR/passwords'\nacl_file = 'DIR/acl'\n",
        &[("acl", &format!("{ACL}user alice\ntopic write alice/#\n"))],
    );
    let address = running.addresses[0];
    let mut alice = Client::open(address);
    let will = Message::new("last/words", "x");
    alice.send(&Connect::new("a lamp").user("alice", "wonderland").will(&will).frame());
    alice.expect(&connack(0, 0));
    let who = [("client", "\"a lamp\""), ("user", "alice")];
    let line = running.wait_for("access denied");
    has(&line, &who);
    has(&line, &[("action", "will"), ("topic", "last/words")]);
    assert!(line.contains("INFO"), "{line}");

    for _ in 0..100 {
        alice.publish(Message::new("closed/t", "x").qos(1));
    }
    let line = running.wait_for("access denied");
    has(&line, &who);
    has(&line, &[("action", "publish"), ("topic", "closed/t")]);
    alice.publish(Message::new("closed/a=b \"c\"", "x").qos(1));
    has(&running.wait_for("access denied"), &[("topic", r#""closed/a=b \"c\"""#)]);

    let mut reader = running.client("reader");
    reader.subscribe(&[("#", 1)]);
    for _ in 0..100 {
        alice.publish(Message::new("alice/secret", "x").qos(1));
    }
    let line = running.wait_for("access denied");
    has(&line, &[("action", "receive"), ("client", "reader"), ("topic", "alice/secret")]);
    assert_eq!(field(&line, "user"), None, "{line}");

    // a subscription to what it may not read is granted to a client of 3.1.1, and the log says so
    for _ in 0..3 {
        reader.subscribe(&[("alice/+", 1)]);
    }
    let line = running.wait_for("subscription without messages");
    has(&line, &[("client", "reader"), ("topic", "alice/+")]);

    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
    let denied: Vec<_> = running.read.iter().filter(|line| line.contains("denied")).collect();
    assert_eq!(denied.len(), 5, "{denied:#?}");
    has(denied[4], &[("number", "200")]);
}

#[test]
fn a_subscription_that_is_refused_is_a_line() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let (_certs, mut running) = configured(
        "[[listener]]\naddress = '127.0.0.1:0'\n[auth]\ntoken_secret_file = 'DIR/secret'\n",
        &[("secret", SECRET)],
    );
    let claims = r#"{"sub":"bob","exp":4102444800,"acl":{"subscribe":["open/#"]}}"#;
    let message = [r#"{"alg":"HS256","typ":"JWT"}"#, claims].map(|part| BASE64.encode(part)).join(".");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), message.as_bytes());
    let token = format!("{message}.{}", BASE64.encode(signature));
    let mut client = Client::open(running.addresses[0]);
    client.send(&Connect::new("reader").user("bob", &token).frame());
    client.expect(&connack(0, 0));
    client.send(&subscribe(1, &[("open/t", 1), ("closed/#", 1), ("$share/g/closed/t", 1), ("$share//open/t", 1)]));
    client.expect(&suback(1, &[1, 0x80, 0x80, 0x80]));
    let who = [("client", "reader"), ("user", "bob")];
    let line = running.wait_for("access denied");
    has(&line, &who);
    has(&line, &[("action", "subscribe"), ("topic", "closed/#")]);
    let line = running.wait_for("access denied");
    has(&line, &[("action", "subscribe"), ("topic", "$share/g/closed/t")]);
    let line = running.wait_for("subscription refused");
    has(&line, &who);
    has(&line, &[("topic", "$share//open/t")]);
    assert!(line.contains("names no group (`$share/group/filter`)"), "{line}");
    running.stop();
}

#[test]
fn denials_of_many_topics_are_summed_up() {
    const MANY: usize = 300;
    let (_certs, mut running) = configured(
        "workers = 1\n[[listener]]\naddress = '127.0.0.1:0'\n[auth]\nacl_file = 'DIR/acl'\n",
        &[("acl", ACL)],
    );
    let mut client = running.client("c");
    (0..MANY).for_each(|n| client.publish(Message::new(&format!("t/{n}"), "").qos(1)));
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
    let (sums, told): (Vec<_>, Vec<_>) =
        running.read.iter().filter(|line| line.contains("denied")).partition(|line| line.contains("number="));
    let left_out: usize = sums.iter().filter_map(|line| field(line, "number")?.parse::<usize>().ok()).sum();
    assert_eq!(told.len() + left_out, MANY);
    assert!(told.len() <= 100, "{}", told.len());
}
