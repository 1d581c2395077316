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

/// The part of a frame that has arrived, if any.
#[derive(Debug, Default)]
pub(crate) struct Reader(Option<Box<Part>>);

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
        let held = match &mut self.0 {
            Some(part) if part.need > COMPLETE_IN_SHARED => return part.poll_read(cx, socket),
            Some(part) => part.held.len(),
            None => 0,
        };
        let mut buf = ReadBuf::new(&mut shared[held..]);
        std::task::ready!(socket.poll_read(cx, &mut buf))?;
        let read = buf.filled().len();
        if read == 0 {
            return Poll::Ready(Ok((0, Got::End)));
        }
        if let Some(part) = self.0.take() {
            shared[..held].copy_from_slice(&part.held);
        }
        Poll::Ready(Ok((read, Got::Shared(held + read))))
    }

    /// The whole frame of [`Got::Own`].
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.0.take().map_or_else(Vec::new, |part| part.held)
    }

    /// Holds the beginning of a frame, of which `need` bytes are to come in all.
    pub(crate) fn hold(&mut self, part: &[u8], need: usize) {
        self.0 = Some(Box::new(Part { held: part.to_vec(), need }));
    }

    /// Bytes that the frame whose beginning is held will have, as far as known; 0 where none is.
    pub(crate) fn need(&self) -> usize {
        self.0.as_ref().map_or(0, |part| part.need)
    }

    /// Bytes of that frame that have arrived.
    pub(crate) fn held(&self) -> usize {
        self.0.as_ref().map_or(0, |part| part.held.len())
    }

    /// Bytes of memory for it.
    pub(crate) fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, |part| part.held.capacity() + size_of::<Part>())
    }

    /// Nothing of a frame has arrived.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
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
