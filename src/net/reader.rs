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

/// The part of a frame that has arrived.
#[derive(Debug, Default)]
pub(super) struct Reader {
    held: Vec<u8>,
    /// Bytes that the whole frame will have, as far as known.
    need: usize,
}

/// Size of the buffer that the connections of a thread share.
pub(super) const SHARED_BUFFER: usize = 256 << 10;

/// A frame up to this size is completed in the shared buffer, a larger one in a buffer of its own.
const COMPLETE_IN_SHARED: usize = SHARED_BUFFER / 2;

/// What one read gave.
#[derive(Debug)]
pub(super) enum Got {
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
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        socket: Pin<&mut impl AsyncRead>,
        shared: &mut [u8],
    ) -> Poll<io::Result<(usize, Got)>> {
        if self.need > COMPLETE_IN_SHARED {
            return self.poll_read_own(cx, socket);
        }
        let held = self.held.len();
        let mut buf = ReadBuf::new(&mut shared[held..]);
        std::task::ready!(socket.poll_read(cx, &mut buf))?;
        let read = buf.filled().len();
        if read == 0 {
            return Poll::Ready(Ok((0, Got::End)));
        }
        if held > 0 {
            shared[..held].copy_from_slice(&self.held);
            self.held = Vec::new();
            self.need = 0;
        }
        Poll::Ready(Ok((read, Got::Shared(held + read))))
    }

    fn poll_read_own(
        &mut self,
        cx: &mut Context<'_>,
        mut socket: Pin<&mut impl AsyncRead>,
    ) -> Poll<io::Result<(usize, Got)>> {
        // memory follows what has arrived, not what a length announces: at most as much again
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

    /// The whole frame of [`Got::Own`].
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.need = 0;
        std::mem::take(&mut self.held)
    }

    /// Holds the beginning of a frame, of which `need` bytes are to come in all.
    pub(super) fn hold(&mut self, part: &[u8], need: usize) {
        self.held = part.to_vec();
        self.need = need;
    }

    /// Nothing of a frame has arrived.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}
