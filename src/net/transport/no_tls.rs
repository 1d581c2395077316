//! Replaces TLS if it is left out (the feature `tls`): no listener has settings for it.

use std::time::SystemTime;

use thiserror::Error;

use crate::types::Contents;

/// There are none.
#[derive(Clone, Copy)]
pub enum TlsSettings {}

impl TlsSettings {
    /// The contents of its files.
    pub fn contents(&self) -> &Contents {
        match *self {}
    }

    /// When its certificate expires.
    pub fn expires(&self) -> SystemTime {
        match *self {}
    }

    /// Are clients asked for certificates?
    pub(crate) fn asks_clients(&self) -> bool {
        match *self {}
    }
}

/// Why there are no [`TlsSettings`].
#[derive(Debug, Error)]
#[error("this dunlin was built without TLS (the feature `tls`)")]
pub struct TlsError;

/// Permits for handshakes, which are not used.
pub(crate) const ANSWERS_A_TURN: usize = 1;

/// There is no handshake.
#[derive(Debug, Error)]
pub(crate) enum HandshakeError {
    #[error("there is no TLS")]
    Empty,
}

/// There are no certificates.
#[derive(Default)]
pub(crate) struct Judges;

impl Judges {
    pub(crate) fn change(&mut self, _: u16, settings: TlsSettings) {
        match settings {}
    }
}
