//! `data_dir`: the disk store behind the router's port, and what it kept.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    config::{Config, SyncMode},
    router::{Ports, Restored, Router},
    store::{self, DiskStore},
};

/// Opens the store that the configuration asks for, unless the embedding program plugged in one, and puts it behind its
/// port. `sync_delay` is added to each fsync.
pub(super) fn plug(
    config: &Config,
    ports: &mut Ports,
    sync_delay: Duration,
) -> Result<Option<(Arc<DiskStore>, Restored)>, store::OpenError> {
    let Some(data_dir) = config.data_dir.as_ref().filter(|_| ports.store.is_none()) else { return Ok(None) };
    let sync = match config.sync {
        SyncMode::BeforeAck => store::Sync::BeforeAck,
        SyncMode::Interval => store::Sync::Interval(config.sync_interval),
    };
    let (disk, restored) = store::open(&store::Options { sync, sync_delay, ..store::Options::new(data_dir) })?;
    ports.store = Some(disk.clone());
    Ok(Some((disk, restored)))
}

/// Gives the router what was kept. To be called before anybody is accepted.
pub(super) fn restore(router: &Router, restored: Restored) {
    let (sessions, retained) = (restored.sessions.len(), restored.retained.len());
    let messages: usize = restored.sessions.iter().map(|session| session.messages.len()).sum();
    router.restore(&mut router.local(), restored, Instant::now());
    tracing::info!(sessions, messages, retained, "restored");
}
