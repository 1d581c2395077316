//! Operator actions: closes connections and ends sessions.

use super::super::{Router, RouterThread, sessions::SlotState};
use crate::{
    session::{ByAdministrator, CloseReason, Expiry, Stored},
    types::ClientId,
};

/// The result of closing a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Closed {
    /// It closes in its next turn.
    Closing,
    /// Its client is away.
    Away,
    /// There is no session with this identifier, or it is that of a client within this process.
    Unknown,
}

/// The result of ending a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ended {
    /// It has ended.
    Ended,
    /// Its client is connected: the connection closes in its next turn, and the session ends with it.
    Closing,
    /// There is no session with this identifier, or it is that of a client within this process.
    Unknown,
}

impl Router {
    /// Closes the connection of a client. An MQTT 5 client gets a DISCONNECT with Reason Code 0x98. Its session is kept
    /// as it requested, and the client may reconnect at once.
    pub fn close(&self, client: &ClientId, closed: &ByAdministrator) -> Closed {
        match self.close_and(client, closed, false) {
            Some(true) => Closed::Closing,
            Some(false) => Closed::Away,
            None => Closed::Unknown,
        }
    }

    /// Ends the session of a client, and its connection if it is connected. `closed` also decides whether a Will that
    /// waits is published.
    pub fn end_session(&self, local: &mut RouterThread, client: &ClientId, closed: &ByAdministrator) -> Ended {
        // if the client reconnects meanwhile, it has another session, or its new connection must be closed
        loop {
            match self.close_and(client, closed, true) {
                None => return Ended::Unknown,
                Some(true) => return Ended::Closing,
                Some(false) if self.end_away(local, client, closed.publishes_will) => return Ended::Ended,
                Some(false) => {}
            }
        }
    }

    /// Removes the queued messages of a client, except those that it may not receive now. Returns their number, and
    /// when this is durable. Messages in flight stay. `None`: there is no such session, or it belongs to a client
    /// within this process.
    pub fn clear_queue(&self, local: &mut RouterThread, client: &ClientId) -> Option<(usize, Stored)> {
        let slot = self.sessions.get(client)?;
        let mut state = slot.lock();
        if state.ended || state.session.is_inside() {
            return None;
        }
        let mut turn = self.turn(local);
        let messages = state.session.forget_waiting(&mut turn.journal);
        let stored = turn.journal.finish();
        drop(turn);
        // a full queue of a member of a group has room again
        if let SlotState { shared: Some(shared), .. } = &mut *state
            && shared.is_full()
        {
            shared.note_ready(&slot);
        }
        drop(state);
        Some((messages, stored))
    }

    /// Closes the connection of a client, and with `ends` also its session. Returns whether there was a connection.
    /// `None`: there is no session.
    fn close_and(&self, client: &ClientId, closed: &ByAdministrator, ends: bool) -> Option<bool> {
        let slot = self.sessions.get(client)?;
        let mut state = slot.lock();
        // only its program may end a client within this process
        if state.ended || state.session.is_inside() {
            return None;
        }
        if !slot.is_attached() {
            return Some(false);
        }
        state.close(CloseReason::Administrator(Box::new(closed.clone())));
        if ends {
            self.set_expiry(&mut state.session, Expiry::WithConnection);
        }
        let mut wakes = Vec::new();
        slot.signal(&state, &mut wakes);
        // if the socket accepts nothing, the connection is signalled already and waits for the socket
        if wakes.is_empty() {
            wakes.extend(state.waker().cloned());
        }
        drop(state);
        wakes.into_iter().for_each(std::task::Waker::wake);
        Some(true)
    }
}
