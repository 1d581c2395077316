//! The reports of the tools; and a repair keeps all readable records.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use super::{
    super::{
        DiskStore, OpenError, Options, SegmentBytes,
        log::{Away, Disk, LogRecord},
        open,
        recovery::{Position, Recovered, recover},
        tools,
    },
    model::Model,
};
use crate::{
    clock::Clock,
    codec::{PropertiesBuf, PropertyId, PropertyValue},
    router::{Login, Publisher, QueuedCopy, Record, SessionOwner, Store, WillLeft},
    session::{Extras, Identifiers, Message, SessionChange, SessionNumber, StoredWill},
    topic::{TopicFilter, TopicName},
    types::{ClientId, PacketId, QoS, SubscriptionOptions},
};

const MESSAGES: u64 = 200;

fn options(path: &Path) -> Options {
    Options { segment_bytes: SegmentBytes::all(16 << 10), ..Options::new(path) }
}

/// A session with messages, each in its own commit, and one retained message.
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
        let change = SessionChange::Queued {
            number,
            message: &message,
            qos: QoS::AtLeastOnce,
            retain: false,
            shared: false,
            identifiers: &[],
            sent: None,
        };
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
fn an_intact_store_is_reported_as_intact() {
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
fn each_stored_thing_is_a_line_of_the_dump() {
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
fn a_repair_keeps_readable_records_and_the_old_files() {
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
fn a_repair_lists_the_clients_whose_messages_are_lost() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    // it has the record of the session
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

/// The state after each kind of record, with and without a user.
fn fill_with_all(path: &Path) {
    fill(path);
    let (store, _) = open(&options(path)).unwrap();
    let session = SessionNumber(9.try_into().unwrap());
    let owner = Some(Box::new(SessionOwner { user: "maria".into(), login: Login::Certificate }));
    let topic = TopicName::new("t/will").unwrap();
    let will = |payload: &[u8]| StoredWill::plain(Message::new(topic, payload, QoS::ExactlyOnce), true);
    let publisher = Some(Publisher { client: "device".into(), user: Some("jon".into()) });
    let message = Message::new(TopicName::new("r").unwrap(), &[0xFE, 0, 1], QoS::AtLeastOnce);
    let queued = Message::new(topic, b"queued", QoS::ExactlyOnce);
    let copy =
        |number| QueuedCopy { session, number, qos: QoS::ExactlyOnce, retain: true, shared: false, identifier: None };
    let client = ClientId::from("of maria");
    let last = [
        Record::SessionStarted { session, client: client.clone(), owner, will: Some(will(b"of a session")) },
        Record::WillDue { session, number: 3, will: will(b"due") },
        Record::WillKept { number: 4, client, user: Some("maria".into()), will: will(&[0xFF]) },
        Record::Received { session, packet_id: PacketId::new(7).unwrap() },
        Record::Received { session, packet_id: PacketId::new(3).unwrap() },
        Record::Queued { message: queued.clone(), copy: copy(5), identifiers: None, sent: None },
        Record::Queued { message: queued.clone(), copy: copy(6), identifiers: None, sent: Some(2) },
        Record::Queued { message: queued.clone(), copy: copy(7), identifiers: None, sent: Some(3) },
        Record::Queued {
            message: queued,
            copy: QueuedCopy { shared: true, ..copy(8) },
            identifiers: Some(Box::new(Identifiers::from(&b"\x0B\x07\x0B\x80\x01"[..]))),
            sent: None,
        },
        Record::Subscribed { session, filter: "$share/g/t/#".into(), options: QoS::ExactlyOnce.into() },
        Record::Released { session, number: 7 },
        Record::Retained { message, publisher },
    ]
    .map(|record| store.append(record));
    wait(&store, last[last.len() - 1]);
    store.close().unwrap();
}

/// The delay of its Will ends an hour after it left.
const LEFT: &str = "left an hour before its Will";

/// The same with the features of MQTT 5.
fn fill_with_all_of_5(path: &Path) {
    fill_with_all(path);
    let (store, _) = open(&options(path)).unwrap();
    let session = SessionNumber(10.try_into().unwrap());
    let topic = TopicName::new("t/will").unwrap();
    let mut properties = PropertiesBuf::default();
    properties.push(PropertyId::UserProperty, PropertyValue::Pair("a", "b"));
    let extras = Extras { properties: properties.as_properties(), ..Extras::default() };
    let will = |delay, expiry| {
        let message = Message::with(topic, b"gone", QoS::AtLeastOnce, extras);
        StoredWill { message, retain: false, delay, expiry }
    };
    let options = SubscriptionOptions {
        no_local: true,
        identifier: std::num::NonZeroU32::new(7),
        ..SubscriptionOptions::from(QoS::AtLeastOnce)
    };
    let now = Clock::system().now();
    let expires = Some(now + Duration::from_secs(7_200));
    let message = Message::with(topic, b"expires", QoS::AtLeastOnce, Extras { expires, ..extras });
    let copy = QueuedCopy {
        session,
        number: 1,
        qos: QoS::AtLeastOnce,
        retain: false,
        shared: false,
        identifier: std::num::NonZeroU32::new(300),
    };
    let last = [
        Record::SessionStarted { session, client: LEFT.into(), owner: None, will: Some(will(3_600, Some(60))) },
        Record::Lasts { session, seconds: Some(86_400) },
        Record::Subscribed { session, filter: "s/#".into(), options },
        Record::Queued { message, copy, identifiers: None, sent: None },
        Record::WillDue { session, number: 5, will: will(1, None) },
        Record::WillKept { number: 6, client: "clean".into(), user: None, will: will(0, Some(0)) },
        Record::Detached { session, will: WillLeft::Until(now + Duration::from_secs(3_600)) },
    ]
    .map(|record| store.append(record));
    wait(&store, last[last.len() - 1]);
    store.close().unwrap();
}

fn model(path: &Path) -> (Model, Recovered) {
    let recovered = recover(&Disk::to_read(path), &mut |_, _| {}).unwrap();
    assert_eq!(recovered.damage, []);
    (Model::from(&recovered.index), recovered)
}

#[test]
fn an_export_can_be_imported() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fill_with_all_of_5(&from);
    let (_, lines) = run(|out| tools::export(&from, out).map(|()| true));
    let (_, said) = run(|out| tools::import(&to, lines.as_bytes(), out).map(|()| true));
    assert!(said.contains("3 sessions, 3 subscriptions, 205 messages to deliver"), "{said}");
    // the ages of their logs differ
    let without_ages = |path| {
        let mut model = model(path).0;
        model.sessions.values_mut().for_each(|session| session.will_due = session.will_due.map(|_| 0));
        model
    };
    assert_eq!(without_ages(&to), without_ages(&from));
    let (_, again) = run(|out| tools::export(&to, out).map(|()| true));
    let sorted = |lines: &str| {
        // by then they have been away for longer
        let ages = |line: &&str| line.contains("away_ms") || line.contains("expires_ms");
        let mut lines: Vec<_> = lines.lines().filter(|line| !ages(line)).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&again), sorted(&lines));
    assert!(run(|out| tools::check(&to, out)).0);
    let refused = tools::import(&to, lines.as_bytes(), &mut Vec::new()).unwrap_err().to_string();
    assert!(refused.contains("exists and is not empty"), "{refused}");
    let (store, restored) = open(&options(&to)).unwrap();
    let owned = restored.sessions.iter().find(|session| session.owner.is_some()).unwrap();
    assert_eq!((owned.client.as_str(), owned.received.len(), restored.wills.len()), ("of maria", 2, 2));
    let left = restored.sessions.iter().find(|session| session.client.as_str() == LEFT).unwrap();
    let will = left.will.as_ref().unwrap();
    assert_eq!((will.delay, will.expiry, will.message.extras().properties.user().count()), (3_600, Some(60), 1));
    let left = left.will_left.unwrap();
    assert!(left <= Duration::from_secs(3_600) && left > Duration::from_secs(3_000), "{left:?}");
    store.close().unwrap();
}

#[test]
fn an_invalid_line_is_named_and_nothing_is_imported() {
    let dir = tempfile::tempdir().unwrap();
    let session = r#"{"record":"session","session":1,"client":"c"}"#;
    let table = [
        ("[]", "invalid type"),
        (r#"{"record":"session","session":0,"client":"c"}"#, "\"session\" is a number that none has"),
        (r#"{"record":"subscription","session":1,"qos":1,"filter":"a/#/b"}"#, "\"filter\" "),
        (r#"{"record":"subscription","session":1,"qos":3,"filter":"a"}"#, "\"qos\" is none"),
        (r#"{"record":"message","message":1,"qos":1,"topic":"a","payload_hex":"0"}"#, "\"payload_hex\" is not"),
        (
            r#"{"record":"session","session":1,"client":"c","will":{"topic":"a","payload":"","qos":0,"delay_s":4294967296}}"#,
            "\"delay_s\" is more seconds",
        ),
        (
            r#"{"record":"session","session":1,"client":"c","will":{"topic":"a","payload":"","qos":0,"properties_hex":"18"}}"#,
            "\"properties_hex\" is not the properties",
        ),
        (r#"{"record":"completed","session":1,"number":1}"#, "none that is imported"),
    ];
    for (line, why) in table {
        let refused = tools::import(dir.path(), format!("{session}\n{line}\n").as_bytes(), &mut Vec::new());
        let refused = refused.unwrap_err().to_string();
        assert!(refused.starts_with("line 2: ") && refused.contains(why), "{refused}");
    }
    // a reference without a target
    let line = r#"{"record":"delivery","session":1,"number":1,"qos":1,"message":5}"#;
    assert!(tools::import(dir.path(), format!("{session}\n{line}\n").as_bytes(), &mut Vec::new()).is_err());
    tools::import(dir.path(), session.as_bytes(), &mut Vec::new()).unwrap();
}

#[test]
fn an_export_to_format_1_reports_the_fields_that_it_drops() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fill_with_all_of_5(&from);
    let (_, said) = run(|out| tools::export_format_1(&from, &to, out).map(|()| true));
    for part in [
        "of 1 sessions: the user",
        "of 1 sessions: the Session Expiry Interval",
        "of 1 subscriptions: No Local",
        "of 1 messages: properties",
        "of 2 retained messages: the time",
        "of 2 Wills: properties",
        "of 2 Wills of clients",
        "of 1 shared subscriptions: all of it",
        "of 1 messages: that they came through a shared subscription",
    ] {
        assert!(said.contains(&format!("not in format 1, {part}")), "{said}");
    }
    let mut visit = |position: Position<'_>, record: &LogRecord<'_>| {
        assert_eq!(position.about.time.age, 0);
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        assert!(bytes[0] <= 14, "{record:?}");
        if let LogRecord::Session { away, .. } = record {
            assert!(matches!(away, Some(Away::Wall(since)) if *since > 1_700_000_000_000), "{away:?}");
        }
    };
    let recovered = recover(&Disk::to_read(&to), &mut visit).unwrap();
    assert_eq!((&recovered.damage[..], recovered.version), (&[][..], Some(1)));
    let mut expected = model(&from).0;
    expected.wills.clear();
    for session in expected.sessions.values_mut() {
        (session.owner, session.lasts, session.will_due) = (None, None, None);
        session.subscriptions.retain(|filter, _| !filter.starts_with("$share/"));
        session.subscriptions.values_mut().for_each(|options| *options = options.qos.into());
        let wills = session.due.values_mut().chain(&mut session.will);
        wills.for_each(|((.., properties), _, delay, expiry)| (*properties, *delay, *expiry) = (Vec::new(), 0, None));
        let contents = session.messages.values_mut().filter_map(|entry| entry.content.as_mut());
        contents.for_each(|(.., properties)| properties.clear());
        for entry in session.messages.values_mut() {
            entry.shared = false;
            entry.identifiers.clear();
        }
    }
    expected.retained.values_mut().for_each(|(_, publisher)| *publisher = None);
    assert_eq!(Model::from(&recovered.index), expected);
    // and this version reads it
    open(&options(&to)).unwrap().0.close().unwrap();
}

#[test]
fn a_copy_that_is_not_finished_is_not_used_and_a_finished_one_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fill_with_all(&from);
    // a name that is taken lets the last step of the copy fail, when all segments are there
    std::fs::create_dir(from.join("ORIGIN")).unwrap();
    let failed = tools::backup(&from, &to, &mut std::io::sink()).expect_err("ORIGIN is a directory");
    assert!(failed.to_string().contains("ORIGIN"), "{failed}");
    for error in [
        open(&options(&to)).map(drop).expect_err("an incomplete copy").to_string(),
        tools::check(&to, &mut std::io::sink()).map(drop).expect_err("an incomplete copy").to_string(),
    ] {
        assert!(error.contains("is an incomplete copy"), "{error}");
    }
    std::fs::remove_dir(from.join("ORIGIN")).unwrap();
    let whole = dir.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    run(|out| tools::backup(&from, &whole, out).map(|()| true));
    for entry in std::fs::read_dir(&whole).unwrap().map(Result::unwrap) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&entry.metadata().unwrap().permissions());
        assert_eq!(mode & 0o077, 0, "{:?} has {mode:o}", entry.file_name());
    }
    open(&options(&whole)).unwrap().0.close().unwrap();
}

/// Segments are filled, cleaned and recycled during the copy.
#[test]
fn a_backup_during_writes_is_complete_and_has_all_acknowledged_records() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fill_with_all(&from);
    let (store, _) = open(&options(&from)).unwrap();
    let (acknowledged, ends) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1.. {
                let payload = format!("{n} {}", "x".repeat(2000));
                let message = Message::new(TopicName::new("n").unwrap(), payload.as_bytes(), QoS::AtLeastOnce);
                wait(&store, store.append(Record::Retained { message, publisher: None }));
                acknowledged.store(n, Ordering::SeqCst);
                if ends.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        for round in 0..8 {
            let to = dir.path().join(format!("copy {round}"));
            let before = acknowledged.load(Ordering::SeqCst);
            run(|out| tools::backup(&from, &to, out).map(|()| true));
            let (model, recovered) = model(&to);
            assert!(recovered.torn.is_none() && recovered.obsolete.is_empty());
            let number = model.retained.get("n").map_or(0, |((_, payload, ..), _)| {
                std::str::from_utf8(payload).unwrap().split(' ').next().unwrap().parse().unwrap()
            });
            assert!(number >= before, "{number} of {before}");
            assert_eq!(model.sessions.len(), 2);
            let (copy, restored) = open(&options(&to)).unwrap();
            assert_eq!(restored.sessions.len(), 2);
            copy.close().unwrap();
            // until every segment was replaced
            while acknowledged.load(Ordering::SeqCst) < before + 100 {
                std::thread::yield_now();
            }
        }
        ends.store(true, Ordering::SeqCst);
    });
    store.close().unwrap();
    let refused = tools::backup(&from, dir.path(), &mut Vec::new()).unwrap_err().to_string();
    assert!(refused.contains("exists and is not empty"), "{refused}");
}
