//! The import of a database of Debian's mosquitto: sessions, subscriptions, retained, queued and in-flight messages.
//! Without mosquitto, nothing is tested.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::support::{
    command::{dunlin, text},
    five::{self, Five, Properties, Publish},
    mosquitto::Mosquitto,
    raw::{Client, Connect, Message, puback, pubcomp, pubrec, pubrel},
    running::Running,
};

/// A database that mosquitto wrote, and its configuration.
fn written() -> Option<TempDir> {
    let dir = tempfile::tempdir().unwrap();
    let conf = format!("allow_anonymous true\npersistence true\npersistence_location {}/\n", dir.path().display());
    let mosquitto = Mosquitto::start(dir.path(), &conf)?;
    let address = mosquitto.address;
    let begin = |id: &str| Client::accepted(address, &Connect::new(id).persistent(), 0);

    let mut away = begin("away");
    away.subscribe(&[("q/#", 2), ("flight/#", 2)]);
    // messages in flight: one of QoS 1, one of QoS 2 before and one after PUBREC
    let mut publisher = begin("publisher");
    publisher.publish(Message::new("flight/1", "one").qos(1));
    let first = away.receive();
    publisher.publish(Message::new("flight/2", "two").qos(2));
    let _second = away.receive();
    publisher.publish(Message::new("flight/3", "three").qos(2));
    let third = away.receive();
    away.send(&pubrec(third.id));
    assert_eq!(away.expect_any().bytes(), pubrel(third.id));
    assert_eq!([first.id, third.id], [1, 3]);
    away.disconnect();
    for number in 0..30 {
        publisher.publish(Message::new("q/n", &number.to_string()).qos(1 + number % 2));
    }
    // taken by mosquitto, and not released
    publisher.send(&Message::new("q/held", "held").qos(2).id(77).frame());
    publisher.expect(&pubrec(77));
    publisher.publish(Message::new("kept/a", "A").qos(1).retain());
    publisher.publish(Message::new("kept/b", "").qos(1).retain());
    publisher.abort();

    let properties = Properties::new().text(3, "text/plain").user("k", "v");
    let mut five = Five::accepted(address, &five::Connect::new("five").lasting(1000), 0);
    five.publish(&Publish::new("kept/five", "5").qos(1).retain().with(properties));
    five.subscribe_as(9, "five/#", 1 | 4 | 8);
    five.leave();
    begin("other").publish(Message::new("five/x", "to five").qos(1).retain());
    mosquitto.stop();
    Some(dir)
}

/// A broker that was started with mosquitto's own configuration.
fn start(dir: &Path) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    let mut running = Running::run(command.env_clear().arg("-c").arg(Mosquitto::file(dir)));
    running.wait_until_ready();
    running
}

#[test]
fn dunlin_imports_mosquitto_s_database_at_its_first_start() {
    let Some(dir) = written() else { return };
    let before = fs::read(dir.path().join("mosquitto.db")).unwrap();
    let running = start(dir.path());
    assert!(running.read.iter().any(|line| line.contains("taken over from ")), "{:#?}", running.read);
    let address = running.addresses[0];

    let mut away = Client::accepted(address, &Connect::new("away").persistent(), 1);
    let first = away.receive();
    assert_eq!((first.text(), first.id, first.dup, first.qos), ("one", 1, true, 1));
    let second = away.receive();
    assert_eq!((second.text(), second.id, second.dup, second.qos), ("two", 2, true, 2));
    assert_eq!(away.expect_any().bytes(), pubrel(3));
    away.send(&pubcomp(3));
    away.send(&puback(1));
    away.send(&pubrec(2));
    let mut queued = Vec::new();
    while queued.len() < 31 {
        let frame = away.expect_any();
        match frame.message() {
            Some(message) => {
                away.send(&if message.qos == 1 { puback(message.id) } else { pubrec(message.id) });
                queued.push((message.text().to_owned(), message.qos));
            }
            None if frame.first >> 4 == 6 => away.send(&pubcomp(u16::from_be_bytes([frame.body[0], frame.body[1]]))),
            None => panic!("{:02x?}", frame.bytes()),
        }
    }
    let mut expected: Vec<_> = (0..30).map(|number| (number.to_string(), 1 + number % 2)).collect();
    expected.push(("held".into(), 2));
    assert_eq!(queued, expected);

    // its publisher continues its exchanges: a released message is not published again
    let mut publisher = Client::accepted(address, &Connect::new("publisher").persistent(), 1);
    publisher.send(&pubrel(77));
    publisher.expect(&pubcomp(77));

    let mut five = Five::accepted(address, &five::Connect::new("five").resume().lasting(1000), 1);
    let message = five.take();
    assert_eq!((message.text(), message.qos, message.retain), ("to five", 1, true));
    assert_eq!(message.properties.identifiers(), [9]);
    five.subscribe(&[("kept/five", 1)]);
    let kept = five.take();
    assert_eq!(kept.properties.string(3).as_deref(), Some("text/plain"));
    let mut reader = running.client("reader");
    let mut retained: Vec<_> =
        reader.subscribe_retained(&[("kept/#", 1), ("five/#", 1)], 3).into_iter().map(|m| m.topic).collect();
    retained.sort();
    assert_eq!(retained, ["five/x", "kept/a", "kept/five"]);
    running.stop();
    assert_eq!(fs::read(dir.path().join("mosquitto.db")).unwrap(), before);

    // a store that has content does not import again
    let again = start(dir.path());
    assert!(!again.read.iter().any(|line| line.contains("taken over from ")), "{:#?}", again.read);
    again.stop();
}

#[test]
fn an_unreadable_database_is_reported_and_not_imported() {
    let Some(dir) = written() else { return };
    let (database, data_dir) = (dir.path().join("mosquitto.db"), dir.path().join("data"));
    let whole = fs::read(&database).unwrap();
    let import = || dunlin(dir.path(), &[], &["import", "--db", "mosquitto.db", "--data-dir", "data"]);
    // within the header, a chunk's head, a chunk
    for length in [0, 10, 22, 23, 27, 40, whole.len() - 1, whole.len() / 2 + 1] {
        fs::write(&database, &whole[..length]).unwrap();
        let run = import();
        if run.status.code() == Some(0) {
            // between two chunks
            fs::remove_dir_all(&data_dir).unwrap();
            continue;
        }
        let said = text(&run.stderr);
        assert!(said.contains("mosquitto.db: ") && said.contains("nothing was imported"), "{length}: {said}");
        assert!(!data_dir.exists(), "{length}");
    }
    fs::write(&database, [&whole[..22], &[5], &whole[23..]].concat()).unwrap();
    assert!(text(&import().stderr).contains("version 5, and version 6 is read"));
    // no broker begins empty in its place
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    let mut running = Running::run(command.env_clear().arg("-c").arg(Mosquitto::file(dir.path())));
    assert_eq!(running.exit_code(), Some(1));
    let last = running.read.last().unwrap();
    assert!(last.contains("no broker begins empty in its place"), "{last}");

    fs::write(&database, &whole).unwrap();
    let run = import();
    assert_eq!((run.status.code(), text(&run.stderr)), (Some(0), String::new()));
    assert!(text(&run.stdout).starts_with("kept: "), "{}", text(&run.stdout));
    assert!(text(&import().stderr).contains("exists and is not empty"));
}
