//! [`Packets`]: the ends of MQTT packets in the broker's output.

use std::io::IoSlice;

use smallvec::SmallVec;

use crate::codec;

/// Follows the packets in the output of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Packets {
    /// Bytes of the current packet that are not written yet.
    left: u32,
}

impl Packets {
    /// Number of bytes until the end of the current packet, if `next` is written next. `next` begins with a whole fixed
    /// header, unless a packet is partly written. The result may exceed the length of `next`.
    #[inline]
    pub(crate) fn rest_of_packet(&mut self, next: &[u8]) -> usize {
        if self.left == 0 {
            // the broker writes whole fixed headers; after a cut header, the rest would count as one packet
            let length = codec::packet_len(next).unwrap_or(next.len());
            self.left = u32::try_from(length).unwrap_or(u32::MAX);
        }
        self.left as usize
    }

    /// This many bytes of the packet were written.
    #[inline]
    pub(crate) fn advance(&mut self, written: usize) {
        self.left = self.left.saturating_sub(u32::try_from(written).unwrap_or(u32::MAX));
    }
}

/// The first `length` bytes of `bufs`, or all of them.
pub(crate) fn front<'a>(bufs: &'a [IoSlice<'_>], length: usize) -> SmallVec<[IoSlice<'a>; 65]> {
    let mut left = length;
    let parts = bufs.iter().map(|buf| {
        let part = buf.len().min(left);
        left -= part;
        IoSlice::new(&buf[..part])
    });
    parts.filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_in_writes_of_any_size() {
        // PINGRESP, PUBACK, a PUBLISH of 200 bytes
        let lengths = [2, 4, 203];
        let bytes = [&[0xd0, 0][..], &[0x40, 2, 0, 1], &[0x30, 200, 1], &[0; 200]].concat();
        for most in [1, 3, 7, 100, 500] {
            let (mut packets, mut at, mut ends) = (Packets::default(), 0, Vec::new());
            while at < bytes.len() {
                let part = packets.rest_of_packet(&bytes[at..]).min(most);
                packets.advance(part);
                at += part;
                if packets.left == 0 {
                    ends.push(at);
                }
            }
            assert_eq!(ends, [lengths[0], lengths[0] + lengths[1], bytes.len()], "{most} at a time");
        }
        assert_eq!(bytes.len(), lengths.iter().sum::<usize>());
    }
}
