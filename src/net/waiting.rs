//! [`Waiting`]: a client that waits between its CONNECT and its CONNACK.

use crate::{router::Pending, session::CloseReason, types::ClientId};

/// A client whose verdict is awaited.
pub(super) struct Waiting {
    pub(super) pending: Pending,
    /// The Client Identifier that it has or was given.
    pub(super) client: ClientId,
    /// The frame of its CONNECT.
    pub(super) connect: Vec<u8>,
    /// What it sent behind that.
    pub(super) behind: Vec<u8>,
    /// It sends no more.
    pub(super) ended: bool,
    /// It is a health check if it sends nothing behind its CONNECT.
    pub(super) only_checks_health: bool,
}

/// Bytes that are read behind a CONNECT while the verdict is awaited, at most.
pub(super) const BEHIND_CONNECT: usize = 4 << 10;

impl Waiting {
    /// Bytes that came behind the CONNECT.
    pub(super) fn keep(&mut self, behind: &[u8]) {
        self.behind.extend_from_slice(behind);
    }

    /// How many more are read: only to see whether the client is still there, for whom a password may be hashed.
    pub(super) fn room(&self) -> usize {
        if self.ended { 0 } else { BEHIND_CONNECT.saturating_sub(self.behind.len()) }
    }

    /// The client sends no more. One that sent something behind its CONNECT wants that to be done.
    pub(super) fn end(&mut self) -> Result<(), CloseReason> {
        self.ended = true;
        if self.behind.is_empty() { Err(CloseReason::ConnectionLost) } else { Ok(()) }
    }
}
