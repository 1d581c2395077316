//! [`Inbox`]: the receiver of QoS 1 and 2 in a client with a persistent session (MQTT 3.1.1 section 4.3): it keeps the
//! Packet Identifiers of QoS 2 messages, over reconnects too, until PUBREL arrives.

use std::collections::BTreeMap;

use crate::{
    support::raw::{Frame, Message, puback, pubcomp, pubrec},
    wire::{Connection, packet_id},
};

/// The topic of the message that is the last of a queue.
pub const END: &str = "end";

/// Messages received at QoS 2 and not released.
#[derive(Default)]
pub struct Inbox {
    unreleased: BTreeMap<u16, Message>,
}

impl Inbox {
    /// A frame that is a PUBLISH or a PUBREL: the message, unless it came before, and the answer.
    pub fn handle(&mut self, frame: &Frame) -> (Option<Message>, Vec<u8>) {
        let Some(message) = frame.message() else {
            assert_eq!(frame.first, 0x62, "a PUBREL was expected, not {:02x?}", frame.bytes());
            let id = packet_id(frame);
            self.unreleased.remove(&id);
            return (None, pubcomp(id));
        };
        match message.qos {
            0 => (Some(message), Vec::new()),
            1 => {
                let answer = puback(message.id);
                (Some(message), answer)
            }
            _ => {
                let answer = pubrec(message.id);
                let Some(earlier) = self.unreleased.insert(message.id, message.clone()) else {
                    return (Some(message), answer);
                };
                assert!(
                    message.dup && earlier.topic == message.topic && earlier.payload == message.payload,
                    "Packet Identifier {} is not released, and stands for another message: {message:?} after {earlier:?}",
                    message.id
                );
                (None, answer)
            }
        }
    }

    /// Receives all that waits, up to the message to [`END`] that says `end`: the other messages. Nobody kills the
    /// broker meanwhile.
    pub fn drain(&mut self, connection: &mut Connection<'_>, end: &str) -> Vec<Message> {
        let (mut ended, mut messages) = (false, Vec::new());
        while !ended || !self.unreleased.is_empty() {
            let frame = connection.read().expect("nobody kills it");
            let (message, answer) = self.handle(&frame);
            match message {
                Some(message) if message.topic == END => ended |= message.text() == end,
                Some(message) => messages.push(message),
                None => {}
            }
            connection.send(&answer);
        }
        messages
    }
}
