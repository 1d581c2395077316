//! Options that need more than one question: `mount_point`, `upgrade_outgoing_qos`, `check_retain_source`. Debian's
//! mosquitto and dunlin get the same file, and have to answer alike.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use super::configurations::{connected, free, start, wait_for};
use crate::support::{
    five::{self, Five, Properties, Publish, property},
    mosquitto::Mosquitto,
    raw::{Client, Connect, Message, PINGREQ, PINGRESP, puback, pubcomp, pubrec},
};

/// Asks both brokers, each with a directory of its own for `P0`, `P1` and `DIR` in the file. Both have to answer so.
/// `ask` is given the ports, the directory, and what has the broker read its files again. `otherwise`: what mosquitto
/// 2.0.11 answers in place of that.
fn both(
    text: &str,
    expected: &[&str],
    otherwise: &[[&str; 2]],
    ask: impl Fn([SocketAddr; 2], &Path, &dyn Fn()) -> Vec<String>,
) {
    let prepared = || {
        let dir = tempfile::tempdir().unwrap();
        let ports = [free(), free()];
        let port = |n: usize| ports[n].port().to_string();
        let text = text.replace("P0", &port(0)).replace("P1", &port(1)).replace("DIR", dir.path().to_str().unwrap());
        let file = dir.path().join("mosquitto.conf");
        fs::write(&file, format!("user root\nallow_anonymous true\n{text}")).unwrap();
        fs::write(dir.path().join("acl"), "topic read #\ntopic write a\ntopic write b\n").unwrap();
        (dir, ports, file)
    };
    let (dir, ports, file) = prepared();
    let mut dunlin = start(&file);
    // one port each, unless there is a second listener
    let listens = |ports: [SocketAddr; 2]| ports.into_iter().take(if text.contains("P1") { 2 } else { 1 });
    listens(ports).for_each(|port| wait_for(port, || dunlin.0.try_wait().unwrap().is_some(), "dunlin"));
    let log = || fs::read_to_string(dir.path().join("said")).unwrap();
    let reload = || {
        hang_up(dunlin.0.id());
        while !log().contains("the configuration was read again") {
            std::thread::yield_now();
        }
    };
    assert_eq!(ask(ports, dir.path(), &reload), expected, "{}", log());
    let (dir, ports, file) = prepared();
    let Some(mut mosquitto) = Mosquitto::with_file(&file, ports[0]) else { return };
    listens(ports).for_each(|port| wait_for(port, || mosquitto.has_ended(), "mosquitto"));
    // it reads its files before the next packet
    let answers = ask(ports, dir.path(), &|| hang_up(mosquitto.id()));
    let mut theirs = expected.to_vec();
    for answer in &mut theirs {
        *answer = otherwise.iter().find(|[here, _]| here == answer).map_or(*answer, |[_, there]| there);
    }
    assert_eq!(answers, theirs, "mosquitto");
}

fn hang_up(id: u32) {
    assert!(Command::new("kill").args(["-s", "HUP", &id.to_string()]).status().unwrap().success());
}

fn new(address: SocketAddr, id: &str) -> Client {
    connected(address, &Connect::new(id).keep_alive(60)).expect("a connection")
}

#[test]
fn clients_of_a_mount_point_are_served_as_by_mosquitto() {
    let text = "listener P0 127.0.0.1\nmount_point site/\nlistener P1 127.0.0.1\n";
    let expected = [
        "from within: site/a 1, site/r 1, site/$SYS/x 0",
        "to within: a 1, r 0, b/c 1",
        "retained within: r retained",
        "retained outside: site/r retained",
        "a Will: site/w",
        "what waits: a/b",
        "unsubscribed: ",
        "by an alias: site/alias, site/alias",
    ];
    // 2.0.12 and later take the prefix away again
    let otherwise = [
        ["to within: a 1, r 0, b/c 1", "to within: site/a 1, site/r 0, site/b/c 1"],
        ["retained within: r retained", "retained within: site/r retained"],
        ["what waits: a/b", "what waits: site/a/b"],
        // it does not put the prefix in front of what is unsubscribed from
        ["unsubscribed: ", "unsubscribed: site/a/b 1"],
    ];
    both(text, &expected, &otherwise, |ports, _, _| mounted(ports));
}

#[test]
fn the_largest_packet_of_a_mount_point_is_that_of_its_clients() {
    let text = "listener P0 127.0.0.1\nmount_point site/\nlistener P1 127.0.0.1\nmax_packet_size 2000\n";
    both(text, &["3.1.1: site/a 1994", "5: site/a 1993"], &[], |[mounted, plain], _, _| {
        let mut outside = new(plain, "outside");
        outside.subscribe(&[("#", 0)]);
        let mut within = new(mounted, "within");
        // of 2,000 bytes
        let frame = Message::new("a", &"x".repeat(1_994)).frame();
        assert_eq!(frame.len(), 2_000);
        within.send(&frame);
        let message = outside.receive();
        let mut answers = vec![format!("3.1.1: {} {}", message.topic, message.payload.len())];
        let (mut five, _) = Five::connect(mounted, &five::Connect::new("five"));
        let frame = Publish::new("a", &"x".repeat(1_993)).frame();
        assert_eq!(frame.len(), 2_000);
        five.send(&frame);
        let message = outside.receive();
        answers.push(format!("5: {} {}", message.topic, message.payload.len()));
        answers
    });
}

#[test]
fn messages_get_the_qos_of_the_subscription_as_in_mosquitto() {
    let text = "listener P0 127.0.0.1\nupgrade_outgoing_qos true\n";
    let expected = ["published: 2, 2, 2", "with QoS 1: 1", "retained: 2", "a Will: 2", "queued: 2"];
    both(text, &expected, &[], |ports, _, _| {
        let address = ports[0];
        let mut answers = Vec::new();
        let (mut publisher, mut subscriber) = (new(address, "p"), new(address, "s"));
        subscriber.subscribe(&[("#", 2)]);
        let qos = |client: &mut Client| client.take().qos.to_string();
        for at in 0..3 {
            publisher.publish(Message::new("a", "x").qos(at));
        }
        let got: Vec<_> = (0..3).map(|_| qos(&mut subscriber)).collect();
        answers.push(format!("published: {}", got.join(", ")));
        let mut one = new(address, "one");
        one.subscribe(&[("a", 1)]);
        publisher.publish(Message::new("a", "x"));
        answers.push(format!("with QoS 1: {}", qos(&mut one)));
        subscriber.take();
        publisher.publish(Message::new("r", "x").retain());
        subscriber.take();
        let mut late = new(address, "late");
        let messages = late.subscribe_retained(&[("r", 2)], 1);
        answers.push(format!("retained: {}", messages[0].qos));
        let dying = connected(address, &Connect::new("d").keep_alive(60).will(&Message::new("w", "gone")));
        dying.unwrap().abort();
        answers.push(format!("a Will: {}", qos(&mut subscriber)));
        let keeps = Connect::new("keeps").keep_alive(60).persistent();
        let mut keeper = connected(address, &keeps).unwrap();
        keeper.subscribe(&[("q", 2)]);
        keeper.disconnect();
        publisher.publish(Message::new("q", "x"));
        answers.push(format!("queued: {}", qos(&mut connected(address, &keeps).unwrap())));
        // the exchange of the publisher is that of its own QoS
        publisher.send(&Message::new("e", "x").qos(1).id(9).frame());
        publisher.expect(&puback(9));
        publisher.send(&Message::new("e", "x").qos(2).id(10).frame());
        publisher.expect(&pubrec(10));
        publisher.send(&[0x62, 2, 0, 10]);
        publisher.expect(&pubcomp(10));
        answers
    });
}

#[test]
fn retained_messages_of_those_who_may_not_publish_any_more_are_held_back_as_in_mosquitto() {
    for (value, expected) in [("true", "b"), ("false", "a, b")] {
        let text = format!("listener P0 127.0.0.1\nacl_file DIR/acl\ncheck_retain_source {value}\n");
        both(&text, &["before: a, b", &format!("after: {expected}")], &[], |ports, dir, reload| {
            let mut publisher = new(ports[0], "p");
            let topics = |id: &str, count| {
                let messages = new(ports[0], id).subscribe_retained(&[("#", 0)], count);
                let mut topics: Vec<_> = messages.into_iter().map(|message| message.topic).collect();
                topics.sort();
                topics.join(", ")
            };
            publisher.publish(Message::new("a", "x").qos(1).retain());
            publisher.publish(Message::new("b", "x").qos(1).retain());
            let before = topics("before", 2);
            fs::write(dir.join("acl"), "topic read #\ntopic write b\n").unwrap();
            reload();
            let after = topics("after", expected.split(", ").count());
            vec![format!("before: {before}"), format!("after: {after}")]
        });
    }
}

fn mounted([mounted, plain]: [SocketAddr; 2]) -> Vec<String> {
    let mut answers = Vec::new();
    let (mut within, mut outside) = (new(mounted, "within"), new(plain, "outside"));
    let mut publisher = new(plain, "publisher");
    outside.subscribe(&[("#", 1)]);
    within.publish(Message::new("a", "1").qos(1));
    within.publish(Message::new("r", "2").qos(2).retain());
    within.send(&Message::new("$SYS/x", "3").frame());
    within.send(PINGREQ);
    within.expect(PINGRESP);
    let shown = |message: Message| format!("{} {}", message.topic, message.qos);
    answers.push(format!("from within: {}", all(&mut outside, shown)));
    within.subscribe(&[("a", 1), ("b/+", 2), ("s", 0)]);
    let mut again = new(mounted, "again");
    again.subscribe_retained(&[("#", 1)], 1);
    for (topic, qos) in [("site/a", 1), ("a", 1), ("site/r", 0), ("site/b/c", 2), ("other/b/c", 2)] {
        publisher.publish(Message::new(topic, "x").qos(qos));
    }
    answers.push(format!("to within: {}", all(&mut again, shown)));
    for (name, port) in [("within", mounted), ("outside", plain)] {
        let mut client = new(port, "retained");
        let messages = client.subscribe_retained(&[("#", 0)], 1);
        answers.push(format!("retained {name}: {} retained", messages[0].topic));
    }
    all(&mut outside, shown);
    let dying = connected(mounted, &Connect::new("d").keep_alive(60).will(&Message::new("w", "gone").qos(1)));
    dying.unwrap().abort();
    let will = outside.receive();
    answers.push(format!("a Will: {}", will.topic));
    let keeps = Connect::new("keeps").keep_alive(60).persistent();
    let mut keeper = connected(mounted, &keeps).unwrap();
    keeper.subscribe(&[("a/#", 1)]);
    keeper.disconnect();
    publisher.publish(Message::new("site/a/b", "1").qos(1));
    let mut keeper = connected(mounted, &keeps).unwrap();
    answers.push(format!("what waits: {}", keeper.receive().topic));
    keeper.unsubscribe(&["a/#"]);
    publisher.publish(Message::new("site/a/b", "2").qos(1));
    answers.push(format!("unsubscribed: {}", all(&mut keeper, shown)));
    all(&mut outside, shown);
    let (mut five, _) = Five::connect(mounted, &five::Connect::new("five"));
    for topic in ["alias", ""] {
        five.send(&Publish::new(topic, "x").with(Properties::new().short(property::TOPIC_ALIAS, 1)).frame());
    }
    let topics: Vec<_> = (0..2).map(|_| outside.receive().topic).collect();
    answers.push(format!("by an alias: {}", topics.join(", ")));
    answers
}

/// What the client has got until now.
fn all(client: &mut Client, shown: impl Fn(Message) -> String) -> String {
    client.send(PINGREQ);
    let mut told = Vec::new();
    loop {
        match client.read().expect("an open connection") {
            frame if frame.bytes() == PINGRESP => return told.join(", "),
            frame => {
                if let Some(message) = frame.message() {
                    if message.qos > 0 {
                        client.send(&puback(message.id));
                    }
                    told.push(shown(message));
                }
            }
        }
    }
}
