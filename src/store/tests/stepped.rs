//! [`Stepped`]: the store over a simulated disk without threads: the test calls each of their steps.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::AtomicBool, mpsc},
    thread,
    time::Instant,
};

use super::{
    super::{
        commit::{
            Handover, Statistics, Writer,
            batches::Fsync,
            driver::{Bring, Driver, Others, Written, milliseconds},
            waiting::Wait,
        },
        disk_store::DiskStore,
        recovery::{down_time, recover, restored},
    },
    simulated::{Simulated, SimulatedFile},
    world::settings,
};
use crate::{
    clock::Clock,
    router::{Restored, Store},
};

type Syncing = VecDeque<(Written<SimulatedFile>, Instant)>;

/// A store, and the state of its threads.
pub(crate) struct Stepped {
    shared: Arc<Handover>,
    driver: Driver<Simulated>,
    waits: Option<(Wait, Option<Instant>)>,
    /// Batches whose fsync has begun, and the time of its beginning.
    syncing: Syncing,
    _to_sync: mpsc::Receiver<Written<SimulatedFile>>,
    has_failed: bool,
    /// When the last durable batch was written.
    durable: Option<Instant>,
}

impl Stepped {
    /// Reads the log and continues it. An error is one of the disk.
    pub(crate) fn start(
        files: &Simulated,
        segment_bytes: u64,
        clock: Clock,
    ) -> Result<(Self, Arc<dyn Store>, Restored), String> {
        let recovered = recover(files, &mut |_, _| {}).map_err(|error| format!("{error:?}"))?;
        assert_eq!(recovered.damage, [], "nothing that was acknowledged is damaged");
        let (last, statistics) = (recovered.last, Arc::new(Statistics::default()));
        let writer = Writer::open(Arc::new(files.clone()), recovered, settings(segment_bytes), statistics.clone());
        let writer = writer.map_err(|error| format!("{error:?}"))?;
        let age = last.age.saturating_add(down_time(last, milliseconds(clock.wall())));
        let restored = restored(writer.index(), age, clock.now());
        let shared = Arc::new(Handover::new(writer.index().next_message, 1 << 20, statistics, clock));
        let (to_sync, _to_sync) = mpsc::channel();
        let this = thread::current;
        let others = Others { to_sync, preparer: this(), watcher: this(), ends: Arc::default() };
        let driver = Driver::new(shared.clone(), writer, None, age, others);
        let (waits, syncing) = (None, VecDeque::new());
        let mut store =
            Self { shared: shared.clone(), driver, waits, syncing, _to_sync, has_failed: false, durable: None };
        let now = store.shared.clock.now();
        let began = store.driver.begin(Self::bring(&mut store.syncing, now));
        began.map_err(|failure| failure.to_string())?;
        Ok((store, Arc::new(DiskStore::stepped(shared)), restored))
    }

    fn bring(syncing: &mut Syncing, now: Instant) -> impl Bring<Simulated> {
        move |driver: &mut Driver<Simulated>, numbers, frame| {
            let unsynced = driver.writer().unsynced().expect("it has just been written");
            syncing.push_back((Written { numbers, frame, unsynced }, now));
            Ok(())
        }
    }

    /// One step of the writer. `false`: it has nothing to do.
    pub(crate) fn step(&mut self) -> bool {
        if self.has_failed {
            return false;
        }
        let until = self.driver.next_turn();
        let Some(goes_on) = self.shared.step_wait(&mut self.waits, until) else {
            let now = self.shared.clock.now();
            return self.waits.as_ref().is_some_and(|(_, at)| at.is_some_and(|at| at <= now));
        };
        let now = self.shared.clock.now();
        if goes_on && let Err(failure) = self.driver.turn(Self::bring(&mut self.syncing, now)) {
            self.shared.fail(failure);
        }
        self.has_failed |= self.shared.failure.borrow().is_some();
        !self.has_failed
    }

    /// The time at which the writer wakes by itself.
    pub(crate) fn sleeps_until(&self) -> Option<Instant> {
        self.waits.as_ref().and_then(|(_, at)| *at)
    }

    /// Is an fsync running?
    pub(crate) fn is_syncing(&self) -> bool {
        !self.syncing.is_empty()
    }

    /// The oldest fsync is done.
    pub(crate) fn sync(&mut self) {
        let Some((Written { numbers, frame, unsynced }, began)) = self.syncing.pop_front() else { return };
        let took = self.shared.clock.now() - began;
        match unsynced.sync() {
            Ok(()) => {
                self.shared.complete(numbers, Some(Fsync { frame, took }));
                self.durable = Some(began);
            }
            Err(failure) => self.shared.fail(failure),
        }
        self.has_failed |= self.shared.failure.borrow().is_some();
    }

    /// Makes a spare file if there are too few.
    pub(crate) fn prepare(&self) {
        let pool = self.driver.writer().pool();
        if !pool.is_filled() {
            // if it fails, the writer makes one
            let _ = pool.make_paced(&AtomicBool::new(false));
        }
    }

    /// When the last durable batch was written, since the start.
    pub(crate) fn durable(&self) -> Option<Instant> {
        self.durable
    }

    /// Has the store failed?
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }
}
