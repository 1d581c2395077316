//! Output for a client that remains to be sent while the server shuts down.

use super::super::{Client, Router};

/// What can still be sent to a client, and what that depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// Nothing.
    Nothing,
    /// Nothing that would be lost: a store keeps the messages that the client has not acknowledged.
    Kept,
    /// Bytes that its socket has not taken, or acknowledgements that wait for the store.
    Here,
    /// More, once the client acknowledges what it was sent; or reads it, where a store keeps that.
    Client,
}

impl Router {
    /// What can still be sent to a client. `unwritten`: its connection holds bytes that the socket has not taken.
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
