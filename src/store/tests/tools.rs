//! What people are told, and that a repair keeps all that can be read.

use std::{fs, os::unix::fs::FileExt, path::Path};

use super::super::{DiskStore, OpenError, Options, SegmentBytes, open, tools};
use crate::{
    router::{Record, Store},
    session::{Message, SessionChange, SessionNumber},
    topic::{TopicFilter, TopicName},
    types::{ClientId, QoS, SubscriptionOptions},
};

const MESSAGES: u64 = 200;

fn options(path: &Path) -> Options {
    Options { segment_bytes: SegmentBytes::all(16 << 10), ..Options::new(path) }
}

/// A session with messages, each a commit of its own, and one retained message.
fn fill(path: &Path) {
    let (store, _) = open(&options(path)).unwrap();
    let session = SessionNumber(std::num::NonZeroU64::MIN);
    let client = ClientId::from("keeper");
    let _ = store.append(Record::SessionStarted { session, client, owner: None, will: None });
    let filter = TopicFilter::new("t/#").unwrap();
    let options = SubscriptionOptions::from(QoS::AtLeastOnce);
    wait(&store, store.append(Record::Subscribed { session, filter: filter.as_str().into(), options }));
    let topic = TopicName::new("t/x").unwrap();
    for number in 1..=MESSAGES {
        let payload = if number == 7 { vec![0xFF; 3] } else { vec![b'a'; 100] };
        let message = Message::new(topic, &payload, QoS::AtLeastOnce);
        let change =
            SessionChange::Queued { number, message: &message, qos: QoS::AtLeastOnce, retain: false, sent: None };
        wait(&store, store.append(Record::of(session, change)));
    }
    let message = Message::new(topic, b"kept", QoS::AtMostOnce);
    wait(&store, store.append(Record::Retained { message, publisher: None }));
    store.close().unwrap();
}

fn wait(store: &DiskStore, stored: crate::session::Stored) {
    super::threads::wait(store, stored);
}

fn run(tool: impl FnOnce(&mut Vec<u8>) -> Result<bool, tools::ToolError>) -> (bool, String) {
    let mut out = Vec::new();
    let sound = tool(&mut out).unwrap();
    (sound, String::from_utf8(out).unwrap())
}

#[test]
fn what_is_sound_is_said_to_be_so() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let (sound, report) = run(|out| tools::check(dir.path(), out));
    assert!(sound, "{report}");
    assert!(report.starts_with("0000000000000001.log: "), "{report}");
    assert!(report.contains(
        "kept: 1 sessions, 1 subscriptions, 200 messages to deliver, 0 messages to be released, 1 retained messages"
    ));
    assert!(report.ends_with("no damage\n"));
    let (_, report) = run(|out| tools::repair(dir.path(), out).map(|()| true));
    assert_eq!(report, "no damage: nothing to repair\n");
}

#[test]
fn each_thing_that_is_kept_is_a_line() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let (_, live) = run(|out| tools::dump(dir.path(), false, out).map(|()| true));
    let lines: Vec<serde_json::Value> = live.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |kind: &str| lines.iter().filter(|line| line["record"] == kind).count() as u64;
    assert_eq!((count("session"), count("subscription"), count("delivery")), (1, 1, MESSAGES));
    assert_eq!(count("message"), MESSAGES + 1);
    assert_eq!(lines.iter().filter(|line| line["payload_hex"] == "ffffff").count(), 1);
    assert_eq!(lines.iter().filter(|line| line["retained"] == true).count(), 1);
    let (_, all) = run(|out| tools::dump(dir.path(), true, out).map(|()| true));
    let first: serde_json::Value = serde_json::from_str(all.lines().next().unwrap()).unwrap();
    assert_eq!((&first["record"], &first["frame"], &first["offset"]), (&"session".into(), &1.into(), &64.into()));
}

#[test]
fn a_repair_keeps_what_can_be_read_and_the_old_files() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    // within a message of the second segment
    let name = dir.path().join("0000000000000002.log");
    let file = fs::File::options().read(true).write(true).open(&name).unwrap();
    file.write_all_at(&[0x55; 4], 3000).unwrap();
    let damaged = fs::read(&name).unwrap();
    let refused = open(&options(dir.path())).unwrap_err();
    let OpenError::Damaged { damage, more: 0, .. } = &refused else { panic!("{refused}") };
    assert_eq!(damage.file, "0000000000000002.log");
    let text = refused.to_string();
    assert!(text.contains("dunlin store check --data-dir") && text.contains("dunlin store repair"), "{text}");
    let (sound, report) = run(|out| tools::check(dir.path(), out));
    assert!(!sound && report.contains(&damage.to_string()), "{report}");

    let (_, report) = run(|out| tools::repair(dir.path(), out).map(|()| true));
    assert!(report.contains("lost: 0000000000000002.log, byte "), "{report}");
    assert!(report.contains("199 messages to deliver"), "{report}");
    let aside = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let aside = aside.into_iter().find(|path| path.is_dir()).unwrap();
    assert_eq!(fs::read(aside.join("0000000000000002.log")).unwrap(), damaged);
    assert!(!name.exists());

    let (_, restored) = open(&options(dir.path())).unwrap();
    assert_eq!(restored.sessions[0].messages.len() as u64, MESSAGES - 1);
    assert_eq!(restored.retained.len(), 1);
    assert!(run(|out| tools::check(dir.path(), out)).0);
}

#[test]
fn a_repair_says_whose_messages_are_gone_with_a_segment() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    // it holds whose the session is
    fs::remove_file(dir.path().join("0000000000000001.log")).unwrap();
    let (_, report) = run(|out| tools::repair(dir.path(), out).map(|()| true));
    assert!(report.contains("0000000000000001.log, byte 0: the segment is missing"), "{report}");
    assert!(report.contains("lost: session 1 has "), "{report}");
    let (_, restored) = open(&options(dir.path())).unwrap();
    assert!(restored.sessions.is_empty());
    assert_eq!(restored.retained.len(), 1);
}

#[test]
fn no_tool_runs_beside_a_broker() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, _) = open(&options(dir.path())).unwrap();
    let refused = tools::check(dir.path(), &mut Vec::new()).unwrap_err();
    assert!(matches!(refused, tools::ToolError::Open(OpenError::Locked { .. })), "{refused}");
}
