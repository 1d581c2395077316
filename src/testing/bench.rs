//! [`Bench`]: the server that runs, its clock, and what happened. Tests in Rust and requests over HTTP act by it.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{
    faults::{Faults, Tapped},
    journal::{Journal, Sink},
    options::{Options, TestError},
    recording::Recorder,
    strict::Strict,
};
use crate::{
    clock::{Clock, TestClock},
    config::Config,
    server::{Builder, Listening, Server, ServerError},
    store::{self, MemoryDisk, SegmentBytes},
};

/// What a test acts on.
pub(super) struct Bench {
    /// `None` after the end, and while it restarts.
    server: RwLock<Option<Server>>,
    /// With the ports that the system picked.
    config: Config,
    /// What the server has over HTTP.
    pub(super) routes: ArcSwap<axum::Router>,
    pub(super) clock: TestClock,
    /// One clock is turned at a time, and the broker is not restarted meanwhile.
    pub(super) turning: tokio::sync::Mutex<()>,
    pub(super) journal: Arc<Journal>,
    pub(super) faults: Arc<Faults>,
    pub(super) strict: Arc<Strict>,
    pub(super) disk: Mutex<MemoryDisk>,
    pub(super) snapshots: Mutex<HashMap<String, MemoryDisk>>,
    pub(super) any_address: bool,
}

/// Segments are small: all of it is in memory.
const SEGMENTS: SegmentBytes = SegmentBytes { first: 64 << 10, most: 4 << 20 };

impl Bench {
    /// Starts the server. All its listeners accept when this returns.
    pub(super) async fn start(options: &Options) -> Result<Self, TestError> {
        let (clock, strict) = (TestClock::new(), Arc::new(Strict::new(options.strict)));
        let recorder = match &options.record {
            Some(path) => {
                let created = Recorder::create(path);
                Some(created.map_err(|error| TestError::Record { path: path.clone(), error })?)
            }
            None => None,
        };
        let sink = recorder.map(|recorder| -> Sink { Box::new(move |entry| recorder.note(entry)) });
        let journal = Arc::new(Journal::new(strict.clone(), sink));
        let faults = Arc::new(Faults::new(&clock, journal.clone(), strict.clone()));
        let disk = MemoryDisk::default();
        let mut bench = Self {
            server: RwLock::new(None),
            config: options.resolved()?,
            routes: ArcSwap::default(),
            clock,
            turning: tokio::sync::Mutex::default(),
            journal,
            faults,
            strict,
            disk: Mutex::new(disk.clone()),
            snapshots: Mutex::default(),
            any_address: options.any_address,
        };
        let server = bench.serve(&disk).await?;
        for (listener, listening) in bench.config.listeners.iter_mut().zip(server.listeners()) {
            listener.address = listening.endpoint;
        }
        bench.routes.store(Arc::new(server.http_routes()));
        *bench.server.write().await = Some(server);
        Ok(bench)
    }

    /// A server with what is on this disk.
    pub(super) async fn serve(&self, disk: &MemoryDisk) -> Result<Server, TestError> {
        let clock = self.clock.clock();
        let options = store::Options { segment_bytes: SEGMENTS, clock: clock.clone(), ..store::Options::new("memory") };
        let (store, restored) = store::open_in_memory(disk, &options).map_err(ServerError::from)?;
        let builder = Builder::new(self.config.clone()).clock(clock).observe(self.journal.clone());
        let builder = builder.opened(store, restored).tap(Arc::new(Tapped(self.faults.clone()))).http_by_another();
        Ok(builder.start().await?)
    }

    /// The server, which does not end meanwhile. `None`: it has ended.
    pub(super) async fn server(&self) -> Option<RwLockReadGuard<'_, Server>> {
        RwLockReadGuard::try_map(self.server.read().await, Option::as_ref).ok()
    }

    /// The place of the server, for who replaces it.
    pub(super) async fn place(&self) -> RwLockWriteGuard<'_, Option<Server>> {
        self.server.write().await
    }

    /// Where clients connect to.
    pub(super) async fn listening(&self) -> Vec<Listening> {
        self.server().await.map(|server| server.listeners()).unwrap_or_default()
    }

    /// What the server has over HTTP.
    pub(super) fn routes(&self) -> axum::Router {
        (**self.routes.load()).clone()
    }

    /// The clock of the machine: a test waits by that for what the broker does.
    pub(super) fn machine() -> Clock {
        Clock::system()
    }
}
