//! [`Lane`]: packets that go one way: bytes that came, cut into packets, and bytes that go on, now or later.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::set::Faults;
use crate::codec;

/// One way.
pub(super) struct Lane {
    faults: Arc<Faults>,
    /// Of a packet that is not whole.
    raw: Vec<u8>,
    ready: VecDeque<Piece>,
    /// Goes behind the next packet.
    reordered: Option<Vec<u8>>,
    /// Bytes in `ready`.
    held: usize,
    /// What comes is no packets: it goes on as it is.
    is_opaque: bool,
    /// Nothing more comes.
    pub(super) has_ended: bool,
}

/// Bytes that go on.
struct Piece {
    bytes: Vec<u8>,
    /// These have gone on.
    from: usize,
    /// Not before.
    due: Option<Instant>,
}

/// A longer packet is not waited for: it goes on as it comes.
const LONGEST: usize = 16 << 20;

impl Lane {
    pub(super) fn new(faults: Arc<Faults>) -> Self {
        let (raw, ready) = (Vec::new(), VecDeque::new());
        Self { faults, raw, ready, reordered: None, held: 0, is_opaque: false, has_ended: false }
    }

    /// Bytes came. Call [`next_packet`](Self::next_packet) until there is none.
    pub(super) fn came(&mut self, bytes: &[u8]) {
        match self.is_opaque {
            true => self.push(bytes.to_vec(), None),
            false => self.raw.extend_from_slice(bytes),
        }
    }

    /// The next whole packet.
    pub(super) fn next_packet(&mut self) -> Option<Vec<u8>> {
        let length = codec::packet_len(&self.raw);
        // five bytes are enough for every length
        let is_none = length.is_none() && self.raw.len() >= 5 || length.is_some_and(|length| length > LONGEST);
        if is_none {
            self.is_opaque = true;
            self.pass_rest();
            return None;
        }
        let length = length.filter(|length| *length <= self.raw.len())?;
        let rest = self.raw.split_off(length);
        Some(std::mem::replace(&mut self.raw, rest))
    }

    /// What is no whole packet, and what was to come behind the next one, goes on: nothing more comes.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
        self.release();
        self.pass_rest();
    }

    /// The same, but for what came behind the last packet: the connection ended there.
    pub(super) fn end_here(&mut self) {
        self.raw.clear();
        self.end();
    }

    fn pass_rest(&mut self) {
        let rest = std::mem::take(&mut self.raw);
        self.push(rest, None);
    }

    /// A packet goes on, after so long.
    pub(super) fn pass(&mut self, bytes: Vec<u8>, later: Option<Duration>) {
        let due = later.map(|later| self.faults.clock().now() + later);
        self.push(bytes, due);
        self.release();
    }

    /// A packet goes behind the next one.
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

    /// The bytes that go on next, or when they do. `None`: there are none.
    pub(super) fn front(&self, now: Instant) -> Option<Result<&[u8], Instant>> {
        let Piece { bytes, from, due } = self.ready.front()?;
        Some(match due.filter(|due| *due > now) {
            Some(due) => Err(due),
            None => Ok(&bytes[*from..]),
        })
    }

    /// So many of them have gone on.
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

    /// Bytes that are to go on.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Nothing of it goes on.
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
