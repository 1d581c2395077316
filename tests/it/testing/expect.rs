//! Waiting for expectations instead of sleeping.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
};

use serde_json::json;

use super::{Bench, run};
use crate::{
    storm::raise_the_limit_of_files,
    support::{
        GUARD,
        raw::{Client, Connect, Message, frame, puback},
        wait_until,
    },
};

#[test]
fn a_message_is_waited_for() {
    let bench = Bench::start();
    thread::scope(|scope| {
        let waits =
            scope.spawn(|| bench.post("expect", json!({ "filter": "a/+", "payload": "x", "qos": 1, "client": "p" })));
        let mut publisher = bench.client("p");
        publisher.publish(Message::new("a/b", "y").qos(1).id(1));
        publisher.publish(Message::new("a/b", "x").qos(1).id(2));
        let answer = waits.join().unwrap();
        let messages = answer["messages"].as_array().unwrap();
        assert_eq!((messages.len(), &messages[0]["payload"], &messages[0]["topic"]), (1, &json!("x"), &json!("a/b")));
    });
}

#[test]
fn a_failed_expectation_shows_arrived_messages_and_the_nearest_one() {
    let bench = Bench::start();
    let mut publisher = bench.client("p");
    publisher.publish(Message::new("b", r#"{"t": 20}"#).qos(1).id(1));
    publisher.publish(Message::new("a/b", r#"{"t": 20}"#).qos(1).id(2));
    let answer = bench.unmet(json!({ "filter": "a/#", "json_path": { "$.t": 21 }, "within": "50ms" }));
    assert_eq!(answer["arrived"].as_array().unwrap().len(), 2, "{answer}");
    assert_eq!((&answer["nearest"]["topic"], &answer["nearest"]["differs"]), (&json!("a/b"), &json!(["json_path"])));
    bench.post("expect", json!({ "filter": "a/#", "json_path": { "$.t": 20 }, "within": 0 }));
}

#[test]
fn counts_and_orders() {
    let bench = Bench::start();
    let mut publisher = bench.client("p");
    for (id, payload) in (1..).zip(["one", "two", "three"]) {
        publisher.publish(Message::new("a", payload).qos(1).id(id));
    }
    let met = bench.post("expect", json!({ "filter": "a", "count": 3, "at_most": 3, "order": ["one", "three"] }));
    bench.unmet(json!({ "filter": "a", "count": 4, "within": "20ms" }));
    bench.unmet(json!({ "filter": "a", "at_most": 2 }));
    let answer = bench.unmet(json!({ "filter": "a", "order": ["two", "one"], "within": "20ms" }));
    assert!(answer["detail"].as_str().unwrap().contains("\"one\" did not arrive in this order"), "{answer}");
    bench.post("expect", json!({ "filter": "a", "none": true, "after": met["last"] }));
    bench.post("expect", json!({ "filter": "a", "regex": "^t", "count": 2, "within": 0 }));
}

#[test]
fn an_expectation_of_none_fails_at_once_when_one_arrives() {
    let bench = Bench::start();
    thread::scope(|scope| {
        let mut publisher = bench.client("p");
        publisher.publish(Message::new("b", "x").qos(1).id(1));
        bench.post("expect", json!({ "filter": "a", "none": true }));
        let waits = scope.spawn(|| bench.unmet(json!({ "filter": "a", "count": 2, "at_most": 2, "within": "1m" })));
        for id in 2..5 {
            publisher.publish(Message::new("a", "x").qos(1).id(id));
        }
        assert!(waits.join().unwrap()["detail"].as_str().unwrap().contains("at most 2 are allowed"));
    });
}

#[test]
fn clients_and_their_subscriptions() {
    let bench = Bench::start();
    bench.post("expect", json!({ "client": "c", "state": "gone" }));
    thread::scope(|scope| {
        let waits = scope.spawn(|| bench.post("expect", json!({ "client": "c", "subscribed": "a/#", "qos": 1 })));
        let mut client = Client::accepted(bench.mqtt(), &Connect::new("c").persistent(), 0);
        bench.post("expect", json!({ "client": "c", "state": "connected", "within": 0 }));
        client.subscribe(&[("a/#", 1)]);
        waits.join().unwrap();
        let wrong = bench.unmet(json!({ "client": "c", "subscribed": "a/+", "within": "10ms" }));
        assert!(wrong["detail"].as_str().unwrap().contains("but to \"a/#\""), "{wrong}");
        bench.unmet(json!({ "client": "c", "subscribed": "a/#", "qos": 2, "within": "10ms" }));
        bench.client("p").publish(Message::new("a/b", "x").qos(1).id(1));
        let message = client.receive();
        let wrong = bench.unmet(json!({ "client": "c", "acknowledged": true, "within": "10ms" }));
        assert!(wrong["detail"].as_str().unwrap().contains("1 messages are in flight"), "{wrong}");
        let waits = scope.spawn(|| bench.post("expect", json!({ "client": "c", "acknowledged": true })));
        client.send(&puback(message.id));
        waits.join().unwrap();
        client.disconnect();
        bench.post("expect", json!({ "client": "c", "state": "away" }));
    });
    bench.post("expect", json!({ "idle": true }));
}

#[test]
fn contradictory_expectations_are_refused() {
    let bench = Bench::start();
    for body in [
        json!({}),
        json!({ "state": "away" }),
        json!({ "client": "c", "state": "asleep" }),
        json!({ "client": "c", "state": "away", "filter": "a" }),
        json!({ "idle": true, "filter": "a" }),
        json!({ "filter": "a", "none": true, "count": 1 }),
        json!({ "filter": "a", "count": 2, "at_most": 1 }),
        json!({ "filter": "a", "within": "11m" }),
        json!({ "filter": "a", "patload": "x" }),
    ] {
        let (status, answer) = bench.ask("POST", "expect", &body);
        assert_eq!((status, answer["code"].as_str()), (400, Some("body")), "{body}: {answer}");
    }
}

/// More than a broker answers at a time otherwise.
#[test]
fn hundreds_of_expectations_wait_at_once() {
    const WAITING: usize = 200;
    let bench = Bench::start();
    thread::scope(|scope| {
        let waits: Vec<_> = (0..WAITING)
            .map(|_| scope.spawn(|| bench.post("expect", json!({ "filter": "a", "within": "30s" }))))
            .collect();
        bench.client("p").publish(Message::new("a", "x").qos(1).id(1));
        for wait in waits {
            assert_eq!(wait.join().unwrap()["messages"].as_array().unwrap().len(), 1);
        }
    });
}

/// And the one after them is refused at once.
#[test]
fn at_most_1024_expectations_wait_at_once() {
    raise_the_limit_of_files();
    let bench = Bench::start();
    let body = json!({ "filter": "go", "within": "10m" }).to_string();
    let head = format!("POST /test/v1/expect HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", bench.http);
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let asks = |_| {
        let mut socket = TcpStream::connect(bench.http).unwrap();
        socket.set_read_timeout(Some(GUARD)).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    };
    let sockets: Vec<_> = (0..1_025).map(asks).collect();
    // all others wait when one is refused
    wait_until(|| sockets.iter().any(|socket| socket.peek(&mut [0]).is_ok()), || "none is refused".into());
    assert_eq!(bench.ask("GET", "clock", &json!({})).0, 200);
    bench.client("p").publish(Message::new("go", "x").qos(1).id(1));
    let mut refused = 0;
    for mut socket in sockets {
        socket.set_nonblocking(false).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        match answer.starts_with("HTTP/1.1 503 ") && answer.contains("too many requests") {
            true => refused += 1,
            false => assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}"),
        }
    }
    assert_eq!(refused, 1);
    bench.post("expect", json!({ "filter": "go", "within": 0 }));
}

#[test]
fn codes_and_bytes_are_expected() {
    let bench = Bench::start();
    let mut client = bench.client("c");
    client.subscribe(&[("a", 1)]);
    let suback = |code| json!({ "packet": "SUBACK", "client": "c", "reason_code": code, "within": "10ms" });
    bench.post("expect", suback(1));
    assert_eq!(bench.unmet(suback(2))["nearest"]["differs"], json!(["reason_code"]));
    client.send(&frame(0x30, b"\0\x01b\0\xff"));
    let bytes = |base64| json!({ "filter": "b", "payload_base64": base64, "within": "1s" });
    let met = bench.post("expect", bytes("AP8="));
    assert_eq!(met["messages"][0]["payload_base64"], "AP8=");
    assert_eq!(
        bench.unmet(json!({ "filter": "b", "payload_base64": "AP4=", "within": 0 }))["nearest"]["differs"],
        json!(["payload"])
    );
}

#[test]
fn a_test_in_rust_can_wait_for_expectations() {
    let bench = Bench::start();
    bench.client("p").publish(Message::new("a", "x").qos(1).id(1));
    let expect = dunlin::testing::Expect { payload: Some("x".into()), ..dunlin::testing::Expect::message("a") };
    let met = run(bench.broker.expect(&expect)).unwrap();
    assert_eq!((met.messages[0].topic(), met.messages[0].payload()), (Some("a"), Some(&b"x"[..])));
    let expect = dunlin::testing::Expect {
        payload: Some("y".into()),
        within: Some(std::time::Duration::from_millis(10)),
        ..dunlin::testing::Expect::message("a")
    };
    let missed = run(bench.broker.expect(&expect)).unwrap_err();
    assert!(missed.to_string().contains("differs in payload"), "{missed}");
}
