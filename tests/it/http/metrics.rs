//! The metrics: both formats can be parsed, their values equal those of `$SYS`, and the shipped dashboard and alert
//! rules use existing metrics only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use dunlin::{
    Authenticate, Config, Credentials, Identity, Proof, ReasonCode, Refusal, Verdict, config::parse, router::Count,
    types::Transport,
};

use super::{Answer, address, ask, get, http};
use crate::support::{
    Broker, config,
    five::{self, Five},
    raw::{Connect, Message, puback},
    secure::Certs,
    wait_until,
};

/// A broker with a store and TLS.
fn with_store(dir: &Path) -> Broker {
    with_more(dir, "")
}

/// A broker with everything that metrics tell of: a bridge, too, which does not connect.
fn with_bridge(dir: &Path) -> Broker {
    with_more(dir, "[[bridge]]\nname = 'b'\naddresses = ['127.0.0.1:1']\ntopics = ['there/# out 1']\n")
}

fn with_more(dir: &Path, tables: &str) -> Broker {
    let Config { bridges, .. } = parse(tables, "test").unwrap();
    let mut config = Config { http: http(""), data_dir: Some(dir.join("data")), bridges, ..config() };
    let certs = Certs::new();
    config.listeners.push(certs.listener(Transport::Tls));
    Broker::new(config)
}

/// A scrape in the older format, read strictly: for each metric its kind, and for each sample its value.
struct Scrape {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    fn read(text: &str) -> Self {
        let (mut kinds, mut samples, mut helped) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("a text");
                assert!(helped.insert(name.to_owned()) && !words.is_empty(), "{line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a kind");
                assert!(helped.contains(name), "no HELP before {line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
                let name = series.split('{').next().unwrap();
                let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                let family = family.filter(|family| kinds.get(*family).is_some_and(|kind| kind == "histogram"));
                assert!(kinds.contains_key(family.unwrap_or(name)), "no TYPE before {line}");
                let value = value.parse().unwrap_or_else(|_| panic!("{line:?}"));
                assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
            }
        }
        Self { kinds, samples }
    }

    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("no {series}"))
    }

    /// Is this a name that an expression finds something by?
    fn has(&self, name: &str) -> bool {
        self.samples.keys().any(|series| series.split('{').next() == Some(name))
    }
}

#[test]
fn metrics_count_what_clients_did() {
    let dir = tempfile::tempdir().unwrap();
    let broker = with_store(dir.path());
    let at = address(&broker);
    let mut subscriber = broker.begin("subscriber");
    subscriber.subscribe(&[("a/#", 1)]);
    let mut publisher = broker.client("publisher");
    publisher.publish(Message::new("a/b", "12345").qos(1).retain());
    subscriber.expect_message("a/b", "12345", 1);
    let answer = get(at, "/metrics");
    assert!(answer.headers.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{answer:?}");
    let scrape = Scrape::read(&answer.body);
    for (series, value) in [
        ("dunlin_sessions{state=\"connected\"}", 2.0),
        ("dunlin_sessions{state=\"away\"}", 0.0),
        ("dunlin_subscriptions", 1.0),
        ("dunlin_retained_messages", 1.0),
        ("dunlin_connections_closed_total{reason=\"disconnect\"}", 0.0),
        ("dunlin_messages_dropped_total{reason=\"queue_full\"}", 0.0),
        ("dunlin_connections_refused_total{reason=\"login\"}", 0.0),
        ("dunlin_store_condition{condition=\"ok\"}", 1.0),
        ("dunlin_store_condition{condition=\"full\"}", 0.0),
        ("dunlin_config_last_reload_success", 1.0),
        ("dunlin_http_request_seconds_count", 0.0),
    ] {
        assert_eq!(scrape.value(series), value, "{series}");
    }
    let [own, _] = [0, 1].map(|n| broker.server.local_addrs()[n]);
    for (name, count) in [("connections", 2.0), ("connections_opened_total", 2.0)] {
        assert_eq!(scrape.value(&format!("dunlin_{name}{{listener=\"{own}\"}}")), count);
    }
    let version = format!("dunlin_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(scrape.value(&version), 1.0);
    let ends =
        format!("dunlin_certificate_expiry_timestamp_seconds{{listener=\"tls://{}\"}}", broker.server.local_addrs()[1]);
    assert!(scrape.value(&ends) > scrape.value("dunlin_start_time_seconds"));
    assert!(scrape.value("dunlin_fsync_seconds_count") >= 1.0);
    assert!(scrape.value("dunlin_fsync_seconds_bucket{le=\"+Inf\"}") >= 1.0);
    assert!(scrape.value("dunlin_store_disk_bytes") > 0.0);
    assert!(scrape.value("dunlin_batch_records_count") >= 1.0);
    // the record of the subscriber's PUBACK may be between the two
    let records = || {
        let scrape = Scrape::read(&get(at, "/metrics").body);
        ["dunlin_batch_records_sum", "dunlin_store_records_total"].map(|name| scrape.value(name))
    };
    wait_until(|| records().windows(2).all(|two| two[0] == two[1]), || format!("{:?}", records()));
    assert!(scrape.value("process_resident_memory_bytes") > 1e6);
    assert_eq!(scrape.kinds["dunlin_fsync_seconds"], "histogram");

    // one more, by each count
    let received = || {
        let scraped = Scrape::read(&get(at, "/metrics").body).value("dunlin_received_bytes_total");
        [scraped, broker.count(Count::BytesReceived) as f64]
    };
    wait_until(|| received().windows(2).all(|two| two[0] == two[1]), || format!("{:?}", received()));
    let requests = Scrape::read(&get(at, "/metrics").body).value("dunlin_http_request_seconds_count");
    assert_eq!(Scrape::read(&get(at, "/metrics").body).value("dunlin_http_request_seconds_count"), requests + 1.0);
}

#[test]
fn a_scrape_locks_no_session_because_queues_are_sampled() {
    let broker = super::broker("");
    let at = address(&broker);
    let mut client = broker.begin("c");
    client.subscribe(&[("t", 1)]);
    let mut publisher = broker.client("publisher");
    publisher.publish(Message::new("t", "one").qos(1));
    let sent = client.receive();
    let depths = || {
        let scrape = Scrape::read(&get(at, "/metrics").body);
        let names = ["dunlin_inflight_messages", "dunlin_queue_depth_count", "dunlin_queue_depth_sum"];
        scrape.has(names[0]).then(|| names.map(|name| scrape.value(name)))
    };
    wait_until(|| depths().is_some(), String::new);
    assert_eq!(depths(), Some([1.0, 2.0, 0.0]));
    client.send(&puback(sent.id));
    client.disconnect();
    publisher.publish(Message::new("t", "two").qos(1));
    assert_eq!(depths(), Some([1.0, 2.0, 0.0]), "that is what was found");
    broker.turn(Duration::from_secs(15));
    wait_until(|| depths() == Some([0.0, 2.0, 1.0]), || format!("{:?}", depths()));
    let answer = broker.server.inspect_client(&"c".into(), |_| get(at, "/metrics")).expect("it has a session");
    assert_eq!(answer.status, 200);
}

#[test]
fn the_accept_header_selects_openmetrics() {
    let dir = tempfile::tempdir().unwrap();
    let broker = with_store(dir.path());
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let answer = ask(address(&broker), "GET", "/metrics", &[accept]);
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(answer.headers.contains(kind), "{answer:?}");
    assert!(answer.body.ends_with("# EOF\n"));
    assert!(answer.body.contains("# TYPE dunlin_pings counter\n"));
    assert!(answer.body.contains("\ndunlin_pings_total 0\n"));
}

/// The names of all metrics and of their labels equal `metrics.tsv`.
#[test]
fn every_metric_is_in_the_list_and_the_reverse() {
    let dir = tempfile::tempdir().unwrap();
    let broker = with_bridge(dir.path());
    let at = address(&broker);
    wait_until(|| Scrape::read(&get(at, "/metrics").body).has("dunlin_inflight_messages"), String::new);
    let scrape = Scrape::read(&get(at, "/metrics").body);
    let mut listed = BTreeSet::new();
    for row in include_str!("metrics.tsv").lines().filter(|row| !row.starts_with('#')) {
        let (name, rest) = row.split_once('\t').expect("a kind");
        let mut rest = rest.split('\t');
        let (kind, labels) = (rest.next().expect("a kind"), rest.map(|label| label.split_once('=').expect("values")));
        let name = format!("dunlin_{name}");
        assert_eq!(scrape.kinds.get(&name).map(String::as_str), Some(kind), "{name}");
        if kind != "histogram" {
            expect_series(&scrape, &name, &labels.collect::<Vec<_>>());
        }
        listed.insert(name);
    }
    let others: Vec<_> = scrape.kinds.keys().filter(|name| !listed.contains(*name)).collect();
    assert!(others.iter().all(|name| name.starts_with("process_")), "not in the list: {others:?}");
}

#[test]
fn the_numbers_of_a_bridge_that_fall_are_gauges() {
    let dir = tempfile::tempdir().unwrap();
    let broker = with_bridge(dir.path());
    let at = address(&broker);
    let mut publisher = broker.client("p");
    publisher.publish(Message::new("there/a", "x").qos(1));
    // a retained message of QoS 0 waits in no queue
    publisher.publish(Message::new("there/b", "x").retain());
    let has = |name: &str, expected: f64| {
        let series = format!("dunlin_bridge_{name}{{bridge=\"b\"}}");
        let value = || Scrape::read(&get(at, "/metrics").body).value(&series);
        wait_until(|| value() >= expected, || format!("{series} is {}", value()));
    };
    has("queued", 1.0);
    has("retained_due", 1.0);
    has("failures_total", 1.0);
    has("connected", 0.0);
}

/// Each combination of values has exactly one series.
#[track_caller]
fn expect_series(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) {
    let series = scrape.samples.keys().filter(|series| series.split('{').next() == Some(name));
    if let [(label, "*")] = labels {
        let beginning = format!("{name}{{{label}=\"");
        return assert!(series.clone().count() > 0 && series.into_iter().all(|one| one.starts_with(&beginning)));
    }
    let mut expected = vec![String::new()];
    for (label, values) in labels {
        let of = |so_far: &String| {
            let comma = if so_far.is_empty() { "" } else { "," };
            values.split(',').map(|value| format!("{so_far}{comma}{label}=\"{value}\"")).collect::<Vec<_>>()
        };
        expected = expected.iter().flat_map(of).collect();
    }
    let whole = |labels: String| if labels.is_empty() { name.to_owned() } else { format!("{name}{{{labels}}}") };
    let expected: BTreeSet<_> = expected.into_iter().map(whole).collect();
    assert_eq!(series.cloned().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn packets_and_messages_are_counted_by_type_by_qos_and_by_version() {
    let broker = super::broker("");
    let at = address(&broker);
    let mut plain = broker.client("plain");
    plain.subscribe(&[("t", 2)]);
    let mut five = Five::accepted(broker.address(), &five::Connect::new("five"), 0);
    five.subscribe(&[("t", 1)]);
    let mut publisher = broker.client("publisher");
    // with a ping: nothing else answers it
    publisher.publish(Message::new("t", "1"));
    publisher.publish(Message::new("t", "22").qos(1));
    publisher.publish(Message::new("t", "333").qos(2));
    five.publish(&five::Publish::new("other", "4444").qos(1));
    for payload in ["1", "22", "333"] {
        assert_eq!(plain.take().text(), payload);
        assert_eq!(five.take().text(), payload);
    }
    // counters are updated at the end of a turn, a moment after its bytes
    plain.send(&[0xC0, 0]);
    plain.expect(&[0xD0, 0]);
    let expected = [
        ("packets_received_total{type=\"connect\"}", 3.0),
        ("packets_received_total{type=\"publish\"}", 4.0),
        ("packets_received_total{type=\"subscribe\"}", 2.0),
        ("packets_received_total{type=\"puback\"}", 3.0),
        ("packets_received_total{type=\"pubrec\"}", 1.0),
        ("packets_received_total{type=\"pubrel\"}", 1.0),
        ("packets_received_total{type=\"pubcomp\"}", 1.0),
        ("packets_received_total{type=\"pingreq\"}", 2.0),
        ("packets_received_total{type=\"auth\"}", 0.0),
        ("packets_sent_total{type=\"connack\"}", 3.0),
        ("packets_sent_total{type=\"publish\"}", 6.0),
        ("packets_sent_total{type=\"suback\"}", 2.0),
        ("packets_sent_total{type=\"puback\"}", 2.0),
        ("packets_sent_total{type=\"pubrec\"}", 1.0),
        ("packets_sent_total{type=\"pubrel\"}", 1.0),
        ("packets_sent_total{type=\"pubcomp\"}", 1.0),
        ("packets_sent_total{type=\"pingresp\"}", 2.0),
        ("messages_received_total{qos=\"0\",version=\"3\"}", 1.0),
        ("messages_received_total{qos=\"1\",version=\"3\"}", 1.0),
        ("messages_received_total{qos=\"2\",version=\"3\"}", 1.0),
        ("messages_received_total{qos=\"0\",version=\"5\"}", 0.0),
        ("messages_received_total{qos=\"1\",version=\"5\"}", 1.0),
        ("message_bytes_received_total{qos=\"1\",version=\"5\"}", 4.0),
        ("message_bytes_received_total{qos=\"2\",version=\"3\"}", 3.0),
        ("messages_sent_total{qos=\"0\",version=\"3\"}", 1.0),
        ("messages_sent_total{qos=\"1\",version=\"3\"}", 1.0),
        ("messages_sent_total{qos=\"2\",version=\"3\"}", 1.0),
        ("messages_sent_total{qos=\"1\",version=\"5\"}", 2.0),
        ("messages_sent_total{qos=\"2\",version=\"5\"}", 0.0),
        ("message_bytes_sent_total{qos=\"1\",version=\"5\"}", 5.0),
        ("authentications_total{method=\"none\",result=\"accepted\"}", 3.0),
    ];
    let read = || {
        let scrape = Scrape::read(&get(at, "/metrics").body);
        expected.map(|(series, _)| (series, scrape.value(&format!("dunlin_{series}"))))
    };
    wait_until(|| read() == expected, || format!("{:?}", read()));
    // the first message of each thread is measured, and its acknowledgement if it has one
    let measured = |name: &str| Scrape::read(&get(at, "/metrics").body).value(&format!("dunlin_{name}_seconds_count"));
    wait_until(|| measured("publish_to_deliver") >= 1.0, || "no message was measured".into());
    assert_eq!(measured("authentication"), 3.0);
    plain.disconnect();
    five.abort();
    let ended = |reason: &str| {
        let scrape = Scrape::read(&get(at, "/metrics").body);
        scrape.value(&format!("dunlin_connections_closed_total{{reason=\"{reason}\"}}"))
    };
    wait_until(|| ended("disconnect") == 1.0 && ended("connection_lost") == 1.0, String::new);
}

/// Refuses by the user name, each for another reason.
struct Judge;

impl Authenticate for Judge {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        let refuse = |code| Err(Refusal::new(code, "as the test says")).into();
        match credentials.username {
            Some("banned") => refuse(ReasonCode::Banned),
            Some("wrong") => refuse(ReasonCode::BadUserNameOrPassword),
            Some(name) => {
                Ok(Identity { user: Some(name.into()), proof: Proof::Password, ..Identity::default() }).into()
            }
            None => Ok(Identity::default()).into(),
        }
    }
}

#[test]
fn logins_are_counted_by_method_and_result() {
    let config = Config { http: http("metrics_open = true"), ..config() };
    let broker = Broker::build(config, |builder| builder.authenticate(Arc::new(Judge)));
    // MQTT 3.1.1 has no return code of its own for it
    broker.refuses(&Connect::new("a").user("banned", "x"), 5);
    broker.refuses(&Connect::new("a").user("wrong", "x"), 4);
    broker.refuses(&Connect::new("a").user("wrong", "eyJhbGciOiJIUzI1NiJ9.e30."), 4);
    let _client = broker.connect(&Connect::new("a").user("right", "x"), 0);
    let scrape = Scrape::read(&get(address(&broker), "/metrics").body);
    for (series, value) in [
        ("authentications_total{method=\"password\",result=\"accepted\"}", 1.0),
        ("authentications_total{method=\"password\",result=\"refused\"}", 2.0),
        ("authentications_total{method=\"token\",result=\"refused\"}", 1.0),
        ("authentications_total{method=\"none\",result=\"accepted\"}", 0.0),
        ("connections_refused_total{reason=\"banned\"}", 1.0),
        ("connections_refused_total{reason=\"login\"}", 2.0),
        ("authentication_seconds_count", 4.0),
    ] {
        assert_eq!(scrape.value(&format!("dunlin_{series}")), value, "{series}");
    }
}

#[test]
fn latencies_include_the_wait_for_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let broker = with_store(dir.path());
    let mut away = broker.begin("away");
    away.subscribe(&[("t", 1)]);
    away.disconnect();
    broker.client("publisher").publish(Message::new("t", "kept").qos(1));
    let at = address(&broker);
    let measured = || {
        let scrape = Scrape::read(&get(at, "/metrics").body);
        ["count", "sum"].map(|part| scrape.value(&format!("dunlin_publish_to_ack_seconds_{part}")))
    };
    wait_until(|| measured()[0] == 1.0, || format!("{:?}", measured()));
}

/// The names of metrics in an expression.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| word.starts_with("dunlin_") || word.starts_with("process_"))
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

#[track_caller]
fn check(file: &str, expressions: &[String], scrape: &Scrape) {
    assert!(expressions.len() > 5, "{file}: {expressions:?}");
    for expression in expressions {
        let mut named = names(expression).peekable();
        assert!(named.peek().is_some(), "{file}: no metric in {expression}");
        for name in named {
            assert!(scrape.has(name), "{file}: {expression}: there is no {name}");
        }
    }
}

#[test]
fn the_dashboard_and_the_alert_rules_use_existing_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let broker = with_store(dir.path());
    let scrape = Scrape::read(&get(address(&broker), "/metrics").body);

    let dashboard = fs::read_to_string(shipped("grafana-dashboard.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions: Vec<_> = targets.map(|target| target["expr"].as_str().expect("an expr").to_owned()).collect();
    check("grafana-dashboard.json", &expressions, &scrape);

    let rules = fs::read_to_string(shipped("prometheus-alerts.yml")).unwrap();
    let expressions: Vec<_> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned).collect();
    assert_eq!(expressions.len(), rules.matches("- alert: ").count());
    check("prometheus-alerts.yml", &expressions, &scrape);
    assert!(names("rate(dunlin_nothing_total[5m])").all(|name| !scrape.has(name)));
}

#[test]
fn prometheus_accepts_the_scrape_and_the_rules() {
    let found = Command::new("promtool").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("DUNLIN_NEEDS_PROMTOOL").is_none(), "promtool is not installed");
        return eprintln!("left out: promtool is not installed");
    }
    let dir = tempfile::tempdir().unwrap();
    let Answer { body, .. } = get(address(&with_store(dir.path())), "/metrics");
    let mut checking = Command::new("promtool");
    let checking = checking.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut checking = checking.stderr(Stdio::piped()).spawn().unwrap();
    checking.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let output = checking.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.is_empty(), "{text}");
    let rules = Command::new("promtool").args(["check", "rules"]).arg(shipped("prometheus-alerts.yml")).output();
    let rules = rules.unwrap();
    assert!(rules.status.success(), "{}", String::from_utf8_lossy(&rules.stderr));
}
