//! Services that answer too late, ask for patience or use TLS; the bounds of the queue in bytes.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use dunlin::{Builder, Config, WebhookView};

use super::{
    client, hooked,
    service::{Does, Service},
    view, wait_until_sent,
};
use crate::support::{Broker, config, raw::Message, secure::Certs, shut_down, start, wait_until};

fn error(view: &WebhookView) -> String {
    view.error.as_ref().map(|(why, _)| why.clone()).unwrap_or_default()
}

#[test]
fn a_request_without_an_answer_in_time_is_sent_again() {
    let service = Service::new(|number| if number == 0 { Does::Sleeps } else { Does::Answers(200) });
    let broker = Broker::new(hooked(&service, "'client.connected'", "timeout = '1000s'\nlinger = '0s'"));
    let _one = broker.client("a");
    wait_until(|| service.requests().len() == 1, || "there is no request".into());
    broker.turn(Duration::from_secs(999));
    assert_eq!(view(&broker.server).counts.failed, 0);
    broker.turn(Duration::from_secs(2));
    wait_until(|| view(&broker.server).counts.failed == 1, || format!("{:?}", view(&broker.server)));
    let told = view(&broker.server);
    assert!(told.fails && error(&told).contains("no answer within 1000s"), "{told:?}");
    broker.turn_until(Duration::from_secs(1), || service.requests().len() == 2);
    wait_until(|| view(&broker.server).counts.sent == 1, || format!("{:?}", view(&broker.server)));
    let requests = service.requests();
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    let told = view(&broker.server);
    assert!(!told.fails && told.counts.failed == 1, "{told:?}");
}

#[test]
fn a_request_is_not_sent_again_before_the_time_in_retry_after() {
    let attempts = AtomicUsize::new(0);
    // the first event is refused for a while; others are not
    let service = Service::judging(move |request| {
        if !request.body.contains("first") {
            return Does::Answers(200);
        }
        match attempts.fetch_add(1, Ordering::SeqCst) {
            0 => Does::RetryAfter(429, 300),
            1 => Does::RetryAfter(503, 1_200),
            _ => Does::Answers(200),
        }
    });
    let more = "payload = 'text'\nlinger = '0s'\ntimeout = '1d'";
    let broker = Broker::new(hooked(&service, "'message.published'", more));
    let asked = |text: &str| service.requests().iter().filter(|request| request.body.contains(text)).count();
    // some of these clients are in other lanes than the first one: an event of theirs shows that the webhook has seen
    // everything that happened before
    let sees = |name: String| {
        for n in 0..10 {
            broker.client(&format!("{name}-{n}")).publish(Message::new("t", "other").qos(1));
        }
        wait_until(|| asked(&format!("{name}-")) > 0, || format!("{:?}", view(&broker.server)));
    };
    broker.client("a").publish(Message::new("t", "first").qos(1));
    for (attempt, seconds) in [(1, 300), (2, 1_200)] {
        wait_until(|| view(&broker.server).counts.failed == attempt, || format!("{:?}", view(&broker.server)));
        sees(format!("begin-{attempt}"));
        broker.turn(Duration::from_secs(seconds - 1));
        sees(format!("end-{attempt}"));
        assert_eq!(asked("first") as u64, attempt, "it was sent again too early");
        broker.turn(Duration::from_secs(2));
        wait_until(|| asked("first") as u64 == attempt + 1, || format!("{:?}", view(&broker.server)));
    }
    wait_until(|| view(&broker.server).counts.sent == 41, || format!("{:?}", view(&broker.server)));
    assert_eq!(view(&broker.server).counts.failed, 2);
}

#[test]
fn a_webhook_over_tls_believes_the_authorities_of_its_file() {
    let (certs, others) = (Certs::new(), Certs::new());
    let service = Service::secured(&certs, |_| Does::Answers(200));
    let with = |authorities: &Certs| {
        let text = format!(
            "[[webhook]]\nname = 'w'\nurl = 'https://localhost:{}/hook'\nevents = ['client.connected']\nlinger = \
             '1ms'\nca_file = '{}'\n",
            service.address.port(),
            authorities.path("ca.pem").display()
        );
        let webhooks = dunlin::config::parse(&text, "test").expect("the webhook is right").webhooks;
        start(Builder::new(Config { webhooks, ..config() }))
    };
    let server = with(&others);
    let _one = client(&server, "a");
    wait_until(|| view(&server).fails, || format!("{:?}", view(&server)));
    assert!(error(&view(&server)).to_lowercase().contains("certificate"), "{:?}", view(&server));
    assert!(service.requests().is_empty());
    shut_down(server);
    let server = with(&certs);
    let _one = client(&server, "b");
    wait_until_sent(&server, 1);
    assert_eq!(view(&server).counts.failed, 0);
    shut_down(server);
    assert_eq!(service.events()[0]["data"]["client_id"], "b");
}

#[test]
fn a_queue_is_bounded_in_bytes() {
    let service = Service::new(|number| if number == 0 { Does::Waits } else { Does::Answers(200) });
    let more = "payload = 'text'\nqueue_bytes = 5000\nbatch = 1";
    let server = start(Builder::new(hooked(&service, "'message.published'", more)));
    let mut one = client(&server, "a");
    let text = "x".repeat(1_000);
    one.publish(Message::new("t", &text).qos(1));
    wait_until(|| !service.requests().is_empty(), || "there is no request".into());
    // an event has its payload and about 400 bytes more
    (1..20).for_each(|_| one.publish(Message::new("t", &text).qos(1)));
    wait_until(|| view(&server).counts.lost == 17, || format!("{:?}", view(&server)));
    assert_eq!(view(&server).counts.queued, 3);
    // small ones still fit
    one.publish(Message::new("t", "small").qos(1));
    wait_until(|| view(&server).counts.queued == 4, || format!("{:?}", view(&server)));
    service.go_on();
    wait_until_sent(&server, 4);
    // there is room again
    one.publish(Message::new("t", &text).qos(1));
    wait_until_sent(&server, 5);
    assert_eq!(view(&server).counts.lost, 17);
    shut_down(server);
    let lost: u64 = service.events().iter().filter_map(|event| event["data"]["lost"].as_u64()).sum();
    assert_eq!(lost, 17);
}

#[test]
fn a_durable_queue_is_bounded_in_bytes() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let service = Service::new(|number| if number == 0 { Does::Waits } else { Does::Answers(200) });
    let more = "payload = 'text'\nqueue_bytes = 5000\nbatch = 1\ndurable = true";
    let hooked = hooked(&service, "'message.published'", more);
    let server = start(Builder::new(Config { data_dir: Some(dir.path().join("data")), ..hooked }));
    let mut one = client(&server, "a");
    // topic and payload have 1,000 bytes
    let text = "x".repeat(999);
    one.publish(Message::new("t", &text).qos(1));
    wait_until(|| !service.requests().is_empty(), || "there is no request".into());
    // each of them is acknowledged; the first one is being sent
    (1..20).for_each(|_| one.publish(Message::new("t", &text).qos(1)));
    let counts = view(&server).counts;
    assert_eq!((counts.queued, counts.lost), (6, 14));
    service.go_on();
    wait_until_sent(&server, 6);
    shut_down(server);
    let lost: u64 = service.events().iter().filter_map(|event| event["data"]["lost"].as_u64()).sum();
    assert_eq!(lost, 14);
}
