//! Output for a client that remains to be sent while the server shuts down.

use super::super::{Client, Router};

/// The output that a client can still get, and its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// Nothing.
    Nothing,
    /// Nothing that would be lost: a store keeps the unacknowledged messages.
    Kept,
    /// Bytes that its socket has not accepted, or acknowledgements that wait for the store.
    Here,
    /// More, after the client acknowledges messages; or, if a store keeps them, after it reads.
    Client,
}

impl Router {
    /// What can still be sent to a client. `unwritten`: its connection has bytes that the socket has not accepted.
    pub fn unfinished(&self, client: &Client, unwritten: bool) -> Unfinished {
        if client.is_busy() || client.is_owed() {
            return Unfinished::Here;
        }
        let state = client.slot.lock();
        let session = &state.session;
        match unwritten || session.has_bytes() {
            true if session.number().is_none() => Unfinished::Here,
            false if session.backlog().messages == 0 => Unfinished::Nothing,
            false if !session.loses_messages() => Unfinished::Kept,
            _ => Unfinished::Client,
        }
    }
}
