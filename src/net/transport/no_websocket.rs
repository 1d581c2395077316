//! Replaces WebSocket if it is left out (the feature `websocket`): no listener uses it.

use thiserror::Error;

use super::{stream::Stream, websocket_options::WebSocketOptions};
use crate::router::Peer;

/// Why an upgrade failed.
#[derive(Debug, Error)]
pub(crate) enum UpgradeError {
    #[error("this dunlin was built without WebSocket (the feature `websocket`)")]
    Ended,
    #[error("it is a plain HTTP request")]
    Page,
}

/// Refuses the upgrade.
pub(crate) async fn upgrade<S: Stream>(_: S, _: &WebSocketOptions, _: &mut Peer, _: usize) -> Result<S, UpgradeError> {
    Err(UpgradeError::Ended)
}

/// The way in which packets are put into frames.
pub(crate) trait Frames: Sized {
    /// There are no frames.
    fn with_a_frame_for_each_packet(self) -> Self {
        self
    }
}

impl<S: Stream> Frames for S {}
