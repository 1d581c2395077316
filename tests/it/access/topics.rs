//! A service for mosquitto-go-auth that is asked about topics: `aclcheck_url`. The service is a thread of the test.

use std::time::Duration;

use dunlin::{
    config::{AuthHttpConfig, AuthHttpFormat, OnServiceError, SharedSubscriptions},
    router::Count,
};
use serde_json::{Value, json};

use super::{
    Files,
    services::{Service, asks, five_login, login},
};
use crate::support::{
    Broker, five,
    raw::{Client, Message, puback, suback, subscribe},
    shut_down, wait_until,
};

/// A service that lets these users in, and root as a superuser. `rights`: "user access topic".
fn service(users: &[&str], rights: &[&str]) -> Service {
    let service = Service::new(&[]);
    users.iter().chain(rights).for_each(|allowed| service.answers(allowed, 200, ""));
    service
}

fn config(service: &Service, change: impl FnOnce(&mut AuthHttpConfig)) -> dunlin::Config {
    let superusers = Service::new(&[("root", 200, "")]);
    service.answers("root", 200, "");
    asks(vec![service.config(|config| {
        config.format = AuthHttpFormat::GoAuth;
        config.superuser_url = Some(format!("http://{}/superuser", superusers.address));
        config.aclcheck_url = Some(format!("http://{}/acl", service.address));
        change(config);
    })])
}

fn broker(service: &Service) -> Broker {
    Broker::new(config(service, |_| ()))
}

/// A superuser that reads everything.
fn root(broker: &Broker) -> Client {
    let mut root = broker.connect(&login("root-1", "root"), 0);
    root.subscribe(&[("#", 1)]);
    root
}

#[test]
fn a_service_decides_about_topics() {
    let service = service(&["ann"], &["ann 2 a", "ann 4 f/#", "ann 1 f/1", "ann 1 f/3"]);
    let broker = broker(&service);
    let mut root = root(&broker);
    let mut ann = broker.connect(&login("c1", "ann"), 0);
    assert_eq!(service.asked(), 2);
    for (topic, payload) in [("a", "1"), ("b", "2"), ("a", "3"), ("b", "4"), ("a", "5")] {
        ann.publish(Message::new(topic, payload).qos(1));
    }
    for payload in ["1", "3", "5"] {
        root.expect_message("a", payload, 1);
    }
    assert_eq!(service.asked(), 4, "its answers are cached");
    let body: Value = serde_json::from_str(&service.last().body).unwrap();
    assert_eq!(body, json!({"username": "ann", "clientid": "c1", "topic": "b", "acc": 2}));
    ann.send(&subscribe(9, &[("f/#", 1), ("g", 1), ("$share/x/f/#", 0), ("f/#", 1)]));
    ann.expect(&suback(9, &[1, 0x80, 0, 1]));
    assert_eq!(service.asked(), 6);
    let mut publisher = broker.connect(&login("root-2", "root"), 0);
    for n in 1..5 {
        publisher.publish(Message::new(&format!("f/{n}"), &n.to_string()).qos(1));
        root.expect_message(&format!("f/{n}"), &n.to_string(), 1);
    }
    let mut five = five::Five::accepted(broker.address(), &five_login("c5", "ann"), 0);
    assert_eq!(five.publish(&five::Publish::new("b", "x").qos(1)), 0x87);
    assert_eq!(five.publish(&five::Publish::new("a", "x").qos(2)), 0);
    assert_eq!(five.ask(&five::Properties::new(), &[("f/#", 1), ("g", 1)]), [1, 0x87]);
}

#[test]
fn a_message_that_may_not_be_read_is_skipped_and_counted() {
    let service = service(&["ann"], &["ann 4 #", "ann 1 a", "ann 1 c"]);
    let mut config = config(&service, |_| ());
    config.http = crate::http::http("");
    config.http.metrics_open = true;
    let broker = Broker::new(config);
    let mut ann = broker.connect(&login("c1", "ann"), 0);
    ann.subscribe(&[("#", 2)]);
    let mut root = broker.connect(&login("root-1", "root"), 0);
    for qos in 0..3 {
        for topic in ["a", "b", "c"] {
            root.publish(Message::new(topic, &qos.to_string()).qos(qos));
        }
    }
    for qos in 0..3 {
        for topic in ["a", "c"] {
            ann.expect_message(topic, &qos.to_string(), qos);
        }
    }
    broker.wait_for_count(Count::DeniedDeliveries, 3);
    let metrics = crate::http::get(crate::http::address(&broker), "/metrics").body;
    for (answer, count) in [("allow", 3), ("deny", 1), ("error", 0)] {
        let line = format!("dunlin_auth_http_checks_total{{service=\"http\",answer=\"{answer}\"}} {count}");
        assert!(metrics.lines().any(|one| one == line), "no {line} in\n{metrics}");
    }
    assert_eq!(service.asked_about("ann 1 a") + service.asked_about("ann 1 b") + service.asked_about("ann 1 c"), 3);
}

#[test]
fn a_failed_question_about_a_topic_is_in_the_admin_api() {
    let (service, files) = (service(&["ann"], &["ann 2 a"]), Files::new());
    let mut config = config(&service, |_| ());
    config.http = crate::http::http("users = ['op:viewer']");
    config.auth.password_file = Some(files.users(&["op"]));
    let broker = Broker::new(config);
    let mut ann = broker.connect(&login("c1", "ann"), 0);
    ann.publish(Message::new("a", "1").qos(1));
    let shown = || -> Value {
        let headers = ["Authorization: Basic b3A6cG8="];
        let body = crate::http::ask(crate::http::address(&broker), "GET", "/api/v1/logins", &headers).body;
        serde_json::from_str::<Value>(&body).unwrap()["data"][0].take()
    };
    let one = shown();
    assert_eq!((&one["state"], &one["error"]), (&json!("working"), &json!(null)), "{one}");
    service.is_down(true);
    ann.publish(Message::new("b", "2").qos(1));
    let one = shown();
    assert_eq!((&one["state"], one["error"].is_string()), (&json!("failing"), true), "{one}");
    let counters = ["requests", "allowed", "denied", "failed", "cache_hits"];
    let counters = counters.map(|name| one["counters"][format!("topics_{name}")].as_u64().unwrap());
    assert_eq!(counters, [2, 1, 0, 1, 0], "{one}");
    service.is_down(false);
    ann.publish(Message::new("c", "3").qos(1));
    let one = shown();
    // the last failure stays
    assert_eq!((&one["state"], one["error"].is_string()), (&json!("working"), true), "{one}");
}

#[test]
fn retained_messages_are_asked_about() {
    let service = service(&["ann"], &["ann 4 #", "ann 1 a", "ann 1 c"]);
    let broker = broker(&service);
    let mut root = broker.connect(&login("root-1", "root"), 0);
    for topic in ["a", "b", "c"] {
        root.publish(Message::new(topic, "kept").qos(1).retain());
    }
    let mut ann = broker.connect(&login("c1", "ann"), 0);
    ann.send(&subscribe(1, &[("#", 1)]));
    ann.expect(&suback(1, &[1]));
    let mut topics: Vec<_> = (0..2).map(|_| ann.take().topic).collect();
    topics.sort();
    assert_eq!(topics, ["a", "c"]);
    root.publish(Message::new("a", "new").qos(1));
    ann.expect_message("a", "new", 1);
    broker.expect_counts(&[(Count::DeniedDeliveries, 1)]);
    // again, now that the answers are known
    ann.send(&subscribe(2, &[("#", 1)]));
    ann.expect(&suback(2, &[1]));
    let mut topics: Vec<_> = (0..2).map(|_| ann.take().topic).collect();
    topics.sort();
    assert_eq!(topics, ["a", "c"]);
}

#[test]
fn only_the_client_that_is_asked_about_waits() {
    let service = service(&["ann", "bob"], &["ann 2 slow", "ann 2 b", "ann 4 s/#", "bob 2 b"]);
    let broker = broker(&service);
    let mut root = root(&broker);
    let [mut ann, mut bob] = ["ann", "bob"].map(|user| broker.connect(&login(user, user), 0));
    ann.publish(Message::new("b", "0").qos(1));
    root.expect_message("b", "0", 1);
    service.holds(Some("ann 2 slow"));
    ann.send(&Message::new("slow", "1").qos(1).id(1).frame());
    ann.send(&Message::new("b", "2").qos(1).id(2).frame());
    ann.send(&subscribe(3, &[("s/#", 0)]));
    ann.send(&Message::new("slow", "3").qos(1).id(4).frame());
    wait_until(|| service.asked_about("ann 2 slow") == 1, || service.asked().to_string());
    for n in 0..100 {
        bob.publish(Message::new("b", &n.to_string()).qos(1));
        root.expect_message("b", &n.to_string(), 1);
    }
    ann.expect_no_bytes();
    service.holds(None);
    ann.expect(&puback(1));
    ann.expect(&puback(2));
    ann.expect(&suback(3, &[0]));
    ann.expect(&puback(4));
    for (topic, payload) in [("slow", "1"), ("b", "2"), ("slow", "3")] {
        root.expect_message(topic, payload, 1);
    }
    assert_eq!(service.asked_about("ann 2 slow"), 1);
    // while it waits for a SUBACK
    service.holds(Some("ann 4 t"));
    ann.send(&subscribe(5, &[("s/#", 0), ("t", 0)]));
    ann.send(&Message::new("b", "4").qos(1).id(6).frame());
    wait_until(|| service.asked_about("ann 4 t") == 1, || service.asked().to_string());
    ann.expect_no_bytes();
    service.holds(None);
    ann.expect(&suback(5, &[0, 0x80]));
    ann.expect(&puback(6));
}

#[test]
fn messages_wait_in_order_for_the_right_to_read_them() {
    let service = service(&["ann"], &["ann 4 t/#", "ann 1 t/1", "ann 1 t/2", "ann 1 t/3"]);
    let broker = broker(&service);
    let mut root = root(&broker);
    let mut ann = broker.connect(&login("c1", "ann"), 0);
    ann.subscribe(&[("t/#", 1)]);
    service.holds(Some("ann 1 t/2"));
    let mut publisher = broker.connect(&login("root-2", "root"), 0);
    for round in ["x", "y"] {
        for n in 1..4 {
            let topic = format!("t/{n}");
            publisher.publish(Message::new(&topic, round).qos((n % 2) as u8));
            root.expect_message(&topic, round, (n % 2) as u8);
        }
    }
    ann.expect_message("t/1", "x", 1);
    wait_until(|| service.asked_about("ann 1 t/2") == 1, || service.asked().to_string());
    // answers to its packets do not wait
    ann.expect_nothing_pending();
    service.holds(None);
    for (n, round) in [(2, "x"), (3, "x"), (1, "y"), (2, "y"), (3, "y")] {
        ann.expect_message(&format!("t/{n}"), round, n % 2);
    }
    // a client that leaves while it is asked about
    service.holds(Some("ann 1 t/4"));
    publisher.publish(Message::new("t/4", "x").qos(1));
    wait_until(|| service.asked_about("ann 1 t/4") == 1, || service.asked().to_string());
    ann.disconnect();
    broker.wait_until_away("c1");
    service.holds(None);
    broker.connect(&login("c1", "ann"), 0).disconnect();
}

#[test]
fn queued_messages_of_a_client_that_was_away_are_asked_about() {
    let service = service(&["ann"], &["ann 4 #", "ann 1 a"]);
    let broker = broker(&service);
    let mut ann = broker.connect(&login("c1", "ann").persistent(), 0);
    ann.subscribe(&[("#", 1)]);
    ann.disconnect();
    broker.wait_until_away("c1");
    let mut root = broker.connect(&login("root-1", "root"), 0);
    for (topic, payload) in [("b", "1"), ("a", "2"), ("b", "3"), ("a", "4")] {
        root.publish(Message::new(topic, payload).qos(1));
    }
    let mut ann = broker.connect(&login("c1", "ann").persistent(), 1);
    ann.expect_message("a", "2", 1);
    ann.expect_message("a", "4", 1);
    broker.wait_for_count(Count::DeniedDeliveries, 2);
    ann.disconnect();
    let mut ann = broker.connect(&login("c1", "ann").persistent(), 1);
    ann.expect_nothing_pending();
}

#[test]
fn answers_about_topics_are_cached_for_their_times() {
    let service = service(&["ann"], &["ann 2 a"]);
    let broker = Broker::new(config(&service, |config| config.cache_no = Duration::from_secs(20)));
    let mut root = root(&broker);
    let mut ann = broker.connect(&login("c1", "ann"), 0);
    let mut publish = |payload: &str| {
        ann.publish(Message::new("b", payload).qos(1));
        ann.publish(Message::new("a", payload).qos(1));
        root.expect_message("a", payload, 1);
    };
    let asked = || (service.asked_about("ann 2 a"), service.asked_about("ann 2 b"));
    for (seconds, expected) in [(0, (1, 1)), (15, (1, 1)), (6, (1, 2)), (40, (2, 3))] {
        broker.turn(Duration::from_secs(seconds));
        publish("x");
        assert_eq!(asked(), expected, "{seconds}");
    }
    // without a cache
    let broker = Broker::new(config(&service, |config| config.cache_yes = Duration::ZERO));
    let mut ann = broker.connect(&login("c1", "ann"), 0);
    (0..3).for_each(|_| ann.publish(Message::new("a", "x").qos(1)));
    assert_eq!(service.asked_about("ann 2 a"), 5);
}

#[test]
fn a_service_that_is_down_allows_nothing() {
    let service = service(&["ann"], &["ann 2 a", "ann 2 b"]);
    let files = Files::new();
    let mut config = config(&service, |config| config.stale_while_down = Duration::from_secs(600));
    config.auth.acl_file = Some(files.write("acl", "user ann\ntopic c\n"));
    let broker = Broker::new(config.clone());
    let mut root = root(&broker);
    let mut ann = broker.connect(&login("c1", "ann"), 0);
    ann.publish(Message::new("a", "1").qos(1));
    root.expect_message("a", "1", 1);
    service.is_down(true);
    broker.turn(Duration::from_secs(61));
    // what was allowed stays allowed
    for topic in ["b", "c", "a"] {
        ann.publish(Message::new(topic, "2").qos(1));
    }
    root.expect_message("a", "2", 1);
    service.is_down(false);
    ann.publish(Message::new("b", "3").qos(1));
    root.expect_message("b", "3", 1);
    // the rules of the broker decide instead
    config.auth.services[0].on_error = OnServiceError::Next;
    let broker = Broker::new(config);
    let mut root = self::root(&broker);
    let mut ann = broker.connect(&login("c1", "ann"), 0);
    service.is_down(true);
    for topic in ["b", "c"] {
        ann.publish(Message::new(topic, "4").qos(1));
    }
    root.expect_message("c", "4", 1);
}

#[test]
fn messages_wait_while_a_service_is_down() {
    let service = service(&["ann"], &["ann 4 f/#", "ann 1 f/1"]);
    let broker = broker(&service);
    let mut root = broker.connect(&login("root-1", "root"), 0);
    let mut ann = broker.connect(&login("c1", "ann"), 0);
    ann.subscribe(&[("f/#", 1)]);
    service.is_down(true);
    let asked = service.asked();
    for (topic, payload) in [("f/1", "1"), ("f/2", "2"), ("f/1", "3")] {
        root.publish(Message::new(topic, payload).qos(1));
    }
    // it is asked again
    while service.asked() < asked + 3 {
        broker.turn(Duration::from_secs(1));
    }
    service.is_down(false);
    broker.turn(Duration::from_secs(2));
    ann.expect_message("f/1", "1", 1);
    ann.expect_message("f/1", "3", 1);
}

#[test]
fn several_filters_are_decided_without_a_cache_too() {
    let service = service(&["ann"], &["ann 4 f/1", "ann 4 f/3"]);
    let broker = Broker::new(config(&service, |config| {
        (config.cache_yes, config.cache_no, config.max_requests) = (Duration::ZERO, Duration::ZERO, 1);
    }));
    let mut ann = broker.connect(&login("c1", "ann"), 0);
    for id in [1, 2] {
        ann.send(&subscribe(id, &[("f/1", 1), ("f/2", 1), ("f/3", 1)]));
        ann.expect(&suback(id, &[1, 0x80, 1]));
    }
    // each time
    assert_eq!(service.asked_about("ann 4 f/2"), 2);
}

#[test]
fn a_will_is_asked_about_at_login() {
    let service = service(&["ann"], &["ann 2 w"]);
    let broker = broker(&service);
    let mut root = root(&broker);
    for (topic, client) in [("x", "c1"), ("w", "c2")] {
        let connect = login(client, "ann").will(&Message::new(topic, client).qos(1));
        let ann = broker.connect(&connect, 0);
        assert_eq!(service.asked_about(&format!("ann 2 {topic}")), 1);
        // the answer holds for as long as the client is connected
        broker.turn(Duration::from_secs(10_000));
        ann.abort();
        broker.wait_until_away(client);
    }
    root.expect_message("w", "c2", 1);
    root.expect_nothing_pending();
}

#[test]
fn a_changed_url_closes_connections() {
    let service = service(&["ann"], &["ann 2 a"]);
    let mut broker = broker(&service);
    let mut ann = broker.connect(&login("c1", "ann"), 0);
    ann.publish(Message::new("a", "1").qos(1));
    broker.reload(|config| config.limits.max_queued_messages += 1);
    ann.publish(Message::new("a", "1").qos(1));
    broker.reload(|config| config.auth.services[0].aclcheck_url = None);
    ann.expect_closed();
}

/// Members of a group, of which ann may read nothing, and how long a refusal is cached.
fn group(bob_reads: bool, cache_no: Duration) -> (Service, dunlin::Config) {
    let service = service(&["ann", "bob"], &["ann 4 t/#", "bob 4 t/#"]);
    (0..20).filter(|_| bob_reads).for_each(|n| service.answers(&format!("bob 1 t/{n}"), 200, ""));
    let mut config = config(&service, |config| config.cache_no = cache_no);
    // all messages of a topic go to one member
    config.limits.shared_subscriptions = SharedSubscriptions::HashTopic;
    (service, config)
}

#[test]
fn a_message_of_a_group_goes_to_a_member_that_may_read_it() {
    for cache_no in [Duration::from_secs(60), Duration::ZERO] {
        let (service, config) = group(true, cache_no);
        let broker = Broker::new(config);
        let [mut ann, mut bob] = ["ann", "bob"].map(|user| broker.connect(&login(user, user), 0));
        ann.subscribe(&[("$share/g/t/#", 2)]);
        bob.subscribe(&[("$share/g/t/#", 1)]);
        let mut root = broker.connect(&login("root-1", "root"), 0);
        service.holds(Some("*"));
        for round in 0..4 {
            (0..20).for_each(|n| root.publish(Message::new(&format!("t/{n}"), &round.to_string()).qos(2)));
        }
        service.holds(None);
        let mut next = [0; 20];
        for _ in 0..80 {
            let message = bob.take();
            let topic: usize = message.topic[2..].parse().unwrap();
            assert_eq!((message.text(), message.qos), (next[topic].to_string().as_str(), 1), "{}", message.topic);
            next[topic] += 1;
        }
        bob.expect_nothing_pending();
        ann.expect_nothing_pending();
        assert!((0..20).any(|n| service.asked_about(&format!("ann 1 t/{n}")) > 0), "none went to ann first");
        broker.expect_counts(&[(Count::DeniedDeliveries, 0)]);
    }
}

#[test]
fn a_message_that_no_member_of_a_group_may_read_is_counted_once_and_each_is_asked_about_once() {
    for cache_no in [Duration::from_secs(60), Duration::ZERO] {
        let (service, config) = group(false, cache_no);
        let broker = Broker::new(config);
        let [mut ann, mut bob] = ["ann", "bob"].map(|user| broker.connect(&login(user, user), 0));
        [&mut ann, &mut bob].into_iter().for_each(|member| member.subscribe(&[("$share/g/t/#", 1)]));
        let mut root = broker.connect(&login("root-1", "root"), 0);
        for n in 0..40 {
            root.publish(Message::new(&format!("t/{}", n % 8), "x").qos(n % 3));
        }
        broker.wait_for_count(Count::DeniedDeliveries, 40);
        [&mut ann, &mut bob].into_iter().for_each(|member| member.expect_nothing_pending());
        broker.expect_counts(&[(Count::DeniedDeliveries, 40)]);
        let asked = |user| (0..8).map(|n| service.asked_about(&format!("{user} 1 t/{n}"))).sum::<usize>();
        let most = if cache_no.is_zero() { 40 } else { 8 };
        assert!(asked("ann") <= most && asked("bob") <= most, "{} and {}", asked("ann"), asked("bob"));
    }
}

#[test]
fn a_message_of_a_group_that_a_member_may_not_read_is_stored_for_another() {
    let (_service, mut config) = group(true, Duration::ZERO);
    let files = Files::new();
    config.data_dir = Some(files.path("data"));
    let broker = Broker::new(config.clone());
    let [mut ann, mut bob] = ["ann", "bob"].map(|user| broker.connect(&login(user, user).persistent(), 0));
    [&mut ann, &mut bob].into_iter().for_each(|member| member.subscribe(&[("$share/g/t/#", 1)]));
    bob.disconnect();
    broker.wait_until_away("bob");
    let mut root = broker.connect(&login("root-1", "root"), 0);
    let texts: Vec<_> = (0..30).map(|n| n.to_string()).collect();
    texts.iter().for_each(|text| root.publish(Message::new("t/1", text).qos(1)));
    // all of them have gone to the member that is away
    let waiting = || broker.server.inspect_client(&"bob".into(), |client| client.session.holds.queued).unwrap_or(0);
    wait_until(|| waiting() == 30, || waiting().to_string());
    shut_down(broker.server);
    let broker = Broker::new(config);
    broker.connect(&login("ann", "ann").persistent(), 1).expect_nothing_pending();
    let mut bob = broker.connect(&login("bob", "bob").persistent(), 1);
    texts.iter().for_each(|text| bob.expect_message("t/1", text, 1));
    bob.expect_nothing_pending();
}
