//! [`Lost`]: why a connection to the other broker ended, or did not begin, in words for the log.

use thiserror::Error;

use crate::{
    codec::{DecodeError, EncodeError, ReasonCode},
    outbound::{ConnectError, NotAccepted},
    session::CloseReason,
};

/// Why a connection to the other broker failed or ended.
#[derive(Debug, Error)]
pub(super) enum Lost {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Tls(String),
    #[error("cannot read the password in {}: {error}", .file.display())]
    Password { file: std::path::PathBuf, error: std::io::Error },
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
    #[error("the other broker closed the connection")]
    Closed,
    #[error("the other broker ended the connection (0x{code:02x}): {0}{1}", code = *.0 as u8)]
    Disconnected(ReasonCode, String),
    #[error("no answer to CONNECT within {0:?}")]
    NoAnswer(std::time::Duration),
    #[error("the other broker was silent for 1.5 times the Keep Alive of {0} s")]
    Silent(u16),
    #[error("the other broker sent what is not MQTT: {0}")]
    Malformed(#[from] DecodeError),
    #[error("the other broker sent {0}, which is against the protocol")]
    Protocol(&'static str),
    #[error("a packet cannot be sent: {0}")]
    Encode(#[from] EncodeError),
    #[error("the connection is lost: {0}")]
    Io(#[from] std::io::Error),
    #[error("nothing can be kept here: {0}")]
    Here(CloseReason),
    /// Nothing passed for as long as a lazy bridge waits.
    #[error("nothing passed")]
    Idle,
    /// It was asked for.
    #[error("it was asked for")]
    Asked,
    /// The server has stopped.
    #[error("the server stops")]
    Stopped,
}

impl Lost {
    /// It is as it should be.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self, Self::Idle | Self::Asked | Self::Stopped)
    }
}
