//! Reading frames: [`Inbound`] removes headers and masks from bytes in place. Pure.

use std::io::Cursor;

use thiserror::Error;
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// The state of a client's frames.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// The beginning of an incomplete header.
    header: [u8; LONGEST_HEADER],
    held: u8,
    /// Bytes of the frame that have not arrived.
    left: u64,
    /// The mask, turned to the next byte.
    mask: [u8; 4],
    /// A control frame that is not complete.
    control: Option<Box<(Control, Vec<u8>)>>,
    /// The message continues in further frames.
    fragmented: bool,
    /// The longest frame that is accepted.
    longest: u32,
}

/// The request of a control frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A ping: answer with the same bytes.
    Pong(Vec<u8>),
    /// A close: answer with the same code.
    Close(Option<u16>),
}

/// A violation of RFC 6455 or MQTT.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum Violation {
    #[error("a WebSocket frame that is not masked (RFC 6455 section 5.1)")]
    NotMasked,
    #[error("a WebSocket frame of text; MQTT is in binary ones [MQTT-6.0.0-1]")]
    Text,
    #[error("a WebSocket frame that is longer than limits.max_packet_size")]
    TooLong,
    #[error("a WebSocket frame with reserved bits or a reserved opcode (RFC 6455 section 5.2)")]
    Reserved,
    #[error("a WebSocket frame that does not continue the message before it, or continues none (RFC 6455 section 5.4)")]
    Fragments,
    #[error("a WebSocket control frame that is fragmented, longer than 125 bytes or malformed (RFC 6455 section 5.5)")]
    Control,
}

impl Violation {
    /// The code of the close frame (RFC 6455 section 7.4.1).
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::NotMasked | Self::Reserved | Self::Fragments | Self::Control => 1002,
            Self::Text => 1003,
            Self::TooLong => 1009,
        }
    }
}

impl Inbound {
    /// `longest`: bytes of the longest frame.
    pub(crate) fn new(longest: usize) -> Self {
        let longest = u32::try_from(longest).unwrap_or(u32::MAX);
        Self { header: [0; LONGEST_HEADER], held: 0, left: 0, mask: [0; 4], control: None, fragmented: false, longest }
    }

    /// Takes bytes that were read, and moves their payload to the front. Returns the length of the payload. Calls
    /// `asked` for control frames. Ignores bytes behind a close.
    pub(crate) fn take(&mut self, bytes: &mut [u8], mut asked: impl FnMut(Asked)) -> Result<usize, Violation> {
        let (mut at, mut out) = (0, 0);
        while at < bytes.len() {
            if self.left == 0 {
                at += self.take_header(&bytes[at..])?;
            }
            let part = usize::try_from(self.left).map_or(bytes.len() - at, |left| left.min(bytes.len() - at));
            unmask(&mut bytes[at..at + part], &mut self.mask);
            self.left -= part as u64;
            match &mut self.control {
                Some(control) => control.1.extend_from_slice(&bytes[at..at + part]),
                None => {
                    if at != out {
                        bytes.copy_within(at..at + part, out);
                    }
                    out += part;
                }
            }
            at += part;
            if self.left == 0
                && self.held == 0
                && let Some(control) = self.control.take()
            {
                match *control {
                    (Control::Ping, payload) => asked(Asked::Pong(payload)),
                    (Control::Close, payload) => {
                        asked(Asked::Close(close_code(&payload)?));
                        return Ok(out);
                    }
                    _ => {}
                }
            }
        }
        Ok(out)
    }

    /// Number of bytes in `bytes` that belong to the header. An incomplete header is held.
    fn take_header(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        if self.held == 0 {
            if let Some((taken, length, mask)) = plain_header(bytes)
                && !self.fragmented
                && length <= self.longest.into()
            {
                (self.left, self.mask) = (length, mask);
                return Ok(taken);
            }
            let mut cursor = Cursor::new(bytes);
            if let Some((header, length)) = parse(&mut cursor)? {
                self.begin(&header, length)?;
                return Ok(usize::try_from(cursor.position()).unwrap_or(bytes.len()));
            }
        }
        for (taken, byte) in bytes.iter().enumerate() {
            self.header[usize::from(self.held)] = *byte;
            self.held += 1;
            let held = usize::from(self.held);
            if let Some((header, length)) = parse(&mut Cursor::new(&self.header[..held]))? {
                self.held = 0;
                self.begin(&header, length)?;
                return Ok(taken + 1);
            }
        }
        Ok(bytes.len())
    }

    fn begin(&mut self, header: &FrameHeader, length: u64) -> Result<(), Violation> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Violation::Reserved);
        }
        self.mask = match header.mask {
            Some(mask) => mask,
            // paho-mqtt for Python answers pings like this; a pong has no effect
            None if header.opcode == OpCode::Control(Control::Pong) => [0; 4],
            None => return Err(Violation::NotMasked),
        };
        match header.opcode {
            OpCode::Control(_) if !header.is_final || length > LONGEST_CONTROL => return Err(Violation::Control),
            OpCode::Control(control) => self.control = Some(Box::new((control, Vec::new()))),
            OpCode::Data(Data::Text) => return Err(Violation::Text),
            OpCode::Data(data) => {
                if self.fragmented != (data == Data::Continue) {
                    return Err(Violation::Fragments);
                }
                if length > self.longest.into() {
                    return Err(Violation::TooLong);
                }
                self.fragmented = !header.is_final;
            }
        }
        self.left = length;
        Ok(())
    }
}

/// The header of a short binary frame that is a whole message, as nearly all are: its length, the length of the
/// payload, and the mask. Other headers take the slower way, which also detects errors.
#[inline]
fn plain_header(bytes: &[u8]) -> Option<(usize, u64, [u8; 4])> {
    const BINARY: u8 = 0x82;
    match *bytes {
        [BINARY, length @ 0x80..0xfe, a, b, c, d, ..] => Some((6, u64::from(length & 0x7f), [a, b, c, d])),
        [BINARY, 0xfe, high, low, a, b, c, d, ..] => Some((8, u16::from_be_bytes([high, low]).into(), [a, b, c, d])),
        _ => None,
    }
}

fn parse(cursor: &mut Cursor<&[u8]>) -> Result<Option<(FrameHeader, u64)>, Violation> {
    FrameHeader::parse(cursor).map_err(|_| Violation::Reserved)
}

/// The code of a close frame, if it has one (RFC 6455 section 5.5.1).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    match payload {
        [] => Ok(None),
        [high, low, ..] => match u16::from_be_bytes([*high, *low]) {
            // codes that an endpoint must not send
            0..1000 | 1004..=1006 | 1015 | 5000.. => Err(Violation::Control),
            code => Ok(Some(code)),
        },
        [_] => Err(Violation::Control),
    }
}

/// Removes the mask (RFC 6455 section 5.3), and turns it to the next byte.
fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    const WIDE: usize = 8;
    let mut wide = [0; WIDE];
    wide[..4].copy_from_slice(mask);
    wide[4..].copy_from_slice(mask);
    let mut chunks = bytes.chunks_exact_mut(WIDE);
    let word = u64::from_ne_bytes(wide);
    for chunk in &mut chunks {
        let mut eight = [0; WIDE];
        eight.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ word).to_ne_bytes());
    }
    let rest = chunks.into_remainder();
    rest.iter_mut().zip(wide).for_each(|(byte, mask)| *byte ^= mask);
    mask.rotate_left(rest.len() % 4);
}

/// RFC 6455 section 5.2.
const LONGEST_HEADER: usize = 14;
/// RFC 6455 section 5.5.
const LONGEST_CONTROL: u64 = 125;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BINARY: u8 = 0x82;
    const PING: u8 = 0x89;
    const CLOSE: u8 = 0x88;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut mask = [1, 2, 3, 4];
        let mut bytes = vec![first];
        match payload.len() {
            n @ 0..126 => bytes.push(0x80 | n as u8),
            n @ 126..65_536 => bytes.extend([&[0x80 | 126][..], &(n as u16).to_be_bytes()].concat()),
            n => bytes.extend([&[0x80 | 127][..], &(n as u64).to_be_bytes()].concat()),
        }
        bytes.extend(mask);
        let mut payload = payload.to_vec();
        unmask(&mut payload, &mut mask);
        bytes.extend(payload);
        bytes
    }

    type Read = Result<(Vec<u8>, Vec<Asked>), Violation>;

    /// The payload that is read if the bytes arrive in parts of these sizes.
    fn read(bytes: &[u8], parts: &[usize]) -> Read {
        let mut inbound = Inbound::new(100_000);
        let (mut all, mut asked, mut rest) = (Vec::new(), Vec::new(), bytes);
        let mut sizes = parts.iter().copied().cycle();
        while !rest.is_empty() {
            let (part, after) = rest.split_at(sizes.next().unwrap_or(usize::MAX).min(rest.len()));
            let mut part = part.to_vec();
            let n = inbound.take(&mut part, |a| asked.push(a))?;
            all.extend(&part[..n]);
            rest = after;
        }
        Ok((all, asked))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

        #[test]
        fn frames_are_read_alike_however_they_arrive(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8),
            pings in any::<u8>(),
            parts in prop::collection::vec(1usize..40, 1..6),
        ) {
            let (mut bytes, mut expected, mut asked) = (Vec::new(), Vec::new(), Vec::new());
            let last = payloads.len() - 1;
            for (at, payload) in payloads.iter().enumerate() {
                // one message of many frames, with pings between them
                let first = if at == 0 { 0x02 } else { 0x00 } | if at == last { 0x80 } else { 0 };
                bytes.extend(frame(first, payload));
                expected.extend(payload);
                if pings & (1 << at) != 0 {
                    let ping = &payload[..payload.len().min(125)];
                    bytes.extend(frame(PING, ping));
                    asked.push(Asked::Pong(ping.to_vec()));
                }
            }
            prop_assert_eq!(read(&bytes, &parts), Ok((expected, asked)));
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400), part in 1usize..50) {
            let _ = read(&bytes, &[part]);
        }
    }

    #[test]
    fn large_frames_and_empty_ones() {
        let large = vec![7; 70_000];
        let bytes = [frame(BINARY, &[]), frame(BINARY, &large), frame(0x8a, b"x"), frame(PING, &[])].concat();
        for parts in [&[usize::MAX][..], &[1, 2, 3], &[4096]] {
            assert_eq!(read(&bytes, parts), Ok((large.clone(), vec![Asked::Pong(vec![])])));
        }
    }

    #[test]
    fn pongs_are_heard_also_without_a_mask() {
        let bytes = [frame(BINARY, b"a"), vec![0x8a, 0], frame(0x8a, b"pong"), vec![0x8a, 1, 7], frame(BINARY, b"b")];
        for parts in [&[usize::MAX][..], &[1]] {
            assert_eq!(read(&bytes.concat(), parts), Ok((b"ab".to_vec(), vec![])));
        }
    }

    #[test]
    fn frames_after_a_close_are_ignored() {
        let bytes = [frame(BINARY, b"a"), frame(CLOSE, &[3, 232]), frame(BINARY, b"b")].concat();
        assert_eq!(read(&bytes, &[usize::MAX]), Ok((b"a".to_vec(), vec![Asked::Close(Some(1000))])));
    }

    #[test]
    fn violations() {
        let table: &[(Vec<u8>, Violation)] = &[
            (vec![BINARY, 0], Violation::NotMasked),
            (vec![BINARY, 5, 1, 2, 3, 4, 5], Violation::NotMasked),
            (vec![PING, 0], Violation::NotMasked),
            (vec![CLOSE, 0], Violation::NotMasked),
            (vec![0x0a, 0], Violation::Control),
            (frame(0x81, b"text"), Violation::Text),
            (frame(0xc2, b""), Violation::Reserved),
            (frame(0x83, b""), Violation::Reserved),
            (frame(0x8b, b""), Violation::Reserved),
            (frame(0x80, b""), Violation::Fragments),
            ([frame(0x02, b""), frame(BINARY, b"")].concat(), Violation::Fragments),
            (frame(0x09, b""), Violation::Control),
            (frame(PING, &[0; 126]), Violation::Control),
            (frame(CLOSE, &[3]), Violation::Control),
            (frame(CLOSE, &[0, 1]), Violation::Control),
            (frame(BINARY, &[0; 100_001]), Violation::TooLong),
            ([&[BINARY, 0xff][..], &[0xff; 8], &[0; 4]].concat(), Violation::TooLong),
        ];
        for (bytes, violation) in table {
            for parts in [&[usize::MAX][..], &[1]] {
                assert_eq!(read(bytes, parts), Err(*violation), "{:?}", &bytes[..bytes.len().min(20)]);
            }
        }
    }
}
