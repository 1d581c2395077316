//! A client within this process that relays messages to and from another broker, as a client of that one. A taken
//! message has a Packet Identifier until PUBACK or PUBCOMP; a message received at QoS 2 leaves a receipt until PUBREL.

use super::{Journal, Session, SessionChange, Stored, Taken, Turn, inbound::Seen, inside::Again, packet_ids};
use crate::types::PacketId;

/// The next packet to the other broker.
#[derive(Debug)]
pub enum ToRelay {
    /// A PUBLISH, with this Packet Identifier unless it is one of QoS 0, once this is durable: its receiver must not be
    /// given one of QoS 2 under two identifiers.
    Publish(Taken, Option<PacketId>, Stored),
    /// A PUBREL, again, once its release is durable; by the number its PUBCOMP is
    /// [acknowledged](Session::acknowledge).
    Release(PacketId, u64, Stored),
}

impl Session {
    /// The next packet: first messages in flight on the last connection, then queued ones.
    pub fn next_to_relay(&mut self, turn: &mut Turn<'_, impl Journal>) -> Option<ToRelay> {
        let outbound = self.outbound.as_mut().filter(|outbound| outbound.is_inside())?;
        let next = match outbound.take_again() {
            Some(Again::Published(taken)) => {
                let id = taken.ack.map(packet_ids::of);
                Some(ToRelay::Publish(taken, id, outbound.relayed()))
            }
            Some(Again::Released { seq, .. }) => Some(ToRelay::Release(packet_ids::of(seq), seq, outbound.relayed())),
            None => self.take_next(true, turn).map(|(taken, stored)| {
                let id = taken.ack.map(packet_ids::of);
                self.note_relayed(stored);
                ToRelay::Publish(taken, id, stored)
            }),
        };
        self.tell_backlog(&mut turn.journal);
        next
    }

    /// Packet Identifiers that no message has which is in flight, those first that messages are given last.
    pub fn free_relay_ids(&self) -> impl Iterator<Item = PacketId> {
        let outbound = self.outbound.as_ref();
        let last = outbound.map_or(0, |outbound| outbound.last_seq());
        let ids = (0..packet_ids::COUNT).map(move |back| packet_ids::of(last + packet_ids::COUNT - back));
        ids.filter(move |id| outbound.is_none_or(|outbound| !outbound.is_in_flight(*id)))
    }

    /// The other broker is connected: all that is in flight is sent again.
    pub fn begin_relaying(&mut self) {
        if let Some(outbound) = &mut self.outbound {
            outbound.begin_resend();
        }
    }

    /// Is the other broker away? Then messages of QoS 0 are not kept for it.
    pub fn set_relay_away(&mut self, away: bool, turn: &mut Turn<'_, impl Journal>) {
        if let Some(outbound) = &mut self.outbound {
            for gone in outbound.set_away(away) {
                outbound.note_due(self.number, (gone.topic().as_str(), true), None, &mut turn.journal);
            }
        }
        self.tell_backlog(&mut turn.journal);
    }

    /// PUBREC arrived for a QoS 2 message: send its PUBREL once this is durable. `None`: it is not in flight.
    pub fn release_relayed(&mut self, ack: u64, turn: &mut Turn<'_, impl Journal>) -> Option<Stored> {
        let number = self.outbound.as_mut()?.release(ack, turn.journal.follows())?;
        self.tell_backlog(&mut turn.journal);
        let release = |session| turn.journal.changed(session, SessionChange::Released { number });
        let stored = self.number.map_or(Stored::Done, release);
        self.note_relayed(stored);
        Some(stored)
    }

    /// What is sent again is sent when this is durable.
    pub fn note_relayed(&mut self, stored: Stored) {
        if let Some(outbound) = &mut self.outbound {
            outbound.note_relayed(stored);
        }
    }

    /// The other broker sends a message of QoS 2. `true`: it is to be published, and then [`received`](Self::received).
    pub fn receive_relayed(&mut self, id: PacketId) -> bool {
        matches!(self.inbound.get_or_insert_default().receive(id, usize::MAX), Seen::New | Seen::Publishing)
    }

    /// The other broker knows nothing of this client any more: Packet Identifiers of QoS 2 messages that it sent mean
    /// others from now on.
    pub fn forget_receipts(&mut self, turn: &mut Turn<'_, impl Journal>) -> Stored {
        let Some(mut inbound) = self.inbound.take() else { return Stored::Done };
        let mut stored = inbound.stored();
        for packet_id in inbound.take_kept() {
            if let Some(session) = self.number {
                stored = stored.and(turn.journal.changed(session, SessionChange::ReceiptReleased { packet_id }));
            }
        }
        stored
    }
}
