//! The size of a data directory, and a broker on a small disk.

use std::{fs, os::unix::fs::MetadataExt, time::Instant};

use super::{
    full_disk::{expect_condition, on_a_disk_of},
    place::{Place, away},
};
use crate::support::{
    GUARD,
    raw::{Client, Message, puback},
    running::Running,
};

const MIB: u64 = 1 << 20;

#[test]
fn an_idle_directory_takes_16_mib_at_most() {
    let place = Place::new();
    let mut broker = place.start();
    wait_for_spares(&place);
    assert!(taken(&place) <= 16 * MIB, "{}", taken(&place));
    away(&broker, "subscriber", "t", 1);
    broker.client("publisher").publish(Message::new("t", "x").qos(1).retain());
    wait_for_spares(&place);
    assert!(taken(&place) <= 16 * MIB, "{}", taken(&place));
    broker.kill();
    for _ in 0..3 {
        let broker = place.start();
        broker.client("publisher").publish(Message::new("t", "y").qos(1).retain());
        wait_for_spares(&place);
        assert!(taken(&place) <= 16 * MIB, "{}", taken(&place));
        broker.stop();
    }
}

#[test]
fn the_least_disk_is_enough_to_work() {
    on_a_disk_of("13m", "small_disk::the_least_disk_is_enough_to_work", |place| {
        let broker = place.start();
        write(&broker, 200, 10, 100 << 10);
        broker.stop();
        write(&place.start(), 20, 10, 100 << 10);
    });
}

#[test]
fn replaced_messages_do_not_fill_a_disk_of_64_mib() {
    on_a_disk_of("64m", "small_disk::replaced_messages_do_not_fill_a_disk_of_64_mib", |place| {
        write(&place.start(), 500, 50, 300_000);
    });
}

#[test]
fn replaced_messages_do_not_fill_a_disk_of_135_mib() {
    on_a_disk_of("135m", "small_disk::replaced_messages_do_not_fill_a_disk_of_135_mib", |place| {
        write(&place.start(), 600, 50, 300_000);
    });
}

/// What lives fills the oldest segments, and what is gone is behind it: all that lives has to be moved to free any
/// room.
#[test]
fn a_full_disk_is_used_again_after_messages_are_completed() {
    on_a_disk_of("48m", "small_disk::a_full_disk_is_used_again_after_messages_are_completed", |place| {
        let broker = place.configured("[sys]\ninterval = '100ms'\n");
        let mut publisher = broker.client("fills");
        let mut topics = 0;
        loop {
            publisher.send(&retained(topics, 100_000).id(1).frame());
            match publisher.read() {
                Some(frame) => assert_eq!(frame.bytes(), puback(1)),
                None => break,
            }
            topics += 1;
        }
        assert!(topics > 200, "{topics}");
        expect_condition(&broker, "full");
        let mut clears = broker.client("clears");
        for topic in topics / 2..=topics {
            clears.publish(retained(topic, 0));
        }
        expect_condition(&broker, "ready");
        write(&broker, 200, 50, 100_000);
    });
}

#[test]
fn a_disk_that_is_too_small_is_an_error_at_the_start() {
    on_a_disk_of("8m", "small_disk::a_disk_that_is_too_small_is_an_error_at_the_start", |place| {
        let said = place.refused();
        assert!(said.contains("dunlin needs 12288 KiB at least: free 41"), "{said}");
        assert!(said.contains(place.data_dir().to_str().unwrap()), "{said}");
    });
}

fn retained(topic: usize, size: usize) -> Message {
    Message::new(&format!("topic/{topic}"), &"x".repeat(size)).qos(1).retain()
}

/// Replaces the retained messages of so many topics, one after the other; each is acknowledged.
fn write(broker: &Running, times: usize, topics: usize, size: usize) {
    let mut publisher: Client = broker.client("writes");
    (0..times).for_each(|n| publisher.publish(retained(n % topics, size)));
}

/// The files that wait to be segments are all made: nothing more is taken until something is written.
fn wait_for_spares(place: &Place) {
    let begins = Instant::now();
    let names = || fs::read_dir(place.data_dir()).unwrap().map(|entry| entry.unwrap().file_name());
    let ready =
        |name: &std::ffi::OsString| name.to_str().is_some_and(|n| n.starts_with("spare-") && !n.ends_with(".new"));
    while names().filter(ready).count() < 3 {
        assert!(begins.elapsed() < GUARD, "{:?}", names().collect::<Vec<_>>());
        std::thread::yield_now();
    }
}

/// Bytes of the disk.
fn taken(place: &Place) -> u64 {
    let size = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().metadata().map_or(0, |data| data.blocks() * 512);
    fs::read_dir(place.data_dir()).unwrap().map(size).sum()
}
