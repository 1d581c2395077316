//! Power cuts, kills and faults at random moments: what was acknowledged is there, what was never handed over is not,
//! and what belongs together is there together.

use super::{
    super::writer::Progress,
    simulated::Fault,
    world::{World, settings},
};

/// Power cuts at any operation on a file.
#[test]
fn what_was_acknowledged_survives_power_cuts() {
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
fn what_was_acknowledged_survives_kills() {
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

/// Where acknowledgements do not wait for the disk, a power cut leaves a beginning of what was acknowledged.
#[test]
fn an_interval_loses_the_end_and_nothing_else() {
    for seed in 200..230 {
        let mut world = World::new(seed, super::super::writer::Settings { sync_each: false, ..settings(4096) });
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
