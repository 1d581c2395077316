//! `dunlin ctl`, against a broker in a process of its own.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    command::{dunlin, refused, text, told},
    raw::{Connect, Message},
    running::Running,
    wait_until,
};

/// A broker whose HTTP is served on a Unix socket.
struct Place {
    dir: TempDir,
    broker: Running,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("admin.sock");
        let text = format!("[http]\nlisten = \"unix:{}\"\n[limits]\nmax_connections = 50\n", socket.display());
        fs::write(dir.path().join("dunlin.toml"), text).unwrap();
        let file = dir.path().join("dunlin.toml");
        let broker = Running::start(&["--config", file.to_str().unwrap()]);
        Self { dir, broker }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    #[track_caller]
    fn ctl(&self, words: &[&str]) -> String {
        told(self.path(), &[], &[&["ctl", "--config", "dunlin.toml"], words].concat())
    }

    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.ctl(&[words, &["--json"]].concat())).unwrap()
    }
}

#[test]
fn ctl_lists_and_controls_clients() {
    let place = Place::new();
    let mut lamp = place.broker.client("lamp");
    lamp.subscribe(&[("home/#", 1)]);
    let mut away = place.broker.begin("away/1");
    away.subscribe(&[("home/door", 1)]);
    away.disconnect();

    assert!(place.ctl(&["broker"]).contains("connected: 1\n"));
    let table = place.ctl(&["clients", "sort=-subscriptions", "fields=client_id,subscriptions,connected"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["CLIENT_ID", "CONNECTED", "SUBSCRIPTIONS"]);
    assert_eq!(rows.len(), 3);
    assert!(rows.contains(&vec!["lamp", "true", "1"]) && rows.contains(&vec!["away/1", "false", "1"]), "{table}");
    assert_eq!(place.json(&["client", "away/1"])["connected"], false);
    assert!(place.ctl(&["subscriptions", "client_id=lamp"]).contains("home/#"));
    assert!(place.ctl(&["routes", "home/door"]).contains("away/1"));

    assert_eq!(
        place.ctl(&["pub", "home/door", "open", "--qos", "1", "--retain"]),
        "Published to home/door, which has 2 subscribers.\n"
    );
    lamp.expect_message("home/door", "open", 1);
    assert!(place.ctl(&["queue", "away/1"]).contains("home/door"));
    assert!(place.ctl(&["retained"]).contains("open"));
    assert_eq!(place.ctl(&["retained", "home/#", "--remove"]), "1 retained message was removed.\n");

    assert_eq!(place.json(&["kick", "--filter", "prefix=l", "--dry-run"])["clients"], 1);
    assert_eq!(place.json(&["kick", "lamp", "--reason", "new firmware"])["result"], "closing");
    lamp.expect_closed();
    wait_until(|| place.ctl(&["closed"]).contains("new firmware"), String::new);
    assert_eq!(place.json(&["sessions", "state=away"]), json!({ "clients": 1, "done": 1, "dry_run": false }));
    assert_eq!(place.json(&["clients"])["data"], json!([]));

    // a sentence for people, and nothing for what reads standard output
    let nobody = dunlin(place.path(), &[], &["ctl", "-c", "dunlin.toml", "clients"]);
    assert_eq!((text(&nobody.stdout), text(&nobody.stderr)), (String::new(), "No clients.\n".to_owned()));
    fs::write(place.path().join("key"), "any").unwrap();
    let words = ["ctl", "-c", "dunlin.toml", "--key-file", "key", "broker"];
    assert!(text(&dunlin(place.path(), &[], &words).stderr).contains("the login is not looked at"));
    assert_eq!(place.ctl(&["ban", "x", "--for", "1h"]), "Banned the client x for 1h. 0 connections were closed.\n");
    assert_eq!(place.ctl(&["unban", "x"]), "The ban of the client x is ended.\n");

    let unknown = refused(place.path(), &[], &["ctl", "-c", "dunlin.toml", "client", "nobody"], 1);
    assert!(unknown.contains("there is no client \"nobody\"") && unknown.contains("(404 no-client)"), "{unknown}");
    let wrong = refused(place.path(), &[], &["ctl", "-c", "dunlin.toml", "clients", "usr=a"], 1);
    assert!(wrong.contains("did you mean \"user\"?"), "{wrong}");
    let bare = refused(place.path(), &[], &["ctl", "-c", "dunlin.toml", "clients", "alice"], 1);
    assert!(bare.contains("NAME=VALUE is expected"), "{bare}");
    let nobody = refused(place.path(), &[], &["ctl", "--url", "unix:none.sock", "broker"], 1);
    assert!(nobody.contains("unix:none.sock: No such file"), "{nobody}");
    let none = dunlin(place.path(), &[], &["ctl", "-c", "dunlin.toml", "webhooks"]);
    assert_eq!((text(&none.stdout), text(&none.stderr)), (String::new(), "No webhooks.\n".to_owned()));
    place.broker.stop();
}

/// A second broker whose default HTTP address is taken has no HTTP: requests for it would be answered by the first one.
#[test]
fn ctl_refuses_to_ask_another_broker_than_that_of_the_file() {
    let place = Place::new();
    let mut victim = place.broker.client("victim");
    let socket = format!("unix:{}", place.path().join("admin.sock").display());
    let text = format!("[http]\nlisten = \"{socket}\"\n[[listener]]\naddress = \"127.0.0.1:1\"\n");
    fs::write(place.path().join("two.toml"), text).unwrap();
    let wrong = refused(place.path(), &[], &["ctl", "-c", "two.toml", "kick", "victim"], 1);
    assert!(wrong.contains("another broker answers: it listens on 127.0.0.1:"), "{wrong}");
    assert!(wrong.contains("two.toml listens on 127.0.0.1:1") && wrong.contains("--url unix:"), "{wrong}");
    victim.publish(Message::new("still/here", "x").qos(1));
    let told = told(place.path(), &[], &["ctl", "-c", "two.toml", "--url", &socket, "kick", "victim"]);
    assert_eq!(told, "Disconnected the client victim.\n");
    victim.expect_closed();
    place.broker.stop();
}

#[test]
fn ctl_says_what_to_do_when_no_broker_answers() {
    let place = Place::new();
    let ctl = |words: &[&str]| refused(place.path(), &[], &[&["ctl"], words, &["broker"]].concat(), 1);
    let mqtt = format!("http://{}", place.broker.addresses[0]);
    let said = ctl(&["--url", &mqtt]);
    assert!(said.contains("no HTTP is spoken there; is it the port of MQTT"), "{said}");
    for (file, text, expected) in [
        ("refused.toml", "[http]\nlisten = \"127.0.0.1:1\"\n", "is the broker of refused.toml running?"),
        ("off.toml", "[http]\nlisten = \"off\"\n", "write listen = \"127.0.0.1:9883\" below [http] in off.toml"),
        ("any.toml", "[http]\nlisten = \"127.0.0.1:0\"\n", "http.listen has port 0"),
        ("mosquitto.conf", "listener 1883\n", "below [http] in dunlin.d/http.toml"),
    ] {
        fs::write(place.path().join(file), text).unwrap();
        let said = ctl(&["-c", file]);
        assert!(said.contains(expected), "{file}: {said}");
    }
    place.broker.stop();
}

#[test]
fn ctl_asks_at_the_unix_socket_first() {
    let place = Place::new();
    // nothing listens at port 1
    let text = format!("[http]\nlisten = [\"127.0.0.1:1\", \"unix:{}\"]\n", place.path().join("admin.sock").display());
    fs::write(place.path().join("both.toml"), text).unwrap();
    assert!(told(place.path(), &[], &["ctl", "-c", "both.toml", "broker"]).contains("version: "));
    place.broker.stop();
}

#[test]
fn packets_are_printed_as_they_come() {
    let place = Place::new();
    let mut lamp = place.broker.client("lamp");
    // a client that goes on until a packet was seen
    let traced = |more: &'static [&'static str], lamp: &mut crate::support::raw::Client| {
        std::thread::scope(|scope| {
            let dir = place.path().to_owned();
            let words =
                ["ctl", "--config", "dunlin.toml", "trace", "start", "--client", "lamp", "--payload", "-n", "2"];
            let printed = scope.spawn(move || told(&dir, &[], &[&words[..], more].concat()));
            while !printed.is_finished() {
                lamp.publish(Message::new("home/lamp", "on").qos(1));
            }
            printed.join().unwrap()
        })
    };
    let printed = traced(&[], &mut lamp);
    let lines: Vec<_> = printed.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    let expected = |arrow: &str| lines.iter().find(|line| line.starts_with(arrow)).copied().unwrap_or_default();
    assert!(expected("lamp -> PUBLISH home/lamp ").contains(" payload=on "), "{printed}");
    assert!(expected("lamp <- PUBACK ").contains("reason_code=0"), "{printed}");
    // the recording of the same
    let lines: Vec<Value> =
        traced(&["--json"], &mut lamp).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["dunlin"], lines.len()), (&json!("recording"), 3));
    // both ended with their reader
    let both_ended = || {
        let list = place.json(&["trace"]);
        list["data"].as_array().unwrap().iter().all(|trace| trace["ended"].is_string())
    };
    wait_until(both_ended, || place.ctl(&["trace"]));
    let started = place.ctl(&["trace", "start", "--topic", "home/#", "--for", "1h", "--detach"]);
    assert_eq!(started, "Trace 3 runs. dunlin ctl trace show 3 prints its packets.\n");
    lamp.publish(Message::new("home/door", "open").qos(1));
    assert_eq!(place.ctl(&["trace", "stop", "3"]), "Trace 3 is stopped, with 2 packets.\n");
    assert!(place.ctl(&["trace", "show", "3", "--follow"]).contains("lamp -> PUBLISH home/door "));
    assert!(place.ctl(&["trace", "list"]).lines().next().unwrap().starts_with("ID "));
    assert_eq!(place.ctl(&["trace", "remove", "3"]), "Trace 3 is removed.\n");
    let wrong = refused(place.path(), &[], &["ctl", "-c", "dunlin.toml", "trace", "show", "3"], 1);
    assert!(wrong.contains("there is no trace \"3\"") && wrong.contains("(404 no-trace)"), "{wrong}");
    place.broker.stop();
}

#[test]
fn ctl_reload_prints_the_changes_or_the_error() {
    let place = Place::new();
    let file = place.path().join("dunlin.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("max_connections = 50", "max_connections = 60")).unwrap();
    let expected = "The configuration was read again. Changed:\n  limits.max_connections = 60 (was 50)\n";
    assert_eq!(place.ctl(&["reload"]), expected);
    let config = place.json(&["config"]);
    let setting = config["data"].as_array().unwrap().iter().find(|one| one["key"] == "limits.max_connections").unwrap();
    assert_eq!(setting["value"], "60");
    assert!(setting["from"].as_str().unwrap().contains("dunlin.toml"), "{setting}");
    assert_eq!(place.ctl(&["reload"]), "The configuration was read again. Nothing changed.\n");

    let socket = format!("unix:{}", place.path().join("admin.sock").display());
    fs::write(&file, text.replace("max_connections", "max_conections")).unwrap();
    let wrong = refused(place.path(), &[], &["ctl", "--url", &socket, "reload"], 1);
    assert!(wrong.contains("did you mean \"max_connections\"?") && wrong.contains("(409 configuration)"), "{wrong}");
    assert_eq!(
        serde_json::from_str::<Value>(&told(place.path(), &[], &["ctl", "--url", &socket, "broker", "--json"]))
            .unwrap()["reload"]["succeeded"],
        false
    );
    place.broker.stop();
}

#[test]
fn ctl_config_prints_the_webhooks_and_sinks_of_the_last_reload() {
    let place = Place::new();
    let file = place.path().join("dunlin.toml");
    let text = fs::read_to_string(&file).unwrap();
    let tables = |url: &str, filter: &str| {
        let webhook = format!("[[webhook]]\nname = 'w'\nurl = 'http://{url}/'\nevents = ['client.connected']\n");
        let sink = place.path().join("sink.jsonl").display().to_string();
        format!("{text}{webhook}[[sink]]\nname = 's'\nfile = '{sink}'\nfilter = ['{filter}']\n")
    };
    let shown = || {
        let config = place.json(&["config"]);
        let all = config["data"].as_array().unwrap().iter();
        let of_tables = |key: &str| key.starts_with("webhook.") || key.starts_with("sink.");
        let all = all.filter(|one| one["key"].as_str().is_some_and(of_tables));
        all.map(|one| (one["key"].clone(), one["value"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    assert!(shown().is_empty(), "{:?}", shown());
    for (url, filter) in [("127.0.0.1:1", "a/#"), ("127.0.0.1:2", "b/#")] {
        fs::write(&file, tables(url, filter)).unwrap();
        let changes = place.ctl(&["reload"]);
        assert!(changes.contains(url) && changes.contains(filter), "{changes}");
        let shown = shown();
        let [(webhook, set), (sink, written)] = &shown[..] else { panic!("{shown:?}") };
        assert_eq!((webhook, sink), (&json!("webhook.w"), &json!("sink.s")));
        assert!(set.contains(&format!("url = \"http://{url}/\"")), "{set}");
        assert!(written.contains(&format!("filter = [\"{filter}\"]")), "{written}");
        let table = place.ctl(&["sinks"]);
        assert!(table.starts_with("NAME  STATE") && table.contains("sink.jsonl"), "{table}");
    }
    fs::write(&file, &text).unwrap();
    place.ctl(&["reload"]);
    assert!(shown().is_empty(), "{:?}", shown());
    let none = dunlin(place.path(), &[], &["ctl", "-c", "dunlin.toml", "sinks"]);
    assert_eq!(
        (crate::support::command::text(&none.stdout), crate::support::command::text(&none.stderr)),
        (String::new(), "No sinks.\n".to_owned())
    );
    place.broker.stop();
}

#[test]
fn ctl_prints_messages_and_events_as_they_happen() {
    let place = Place::new();
    place.broker.client("keeper").publish(Message::new("home/door", "open").qos(1).retain());
    // the retained message arrives at once
    assert_eq!(place.ctl(&["sub", "home/#", "-n", "1"]), "home/door open\n");
    let json: Value = serde_json::from_str(&place.ctl(&["sub", "home/+", "--count", "1", "--json"])).unwrap();
    assert_eq!((&json["topic"], &json["qos"], &json["retain"]), (&json!("home/door"), &json!(1), &json!(true)));
    // clients that come until one was seen
    let printed = std::thread::scope(|scope| {
        let dir = place.path().to_owned();
        let words = ["ctl", "--config", "dunlin.toml", "events", "types=connect", "-n", "1"];
        let events = scope.spawn(move || told(&dir, &[], &words));
        while !events.is_finished() {
            drop(place.broker.connect(&Connect::new("comer"), 0));
        }
        events.join().unwrap()
    });
    assert!(printed.starts_with("connect ") && printed.contains("client_id=comer"), "{printed}");
    place.broker.stop();
}
