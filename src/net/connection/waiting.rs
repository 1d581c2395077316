//! [`Waiting`] and [`Challenged`]: a client between its CONNECT and its CONNACK.

use super::super::worker::Ticket;
use crate::{
    router::{Exchange, Pending},
    session::CloseReason,
    types::ClientId,
};

/// A client that is not let in yet.
pub(crate) struct Applicant {
    /// Its place among those whose CONNECT is not answered.
    pub(crate) ticket: Ticket,
    /// The Client Identifier that it has or was given.
    pub(crate) client: ClientId,
    /// The frame of its CONNECT.
    pub(crate) connect: Vec<u8>,
    /// It is a health check if it sends nothing behind its CONNECT.
    pub(crate) only_checks_health: bool,
}

/// A client whose verdict is awaited.
pub(crate) struct Waiting {
    pub(crate) pending: Pending,
    pub(crate) applicant: Applicant,
    /// What it sent behind its CONNECT, or its AUTH.
    pub(crate) behind: Vec<u8>,
    /// It sends no more.
    pub(crate) ended: bool,
}

/// A client that was sent an AUTH, and owes one.
pub(crate) struct Challenged {
    pub(crate) exchange: Box<dyn Exchange>,
    pub(crate) applicant: Applicant,
}

/// Bytes that are read behind a CONNECT while the verdict is awaited, at most.
pub(crate) const BEHIND_CONNECT: usize = 4 << 10;

impl Waiting {
    /// Bytes that came behind the CONNECT.
    pub(crate) fn keep(&mut self, behind: &[u8]) {
        self.behind.extend_from_slice(behind);
    }

    /// How many more bytes are read, only to notice that the client left: hashing its password would be wasted.
    pub(crate) fn room(&self) -> usize {
        if self.ended { 0 } else { BEHIND_CONNECT.saturating_sub(self.behind.len()) }
    }

    /// The client sends no more. One that sent something behind its CONNECT wants that to be done.
    pub(crate) fn end(&mut self) -> Result<(), CloseReason> {
        self.ended = true;
        if self.behind.is_empty() { Err(CloseReason::ConnectionLost) } else { Ok(()) }
    }
}
