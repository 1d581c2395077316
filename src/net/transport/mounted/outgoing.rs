//! [`Outgoing`]: the broker's packets to a client, without the prefix of their topics.

use std::sync::Arc;

use super::{KEPT, Part, begin_packet, text};
use crate::codec::PacketType;

/// The packets to one client.
pub(super) struct Outgoing {
    prefix: Arc<str>,
    /// The beginning of a packet, until it can be passed on.
    part: Vec<u8>,
    /// These many bytes are passed on as they are.
    passing: usize,
    /// Did any packet begin?
    pub(super) has_begun: bool,
}

impl Outgoing {
    pub(super) fn new(prefix: Arc<str>) -> Self {
        Self { prefix, part: Vec::new(), passing: 0, has_begun: false }
    }

    /// Passes on what the broker writes.
    pub(super) fn write(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        loop {
            let count = self.passing.min(bytes.len());
            out.extend_from_slice(&bytes[..count]);
            (self.passing, bytes) = (self.passing - count, &bytes[count..]);
            if self.passing > 0 {
                return;
            }
            match self.next(out) {
                Some(need) if bytes.is_empty() => {
                    debug_assert!(need > self.part.len());
                    return;
                }
                Some(need) => {
                    self.has_begun = true;
                    let count = (need - self.part.len()).min(bytes.len());
                    self.part.extend_from_slice(&bytes[..count]);
                    bytes = &bytes[count..];
                }
                None => {
                    self.part.clear();
                    if self.part.capacity() > KEPT {
                        self.part = Vec::new();
                    }
                }
            }
        }
    }

    /// As many bytes are needed; `None`: `part` is passed on.
    fn next(&mut self, out: &mut Vec<u8>) -> Option<usize> {
        let (header, length) = match Part::of(&self.part) {
            Part::Need(need) => return Some(need),
            Part::Header { header, length } => (header, length),
            // the broker writes none
            Part::Malformed => (self.part.len(), 0),
        };
        if self.part[0] >> 4 == PacketType::Publish as u8 && length >= 2 {
            let Some(topic) = text(&self.part[header..]) else { return Some(header + 2) };
            let all = header + 2 + usize::from(topic);
            if self.part.len() < all {
                return Some(all);
            }
            // that of another listener's client is as long as it was, and so is one that is nothing but the prefix
            let own = self.part[header + 2..].strip_prefix(self.prefix.as_bytes()).filter(|own| !own.is_empty());
            if let Some(own) = own {
                begin_packet(out, self.part[0], length - self.prefix.len());
                // shorter than it was
                out.extend_from_slice(&(own.len() as u16).to_be_bytes());
                out.extend_from_slice(own);
                self.passing = length - (all - header);
                return None;
            }
        }
        self.passing = header + length - self.part.len();
        out.extend_from_slice(&self.part);
        None
    }
}
