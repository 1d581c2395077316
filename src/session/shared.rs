//! A session as the member of a shared subscription: its reports to the group, and the selection of messages that move
//! to other members if it does not send them (MQTT 5 section 4.8.2).

use super::{How, Journal, Message, Moved, Outgoing, Session, SessionChange, SessionLimits, Share, Turn};
use crate::types::QoS;

impl Session {
    /// Would a message of this size be sent at once?
    pub fn has_room(&self, bytes: usize, qos: QoS, limits: &SessionLimits) -> bool {
        let Some(attached) = &self.attached else { return self.is_inside() && self.has_place_in_queue(bytes, limits) };
        let waiting = attached.pending();
        let fits = waiting == 0 || waiting + bytes <= limits.max_outbound_bytes;
        fits && self.outbound.as_ref().is_none_or(|outbound| match qos {
            QoS::AtMostOnce => !outbound.holds_back_qos0(),
            _ => outbound.is_clear() && outbound.has_place(attached.window(limits)),
        })
    }

    /// Does the queue have a place for another message of this size?
    pub fn has_place_in_queue(&self, bytes: usize, limits: &SessionLimits) -> bool {
        self.outbound.as_ref().is_none_or(|outbound| {
            let own = outbound.bound();
            let (most, most_bytes) =
                own.map_or((limits.max_queued_messages, limits.max_queued_bytes), |own| (own.messages, own.bytes));
            outbound.queued() < most && outbound.backlog().bytes.saturating_add(bytes) <= most_bytes
        })
    }

    /// Is the message larger than the connected client accepts?
    pub fn is_too_small_for<J>(&self, outgoing: &Outgoing<'_>, how: How<'_>, turn: &Turn<'_, J>) -> bool {
        self.attached.as_ref().is_some_and(|attached| attached.is_too_small_for(outgoing, how, turn.now))
    }

    /// Is a message of a group queued?
    pub fn has_shared_waiting(&self) -> bool {
        self.outbound.as_ref().is_some_and(|outbound| outbound.has_shared_waiting())
    }

    /// Call it before the session [ends](Self::end). Returns messages of groups that were not sent, and those of QoS 1
    /// that are not acknowledged. QoS 2 messages that were sent must not go to other members [MQTT-4.8.2-5].
    pub fn shared_at_end(&mut self) -> Vec<Moved> {
        self.outbound.as_ref().map_or_else(Vec::new, |outbound| outbound.shared_at_end())
    }

    /// Removes at most `most` queued messages of groups for which `goes` returns true.
    pub fn take_shared(
        &mut self,
        most: usize,
        goes: impl Fn(u64, Share, &Message) -> bool,
        turn: &mut Turn<'_, impl Journal>,
    ) -> Vec<Moved> {
        let Some(outbound) = &mut self.outbound else { return Vec::new() };
        let (taken, acknowledged) = outbound.take_shared(most, goes);
        if let Some(session) = self.number {
            for number in acknowledged {
                // the records of their new sessions are in the same group of records
                turn.journal.coalesce(session, SessionChange::Completed { number, count: 1 });
            }
        }
        self.tell_backlog(&mut turn.journal);
        taken
    }
}
