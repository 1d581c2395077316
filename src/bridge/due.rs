//! Sends retained messages that changed here while the other broker was away, and subscribes behind them: see
//! [`Retained`](super::retained::Retained).

use std::time::Duration;

use super::{
    error::Lost,
    exchange::{Exchange, Kept},
    missing::Missing,
    retained::Changed,
    state::Count,
};
use crate::{
    codec::PacketType,
    router::Brought,
    session::{Change, Stored},
    topic::TopicName,
};

/// Least time between two PINGREQs.
const ASKS_EVERY: Duration = Duration::from_millis(100);
/// The longest time before messages are sent all the same.
const SENDS_WITHIN: Duration = Duration::from_secs(10);
/// The longest time before SUBSCRIBE is sent all the same.
const SUBSCRIBES_WITHIN: Duration = Duration::from_secs(30);

impl Exchange<'_> {
    /// Queues what is due. `true`: SUBSCRIBE need not wait.
    pub(super) fn begin_retained(&mut self) -> Result<bool, Lost> {
        while self.retained.brings {
            self.bring_due()?;
        }
        if self.kept.topics.in_filters().is_empty() {
            return Ok(true);
        }
        let (topics, changed) = (&self.kept.topics, &mut self.retained.changed);
        let noted = self.kept.relay.turn(|turn| {
            turn.session(|session| {
                session.retained_changes(&mut |topic, change| {
                    if topics.comes_from_there(topic) {
                        changed.note(topic.as_str(), change);
                    }
                });
                changed.all = session.all_are_due();
            })
        });
        noted.flatten().ok_or(Lost::Stopped)?;
        let is_none = changed.topics.is_empty() && !changed.all;
        if !is_none {
            let now = self.kept.relay.clock().now();
            self.retained.subscribes_by = Some(now + SUBSCRIBES_WITHIN);
            if self.accepted.session_present {
                self.retained.sends_by = Some(now + SENDS_WITHIN);
                let mut backlog = Missing::new(self.kept.topics.in_filters().len(), true);
                backlog.subscribed(now);
                self.missing = Some(backlog);
            }
        }
        Ok(is_none)
    }

    /// Lets messages be sent when all has come that waited in the session of the other broker.
    pub(super) fn end_backlog(&mut self) {
        let Some(latest) = self.retained.sends_by else { return };
        let has_come = self.missing.as_ref().is_none_or(|backlog| backlog.ended().is_some());
        if has_come || self.kept.relay.clock().now() >= latest {
            self.retained.sends_by = None;
            self.missing = self.kept.missing(self.accepted.session_present);
        }
    }

    /// Queues some retained messages that are due.
    pub(super) fn bring_due(&mut self) -> Result<(), Lost> {
        if !self.retained.brings {
            return Ok(());
        }
        let Kept { topics, options, relay, .. } = &*self.kept;
        let passes = options.outgoing_retain && self.accepted.retain;
        let qos = |topic: &TopicName| topics.qos_there(topic).filter(|_| passes);
        let walk = &mut self.retained.walk;
        let brought = relay.turn(|turn| turn.bring_due(walk, &qos)).ok_or(Lost::Stopped)?;
        self.retained.brings = brought == Brought::Some;
        Ok(())
    }

    /// Asks whether the other broker has read the messages of QoS 0 that are due.
    pub(super) fn ask_whether_due_arrived(&mut self) {
        let now = self.kept.relay.clock().now();
        if self.pinged || self.retained.asks_at > now || self.retained.sent.is_none() {
            return;
        }
        self.pinged = true;
        (self.retained.asked, self.retained.asks_at) = (self.retained.sent, now + ASKS_EVERY);
        // behind messages that wait for the store
        let write = |out: &mut Vec<u8>| out.extend_from_slice(&[(PacketType::Pingreq as u8) << 4, 0]);
        self.sends.push(Stored::Done, &mut self.out, write);
    }

    /// PINGRESP came.
    pub(super) fn due_arrived(&mut self) -> Result<(), Lost> {
        let Some(up_to) = self.retained.asked.take() else { return Ok(()) };
        self.retained.arrived = up_to;
        let sent = self.kept.relay.turn(|turn| {
            turn.session(|session| {
                session.due_arrived(up_to);
                (session.due_taken(), session.due())
            })
        });
        let (sent, due) = sent.flatten().ok_or(Lost::Stopped)?;
        self.retained.sent = sent;
        self.kept.shared.set(Count::RetainedDue, due as u64);
        Ok(())
    }

    /// Subscribes when the other broker has read what changed here.
    pub(super) fn subscribe_when_changes_arrived(&mut self) -> Result<(), Lost> {
        let Some(latest) = self.retained.subscribes_by else { return Ok(()) };
        let state = self
            .kept
            .relay
            .turn(|turn| turn.session(|session| (session.first_open(), session.due_waits() || session.all_are_due())));
        let (first_open, is_due) = state.flatten().ok_or(Lost::Stopped)?;
        let Changed { last, last_qos0, .. } = self.retained.changed;
        let have_arrived = !is_due
            && self.retained.has_arrived(Change { number: last, qos0: false }, first_open)
            && self.retained.arrived >= last_qos0;
        if have_arrived {
            self.retained.changed = Changed::default();
        } else if self.kept.relay.clock().now() < latest {
            return Ok(());
        }
        self.retained.subscribes_by = None;
        self.subscribe()
    }
}
