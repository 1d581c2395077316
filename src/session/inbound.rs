//! [`Inbound`]: QoS 2 messages that a client has sent and not released (MQTT 3.1.1 section 4.3.3, the receiver's side),
//! and those that wait because too many are.

use std::collections::{HashSet, VecDeque};

use super::{
    acks::{CommitSeq, Stored},
    close::ProtocolError,
    message::Message,
};
use crate::types::PacketId;

/// QoS 2 messages taken from one client and not completed.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    /// Taken, PUBREC sent or due; PUBREL is awaited. In order of arrival.
    unreleased: VecDeque<PacketId>,
    /// The last commit that one of them waited for.
    commit: Option<CommitSeq>,
    /// Beyond the window: not taken yet, no PUBREC is due. In order of arrival.
    deferred: VecDeque<Deferred>,
    /// Those of `deferred`, of which there may be 65,535.
    deferred_ids: HashSet<PacketId>,
    deferred_bytes: usize,
}

/// A message that waits for a place in the window.
#[derive(Debug)]
pub struct Deferred {
    /// Of its PUBLISH.
    pub packet_id: PacketId,
    /// RETAIN of its PUBLISH.
    pub retain: bool,
    /// The message.
    pub message: Message,
}

/// What a QoS 2 PUBLISH is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Seen for the first time: publish it, then PUBREC.
    New,
    /// Taken before: PUBREC, and nothing else [MQTT-4.3.3-2].
    Repeated,
    /// The window is full: hand it to [`Session::defer`](super::Session::defer).
    Full,
    /// It waits already: no answer yet.
    Deferred,
}

impl Inbound {
    pub(super) fn receive(&mut self, id: PacketId, window: usize) -> Receipt {
        if self.unreleased.contains(&id) {
            return Receipt::Repeated;
        }
        if self.deferred_ids.contains(&id) {
            return Receipt::Deferred;
        }
        if self.unreleased.len() >= window || !self.deferred.is_empty() {
            return Receipt::Full;
        }
        self.unreleased.push_back(id);
        Receipt::New
    }

    pub(super) fn defer(&mut self, new: Deferred, max_bytes: usize) -> Result<(), ProtocolError> {
        self.deferred_bytes += new.message.size();
        if self.deferred_bytes > max_bytes {
            return Err(ProtocolError::TooManyUnreleased);
        }
        self.deferred_ids.insert(new.packet_id);
        self.deferred.push_back(new);
        Ok(())
    }

    /// PUBREL: the identifier is free again. A message that waited for the place is taken now: it is to be published.
    pub(super) fn release(&mut self, id: PacketId, window: usize) -> Option<Deferred> {
        if let Some(at) = self.unreleased.iter().position(|&u| u == id) {
            self.unreleased.remove(at);
        }
        if self.unreleased.len() >= window {
            return None;
        }
        let next = self.deferred.pop_front()?;
        self.deferred_ids.remove(&next.packet_id);
        self.deferred_bytes -= next.message.size();
        self.unreleased.push_back(next.packet_id);
        Some(next)
    }

    /// The client is away: what it was not told of, it will send again.
    pub(super) fn forget_deferred(&mut self) {
        self.deferred = VecDeque::new();
        self.deferred_ids = HashSet::new();
        self.deferred_bytes = 0;
    }

    pub(super) fn stored(&self) -> Stored {
        self.commit.map_or(Stored::Done, Stored::By)
    }

    pub(super) fn set_stored(&mut self, stored: Stored) {
        if let Stored::By(commit) = stored.and(self.stored()) {
            self.commit = Some(commit);
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.unreleased.is_empty() && self.deferred.is_empty()
    }
}
