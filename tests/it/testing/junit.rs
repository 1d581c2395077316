//! The report for CI services.

use std::fs;

use dunlin::testing::{Mode, Options};
use serde_json::json;

use super::{Bench, run};
use crate::support::raw::Message;

#[test]
fn expectations_and_violations_are_test_cases_of_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.xml");
    let bench = Bench::with(Options { junit: Some(path.clone()), strict: Some(Mode::Report), ..Options::default() });
    let mut client = bench.client("lamp");
    client.publish(Message::new("a", "x").qos(1));
    assert_eq!(bench.ask("POST", "expect", &json!({ "filter": "a" })).0, 200);
    assert_eq!(bench.ask("POST", "expect", &json!({ "filter": "b", "within": "10ms" })).0, 409);
    // a PUBACK for nothing
    client.send(&[0x40, 2, 0, 99]);
    assert_eq!(bench.ask("POST", "expect", &json!({ "packet": "PUBACK", "direction": "to_server" })).0, 200);
    run(bench.broker.stop());
    let text = fs::read_to_string(&path).unwrap();
    for part in [
        "<testsuite name=\"expectations\" tests=\"3\" failures=\"1\">",
        "name=\"{&quot;filter&quot;:&quot;b&quot;}\"",
        "<testsuite name=\"specification\" tests=\"1\" failures=\"1\">",
        "classname=\"dunlin.specification\" name=\"client lamp\"",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}
