//! Power cuts, kills and faults at random moments: acknowledged records survive, records that were never appended do
//! not appear, and a group is restored completely or not at all.

use std::time::{Duration, Instant};

use super::{
    super::{
        commit::{
            batches::{Batches, Fsync},
            writer::Progress,
        },
        log::Files,
    },
    simulated::Fault,
    world::{World, settings, time},
};

/// Power cuts at any operation on a file.
#[test]
fn acknowledged_records_survive_power_cuts() {
    let mut cuts = 0;
    for seed in 0..60 {
        let mut world = World::new(seed, settings(4096));
        for _ in 0..40 {
            let next = world.rng.below(60) as u64;
            world.files.break_at(1 + next, Fault::Broken);
            while world.commit_random().is_ok() && world.writer.clean(512).is_ok() {}
            world.power_cut();
            cuts += 1;
        }
    }
    assert_eq!(cuts, 2400);
}

/// A kill loses nothing that was written.
#[test]
fn acknowledged_records_survive_kills() {
    for seed in 100..130 {
        let mut world = World::new(seed, settings(4096));
        for _ in 0..20 {
            for _ in 0..world.rng.below(30) {
                assert_eq!(world.commit_random(), Ok(Progress::Done));
                world.writer.clean(512).unwrap();
            }
            world.files.kill();
            world.restart();
        }
    }
}

/// With `sync = "interval"`, a power cut leaves a beginning of the acknowledged records.
#[test]
fn with_an_interval_a_power_cut_loses_only_the_end() {
    for seed in 200..230 {
        let mut world = World::new(seed, settings(4096));
        world.syncs = false;
        for _ in 0..30 {
            for _ in 0..world.rng.below(20) {
                assert_eq!(world.commit_random(), Ok(Progress::Done));
                world.writer.clean(512).unwrap();
                if world.rng.one_in(8) {
                    world.writer.sync().unwrap();
                    world.is_kept();
                }
            }
            world.power_cut();
        }
    }
}

/// Several frames are written at once, frames of cleaning and empty batches among them: the number of unsynced frames
/// in each frame is right.
#[test]
fn frames_that_are_on_their_way_together_survive_power_cuts_in_their_order() {
    let (mut overtaken, mut without) = (0, 0);
    for seed in 300..380 {
        let mut world = World::new(seed, settings(4096));
        world.syncs = false;
        for _ in 0..30 {
            let mut batches = Batches::new();
            let mut fsyncs = Vec::new();
            for _ in 0..world.rng.below(30) {
                if world.rng.one_in(4) {
                    world.writer.mark(time(world.now)).unwrap();
                }
                let before = world.writer.last_frame();
                let number = batches.begin_next(Instant::now());
                let progress = if world.rng.one_in(4) { world.commit(Vec::new()) } else { world.commit_random() };
                assert_eq!(progress, Ok(Progress::Done));
                let frame = world.writer.last_frame();
                let unsynced = world.writer.unsynced().filter(|_| frame > before);
                without += usize::from(unsynced.is_none());
                fsyncs.push((number, frame, unsynced));
                while fsyncs.len() > world.rng.below(4) {
                    // any of them may be the first to be done
                    let (number, frame, unsynced) = fsyncs.remove(world.rng.below(fsyncs.len()));
                    let fsync = unsynced.map(|unsynced| {
                        unsynced.sync().unwrap();
                        Fsync { frame, took: Duration::ZERO }
                    });
                    match batches.complete(number..number + 1, fsync, Instant::now()) {
                        Some(last) => world.is_kept_but((batches.number - 1 - last) as usize),
                        None => overtaken += 1,
                    }
                }
                world.writer.note_synced(batches.synced()).unwrap();
                world.writer.clean(512).unwrap();
            }
            world.power_cut();
        }
    }
    assert!(overtaken > 100 && without > 100, "{overtaken}, {without}");
}

/// Clean ends that are interrupted anywhere, and starts after them: `END` and `LAST` never claim too much.
#[test]
fn an_interrupted_clean_end_is_not_damage() {
    let mut told = 0;
    for seed in 400..440 {
        let mut world = World::new(seed, settings(4096));
        for _ in 0..20 {
            for _ in 0..world.rng.below(10) {
                assert_eq!(world.commit_random(), Ok(Progress::Done));
                world.writer.clean(512).unwrap();
            }
            world.writer.mark(time(world.now)).unwrap();
            world.writer.sync().unwrap();
            let next = world.rng.below(8) as u64;
            world.files.break_at(1 + next, Fault::Broken);
            world.writer.end();
            world.files.power_cut(&mut world.rng);
            let names = world.files.list().unwrap();
            told += usize::from(names.iter().any(|name| name == "END"));
            world.restart();
            assert!(
                !world.files.list().unwrap().iter().any(|name| name == "END"),
                "it is gone before anything is written"
            );
        }
    }
    assert!(told > 50, "{told}");
}
