//! Data directories of earlier versions, in `tests/data/data_dirs`: this version starts on each and restores
//! everything. `make` in that folder wrote them with a broker that it killed; a directory is named after the broker's
//! commit.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use super::place::{Place, text_of};
use crate::support::{
    raw::{Connect, Message, puback, pubcomp, pubrec, pubrel},
    running::Running,
};

#[test]
fn a_directory_of_an_earlier_version_is_read_whole() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/data_dirs");
    let directories = fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let directories: Vec<_> = directories.collect();
    assert!(directories.len() >= 3);
    for directory in &directories {
        println!("{}", directory.display());
        let place = Place::new();
        unpack(directory, &place.data_dir());
        // an end in order between: what this version writes of it is read, too
        let broker = start(&place);
        let becomes = broker
            .read
            .iter()
            .any(|line| line.contains("the store changes its format") && line.contains(" from=1 to=2"));
        assert_eq!(becomes, format_of(directory) == 1, "{:?}", broker.read);
        broker.stop();
        let broker = start(&place);
        assert!(!broker.read.iter().any(|line| line.contains("the store changes its format")), "{:?}", broker.read);
        // all of it is in a backup of the running broker, in one for an earlier version, and in an export
        let copies = [Place::new(), Place::new(), Place::new()];
        let [copy, earlier, imported] = copies.each_ref();
        told(place.run(&["store", "backup", text_of(&copy.data_dir())]));
        holds_everything(&broker);
        told(copy.run(&["store", "export", "--format", "1", text_of(&earlier.data_dir())]));
        fs::write(imported.path().join("lines"), told(copy.run(&["store", "export"]))).unwrap();
        let mut import = Command::new(env!("CARGO_BIN_EXE_dunlin"));
        import.env_clear().args(["store", "import", "--data-dir", text_of(&imported.data_dir())]);
        let lines = fs::File::open(imported.path().join("lines")).unwrap();
        told(import.stdin(lines).output().unwrap());
        copies.iter().for_each(|copy| holds_everything(&start(copy)));
    }
}

/// The format of the segments in a directory.
fn format_of(directory: &Path) -> u8 {
    let mut files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let segment = files.find(|path| path.file_stem().is_some_and(|name| name.as_encoded_bytes().ends_with(b".log")));
    fs::read(segment.unwrap()).unwrap()[8]
}

/// The output of a successful command.
#[track_caller]
fn told(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// No broker has used these for longer than the default session expiry.
fn start(place: &Place) -> Running {
    place.configured("[limits]\nsession_expiry = \"never\"\n")
}

/// Files are kept without the zeros at their end, and with their length at the end of their name.
fn unpack(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let (name, length) = (path.file_stem().unwrap(), path.extension().unwrap().to_str().unwrap());
        fs::copy(&path, to.join(name)).unwrap();
        let file = fs::File::options().write(true).open(to.join(name)).unwrap();
        file.set_len(length.parse().unwrap()).unwrap();
    }
}

fn holds_everything(broker: &Running) {
    let message = |topic: &str, payload: &str, qos| Message::new(topic, payload).qos(qos);
    let mut queue = broker.resume("queue");
    let mut got: Vec<_> = (0..5).map(|_| queue.take()).collect();
    // between two QoS, no order is promised
    got.sort_by(|a, b| a.topic.cmp(&b.topic));
    let expected = [
        message("queue/1", "first", 1),
        message("queue/2", "second", 2),
        message("queue/3", "kept", 1),
        message("queue/4", "once", 2),
        message("will", "gone", 1),
    ];
    for (got, expected) in got.iter().zip(expected) {
        assert_eq!(*got, expected.id(got.id));
    }
    queue.expect_nothing_pending();

    let mut flight = broker.resume("flight");
    let unacknowledged = [flight.receive(), flight.receive()];
    for (got, expected) in
        unacknowledged.iter().zip([message("flight/0", "0 at QoS 1", 1), message("flight/1", "1 at QoS 2", 2)])
    {
        assert_eq!(*got, expected.id(got.id).dup());
    }
    // of the third it is the PUBREL that is sent again
    let release = flight.expect_any();
    assert_eq!(release.bytes(), pubrel(3));
    flight.send(&puback(unacknowledged[0].id));
    flight.send(&pubrec(unacknowledged[1].id));
    flight.expect(&pubrel(unacknowledged[1].id));
    for id in [unacknowledged[1].id, 3] {
        flight.send(&pubcomp(id));
    }
    flight.expect_nothing_pending();

    // the QoS 2 message that its client had not released was delivered, and is so once
    let mut sender = broker.resume("sender");
    sender.send(&message("queue/4", "once", 2).id(77).dup().frame());
    sender.expect(&pubrec(77));
    sender.send(&pubrel(77));
    sender.expect(&pubcomp(77));
    queue.expect_nothing_pending();

    let mut reader = broker.client("reader");
    let mut retained = reader.subscribe_retained(&[("#", 2)], 3);
    retained.sort_by(|a, b| a.topic.cmp(&b.topic));
    let expected = [message("queue/3", "kept", 1), message("retained", "new", 2), message("will", "gone", 1)];
    for (got, expected) in retained.iter().zip(expected) {
        assert_eq!(*got, expected.id(got.id).retain());
    }
    // its subscriptions are those that it had at the end
    let mut publisher = broker.connect(&Connect::new("another"), 0);
    for topic in ["removed", "queue/5"] {
        publisher.publish(message(topic, topic, 1));
    }
    queue.expect_message("queue/5", "queue/5", 1);
}
