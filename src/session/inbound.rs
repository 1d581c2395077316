//! [`Inbound`]: QoS 2 messages that a client has sent and not released (MQTT 3.1.1 section 4.3.3, the receiver's side),
//! and messages beyond that limit, which wait.

use std::collections::{HashSet, VecDeque};

use super::{
    acks::{CommitSeq, Stored},
    close::ProtocolError,
    message::Message,
};
use crate::types::PacketId;

/// QoS 2 messages of one client that are not completed.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    /// Accepted messages that wait for PUBREL, in order of arrival.
    unreleased: VecDeque<Receipt>,
    /// Set if the identifiers in `unreleased` are not increasing (modulo 65,536), so that the O(1) check in `is_next`
    /// cannot be used.
    unordered: bool,
    /// The last commit that a receipt or a release waited for.
    commit: Option<CommitSeq>,
    /// Messages above the limit: not accepted yet, without a PUBREC. In order of arrival.
    deferred: VecDeque<Deferred>,
    /// The identifiers in `deferred`, of which there may be 65,535.
    deferred_ids: HashSet<PacketId>,
    deferred_bytes: usize,
    /// Number of `unreleased` messages when the client connected.
    carried: usize,
}

/// A message that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Receipt {
    packet_id: PacketId,
    state: ReceiptState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReceiptState {
    /// It is being published, and the store has no record of it yet.
    Publishing,
    /// It was published. `kept`: a store has a record of the receipt.
    Published { kept: bool },
}

/// A message that waits for a place in the window.
#[derive(Debug)]
pub struct Deferred {
    /// The Packet Identifier of its PUBLISH.
    pub packet_id: PacketId,
    /// RETAIN of its PUBLISH.
    pub retain: bool,
    /// The message.
    pub message: Message,
    /// May the client publish it, if that was asked elsewhere?
    pub may: Option<bool>,
}

/// How to treat a QoS 2 PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is new: publish it, then send PUBREC.
    New,
    /// It was accepted before: send PUBREC, and do nothing else [MQTT-4.3.3-2].
    Repeated,
    /// It was sent again while an earlier connection of the session is still publishing it.
    Publishing,
    /// The window is full: call [`Session::defer`](super::Session::defer).
    Full,
    /// It waits already: no answer yet.
    Deferred,
}

impl Inbound {
    pub(super) fn receive(&mut self, id: PacketId, window: usize) -> Seen {
        if !self.is_next(id)
            && let Some(receipt) = self.unreleased.iter().find(|r| r.packet_id == id)
        {
            return if receipt.state == ReceiptState::Publishing { Seen::Publishing } else { Seen::Repeated };
        }
        if self.deferred_ids.contains(&id) {
            return Seen::Deferred;
        }
        if self.unreleased.len() >= window || !self.deferred.is_empty() {
            return Seen::Full;
        }
        self.push(id, ReceiptState::Publishing);
        Seen::New
    }

    /// The client connected.
    pub(super) fn attach(&mut self) {
        self.carried = self.unreleased.len();
    }

    /// The window of a client that may send `at_once` messages before it is answered, at most `most`. Messages of an
    /// earlier connection may fill the window. A client that waits for an answer before it resends these would wait
    /// forever. It gets one more place.
    pub(super) fn window(&self, most: usize, at_once: usize) -> usize {
        let window = most.min(at_once);
        if at_once <= self.carried { window.max(self.carried + 1) } else { window }
    }

    /// Number of unreleased and waiting messages.
    pub(super) fn len(&self) -> usize {
        self.unreleased.len() + self.deferred.len()
    }

    /// Is the identifier higher than all in `unreleased`, as the next one of most clients is? Then it is not in there.
    fn is_next(&self, id: PacketId) -> bool {
        let (Some(first), Some(last)) = (self.unreleased.front(), self.unreleased.back()) else { return true };
        // identifiers wrap around, so their distance to the first one counts
        let from_first = |id: PacketId| id.get().wrapping_sub(first.packet_id.get());
        !self.unordered && from_first(id) > from_first(last.packet_id)
    }

    fn push(&mut self, packet_id: PacketId, state: ReceiptState) {
        self.unordered = !self.unreleased.is_empty() && !self.is_next(packet_id);
        self.unreleased.push_back(Receipt { packet_id, state });
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

    /// Is the message with this identifier being published? Not if the client has released it meanwhile.
    pub(super) fn is_publishing(&self, id: PacketId) -> bool {
        let publishing = Receipt { packet_id: id, state: ReceiptState::Publishing };
        self.unreleased.iter().rev().any(|receipt| *receipt == publishing)
    }

    /// The message was published. `kept`: a store has a record of the receipt.
    pub(super) fn published(&mut self, id: PacketId, kept: bool) {
        if let Some(receipt) = self.unreleased.iter_mut().rev().find(|r| r.packet_id == id) {
            receipt.state = ReceiptState::Published { kept };
        }
    }

    /// Restores a receipt after a restart.
    pub(super) fn restore(&mut self, id: PacketId) {
        self.push(id, ReceiptState::Published { kept: true });
    }

    /// PUBREL: frees the identifier. Returns whether a store has a record of the receipt; `None`: it was not in use.
    pub(super) fn release(&mut self, id: PacketId) -> Option<bool> {
        let at = self.unreleased.iter().position(|r| r.packet_id == id)?;
        let receipt = self.unreleased.remove(at)?;
        Some(receipt.state == ReceiptState::Published { kept: true })
    }

    /// Takes out all that a store keeps.
    pub(super) fn take_kept(&mut self) -> impl Iterator<Item = PacketId> + use<> {
        let all = std::mem::take(&mut self.unreleased).into_iter();
        all.filter(|r| r.state == ReceiptState::Published { kept: true }).map(|r| r.packet_id)
    }

    /// Accepts the first waiting message if the window has a place: the caller publishes it.
    pub(super) fn next_deferred(&mut self, window: usize) -> Option<Deferred> {
        if self.unreleased.len() >= window {
            return None;
        }
        let next = self.deferred.pop_front()?;
        self.deferred_ids.remove(&next.packet_id);
        self.deferred_bytes -= next.message.size();
        self.push(next.packet_id, ReceiptState::Publishing);
        Some(next)
    }

    /// The client is gone. It will send waiting messages again, because they were not answered.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn id(n: u16) -> PacketId {
        PacketId::new(n).unwrap()
    }

    proptest! {
        /// Whatever identifiers a client chooses, one that is not released is known, and no other is.
        #[test]
        fn an_identifier_is_new_until_it_is_taken_and_after_its_release(
            steps in prop::collection::vec((prop_oneof![1..20u16, 65_520..=65_535u16, Just(0)], any::<bool>()), 1..200),
        ) {
            let (mut inbound, mut taken, mut last) = (Inbound::default(), BTreeSet::new(), 65_530_u16);
            for (n, releases) in steps {
                // 0: the next one
                last = if n == 0 { last.checked_add(1).unwrap_or(1) } else { n };
                if releases {
                    let first = inbound.unreleased.front().map(|receipt| receipt.packet_id.get());
                    let released = if n == 0 { first.unwrap_or(last) } else { last };
                    inbound.release(id(released));
                    taken.remove(&released);
                } else {
                    let seen = inbound.receive(id(last), usize::MAX);
                    prop_assert_eq!(seen == Seen::New, taken.insert(last), "{}", last);
                }
            }
        }
    }
}
