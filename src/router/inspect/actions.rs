//! Operator actions: closes connections and ends sessions.

use super::super::{Router, RouterThread};
use crate::{
    session::{ByAdministrator, CloseReason, Expiry},
    types::ClientId,
};

/// What became of a connection that was to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Closed {
    /// It is closed in its next turn.
    Closing,
    /// Its client is away.
    Away,
    /// There is no session of that name, or a client within this process has it.
    Unknown,
}

/// What became of a session that was to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ended {
    /// It has ended.
    Ended,
    /// Its client is connected: its connection is closed in its next turn, and the session ends with it.
    Closing,
    /// There is no session of that name, or a client within this process has it.
    Unknown,
}

impl Router {
    /// Closes the connection of a client, which is told so if it speaks MQTT 5 (DISCONNECT with Reason Code 0x98). Its
    /// session waits for it as it asked for; it may come back at once.
    pub fn close(&self, client: &ClientId, closed: &ByAdministrator) -> Closed {
        match self.close_and(client, closed, false) {
            Some(true) => Closed::Closing,
            Some(false) => Closed::Away,
            None => Closed::Unknown,
        }
    }

    /// Ends the session of a client, and its connection if it is connected. `closed` says, too, whether a Will that
    /// waits is published.
    pub fn end_session(&self, local: &mut RouterThread, client: &ClientId, closed: &ByAdministrator) -> Ended {
        // one that comes back meanwhile has another session, or takes this one over: then that is closed
        loop {
            match self.close_and(client, closed, true) {
                None => return Ended::Unknown,
                Some(true) => return Ended::Closing,
                Some(false) if self.end_away(local, client, closed.publishes_will) => return Ended::Ended,
                Some(false) => {}
            }
        }
    }

    /// Closes the connection of a client, with its session where that is to end: was there one? `None`: there is no
    /// session.
    fn close_and(&self, client: &ClientId, closed: &ByAdministrator, ends: bool) -> Option<bool> {
        let slot = self.sessions.get(client)?;
        let mut state = slot.lock();
        // one within this process is its program's
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
        // one whose socket takes nothing was signalled, and waits for that
        if wakes.is_empty() {
            wakes.extend(state.waker().cloned());
        }
        drop(state);
        wakes.into_iter().for_each(std::task::Waker::wake);
        Some(true)
    }
}
