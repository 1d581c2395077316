//! The process as a service on Windows, which has no systemd: no sockets are passed, and nothing is reported.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use dunlin::server::Pulse;
use rustix::fd::OwnedFd;

/// None.
pub fn passed_sockets() -> anyhow::Result<Vec<(String, OwnedFd)>> {
    Ok(Vec::new())
}

/// The service manager, which is missing.
pub struct Manager;

impl Manager {
    /// Without effect.
    pub fn starting(_: Arc<AtomicU64>) -> anyhow::Result<Self> {
        Ok(Self)
    }

    /// Without effect.
    pub fn serving(&self, _: Pulse, _: Option<String>) {}

    /// Without effect.
    pub fn reloading(&self) {}

    /// Without effect.
    pub fn stopping(&self, _: Duration) {}
}
