//! Inspection of a running broker, and the operator's actions.

use std::{collections::BTreeSet, ops::ControlFlow, time::Duration};

use dunlin::{
    ClientId, Config, TestClock, TopicFilter, TopicName,
    config::Limits,
    inspect::{ByAdministrator, Closed, Cursor, Ended, Flow, SESSIONS_A_STEP, Stage, Wanted},
    router::Count,
    types::QoS,
};

use crate::support::{
    Broker, config,
    five::{self, Five, Properties},
    publish_all,
    raw::{self, Connect, Message, connack, narrow, puback, pubrec, pubrel},
    run, shut_down, wait_until,
};

fn id(name: &str) -> ClientId {
    ClientId::from(name)
}

fn filter(text: &str) -> &TopicFilter {
    TopicFilter::new(text).expect("a valid filter")
}

fn topic(text: &str) -> &TopicName {
    TopicName::new(text).expect("a valid topic")
}

/// All clients that are wanted, in steps of so many sessions.
fn names(broker: &Broker, wanted: Wanted, budget: usize) -> Vec<String> {
    let (mut names, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(after) = next {
        next = broker.server.clients(after, wanted, budget, &mut |client| {
            names.push(client.client.to_string());
            ControlFlow::Continue(())
        });
    }
    names.sort();
    names
}

#[test]
fn a_client_is_shown_with_its_connection_and_its_session() {
    let broker = Broker::new(config());
    let will = Message::new("gone", "bye").qos(1).retain();
    let connect = Connect::new("c").user("ann", "").keep_alive(60).persistent().will(&will);
    let mut client = broker.connect(&connect, 0);
    client.subscribe(&[("t/+", 1), ("u", 0)]);
    let mut publisher = broker.client("p");
    publish_all(&mut publisher, "t/1", &["12345"]);
    let message = client.receive();
    broker.turn(Duration::from_secs(5));
    client.expect_nothing_pending();

    let port = client.writer().local_addr().expect("an address").port();
    broker.server.inspect_client(&id("c"), |c| {
        assert_eq!(
            (c.client.as_str(), c.user, c.listener, c.version.to_string()),
            ("c", Some("ann"), 0, "3.1.1".into())
        );
        let connection = c.connection.expect("it is connected");
        assert_eq!((connection.peer.port(), connection.keep_alive), (port, 60));
        let (holds, session) = (c.session.holds, &c.session);
        assert_eq!((holds.subscriptions, holds.queued, holds.in_flight), (2, 0, 1));
        assert_eq!((session.kept, session.expiry, session.looked_at), (false, Limits::default().session_expiry, None));
        let will = session.will.as_ref().expect("it has a Will");
        assert_eq!((will.topic.as_str(), will.payload, will.qos), ("gone", &b"bye"[..], QoS::AtLeastOnce));
        assert!(will.retain);
    });
    // CONNECT, SUBSCRIBE and PINGREQ; CONNACK, SUBACK, PUBLISH and PINGRESP. A turn is noted when it is over.
    let flows = || broker.server.inspect_client(&id("c"), |c| c.connection.map(|c| (c.received, c.sent))).flatten();
    let bytes = [connect.frame().len() + 14 + 2, 4 + 6 + message.frame().len() + 2].map(|bytes| bytes as u64);
    let expected =
        [Flow { packets: 3, messages: 0, bytes: bytes[0] }, Flow { packets: 4, messages: 1, bytes: bytes[1] }];
    wait_until(|| flows() == Some((expected[0], expected[1])), || format!("{:?}, not {expected:?}", flows()));
    let silent = |name| {
        let connection = broker.server.inspect_client(&id(name), |c| c.connection).flatten().expect("it is connected");
        connection.last_packet - connection.since
    };
    wait_until(|| silent("c") == Duration::from_secs(5), || format!("{:?}", silent("c")));
    assert_eq!(silent("p"), Duration::ZERO);
    let sent = broker.server.inspect_client(&id("p"), |c| c.connection.map(|c| c.received.messages)).flatten();
    assert_eq!(sent, Some(1));

    client.disconnect();
    broker.server.inspect_client(&id("c"), |c| {
        assert!(c.connection.is_none() && c.session.will.is_none() && c.session.looked_at.is_some());
        assert_eq!(c.user, Some("ann"));
        assert_eq!((c.session.holds.queued, c.session.holds.in_flight), (0, 1));
    });
    assert_eq!(broker.server.inspect_client(&id("nobody"), |_| ()), None);
}

#[test]
fn a_walk_shows_each_client_once_in_steps_of_any_size() {
    let broker = Broker::new(config());
    let mut connected = Vec::new();
    for n in 0..300 {
        let client = broker.begin(&format!("c{n:03}"));
        if n % 10 == 0 { connected.push(client) } else { client.disconnect() }
    }
    let all: Vec<_> = (0..300).map(|n| format!("c{n:03}")).collect();
    let (here, away): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|name| name.ends_with('0'));
    for budget in [1, 7, SESSIONS_A_STEP, usize::MAX] {
        assert_eq!(names(&broker, Wanted::All, budget), all);
        assert_eq!(names(&broker, Wanted::Connected, budget), here);
        assert_eq!(names(&broker, Wanted::Away, budget), away);
    }
    // a page ends with the client at which it breaks
    let (mut paged, mut next) = (BTreeSet::new(), Some(Cursor::default()));
    while let Some(after) = next {
        let mut page = 0;
        next = broker.server.clients(after, Wanted::All, SESSIONS_A_STEP, &mut |client| {
            page += 1;
            assert!(paged.insert(client.client.to_string()), "{} was shown twice", client.client);
            if page == 9 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(page == 9 || next.is_none(), "{page}");
    }
    assert_eq!(paged.len(), 300);
    let mut visited = 0;
    let next = broker.server.clients(Cursor::default(), Wanted::All, 1_000, &mut |_| {
        visited += 1;
        ControlFlow::Continue(())
    });
    assert!(visited == SESSIONS_A_STEP && next.is_some());
}

#[test]
fn queued_and_in_flight_messages_are_shown_in_their_order() {
    let limits = Limits { max_inflight_out: 2, max_queued_messages: 3, ..Limits::default() };
    let broker = Broker::limits(limits);
    let mut client = broker.begin("c");
    client.subscribe(&[("t", 2)]);
    let mut publisher = broker.client("p");
    publisher.publish(Message::new("t", "one").qos(2));
    publish_all(&mut publisher, "t", &["two", "three", "four", "five", "dropped"]);
    let first = client.receive();
    client.receive();
    client.send(&pubrec(first.id));
    client.expect(&pubrel(first.id));
    let queue = |limit| {
        let queue = broker.server.queue(&id("c"), limit).expect("it has a session");
        queue.iter().map(|m| String::from_utf8_lossy(m.payload()).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(queue(9), ["three", "four", "five"]);
    assert_eq!(queue(2), ["three", "four"]);
    let all = broker.server.queue(&id("c"), 9).expect("it has a session");
    assert!(all.iter().all(|m| m.topic().as_str() == "t" && m.qos() == QoS::AtLeastOnce && !m.retain()));
    let sent = broker.server.inflight(&id("c"), 9).expect("it has a session");
    let sent: Vec<_> = sent.iter().map(|m| (m.packet_id, m.stage, m.payload())).collect();
    assert_eq!(sent, [(1, Stage::Released, None), (2, Stage::Published(QoS::AtLeastOnce), Some(&b"two"[..])),]);
    broker.server.inspect_client(&id("c"), |c| {
        assert_eq!((c.session.holds.queued, c.session.holds.queued_bytes), (3, 3 + 13));
        assert_eq!((c.session.drops.queue_full, c.session.drops.all()), (1, 1));
    });
    client.send(&puback(2));
    // not acknowledged: that would bring the next one
    let third = client.receive();
    assert_eq!((third.topic.as_str(), third.text(), third.qos), ("t", "three", 1));
    assert_eq!(queue(9), ["four", "five"]);
    assert!(broker.server.queue(&id("nobody"), 9).is_none() && broker.server.inflight(&id("nobody"), 9).is_none());
}

#[test]
fn a_queue_that_was_cleared_stays_cleared_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let start = || Broker::with_clock(Config { data_dir: Some(dir.path().join("data")), ..config() }, clock.clone());
    let broker = start();
    let mut away = broker.begin("away");
    away.subscribe(&[("t", 2)]);
    let mut publisher = broker.client("publisher");
    publisher.publish(Message::new("t", "sent").qos(1));
    away.receive();
    away.abort();
    broker.wait_until_away("away");
    for payload in ["one", "two"] {
        publisher.publish(Message::new("t", payload).qos(1));
    }
    broker.turn(Duration::from_secs(60));
    publisher.publish(Message::new("t", "three").qos(2));
    let rows = |broker: &Broker| broker.server.queue(&id("away"), 9).expect("it has a session");
    let ages: Vec<_> = rows(&broker).iter().map(|row| row.since().map(|since| clock.clock().now() - since)).collect();
    assert_eq!(ages.iter().map(|age| age.expect("it is known").as_secs()).collect::<Vec<_>>(), [60, 60, 0]);
    assert_eq!(run(broker.server.clear_queue(&id("away"))), Ok(Some(3)));
    assert_eq!(run(broker.server.clear_queue(&id("nobody"))), Ok(None));
    publisher.publish(Message::new("t", "later").qos(1));
    assert_eq!(rows(&broker).len(), 1);
    shut_down(broker.server);
    let broker = start();
    assert_eq!(
        rows(&broker).iter().map(|row| (row.payload().to_vec(), row.since())).collect::<Vec<_>>(),
        [(b"later".to_vec(), None)]
    );
    let mut client = broker.resume("away");
    assert_eq!((client.take().text(), client.take().text()), ("sent", "later"), "what it was sent stays");
}

#[test]
fn a_retained_message_has_its_publisher_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let start = || Broker::with_clock(Config { data_dir: Some(dir.path().join("data")), ..config() }, clock.clone());
    let shown = |broker: &Broker| {
        let mut found = Vec::new();
        broker.server.retained(filter("r/+"), Cursor::default(), 9, &mut |row| {
            let at = broker.server.wall_time(row.since().expect("it is noted"));
            found.push((row.publisher().map(ToString::to_string), row.user().map(str::to_owned), at));
            ControlFlow::Continue(())
        });
        found
    };
    let broker = start();
    let mut ann = broker.connect(&Connect::new("lamp").user("ann", "x"), 0);
    ann.publish(Message::new("r/1", "1").qos(1).retain());
    let before = shown(&broker);
    let (publisher, user, at) = before[0].clone();
    assert_eq!((publisher.as_deref(), user.as_deref()), (Some("lamp"), Some("ann")));
    shut_down(broker.server);
    let broker = start();
    let (publisher, user, later) = shown(&broker)[0].clone();
    assert_eq!((publisher.as_deref(), user.as_deref()), (Some("lamp"), Some("ann")));
    let apart = later.duration_since(at).unwrap_or_else(|error| error.duration());
    assert!(apart < Duration::from_secs(1), "{apart:?}");
    // a removed message stays removed
    assert_eq!(run(broker.server.remove_retained(filter("#"), Cursor::default(), 9)).map(|r| r.messages), Ok(1));
    shut_down(broker.server);
    assert!(shown(&start()).is_empty());
}

#[test]
fn subscriptions_and_the_subscribers_of_a_topic_are_shown() {
    let broker = Broker::new(config());
    let mut a = broker.begin("a");
    a.subscribe(&[("t/+", 1), ("t/#", 0), ("$share/g/t/1", 1), ("other", 2)]);
    let mut b = broker.client("b");
    b.subscribe(&[("$share/g/t/1", 2)]);
    let shown = |skip, limit| {
        let views = broker.server.subscriptions_of(&id("a"), skip, limit).expect("it has a session");
        views.iter().map(|view| format!("{} {}", view.filter, view.options.qos as u8)).collect::<Vec<_>>()
    };
    assert_eq!(shown(0, 9), ["t/+ 1", "t/# 0", "other 2", "$share/g/t/1 1"]);
    assert_eq!(shown(1, 2), ["t/# 0", "other 2"]);
    assert_eq!(shown(3, 9), ["$share/g/t/1 1"]);
    assert_eq!(broker.server.subscriptions_of(&id("nobody"), 0, 9), None);
    a.disconnect();
    let (rows, all) = broker.server.subscribers(topic("t/1"), 9);
    let rows: Vec<_> = rows.iter().map(|s| (s.client.as_str(), s.group.as_deref(), s.qos, s.connected)).collect();
    assert_eq!(all, 2);
    assert_eq!(rows[0], ("a", None, QoS::AtLeastOnce, false));
    assert_eq!(rows[1], ("b", Some("$share/g/t/1"), QoS::ExactlyOnce, true));
    assert_eq!(broker.server.subscribers(topic("nobody"), 9), (Vec::new(), 0));
}

#[test]
fn retained_messages_are_shown_and_removed_in_steps() {
    let broker = Broker::new(config());
    let mut publisher = broker.client("p");
    for n in 0..200 {
        publisher.publish(Message::new(&format!("r/{}/{n}", n % 2), &n.to_string()).qos(1).retain());
    }
    let found = |text: &str, budget| {
        let (mut topics, mut next) = (Vec::new(), Some(Cursor::default()));
        while let Some(after) = next {
            next = broker.server.retained(filter(text), after, budget, &mut |m| {
                topics.push(m.topic().as_str().to_owned());
                ControlFlow::Continue(())
            });
        }
        topics.len()
    };
    for budget in [1, 10, 10_000] {
        assert_eq!(
            [found("#", budget), found("r/0/+", budget), found("r/1/7", budget), found("r/1/8", budget)],
            [200, 100, 1, 0]
        );
    }
    let one = broker.server.retained(filter("r/1/7"), Cursor::default(), 1, &mut |m| {
        assert_eq!((m.payload(), m.qos(), m.is_own()), (&b"7"[..], QoS::AtLeastOnce, false));
        ControlFlow::Continue(())
    });
    assert_eq!(one, None);
    let (mut removed, mut next) = (0, Some(Cursor::default()));
    while let Some(after) = next {
        let step = run(broker.server.remove_retained(filter("r/0/#"), after, 16)).expect("nothing has to be kept");
        removed += step.messages;
        next = step.next;
    }
    assert_eq!((removed, found("#", 100)), (100, 100));
    assert_eq!(broker.retained("#", 100).len(), 100);
}

#[test]
fn an_administrator_closes_a_connection_and_its_session_stays() {
    let broker = Broker::new(config());
    let mut sub = broker.client("sub");
    sub.subscribe(&[("will", 0)]);
    let five = five::Connect::new("five").lasting(100).will(&five::Publish::new("will", "five"));
    let mut client = Five::accepted(broker.address(), &five, 0);
    client.subscribe(&[("t", 1)]);
    assert_eq!(broker.server.close(&id("five"), &ByAdministrator::new("ann", "too loud")), Closed::Closing);
    let told = five::disconnect_with(0x98, &Properties::new().text(0x1F, "too loud"));
    assert_eq!(client.read().expect("a DISCONNECT").bytes(), told);
    client.expect_closed();
    sub.expect_message("will", "five", 0);
    wait_until(|| broker.server.close(&id("five"), &ByAdministrator::new("ann", "")) == Closed::Away, String::new);
    publish_all(&mut sub, "t", &["waits"]);
    let mut client = Five::accepted(broker.address(), &five.resume(), 1);
    client.expect_payloads(&["waits"]);

    // without a word before MQTT 5, and without its Will
    let mut old = broker.connect(&Connect::new("old").persistent().will(&Message::new("will", "old")), 0);
    let closed = ByAdministrator { publishes_will: false, ..ByAdministrator::new("ann", "") };
    assert_eq!(broker.server.close(&id("old"), &closed), Closed::Closing);
    old.expect_closed();
    wait_until(|| broker.server.close(&id("old"), &closed) == Closed::Away, String::new);
    sub.expect_nothing_pending();
    assert_eq!(broker.server.close(&id("nobody"), &closed), Closed::Unknown);
    broker.connect(&Connect::new("old").persistent(), 1).expect_nothing_pending();
}

#[test]
fn an_administrator_closes_a_client_that_does_not_read() {
    let broker = Broker::limits(Limits { max_outbound_bytes: 4 << 20, ..Limits::default() });
    let mut deaf = raw::Client::on(narrow(broker.address()));
    deaf.send(&Connect::new("deaf").frame());
    deaf.expect(&connack(0, 0));
    deaf.subscribe(&[("t", 0)]);
    let mut publisher = broker.client("publisher");
    let large = "x".repeat(64 << 10);
    while broker.count(Count::DroppedOutboundFull) == 0 {
        publisher.publish(Message::new("t", &large));
    }
    let drops = broker.server.inspect_client(&id("deaf"), |c| c.session.drops);
    assert_eq!(drops.map(|drops| (drops.outbound_full, drops.all())), Some((1, 1)));
    assert_eq!(broker.server.close(&id("deaf"), &ByAdministrator::new("ann", "")), Closed::Closing);
    broker.wait_for_count(Count::Disconnects, 1);
    assert!(broker.server.inspect_client(&id("deaf"), |_| ()).is_none());
}

#[test]
fn rules_hold_for_a_session_whose_connection_was_closed_by_an_administrator() {
    let dir = tempfile::tempdir().expect("a directory");
    let acl = dir.path().join("acl");
    std::fs::write(&acl, "topic read t\ntopic write will\n").expect("a file");
    let mut config = config();
    config.auth.acl_file = Some(acl);
    let mut broker = Broker::new(config);
    let mut client = broker.connect(&Connect::new("c").persistent().will(&Message::new("will", "gone")), 0);
    client.subscribe(&[("t", 1), ("will", 1)]);
    assert_eq!(broker.server.close(&id("c"), &ByAdministrator::new("ann", "")), Closed::Closing);
    // a reload in between is one more reason to look
    broker.reload(|_| {});
    client.expect_closed();
    wait_until(|| names(&broker, Wanted::Away, 256) == ["c"], String::new);
    assert_eq!(broker.count(Count::Wills), 1, "it may publish its Will");
    assert_eq!(broker.server.queue(&id("c"), 9).map(|queue| queue.len()), Some(0), "it may not read it");
}

#[test]
fn an_administrator_ends_sessions_of_clients_that_are_here_or_away() {
    let broker = Broker::new(config());
    let mut sub = broker.client("sub");
    sub.subscribe(&[("will", 0)]);
    let mut here = broker.connect(&Connect::new("here").persistent().will(&Message::new("will", "here")), 0);
    here.subscribe(&[("t", 1)]);
    let closed = ByAdministrator::new("ann", "");
    assert_eq!(broker.server.end_session(&id("here"), &closed), Ended::Closing);
    here.expect_closed();
    sub.expect_message("will", "here", 0);
    wait_until(|| broker.server.inspect_client(&id("here"), |_| ()).is_none(), String::new);

    let delayed = |name: &str| {
        let will = five::Publish::new("will", name).with(Properties::new().int(0x18, 50));
        let mut client = Five::accepted(broker.address(), &five::Connect::new(name).lasting(100).will(&will), 0);
        client.subscribe(&[("t", 1)]);
        client.leave_with(&five::disconnect(0x04));
    };
    delayed("published");
    delayed("discarded");
    assert_eq!(names(&broker, Wanted::Away, 256), ["discarded", "published"]);
    assert_eq!(broker.server.end_session(&id("published"), &closed), Ended::Ended);
    sub.expect_message("will", "published", 0);
    let discards = ByAdministrator { publishes_will: false, ..closed.clone() };
    assert_eq!(broker.server.end_session(&id("discarded"), &discards), Ended::Ended);
    sub.expect_nothing_pending();
    assert_eq!(broker.server.end_session(&id("discarded"), &closed), Ended::Unknown);
    assert_eq!(names(&broker, Wanted::All, 256), ["sub"]);
    // nothing is left that comes due
    broker.turn(Duration::from_secs(200));
    sub.expect_nothing_pending();
    assert_eq!(broker.server.subscribers(topic("t"), 9).1, 0);
    broker.connect(&Connect::new("published").persistent(), 0).expect_nothing_pending();
}
