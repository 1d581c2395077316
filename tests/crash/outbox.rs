//! [`Outbox`]: the sender of QoS 1 and 2 in a client with a persistent session (MQTT 3.1.1 sections 4.3, 4.4): it sends
//! unacknowledged messages again after a reconnect, with DUP and the same Packet Identifier.

use crate::{
    support::raw::{Frame, Message, pubrel},
    wire::{Connection, packet_id},
};

/// Messages that were sent and are not completed, in the order in which they were sent first.
#[derive(Default)]
pub struct Outbox {
    flying: Vec<Flying>,
}

struct Flying {
    message: Message,
    /// Number of the message.
    tag: u64,
    /// PUBREC arrived: PUBREL will be sent again.
    released: bool,
}

impl Outbox {
    pub fn len(&self) -> usize {
        self.flying.len()
    }

    /// Gives the message the lowest Packet Identifier that is free, so that identifiers come back soon; its bytes.
    pub fn send(&mut self, message: Message, tag: u64) -> Vec<u8> {
        let is_free = |id: &u16| self.flying.iter().all(|f| f.message.id != *id);
        let id = (1..=u16::MAX).find(is_free).expect("a free Packet Identifier");
        let message = message.id(id);
        let bytes = message.frame();
        self.flying.push(Flying { message, tag, released: false });
        bytes
    }

    /// After a reconnect: all of it again.
    pub fn resend(&self) -> Vec<u8> {
        let again = |f: &Flying| match f.released {
            true => pubrel(f.message.id),
            false => f.message.clone().dup().frame(),
        };
        self.flying.iter().flat_map(again).collect()
    }

    /// An acknowledgement; the tag of the message where the broker owns it from now on.
    pub fn handle(&mut self, connection: &mut Connection<'_>, frame: &Frame) -> Option<u64> {
        let id = packet_id(frame);
        let at = self.flying.iter().position(|f| f.message.id == id);
        let Some(at) = at else { panic!("{:02x?} acknowledges nothing that was sent", frame.bytes()) };
        let flying = &mut self.flying[at];
        match (frame.first, flying.message.qos) {
            (0x40, 1) => Some(self.flying.remove(at).tag),
            (0x50, 2) => {
                let first = !std::mem::replace(&mut flying.released, true);
                let tag = flying.tag;
                connection.send(&pubrel(id));
                first.then_some(tag)
            }
            (0x70, 2) => {
                assert!(flying.released, "PUBCOMP {id} came without a PUBREC");
                self.flying.remove(at);
                None
            }
            _ => panic!("{:02x?} is no answer to {:?}", frame.bytes(), flying.message),
        }
    }
}
