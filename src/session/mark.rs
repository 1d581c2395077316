//! A message of which it is measured how long it takes to a client: it is marked, and its mark is found again when it
//! is written.

use std::time::Instant;

use super::{Session, Timed};
use crate::topic::TopicName;

/// Where a message is that was handed to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// Nowhere: its client is away.
    NotConnected,
    /// It waits: with its mark, unless its connection has it already.
    Waits,
    /// It is written.
    Written,
}

impl Session {
    /// Times the last message that was handed to the session, which `began` its way then, if it is of this topic, the
    /// client is connected, and no other message is timed.
    pub fn time(&mut self, topic: &TopicName, began: Instant) {
        if let (Some(_), Some(outbound)) = (&self.attached, &mut self.outbound) {
            outbound.time(topic, began);
        }
    }

    /// The message that is timed, if it is not acknowledged.
    pub fn timed(&self) -> Option<&Timed> {
        self.outbound.as_ref()?.timed()
    }

    /// Marks the last message that was handed to the session, which `began` its way then.
    pub fn mark(&mut self, began: Instant) -> Marked {
        let Some(attached) = &mut self.attached else { return Marked::NotConnected };
        if let Some(outbound) = self.outbound.as_mut().filter(|outbound| outbound.has_waiting()) {
            outbound.mark(began);
            return Marked::Waits;
        }
        match &mut attached.out {
            Some(out) => {
                out.mark(began);
                Marked::Waits
            }
            None if attached.writing > 0 => Marked::Waits,
            None => Marked::Written,
        }
    }
}
