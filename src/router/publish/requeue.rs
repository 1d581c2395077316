//! [`Requeues`]: moves messages that wait for one member of a shared subscription to members that have room.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::super::{
    Router, RouterThread,
    sessions::{SlotRef, SlotState},
};
use crate::session::Message;

/// Sessions with waiting messages of groups, and when these move to other members.
#[derive(Default)]
pub(crate) struct Requeues {
    due: Mutex<VecDeque<(Instant, SlotRef)>>,
    /// `limits.shared_requeue_after`, in milliseconds.
    after: AtomicU64,
}

impl Requeues {
    pub(crate) fn set_after(&self, after: Duration) {
        self.after.store(u64::try_from(after.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Notes that a message of a group is queued in this session, which is locked.
    pub(super) fn note_queued(&self, slot: &SlotRef, state: &mut SlotState, now: Instant) {
        let up_to = state.session.last_number();
        if let Some(at) = now.checked_add(Duration::from_millis(self.after.load(Ordering::Relaxed))) {
            self.note_due(slot, state, at, up_to);
        }
    }

    fn note_due(&self, slot: &SlotRef, state: &mut SlotState, at: Instant, up_to: u64) {
        if let Some(shared) = state.shared.as_mut().filter(|shared| shared.due.is_none()) {
            shared.due = Some((at, up_to));
            self.due.lock().push_back((at, slot.clone()));
        }
    }

    fn next(&self, now: Instant) -> Option<SlotRef> {
        let mut due = self.due.lock();
        due.front().filter(|(at, _)| *at <= now)?;
        Some(due.pop_front()?.1)
    }
}

impl Router {
    /// Moves messages that a member of a group has not sent for `shared_requeue_after` to members with room. One thread
    /// calls it now and then; it moves about `most` messages.
    pub fn requeue_waiting(&self, local: &mut RouterThread, now: Instant, most: usize) {
        let mut left = most;
        while left > 0
            && let Some(slot) = self.requeues.next(now)
        {
            // looking counts as work too
            left -= 1 + self.together(|| self.requeue(local, &slot, now, left - 1));
        }
    }

    /// Notes messages of groups that are queued in a session from before a restart.
    pub(crate) fn note_restored(&self, slot: &SlotRef, now: Instant) {
        let mut state = slot.lock();
        if state.shared.is_some() && state.session.has_shared_waiting() {
            self.requeues.note_queued(slot, &mut state, now);
        }
    }

    /// Returns the number of messages that were moved.
    fn requeue(&self, local: &mut RouterThread, slot: &SlotRef, now: Instant, most: usize) -> usize {
        let mut state = slot.lock();
        let mut turn = self.turn(local);
        let SlotState { shared, session, .. } = &mut *state;
        let Some(shared) = shared else { return 0 };
        let Some((_, up_to)) = shared.due.take() else { return 0 };
        let mut moved = Vec::new();
        if shared.groups().any(|group| group.has_ready_beside(slot)) {
            let goes = |number, share, message: &Message| {
                let group = shared.group_of(share, message.topic(), 0);
                number <= up_to && group.is_some_and(|group| group.has_ready_beside(slot))
            };
            moved = shared.with_groups(session.take_shared(most, goes, &mut turn));
        }
        let is_all = moved.len() < most;
        drop(turn);
        if state.session.has_shared_waiting() {
            match is_all {
                true => self.requeues.note_queued(slot, &mut state, now),
                false => self.requeues.note_due(slot, &mut state, now, up_to),
            }
        }
        drop(state);
        moved.iter().for_each(|passed| passed.group.unstick(slot));
        self.move_to_others(local, &moved);
        moved.len()
    }
}
