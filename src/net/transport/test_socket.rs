//! [`TestSocket`]: a client without a socket, for tests of transports.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::Stream;

/// A client that sends on request, and accepts output if it has room.
#[derive(Default)]
pub(crate) struct TestSocket {
    pub(crate) says: Vec<u8>,
    pub(crate) took: Vec<u8>,
    pub(crate) room: usize,
}

impl AsyncRead for TestSocket {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.says.is_empty() {
            return Poll::Pending;
        }
        buf.put_slice(&std::mem::take(&mut self.says));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TestSocket {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let part = buf.len().min(self.room);
        self.room -= part;
        self.took.extend_from_slice(&buf[..part]);
        if part == 0 { Poll::Pending } else { Poll::Ready(Ok(part)) }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Stream for TestSocket {}
