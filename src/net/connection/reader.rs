//! [`Reader`]: bytes from a socket, until whole frames are there. A connection that waits holds only the bytes of the
//! frame that is not complete; everything else passes through a buffer that all connections of a thread share.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// The part of a frame that has arrived, or what was read and is not handled yet, if any.
#[derive(Debug, Default)]
pub(crate) struct Reader(Option<Box<Held>>);

#[derive(Debug)]
enum Held {
    Part(Part),
    Unhandled(Unhandled),
}

/// Bytes for which a turn was too short: nothing is read while there are any.
#[derive(Debug)]
pub(crate) struct Unhandled {
    bytes: Vec<u8>,
    /// Those in front of this are handled.
    from: usize,
}

#[derive(Debug)]
struct Part {
    held: Vec<u8>,
    /// Bytes that the whole frame will have, as far as known.
    need: usize,
}

/// Size of the buffer that the connections of a thread share.
pub(crate) const SHARED_BUFFER: usize = 256 << 10;

/// A frame up to this size is completed in the shared buffer, a larger one in a buffer of its own.
const COMPLETE_IN_SHARED: usize = SHARED_BUFFER / 2;

/// What one read gave.
#[derive(Debug)]
pub(crate) enum Got {
    /// This many bytes at the front of the shared buffer, those that were held among them.
    Shared(usize),
    /// One whole frame, in the buffer that [`Reader::take`] gives.
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
            // it would get in front of them: it is not asked
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

    /// Holds the beginning of a frame, of which `need` bytes are to come in all.
    pub(crate) fn hold(&mut self, part: &[u8], need: usize) {
        self.0 = Some(Box::new(Held::Part(Part { held: part.to_vec(), need })));
    }

    /// Keeps bytes that are to be handled before more is read.
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

    /// Takes them; what is still not handled is to be [put back](Self::put_back).
    pub(crate) fn take_unhandled(&mut self) -> Option<Unhandled> {
        match self.0.take().map(|held| *held) {
            Some(Held::Unhandled(unhandled)) => Some(unhandled),
            part => {
                self.0 = part.map(Box::new);
                None
            }
        }
    }

    /// So many more of these bytes are handled.
    pub(crate) fn put_back(&mut self, mut unhandled: Unhandled, handled: usize) {
        unhandled.from += handled;
        if unhandled.from < unhandled.bytes.len() {
            self.0 = Some(Box::new(Held::Unhandled(unhandled)));
        }
    }

    /// Bytes that the frame whose beginning is held will have, as far as known; 0 where none is.
    pub(crate) fn need(&self) -> usize {
        self.part().map_or(0, |part| part.need)
    }

    /// Bytes of that frame that have arrived.
    pub(crate) fn held(&self) -> usize {
        self.part().map_or(0, |part| part.held.len())
    }

    /// Bytes of memory for it.
    pub(crate) fn memory(&self) -> usize {
        self.0.as_deref().map_or(0, |held| {
            let bytes = match held {
                Held::Part(part) => &part.held,
                Held::Unhandled(unhandled) => &unhandled.bytes,
            };
            bytes.capacity() + size_of::<Held>()
        })
    }

    /// Nothing of a frame has arrived.
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
        // memory follows what has arrived, not what a length announces: what is reserved beyond is as much again, at
        // least the size of the shared buffer (of which the system gives what is written to)
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
