//! What is there in place of the store where it is left out (the feature `store`): no `data_dir` is opened. An
//! embedding program may plug in a store of its own.

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

/// There is none.
pub enum DiskStore {}

/// Why there is no store.
#[derive(Debug, Error)]
#[error("data_dir: this dunlin was built without a store (the feature `store`)")]
pub struct OpenError;

/// A store never fails that is not there.
#[derive(Debug, Error)]
#[error("there is no store")]
pub enum Failure {}

impl DiskStore {
    /// Never ends.
    pub async fn failed(&self) -> Failure {
        match *self {}
    }

    /// Nothing is open.
    pub fn close(&self) -> Result<(), Failure> {
        match *self {}
    }
}

/// What would be opened.
pub struct Options {
    /// When what was handed over is durable.
    pub sync: Sync,
    /// What is added to each fsync.
    pub sync_delay: Duration,
    /// Counts records.
    pub progress: Arc<AtomicU64>,
    /// The clock.
    pub clock: Clock,
    /// Where.
    pub data_dir: PathBuf,
}

impl Options {
    /// There.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            sync: Sync::BeforeAck,
            sync_delay: Duration::ZERO,
            progress: Arc::default(),
            clock: Clock::default(),
            data_dir: data_dir.into(),
        }
    }
}

/// Refuses.
pub fn open(_: &Options) -> Result<(Arc<DiskStore>, Restored), OpenError> {
    Err(OpenError)
}

/// Nobody looks.
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
            /// What is wrong.
            why: String,
        },
    }

    /// Refuses.
    pub fn backup(_: &Path, _: &Path, _: &mut impl Write) -> Result<(), ToolError> {
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
