//! Durable webhooks: no acknowledged message is lost, over `kill -9` of the broker and failures of the service.
//! `DUNLIN_LONG=1`: 200 kills instead of 20. `DUNLIN_HOOKS_SEED` is the random seed; a failing run prints its seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    hash::{BuildHasher, RandomState},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dunlin::{
    Builder, Config, TestClock,
    inspect::{Ban, BanTarget},
};
use serde_json::{Value, json};

use super::{
    client, hooked,
    service::{Does, Service},
    view, wait_until_sent,
};
use crate::{
    http,
    support::{
        Broker, config, publish_some,
        random::Random,
        raw::{Client, Connect, Message},
        reload, run,
        running::Running,
        shut_down, start, wait_until,
    },
};

/// The payloads of these events.
fn texts(events: &[Value]) -> Vec<String> {
    events.iter().filter_map(|event| Some(event["data"]["payload"].as_str()?.to_owned())).collect()
}

#[test]
fn no_acknowledged_message_of_a_durable_webhook_is_lost_by_kill_9() {
    let rounds = if env::var_os("DUNLIN_LONG").is_some_and(|long| long == "1") { 200 } else { 20 };
    let seed = env::var("DUNLIN_HOOKS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(rounds)) | 1;
    println!("DUNLIN_HOOKS_SEED={seed}");
    let mut random = Random::new(seed);
    // it dies, too: see below
    let service = Service::new(|number| match number % 32 {
        3 => Does::Ends,
        9 => Does::Answers(503),
        15 => Does::Sleeps,
        21 => Does::Garbage,
        27 => Does::Redirects,
        _ => Does::Answers(200),
    });
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = dir.path().join("dunlin.toml");
    let text = format!(
        "data_dir = '{}'\n[http]\nlisten = 'off'\n[sys]\ninterval = 'off'\n[[webhook]]\nname = 'w'\nurl = 'http://{}/'\nevents = \
         ['message.published']\nfilter = ['n/#']\npayload = 'text'\ndurable = true\nlinger = '1ms'\nbatch = 7\ntimeout = '500ms'\n",
        dir.path().join("data").display(),
        service.address
    );
    fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let mut broker = Running::start(&["--config", &file]);
    let (mut next, mut acknowledged) = (0, BTreeSet::new());
    let has_all = |acknowledged: &BTreeSet<String>| {
        let here: BTreeSet<_> = texts(&service.events()).into_iter().collect();
        acknowledged.is_subset(&here)
    };
    let mut lives = true;
    for _ in 0..rounds {
        let mut publisher = broker.client("p");
        acknowledged.extend(publish_some(&mut publisher, &mut next, 40, &mut random));
        // over a kill, or between two
        if random.once_in(4) {
            if lives {
                service.dies()
            } else {
                service.lives()
            }
            lives = !lives;
        }
        // sometimes the queue is empty at the kill: numbers in the session begin again
        if lives && random.once_in(3) {
            wait_until(|| has_all(&acknowledged), || "not all messages arrived".into());
        }
        broker.kill();
        broker = Running::start(&["--config", &file]);
    }
    if !lives {
        service.lives();
    }
    broker.client("p").publish(Message::new("n/x", "last").qos(1));
    acknowledged.insert("last".into());
    wait_until(|| has_all(&acknowledged), || "not all messages arrived".into());
    // a repeated event is recognised by its source and identifier, which no other event has
    let mut known = BTreeMap::new();
    for event in service.events() {
        let text = event["data"]["payload"].to_string();
        let before = known.insert((event["source"].to_string(), event["id"].to_string()), text.clone());
        assert!(before.is_none_or(|before| before == text), "{event}");
    }
    let distinct: BTreeSet<_> = known.values().collect();
    assert_eq!(distinct.len(), known.len(), "a message has two identifiers");
}

fn durable(service: &Service, dir: &Path, more: &str) -> Config {
    let hooks = hooked(service, "'message.published'", &format!("payload = 'text'\ndurable = true\n{more}"));
    Config { webhooks: hooks.webhooks, data_dir: Some(dir.join("data")), ..config() }
}

/// On the disk that is built on: /tmp may be none.
fn dir() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[test]
fn a_durable_message_that_the_service_refuses_is_kept_in_a_file_and_other_answers_are_retried() {
    // 404 is not an answer about a message: the service may not be there yet
    let service = Service::new(|number| match number {
        0 => Does::Answers(404),
        1 => Does::Redirects,
        2 => Does::Answers(422),
        _ => Does::Answers(200),
    });
    let dir = dir();
    let server = start(Builder::new(durable(&service, dir.path(), "")));
    let mut one = client(&server, "a");
    one.publish(Message::new("t", "bad").qos(1));
    wait_until(|| view(&server).counts.dropped == 1, || format!("{:?}", view(&server)));
    one.publish(Message::new("t", "good").qos(1));
    wait_until_sent(&server, 1);
    shut_down(server);
    let rejected = fs::read_to_string(dir.path().join("data/rejected.jsonl")).unwrap();
    let lines: Vec<Value> = rejected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["webhook"], &lines[0]["event"]["data"]["payload"]), (&json!("w"), &json!("bad")));
    assert!(lines[0]["why"].as_str().unwrap().contains("422"));
    assert_eq!(texts(&service.events()), ["bad", "bad", "bad", "good"]);
    // the request is the same each time
    let requests = service.requests();
    for request in &requests[1..3] {
        assert_eq!(
            (&request.body, request.header("webhook-id")),
            (&requests[0].body, requests[0].header("webhook-id"))
        );
    }
}

#[test]
fn one_bad_message_of_a_batch_is_found_and_the_others_arrive_in_order() {
    let service = Service::judging(|request| match &request.body {
        body if body.contains("first") => Does::Waits,
        body if body.contains("bad") => Does::Answers(400),
        _ => Does::Answers(200),
    });
    let dir = dir();
    let server = start(Builder::new(durable(&service, dir.path(), "batch = 4")));
    let mut one = client(&server, "a");
    one.publish(Message::new("t", "first").qos(1));
    wait_until(|| !service.requests().is_empty(), || "there is no request".into());
    ["1", "bad", "2", "3"].iter().for_each(|text| one.publish(Message::new("t", text).qos(1)));
    service.go_on();
    wait_until_sent(&server, 4);
    assert_eq!(view(&server).counts.dropped, 1);
    shut_down(server);
    assert_eq!(texts(&service.events()), ["first", "1", "bad", "2", "3", "1", "bad", "2", "3"]);
    let rejected = fs::read_to_string(dir.path().join("data/rejected.jsonl")).unwrap();
    assert!(rejected.lines().count() == 1 && rejected.contains("bad"), "{rejected}");
}

#[test]
fn delivery_stops_with_an_alarm_while_the_file_of_refused_messages_is_full() {
    let service = Service::judging(|request| match request.body.contains("bad") {
        true => Does::Answers(413),
        false => Does::Answers(200),
    });
    let dir = dir();
    let file = dir.path().join("data/rejected.jsonl");
    let config = Config { http: http::http(""), ..durable(&service, dir.path(), "rejected_bytes = 1000") };
    let server = start(Builder::new(config));
    let address = server.http_urls()[0].strip_prefix("http://").unwrap().parse().unwrap();
    let alarms = || -> Value {
        let broker: Value = serde_json::from_str(&http::get(address, "/api/v1/broker").body).unwrap();
        broker["alarms"].clone()
    };
    assert_eq!(alarms(), json!([]));
    let mut one = client(&server, "a");
    one.publish(Message::new("t", &format!("bad {}", "x".repeat(400))).qos(1));
    wait_until(|| view(&server).counts.dropped == 1, || format!("{:?}", view(&server)));
    one.publish(Message::new("t", &format!("bad {}", "y".repeat(400))).qos(1));
    one.publish(Message::new("t", "good").qos(1));
    wait_until(|| view(&server).is_stopped, || format!("{:?}", view(&server)));
    assert_eq!(view(&server).counts.queued, 2);
    let told = alarms();
    let told = told[0].as_str().unwrap();
    assert!(
        told.starts_with("webhook w has stopped: ") && told.contains("it has reached 1000 B (rejected_bytes)"),
        "{told}"
    );
    let metrics = http::get(address, "/metrics").body;
    assert!(metrics.contains("dunlin_webhook_stopped{webhook=\"w\"} 1"), "{metrics}");
    assert!(http::get(address, "/api/v1/webhooks").body.contains("\"state\":\"stopped\""));
    fs::rename(&file, dir.path().join("moved")).unwrap();
    wait_until_sent(&server, 1);
    assert!(!view(&server).is_stopped && alarms() == json!([]));
    shut_down(server);
    assert!(fs::read_to_string(file).unwrap().contains("yyy"));
    assert_eq!(texts(&service.events()).last().unwrap(), "good");
}

#[test]
fn a_durable_queue_loses_messages_only_beyond_its_bound_and_reports_them() {
    let service = Service::new(|number| if number == 0 { Does::Waits } else { Does::Answers(200) });
    let dir = dir();
    let server = start(Builder::new(durable(&service, dir.path(), "queue = 10\nbatch = 1")));
    let mut one = client(&server, "a");
    one.publish(Message::new("t", "0").qos(1));
    wait_until(|| !service.requests().is_empty(), || "there is no request".into());
    // each of them is acknowledged; the first one is being sent
    (1..31).for_each(|n| one.publish(Message::new("t", &n.to_string()).qos(1)));
    let counts = view(&server).counts;
    assert_eq!((counts.queued, counts.lost), (11, 20));
    service.go_on();
    wait_until_sent(&server, 11);
    shut_down(server);
    let events = service.events();
    assert_eq!(texts(&events), (0..11).map(|n| n.to_string()).collect::<Vec<_>>());
    let lost: Vec<_> = events.iter().filter_map(|event| event["data"]["lost"].as_u64()).collect();
    assert_eq!(lost, [20]);
}

#[test]
fn a_service_that_refuses_the_report_of_lost_messages_gets_all_others() {
    let service = Service::judging(|request| match &request.body {
        body if body.contains("dunlin.events.lost") => Does::Answers(422),
        body if body.contains("first") => Does::Waits,
        _ => Does::Answers(200),
    });
    let dir = dir();
    let server = start(Builder::new(durable(&service, dir.path(), "queue = 3\nbatch = 1")));
    let mut one = client(&server, "a");
    one.publish(Message::new("t", "first").qos(1));
    wait_until(|| !service.requests().is_empty(), || "there is no request".into());
    (0..8).for_each(|n| one.publish(Message::new("t", &n.to_string()).qos(1)));
    service.go_on();
    wait_until_sent(&server, 4);
    shut_down(server);
    assert!(!dir.path().join("data/rejected.jsonl").exists());
    // with the message that it was to go with, and alone
    let reports = service.requests().iter().filter(|request| request.body.contains("events.lost")).count();
    assert_eq!(reports, 2);
}

#[test]
fn a_durable_webhook_sends_what_is_published_and_neither_retained_nor_own_messages() {
    let service = Service::new(|_| Does::Answers(200));
    let dir = dir();
    let data = || Some(dir.path().join("data"));
    let server = start(Builder::new(Config { data_dir: data(), ..config() }));
    client(&server, "a").publish(Message::new("t", "retained before").qos(1).retain());
    reload(&server, &durable(&service, dir.path(), "filter = ['#', '$SYS/#', '$other/#']")).unwrap();
    let mut one = client(&server, "a");
    // more than a request may have
    (0..3).for_each(|_| one.publish(Message::new("$other", &"own".repeat(200_000)).qos(1)));
    one.publish(Message::new("t", "at most once"));
    one.publish(Message::new("t", "retained").qos(2).retain());
    wait_until_sent(&server, 2);
    let events = service.events();
    assert_eq!(texts(&events), ["at most once", "retained"]);
    let data = json!({ "client_id": "a", "topic": "t", "qos": 2, "retain": true, "size": 8, "payload": "retained" });
    assert_eq!((&events[1]["data"], &events[1]["subject"]), (&data, &json!("t")));
    assert!(humantime::parse_rfc3339(events[1]["time"].as_str().unwrap()).is_ok());
    shut_down(server);
}

#[test]
fn messages_of_a_durable_webhook_survive_a_restart_and_end_with_the_webhook() {
    let service = Service::new(|number| if number < 2 { Does::Waits } else { Does::Answers(200) });
    let dir = dir();
    let server = start(Builder::new(durable(&service, dir.path(), "batch = 1")));
    let mut one = client(&server, "a");
    ["1", "2"].iter().for_each(|text| one.publish(Message::new("t", text).qos(1)));
    wait_until(|| !service.requests().is_empty(), || "there is no request".into());
    shut_down(server);
    let server = start(Builder::new(durable(&service, dir.path(), "batch = 1")));
    wait_until(|| service.requests().len() == 2, || "there is no request".into());
    // the options changed: the queue stays
    reload(&server, &durable(&service, dir.path(), "batch = 2")).unwrap();
    wait_until_sent(&server, 2);
    let events = service.events();
    let all: Vec<_> = texts(&events);
    assert_eq!(all.first().map(String::as_str), Some("1"));
    assert!(all.contains(&"2".to_owned()));
    let ids: BTreeSet<_> = events.iter().map(|event| (event["source"].to_string(), event["id"].to_string())).collect();
    assert_eq!(ids.len(), 2, "{events:?}");
    // the queue and its filters changed: it is opened again
    reload(&server, &durable(&service, dir.path(), "queue = 99\nfilter = ['t', 'u']")).unwrap();
    client(&server, "b").publish(Message::new("u", "2b").qos(1));
    wait_until_sent(&server, 1);
    // without the webhook there is no session
    reload(&server, &Config { webhooks: Vec::new(), ..durable(&service, dir.path(), "") }).unwrap();
    one = client(&server, "a");
    one.publish(Message::new("t", "3").qos(1));
    reload(&server, &durable(&service, dir.path(), "")).unwrap();
    one.publish(Message::new("t", "4").qos(1));
    wait_until_sent(&server, 1);
    shut_down(server);
    assert!(!texts(&service.events()).contains(&"3".to_owned()));

    // nor if it was removed while the broker was not running
    let server = start(Builder::new(Config { webhooks: Vec::new(), ..durable(&service, dir.path(), "") }));
    client(&server, "a").publish(Message::new("t", "5").qos(1));
    shut_down(server);
    let server = start(Builder::new(durable(&service, dir.path(), "")));
    client(&server, "a").publish(Message::new("t", "6").qos(1));
    wait_until_sent(&server, 1);
    shut_down(server);
    assert!(!texts(&service.events()).contains(&"5".to_owned()));
}

#[test]
fn sessions_of_the_broker_s_own_parts_do_not_expire_while_it_is_not_running() {
    let dir = dir();
    let is_up = Arc::new(AtomicBool::new(false));
    let asked = is_up.clone();
    let service = Service::new(move |_| Does::Answers(if asked.load(Ordering::SeqCst) { 200 } else { 503 }));
    let other = start(Builder::new(config()));
    let mut far = client(&other, "far");
    far.subscribe(&[("t", 1)]);
    let configured = |remote: &str| {
        let text = format!(
            "[[webhook]]\nname = 'w'\nurl = 'http://{}/'\nevents = ['message.published']\nfilter = ['t']\npayload = \
             'text'\ndurable = true\nlinger = '0s'\n[[bridge]]\nname = 'w'\naddresses = ['{remote}']\ntopics = ['t out 1']\n",
            service.address
        );
        let Config { webhooks, bridges, .. } = dunlin::config::parse(&text, "test").expect("it is right");
        let mut config = Config { webhooks, bridges, data_dir: Some(dir.path().join("data")), ..config() };
        config.limits.session_expiry = Some(Duration::from_secs(60));
        config
    };
    let clock = TestClock::new();
    // nothing listens there
    let broker = Broker::with_clock(configured("127.0.0.1:9"), clock.clone());
    broker.begin("away").disconnect();
    broker.wait_until_away("away");
    broker.client("p").publish(Message::new("t", "kept").qos(1));
    shut_down(broker.server);
    clock.turn(Duration::from_secs(3_600));
    is_up.store(true, Ordering::SeqCst);
    let broker = Broker::with_clock(configured(&other.local_addrs()[0].to_string()), clock);
    // that of a client has expired
    broker.begin("away").disconnect();
    far.expect_message("t", "kept", 1);
    let told = || texts(&service.events()).last().map(String::as_str) == Some("kept");
    broker.turn_until(Duration::from_secs(1), || view(&broker.server).counts.sent == 1 && told());
    shut_down(broker.server);
}

#[test]
fn a_broker_with_a_damaged_name_of_its_store_does_not_start_and_does_not_take_another() {
    let service = Service::new(|_| Does::Answers(200));
    let dir = dir();
    let config = durable(&service, dir.path(), "");
    let file = dir.path().join("data/ORIGIN");
    let without = Config { webhooks: Vec::new(), ..config.clone() };
    shut_down(start(Builder::new(config.clone())));
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, &before[..10]).unwrap();
    let expected = format!("{}: is damaged; mend the file, or move it away", file.display());
    let error = run(Builder::new(config.clone()).start()).err().expect("it does not start").to_string();
    assert!(error.starts_with(&expected), "{error}");
    // without a durable webhook nothing needs it, and a reload that adds one is refused
    let server = start(Builder::new(without));
    let error = reload(&server, &config).unwrap_err().to_string();
    assert!(error.starts_with(&expected), "{error}");
    assert!(server.webhooks().is_empty());
    shut_down(server);
    assert_eq!(fs::read_to_string(&file).unwrap(), &before[..10]);
    // the cures
    fs::write(&file, &before).unwrap();
    shut_down(start(Builder::new(config.clone())));
    assert_eq!(fs::read_to_string(&file).unwrap()[..17], before[..17]);
    fs::remove_file(&file).unwrap();
    shut_down(start(Builder::new(config)));
    assert_ne!(fs::read_to_string(&file).unwrap()[..17], before[..17]);
}

#[test]
fn a_backup_has_everything_of_the_data_directory_and_events_keep_their_names() {
    let service = Service::judging(|request| match &request.body {
        body if body.contains("bad") => Does::Answers(422),
        _ => Does::Answers(200),
    });
    let dir = dir();
    let bridge = "[[bridge]]\nname = 'b'\naddresses = ['127.0.0.1:9']\ntopics = ['b out 1']\n";
    let bridges = dunlin::config::parse(bridge, "test").expect("the bridge is right").bridges;
    let config = Config { bridges, ..durable(&service, dir.path(), "batch = 1") };
    let [data, copy] = ["data", "copy"].map(|name| dir.path().join(name));
    let server = start(Builder::new(config.clone()));
    let mut one = client(&server, "a");
    ["good", "bad"].into_iter().for_each(|text| one.publish(Message::new("t", text).qos(1)));
    wait_until(|| view(&server).counts.dropped == 1, || format!("{:?}", view(&server)));
    let target = BanTarget::client("banned");
    run(server.ban(Ban { target, reason: "too loud".into(), by: "ann".into(), until: None })).unwrap();
    dunlin::store::tools::backup(&data, &copy, &mut Vec::new()).unwrap();
    shut_down(server);
    let names = |of: &Path| {
        let entries = fs::read_dir(of).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let is_of_log = |name: &str| name.ends_with(".log") || name.starts_with("spare-");
        let is_of_store = |name: &str| is_of_log(name) || ["LOCK", "END", "LAST"].contains(&name);
        entries.filter(|name| !is_of_store(name)).collect::<BTreeSet<_>>()
    };
    let all = ["BRIDGE", "ORIGIN", "bans.json", "rejected.jsonl"].map(str::to_owned);
    assert!(all.iter().all(|name| names(&data).contains(name)), "{:?}", names(&data));
    assert_eq!(names(&copy), names(&data));
    for name in all {
        assert_eq!(fs::read(copy.join(&name)).unwrap(), fs::read(data.join(&name)).unwrap(), "{name}");
    }

    let server = start(Builder::new(Config { data_dir: Some(copy.clone()), ..config }));
    let mut banned = Client::open(server.local_addrs()[0]);
    banned.send(&Connect::new("banned").frame());
    banned.expect_refused(5);
    client(&server, "a").publish(Message::new("t", "later").qos(1));
    let has_later = || texts(&service.events()).iter().any(|text| text == "later");
    wait_until(has_later, || format!("{:?}", view(&server)));
    shut_down(server);
    let events = service.events();
    // that the first two are out of the queue may be stored after the backup: then they come twice
    let mut seen = BTreeSet::new();
    let first = |(event, text): (&Value, String)| seen.insert(event["id"].to_string()).then_some(text);
    let all: Vec<String> = events.iter().zip(texts(&events)).filter_map(first).collect();
    assert_eq!(all, ["good", "bad", "later"]);
    let sources: BTreeSet<_> = events.iter().map(|event| event["source"].to_string()).collect();
    let ids: BTreeSet<_> = events.iter().map(|event| event["id"].to_string()).collect();
    assert_eq!((sources.len(), ids.len()), (1, 3), "{events:?}");
    let rejected = fs::read_to_string(copy.join("rejected.jsonl")).unwrap();
    assert!(rejected.lines().count() >= 1 && rejected.lines().all(|line| line.contains("bad")), "{rejected}");
}
