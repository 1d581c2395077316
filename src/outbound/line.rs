//! [`Line`], an open connection, and [`ConnectError`], the reason for a failed one.

use std::{io, net::SocketAddr, time::Duration};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

/// An open connection.
pub(crate) trait Line: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// Why a connection failed.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("the host name {name:?} cannot be looked up: {error}")]
    Unknown { name: String, error: io::Error },
    #[error("cannot connect to {address}: {error}")]
    Refused { address: SocketAddr, error: io::Error },
    #[error(
        "{0} is an address of this broker, which would be bridged to itself; write that of the other broker (addresses)"
    )]
    Itself(SocketAddr),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("{0:?} has no address of the family of bind_address")]
    NoAddress(String),
    #[error("{0:?} is not a name that a certificate could have")]
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there is no TLS"))]
    Name(String),
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("WebSocket: {0}")]
    WebSocket(String),
}
