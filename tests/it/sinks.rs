//! File sinks: recordings of published messages. What they write and rotate, and what survives `kill -9` and failures
//! of the disk. `DUNLIN_LONG=1`: 200 kills instead of 20. `DUNLIN_HOOKS_SEED` is the random seed; a failing run prints
//! its seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    hash::{BuildHasher, RandomState},
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use dunlin::{Builder, Config, Server, SinkView, TestClock};
use serde_json::{Value, json};

use crate::{
    http,
    support::{
        Broker,
        command::told,
        config, publish_some,
        random::Random,
        raw::{Client, Connect, Message},
        reload, run,
        running::Running,
        shut_down, start, wait_until,
    },
};

/// On the disk that is built on: /tmp may be none.
fn dir() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A broker with the sink `w`; `more` are further keys of it.
fn sunk(dir: &Path, more: &str) -> Config {
    let text = format!("[[sink]]\nname = 'w'\nfile = '{}'\n{more}\n", dir.join("w.jsonl").display());
    let sinks = dunlin::config::parse(&text, "test").expect("the sink is right").sinks;
    Config { sinks, ..config() }
}

fn stored(dir: &Path, more: &str) -> Config {
    Config { data_dir: Some(dir.join("data")), ..sunk(dir, more) }
}

fn view(server: &Server) -> SinkView {
    server.sinks().into_iter().next().expect("there is a sink")
}

fn wait_until_written(server: &Server, written: u64) {
    let is_done = || view(server).counts.written >= written && view(server).counts.queued == 0;
    wait_until(is_done, || format!("{:?}", view(server)));
}

fn client(server: &Server, id: &str) -> Client {
    Client::accepted(server.local_addrs()[0], &Connect::new(id), 0)
}

/// The rotated files and the present one, the oldest first.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("w.jsonl"));
    all.sort();
    if !all.is_empty() && all[0].ends_with("w.jsonl") {
        all.rotate_left(1);
    }
    all
}

/// The lines of a recording, without the first one.
fn recording(path: &Path) -> Vec<Value> {
    let mut bytes = fs::read(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "gz") {
        let packed = std::mem::take(&mut bytes);
        flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
    }
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.ends_with('\n'), "{}: {text}", path.display());
    let mut lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let first: Value = lines.next().unwrap();
    assert_eq!((&first["dunlin"], &first["version"]), (&json!("recording"), &json!(1)));
    lines.collect()
}

fn payloads(lines: &[Value]) -> Vec<String> {
    lines.iter().filter_map(|line| Some(line["payload"].as_str()?.to_owned())).collect()
}

#[test]
fn a_sink_writes_a_recording_of_the_messages_that_match() {
    let dir = dir();
    let server = start(Builder::new(stored(dir.path(), "filter = ['t/#', '$own/#']")));
    let mut one = client(&server, "a");
    one.publish(Message::new("t/1", "hi").qos(1).retain());
    one.publish(Message::new("u", "no").qos(1));
    one.publish(Message::new("$own/u", "no").qos(1));
    one.publish(Message { payload: vec![0xff], ..Message::new("t/2", "") }.qos(2));
    one.publish(Message::new("t/3", "lossy"));
    wait_until_written(&server, 3);
    let counts = view(&server).counts;
    assert_eq!((counts.lost, counts.failed, counts.rotated), (0, 0, 0));
    shut_down(server);
    let mut lines = recording(&dir.path().join("w.jsonl"));
    for line in &mut lines {
        let at = line.as_object_mut().unwrap().remove("at").unwrap();
        assert!(humantime::parse_rfc3339(at.as_str().unwrap()).is_ok());
    }
    let expected = [
        json!({ "topic": "t/1", "qos": 1, "retain": true, "payload": "hi", "client": "a" }),
        json!({ "topic": "t/2", "qos": 2, "retain": false, "payload_base64": "/w==", "client": "a" }),
        json!({ "topic": "t/3", "qos": 0, "retain": false, "payload": "lossy", "client": "a" }),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn no_acknowledged_message_of_a_sink_is_lost_by_kill_9() {
    let rounds = if env::var_os("DUNLIN_LONG").is_some_and(|long| long == "1") { 200 } else { 20 };
    let seed = env::var("DUNLIN_HOOKS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(rounds)) | 1;
    println!("DUNLIN_HOOKS_SEED={seed}");
    let mut random = Random::new(seed);
    let dir = dir();
    let file = dir.path().join("dunlin.toml");
    let text = format!(
        "data_dir = '{}'\n[http]\nlisten = 'off'\n[sys]\ninterval = 'off'\n[[sink]]\nname = 'w'\nfile = '{}'\nlinger = \
         '1ms'\nbatch = 7\nrotate_size = 4096\n",
        dir.path().join("data").display(),
        dir.path().join("w.jsonl").display()
    );
    fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let mut broker = Running::start(&["--config", &file]);
    let (mut next, mut acknowledged) = (0, BTreeSet::new());
    for _ in 0..rounds {
        let mut publisher = broker.client("p");
        acknowledged.extend(publish_some(&mut publisher, &mut next, 80, &mut random));
        broker.kill();
        broker = Running::start(&["--config", &file]);
    }
    broker.client("p").publish(Message::new("n/x", "last").qos(1));
    acknowledged.insert("last".to_owned());
    // it writes what is queued, and what was rotated is compressed
    let is_last = |path: PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains("\"last\""));
    let is_done = || {
        let all = files(dir.path());
        let plain = all.iter().filter(|path| path.extension().is_none_or(|extension| extension != "gz"));
        plain.count() == 1 && is_last(dir.path().join("w.jsonl"))
    };
    wait_until(is_done, || format!("{:?}", files(dir.path())));
    broker.stop();
    let lines: Vec<_> = files(dir.path()).iter().flat_map(|path| recording(path)).collect();
    let here: BTreeSet<_> = payloads(&lines).into_iter().collect();
    assert!(acknowledged.is_subset(&here), "lost: {:?}", acknowledged.difference(&here));
    assert!(files(dir.path()).len() > 1, "nothing was rotated");
}

#[test]
fn a_large_file_is_rotated_compressed_and_replayed() {
    let dir = dir();
    let server =
        start(Builder::new(stored(dir.path(), "rotate_size = 4096\nrotate_keep = 2\nlinger = '1ms'\nbatch = 10")));
    let mut one = client(&server, "a");
    let text = "x".repeat(100);
    (0..200).for_each(|n| one.publish(Message::new(&format!("t/{n}"), &text).qos(1)));
    wait_until_written(&server, 200);
    let is_compressed = || {
        let all = files(dir.path());
        all.len() == 3 && all.iter().filter(|path| path.extension().is_some_and(|one| one == "gz")).count() == 2
    };
    wait_until(is_compressed, || format!("{:?}", files(dir.path())));
    assert!(view(&server).counts.rotated > 3);
    shut_down(server);
    let numbers: Vec<_> = files(dir.path())
        .iter()
        .flat_map(|path| recording(path))
        .map(|line| line["topic"].as_str().unwrap()[2..].parse::<usize>().unwrap())
        .collect();
    // the oldest files are removed
    let first = numbers[0];
    assert!(first > 0 && numbers == (first..200).collect::<Vec<_>>(), "{numbers:?}");
    let broker = Broker::new(config());
    let mut subscriber = broker.client("s");
    subscriber.subscribe(&[("#", 1)]);
    let packed = files(dir.path()).remove(0);
    let there = recording(&packed);
    let (name, to) = (packed.file_name().unwrap().to_str().unwrap(), format!("mqtt://{}", broker.address()));
    let printed = told(dir.path(), &[], &["replay", name, "--to", &to, "--speed", "max"]);
    assert!(printed.starts_with(&format!("{} messages sent in ", there.len())), "{printed}");
    there.iter().for_each(|line| subscriber.expect_message(line["topic"].as_str().unwrap(), &text, 1));
}

#[test]
fn an_old_file_is_rotated_also_while_nothing_is_published() {
    let dir = dir();
    let clock = TestClock::new();
    let broker = Broker::with_clock(sunk(dir.path(), "rotate_after = '1h'\ncompress = false\nlinger = '0s'"), clock);
    broker.client("a").publish(Message::new("t", "1").qos(1));
    wait_until_written(&broker.server, 1);
    assert_eq!(files(dir.path()).len(), 1);
    broker.turn_until(Duration::from_secs(600), || view(&broker.server).counts.rotated == 1);
    let all = files(dir.path());
    assert_eq!(all.iter().map(|path| payloads(&recording(path))).collect::<Vec<_>>(), [vec!["1".to_owned()], vec![]]);
    // an empty file is not rotated
    (0..20).for_each(|_| broker.turn(Duration::from_secs(600)));
    assert_eq!(files(dir.path()).len(), 2);
}

#[test]
fn a_sink_that_cannot_write_raises_an_alarm_and_loses_messages_only_beyond_its_bound() {
    let dir = dir();
    let place = dir.path().join("place");
    fs::create_dir(&place).unwrap();
    let sinks = sunk(&place, "linger = '0s'\nqueue = 10\nbatch = 1").sinks;
    let config = Config { http: http::http(""), sinks, data_dir: Some(dir.path().join("data")), ..config() };
    let server = start(Builder::new(config));
    let address = server.http_urls()[0].strip_prefix("http://").unwrap().parse().unwrap();
    let get = |path: &str| -> Value { serde_json::from_str(&http::get(address, path).body).unwrap() };
    assert_eq!(get("/api/v1/broker")["alarms"], json!([]));
    let mut one = client(&server, "a");
    fs::remove_dir_all(&place).unwrap();
    one.publish(Message::new("t", "0").qos(1));
    wait_until(|| view(&server).fails, || format!("{:?}", view(&server)));
    // each of them is acknowledged; the first one is being written
    (1..31).for_each(|n| one.publish(Message::new("t", &n.to_string()).qos(1)));
    let counts = view(&server).counts;
    assert_eq!((counts.queued, counts.lost), (11, 20));
    let alarm = get("/api/v1/broker")["alarms"][0].as_str().unwrap().to_owned();
    assert!(alarm.starts_with("sink w cannot write: "), "{alarm}");
    let shown = get("/api/v1/sinks")["data"][0].clone();
    assert_eq!((&shown["name"], &shown["state"]), (&json!("w"), &json!("failing")));
    assert!(http::get(address, "/metrics").body.contains("dunlin_sink_failing{sink=\"w\"} 1"));
    fs::create_dir(&place).unwrap();
    wait_until_written(&server, 11);
    assert_eq!(get("/api/v1/broker")["alarms"], json!([]));
    let metrics = http::get(address, "/metrics").body;
    for line in ["sink_written_total{sink=\"w\"} 11", "sink_lost_total{sink=\"w\"} 20", "sink_queued{sink=\"w\"} 0"] {
        assert!(metrics.lines().any(|l| l == format!("dunlin_{line}")), "{line}: {metrics}");
    }
    shut_down(server);
    let lines = recording(&place.join("w.jsonl"));
    assert_eq!(payloads(&lines), (0..11).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(lines.iter().filter_map(|line| line["lost"].as_u64()).collect::<Vec<_>>(), [20]);
}

#[test]
fn the_queue_of_a_sink_is_bounded_in_bytes() {
    for is_stored in [true, false] {
        let dir = dir();
        let place = dir.path().join("place");
        fs::create_dir(&place).unwrap();
        let sinks = sunk(&place, "linger = '0s'\nqueue_bytes = 5000\nbatch = 1").sinks;
        let data_dir = is_stored.then(|| dir.path().join("data"));
        let server = start(Builder::new(Config { sinks, data_dir, ..config() }));
        let mut one = client(&server, "a");
        fs::remove_dir_all(&place).unwrap();
        // topic and payload have 1,000 bytes
        let text = "x".repeat(999);
        one.publish(Message::new("t", &text).qos(1));
        wait_until(|| view(&server).fails, || format!("{:?}", view(&server)));
        // each of them is acknowledged; the first one is being written
        (1..20).for_each(|_| one.publish(Message::new("t", &text).qos(1)));
        let counts = view(&server).counts;
        assert_eq!((counts.queued, counts.lost), (6, 14), "stored: {is_stored}");
        fs::create_dir(&place).unwrap();
        wait_until_written(&server, 6);
        shut_down(server);
        let lines = recording(&place.join("w.jsonl"));
        assert_eq!(payloads(&lines).len(), 6);
        assert_eq!(lines.iter().filter_map(|line| line["lost"].as_u64()).sum::<u64>(), 14);
    }
}

#[test]
fn a_sink_without_a_data_dir_writes_its_queue_at_the_end() {
    let dir = dir();
    let server = start(Builder::new(sunk(dir.path(), "linger = '1h'")));
    let mut one = client(&server, "a");
    (0..100).for_each(|n| one.publish(Message::new("t", &n.to_string()).qos(n % 3)));
    shut_down(server);
    let all = payloads(&recording(&dir.path().join("w.jsonl")));
    assert_eq!(all, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_reload_changes_a_sink_and_its_queue_stays() {
    let dir = dir();
    let server = start(Builder::new(stored(dir.path(), "linger = '1h'\nfilter = ['a']")));
    let mut one = client(&server, "c");
    ["a", "b"].iter().for_each(|topic| one.publish(Message::new(topic, "1").qos(1)));
    reload(&server, &stored(dir.path(), "linger = '0s'\nfilter = ['b']")).unwrap();
    ["a", "b"].iter().for_each(|topic| one.publish(Message::new(topic, "2").qos(1)));
    wait_until_written(&server, 1);
    reload(&server, &Config { sinks: Vec::new(), ..stored(dir.path(), "") }).unwrap();
    one.publish(Message::new("b", "3").qos(1));
    assert!(server.sinks().is_empty());
    shut_down(server);
    let lines = recording(&dir.path().join("w.jsonl"));
    let all: BTreeMap<_, _> = lines.iter().map(|line| (line["topic"].as_str().unwrap(), &line["payload"])).collect();
    assert_eq!(all, BTreeMap::from([("a", &json!("1")), ("b", &json!("2"))]));
}

#[test]
fn an_invalid_sink_is_refused_with_an_instruction() {
    let file = "file = '/nowhere/w'\n";
    let table = [
        (file.to_owned(), "a sink needs a name"),
        ("name = 'w'".to_owned(), "a sink needs a file"),
        (format!("name = 'w'\n{file}filter = []"), "no message is selected"),
        (format!("name = 'w'\n{file}filter = ['$share/g/a']"), "would be divided"),
        (format!("name = 'w'\n{file}[[sink]]\nname = 'w'\nfile = 'x'"), "already the name of a sink"),
        (format!("name = 'w'\n{file}[[sink]]\nname = 'v'\n{file}"), "writes to this file"),
    ];
    for (text, expected) in table {
        let error = dunlin::config::parse(&format!("[[sink]]\n{text}"), "test").unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let dir = dir();
    let starts = |dir: &Path, more: &str| {
        run(Builder::new(sunk(dir, more)).start()).err().map(|error| error.to_string()).unwrap()
    };
    let error = starts(dir.path(), "filter = ['a/#/b']");
    assert!(error.contains("sink w: filter: \"a/#/b\" is not a Topic Filter"), "{error}");
    let error = starts(Path::new("/nowhere"), "");
    assert!(error.contains("sink w: file: /nowhere/w.jsonl: "), "{error}");
    fs::write(dir.path().join("w.jsonl"), "something else").unwrap();
    let error = starts(dir.path(), "");
    assert!(error.contains("it is not a recording; move it away"), "{error}");
}
