//! A really full disk: the test runs itself again in its own mount namespace, with the data directory on a small tmpfs.
//! On a machine that does not allow mounts, `DUNLIN_NO_MOUNT=1` skips these tests; without it they fail.

use std::{
    env, fs,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use super::place::{Place, away};
use crate::{
    http::Answer,
    support::{
        GUARD,
        raw::{Client, Connect, Message, puback, pubcomp, pubrec, pubrel, subscribe},
        running::Running,
        wait_until,
    },
    webhooks::service::{Does, Service},
};

#[test]
fn a_full_disk_stops_only_persistent_messages() {
    on_a_small_disk("full_disk::a_full_disk_stops_only_persistent_messages", |place| {
        let mut broker = start(place);
        away(&broker, "subscriber", "kept", 1);
        let mut receiver = broker.begin("receiver");
        receiver.subscribe(&[("begun", 2)]);
        broker.client("publisher").publish(Message::new("begun", "x").qos(2));
        let begun = receiver.expect_any().message().expect("a PUBLISH").id;
        let acknowledged = fill(&mut broker);
        expect_condition(&broker, "full");
        // exchanges in flight are completed, and no client is closed
        receiver.send(&pubrec(begun));
        receiver.expect(&pubrel(begun));
        receiver.send(&pubcomp(begun));
        receiver.unsubscribe(&["begun"]);
        expect_others_served(&broker);
        let mut refused = Client::open(broker.addresses[0]);
        refused.send(&Connect::new("new").persistent().frame());
        refused.expect_refused(3);

        // as full after a kill, and nothing lost
        broker.kill();
        let broker = start(place);
        expect_others_served(&broker);
        let mut subscriber = broker.resume("subscriber");
        for n in 0..acknowledged {
            assert_eq!(number_of(&subscriber.take()), n);
        }
        // the one after them was not acknowledged: it may be there or not
        // the cleaner makes room while there is load: one more message may be one too many once more, and is sent again
        loop {
            expect_condition(&broker, "ready");
            let mut publisher = broker.client("publisher");
            publisher.send(&large(acknowledged + 1).id(1).frame());
            if publisher.read().is_some_and(|frame| frame.bytes() == puback(1)) {
                break;
            }
        }
        let mut next = number_of(&subscriber.take());
        if next == acknowledged {
            next = number_of(&subscriber.take());
        }
        assert_eq!(next, acknowledged + 1);
        broker.stop();
    });
}

#[test]
fn retained_messages_are_cleared_or_shortened_on_a_full_disk() {
    on_a_small_disk("full_disk::retained_messages_are_cleared_or_shortened_on_a_full_disk", |place| {
        let mut broker = start(place);
        away(&broker, "subscriber", "kept", 1);
        away(&broker, "watcher", "r/+", 2);
        for topic in ["r/0", "r/1", "r/2", "changed"] {
            broker.client("publisher").publish(Message::new(topic, "12345").qos(1).retain());
        }
        fill(&mut broker);
        expect_condition(&broker, "full");
        let mut publisher = broker.client("publisher");
        for qos in 0..3 {
            publisher.publish(Message::new(&format!("r/{qos}"), "").qos(qos).retain());
            publisher.publish(Message::new("changed", &format!("{qos}")).qos(qos).retain());
        }
        broker.kill();
        let broker = start(place);
        let retained = broker.client("reader").subscribe_retained(&[("r/#", 0), ("changed", 0)], 1);
        assert_eq!(retained[0].text(), "2");
        // an away client gets a log line, if it asked for a QoS
        let mut watcher = broker.resume("watcher");
        for _ in 0..3 {
            assert_eq!(watcher.take().text(), "12345");
        }
        for qos in 1..3 {
            watcher.expect_message(&format!("r/{qos}"), "", qos);
        }
        watcher.expect_nothing_pending();
        broker.stop();
    });
}

#[test]
fn freed_disk_space_is_used_at_once() {
    on_a_small_disk("full_disk::freed_disk_space_is_used_at_once", |place| {
        let filler = filler(place);
        let mut broker = start(place);
        away(&broker, "subscriber", "kept", 1);
        let mut watcher = broker.begin("watcher");
        watcher.subscribe(&[("will", 2)]);
        let gone = willing(&broker);
        let acknowledged = fill(&mut broker);
        gone.abort();
        broker.wait_for("Will not published yet");
        watcher.expect_nothing_pending();
        fs::remove_file(filler).expect("it is there");
        broker.wait_for("data_dir: the disk has room again");
        expect_condition(&broker, "ready");
        // as long as the Will waits, nothing else gets room
        watcher.expect_message("will", "gone", 2);
        broker.client("publisher").publish(large(acknowledged + 1));
        watcher.expect_nothing_pending();
        broker.kill();

        let broker = start(place);
        let mut subscriber = broker.resume("subscriber");
        let mut got: Vec<usize> = Vec::new();
        while got.last() != Some(&(acknowledged + 1)) {
            got.push(number_of(&subscriber.take()));
        }
        // the one in between was not acknowledged: it may be there or not
        got.retain(|&n| n != acknowledged);
        assert!(got.iter().copied().eq((0..acknowledged).chain([acknowledged + 1])), "{got:?}");
        broker.stop();
    });
}

#[test]
fn a_will_that_waits_for_room_survives_a_kill() {
    on_a_small_disk("full_disk::a_will_that_waits_for_room_survives_a_kill", |place| {
        let filler = filler(place);
        let mut broker = start(place);
        away(&broker, "subscriber", "kept", 1);
        away(&broker, "watcher", "will", 2);
        let gone = willing(&broker);
        fill(&mut broker);
        gone.abort();
        broker.wait_for("Will not published yet");
        // its client has another by now, which is not published: it is not gone
        let will = Message::new("will", "discarded").qos(2);
        broker.connect(&Connect::new("gone").persistent().will(&will), 1).disconnect();
        // acknowledged packets and everything before them are durable
        broker.resume("gone").unsubscribe(&["any"]);
        expect_condition(&broker, "full");
        broker.kill();
        fs::remove_file(filler).expect("it is there");
        for count in [1, 0] {
            let mut broker = start(place);
            let mut watcher = broker.resume("watcher");
            for _ in 0..count {
                watcher.expect_message("will", "gone", 2);
            }
            watcher.expect_nothing_pending();
            // acknowledged packets and its earlier acknowledgements are durable
            watcher.unsubscribe(&["any"]);
            watcher.disconnect();
            broker.kill();
        }
    });
}

#[test]
fn a_broker_whose_store_is_stuck_is_alive_and_not_ready() {
    on_a_small_disk("full_disk::a_broker_whose_store_is_stuck_is_alive_and_not_ready", |place| {
        let socket = place.path().join("http");
        let broker = place.configured(&format!(
            "[http]\nlisten = 'unix:{}'\n[limits]\nmax_queued_messages = 1000000\nmax_queued_bytes = '1 TiB'\n",
            socket.display()
        ));
        away(&broker, "subscriber", "kept", 1);
        assert_eq!(ask(&socket, "/readyz").status, 200);
        let filler = fill_the_rest(place);
        // more at a time than there is room for in the reserve, and accepted before anybody knows
        let begin = Instant::now();
        let mut n = 0;
        let answer = loop {
            let mut publisher = broker.client("publisher");
            for _ in 0..100 {
                n += 1;
                if !publisher.try_send(&large(n).id(n as u16).frame()) {
                    break;
                }
            }
            publisher.abort();
            let answer = ask(&socket, "/readyz");
            if answer.status != 200 {
                break answer;
            }
            assert!(begin.elapsed() < GUARD, "it is not stuck: {answer:?}");
        };
        assert_eq!((answer.status, answer.body.contains("\"store\":\"stuck\"")), (503, true), "{answer:?}");
        assert_eq!(ask(&socket, "/healthz").status, 200, "its threads answer");
        fs::remove_file(filler).expect("it is there");
        while ask(&socket, "/readyz").status != 200 {
            assert!(begin.elapsed() < 2 * GUARD, "it stays stuck");
        }
        broker.stop();
    });
}

#[test]
fn a_reload_on_a_full_disk_keeps_the_queue_of_a_durable_webhook() {
    on_a_small_disk("full_disk::a_reload_on_a_full_disk_keeps_the_queue_of_a_durable_webhook", |place| {
        let [before, after] = [503, 200].map(|status| Service::new(move |_| Does::Answers(status)));
        let hooked = |service: &Service| {
            format!(
                "[http]\nlisten = 'off'\n[sys]\ninterval = '100ms'\n[limits]\nmax_queued_messages = 1000000\n\
                 max_queued_bytes = '1 TiB'\n[[webhook]]\nname = 'w'\nurl = 'http://{}/'\nevents = ['message.published']\n\
                 filter = ['told']\npayload = 'text'\ndurable = true\nlinger = '1ms'\n",
                service.address
            )
        };
        let mut broker = place.configured(&hooked(&before));
        away(&broker, "subscriber", "kept", 1);
        let texts = ["0", "1", "2", "3", "4"];
        let mut publisher = broker.client("publisher");
        texts.iter().for_each(|text| publisher.publish(Message::new("told", text).qos(1)));
        fill(&mut broker);
        expect_condition(&broker, "full");
        fs::write(place.path().join("dunlin.toml"), hooked(&after)).expect("it has a page already");
        broker.signal("HUP");
        broker.wait_for("the configuration was read again");
        let told = || {
            let events = after.events();
            events
                .iter()
                .map(|event| event["data"]["payload"].as_str().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        };
        wait_until(|| told().len() >= texts.len(), || format!("{:?}", told()));
        assert_eq!(told(), texts);
        assert!(!before.requests().is_empty());
        expect_others_served(&broker);
        broker.stop();
    });
}

/// A health check over a Unix socket.
fn ask(socket: &Path, path: &str) -> Answer {
    let mut stream = UnixStream::connect(socket).expect("HTTP is served");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    Answer::of(&answer)
}

/// A file that takes all the room that there is.
fn fill_the_rest(place: &Place) -> PathBuf {
    let path = place.path().join("filler");
    let mut filler = fs::File::create(&path).expect("a file");
    let full = loop {
        match filler.write_all(&[1; 64 << 10]) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    path
}

/// A file that takes much of the room, until it is removed.
fn filler(place: &Place) -> PathBuf {
    let filler = place.path().join("filler");
    fs::write(&filler, vec![1; 100 << 20]).expect("there is room for it");
    filler
}

/// A client that has a Will.
fn willing(broker: &Running) -> Client {
    broker.connect(&Connect::new("gone").persistent().will(&Message::new("will", "gone").qos(2)), 0)
}

/// Room for some hundred messages.
const SIZE: &str = "300m";
/// Where the tmpfs is; set for the run within the namespace.
const WITHIN: &str = "DUNLIN_TEST_ON_SMALL_DISK";

/// Runs `test` with a place on a tmpfs, in another process, which runs the test of this name.
fn on_a_small_disk(name: &str, test: fn(&Place)) {
    on_a_disk_of(SIZE, name, test);
}

/// The same, with a tmpfs of this size.
pub fn on_a_disk_of(size: &str, name: &str, test: fn(&Place)) {
    if let Some(dir) = env::var_os(WITHIN) {
        let mounted = mount(Command::new("mount"), size, Path::new(&dir));
        assert!(mounted, "the namespace was made for this mount");
        return test(&Place::within(Path::new(&dir)));
    }
    if env::var_os("DUNLIN_NO_MOUNT").is_some_and(|value| value == "1") {
        return println!("NOT RUN, as DUNLIN_NO_MOUNT=1: {name}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    // with a user namespace anybody may; without one, root
    let ways = ["-rm", "-m"];
    let unshare = |way: &str| {
        let mut command = Command::new("unshare");
        command.arg(way);
        command
    };
    let way = ways.into_iter().find(|way| {
        let mut command = unshare(way);
        command.arg("mount");
        mount(command, size, dir.path())
    });
    let Some(way) = way else {
        panic!(
            "this machine lets nobody mount a tmpfs (unshare -rm, or unshare -m as root): a full disk is not tested here; \
             DUNLIN_NO_MOUNT=1 leaves this test out"
        );
    };
    let this = env::current_exe().expect("this test binary");
    let name = &format!("persistence::{name}");
    let output = unshare(way).arg(this).args(["--exact", name, "--nocapture"]).env(WITHIN, dir.path()).output();
    let output = output.expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let ran = output.status.success() && said.contains("1 passed");
    assert!(ran, "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// `command`, or a shell of it, is `mount`.
fn mount(mut command: Command, size: &str, dir: &Path) -> bool {
    let size = format!("size={size}");
    let command = command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn start(place: &Place) -> Running {
    place.configured("[sys]\ninterval = '100ms'\n[limits]\nmax_queued_messages = 1000000\nmax_queued_bytes = '1 TiB'\n")
}

/// A message of half a mebibyte that begins with its number.
fn large(n: usize) -> Message {
    Message::new("kept", &format!("{n:>8} {}", "x".repeat(512 << 10))).qos(1)
}

fn number_of(message: &Message) -> usize {
    message.text()[..8].trim_start().parse().expect("a number")
}

/// Publishes until nothing is acknowledged any more: how many messages were.
fn fill(broker: &mut Running) -> usize {
    let mut publisher = broker.client("fills");
    let mut acknowledged = 0;
    loop {
        publisher.send(&large(acknowledged).id(1).frame());
        match publisher.read() {
            Some(frame) => assert_eq!(frame.bytes(), puback(1)),
            None => break,
        }
        acknowledged += 1;
    }
    assert!(acknowledged > 10, "only {acknowledged} messages found room");
    let mut line = String::new();
    while !line.contains("disconnected") {
        line = broker.wait_for("client=fills");
    }
    assert!(line.contains("the disk of data_dir is full"), "{line}");
    acknowledged
}

/// `$SYS` shows it, now or soon.
pub fn expect_condition(broker: &Running, condition: &str) {
    let mut client = broker.client("condition");
    client.send(&subscribe(1, &[("$SYS/broker/store/disk/condition", 0)]));
    // only changes are published: the retained value comes first
    loop {
        if client.expect_any().message().is_some_and(|message| message.text() == condition) {
            return;
        }
    }
}

/// Clients without persistent sessions exchange messages of every QoS.
fn expect_others_served(broker: &Running) {
    let mut subscriber = broker.client("clean-subscriber");
    subscriber.subscribe(&[("t", 2)]);
    let mut publisher = broker.client("clean-publisher");
    for qos in 0..=2 {
        publisher.publish(Message::new("t", "goes on").qos(qos));
        subscriber.expect_message("t", "goes on", qos);
    }
}
