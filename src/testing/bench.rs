//! [`Bench`]: the running server, its clock and its journal. Tests in Rust and HTTP requests act on it.

use std::{collections::HashMap, net::SocketAddr, path::Path, sync::Arc};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{
    faults::{Faults, Longest, Tapped},
    journal::{Journal, Sink},
    junit::Junit,
    options::{Options, TestError},
    recording::Recorder,
    seed::{Seed, Users},
    strict::Strict,
};
use crate::{
    admin::Behind,
    clock::{Clock, TestClock},
    config::Config,
    server::{Builder, Listening, Server, ServerError, sync_of},
    store::{self, MemoryDisk, SegmentBytes},
    types::Endpoint,
};

/// The running server and everything that a test acts on.
pub(super) struct Bench {
    /// `None` after the end and during a restart.
    server: RwLock<Option<Server>>,
    /// With the ports that the system chose.
    config: Config,
    /// The users of the seed.
    _users: Option<Users>,
    /// The address of HTTP.
    http: SocketAddr,
    /// The HTTP side of the server.
    pub(super) behind: ArcSwapOption<Behind>,
    pub(super) clock: TestClock,
    /// Held while the clock is turned or the broker restarts.
    pub(super) turning: tokio::sync::Mutex<()>,
    pub(super) journal: Arc<Journal>,
    pub(super) faults: Arc<Faults>,
    pub(super) strict: Arc<Strict>,
    pub(super) junit: Option<Junit>,
    pub(super) disk: Mutex<MemoryDisk>,
    pub(super) snapshots: Mutex<HashMap<String, MemoryDisk>>,
    pub(super) any_address: bool,
}

/// Segments are small, because the whole log is in memory, and stay small: they would grow with each thousand tests.
const SEGMENTS: SegmentBytes = SegmentBytes::all(64 << 10);

/// The state of a file. Its users are those of the password file, in place of none.
fn seeded(path: &Path, clock: &TestClock, config: &mut Config) -> Result<(MemoryDisk, Option<Users>), String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let Seed { disk, users, kept } = Seed::parse(&text, clock.clock().wall())?;
    tracing::info!(kept, users = users.len(), "seeded");
    if users.is_empty() {
        return Ok((disk, None));
    }
    if config.auth.password_file.is_some() {
        return Err("it has users, and auth.password_file is configured too".into());
    }
    let users = Users::write(&users).map_err(|error| format!("its users cannot be written: {error}"))?;
    config.auth.password_file = Some(users.file());
    Ok((disk, Some(users)))
}

impl Bench {
    /// Starts the server. All its listeners accept when this returns. `http`: the address of HTTP.
    pub(super) async fn start(options: &Options, http: SocketAddr) -> Result<Self, TestError> {
        let (clock, strict) = (TestClock::new(), Arc::new(Strict::new(options.strict)));
        let recorder = match &options.record {
            Some(path) => {
                let created = Recorder::create(path);
                Some(created.map_err(|error| TestError::Record { path: path.clone(), error })?)
            }
            None => None,
        };
        let junit = match &options.junit {
            Some(path) => {
                let created = Junit::create(path);
                Some(created.map_err(|error| TestError::Junit { path: path.clone(), error })?)
            }
            None => None,
        };
        let sink = recorder.map(|recorder| -> Sink { Box::new(move |entry| recorder.note(entry)) });
        let journal = Arc::new(Journal::new(strict.clone(), sink));
        let limits = &options.config.limits;
        let other = limits.max_packet_size;
        let longest = Longest { connect: limits.max_connect_size.min(other), other };
        let faults = Arc::new(Faults::new(&clock, journal.clone(), strict.clone(), longest));
        let mut config = options.resolved()?;
        let (disk, users) = match &options.seed_file {
            Some(path) => {
                seeded(path, &clock, &mut config).map_err(|why| TestError::Seed { path: path.clone(), why })?
            }
            None => (MemoryDisk::default(), None),
        };
        let mut bench = Self {
            server: RwLock::new(None),
            config,
            _users: users,
            http,
            behind: ArcSwapOption::empty(),
            clock,
            turning: tokio::sync::Mutex::default(),
            journal,
            faults,
            strict,
            junit,
            disk: Mutex::new(disk.clone()),
            snapshots: Mutex::default(),
            any_address: options.any_address,
        };
        let server = bench.serve(&disk).await?;
        for (listener, listening) in bench.config.listeners.iter_mut().zip(server.listeners()) {
            listener.address = listening.endpoint;
        }
        bench.behind.store(Some(Arc::new(server.behind_http())));
        *bench.server.write().await = Some(server);
        Ok(bench)
    }

    /// A server with the content of this disk.
    pub(super) async fn serve(&self, disk: &MemoryDisk) -> Result<Server, TestError> {
        let clock = self.clock.clock();
        let (sync, segment_bytes) = (sync_of(&self.config), SEGMENTS);
        let options = store::Options { sync, segment_bytes, clock: clock.clone(), ..store::Options::new("memory") };
        let (store, restored) = store::open_in_memory(disk, &options).map_err(ServerError::from)?;
        let builder = Builder::new(self.config.clone()).clock(clock).observe(self.journal.clone());
        let builder = builder.opened(store, restored).tap(Arc::new(Tapped(self.faults.clone())));
        let builder = builder.http_by_another(Endpoint::Ip(self.http));
        Ok(builder.start().await?)
    }

    /// The server, which cannot end while the guard is held. `None`: it has ended.
    pub(super) async fn server(&self) -> Option<RwLockReadGuard<'_, Server>> {
        RwLockReadGuard::try_map(self.server.read().await, Option::as_ref).ok()
    }

    /// The place of the server, to replace it.
    pub(super) async fn place(&self) -> RwLockWriteGuard<'_, Option<Server>> {
        self.server.write().await
    }

    /// Addresses of the listeners.
    pub(super) async fn listening(&self) -> Vec<Listening> {
        self.server().await.map(|server| server.listeners()).unwrap_or_default()
    }

    /// The HTTP side of the server.
    pub(super) fn behind(&self) -> Option<Arc<Behind>> {
        self.behind.load_full()
    }

    /// The real clock, by which a test waits for the broker.
    pub(super) fn machine() -> Clock {
        Clock::system()
    }
}
