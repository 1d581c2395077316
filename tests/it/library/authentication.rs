//! Enhanced authentication by a plug-in: challenges, late verdicts, CONNACK, panics.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dunlin::{
    Authenticate, Config, Credentials, Identity, ReasonCode, Refusal, Verdict,
    config::Limits,
    router::{Admitted, Authentication, Count, Exchange},
};

use crate::support::{
    Broker, config,
    five::{Connect, Five, Properties, property},
    scram::{auth, says},
};

/// Exchanges as many packets as the client's first data says; later data decide the result.
#[derive(Default)]
struct Asks(Arc<AtomicUsize>);

struct Asked {
    more: usize,
    unfinished: Arc<AtomicUsize>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.unfinished.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Authenticate for Asks {
    fn serves(&self, method: &str) -> bool {
        method.starts_with("ask")
    }

    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        let identity = Identity { user: credentials.username.map(Into::into), ..Identity::default() };
        let Some(Authentication { method, data }) = credentials.authentication else {
            // of a client that names no method
            return match credentials.client_id {
                "asked" => ask(1, self.0.clone()),
                _ => Verdict::Decided(Ok(Admitted { identity, data: Some(b"not said".to_vec()) })),
            };
        };
        assert!(
            method.starts_with("ask") && credentials.properties.has(dunlin::codec::PropertyId::AuthenticationMethod)
        );
        match data {
            None => Ok(identity).into(),
            Some(data) => ask(std::str::from_utf8(data).unwrap().parse().unwrap(), self.0.clone()),
        }
    }
}

fn ask(more: usize, unfinished: Arc<AtomicUsize>) -> Verdict {
    unfinished.fetch_add(1, Ordering::SeqCst);
    Verdict::Continue { data: format!("{more} more").into(), exchange: Box::new(Asked { more, unfinished }) }
}

impl Exchange for Asked {
    fn answer(self: Box<Self>, data: &[u8]) -> Verdict {
        let done =
            |data: &str| Verdict::Decided(Ok(Admitted { identity: Identity::default(), data: Some(data.into()) }));
        match (data, self.more) {
            (b"later", _) => {
                let unfinished = self.unfinished.clone();
                let more = self.more - 1;
                Verdict::Later(Box::pin(async move {
                    tokio::task::yield_now().await;
                    // a verdict to come, of which another one comes
                    Verdict::Queued(Box::pin(async move {
                        tokio::task::yield_now().await;
                        ask(more, unfinished)
                    }))
                }))
            }
            (b"never", _) => Verdict::Later(Box::pin(std::future::pending())),
            (b"refuse", _) => Err(Refusal::new(ReasonCode::Banned, "it says so")).into(),
            (b"panic", _) => panic!("a plug-in that panics"),
            (b"much", _) => done(&"x".repeat(65_536)),
            (_, 1) => done("done"),
            (_, more) => ask(more - 1, self.unfinished.clone()),
        }
    }
}

fn broker() -> (Broker, Arc<AtomicUsize>) {
    let asks = Asks::default();
    let unfinished = asks.0.clone();
    // what ends gives its place back
    let limits = Limits { max_connections: 2, ..Limits::default() };
    (Broker::build(Config { limits, ..config() }, |builder| builder.authenticate(Arc::new(asks))), unfinished)
}

/// A client that is asked this.
#[track_caller]
fn asked(broker: &Broker, data: &str) -> Five {
    let mut client = Five::open(broker.address());
    client.send(&Connect::new("c").with(says("ask", data)).frame());
    assert_eq!(client.expect_auth(0x18, "ask"), format!("{data} more"));
    client
}

fn answer(data: &str) -> Vec<u8> {
    auth(0x18, &says("ask", data))
}

#[test]
fn a_plug_in_may_exchange_any_number_of_auth_packets() {
    let (broker, unfinished) = broker();
    let mut client = asked(&broker, "4");
    client.send(&answer("a"));
    assert_eq!(client.expect_auth(0x18, "ask"), "3 more");
    client.send(&answer("later"));
    assert_eq!(client.expect_auth(0x18, "ask"), "2 more");
    // without data
    client.send(&auth(0x18, &Properties::new().text(property::AUTHENTICATION_METHOD, "ask")));
    assert_eq!(client.expect_auth(0x18, "ask"), "1 more");
    client.send(&answer("b"));
    let connack = client.connack();
    assert_eq!(connack.code, 0);
    assert_eq!(connack.properties.string(property::AUTHENTICATION_METHOD).as_deref(), Some("ask"));
    assert_eq!(connack.properties.string(property::AUTHENTICATION_DATA).as_deref(), Some("done"));
    // once more, while it is connected
    client.send(&auth(0x19, &says("ask", "2")));
    assert_eq!(client.expect_auth(0x18, "ask"), "2 more");
    client.send(&answer("later"));
    assert_eq!(client.expect_auth(0x18, "ask"), "1 more");
    client.send(&answer("c"));
    assert_eq!(client.expect_auth(0x00, "ask"), "done");
    client.send(&auth(0x19, &Properties::new().text(property::AUTHENTICATION_METHOD, "ask")));
    assert_eq!(client.expect_auth(0x00, "ask"), "");
    client.expect_nothing_pending();
    assert_eq!(unfinished.load(Ordering::SeqCst), 0);
}

#[test]
fn a_plug_in_that_refuses_or_panics_ends_one_connection() {
    let (broker, unfinished) = broker();
    let mut other = Five::accepted(broker.address(), &Connect::new("other"), 0);
    let mut client = asked(&broker, "2");
    client.send(&answer("refuse"));
    client.expect_refused(0x8A);
    let mut client = asked(&broker, "2");
    client.send(&answer("panic"));
    client.expect_closed();
    let mut client = asked(&broker, "2");
    client.send(&answer("much"));
    client.expect_refused(0x95);
    for end in ["refuse", "panic"] {
        let (mut client, connack) = Five::connect(broker.address(), &Connect::new("c").with(method("ask")));
        assert_eq!(connack.code, 0);
        client.send(&auth(0x19, &says("ask", "1")));
        client.expect_auth(0x18, "ask");
        client.send(&answer(end));
        match end {
            "refuse" => client.expect_disconnect(0x87),
            _ => client.expect_closed(),
        }
    }
    other.expect_nothing_pending();
    assert_eq!(unfinished.load(Ordering::SeqCst), 0);
}

fn method(method: &str) -> Properties {
    Properties::new().text(property::AUTHENTICATION_METHOD, method)
}

#[test]
fn a_client_without_a_method_is_neither_asked_nor_told() {
    let (broker, _) = broker();
    let (mut client, connack) = Five::connect(broker.address(), &Connect::new("c"));
    assert_eq!(connack.code, 0);
    assert!(!connack.properties.ids().iter().any(|id| [0x15, 0x16].contains(id)));
    client.expect_nothing_pending();
    let (mut client, connack) = Five::connect(broker.address(), &Connect::new("asked"));
    assert_eq!(connack.code, 0x87);
    client.expect_closed();
    let (mut client, connack) = Five::connect(broker.address(), &Connect::new("c").with(method("other")));
    assert_eq!(connack.code, 0x8C);
    client.expect_closed();
    // of 3.1.1
    broker.client("plain").expect_nothing_pending();
}

#[test]
fn a_missing_verdict_ends_with_the_connect_timeout() {
    let (broker, unfinished) = broker();
    let mut client = asked(&broker, "1");
    client.send(&answer("never"));
    let (mut again, _) = Five::connect(broker.address(), &Connect::new("again").with(method("ask")));
    again.send(&auth(0x19, &says("ask", "1")));
    again.expect_auth(0x18, "ask");
    again.send(&answer("never"));
    again.expect_nothing_pending();
    broker.turn(Limits::default().connect_timeout + Duration::from_secs(1));
    client.expect_closed();
    again.expect_disconnect(0x87);
    broker.expect_counts(&[(Count::ConnectTimeouts, 2)]);
    assert_eq!(unfinished.load(Ordering::SeqCst), 0);
}
