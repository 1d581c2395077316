//! [`Waiting`] and [`Challenged`]: a client between CONNECT and CONNACK.

use std::time::Instant;

use super::super::worker::Ticket;
use crate::{
    router::{Exchange, Pending},
    session::CloseReason,
    types::ClientId,
};

/// A client that is not accepted yet.
pub(crate) struct Applicant {
    /// Its place among connections without an answered CONNECT.
    pub(crate) ticket: Ticket,
    /// Its Client Identifier, from the CONNECT or assigned.
    pub(crate) client: ClientId,
    /// The frame of its CONNECT.
    pub(crate) connect: Vec<u8>,
    /// It is a health check, if it sends nothing after its CONNECT.
    pub(crate) only_checks_health: bool,
    /// Arrival of its CONNECT.
    pub(crate) since: Instant,
}

/// A client with a pending verdict.
pub(crate) struct Waiting {
    pub(crate) pending: Pending,
    pub(crate) applicant: Applicant,
    /// Bytes that it sent after its CONNECT, or its AUTH.
    pub(crate) behind: Vec<u8>,
    /// The client has closed its side.
    pub(crate) ended: bool,
}

/// A client that was sent an AUTH and must answer.
pub(crate) struct Challenged {
    pub(crate) exchange: Box<dyn Exchange>,
    pub(crate) applicant: Applicant,
}

/// Most bytes that are read after a CONNECT while the verdict is pending.
pub(crate) const BEHIND_CONNECT: usize = 4 << 10;

impl Waiting {
    /// Keeps bytes that arrived after the CONNECT.
    pub(crate) fn keep(&mut self, behind: &[u8]) {
        self.behind.extend_from_slice(behind);
    }

    /// Number of bytes that may be read, only to notice that the client left: hashing its password would be wasted.
    pub(crate) fn room(&self) -> usize {
        if self.ended { 0 } else { BEHIND_CONNECT.saturating_sub(self.behind.len()) }
    }

    /// The client has closed its side. If it sent packets after its CONNECT, they are still handled.
    pub(crate) fn end(&mut self) -> Result<(), CloseReason> {
        self.ended = true;
        if self.behind.is_empty() { Err(CloseReason::ConnectionLost) } else { Ok(()) }
    }
}
