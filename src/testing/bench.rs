//! [`Bench`]: the server that runs, its clock, and what happened. Tests in Rust and requests over HTTP act by it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{RwLock, RwLockReadGuard};

use super::{
    journal::Journal,
    options::{Options, TestError},
};
use crate::{
    clock::{Clock, TestClock},
    config::Config,
    server::{Builder, Listening, Server},
};

/// What a test acts on.
pub(super) struct Bench {
    /// `None` after the end.
    server: RwLock<Option<Server>>,
    /// What the server has over HTTP.
    routes: ArcSwap<axum::Router>,
    pub(super) clock: TestClock,
    /// One clock is turned at a time.
    pub(super) turning: tokio::sync::Mutex<()>,
    pub(super) journal: Arc<Journal>,
    pub(super) any_address: bool,
}

impl Bench {
    /// Starts the server. All its listeners accept when this returns.
    pub(super) async fn start(options: &Options) -> Result<Self, TestError> {
        let config = options.resolved()?;
        let (clock, journal) = (TestClock::new(), Arc::<Journal>::default());
        let server = serve(config, &clock, &journal).await?;
        Ok(Self {
            routes: ArcSwap::from_pointee(server.http_routes()),
            server: RwLock::new(Some(server)),
            clock,
            turning: tokio::sync::Mutex::default(),
            journal,
            any_address: options.any_address,
        })
    }

    /// The server, which does not end meanwhile. `None`: it has ended.
    pub(super) async fn server(&self) -> Option<RwLockReadGuard<'_, Server>> {
        RwLockReadGuard::try_map(self.server.read().await, Option::as_ref).ok()
    }

    /// Where clients connect to.
    pub(super) async fn listening(&self) -> Vec<Listening> {
        self.server().await.map(|server| server.listeners()).unwrap_or_default()
    }

    /// What the server has over HTTP.
    pub(super) fn routes(&self) -> axum::Router {
        (**self.routes.load()).clone()
    }

    /// Takes the server, to end it.
    pub(super) async fn take(&self) -> Option<Server> {
        self.server.write().await.take()
    }

    /// The clock of the machine: a test waits by that for what the broker does.
    pub(super) fn machine() -> Clock {
        Clock::system()
    }
}

async fn serve(config: Config, clock: &TestClock, journal: &Arc<Journal>) -> Result<Server, TestError> {
    let builder = Builder::new(config).clock(clock.clock()).observe(journal.clone()).http_by_another();
    Ok(builder.start().await?)
}
