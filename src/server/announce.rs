//! The first lines of the log.

use tracing::field::display;

use super::{Listening, access, http::Http};
use crate::{
    auth::Auth,
    config::{Config, SyncMode},
};

/// Logs the version and its persistence, warnings, which clients may connect, where HTTP is served, and at last that
/// all listeners accept.
pub(super) fn start(
    config: &Config,
    auth: Option<&Auth>,
    in_memory: bool,
    http: &Http,
    (listening, workers): (&[Listening], usize),
) {
    let version = env!("CARGO_PKG_VERSION");
    let (data_dir, interval) = (config.data_dir.as_ref().map(|path| display(path.display())), config.sync_interval);
    let interval = (config.sync == SyncMode::Interval).then(|| display(humantime::format_duration(interval)));
    match (in_memory, data_dir) {
        (true, _) => tracing::info!(version, persistence = "none", "dunlin"),
        (false, Some(data_dir)) => {
            tracing::info!(version, persistence = "disk", data_dir, sync_interval = interval, "dunlin");
        }
        (false, None) => tracing::info!(version, persistence = "plug-in", "dunlin"),
    }
    config.warnings.iter().for_each(|reason| tracing::warn!(reason, "configuration warning"));
    if let Some(auth) = auth {
        access::lines(&auth.policy(), config).iter().for_each(access::Line::log);
    }
    http.listening(config);
    let texts: Vec<_> = listening.iter().map(|one| one.endpoint.with(one.transport).to_string()).collect();
    tracing::info!(listeners = texts.join(","), workers, "ready");
}
