//! The part of the [`Index`] that has Wills: those that wait for room, with their sessions, and those of connected
//! clients without stored sessions.

use super::{
    apply::{Dirty, Index},
    segment_use::UNWRITTEN,
    session::{DueWill, Place, due_cost},
    will::KeptWill,
};
use crate::{
    session::StoredWill,
    types::{ClientId, UserName},
};

impl Index {
    pub(crate) fn will_due(&mut self, session: u64, number: u64, will: StoredWill) {
        let Some((slot, session)) = self.session(session) else { return };
        if session.due.contains_key(&number) {
            return;
        }
        let cost = due_cost(&will);
        session.due.insert(number, DueWill { will, place: Place { segment: UNWRITTEN, dirty: true } });
        self.live_bytes += cost;
        self.dirty.push(Dirty::WillDue(slot, number));
    }

    pub(crate) fn will_published(&mut self, session: u64, number: u64) {
        let Some((slot, session)) = self.session(session) else { return };
        let Some(gone) = session.due.remove(&number) else { return };
        let cost = due_cost(&gone.will);
        self.live_bytes -= cost;
        self.segment_use.leave(gone.place.segment, cost);
        if gone.place.segment != UNWRITTEN {
            self.dirty.push(Dirty::WillPublished(slot, number));
        }
    }

    pub(crate) fn will_kept(&mut self, number: u64, client: ClientId, user: Option<UserName>, will: StoredWill) {
        let will = KeptWill { client, user, will, place: Place { segment: UNWRITTEN, dirty: true } };
        if self.wills.contains_key(&number) {
            return;
        }
        self.dirty.push(Dirty::WillKept(number));
        self.insert_will(number, will);
    }

    /// Inserts a Will that is marked to be written, or that was read from the log.
    pub(crate) fn insert_will(&mut self, number: u64, will: KeptWill) {
        self.live_bytes += will.cost();
        self.wills.insert(number, will);
    }

    pub(crate) fn will_gone(&mut self, number: u64) {
        let Some(gone) = self.wills.remove(&number) else { return };
        self.live_bytes -= gone.cost();
        self.segment_use.leave(gone.place.segment, gone.cost());
        if gone.place.segment != UNWRITTEN {
            self.dirty.push(Dirty::WillGone(number));
        }
    }
}
