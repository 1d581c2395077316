//! Section 3.1.3.2.2: the time at which a Will with a Will Delay Interval is published, and its cancellation.

use std::time::Duration;

use dunlin::{Config, config::Limits, router::Count};

use super::client_of;
use crate::support::{
    Broker, config,
    five::{Connect, Five, Properties, Publish, disconnect, disconnect_with, property},
    raw::{self, DISCONNECT},
    shut_down,
};

const SECOND: Duration = Duration::from_secs(1);
const ID: &str = "with a will";

/// A broker, and a client that gets all Wills.
struct Scene {
    broker: Broker,
    watcher: Five,
}

impl Scene {
    fn new() -> Self {
        Self::of(Broker::new(config()))
    }

    fn of(broker: Broker) -> Self {
        let mut watcher = client_of(&broker, "watcher");
        watcher.subscribe(&[("will", 1)]);
        Self { broker, watcher }
    }

    #[track_caller]
    fn connect(&self, connect: &Connect, session_present: u8) -> Five {
        Five::accepted(self.broker.address(), connect, session_present)
    }

    /// A client whose connection is lost, which the broker knows then.
    #[track_caller]
    fn lose(&self, connect: &Connect, session_present: u8) {
        self.connect(connect, session_present).end();
        self.broker.wait_until_away(connect.client_id());
    }

    /// A client that sends this, and is closed.
    #[track_caller]
    fn leave(&self, connect: &Connect, session_present: u8, last: &[u8]) {
        let mut client = self.connect(connect, session_present);
        client.send(last);
        // the broker may send a reason
        while client.read().is_some() {}
        self.broker.wait_until_away(connect.client_id());
    }

    /// Advances the clock by these seconds, and waits for everything that is due.
    #[track_caller]
    fn pass(&self, seconds: u32) {
        self.broker.turn(seconds * SECOND);
        // it waits for all that was woken
        self.broker.turn(Duration::ZERO);
    }

    /// So many seconds pass without a Will.
    #[track_caller]
    fn quiet(&mut self, seconds: u32) {
        self.pass(seconds);
        self.watcher.expect_nothing_pending();
    }

    /// This one came, and no other.
    #[track_caller]
    fn expect(&mut self, will: &str) {
        self.watcher.expect_payloads(&[will]);
    }

    /// Twenty more seconds pass, in which this Will comes and no other.
    #[track_caller]
    fn expect_soon(&mut self, will: &str) {
        self.pass(21);
        self.expect(will);
    }
}

/// A session that lasts so long, and a Will with this delay.
fn delayed(will: &str, lasts: u32, delay: u32) -> Connect {
    let properties = Properties::new().int(property::WILL_DELAY, delay);
    Connect::new(ID).lasting(lasts).will(&Publish::new("will", will).qos(1).with(properties))
}

fn clean(connect: &Connect) -> Connect {
    Connect { flags: connect.flags | 2, ..connect.clone() }
}

#[test]
fn a_will_is_published_once_after_its_delay() {
    let mut scene = Scene::new();
    scene.lose(&delayed("later", 1_000, 60), 0);
    scene.quiet(40);
    scene.expect_soon("later");
    // that the session ends makes no difference any more, nor that the client is back
    scene.connect(&Connect::new(ID).lasting(1_000), 1).leave();
    scene.lose(&delayed("again", 100, 60), 1);
    scene.quiet(40);
    scene.expect_soon("again");
    scene.quiet(2_000);
    assert_eq!(scene.broker.count(Count::SessionsExpired), 1);
    scene.connect(&Connect::new(ID), 0).leave();
    // 0 is no delay
    scene.lose(&delayed("at once", 1_000, 0), 0);
    scene.expect("at once");
    // the longest one is no negative one
    scene.lose(&delayed("much later", u32::MAX, u32::MAX), 1);
    scene.quiet(1_000_000);
}

#[test]
fn a_client_that_resumes_its_session_within_the_delay_calls_its_will_off() {
    let mut scene = Scene::new();
    scene.lose(&delayed("first", 1_000, 60), 0);
    scene.quiet(40);
    let back = scene.connect(&Connect::new(ID).lasting(1_000), 1);
    scene.quiet(500);
    // it has no Will now
    back.leave();
    scene.quiet(900);
    // a Will in its place is that connection's, with a delay of its own
    scene.lose(&delayed("second", 1_000, 60), 1);
    scene.quiet(30);
    scene.lose(&delayed("third", 1_000, 90), 1);
    scene.quiet(70);
    scene.expect_soon("third");
    // a client of 3.1.1 resumes it too
    scene.lose(&delayed("fourth", 1_000, 60), 1);
    let old = raw::Client::accepted(scene.broker.address(), &raw::Connect::new(ID).persistent(), 1);
    scene.quiet(2_000);
    old.disconnect();
}

#[test]
fn a_session_that_ends_before_its_wills_delay_is_over_publishes_the_will() {
    let mut scene = Scene::new();
    // a delay that is longer than the expiry
    scene.lose(&delayed("expired", 30, 60), 0);
    scene.quiet(10);
    scene.expect_soon("expired");
    // both at once
    scene.lose(&delayed("at once", 30, 30), 0);
    scene.quiet(10);
    scene.expect_soon("at once");
    scene.quiet(100);
    // no expiry: the session ends with its connection
    scene.lose(&delayed("none", 0, 60), 0);
    scene.expect("none");
    let without = Properties::new();
    scene.lose(&delayed("absent", 0, 60).with(without), 0);
    scene.expect("absent");
    // Clean Start 1
    scene.lose(&delayed("clean start", 1_000, 60), 0);
    scene.quiet(30);
    let new = scene.connect(&Connect::new(ID), 0);
    scene.expect("clean start");
    new.leave();
    scene.quiet(1_000);
    // Clean Start 1 that begins a session which lasts, with a Will of its own
    scene.lose(&delayed("old", 1_000, 60), 0);
    scene.lose(&clean(&delayed("new", 1_000, 60)), 0);
    scene.expect("old");
    scene.quiet(40);
    scene.expect_soon("new");
}

#[test]
fn the_servers_longest_expiry_cuts_a_delay_short() {
    let limits = Limits { session_expiry: Some(30 * SECOND), ..Limits::default() };
    let mut scene = Scene::of(Broker::limits(limits));
    scene.lose(&delayed("cut short", 1_000, 60), 0);
    scene.quiet(10);
    scene.expect_soon("cut short");
    scene.lose(&delayed("never", u32::MAX, 60), 0);
    scene.quiet(10);
    scene.expect_soon("never");
}

#[test]
fn a_disconnect_with_will_starts_the_delay_and_a_normal_one_deletes_the_will() {
    let mut scene = Scene::new();
    for (number, code) in [0x04, 0x80, 0x81, 0x83, 0x90, 0x97].into_iter().enumerate() {
        let will = format!("{code:#04x}");
        scene.leave(&delayed(&will, 1_000, 60), u8::from(number > 0), &disconnect(code));
        scene.quiet(40);
        scene.expect_soon(&will);
    }
    for normal in [DISCONNECT, &[0xE0, 1, 0], &[0xE0, 2, 0, 0]] {
        scene.leave(&delayed("deleted", 1_000, 60), 1, normal);
        scene.quiet(900);
    }
    // the Session Expiry Interval of DISCONNECT is the session's
    let lasting = |seconds| disconnect_with(0x04, &Properties::new().int(property::SESSION_EXPIRY, seconds));
    scene.leave(&delayed("shorter", 1_000, 60), 1, &lasting(30));
    scene.quiet(10);
    scene.expect_soon("shorter");
    scene.leave(&delayed("longer", 30, 60), 0, &lasting(1_000));
    scene.quiet(40);
    scene.expect_soon("longer");
    scene.leave(&delayed("ended", 1_000, 60), 1, &lasting(0));
    scene.expect("ended");
    scene.quiet(100);
    // also where the Reason Code is another
    let normal = disconnect_with(0, &Properties::new().int(property::SESSION_EXPIRY, 0));
    scene.leave(&delayed("deleted", 1_000, 60), 0, &normal);
    scene.quiet(100);
}

#[test]
fn a_resumed_session_cancels_its_delayed_will() {
    let mut scene = Scene::new();
    let mut first = scene.connect(&delayed("first", 1_000, 60), 0);
    let mut second = scene.connect(&delayed("second", 1_000, 60), 1);
    first.expect_disconnect(0x8E);
    scene.quiet(500);
    // without a delay it is published
    let mut third = scene.connect(&delayed("third", 1_000, 0), 1);
    second.expect_disconnect(0x8E);
    scene.quiet(100);
    let mut fourth = scene.connect(&delayed("fourth", 1_000, 60), 1);
    third.expect_disconnect(0x8E);
    scene.expect("third");
    // Clean Start 1 ends the session
    let mut fifth = scene.connect(&clean(&delayed("fifth", 0, 60)), 0);
    fourth.expect_disconnect(0x8E);
    scene.expect("fourth");
    // one whose expiry is 0 is not resumed
    let sixth = scene.connect(&delayed("sixth", 1_000, 60), 0);
    fifth.expect_disconnect(0x8E);
    scene.expect("fifth");
    sixth.leave();
    scene.quiet(2_000);
}

#[test]
fn also_other_ends_of_a_connection_start_the_delay() {
    let mut scene = Scene::new();
    // a Keep Alive that is over
    let mut silent = scene.connect(&delayed("silent", 1_000, 60).keep_alive(10), 0);
    scene.pass(16);
    scene.broker.wait_until_away(ID);
    silent.expect_disconnect(0x8D);
    scene.quiet(40);
    scene.expect_soon("silent");
    // bytes that are no packet
    scene.leave(&delayed("malformed", 1_000, 60), 1, &[0xF1, 0]);
    scene.quiet(40);
    scene.expect_soon("malformed");
    // a packet that may not come now
    scene.leave(&delayed("second connect", 1_000, 60), 1, &Connect::new("x").frame());
    scene.quiet(40);
    scene.expect_soon("second connect");
}

#[test]
fn the_message_expiry_interval_of_a_will_counts_from_its_publication() {
    let mut scene = Scene::new();
    let mut kept = scene.connect(&Connect::new("kept").lasting(10_000), 0);
    kept.subscribe(&[("will", 1)]);
    kept.leave();
    let properties = Properties::new()
        .int(property::MESSAGE_EXPIRY, 100)
        .user("z", "1")
        .int(property::WILL_DELAY, 500)
        .user("a", "2")
        .text(property::CONTENT_TYPE, "text");
    let will = Publish::new("will", "expires").qos(1).retain().with(properties);
    scene.lose(&Connect::new(ID).lasting(1_000).will(&will), 0);
    scene.quiet(450);
    scene.pass(60);
    let came = scene.watcher.take();
    assert_eq!((came.text(), came.properties.number(property::MESSAGE_EXPIRY)), ("expires", Some(100)));
    // the delay is the server's to know
    let ids = [property::MESSAGE_EXPIRY, property::USER_PROPERTY, property::USER_PROPERTY, property::CONTENT_TYPE];
    assert_eq!(came.properties.ids(), ids);
    // it counts down while the message waits, and for a retained one
    scene.quiet(40);
    let mut kept = scene.connect(&Connect::new("kept").lasting(10_000), 1);
    let left = |came: &Publish| came.properties.number(property::MESSAGE_EXPIRY).expect("an interval");
    let came = kept.take();
    assert!((40..=60).contains(&left(&came)), "{came:?}");
    kept.leave();
    let late = scene.broker.client("late").subscribe_retained(&[("will", 1)], 1);
    assert_eq!((late[0].text(), late[0].retain), ("expires", true));
    scene.quiet(61);
    client_of(&scene.broker, "later").subscribe(&[("will", 1)]);
    // one that waits is dropped
    let brief = Properties::new().int(property::MESSAGE_EXPIRY, 50);
    scene.lose(&Connect::new(ID).lasting(1_000).will(&Publish::new("will", "brief").qos(1).with(brief)), 1);
    scene.expect("brief");
    scene.quiet(60);
    scene.connect(&Connect::new("kept").lasting(10_000), 1).expect_nothing_pending();
}

#[test]
fn also_a_will_delay_continues_over_a_restart() {
    let directory = tempfile::tempdir().expect("a folder");
    let start = || Scene::of(Broker::new(Config { data_dir: Some(directory.path().into()), ..config() }));
    let connect = |id: &str, will: &str, lasts, delay| {
        let properties = Properties::new()
            .int(property::WILL_DELAY, delay)
            .user("z", "1")
            .int(property::MESSAGE_EXPIRY, 90)
            .byte(property::PAYLOAD_FORMAT, 1)
            .user("a", "2");
        Connect::new(id).lasting(lasts).will(&Publish::new("will", will).qos(1).with(properties))
    };
    let mut scene = start();
    scene.lose(&connect("goes on", "goes on", 10_000, 1_000), 0);
    scene.lose(&connect("expires", "expires", 500, 1_000), 0);
    scene.lose(&connect("resumed", "resumed", 10_000, 1_000), 0);
    scene.lose(&connect("resumes", "resumes", 10_000, 1_000), 0);
    scene.lose(&connect("clean", "clean", 10_000, 1_000), 0);
    scene.quiet(300);
    scene.connect(&Connect::new("resumed").lasting(10_000), 1).leave();
    shut_down(scene.broker.server);

    let mut scene = start();
    scene.quiet(150);
    scene.connect(&Connect::new("resumes").lasting(10_000), 1).leave();
    scene.quiet(1);
    scene.connect(&Connect::new("clean"), 0).leave();
    scene.expect("clean");
    scene.pass(60);
    scene.expect("expires");
    scene.quiet(400);
    scene.pass(100);
    let came = scene.watcher.take();
    let expected = Properties::new()
        .int(property::MESSAGE_EXPIRY, 90)
        .user("z", "1")
        .byte(property::PAYLOAD_FORMAT, 1)
        .user("a", "2");
    assert_eq!((came.text(), &came.properties), ("goes on", &expected));
    scene.quiet(2_000);
    shut_down(scene.broker.server);
    // and nothing is left of them
    start().quiet(20_000);
}

#[test]
fn also_at_a_shutdown_only_wills_of_stored_sessions_wait() {
    for is_kept in [false, true] {
        let directory = tempfile::tempdir().expect("a folder");
        let start = || {
            let data_dir = is_kept.then(|| directory.path().into());
            Scene::of(Broker::new(Config { data_dir, ..config() }))
        };
        let with_will = |id: &str, lasts, delay| {
            let properties = Properties::new().int(property::WILL_DELAY, delay);
            Connect::new(id).lasting(lasts).will(&Publish::new("will", id).qos(1).with(properties))
        };
        let mut scene = start();
        let clients = [
            with_will("lasts, delay", 10_000, 600),
            with_will("lasts", 10_000, 0),
            with_will("delay", 0, 600),
            Connect::new("none").lasting(1_000),
        ];
        let connected = clients.map(|connect| scene.connect(&connect, 0));
        scene.lose(&with_will("lost", 10_000, 600), 0);
        scene.quiet(200);
        let Scene { broker, mut watcher } = scene;
        shut_down(broker.server);
        let mut expected = vec!["delay", "lasts"];
        if !is_kept {
            expected.extend(["lasts, delay", "lost"]);
        }
        let mut came: Vec<_> = expected.iter().map(|_| watcher.take().text().to_owned()).collect();
        came.sort();
        assert_eq!(came, expected);
        watcher.expect_disconnect(0x8B);
        drop(connected);
        // one delay continues; that of a client whose broker ended begins at the start
        let mut scene = start();
        if is_kept {
            scene.quiet(350);
            scene.pass(60);
            scene.expect("lost");
            scene.quiet(140);
            scene.pass(60);
            scene.expect("lasts, delay");
        }
        scene.quiet(20_000);
    }
}
