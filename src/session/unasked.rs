//! Messages to a client whose right to receive them is asked about elsewhere: they wait in its queue. Skipped messages.

use super::{Journal, Message, Moved, Session, SessionChange, queue::Queued};
use crate::types::QoS;

impl Session {
    /// From now on until the client leaves, every message is queued and waits until it is [allowed](Self::allow) or
    /// [refused](Self::refuse_unasked): whether the client may receive it is asked elsewhere. Call it before the client
    /// is attached.
    pub fn ask_first(&mut self) {
        self.outbound.get_or_insert_default().ask_first();
    }

    /// Does every message wait until it is allowed?
    pub fn asks_first(&self) -> bool {
        self.outbound.as_ref().is_some_and(|outbound| outbound.asks_first())
    }

    /// The first message that waits for that, and its number.
    pub fn first_unasked(&self) -> Option<(u64, Message)> {
        self.outbound.as_ref()?.first_unasked()
    }

    /// The client may receive the messages up to this number.
    pub fn allow(&mut self, number: u64) {
        if let Some(outbound) = &mut self.outbound {
            outbound.allow(number);
        }
    }

    /// Are enough messages allowed and not sent? Then further ones are decided later.
    pub fn has_enough_allowed(&self) -> bool {
        self.outbound.as_ref().is_some_and(|outbound| outbound.has_enough_allowed())
    }

    /// The client may not receive the message with this number: it is removed. If it is of a group, another member may
    /// get it. `None`: there is no such message.
    pub fn refuse_unasked(&mut self, number: u64, journal: &mut impl Journal) -> Option<Moved> {
        let outbound = self.outbound.as_mut()?;
        let gone = outbound.take_refused(number)?;
        outbound.tell(|before, now| journal.holds(before, now));
        if let Some(session) = self.number.filter(|_| gone.qos != QoS::AtMostOnce) {
            journal.coalesce(session, SessionChange::Completed { number, count: 1 });
        }
        let Queued { message, retain, share, .. } = gone;
        Some(Moved { number, message, retain, share })
    }

    /// Number of skipped messages.
    pub fn skipped(&self) -> usize {
        self.outbound.as_ref().map_or(0, |outbound| outbound.skipped())
    }
}
