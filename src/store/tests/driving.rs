//! The threads on a full or broken disk: waiting tasks are woken.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool, mpsc},
    task::{Wake, Waker},
    time::{Duration, Instant},
};

use super::{
    super::{
        commit::{
            driver::{self, Threads},
            handover::Handover,
            statistics::Statistics,
            writer::{Settings, Writer},
        },
        log::{
            files::Files,
            pool::{Pool, RESERVE},
        },
        recovery::recover::recover,
    },
    simulated::{Fault, GUARD, Simulated},
    world::settings,
};
use crate::{
    clock::Clock,
    router::{Condition, Record},
    session::{CommitSeq, Message, Stored},
    topic::TopicName,
    types::QoS,
};

pub(super) struct Driven {
    pub(super) shared: Arc<Handover>,
    threads: Option<Threads>,
}

impl Driven {
    fn start(files: &Simulated) -> Self {
        Self::with(files, settings(4096), None)
    }

    /// On a slow disk, with much room in a segment.
    pub(super) fn slow(files: &Simulated) -> Self {
        let settings = Settings { sync_delay: Duration::from_millis(1), ..settings(1 << 20) };
        Self::with(files, settings, None)
    }

    fn with(files: &Simulated, settings: Settings, interval: Option<Duration>) -> Self {
        let recovered = recover(files, &mut |_, _| {}).unwrap();
        let statistics = Arc::new(Statistics::default());
        let writer = Writer::open(Arc::new(files.clone()), recovered, settings, statistics.clone()).unwrap();
        let shared = Arc::new(Handover::new(1, 1 << 20, statistics, Clock::system()));
        let threads = Some(driver::start(shared.clone(), writer, interval, 0).unwrap());
        Self { shared, threads }
    }

    /// Lets the store measure that its disk is slow.
    pub(super) fn learn(&self) {
        (0..10).for_each(|_| self.wait(self.retain(b"x")));
    }

    fn retain(&self, payload: &[u8]) -> CommitSeq {
        self.retain_at("t", payload)
    }

    fn retain_at(&self, topic: &str, payload: &[u8]) -> CommitSeq {
        let message = Message::new(TopicName::new(topic).unwrap(), payload, QoS::AtLeastOnce);
        self.append(Record::Retained { message, publisher: None })
    }

    pub(super) fn append(&self, record: Record) -> CommitSeq {
        match self.shared.append(record) {
            Stored::By(commit) => commit,
            Stored::Done => panic!("nothing is durable at once"),
        }
    }

    /// Waits until the waker of this commit is woken.
    pub(super) fn wait(&self, commit: CommitSeq) {
        rings(&self.ask(commit));
    }

    /// Registers a waker for the commit.
    pub(super) fn ask(&self, commit: CommitSeq) -> mpsc::Receiver<()> {
        let (ring, rung) = mpsc::sync_channel(1);
        self.shared.wake_when_done(commit, &Waker::from(Arc::new(Bell(ring))));
        rung
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(threads) = self.threads.take() {
            threads.join().unwrap();
        }
    }
}

pub(super) fn rings(bell: &mpsc::Receiver<()>) {
    bell.recv_timeout(GUARD).expect("who waits is woken");
}

/// Waits for a condition.
pub(super) fn until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + GUARD;
    while !is_so() {
        assert!(Instant::now() < end, "it never comes");
        std::thread::yield_now();
    }
}

/// Fills the disk once the next segment and the reserve exist.
fn fill(files: &Simulated) {
    let spares = |name: &String| name.starts_with("spare-") && !name.ends_with(".new");
    until(|| files.list().unwrap().iter().filter(|name| spares(name)).count() >= 2);
    files.set_room(Some(files.used()));
}

struct Bell(mpsc::SyncSender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.try_send(());
    }
}

#[test]
fn waiting_tasks_are_woken_when_the_store_is_stuck_and_when_it_has_room_again() {
    let files = Simulated::default();
    files.set_room(Some(100));
    let store = Driven::start(&files);
    let commit = store.retain(b"x");
    let early = store.ask(commit);
    rings(&early);
    assert_eq!((store.shared.condition(), store.shared.done()), (Condition::Stuck, CommitSeq(0)));
    // woken at once while the store is stuck
    let late = store.ask(commit);
    rings(&late);
    files.set_room(None);
    // and when it is done, without another call
    while store.shared.done() < commit {
        rings(&early);
    }
    rings(&late);
    until(|| store.shared.condition() == Condition::Ready);
}

/// The reserve accepts records that end messages; tasks that wait for them are not woken before they are durable.
#[test]
fn on_a_full_disk_a_record_that_ends_something_is_awaited_until_it_is_durable() {
    const TOPICS: usize = 40;
    let files = Simulated::default();
    let store = Driven::start(&files);
    let topics: Vec<_> = (0..TOPICS).map(|n| format!("t/{n}")).collect();
    let mut retained = 0;
    fill(&files);
    while store.shared.condition() == Condition::Ready {
        store.wait(store.retain_at(&topics[retained % TOPICS], &[b'x'; 100]));
        retained += 1;
    }
    assert_eq!(store.shared.condition(), Condition::Full, "after {retained} messages");
    for topic in topics.iter().take(retained.min(TOPICS)) {
        let topic = TopicName::new(topic).unwrap();
        let commit = store.append(Record::RetainedCleared { topic: topic.as_str().into() });
        store.wait(commit);
        assert!(store.shared.done() >= commit, "woken too soon");
    }
    // segments without live records become room
    until(|| store.shared.condition() == Condition::Ready);
}

/// A stuck batch needs memory for its final state, not for each change.
#[test]
fn records_that_arrive_on_a_full_disk_are_written_with_the_waiting_batch() {
    let files = Simulated::default();
    files.set_room(Some(100));
    let store = Driven::start(&files);
    store.wait(store.retain(b"first"));
    assert_eq!(store.shared.condition(), Condition::Stuck);
    let second = store.retain(b"second");
    // taken although the disk is full: later records have another number
    until(|| store.retain(b"last") != second);
    assert_eq!(store.shared.done(), CommitSeq(0));
    let last = store.retain(b"last");
    files.set_room(None);
    until(|| {
        store.wait(last);
        store.shared.done() >= last
    });
    until(|| store.shared.condition() == Condition::Ready);
    drop(store);
    let index = recover(&files, &mut |_, _| {}).unwrap().index;
    let kept: Vec<_> = index.bodies.iter().map(|(_, body)| body.message.payload().to_vec()).collect();
    assert_eq!(kept, [b"last"]);
}

#[test]
fn waiting_tasks_get_the_error_of_a_broken_disk() {
    let files = Simulated::default();
    let store = Driven::start(&files);
    let commit = store.retain(b"x");
    store.wait(commit);
    assert_eq!(store.shared.done(), commit);
    files.break_at(1, Fault::Broken);
    // the thread that prepares files may meet the fault first, and tries again
    let commit = loop {
        let commit = store.retain(b"y");
        store.wait(commit);
        if store.shared.condition() == Condition::Failed {
            break commit;
        }
        files.break_at(1, Fault::Broken);
    };
    assert!(store.shared.done() < commit);
    assert!(store.shared.failure.borrow().is_some());
    store.wait(commit);
}

#[test]
fn waiting_tasks_get_the_error_of_a_writer_that_panicked() {
    let files = Simulated::default();
    let mut store = Driven::start(&files);
    // the thread that prepares files may meet the fault first: without it, the next fault is the writer's
    while store.shared.condition() != Condition::Failed {
        files.break_at(1, Fault::Panic);
        store.wait(store.retain(b"x"));
    }
    assert!(store.shared.failure.borrow().is_some());
    assert!(store.threads.take().unwrap().join().is_err());
}

/// Two fsyncs at once: the first is delayed, the second is done.
fn overtaken(files: &Simulated) -> (Driven, CommitSeq, CommitSeq) {
    files.set_overlaps();
    let store = Driven::slow(files);
    store.learn();
    files.hold_sync();
    let first = store.retain(b"y");
    let _bell = store.ask(first);
    until(|| files.is_holding());
    let syncs = store.shared.statistics.fsyncs.get();
    let second = store.retain_at("large", &vec![b'z'; 200 << 10]);
    let _bell = store.ask(second);
    until(|| store.shared.statistics.fsyncs.get() > syncs);
    (store, first, second)
}

#[test]
fn a_durable_batch_waits_for_earlier_batches() {
    let files = Simulated::default();
    let (store, first, second) = overtaken(&files);
    assert!(store.shared.done() < first);
    let bell = store.ask(second);
    files.let_go(true);
    rings(&bell);
    assert_eq!(store.shared.done(), second);
}

#[test]
fn batches_being_written_are_durable_before_the_end() {
    let files = Simulated::default();
    let (store, _, second) = overtaken(&files);
    let last = store.retain_at("last", b"x");
    let shared = store.shared.clone();
    shared.close();
    files.let_go(true);
    drop(store);
    assert!(shared.done() >= last && last > second);
    assert_eq!(recover(&files, &mut |_, _| {}).unwrap().index.bodies.iter().count(), 3);
}

/// With `sync = "interval"`, records become durable too.
#[test]
fn an_interval_syncs_written_frames() {
    let files = Simulated::default();
    let store = Driven::with(&files, settings(4096), Some(Duration::from_millis(1)));
    for _ in 0..3 {
        let syncs = store.shared.statistics.fsyncs.get();
        store.wait(store.retain(b"x"));
        // no further batch follows that would make it durable
        until(|| store.shared.statistics.fsyncs.get() > syncs);
    }
}

#[test]
fn a_batch_after_a_failed_fsync_is_not_acknowledged() {
    let files = Simulated::default();
    let (store, first, second) = overtaken(&files);
    let bell = store.ask(second);
    files.let_go(false);
    rings(&bell);
    assert_eq!(store.shared.condition(), Condition::Failed);
    assert!(store.shared.done() < first);
}

/// A batch with room on the disk is not stuck, even if a later one is.
#[test]
fn a_batch_is_acknowledged_although_the_next_finds_no_room() {
    let files = Simulated::default();
    files.set_overlaps();
    let store = Driven::slow(&files);
    store.learn();
    fill(&files);
    files.hold_sync();
    let first = store.retain(b"y");
    let early = store.ask(first);
    until(|| files.is_holding());
    let batches = store.shared.statistics.batches.get();
    // too large for any existing file
    let second = store.retain_at("large", &vec![b'z'; 2 << 20]);
    let late = store.ask(second);
    until(|| store.shared.statistics.batches.get() > batches);
    files.let_go(true);
    rings(&early);
    assert!(store.shared.done() >= first, "closed as if it were stuck");
    rings(&late);
    assert_eq!((store.shared.condition(), store.shared.done()), (Condition::Stuck, first));
    files.set_room(None);
    until(|| store.shared.done() >= second);
}

#[test]
fn a_spare_file_is_made_slowly_and_abandoned_at_the_end() {
    let files = Simulated::default();
    let pool = Pool::new(Arc::new(files.clone()), 1 << 20, Vec::new());
    let spare = |pool: &Pool<_>, ends| pool.make_paced(&AtomicBool::new(ends));
    (0..RESERVE).for_each(|_| spare(&pool, false).unwrap());
    // with a reserve, and an almost empty last segment
    pool.set_used(1);
    spare(&pool, false).unwrap();
    assert!(pool.is_filled());
    let before = files.list().unwrap();
    assert_eq!(spare(&pool, true).unwrap_err().kind(), io::ErrorKind::Interrupted);
    assert_eq!(files.list().unwrap(), before, "nothing is left of it");
}
