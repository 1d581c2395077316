//! Clients whose topics and filters begin with a prefix that it does not know (`mount_point`). The
//! packets are changed between the socket and the connection, so that clients of other listeners pay nothing for it.
//!
//! | module | owns |
//! |---|---|
//! | `incoming` | the topics and filters in PUBLISH, SUBSCRIBE, UNSUBSCRIBE and of the Will: the prefix is added |
//! | `outgoing` | the topics in PUBLISH: the prefix is removed |
//! | `stream` | the stream that does both |

mod incoming;
mod outgoing;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use stream::between;

use crate::codec::MAX_REMAINING_LENGTH;

/// An empty buffer keeps so much memory.
const KEPT: usize = 4 << 10;

/// A packet with one topic grows by so many bytes at most: the prefix, and a byte of its Remaining Length.
fn adds(prefix: &str) -> usize {
    prefix.len() + 1
}

/// The fixed header at the front of some bytes.
enum Part {
    /// So many bytes are needed.
    Need(usize),
    Malformed,
    /// Its own length, and that of the rest of the packet.
    Header {
        header: usize,
        length: usize,
    },
}

impl Part {
    fn of(bytes: &[u8]) -> Self {
        match bytes.get(1..).and_then(Self::number) {
            None => Self::Need((bytes.len() + 1).max(2)),
            Some(Err(())) => Self::Malformed,
            Some(Ok((own, length))) => Self::Header { header: 1 + own, length },
        }
    }

    /// A Variable Byte Integer at the front: its own length, and the number. `None`: it is not complete.
    fn number(bytes: &[u8]) -> Option<Result<(usize, usize), ()>> {
        let mut number = 0;
        for (at, byte) in bytes.iter().take(4).enumerate() {
            number |= usize::from(byte & 0x7F) << (7 * at);
            if *byte < 0x80 {
                return Some(Ok((at + 1, number)));
            }
        }
        (bytes.len() >= 4).then_some(Err(()))
    }
}

/// The length of the text at the front; `None`: it is not complete.
fn text(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|length| u16::from_be_bytes(*length))
}

/// Writes a fixed header. `false`: the packet would be too long.
fn begin_packet(out: &mut Vec<u8>, first: u8, mut length: usize) -> bool {
    if length > MAX_REMAINING_LENGTH {
        return false;
    }
    out.push(first);
    while length >= 0x80 {
        out.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    true
}
