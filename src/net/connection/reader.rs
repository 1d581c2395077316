//! [`Reader`]: collects bytes from a socket until a frame is complete. A waiting connection holds only the bytes of an
//! incomplete frame; everything else passes through a buffer that all connections of a thread share.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// The beginning of a frame, or bytes that were read and are not handled yet, if any.
#[derive(Debug, Default)]
pub(crate) struct Reader(Option<Box<Held>>);

#[derive(Debug)]
enum Held {
    Part(Part),
    Unhandled(Unhandled),
}

/// Bytes that a turn was too short for. Nothing is read while there are any.
#[derive(Debug)]
pub(crate) struct Unhandled {
    bytes: Vec<u8>,
    /// Bytes before this index are handled.
    from: usize,
}

#[derive(Debug)]
struct Part {
    held: Vec<u8>,
    /// Length of the whole frame, as far as known.
    need: usize,
}

/// Size of the buffer that the connections of a thread share.
pub(crate) const SHARED_BUFFER: usize = 256 << 10;

/// A frame up to this size is completed in the shared buffer, a larger one in its own.
const COMPLETE_IN_SHARED: usize = SHARED_BUFFER / 2;

/// The result of one read.
#[derive(Debug)]
pub(crate) enum Got {
    /// This many bytes at the front of the shared buffer, including those that were held before.
    Shared(usize),
    /// One whole frame; [`Reader::take`] returns its buffer.
    Own,
    /// Some bytes, but the frame is not complete.
    More,
    /// The peer closed the connection.
    End,
}

impl Reader {
    /// One read from the socket.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        socket: Pin<&mut impl AsyncRead>,
        shared: &mut [u8],
    ) -> Poll<io::Result<(usize, Got)>> {
        let held = match self.0.as_deref_mut() {
            Some(Held::Part(part)) if part.need > COMPLETE_IN_SHARED => return part.poll_read(cx, socket),
            Some(Held::Part(part)) => part.held.len(),
            // reading more would change the order
            Some(Held::Unhandled(_)) => return Poll::Pending,
            None => 0,
        };
        let mut buf = ReadBuf::new(&mut shared[held..]);
        std::task::ready!(socket.poll_read(cx, &mut buf))?;
        let read = buf.filled().len();
        if read == 0 {
            return Poll::Ready(Ok((0, Got::End)));
        }
        if let Some(Held::Part(part)) = self.0.take().map(|held| *held) {
            shared[..held].copy_from_slice(&part.held);
        }
        Poll::Ready(Ok((read, Got::Shared(held + read))))
    }

    /// The whole frame of [`Got::Own`].
    pub(crate) fn take(&mut self) -> Vec<u8> {
        match self.0.take().map(|held| *held) {
            Some(Held::Part(part)) => part.held,
            _ => Vec::new(),
        }
    }

    /// Holds the beginning of a frame with a length of `need` bytes.
    pub(crate) fn hold(&mut self, part: &[u8], need: usize) {
        self.0 = Some(Box::new(Held::Part(Part { held: part.to_vec(), need })));
    }

    /// Keeps bytes that must be handled before more is read.
    #[cold]
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0 = Some(Box::new(Held::Unhandled(Unhandled { bytes: bytes.to_vec(), from: 0 })));
        }
    }

    /// Are there such bytes?
    pub(crate) fn has_unhandled(&self) -> bool {
        matches!(self.0.as_deref(), Some(Held::Unhandled(_)))
    }

    /// Takes them. Bytes that are still not handled must be [put back](Self::put_back).
    pub(crate) fn take_unhandled(&mut self) -> Option<Unhandled> {
        match self.0.take().map(|held| *held) {
            Some(Held::Unhandled(unhandled)) => Some(unhandled),
            part => {
                self.0 = part.map(Box::new);
                None
            }
        }
    }

    /// Puts the bytes back, of which `handled` more are handled.
    pub(crate) fn put_back(&mut self, mut unhandled: Unhandled, handled: usize) {
        unhandled.from += handled;
        if unhandled.from < unhandled.bytes.len() {
            self.0 = Some(Box::new(Held::Unhandled(unhandled)));
        }
    }

    /// Length of the frame whose beginning is held, as far as known; 0: none is held.
    pub(crate) fn need(&self) -> usize {
        self.part().map_or(0, |part| part.need)
    }

    /// Bytes of that frame that have arrived.
    pub(crate) fn held(&self) -> usize {
        self.part().map_or(0, |part| part.held.len())
    }

    /// Bytes of memory in use.
    pub(crate) fn memory(&self) -> usize {
        self.0.as_deref().map_or(0, |held| {
            let bytes = match held {
                Held::Part(part) => &part.held,
                Held::Unhandled(unhandled) => &unhandled.bytes,
            };
            bytes.capacity() + size_of::<Held>()
        })
    }

    /// Has nothing of a frame arrived?
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn part(&self) -> Option<&Part> {
        match self.0.as_deref() {
            Some(Held::Part(part)) => Some(part),
            _ => None,
        }
    }
}

impl Unhandled {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

impl Part {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        mut socket: Pin<&mut impl AsyncRead>,
    ) -> Poll<io::Result<(usize, Got)>> {
        // memory follows the bytes that arrived, not the announced length: the reserve is as large again, and at least
        // the size of the shared buffer (of which the system provides only pages that are written)
        let held = self.held.len();
        let room = (held * 2).max(SHARED_BUFFER).min(self.need) - held;
        self.held.reserve_exact(room);
        let mut into = (&mut self.held).limit(room);
        let read = std::task::ready!(pin!(socket.read_buf(&mut into)).poll(cx))?;
        Poll::Ready(Ok((
            read,
            match self.held.len() {
                _ if read == 0 => Got::End,
                all if all == self.need => Got::Own,
                _ => Got::More,
            },
        )))
    }
}
