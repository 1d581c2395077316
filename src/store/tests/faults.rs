//! Errors of the file system: nothing is acknowledged before it is durable, a failed fsync ends the store, a full disk
//! does not.

use super::{
    super::{
        commit::{
            contents::Contents,
            writer::{Progress, Settings},
        },
        log::{files::Files, sizes::SegmentBytes},
    },
    model::Model,
    simulated::Fault,
    world::{World, message, settings, time},
};
use crate::router::Record;

const SEGMENT: u64 = 4096;

#[test]
fn after_a_failed_write_or_fsync_the_writer_stops() {
    let mut failures = std::collections::BTreeSet::new();
    for n in (1..150).chain((150..900).step_by(4)) {
        let mut world = World::new(n, settings(SEGMENT));
        world.files.break_at(n, Fault::Broken);
        let failure = loop {
            match world.commit_random().and_then(|_| world.writer.clean(512)) {
                Ok(_) => {}
                Err(failure) => break failure,
            }
        };
        failures.insert(failure.what);
        let (operations, syncs) = (world.files.operations(), world.files.syncs());
        // the disk works again, but the store must not continue
        assert_eq!(world.writer.commit(&mut Contents::default(), time(0)), Err(failure.clone()));
        assert_eq!(world.writer.retry(), Err(failure.clone()));
        assert_eq!(world.writer.sync(), Err(failure.clone()));
        assert_eq!(world.writer.clean(1), Err(failure));
        assert_eq!((world.files.operations(), world.files.syncs()), (operations, syncs));
        world.files.kill();
        world.restart();
    }
    let expected =
        ["cannot begin a segment", "cannot make a segment", "cannot remove a segment", "cannot write", "fsync failed"];
    assert_eq!(failures.into_iter().collect::<Vec<_>>(), expected);
}

/// After a failed fsync, the process reads data back that is not on the disk.
#[test]
fn a_start_syncs_the_frames_that_it_reads() {
    let mut lost = 0;
    for n in 1..150 {
        let mut world = World::new(n, settings(SEGMENT));
        world.files.break_at(n, Fault::Lost);
        while world.files.is_to_break() && world.commit_random().is_ok() && world.writer.clean(512).is_ok() {}
        if world.writer.sync().is_ok() {
            continue;
        }
        lost += 1;
        world.files.kill();
        world.restart();
        if n % 2 == 0 {
            assert_eq!(world.commit_random(), Ok(Progress::Done));
        }
        world.power_cut();
    }
    assert!(lost > 20, "{lost}");
}

#[test]
fn short_writes_are_continued() {
    for n in 1..100 {
        let mut world = World::new(n, settings(SEGMENT));
        world.files.break_at(n, Fault::Short);
        while world.files.is_to_break() {
            assert_eq!(world.commit_random(), Ok(Progress::Done));
            world.writer.clean(512).unwrap();
        }
        world.power_cut();
    }
}

#[test]
fn a_briefly_full_disk_delays_batches_and_loses_none() {
    let mut delayed = 0;
    for n in 1..400 {
        let mut world = World::new(n, settings(SEGMENT));
        world.files.break_at(n, Fault::Full);
        while world.files.is_to_break() {
            if world.commit_random() == Ok(Progress::Stuck) {
                delayed += 1;
                assert!(world.writer.is_full());
                assert_eq!(world.retry(), Ok(Progress::Done));
            }
            world.writer.clean(512).unwrap();
        }
        world.writer.retry().unwrap();
        assert!(!world.writer.is_full());
        assert_eq!(world.commit_random(), Ok(Progress::Done));
        world.power_cut();
    }
    assert!(delayed > 20, "{delayed}");
}

/// Records after a step of cleaning that had no room, with the disk still full or not: nothing is acknowledged that is
/// not durable, and no segment is removed that the unwritten frame was to replace.
#[test]
fn a_stuck_step_of_cleaning_delays_the_next_batch() {
    const WAYS: usize = 4;
    let mut met = [0; WAYS];
    for n in 1..100 {
        let mut world = World::new(n, settings(SEGMENT));
        (world.payload, world.drains) = (200, 5);
        // changes that cleaning makes before it has no room
        let mut left = n % 12;
        while !world.writer.is_stuck() {
            assert_eq!(world.commit_random(), Ok(Progress::Done));
            let before = world.files.operations();
            world.files.break_at(1 + left, Fault::Full);
            let cleaned = world.writer.clean(2048);
            left = left.saturating_sub(world.files.operations() - before);
            world.files.kill();
            cleaned.unwrap();
        }
        let way = met.iter().sum::<usize>() % WAYS;
        met[way] += 1;
        match way {
            0 => assert_eq!(world.commit_random(), Ok(Progress::Done)),
            1 => {
                world.files.break_at(1, Fault::Full);
                assert_eq!(world.commit_random(), Ok(Progress::Stuck));
                assert_eq!(world.retry(), Ok(Progress::Done));
            }
            2 => world.writer.sync().unwrap(),
            // as at the end of the log
            _ => {
                world.writer.sync().unwrap();
                world.writer.mark(time(world.now)).unwrap();
                world.writer.sync().unwrap();
            }
        }
        world.power_cut();
        assert_eq!(world.commit_random(), Ok(Progress::Done));
        world.power_cut();
    }
    assert!(met.iter().all(|&met| met > 5), "{met:?}");
}

/// A frame fails for lack of room at any place: the next try begins a segment.
#[test]
fn a_segment_begins_once_the_disk_has_room() {
    for large in [false, true] {
        let mut delayed = 0;
        for n in 1..12 {
            let mut world = World::new(n, settings(SEGMENT));
            world.files.break_at(n, Fault::Full);
            let payload = vec![b'x'; if large { 2 * SEGMENT as usize } else { 10 }];
            let record = Record::Retained { message: message(1, "t", &payload), publisher: None };
            world.model.apply(&record);
            if world.commit(vec![record]) == Ok(Progress::Stuck) {
                delayed += 1;
                assert_eq!(world.retry(), Ok(Progress::Done), "large: {large}, change {n}");
                while let Some(spare) = world.writer.pool().take_reserve(0, false) {
                    assert!(world.files.open(&spare.name).is_ok(), "{spare:?} is there");
                }
            }
            world.power_cut();
        }
        assert!(delayed >= 5, "{delayed}");
    }
}

#[test]
fn a_batch_that_does_not_fit_is_acknowledged_when_there_is_room() {
    for cut in [false, true] {
        let mut world = World::new(1, settings(SEGMENT));
        world.files.set_room(Some(SEGMENT / 2));
        assert_eq!(world.commit_random(), Ok(Progress::Stuck));
        assert_eq!(world.writer.retry(), Ok(Progress::Stuck));
        assert!(world.writer.is_full());
        if cut {
            world.power_cut();
            assert_eq!(world.model, Model::default());
            continue;
        }
        world.files.set_room(None);
        assert_eq!(world.retry(), Ok(Progress::Done));
        assert!(!world.writer.is_full());
        world.power_cut();
        assert_ne!(world.model, Model::default());
    }
}

/// With only the reserve, messages are accepted until it is full, and records that end messages free room.
#[test]
fn a_full_disk_can_be_emptied() {
    for seed in 0..20 {
        let mut world = World::new(seed, settings(SEGMENT));
        world.drains = 0;
        // the reserve, as the preparing thread makes it
        world.writer.pool().fill_reserve().unwrap();
        world.files.set_room(Some(8 * SEGMENT));
        while !world.writer.is_full() {
            assert_eq!(world.commit_random(), Ok(Progress::Done));
            while world.writer.clean(512).unwrap() {}
        }
        let full = world.writer.index().live_bytes;
        // nothing is accepted any more; clients receive their queued messages
        let mut steps = 0;
        while world.writer.is_full() {
            let ended = world.model.sessions.iter().find_map(|(&session, state)| {
                state.messages.keys().next().map(|&number| Record::Completed { session, number, count: 1 })
            });
            let record = ended.unwrap_or_else(|| match world.model.retained.keys().next() {
                Some(topic) => Record::RetainedCleared { topic: topic.as_str().into() },
                None => {
                    Record::SessionEnded { session: *world.model.sessions.keys().next().expect("something is left") }
                }
            });
            world.model.apply(&record);
            assert_eq!(world.commit(vec![record]), Ok(Progress::Done), "after {steps} of {full} bytes");
            while world.writer.clean(512).unwrap() {}
            world.writer.retry().unwrap();
            steps += 1;
        }
        assert!(world.files.used() <= 8 * SEGMENT);
        assert_eq!(world.commit_random(), Ok(Progress::Done));
        world.power_cut();
    }
}

/// On a disk with room for the live records and a few segments, repeated replacements never fill it.
#[test]
fn the_cleaner_always_has_room_on_a_small_disk() {
    for (seed, topics) in [(1, 10), (2, 50), (3, 100)] {
        let segment_bytes = SegmentBytes { first: SEGMENT, most: 16 * SEGMENT };
        let mut world = World::new(seed, Settings { segment_bytes, ..settings(SEGMENT) });
        // about two fifths of the disk are live
        world.files.set_room(Some(topics * 600 * 5 / 2 + 8 * SEGMENT));
        for number in 1..=4000 {
            let topic = format!("topic/{}", if number <= topics { number } else { 1 + world.rng.next() % topics });
            let record = Record::Retained { message: message(number, &topic, &[b'x'; 550]), publisher: None };
            world.model.apply(&record);
            assert_eq!(world.commit(vec![record]), Ok(Progress::Done), "{number} of {topics} topics");
            // one step for each batch, which is the least that the store's thread does
            world.writer.clean(3 * 600).unwrap();
            assert!(!world.writer.is_full(), "{number} of {topics} topics");
        }
        world.power_cut();
    }
}

/// The oldest segments are full of live records, and all dead ones are in later segments.
#[test]
fn live_records_before_dead_ones_do_not_keep_a_disk_full() {
    for topics in [20, 60, 200] {
        let mut world = World::new(topics, settings(SEGMENT));
        world.writer.pool().fill_reserve().unwrap();
        world.files.set_room(Some(topics * 600 + 6 * SEGMENT));
        let mut number = 0;
        while !world.writer.is_full() {
            number += 1;
            let record = Record::Retained {
                message: message(number, &format!("topic/{number}"), &[b'x'; 550]),
                publisher: None,
            };
            world.model.apply(&record);
            assert_eq!(world.commit(vec![record]), Ok(Progress::Done));
            while world.writer.clean(2000).unwrap() {}
        }
        assert!(number >= topics * 9 / 10, "{number}");
        for cleared in number / 2..=number {
            let record = Record::RetainedCleared { topic: format!("topic/{cleared}").as_str().into() };
            world.model.apply(&record);
            assert_eq!(world.commit(vec![record]), Ok(Progress::Done));
            while world.writer.clean(2000).unwrap() {}
            world.writer.retry().unwrap();
        }
        assert!(!world.writer.is_full(), "{topics}");
        world.power_cut();
    }
}
