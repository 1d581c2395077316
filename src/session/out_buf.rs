//! [`OutBuf`]: output bytes of one client. Small packets are collected in one buffer. Large payloads are not copied:
//! the buffer has their places. [`BufPool`] recycles the buffers.

use std::{io::IoSlice, time::Instant};

use super::message::Message;

/// Output bytes of one client.
#[derive(Debug, Default)]
pub struct OutBuf {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that are written.
    written: usize,
    large: Vec<LargePayload>,
    /// Number of payloads in `large` that are completely written.
    large_written: usize,
    /// Bytes of payloads in `large` that are not written yet.
    large_left: usize,
    /// The place in `bytes` for the next answers: see [`keep_place`](Self::keep_place).
    place: Option<usize>,
    /// Number of PUBLISH packets.
    messages: u32,
    /// When a message in it began its way of which it is measured how long it takes.
    marked: Option<Instant>,
}

#[derive(Debug)]
struct LargePayload {
    /// The payload's place in `bytes`.
    at: usize,
    message: Message,
    /// Bytes of the payload that are written.
    written: usize,
}

/// Buffers with a larger capacity are not reused.
const KEEP_CAPACITY: usize = 64 << 10;

impl OutBuf {
    /// Bytes that are not written yet.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.written + self.large_left
    }

    /// Is everything written?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffer to append packets to.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Counts a PUBLISH.
    #[inline]
    pub(super) fn note_message(&mut self) {
        self.messages += 1;
    }

    /// The last message `began` its way then, and it is measured how long it takes.
    pub(super) fn mark(&mut self, began: Instant) {
        self.marked.get_or_insert(began);
    }

    /// When a message in it began its way, of which it is measured how long it takes.
    #[inline]
    pub fn marked(&self) -> Option<Instant> {
        self.marked
    }

    /// Number of PUBLISH packets, written or not.
    pub fn messages(&self) -> u32 {
        self.messages
    }

    /// Appends the payload of `message`, whose header was just appended to [`bytes_mut`](Self::bytes_mut).
    pub fn push_payload(&mut self, message: Message) {
        self.large_left += message.payload().len();
        self.large.push(LargePayload { at: self.bytes.len(), message, written: 0 });
    }

    /// Marks this place: the next answers that are [appended](Self::append) go here, in front of later output. Nothing
    /// of this buffer may have been written.
    pub fn keep_place(&mut self) {
        self.place = Some(self.bytes.len());
    }

    /// Appends answers, or inserts them at the marked place.
    #[inline]
    pub fn append(&mut self, answers: &mut Vec<u8>) {
        match self.place.take().filter(|&at| at < self.bytes.len()) {
            None => self.bytes.append(answers),
            Some(at) => {
                let behind = self.large.partition_point(|large| large.at <= at);
                self.large[behind..].iter_mut().for_each(|large| large.at += answers.len());
                self.bytes.splice(at..at, answers.drain(..));
            }
        }
    }

    /// Takes the output behind the marked place, if there is any, and removes the mark.
    pub fn split_at_place(&mut self) -> Option<Self> {
        let at = self.place.take().filter(|&at| at < self.bytes.len())?;
        let bytes = self.bytes.split_off(at);
        let mut large = self.large.split_off(self.large.partition_point(|large| large.at <= at));
        large.iter_mut().for_each(|large| large.at -= at);
        let large_left = large.iter().map(|large| large.message.payload().len()).sum();
        self.large_left -= large_left;
        Some(Self { bytes, large, large_left, ..Self::default() })
    }

    /// Appends output that was [split off](Self::split_at_place).
    pub fn join(&mut self, behind: Self) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&behind.bytes);
        self.large.extend(behind.large.into_iter().map(|large| LargePayload { at: large.at + at, ..large }));
        self.large_left += behind.large_left;
    }

    /// Fills `slices` with up to `most` bytes to be written next, in order. Returns the number of slices.
    pub fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>], most: usize) -> usize {
        let (mut from, mut filled, room) = (self.written, 0, slices.len());
        let mut left = most;
        let mut push = |part: &'a [u8]| {
            let part = &part[..part.len().min(left)];
            if !part.is_empty() && filled < room {
                slices[filled] = IoSlice::new(part);
                filled += 1;
                left -= part.len();
            }
        };
        // with more payloads than slices, the rest follows in the next call
        for large in self.large.iter().skip(self.large_written).take(room) {
            push(&self.bytes[from..large.at]);
            push(&large.message.payload()[large.written..]);
            from = large.at;
        }
        if self.large.len() - self.large_written <= room {
            push(&self.bytes[from..]);
        }
        filled
    }

    /// The unwritten bytes, if they are contiguous.
    #[inline]
    pub fn contiguous(&self) -> Option<&[u8]> {
        self.large.is_empty().then(|| &self.bytes[self.written..])
    }

    /// A copy of what is not written yet, from this place of [`bytes_mut`](Self::bytes_mut) on.
    pub fn copy_from(&self, at: usize) -> Vec<u8> {
        let (mut from, mut copy) = (self.written.max(at), Vec::with_capacity(self.len()));
        for large in self.large.iter().skip(self.large_written).filter(|large| large.at > at) {
            copy.extend_from_slice(&self.bytes[from..large.at]);
            copy.extend_from_slice(&large.message.payload()[large.written..]);
            from = large.at;
        }
        copy.extend_from_slice(&self.bytes[from..]);
        copy
    }

    /// The first `n` unwritten bytes were written.
    pub fn advance(&mut self, mut n: usize) {
        while let Some(large) = self.large.get_mut(self.large_written) {
            let before = large.at - self.written;
            if n < before {
                break;
            }
            self.written = large.at;
            n -= before;
            let left = large.message.payload().len() - large.written;
            let now = n.min(left);
            large.written += now;
            self.large_left -= now;
            n -= now;
            if now < left {
                return;
            }
            self.large_written += 1;
        }
        self.written += n;
        debug_assert!(self.written <= self.bytes.len(), "more was written than there was");
    }

    fn reset(&mut self) {
        self.bytes.clear();
        self.large.clear();
        (self.written, self.large_written, self.large_left, self.place) = (0, 0, 0, None);
        (self.messages, self.marked) = (0, None);
    }
}

/// Empty buffers for reuse, so that an idle client has none.
#[derive(Debug, Default)]
pub struct BufPool {
    // boxed, because sessions hold a pointer to a buffer or nothing
    #[allow(clippy::vec_box)]
    free: Vec<Box<OutBuf>>,
}

/// Most buffers that are kept.
const KEEP_BUFFERS: usize = 1024;

impl BufPool {
    /// An empty buffer.
    #[inline]
    pub fn take(&mut self) -> Box<OutBuf> {
        self.free.pop().unwrap_or_default()
    }

    /// Takes a buffer back, with any contents.
    pub fn put(&mut self, mut buf: Box<OutBuf>) {
        if buf.bytes.capacity() <= KEEP_CAPACITY && self.free.len() < KEEP_BUFFERS {
            buf.reset();
            self.free.push(buf);
        }
    }

    /// Frees unused buffers, except a few.
    pub fn shrink(&mut self) {
        self.free.truncate(16);
        self.free.shrink_to(16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{topic::TopicName, types::QoS};

    /// The bytes that a socket receives that accepts `step` bytes at a time.
    fn drain(buf: &mut OutBuf, step: usize) -> Vec<u8> {
        let mut got = Vec::new();
        while !buf.is_empty() {
            let mut slices = [IoSlice::new(&[]); 3];
            let n = buf.io_slices(&mut slices, 5);
            assert!(n > 0, "bytes left, but nothing to write");
            let all: Vec<u8> = slices[..n].iter().flat_map(|s| s.iter().copied()).collect();
            assert!(all.len() <= 5, "{} bytes", all.len());
            let now = step.min(all.len());
            got.extend_from_slice(&all[..now]);
            buf.advance(now);
        }
        got
    }

    #[test]
    fn large_payloads_keep_their_place_in_partial_writes() {
        let topic = TopicName::new("t").unwrap();
        for step in 1..40 {
            let mut buf = OutBuf::default();
            let mut expected = Vec::new();
            for (small, large) in [("ab", "LARGE1"), ("", "LARGE2"), ("cde", ""), ("f", "LARGE3"), ("gh", "LARGE4")] {
                buf.bytes_mut().extend_from_slice(small.as_bytes());
                buf.push_payload(Message::new(topic, large.as_bytes(), QoS::AtMostOnce));
                expected.extend_from_slice(small.as_bytes());
                expected.extend_from_slice(large.as_bytes());
            }
            buf.bytes_mut().extend_from_slice(b"end");
            expected.extend_from_slice(b"end");
            assert_eq!(buf.len(), expected.len());
            assert_eq!(buf.copy_from(0), expected);
            assert_eq!(buf.copy_from(buf.bytes.len() - 2), b"nd");
            assert_eq!(drain(&mut buf, step), expected, "in steps of {step}");
        }
    }

    #[test]
    fn answers_are_inserted_at_the_reserved_place() {
        let topic = TopicName::new("t").unwrap();
        let fill = |buf: &mut OutBuf, small: &str, large: &str| {
            buf.bytes_mut().extend_from_slice(small.as_bytes());
            if !large.is_empty() {
                buf.push_payload(Message::new(topic, large.as_bytes(), QoS::AtMostOnce));
            }
        };
        let text = |mut buf: OutBuf| String::from_utf8(drain(&mut buf, 4)).unwrap();
        for (small, large) in [("", ""), ("before", ""), ("before", "LARGE")] {
            for (small_behind, large_behind) in [("", ""), ("behind", ""), ("behind", "LARGE2")] {
                let filled = || {
                    let mut buf = OutBuf::default();
                    fill(&mut buf, small, large);
                    buf.keep_place();
                    fill(&mut buf, small_behind, large_behind);
                    buf
                };
                let expected = format!("{small}{large}ANSWER{small_behind}{large_behind}more");
                let mut buf = filled();
                buf.append(&mut b"ANSWER".to_vec());
                buf.append(&mut b"more".to_vec());
                assert_eq!(text(buf), expected);
                let mut buf = filled();
                let behind = buf.split_at_place();
                assert_eq!(behind.is_none(), small_behind.is_empty());
                assert_eq!(buf.len(), small.len() + large.len());
                buf.append(&mut b"ANSWER".to_vec());
                behind.into_iter().for_each(|behind| buf.join(behind));
                buf.append(&mut b"more".to_vec());
                assert_eq!(text(buf), expected);
            }
        }
    }

    #[test]
    fn a_returned_buffer_is_empty_and_an_overgrown_one_is_dropped() {
        let mut pool = BufPool::default();
        let mut buf = pool.take();
        buf.bytes_mut().extend_from_slice(b"left over");
        pool.put(buf);
        assert_eq!(pool.free.len(), 1);
        assert!(pool.take().is_empty());
        let mut big = pool.take();
        big.bytes_mut().reserve(KEEP_CAPACITY + 1);
        pool.put(big);
        assert!(pool.free.is_empty());
    }
}
