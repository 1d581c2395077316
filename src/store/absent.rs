//! The store of a build without the feature `store`: it refuses a `data_dir`. An embedding program may plug in its own
//! store.

#[path = "sync.rs"]
mod sync;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use thiserror::Error;

use crate::{
    clock::Clock,
    router::{Restored, Store},
};

pub use sync::Sync;

/// Has no values.
pub enum DiskStore {}

/// The error of [`open`].
#[derive(Debug, Error)]
#[error("data_dir: this dunlin was built without a store (the feature `store`)")]
pub struct OpenError;

/// Has no values: without a store, nothing fails.
#[derive(Debug, Error)]
#[error("there is no store")]
pub enum Failure {}

impl DiskStore {
    /// Never called.
    pub async fn failed(&self) -> Failure {
        match *self {}
    }

    /// Never called.
    pub fn close(&self) -> Result<(), Failure> {
        match *self {}
    }
}

/// As with the feature.
pub struct Options {
    /// When records are durable.
    pub sync: Sync,
    /// Added to each fsync.
    pub sync_delay: Duration,
    /// Batches do not overlap.
    pub one_sync_at_a_time: bool,
    /// Counts the records that are read.
    pub progress: Arc<AtomicU64>,
    /// The clock.
    pub clock: Clock,
    /// The data directory.
    pub data_dir: PathBuf,
}

impl Options {
    /// The defaults.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            sync: Sync::BeforeAck,
            sync_delay: Duration::ZERO,
            one_sync_at_a_time: false,
            progress: Arc::default(),
            clock: Clock::default(),
            data_dir: data_dir.into(),
        }
    }
}

/// Always fails.
pub fn open(_: &Options) -> Result<(Arc<DiskStore>, Restored), OpenError> {
    Err(OpenError)
}

/// Always `false`: it does not read the directory.
pub fn is_stored_in(_: &Path) -> bool {
    false
}

/// In place of the tools of a store.
pub mod tools {
    use std::{
        io::{self, BufRead, Write},
        path::Path,
        time::Instant,
    };

    use thiserror::Error;

    use super::OpenError;
    use crate::router::Restored;

    /// Why a tool failed.
    #[derive(Debug, Error)]
    pub enum ToolError {
        /// There is no store.
        #[error(transparent)]
        Open(#[from] OpenError),
        /// The output cannot be written.
        #[error("cannot write: {0}")]
        Output(io::Error),
        /// The input cannot be read.
        #[error("cannot read the input: {0}")]
        Input(io::Error),
        /// A line is not valid.
        #[error("line {number}: {why}")]
        Line {
            /// Its number, from 1.
            number: u64,
            /// The fault.
            why: String,
        },
    }

    /// Refuses.
    pub fn backup(_: &Path, _: &Path, _: &mut impl Write) -> Result<(), ToolError> {
        Err(OpenError.into())
    }

    /// Refuses.
    pub(crate) fn copy_log(_: &Path, _: &Path) -> Result<(), ToolError> {
        Err(OpenError.into())
    }

    /// Refuses.
    pub fn export(_: &Path, _: &mut impl Write) -> Result<(), ToolError> {
        Err(OpenError.into())
    }

    /// Refuses.
    pub(crate) fn state_of(_: &Path, _: impl BufRead, _: Instant) -> Result<Restored, ToolError> {
        Err(OpenError.into())
    }
}

impl Store for DiskStore {
    fn append(&self, _: crate::router::Record) -> crate::session::Stored {
        match *self {}
    }

    fn append_copies(
        &self,
        _: &crate::session::Message,
        _: &crate::router::QueuedCopy,
        _: &[crate::router::QueuedCopy],
    ) -> crate::session::Stored {
        match *self {}
    }

    fn together(&self, _: &mut dyn FnMut()) {
        match *self {}
    }

    fn done(&self) -> crate::session::CommitSeq {
        match *self {}
    }

    fn wake_when_done(&self, _: crate::session::CommitSeq, _: &std::task::Waker) {
        match *self {}
    }

    fn condition(&self) -> crate::router::Condition {
        match *self {}
    }
}
