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
    unreleased: VecDeque<Receipt>,
    /// The last commit that the taking or the release of one of them waited for.
    commit: Option<CommitSeq>,
    /// Beyond the window: not taken yet, no PUBREC is due. In order of arrival.
    deferred: VecDeque<Deferred>,
    /// Those of `deferred`, of which there may be 65,535.
    deferred_ids: HashSet<PacketId>,
    deferred_bytes: usize,
}

/// A message that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Receipt {
    packet_id: PacketId,
    state: ReceiptState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReceiptState {
    /// It is being published; nothing says yet that it will be.
    Publishing,
    /// It was published. A store keeps that it was, or none does.
    Published { kept: bool },
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
pub(super) enum Seen {
    /// Seen for the first time: publish it, then PUBREC.
    New,
    /// Taken before: PUBREC, and nothing else [MQTT-4.3.3-2].
    Repeated,
    /// It comes again while another connection of the session still publishes it.
    Publishing,
    /// The window is full: hand it to [`Session::defer`](super::Session::defer).
    Full,
    /// It waits already: no answer yet.
    Deferred,
}

impl Inbound {
    pub(super) fn receive(&mut self, id: PacketId, window: usize) -> Seen {
        if let Some(receipt) = self.unreleased.iter().find(|r| r.packet_id == id) {
            return if receipt.state == ReceiptState::Publishing { Seen::Publishing } else { Seen::Repeated };
        }
        if self.deferred_ids.contains(&id) {
            return Seen::Deferred;
        }
        if self.unreleased.len() >= window || !self.deferred.is_empty() {
            return Seen::Full;
        }
        self.unreleased.push_back(Receipt { packet_id: id, state: ReceiptState::Publishing });
        Seen::New
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

    /// Is the message with this identifier being published? It is no more where its client has released it meanwhile.
    pub(super) fn is_publishing(&self, id: PacketId) -> bool {
        let publishing = Receipt { packet_id: id, state: ReceiptState::Publishing };
        self.unreleased.iter().any(|receipt| *receipt == publishing)
    }

    /// It was published. `kept`: a store keeps that it was.
    pub(super) fn published(&mut self, id: PacketId, kept: bool) {
        if let Some(receipt) = self.unreleased.iter_mut().find(|r| r.packet_id == id) {
            receipt.state = ReceiptState::Published { kept };
        }
    }

    /// As it was before a restart.
    pub(super) fn restore(&mut self, id: PacketId) {
        self.unreleased.push_back(Receipt { packet_id: id, state: ReceiptState::Published { kept: true } });
    }

    /// PUBREL: the identifier is free again. `true`: a store keeps that it was not.
    pub(super) fn release(&mut self, id: PacketId) -> bool {
        let at = self.unreleased.iter().position(|r| r.packet_id == id);
        at.and_then(|at| self.unreleased.remove(at))
            .is_some_and(|receipt| receipt.state == ReceiptState::Published { kept: true })
    }

    /// A message that waited for a place is taken now, if there is one: it is to be published.
    pub(super) fn next_deferred(&mut self, window: usize) -> Option<Deferred> {
        if self.unreleased.len() >= window {
            return None;
        }
        let next = self.deferred.pop_front()?;
        self.deferred_ids.remove(&next.packet_id);
        self.deferred_bytes -= next.message.size();
        self.unreleased.push_back(Receipt { packet_id: next.packet_id, state: ReceiptState::Publishing });
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
        self.unreleased.is_empty() && self.deferred.is_empty() && self.commit.is_none()
    }
}
