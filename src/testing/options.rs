//! [`Options`]: how the bench starts.

use std::{io, net::SocketAddr, path::PathBuf};

use thiserror::Error;

use super::strict::Mode;
use crate::{
    config::{Config, HttpAddresses},
    server::{ReadyFileError, ServerError},
    types::{Endpoint, Transport},
};

/// How it starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration of the broker. Its `data_dir`, `ready_file` and `http.listen` have no effect.
    pub config: Config,
    /// Where HTTP is served.
    pub http: SocketAddr,
    /// Written once everything accepts.
    pub ready_file: Option<PathBuf>,
    /// May it be reached from other machines? Everybody who reaches it controls it.
    pub any_address: bool,
    /// Is it told what clients do that no client may do? `None`: nobody looks.
    pub strict: Option<Mode>,
    /// The packets are recorded in this file.
    pub record: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            config: Config::ephemeral(),
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            ready_file: None,
            any_address: false,
            strict: None,
            record: None,
        }
    }
}

/// Why the bench did not start.
#[derive(Debug, Error)]
pub enum TestError {
    /// An address from which everybody could control the broker.
    #[error(
        "{0} is not on loopback, and everybody who reaches it would control this broker: listen on 127.0.0.1, or give \
         --any-address (in a container)"
    )]
    NotLoopback(String),
    /// HTTP cannot be served.
    #[error("cannot serve HTTP on {0}: {1}")]
    Http(SocketAddr, io::Error),
    /// The recording cannot be written.
    #[error("cannot write the recording {}: {error}", .path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What the system says, and part of the text.
        error: io::Error,
    },
    /// The broker did not start.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Nobody can be told where it listens.
    #[error(transparent)]
    ReadyFile(#[from] ReadyFileError),
}

impl Options {
    /// The configuration of a broker that keeps nothing on a disk, and whose HTTP is served in front of it.
    pub(super) fn resolved(&self) -> Result<Config, TestError> {
        let mut config = self.config.clone();
        if !self.any_address {
            let mut open = config.listeners.iter().filter(|listener| !listener.is_loopback());
            if let Some(listener) = open.next() {
                return Err(TestError::NotLoopback(listener.name()));
            }
            if !self.http.ip().is_loopback() {
                return Err(TestError::NotLoopback(Endpoint::Ip(self.http).with(Transport::Tcp).to_string()));
            }
        } else if config.allow_anonymous.is_none() && !config.has_login() {
            // it is said that everybody may
            config.allow_anonymous = Some(true);
        }
        config.http.listen = HttpAddresses::default();
        config.http.health = HttpAddresses::default();
        (config.data_dir, config.mosquitto_db, config.ready_file) = (None, None, None);
        Ok(config)
    }
}
