//! Publishers beside webhooks whose services fail: their round trips take no longer.

use std::time::{Duration, Instant};

use dunlin::{Builder, Config, Server};

use super::{
    client,
    service::{Does, Service},
};
use crate::support::{
    config,
    raw::{Client, Message},
    shut_down, start,
};

/// Round trips of one round.
const TRIPS: usize = 300;
/// Rounds of each broker in one comparison.
const ROUNDS: usize = 9;
/// Comparisons, of which one has to succeed: other processes use the machine, too.
const TRIES: usize = 8;

/// A broker with a webhook for published messages at each of these services.
fn beside(services: &[Service]) -> Server {
    let table = |(number, service): (usize, &Service)| {
        let url = format!("http://{}/", service.address);
        format!("[[webhook]]\nname = 'w{number}'\nurl = '{url}'\nevents = ['message.published']\nqueue = 100\n")
    };
    let text: String = services.iter().enumerate().map(table).collect();
    let webhooks = dunlin::config::parse(&text, "test").expect("the webhooks are right").webhooks;
    start(Builder::new(Config { webhooks, ..config() }))
}

/// The 99th percentile of the round trips of one round at QoS 1.
fn p99(publisher: &mut Client) -> Duration {
    let mut trips: Vec<_> = (0..TRIPS)
        .map(|_| {
            let began = Instant::now();
            publisher.publish(Message::new("t", "0123456789").qos(1));
            began.elapsed()
        })
        .collect();
    trips.sort_unstable();
    trips[TRIPS * 99 / 100]
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

#[test]
fn round_trips_of_a_publisher_are_as_short_beside_webhook_services_that_sleep_fail_or_reset() {
    let services = [Does::Waits, Does::Answers(500), Does::Ends].map(|does| Service::new(move |_| does));
    let (with, without) = (beside(&services), beside(&[]));
    let (mut slowed, mut free) = (client(&with, "p"), client(&without, "p"));
    // the buffers and the queues fill
    p99(&mut slowed);
    p99(&mut free);
    let compare = |_| {
        let rounds: (Vec<_>, Vec<_>) = (0..ROUNDS).map(|_| (p99(&mut slowed), p99(&mut free))).unzip();
        (median(rounds.0), median(rounds.1))
    };
    let is_as_short = |(with, without): &(Duration, Duration)| {
        let (with, without) = (*with, *without);
        with <= (without + without / 10).max(without + Duration::from_millis(1))
    };
    let mut seen = Vec::new();
    let found = (0..TRIES).map(compare).inspect(|one| seen.push(*one)).any(|one| is_as_short(&one));
    assert!(found, "with and without webhooks: {seen:?}");
    for (webhook, service) in with.webhooks().iter().zip(&services) {
        assert!(webhook.counts.sent == 0 && webhook.counts.lost > 0, "{webhook:?}");
        assert!(!service.requests().is_empty(), "{webhook:?}");
    }
    services.iter().for_each(Service::go_on);
    shut_down(with);
    shut_down(without);
}
