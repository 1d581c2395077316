//! Recordings, and differences between two of them.

use dunlin::testing::{Options, diff};
use serde_json::{Value, json};

use super::{Bench, run};
use crate::support::raw::{Client, Connect, Message};

#[test]
fn flows_are_recorded_without_passwords_and_compared() {
    let dir = tempfile::tempdir().unwrap();
    let record = |name: &str, payload: &str| {
        let path = dir.path().join(name);
        let bench = Bench::with(Options { record: Some(path.clone()), ..Options::default() });
        let mut client = Client::accepted(bench.mqtt(), &Connect::new("c").user("alice", "secret"), 0);
        client.publish(Message::new("a", payload).qos(1).id(1));
        bench.post("expect", json!({ "packet": "PUBACK", "client": "c" }));
        client.disconnect();
        run(bench.broker.stop());
        path
    };
    let [first, second, third] = [("1", "x"), ("2", "x"), ("3", "y")].map(|(name, payload)| record(name, payload));
    let text = std::fs::read_to_string(&first).unwrap();
    assert!(!text.contains("secret"), "{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["dunlin"], &lines[0]["version"]), (&json!("recording"), &json!(1)));
    let packets: Vec<_> = lines[1..].iter().map(|line| line["packet"].as_str().unwrap()).collect();
    assert_eq!(packets, ["CONNECT", "CONNACK", "PUBLISH", "PUBACK", "DISCONNECT"]);
    assert!(lines[1..].iter().all(|line| line["client"] == "c" && line["mono_us"].is_u64() && line["at"].is_string()));
    assert!(diff(&first, &second).unwrap().is_empty());
    let told = diff(&first, &third).unwrap().to_string();
    assert!(told.contains("packet 3: → PUBLISH") && told.contains("payload=\"y\""), "{told}");
}
