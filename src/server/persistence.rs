//! `data_dir`: opens the disk store behind the router's port, and restores its state.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use super::origin;
use crate::{
    clock::Clock,
    config::{Config, SyncMode},
    router::{Ports, Restored, Router},
    store::{self, DiskStore},
};

/// A relative `data_dir` was in the working directory in earlier versions, and is now in the directory of the
/// configuration.
#[derive(Debug, thiserror::Error)]
#[error(
    "data_dir is {} (beside the configuration), where nothing is stored, and {} (in the working directory), where earlier \
     versions looked for it, has a store: move it there, or write the whole path",
    .path.display(), .before.display()
)]
pub struct MovedError {
    /// The present place.
    pub path: PathBuf,
    /// The earlier place.
    pub before: PathBuf,
}

/// Prevents a broker from starting with an empty store because its `data_dir` is now in another place.
pub(super) fn check_place(config: &Config) -> Result<(), MovedError> {
    let (Some(path), Some(before)) = (&config.data_dir, config.origins.relative("data_dir")) else { return Ok(()) };
    match !store::is_stored_in(path) && store::is_stored_in(before) {
        true => {
            let before = std::path::absolute(before).unwrap_or_else(|_| before.to_owned());
            Err(MovedError { path: path.clone(), before })
        }
        false => Ok(()),
    }
}

/// mosquitto's database cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}: what mosquitto kept cannot be taken over, and no broker begins empty in its place: mend the file, or move it away to \
     begin without it"
)]
pub struct TakeOverError(String);

/// Imports mosquitto's database if nothing is stored yet.
#[cfg(feature = "store")]
pub(super) fn take_over(config: &Config) -> Result<(), TakeOverError> {
    let (Some(database), Some(data_dir)) = (&config.mosquitto_db, &config.data_dir) else { return Ok(()) };
    // a database without permission is an error, and not the same as a missing one
    if store::is_stored_in(data_dir) || matches!(database.try_exists(), Ok(false)) {
        return Ok(());
    }
    let mut told = Vec::new();
    let imported = store::tools::import_mosquitto(database, data_dir, &mut told);
    imported.map_err(|error| TakeOverError(error.to_string()))?;
    let told = String::from_utf8_lossy(&told).trim().replace('\n', "; ");
    tracing::info!(file = %database.display(), told, "taken over from mosquitto");
    Ok(())
}

/// There is no store for it.
#[cfg(not(feature = "store"))]
pub(super) fn take_over(_: &Config) -> Result<(), TakeOverError> {
    Ok(())
}

/// How the store calls fsync: for measurements and tests.
#[derive(Clone, Copy, Default)]
pub(super) struct Syncs {
    /// Added to each.
    pub(super) delay: Duration,
    pub(super) one_at_a_time: bool,
}

/// Opens the configured store and plugs it in, unless the embedding program plugged in one. `opened`: a store that is
/// open and takes its place. `progress`: counts the records that are read.
pub(super) fn plug(
    config: &Config,
    ports: &mut Ports,
    opened: Option<(Arc<DiskStore>, Restored)>,
    syncs: Syncs,
    progress: &Arc<AtomicU64>,
    clock: &Clock,
) -> Result<Option<(Arc<DiskStore>, Restored)>, store::OpenError> {
    if let Some((store, _)) = &opened {
        ports.store = Some(store.clone());
        return Ok(opened);
    }
    let Some(data_dir) = config.data_dir.as_ref().filter(|_| ports.store.is_none()) else { return Ok(None) };
    let sync = sync_of(config);
    let (progress, clock) = (progress.clone(), clock.clone());
    let (sync_delay, one_sync_at_a_time) = (syncs.delay, syncs.one_at_a_time);
    let defaults = store::Options::new(data_dir);
    let options = store::Options { sync, sync_delay, one_sync_at_a_time, progress, clock, ..defaults };
    let (disk, restored) = store::open(&options)?;
    ports.store = Some(disk.clone());
    Ok(Some((disk, restored)))
}

/// When records are synced.
pub(crate) fn sync_of(config: &Config) -> store::Sync {
    match config.sync {
        SyncMode::BeforeAck => store::Sync::BeforeAck,
        SyncMode::Interval => store::Sync::Interval(config.sync_interval),
    }
}

/// Restores the router's state. Call it before clients are accepted.
pub(super) fn restore(router: &Router, restored: Restored, config: &Config, clock: &Clock) {
    let floor = config.data_dir.as_deref().and_then(|data_dir| origin::begin(data_dir, clock.wall()));
    floor.into_iter().for_each(|floor| router.number_inside_above(floor));
    let now = clock.now();
    let (sessions, retained) = (restored.sessions.len(), restored.retained.len());
    let messages: usize = restored.sessions.iter().map(|session| session.messages.len()).sum();
    router.restore(&mut router.local(now), restored, now);
    tracing::info!(sessions, messages, retained, "restored");
}
