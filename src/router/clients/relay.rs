//! A client within this process that relays messages to and from another broker: several steps with its session locked
//! once, and messages of the other broker, each published once at QoS 2.

use super::{
    super::{Router, RouterThread, publish::Leave, thread::Coalescing},
    client::Client,
};
use crate::{
    codec::Packet,
    session::{Action, CloseReason, Missed, Outgoing, ProtocolError, Session, Stored, ToRelay, Turn},
    types::{ClientId, PacketId},
};

/// The session of such a client while it is locked.
pub struct Relaying<'a> {
    pub(super) session: &'a mut Session,
    pub(super) turn: Turn<'a, Coalescing<'a>>,
}

impl Relaying<'_> {
    /// The next thing to be sent to the other broker.
    pub fn take(&mut self) -> Option<ToRelay> {
        self.session.next_to_relay(&mut self.turn)
    }

    /// The other broker is connected: all that is in flight is sent again.
    pub fn begin(&mut self) {
        self.session.set_relay_away(false, &mut self.turn);
        self.session.begin_relaying();
    }

    /// So many Packet Identifiers that no message in flight has, and that no message gets soon.
    pub fn free_ids(&self, count: usize) -> Vec<PacketId> {
        self.session.free_relay_ids().take(count).collect()
    }

    /// The other broker is away.
    pub fn away(&mut self) {
        self.session.set_relay_away(true, &mut self.turn);
    }

    /// The other broker has a message. `false`: it was acknowledged before.
    pub fn acknowledge(&mut self, ack: u64) -> bool {
        self.session.acknowledge(ack, &mut self.turn)
    }

    /// PUBREC arrived: send PUBREL once this is durable.
    pub fn release(&mut self, ack: u64) -> Option<Stored> {
        self.session.release_relayed(ack, &mut self.turn)
    }

    /// PUBREL arrived: send PUBCOMP once this is durable.
    pub fn complete(&mut self, id: PacketId) -> Stored {
        match self.session.handle_packet(Packet::Pubrel(id.into()), &mut self.turn) {
            Ok(Action::Complete(_, _, stored, _)) => stored,
            _ => Stored::Done,
        }
    }

    /// The other broker knows nothing of this client any more.
    pub fn forget_receipts(&mut self) -> Stored {
        self.session.forget_receipts(&mut self.turn)
    }

    /// The number of the session in the store; `None`: it is not stored.
    pub fn number(&self) -> Option<u64> {
        self.session.number().map(|number| number.0.get())
    }

    /// Messages that wait or are in flight.
    pub fn backlog(&self) -> usize {
        self.session.backlog().messages
    }
}

impl Router {
    /// Is there a session of this client that a store keeps?
    pub fn has_kept(&self, client: &ClientId) -> bool {
        self.sessions.is_kept(client)
    }

    /// Messages that wait or are in flight in the session of a client within the process, and those that it missed.
    pub fn waiting_of(&self, client: &ClientId) -> (usize, Missed) {
        let Some(slot) = self.sessions.get(client) else { return Default::default() };
        let state = slot.lock();
        (state.session.backlog().messages, state.session.missed())
    }

    /// Some steps of a client that relays, with its session locked. `None`: it is not its own any more.
    pub fn relay<R>(
        &self,
        local: &mut RouterThread,
        client: &Client,
        steps: impl FnOnce(&mut Relaying<'_>) -> R,
    ) -> Option<R> {
        let result = {
            let mut state = client.slot.lock();
            if !client.is_attached() {
                return None;
            }
            client.slot.clear_signal();
            let mut relaying = Relaying { session: &mut state.session, turn: self.turn(local) };
            steps(&mut relaying)
        };
        if let Some(store) = &self.ports.store {
            store.settle(&mut local.wakes);
        }
        Some(result)
    }

    /// Publishes a message of the other broker; a QoS 2 one, which has a Packet Identifier, only once. Returns the
    /// commit of its deliveries.
    pub fn publish_relayed(
        &self,
        local: &mut RouterThread,
        client: &Client,
        id: Option<PacketId>,
        outgoing: &Outgoing<'_>,
    ) -> Result<Stored, CloseReason> {
        if !local.limits.allows_name(outgoing.topic) {
            return Err(ProtocolError::TopicTooLarge.into());
        }
        if let Some(id) = id {
            let mut state = self.own(client)?;
            if !state.session.receive_relayed(id) {
                return Ok(state.session.receipts_stored());
            }
        }
        let publish = |local: &mut RouterThread| {
            let stored = match self.matching(local, outgoing.topic, false) {
                Some(matched) => self.publish_matched(local, matched, outgoing, &mut Leave::nowhere())?,
                None => Stored::Done,
            };
            Ok(match id {
                Some(id) => client.slot.lock().session.received(id, stored, &mut self.turn(local)),
                None => stored,
            })
        };
        let (published, _) = local.finish(|local| self.together(|| publish(local)));
        if let (Err(_), Some(id)) = (&published, id) {
            client.slot.lock().session.refuse(id);
        }
        published
    }
}
