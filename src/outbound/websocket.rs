//! WebSocket (RFC 6455) as a client, below MQTT (MQTT 3.1.1 section 6): the upgrade request, and the stream of bytes in
//! binary frames. Sent frames are masked, received frames are not.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{
    Target,
    line::{ConnectError, Line},
};

/// An upgraded connection.
pub(super) struct WebSocket {
    line: Box<dyn Line>,
    /// Bytes that were read and not taken yet.
    read: Vec<u8>,
    /// Position of the first byte that was not taken.
    at: usize,
    /// Payload bytes of the current frame that are still to be read.
    left: u64,
    /// Opcode of the current frame if it is a control frame.
    control: Option<u8>,
    /// Frames that are still to be written.
    out: Vec<u8>,
    /// The last ping that is to be answered, when the line has taken the rest: earlier ones need no answer (RFC 6455
    /// section 5.5.3).
    ping: Option<Vec<u8>>,
    masks: RandomState,
    sent: u64,
    closed: bool,
}

const CONTINUATION: u8 = 0x0;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
/// Largest payload of a sent frame, and largest read, in bytes.
const FRAME: usize = 64 << 10;
/// Largest answer to the upgrade request in bytes.
const LONGEST_ANSWER: usize = 16 << 10;
/// RFC 6455 section 1.3.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Sends the upgrade request and reads the answer.
pub(super) async fn upgrade(mut line: Box<dyn Line>, target: &Target) -> Result<WebSocket, ConnectError> {
    let lost = |error: io::Error| ConnectError::WebSocket(error.to_string());
    let masks = RandomState::new();
    let nonce: Vec<u8> = [1_u8, 2].iter().flat_map(|n| masks.hash_one(n).to_be_bytes()).collect();
    let key = BASE64_STANDARD.encode(nonce);
    let Target { host, port, path, .. } = target;
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    line.write_all(request.as_bytes()).await.map_err(lost)?;
    line.flush().await.map_err(lost)?;
    let mut answer = Vec::new();
    let end = loop {
        if let Some(end) = memchr::memmem::find(&answer, b"\r\n\r\n") {
            break end;
        }
        if answer.len() > LONGEST_ANSWER {
            return Err(ConnectError::WebSocket("the answer is too long".into()));
        }
        if line.read_buf(&mut answer).await.map_err(lost)? == 0 {
            return Err(ConnectError::WebSocket("the server closed the connection without an answer".into()));
        }
    };
    check_answer(&String::from_utf8_lossy(&answer[..end]), &key).map_err(ConnectError::WebSocket)?;
    let read = answer.split_off(end + 4);
    let (at, left, control, out, ping, sent, closed) = Default::default();
    Ok(WebSocket { line, read, at, left, control, out, ping, masks, sent, closed })
}

fn check_answer(answer: &str, key: &str) -> Result<(), String> {
    let mut lines = answer.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("101") {
        let status: String = status.chars().filter(|c| !c.is_control()).take(100).collect();
        return Err(format!("the answer is {status:?}, not 101; is the path right?"));
    }
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let header = |name: &str| headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{MAGIC}").as_bytes());
    if header("Sec-WebSocket-Accept") != Some(BASE64_STANDARD.encode(digest).as_str()) {
        return Err("the answer is not to this request (Sec-WebSocket-Accept)".into());
    }
    match header("Sec-WebSocket-Protocol") {
        Some("mqtt") => Ok(()),
        _ => Err("the server does not speak MQTT over WebSocket at this path (Sec-WebSocket-Protocol)".into()),
    }
}

/// Decodes a frame's header: opcode, length of the payload, length of the header.
fn header(bytes: &[u8]) -> Result<Option<(u8, u64, usize)>, io::Error> {
    let wrong = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if second & 0x80 != 0 {
        return wrong("a masked WebSocket frame from a server");
    }
    if first & 0x70 != 0 {
        return wrong("a WebSocket frame with reserved bits");
    }
    let opcode = first & 0x0F;
    let found = match second & 0x7F {
        126 => rest.first_chunk().map(|n| (u64::from(u16::from_be_bytes(*n)), 4)),
        127 => rest.first_chunk().map(|n| (u64::from_be_bytes(*n), 10)),
        length => Some((length.into(), 2)),
    };
    let Some((length, taken)) = found else { return Ok(None) };
    match opcode {
        CONTINUATION | BINARY => {}
        CLOSE | PING | PONG if length <= 125 && first & 0x80 != 0 => {}
        CLOSE | PING | PONG => return wrong("a WebSocket control frame that is too long or fragmented"),
        _ => return wrong("a WebSocket frame that is not binary"),
    }
    Ok(Some((opcode, length, taken)))
}

impl WebSocket {
    /// Appends a frame.
    fn frame(&mut self, opcode: u8, payload: &[u8]) {
        self.sent += 1;
        let mask = (self.masks.hash_one(self.sent) as u32).to_be_bytes();
        self.out.push(0x80 | opcode);
        match payload.len() {
            length @ 0..126 => self.out.push(0x80 | length as u8),
            length @ 126..0x1_0000 => {
                self.out.push(0x80 | 126);
                self.out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                self.out.push(0x80 | 127);
                self.out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        self.out.extend_from_slice(&mask);
        self.out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }

    /// Writes the rest of the frames.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.out.is_empty() {
                match self.ping.take() {
                    Some(payload) => self.frame(PONG, &payload),
                    None => return Poll::Ready(Ok(())),
                }
            }
            let taken = ready!(Pin::new(&mut self.line).poll_write(cx, &self.out))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.drain(..taken);
        }
    }

    /// Takes payload from what was read. `false`: more must be read.
    fn take(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<bool> {
        loop {
            let rest = &self.read[self.at..];
            if let Some(opcode) = self.control {
                let length = self.left as usize;
                let Some(payload) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(false) };
                self.at += length;
                (self.left, self.control) = (0, None);
                match opcode {
                    PING => self.ping = Some(payload),
                    CLOSE => {
                        self.frame(CLOSE, payload.get(..2).unwrap_or_default());
                        (self.closed, self.ping) = (true, None);
                        return Ok(true);
                    }
                    _ => {}
                }
            } else if self.left > 0 {
                let taken = rest.len().min(buf.remaining()).min(usize::try_from(self.left).unwrap_or(usize::MAX));
                buf.put_slice(&rest[..taken]);
                self.at += taken;
                self.left -= taken as u64;
                if taken == 0 || buf.remaining() == 0 {
                    return Ok(buf.remaining() == 0 || !buf.filled().is_empty());
                }
            } else {
                match header(rest)? {
                    Some((opcode, length, taken)) => {
                        self.at += taken;
                        self.left = length;
                        self.control = matches!(opcode, CLOSE | PING | PONG).then_some(opcode);
                    }
                    None => return Ok(!buf.filled().is_empty()),
                }
            }
        }
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if this.closed {
                let _sent = this.poll_out(cx);
                return Poll::Ready(Ok(()));
            }
            let taken = this.take(buf)?;
            // writes the answer to a ping
            if let Poll::Ready(Err(error)) = this.poll_out(cx) {
                return Poll::Ready(Err(error));
            }
            if taken {
                return Poll::Ready(Ok(()));
            }
            this.read.drain(..this.at);
            this.at = 0;
            let before = this.read.len();
            this.read.resize(before + FRAME, 0);
            let mut more = ReadBuf::new(&mut this.read[before..]);
            let polled = Pin::new(&mut this.line).poll_read(cx, &mut more);
            let got = more.filled().len();
            this.read.truncate(before + got);
            ready!(polled)?;
            if got == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        let taken = bytes.len().min(FRAME);
        this.frame(BINARY, &bytes[..taken]);
        // the rest is written by a later call
        if let Poll::Ready(Err(error)) = this.poll_out(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.line).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closed {
            (this.closed, this.ping) = (true, None);
            this.frame(CLOSE, &1000_u16.to_be_bytes());
        }
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.line).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_pings_are_one_answer() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let (at, left, control, out, ping, sent, closed) = Default::default();
        let (line, masks) = (Box::new(ours), RandomState::new());
        let mut read = Vec::new();
        for n in 0..10_000_u32 {
            read.extend_from_slice(&[0x89, 4]);
            read.extend_from_slice(&n.to_be_bytes());
        }
        read.extend_from_slice(&[0x82, 1, b'x']);
        let mut socket = WebSocket { line, read, at, left, control, out, ping, masks, sent, closed };
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            assert_eq!(socket.read_u8().await.unwrap(), b'x');
            assert!(socket.out.is_empty() && socket.ping.is_none());
            let mut pong = [0; 10];
            theirs.read_exact(&mut pong).await.unwrap();
            assert_eq!(pong[..2], [0x8A, 0x84]);
            let payload: Vec<u8> = (0..4).map(|n| pong[6 + n] ^ pong[2 + n]).collect();
            assert_eq!(payload, 9_999_u32.to_be_bytes());
            drop(socket);
            assert_eq!(theirs.read(&mut pong).await.unwrap(), 0, "there was one answer");
        });
    }
}
