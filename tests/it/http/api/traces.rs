//! Traces: packets of some clients, or about some topics.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use dunlin::{Config, TestClock};
use serde_json::{Value, json};

use super::{address, api, broker, client, column, done, get, status_and_code};
use crate::{
    http::http,
    support::{
        Broker, GUARD, config,
        five::{self, Five, Properties, Publish},
        raw::{self, Message},
        wait_until,
    },
};

/// The lines of a trace; their head has arrived.
struct Lines(BufReader<TcpStream>);

impl Lines {
    fn open(at: SocketAddr, path: &str) -> Self {
        let mut socket = TcpStream::connect(at).unwrap();
        socket.set_read_timeout(Some(GUARD)).unwrap();
        socket.write_all(format!("GET /api/v1/{path} HTTP/1.0\r\nHost: {at}\r\n\r\n").as_bytes()).unwrap();
        let mut lines = Self(BufReader::new(socket));
        assert!(lines.line().unwrap().starts_with("HTTP/1.0 200"));
        while lines.line().unwrap() != "" {}
        let first = lines.next().expect("the first line of a recording");
        assert_eq!((&first["dunlin"], &first["version"]), (&json!("recording"), &json!(1)));
        lines
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        (self.0.read_line(&mut line).unwrap() > 0).then(|| line.trim_end().to_owned())
    }

    fn next(&mut self) -> Option<Value> {
        self.line().map(|line| serde_json::from_str(&line).expect("JSON"))
    }

    /// Checks direction and type of the next packets.
    fn expect(&mut self, packets: &[&str]) -> Vec<Value> {
        let lines: Vec<_> = packets.iter().map(|_| self.next().expect("a packet")).collect();
        assert_eq!(lines.iter().map(flow).collect::<Vec<_>>(), packets, "{lines:#?}");
        lines
    }
}

/// Direction and type of a packet, or another event.
fn flow(line: &Value) -> String {
    let arrow = if line["direction"] == "to_client" { '<' } else { '>' };
    line["packet"].as_str().map_or_else(|| line["event"].to_string(), |packet| format!("{arrow} {packet}"))
}

fn start(at: SocketAddr, body: &Value) -> u64 {
    done(&api(at, "POST", "traces", Some(body)))["id"].as_u64().expect("a number")
}

/// The lines of a trace.
fn lines(at: SocketAddr, id: u64) -> Vec<Value> {
    let mut lines = Lines::open(at, &format!("traces/{id}"));
    std::iter::from_fn(|| lines.next()).collect()
}

#[test]
fn a_trace_of_a_client_begins_at_once_and_includes_later_connections() {
    let broker = broker("");
    let at = address(&broker);
    let mut lamp = client(&broker, "lamp");
    lamp.subscribe(&[("before", 1)]);
    let id = start(at, &json!({ "client_id": "lamp" }));
    let mut traced = Lines::open(at, &format!("traces/{id}?follow=true"));
    let mut other = client(&broker, "other");
    other.publish(Message::new("before", "not the lamp's").qos(1));
    lamp.expect_message("before", "not the lamp's", 1);
    let of_message = traced.expect(&["< PUBLISH", "> PUBACK"]);
    assert_eq!(of_message[0]["topic"], "before");
    assert_eq!((&of_message[0]["qos"], &of_message[0]["payload_size"]), (&json!(1), &json!(14)));
    assert_eq!(of_message[0]["payload"], Value::Null, "payloads are not shown");
    assert_eq!(of_message[0]["packet_id"], of_message[1]["packet_id"]);
    lamp.subscribe(&[("a/+", 1), ("b", 2)]);
    let subscribe = traced.expect(&["> SUBSCRIBE", "< SUBACK"]);
    assert_eq!(subscribe[0]["filters"], json!([{ "filter": "a/+", "qos": 1 }, { "filter": "b", "qos": 2 }]));
    assert_eq!(subscribe[1]["reason_codes"], json!([1, 2]));
    lamp.publish_apart("x", "split", 1);
    traced.expect(&["> PUBLISH", "< PUBACK"]);
    lamp.disconnect();
    traced.expect(&["> DISCONNECT", "\"disconnected\""]);
    // a later connection
    let mut again = raw::Client::open(broker.server.local_addrs()[0]);
    again.send(&raw::Connect::new("lamp").persistent().protocol("MQTT", 4).user("ann", "secret").frame());
    again.expect_any();
    let connect = traced.expect(&["> CONNECT", "< CONNACK"]);
    assert_eq!(
        (&connect[0]["client"], &connect[0]["user"], &connect[0]["has_password"]),
        (&json!("lamp"), &json!("ann"), &json!(true))
    );
    assert!(!connect[0].to_string().contains("secret"), "{}", connect[0]);
    // the list, and the trace as a file
    let list = get(at, "traces");
    assert_eq!(column(&list, "client_id"), ["lamp"]);
    assert_eq!((&list["data"][0]["ended"], &list["data"][0]["lost"]), (&Value::Null, &json!(0)));
    let stopped = done(&api(at, "POST", &format!("traces/{id}/stop"), None));
    assert!(stopped["ended"].is_string() && stopped["packets"].as_u64().unwrap() >= 9, "{stopped}");
    again.send(&[0xC0, 0]);
    again.expect(&[0xD0, 0]);
    assert!(traced.next().is_none(), "it was stopped");
    let all = lines(at, id);
    assert_eq!(all.len() as u64, stopped["packets"].as_u64().unwrap() + 1);
    let times: Vec<_> = all.iter().map(|line| line["mono_us"].as_u64().expect("a time")).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(done(&api(at, "DELETE", &format!("traces/{id}"), None))["removed"], true);
    assert_eq!(status_and_code(&api(at, "GET", &format!("traces/{id}"), None)), (404, "no-trace".into()));
}

#[test]
fn a_trace_of_mqtt_5_has_properties_and_earlier_topic_aliases() {
    let broker = broker("");
    let (at, mqtt) = (address(&broker), broker.server.local_addrs()[0]);
    let mut lamp = Five::accepted(mqtt, &five::Connect::new("lamp"), 0);
    let alias = |topic: &str| Publish::new(topic, "payload").qos(1).with(Properties::new().short(0x23, 3));
    lamp.publish(&alias("home/lamp"));
    let by_topic = start(at, &json!({ "filter": "home/#", "payload": true }));
    let by_network = start(at, &json!({ "network": "127.0.0.0/8" }));
    lamp.publish(&alias(""));
    let mut traced = Lines::open(at, &format!("traces/{by_topic}?follow=true"));
    let lines = traced.expect(&["> PUBLISH", "< PUBACK"]);
    assert_eq!((&lines[0]["topic"], &lines[0]["payload"]), (&json!("home/lamp"), &json!("payload")));
    assert_eq!((&lines[0]["topic_alias"], &lines[0]["properties"]), (&json!(3), &Value::Null));
    // other topics are left out, and all acknowledgements are included
    lamp.publish(&Publish::new("elsewhere", "x").qos(1));
    lamp.subscribe(&[("home/#", 2)]);
    traced.expect(&["> SUBSCRIBE", "< SUBACK"]);
    lamp.publish(&Publish::new("home/door", "open").qos(2));
    assert_eq!(lamp.take().text(), "open");
    let flows: Vec<_> = (0..8).map(|_| flow(&traced.next().expect("a packet"))).collect();
    for (of, count) in [("> PUBLISH", 1), ("< PUBREC", 1), ("> PUBREL", 1), ("< PUBCOMP", 1), ("< PUBLISH", 1)] {
        assert_eq!(flows.iter().filter(|flow| *flow == of).count(), count, "{flows:?}");
    }
    // Authentication Data is left out, and an unknown method is refused
    let secret = Properties::new().text(0x15, "PLAIN").text(0x16, "secret").user("a", "b");
    let mut refused = Five::open(mqtt);
    refused.send(&five::Connect::new("x").with(secret).frame());
    refused.expect_refused(0x8C);
    let of_network = || {
        let all = self::lines(at, by_network);
        all.into_iter().filter(|line| line["client"] == "x").collect::<Vec<_>>()
    };
    wait_until(|| of_network().len() == 3, || format!("{:?}", of_network()));
    let lines = of_network();
    assert_eq!(lines.iter().map(flow).collect::<Vec<_>>(), ["> CONNECT", "< CONNACK", "\"disconnected\""]);
    assert_eq!(lines[0]["properties"], json!({ "authentication_method": "PLAIN", "user_property": [["a", "b"]] }));
    assert_eq!(lines[1]["reason_code"], 0x8C);
}

#[test]
fn an_invalid_trace_is_refused_with_the_reason() {
    let broker = broker("");
    let at = address(&broker);
    for (wrong, told) in [
        (json!({}), "exactly one is expected"),
        (json!({ "client_id": "a", "filter": "b" }), "exactly one is expected"),
        (json!({ "client_id": "" }), "empty"),
        (json!({ "client_id": 7 }), "a text"),
        (json!({ "filter": "a/#/b" }), "filter"),
        (json!({ "network": "10.0.0.0/40" }), "10.0.0.0/40"),
        (json!({ "client_id": "a", "for": "soon" }), "a duration"),
        (json!({ "client_id": "a", "for": "0s" }), "a duration"),
        (json!({ "client_id": "a", "for": "25h" }), "at most 24h"),
        (json!({ "client_id": "a", "payload": "yes" }), "true or false"),
        (json!({ "client_id": "a", "payloads": true }), "payload"),
        (json!([]), "an object"),
    ] {
        let answer = api(at, "POST", "traces", Some(&wrong));
        assert!(answer.status == 400 && answer.body.contains(told), "{wrong}: {answer:?}");
    }
    for (method, path) in [("GET", "traces/1"), ("DELETE", "traces/x"), ("POST", "traces/99/stop")] {
        assert_eq!(status_and_code(&api(at, method, path, None)), (404, "no-trace".into()), "{method} {path}");
    }
    assert_eq!(get(at, "traces")["data"], json!([]));
}

#[test]
fn thirty_traces_run_at_a_time_and_each_expires() {
    let clock = TestClock::new();
    let broker = Broker::with_clock(Config { http: http(""), ..config() }, clock.clone());
    let at = address(&broker);
    let all: Vec<_> = (0..30).map(|n| start(at, &json!({ "client_id": format!("c{n}"), "for": "1h" }))).collect();
    let more = json!({ "filter": "#" });
    assert_eq!(status_and_code(&api(at, "POST", "traces", Some(&more))), (409, "too-many".into()));
    // an ended one makes room
    done(&api(at, "POST", &format!("traces/{}/stop", all[7]), None));
    let last = start(at, &more);
    assert_eq!(status_and_code(&api(at, "GET", &format!("traces/{}", all[7]), None)).0, 404);
    let mut lamp = client(&broker, "lamp");
    let mut traced = Lines::open(at, &format!("traces/{last}?follow=true"));
    lamp.publish(Message::new("a", "b").qos(1));
    traced.expect(&["> PUBLISH", "< PUBACK"]);
    // ten minutes by default
    clock.turn(Duration::from_secs(601));
    assert!(traced.next().is_none());
    lamp.publish(Message::new("a", "b").qos(1));
    assert_eq!(lines(at, last).len(), 2);
    let list = get(at, "traces");
    let ended = list["data"].as_array().unwrap().iter().filter(|trace| trace["ended"].is_string()).count();
    assert_eq!(ended, 1);
}

#[test]
fn an_attached_trace_stops_with_its_reader() {
    let broker = broker("");
    let at = address(&broker);
    let id = start(at, &json!({ "filter": "#", "attached": true }));
    let ended = || get(at, "traces")["data"][0]["ended"].is_string();
    // reading without follow does not attach
    assert_eq!(lines(at, id).len(), 0);
    assert!(!ended());
    drop(Lines::open(at, &format!("traces/{id}?follow=true")));
    wait_until(ended, || "it goes on".into());
}

#[test]
fn a_slow_reader_of_a_trace_gets_the_number_of_lost_lines() {
    let broker = broker("");
    let at = address(&broker);
    let small = start(at, &json!({ "client_id": "lamp" }));
    let large = start(at, &json!({ "filter": "big", "payload": true }));
    let mut slow = Lines::open(at, &format!("traces/{large}?follow=true"));
    let mut lamp = client(&broker, "lamp");
    let payload = "x".repeat(1 << 20);
    // 100 MiB, of which the trace keeps 64 MiB
    for _ in 0..100 {
        lamp.publish(Message::new("big", &payload).qos(1));
    }
    let shown = get(at, "traces");
    let [of_small, of_large] = [0, 1].map(|at: usize| &shown["data"][at]);
    assert_eq!((&of_small["lost"], &of_large["packets"]), (&json!(0), &json!(200)));
    let number = |name: &str| of_large[name].as_u64().unwrap();
    assert!(number("bytes") + of_small["bytes"].as_u64().unwrap() <= 64 << 20, "{shown}");
    assert!(number("lost") >= 60, "{shown}");
    done(&api(at, "POST", &format!("traces/{large}/stop"), None));
    let (mut got, mut lost) = (0, 0);
    while let Some(line) = slow.next() {
        match line["lost"].as_u64() {
            Some(count) => lost += count,
            None => got += 1,
        }
    }
    assert!(lost > 0 && got + lost == 200, "{got} came, {lost} were lost");
    // a file of it begins with the number of missing lines
    let mut file = Lines::open(at, &format!("traces/{large}"));
    assert_eq!(file.next().unwrap(), json!({ "lost": number("lost") }));
    let mut rest = Vec::new();
    file.0.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.iter().filter(|byte| **byte == b'\n').count() as u64, 200 - number("lost"));
    assert_eq!(lines(at, small).iter().filter(|line| line["packet"] == "PUBLISH").count(), 100);
}
