//! [`Lane`]: one direction of a connection: received bytes, cut into packets, and bytes to be forwarded, now or later.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{longest::Longest, set::Faults};
use crate::{codec, types::ProtocolVersion};

/// One direction of a connection.
pub(super) struct Lane {
    faults: Arc<Faults>,
    /// Bytes of an incomplete packet.
    raw: Vec<u8>,
    ready: VecDeque<Piece>,
    /// Forwarded after the next packet.
    reordered: Option<Vec<u8>>,
    /// Bytes in `ready`.
    held: usize,
    /// Larger packets are forwarded as their bytes arrive.
    longest: Longest,
    /// The bytes are not packets and are forwarded unchanged.
    is_opaque: bool,
    /// The sender has closed.
    pub(super) has_ended: bool,
}

/// Bytes to be forwarded.
struct Piece {
    bytes: Vec<u8>,
    /// Number of bytes forwarded already.
    from: usize,
    /// Time at which they may be forwarded.
    due: Option<Instant>,
}

impl Lane {
    pub(super) fn new(faults: Arc<Faults>, longest: Longest) -> Self {
        let (raw, ready) = (Vec::new(), VecDeque::new());
        Self { faults, raw, ready, reordered: None, held: 0, longest, is_opaque: false, has_ended: false }
    }

    /// Adds received bytes. Call [`next_packet`](Self::next_packet) until it returns `None`.
    pub(super) fn came(&mut self, bytes: &[u8]) {
        match self.is_opaque {
            true => self.push(bytes.to_vec(), None),
            false => self.raw.extend_from_slice(bytes),
        }
    }

    /// Takes the next complete packet. The receiver closes at the header of a malformed or too large one: it gets the
    /// bytes as they are.
    pub(super) fn next_packet(&mut self, version: ProtocolVersion) -> Option<Vec<u8>> {
        let length = codec::packet_len(&self.raw);
        let longest = self.longest.of(self.raw.first().copied().unwrap_or_default());
        let is_complete = length.is_some_and(|length| length <= self.raw.len().min(longest));
        if !is_complete && codec::frame(version, &self.raw, longest).is_err() {
            self.is_opaque = true;
            self.pass_rest();
            return None;
        }
        let length = length.filter(|length| *length <= self.raw.len())?;
        let rest = self.raw.split_off(length);
        Some(std::mem::replace(&mut self.raw, rest))
    }

    /// The sender has closed: forwards an incomplete packet, and the one that waited for the next packet.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
        self.release();
        self.pass_rest();
    }

    /// The same, but discards bytes after the last packet: the connection closes there.
    pub(super) fn end_here(&mut self) {
        self.raw.clear();
        self.end();
    }

    fn pass_rest(&mut self) {
        let rest = std::mem::take(&mut self.raw);
        self.push(rest, None);
    }

    /// Forwards a packet after a delay.
    pub(super) fn pass(&mut self, bytes: Vec<u8>, later: Option<Duration>) {
        let due = later.map(|later| self.faults.clock().now() + later);
        self.push(bytes, due);
        self.release();
    }

    /// Forwards a packet after the next one.
    pub(super) fn reorder(&mut self, bytes: Vec<u8>) {
        self.release();
        self.reordered = Some(bytes);
    }

    fn release(&mut self) {
        if let Some(bytes) = self.reordered.take() {
            self.push(bytes, None);
        }
    }

    fn push(&mut self, bytes: Vec<u8>, due: Option<Instant>) {
        if bytes.is_empty() {
            return;
        }
        self.held += bytes.len();
        self.faults.late.fetch_add(usize::from(due.is_some()), Ordering::AcqRel);
        self.ready.push_back(Piece { bytes, from: 0, due });
    }

    /// The next bytes to forward, or the time at which they are due. `None`: there are none.
    pub(super) fn front(&self, now: Instant) -> Option<Result<&[u8], Instant>> {
        let Piece { bytes, from, due } = self.ready.front()?;
        Some(match due.filter(|due| *due > now) {
            Some(due) => Err(due),
            None => Ok(&bytes[*from..]),
        })
    }

    /// Removes forwarded bytes.
    pub(super) fn gone(&mut self, count: usize) {
        self.held -= count;
        let Some(front) = self.ready.front_mut() else { return };
        front.from += count;
        if front.from == front.bytes.len()
            && let Some(piece) = self.ready.pop_front()
        {
            self.faults.late.fetch_sub(usize::from(piece.due.is_some()), Ordering::AcqRel);
        }
    }

    /// Number of bytes to be forwarded.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Discards everything.
    pub(super) fn clear(&mut self) {
        let late = self.ready.drain(..).filter(|piece| piece.due.is_some()).count();
        self.faults.late.fetch_sub(late, Ordering::AcqRel);
        (self.held, self.reordered, self.raw) = (0, None, Vec::new());
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.clear();
    }
}
