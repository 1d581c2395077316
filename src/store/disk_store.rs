//! [`DiskStore`]: the router's `Store` port, in front of `handover` and the store's threads.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    commit::{Handover, Settings, Statistics, Threads, Writer, driver, random},
    log::{self, DATA_DIR, Disk, Failure, Files, Lock, MemoryDisk, OpenError, SegmentBytes, VERSION, data_dir},
    recovery::{self, Progress, down_time, recover, restored},
    sync::Sync,
};
use crate::{
    clock::Clock,
    router::{Condition, Distribution, QueuedCopy, Record, Restored, Store},
    session::{CommitSeq, Message, Stored},
};

/// How a store works.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory; created if it is missing.
    pub data_dir: PathBuf,
    /// When something is durable.
    pub sync: Sync,
    /// Bytes of a segment: 3 to 64 MiB, in tests less; at least [`MIN_SEGMENT_BYTES`].
    pub segment_bytes: SegmentBytes,
    /// Bytes that may wait to become durable before the condition is [`Condition::Busy`].
    pub max_pending_bytes: usize,
    /// Added to each fsync, as a slower disk would: for measurements.
    pub sync_delay: Duration,
    /// Batches do not overlap: to measure what the overlap gains.
    pub one_sync_at_a_time: bool,
    /// Counts the records that are read when the store is opened.
    pub progress: Arc<AtomicU64>,
    /// The clock of all its intervals.
    pub clock: Clock,
}

/// The least bytes of a segment.
pub const MIN_SEGMENT_BYTES: u64 = 4096;

impl Options {
    /// The defaults, for a directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            sync: Sync::BeforeAck,
            segment_bytes: SegmentBytes::default(),
            max_pending_bytes: 64 << 20,
            sync_delay: Duration::ZERO,
            one_sync_at_a_time: false,
            progress: Arc::default(),
            clock: Clock::system(),
        }
    }
}

/// A store on disk. Ends with [`close`](Self::close), or when it is dropped.
#[derive(Debug)]
pub struct DiskStore {
    shared: Arc<Handover>,
    /// With the lock of the directory, if it has one.
    threads: Mutex<Option<(Threads, Option<Lock>)>>,
}

/// Opens the store in a directory. Returns it, and the state that it restored.
///
/// An incomplete frame at the end of the log, as a power cut leaves it, is cut off and logged. Damage anywhere else is
/// an error that names the place.
pub fn open(options: &Options) -> Result<(Arc<DiskStore>, Restored), OpenError> {
    data_dir::create(&options.data_dir)?;
    let lock = data_dir::lock(&options.data_dir)?;
    let files = Arc::new(Disk::new(&options.data_dir, options.sync == Sync::BeforeAck));
    open_files(files, options, Some(lock))
}

/// The same in a directory in memory; `data_dir` of the options is its name.
pub(crate) fn open_in_memory(disk: &MemoryDisk, options: &Options) -> Result<(Arc<DiskStore>, Restored), OpenError> {
    open_files(Arc::new(disk.clone()), options, None)
}

fn open_files<F: Files>(
    files: Arc<F>,
    options: &Options,
    lock: Option<Lock>,
) -> Result<(Arc<DiskStore>, Restored), OpenError> {
    let say = |_: &str, done: &str| tracing::info!(done, "restoring data_dir");
    let mut progress = Progress::of_log("restoring data_dir", &*files, say);
    let mut count = |position: recovery::Position<'_>, _: &log::LogRecord<'_>| {
        options.progress.fetch_add(1, Ordering::Relaxed);
        progress.read(position.file, position.offset);
    };
    let recovered = recover(&*files, &mut count).map_err(|error| error.within(&options.data_dir))?;
    if let Some((damage, more)) = recovered.damage.split_first() {
        let (data_dir, damage) = (options.data_dir.clone(), damage.clone());
        return Err(OpenError::Damaged { data_dir, damage, more: more.len() });
    }
    if let Some(torn) = &recovered.torn {
        tracing::warn!(
            file = %options.data_dir.join(&torn.file).display(),
            frame = torn.frame,
            byte = torn.offset,
            acknowledged = torn.acknowledged(),
            "the log ends within a frame, which was cut off"
        );
    }
    if let Some(version) = recovered.version.filter(|&version| version < VERSION) {
        tracing::warn!(
            data_dir = %options.data_dir.display(),
            from = version,
            to = VERSION,
            "the store changes its format: earlier versions cannot read it afterwards (dunlin store export --format writes \
             the earlier format)"
        );
    }
    let last = recovered.last;
    let statistics = Arc::new(Statistics::default());
    let SegmentBytes { first, most } = options.segment_bytes;
    let first = first.max(MIN_SEGMENT_BYTES);
    let segment_bytes = SegmentBytes { first, most: most.max(first) };
    let Options { sync_delay, one_sync_at_a_time, .. } = *options;
    let settings = Settings { segment_bytes, sync_delay, one_sync_at_a_time, salt: random(), keep_freed: false };
    let writer = Writer::open(files, recovered, settings, statistics.clone())
        .map_err(|error| error.within(&options.data_dir))?;
    if let Some(has) = writer.disk().filter(|&has| has < segment_bytes.least_disk()) {
        let path = options.data_dir.clone();
        return Err(OpenError::TooSmall { path, has, needs: segment_bytes.least_disk() });
    }
    let age = last.age.saturating_add(down_time(last, driver::milliseconds(options.clock.wall())));
    let mut restored = restored(writer.index(), age, options.clock.now());
    let (now, wall) = (options.clock.now(), driver::milliseconds(options.clock.wall()));
    for retained in &mut restored.retained {
        let ago = retained.time.map(|time| Duration::from_millis(wall.saturating_sub(time)));
        retained.at = ago.and_then(|ago| now.checked_sub(ago));
    }
    let interval = match options.sync {
        Sync::BeforeAck => None,
        Sync::Interval(interval) => Some(interval),
    };
    let (next_message, clock) = (writer.index().next_message, options.clock.unpaused());
    let shared = Arc::new(Handover::new(next_message, options.max_pending_bytes, statistics, clock));
    let started = driver::start(shared.clone(), writer, interval, age);
    let threads = started.map_err(|error| OpenError::Io {
        path: options.data_dir.clone(),
        what: "cannot start the store's threads",
        error,
    })?;
    let threads = Mutex::new(Some((threads, lock)));
    Ok((Arc::new(DiskStore { shared, threads }), restored))
}

impl DiskStore {
    /// A store whose threads a test steps.
    #[cfg(test)]
    pub(super) fn stepped(shared: Arc<Handover>) -> Self {
        Self { shared, threads: Mutex::new(None) }
    }

    /// Writes the pending batches, syncs them and ends the threads; blocks meanwhile. Append nothing after this call.
    pub fn close(&self) -> Result<(), Failure> {
        if let Some((threads, _lock)) = self.threads.lock().take() {
            self.shared.close();
            if threads.join().is_err() {
                let why = std::io::Error::other("the writer panicked");
                self.shared.fail(Failure::new(DATA_DIR, "cannot write", &why));
            }
        }
        self.shared.failure.borrow().clone().map_or(Ok(()), Err)
    }

    /// Is there nothing to write?
    pub(crate) fn is_idle(&self) -> bool {
        self.shared.is_idle()
    }

    /// Completes when a write or an fsync failed. Nothing becomes durable after that, so the process must end.
    pub async fn failed(&self) -> Failure {
        let mut failure = self.shared.failure.subscribe();
        loop {
            if let Some(failure) = failure.borrow_and_update().clone() {
                return failure;
            }
            // the sender lives as long as `self`
            if failure.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Its figures, for `$SYS` and metrics.
    pub fn statistics(&self) -> &Statistics {
        &self.shared.statistics
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        if let Err(failure) = self.close() {
            tracing::error!(reason = %failure, "data_dir failed");
        }
    }
}

impl Store for DiskStore {
    #[inline]
    fn append(&self, record: Record) -> Stored {
        self.shared.append(record)
    }

    fn append_copies(&self, message: &Message, first: &QueuedCopy, others: &[QueuedCopy]) -> Stored {
        self.shared.append_copies(message, first, others)
    }

    fn together(&self, append: &mut dyn FnMut()) {
        self.shared.together(append);
    }

    fn done(&self) -> CommitSeq {
        self.shared.done()
    }

    #[inline]
    fn settle(&self, wakes: &mut Vec<Waker>) {
        self.shared.settle(wakes);
    }

    fn wake_when_done(&self, commit: CommitSeq, waker: &Waker) {
        self.shared.wake_when_done(commit, waker);
    }

    #[inline]
    fn condition(&self) -> Condition {
        self.shared.condition()
    }

    fn is_behind(&self) -> bool {
        self.shared.is_behind()
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        self.shared.statistics.figures()
    }

    fn answers(&self, within: Duration) -> bool {
        self.shared.writer_answers(within)
    }

    fn batch_sizes(&self) -> Option<Distribution> {
        Some(self.shared.statistics.batch_sizes.distribution())
    }

    fn fsync_times(&self) -> Option<Distribution> {
        Some(self.shared.statistics.fsync_times.distribution())
    }
}
