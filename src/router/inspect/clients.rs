//! Walks over clients and their sessions, and the contents of one session.

use std::ops::ControlFlow;

use super::{
    super::{Router, sessions::SlotRef},
    views::{ClientView, Cursor, InFlightMessage, QueuedMessage, Wanted},
};
use crate::types::ClientId;

/// Most sessions that one call of [`Router::clients`] visits.
pub const SESSIONS_A_STEP: usize = 256;

impl Router {
    /// Calls `each` for `wanted` clients behind `after`, until `each` breaks or `budget` sessions, at most
    /// [`SESSIONS_A_STEP`], were visited. Returns where to continue: behind the client at which `each` broke, if it
    /// did. `None`: there are no more.
    ///
    /// `each` is called with the client's session locked, and nothing else: it must be quick, and must not use the
    /// router.
    pub fn clients(
        &self,
        after: Cursor,
        wanted: Wanted,
        budget: usize,
        each: &mut dyn FnMut(&ClientView<'_>) -> ControlFlow<()>,
    ) -> Option<Cursor> {
        let most = budget.clamp(1, SESSIONS_A_STEP);
        let mut found = Vec::with_capacity(most);
        let next = self.sessions.next(after.0, most, &mut found);
        for (place, slot) in found {
            if self.show(&slot, wanted, each).is_break() {
                return place.checked_add(1).map(Cursor);
            }
        }
        next.map(Cursor)
    }

    fn show(
        &self,
        slot: &SlotRef,
        wanted: Wanted,
        each: &mut dyn FnMut(&ClientView<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let is_wanted = |is_attached: bool| match wanted {
            Wanted::All => true,
            Wanted::Connected => is_attached,
            Wanted::Away => !is_attached,
        };
        // so most unwanted sessions are not locked
        if !is_wanted(slot.is_attached()) {
            return ControlFlow::Continue(());
        }
        let state = slot.lock();
        if state.ended || !is_wanted(slot.is_attached()) {
            return ControlFlow::Continue(());
        }
        each(&ClientView::of(&state, &self.sessions.moments, self.limits.load().session_expiry))
    }

    /// Calls `show` for one client. `None`: there is no session with this identifier. As in [`clients`](Self::clients),
    /// the session is locked meanwhile.
    pub fn client<R>(&self, client: &ClientId, show: impl FnOnce(&ClientView<'_>) -> R) -> Option<R> {
        let slot = self.sessions.get(client)?;
        let state = slot.lock();
        let view = || ClientView::of(&state, &self.sessions.moments, self.limits.load().session_expiry);
        (!state.ended).then(|| show(&view()))
    }

    /// The first `limit` queued messages of a client, in order, without those that it may not receive now. `None`:
    /// there is no session with this identifier.
    pub fn queue(&self, client: &ClientId, limit: usize) -> Option<Vec<QueuedMessage>> {
        let slot = self.sessions.get(client)?;
        let waiting = slot.lock().session.waiting(limit);
        Some(waiting.into_iter().map(|waiting| QueuedMessage::of(waiting, &self.sessions.moments)).collect())
    }

    /// The messages in flight to a client, in the order of sending. `None`: there is no session with this identifier.
    pub fn inflight(&self, client: &ClientId, limit: usize) -> Option<Vec<InFlightMessage>> {
        let slot = self.sessions.get(client)?;
        let sent = slot.lock().session.sent(limit);
        Some(sent.into_iter().map(|m| InFlightMessage::new(m.packet_id.get(), m.stage, m.message)).collect())
    }
}
