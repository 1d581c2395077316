//! [`spoken`]: recognizes a client's protocol by its first bytes. It is called if they do not fit the listener, so that
//! the log tells the operator whether the client or the listener has the wrong configuration.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::stream::writes_to_its_socket;

/// Names of [`spoken`].
pub(crate) const TLS: &str = "TLS";
pub(crate) const MQTT: &str = "MQTT";

/// The known protocol that begins with these bytes; its name follows "the client speaks".
pub(crate) fn spoken(bytes: &[u8]) -> Option<&'static str> {
    const HANDSHAKE: u8 = 0x16;
    const CONNECT: u8 = 0x10;
    match bytes {
        // records have the versions 3.1 to 3.4
        [HANDSHAKE, 3, ..] => Some(TLS),
        [CONNECT, ..] => Some(MQTT),
        _ if PROXY_HEADERS.iter().any(|header| bytes.starts_with(header)) => {
            Some("the PROXY protocol (see proxy_protocol)")
        }
        _ if METHODS.iter().any(|method| bytes.starts_with(method)) => Some("HTTP"),
        _ => None,
    }
}

const METHODS: [&[u8]; 10] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"OPTIONS ",
    b"DELETE ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
    // HTTP/2
    b"PRI ",
];

const PROXY_HEADERS: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];

/// A socket that remembers the first bytes that were read from it.
pub(crate) struct FirstBytes<S> {
    socket: S,
    first: [u8; 12],
    filled: u8,
}

impl<S> FirstBytes<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self { socket, first: [0; 12], filled: 0 }
    }

    pub(crate) fn first(&self) -> &[u8] {
        &self.first[..usize::from(self.filled)]
    }

    pub(crate) fn into_inner(self) -> S {
        self.socket
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstBytes<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        let from = usize::from(self.filled);
        let read = &buf.filled()[before..];
        let part = read.len().min(self.first.len() - from);
        self.first[from..from + part].copy_from_slice(&read[..part]);
        self.filled += part as u8;
        Poll::Ready(Ok(()))
    }
}

writes_to_its_socket!(FirstBytes<S>, for any S);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[test]
    fn protocols_by_their_first_bytes() {
        let table: &[(&[u8], Option<&str>)] = &[
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Some("TLS")),
            (b"\x16\x06", None),
            (b"\x10\x0c\x00\x04MQTT\x04", Some("MQTT")),
            (b"GET / HTTP/1.1\r\n", Some("HTTP")),
            (b"PRI * HTTP/2.0\r\n", Some("HTTP")),
            (b"CONNECT a:1 HTTP/1.1\r\n", Some("HTTP")),
            (b"GETS", None),
            (b"PROXY TCP4 ", Some("the PROXY protocol (see proxy_protocol)")),
            (b"\r\n\r\n\0\r\nQUIT\n\x21", Some("the PROXY protocol (see proxy_protocol)")),
            (b"\xc0\x00", None),
            (b"SSH-2.0-OpenSSH_9.6\r\n", None),
            (b"", None),
        ];
        for (bytes, name) in table {
            assert_eq!(spoken(bytes), *name, "{bytes:?}");
        }
    }

    #[test]
    fn the_first_bytes_are_recorded_in_reads_of_any_size() {
        let bytes: Vec<u8> = (0..40).collect();
        for chunk in 1..bytes.len() {
            let mut socket = FirstBytes::new(&bytes[..]);
            let mut read = Vec::new();
            let reading = async {
                let mut part = vec![0; chunk];
                loop {
                    match socket.read(&mut part).await.unwrap() {
                        0 => break,
                        n => read.extend_from_slice(&part[..n]),
                    }
                }
            };
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(reading);
            assert_eq!((socket.first(), &read), (&bytes[..12], &bytes), "{chunk}");
        }
    }
}
