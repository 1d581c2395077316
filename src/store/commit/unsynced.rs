//! [`Unsynced`]: files with frames that are written and not synced.

use std::{
    io,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use super::{
    super::{
        log::{Failure, File, names, write_all_at},
        recovery::Found,
    },
    statistics::Statistics,
};
use crate::clock::Stopwatch;

/// Frames that are written and may not be durable. They can be synced while the writer goes on.
#[derive(Debug)]
pub(crate) struct Unsynced<F> {
    pub(crate) file: Arc<F>,
    pub(crate) segment: u64,
    pub(crate) delay: Duration,
    pub(crate) failed: Arc<OnceLock<Failure>>,
    pub(crate) statistics: Arc<Statistics>,
}

impl<F: File> Unsynced<F> {
    /// Syncs it. After a failure the contents of the disk are unknown, so there is no second try.
    pub(crate) fn sync(self) -> Result<(), Failure> {
        if let Some(failure) = self.failed.get() {
            return Err(failure.clone());
        }
        let syncing = Stopwatch::start();
        if let Err(error) = self.file.sync_data() {
            let failure = Failure::new(&names::segment(self.segment), "fsync failed", &error);
            return Err(self.failed.get_or_init(|| failure).clone());
        }
        if !self.delay.is_zero() {
            thread::sleep(self.delay);
        }
        self.statistics.fsyncs.add(1);
        self.statistics.fsync_times.add(syncing.took());
        Ok(())
    }
}

/// Cuts a segment off behind its last frame, and writes again what was read of it. After a failed fsync those bytes may
/// be only in the page cache, marked as clean, and the next fsync would skip them.
pub(crate) fn end_at(file: &impl File, segment: &Found) -> io::Result<()> {
    if segment.end < segment.len {
        file.set_len(segment.end)?;
    }
    let mut at = segment.unsynced;
    let mut bytes = vec![0; 1 << 20];
    while at < segment.end {
        let most = usize::try_from(segment.end - at).map_or(bytes.len(), |left| left.min(bytes.len()));
        match file.read_at(&mut bytes[..most], at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                write_all_at(file, &bytes[..read], at)?;
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    file.sync_data()
}
