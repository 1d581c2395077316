//! What is there in place of WebSocket where it is left out (the feature `websocket`): no listener asks for it.

use std::time::Duration;

use ipnet::IpNet;
use thiserror::Error;

use super::stream::Stream;
use crate::router::Peer;

/// What a listener asks of requests.
#[derive(Clone, Debug)]
pub struct WebSocketOptions {
    /// The path; `None`: any.
    pub path: Option<String>,
    /// Pages of which origins may connect; none: all.
    pub allowed_origins: Vec<String>,
    /// Proxies whose forwarding headers say what the client's address is.
    pub trusted_proxies: Vec<IpNet>,
    /// After which silence a ping is sent; `None`: never.
    pub ping: Option<Duration>,
}

/// Why a connection became no WebSocket.
#[derive(Debug, Error)]
pub(crate) enum UpgradeError {
    #[error("this dunlin was built without WebSocket (the feature `websocket`)")]
    Ended,
    #[error("it is a plain HTTP request")]
    Page,
}

/// Refuses.
pub(crate) async fn upgrade<S: Stream>(_: S, _: &WebSocketOptions, _: &mut Peer, _: usize) -> Result<S, UpgradeError> {
    Err(UpgradeError::Ended)
}

/// How packets are put into frames.
pub(crate) trait Frames: Sized {
    /// There are no frames.
    fn with_a_frame_for_each_packet(self) -> Self {
        self
    }
}

impl<S: Stream> Frames for S {}
