//! Removes the queued messages of a client for an operator.

use super::{Journal, Session, SessionChange};
use crate::types::QoS;

impl Session {
    /// Forgets all messages that wait, but for those that the client may not read now, and those that a client within
    /// this process waits for. Gives how many.
    pub fn forget_waiting(&mut self, journal: &mut impl Journal) -> usize {
        let Some(outbound) = self.outbound.as_mut().filter(|outbound| !outbound.is_inside()) else { return 0 };
        let gone = outbound.take_waiting();
        outbound.tell(|before, now| journal.holds(before, now));
        if let Some(session) = self.number {
            for &(number, qos) in &gone {
                if qos != QoS::AtMostOnce {
                    journal.coalesce(session, SessionChange::Completed { number, count: 1 });
                }
            }
        }
        gone.len()
    }
}
