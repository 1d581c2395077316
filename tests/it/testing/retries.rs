//! Other parts of the broker follow the clock that a test turns: tokens, and the retries of bridges and webhooks.

use std::{net::TcpListener, sync::mpsc, thread};

use dunlin::{Config, testing::Options};
use serde_json::json;

use super::Bench;
use crate::{
    access::tokens,
    support::{
        GUARD,
        raw::{Client, Connect},
        wait_until,
    },
    webhooks::service::{Does, Service},
};

/// A bench with bridges and webhooks.
fn bench(text: &str) -> Bench {
    let Config { bridges, webhooks, .. } = dunlin::config::parse(text, "test").unwrap();
    Bench::with(Options { config: Config { bridges, webhooks, ..Config::ephemeral() }, ..Options::default() })
}

/// Advances the clock, by more than the retry waits, until it happened. The wait may begin after the first advance.
fn advance_until(bench: &Bench, happened: impl Fn() -> bool) {
    let advance = || {
        bench.post("clock", json!({ "advance": "2h" }));
    };
    let holds = || {
        advance();
        happened()
    };
    wait_until(holds, || "no retry".into());
}

#[test]
fn a_client_is_disconnected_when_the_clock_passes_the_end_of_its_token() {
    let bench = Bench::with(Options { config: tokens::config(|_| ()), ..Options::default() });
    let connect = Connect::new("c").user("bob", &tokens::for_an_hour("bob"));
    let mut client = Client::accepted(bench.mqtt(), &connect, 0);
    bench.post("clock", json!({ "advance": "59m" }));
    client.expect_nothing_pending();
    bench.post("clock", json!({ "advance": "2m" }));
    bench.post("expect", json!({ "client": "c", "state": "gone", "within": 0 }));
    client.expect_closed();
    let mut refused = Client::open(bench.mqtt());
    refused.send(&connect.frame());
    refused.expect_refused(4);
}

#[test]
fn a_webhook_tries_again_when_the_clock_is_advanced() {
    let service = Service::new(|number| if number == 0 { Does::RetryAfter(503, 3600) } else { Does::Answers(200) });
    let url = format!("http://{}/hook", service.address);
    let bench =
        bench(&format!("[[webhook]]\nname = 'w'\nurl = '{url}'\nevents = ['client.connected']\nlinger = '1ms'\n"));
    bench.client("c");
    wait_until(|| service.requests().len() == 1, || "no request".into());
    advance_until(&bench, || service.requests().len() > 1);
    // an advance may also end the time of a request that waits for its answer
    let events = service.events();
    assert!(events.iter().all(|event| event["id"] == events[0]["id"]), "not the same event again: {events:?}");
}

#[test]
fn a_bridge_connects_again_when_the_clock_is_advanced() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let (tell, connections) = mpsc::channel();
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            drop(connection);
            if tell.send(()).is_err() {
                return;
            }
        }
    });
    let waits = "reconnect_min = '1h'\nreconnect_max = '1h'";
    let bench = bench(&format!("[[bridge]]\nname = 'b'\naddresses = ['{to}']\ntopics = ['a/# out 1']\n{waits}\n"));
    connections.recv_timeout(GUARD).expect("the bridge connects");
    advance_until(&bench, || connections.try_recv().is_ok());
}
