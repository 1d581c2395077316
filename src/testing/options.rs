//! [`Options`]: options of the bench.

use std::{io, net::SocketAddr, path::PathBuf};

use thiserror::Error;

use super::strict::Mode;
use crate::{
    config::{Config, HttpAddresses},
    server::{ReadyFileError, ServerError},
    types::{Endpoint, Transport},
};

/// Options of the bench.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration of the broker. Its `data_dir`, `ready_file` and `http.listen` have no effect.
    pub config: Config,
    /// Address of HTTP.
    pub http: SocketAddr,
    /// File that is written once all listeners accept.
    pub ready_file: Option<PathBuf>,
    /// May the listeners be reached from other machines? Anyone who reaches them controls the broker.
    pub any_address: bool,
    /// File with the state at the start, as `dunlin ctl export` and `dunlin store export` write it.
    pub seed_file: Option<PathBuf>,
    /// Strict mode; `None`: off.
    pub strict: Option<Mode>,
    /// File in which the packets are recorded.
    pub record: Option<PathBuf>,
    /// File for the report in the XML of JUnit, which is written when the broker is stopped.
    pub junit: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            config: Config::ephemeral(),
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            ready_file: None,
            any_address: false,
            seed_file: None,
            strict: None,
            record: None,
            junit: None,
        }
    }
}

/// Why the bench cannot start.
#[derive(Debug, Error)]
pub enum TestError {
    /// Any machine that reaches this address could control the broker.
    #[error(
        "{0} is not on loopback, and anyone who reaches it would control this broker: listen on 127.0.0.1, or give \
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
        /// The system's error, which the text contains.
        error: io::Error,
    },
    /// The report cannot be written.
    #[error("cannot write the report {}: {error}", .path.display())]
    Junit {
        /// The file.
        path: PathBuf,
        /// Error of the system, which is also in the text.
        error: io::Error,
    },
    /// The file with the state at the start cannot be used.
    #[error("cannot use {} (--seed-file): {why}", .path.display())]
    Seed {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// The broker did not start.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The ready file cannot be written.
    #[error(transparent)]
    ReadyFile(#[from] ReadyFileError),
}

impl Options {
    /// The configuration without a disk and without HTTP, which is served in front of the broker.
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
            // `any_address` allows it explicitly
            config.allow_anonymous = Some(true);
        }
        config.http.listen = HttpAddresses::default();
        config.http.health = HttpAddresses::default();
        (config.data_dir, config.mosquitto_db, config.ready_file) = (None, None, None);
        Ok(config)
    }
}
