//! Rates of publishing and connecting. The test advances the clock, which also runs by itself, so that a little more
//! than the advanced time allows may arrive.

use std::time::{Duration, Instant};

use dunlin::{
    Config,
    config::{Limits, ListenerConfig, PublishRateAction},
    router::Count,
};

use crate::support::{
    Broker, config,
    raw::{Client, Connect, Message, PINGREQ, PINGRESP, connack},
};

const SECOND: Duration = Duration::from_secs(1);

/// Turns the clock by a second at a time until so many are counted; in each since `begin`, no more than `rate` may have
/// come. Gives the seconds.
#[track_caller]
fn turn_until(broker: &Broker, begin: Instant, count: Count, expected: u64, rate: u64) -> u64 {
    let mut turned = 0;
    loop {
        let got = broker.count(count);
        let most = rate * (2 + turned + begin.elapsed().as_secs());
        assert!(got <= most, "{got} in {turned} s, {rate} a second");
        if got >= expected {
            return turned;
        }
        broker.turn(SECOND);
        turned += 1;
        assert!(begin.elapsed() < crate::support::GUARD, "{got} of {expected} {count:?} have come");
    }
}

/// So many numbered messages in one write.
fn burst(client: &mut Client, count: u64) {
    client.send(&(1..=count).flat_map(|n| Message::new("t", &n.to_string()).frame()).collect::<Vec<_>>());
}

#[test]
fn a_client_that_publishes_too_fast_is_slowed_without_loss() {
    const COUNT: u64 = 100;
    let limits = Limits { publish_rate: Some(2), ..Limits::default() };
    let (broker, recorder) = Broker::observed(limits);
    let mut subscriber = broker.client("subscriber");
    subscriber.subscribe(&[("t", 0)]);
    let mut fast = broker.connect(&Connect::new("fast").keep_alive(2), 0);
    let begin = Instant::now();
    burst(&mut fast, COUNT);
    fast.send(PINGREQ);
    // far longer than its Keep Alive
    let seconds = turn_until(&broker, begin, Count::PublishReceived, COUNT, 2);
    assert!(seconds > 10, "{seconds} s");
    for n in 1..=COUNT {
        subscriber.expect_message("t", &n.to_string(), 0);
    }
    // what came behind the messages is answered
    fast.expect(PINGRESP);
    assert_eq!(recorder.lines("disconnect fast"), [""; 0]);
    broker.expect_counts(&[(Count::PublishRate, 1), (Count::PublishDropped, 0)]);
    // it is heard again; if it is silent then, it is closed
    broker.turn(10 * SECOND);
    recorder.wait_for("disconnect fast KeepAliveTimeout");
}

#[test]
fn a_rate_in_bytes_accepts_a_message_larger_than_the_burst() {
    let limits = Limits { publish_bytes_rate: Some(1_000), ..Limits::default() };
    let (broker, recorder) = Broker::observed(limits);
    let mut subscriber = broker.client("subscriber");
    subscriber.subscribe(&[("t", 1)]);
    let mut fast = broker.client("fast");
    for size in [200_000, 20_000, 10] {
        fast.send(&Message::new("t", &"x".repeat(size)).qos(1).id(1).frame());
    }
    let begin = Instant::now();
    let mut turned = 0;
    while broker.count(Count::PublishReceived) < 3 {
        broker.turn(10 * SECOND);
        turned += 10;
        assert!(begin.elapsed() < crate::support::GUARD, "the last message comes");
    }
    assert!(turned + begin.elapsed().as_secs() >= 218, "{turned} s");
    for size in [200_000, 20_000, 10] {
        assert_eq!(subscriber.take().payload.len(), size);
    }
    assert_eq!(recorder.lines("disconnect fast"), [""; 0]);
}

#[test]
fn a_client_that_publishes_too_fast_is_disconnected_if_configured() {
    let limits = Limits {
        publish_rate: Some(1),
        publish_burst: 10 * SECOND,
        publish_rate_action: PublishRateAction::Disconnect,
        ..Limits::default()
    };
    let (broker, recorder) = Broker::observed(limits);
    let (mut well, mut fast) = (broker.client("well"), broker.client("fast"));
    // twice the burst
    for _ in 0..2 {
        for n in 1..=10 {
            well.publish(Message::new("t", &n.to_string()).qos(1));
        }
        broker.turn(10 * SECOND);
    }
    burst(&mut fast, 1_000);
    recorder.wait_for("disconnect fast PublishRate");
    well.expect_nothing_pending();
    broker.expect_counts(&[(Count::PublishRate, 1)]);
    // the burst, what came while it was taken, and the one that was too many
    let taken = broker.count(Count::PublishReceived) - 20;
    assert!((10..100).contains(&taken), "{taken}");
}

#[test]
fn a_listener_has_rates_of_its_own_and_a_reload_changes_them() {
    let listener = |publish_rate| ListenerConfig {
        publish_rate,
        ..ListenerConfig::tcp(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
    };
    let listeners = vec![listener(None), listener(Some(None)), listener(Some(Some(4)))];
    let limits = Limits { publish_rate: Some(2), ..Limits::default() };
    let mut broker = Broker::new(Config { listeners, limits, ..config() });
    let mut clients = [0, 1, 2].map(|listener| {
        let mut client = Client::on(std::net::TcpStream::connect(broker.server.local_addrs()[listener]).unwrap());
        client.send(&Connect::new(&format!("at {listener}")).frame());
        client.expect(&connack(0, 0));
        client
    });
    // without a rate, at once
    burst(&mut clients[1], 1_000);
    clients[1].expect_nothing_pending();
    broker.expect_counts(&[(Count::PublishReceived, 1_000), (Count::PublishRate, 0)]);
    let before = Instant::now();
    burst(&mut clients[2], 40);
    let seconds = turn_until(&broker, before, Count::PublishReceived, 1_040, 1_000);
    assert!(seconds + before.elapsed().as_secs() >= 8, "{seconds} s");
    // a waiting client continues at once when the rate is removed
    burst(&mut clients[0], 1_000);
    broker.reload(|config| config.limits.publish_rate = None);
    broker.turn(SECOND);
    clients[0].expect_nothing_pending();
    broker.expect_counts(&[(Count::PublishReceived, 2_040)]);
}

#[test]
fn connections_beyond_their_rate_wait_and_none_is_refused() {
    const COUNT: u64 = 40;
    let broker = Broker::limits(Limits { connect_rate: Some(2), ..Limits::default() });
    let begin = Instant::now();
    let mut clients: Vec<_> = (0..COUNT).map(|n| (n, broker.open())).collect();
    for (n, client) in &mut clients {
        client.send(&Connect::new(&format!("c{n}")).frame());
    }
    let seconds = turn_until(&broker, begin, Count::Connects, COUNT, 2);
    assert!(seconds > 10, "{seconds} s");
    for (_, client) in &mut clients {
        client.expect(&connack(0, 0));
    }
    let waited = broker.count(Count::ConnectRate);
    assert!((10..COUNT).contains(&waited), "{waited}");
    broker.expect_counts(&[(Count::RefusedConnections, 0), (Count::RefusedConnecting, 0), (Count::ConnectTimeouts, 0)]);
}
