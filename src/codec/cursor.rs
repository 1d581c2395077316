//! The wire cursor: reads the data types of MQTT (section 1.5) from the front of a packet's body. It checks bounds and
//! UTF-8, and does not know packets.

use crate::{
    topic::{TopicFilter, TopicName},
    types::PacketId,
};

use super::{DecodeError, Field};

/// The bytes that are left. Each method takes one field from the front, and names that field in its error.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(super) fn u8(&mut self, field: Field) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.0.split_first().ok_or(DecodeError::Truncated(field))?;
        self.0 = rest;
        Ok(byte)
    }

    #[inline]
    pub(super) fn u16(&mut self, field: Field) -> Result<u16, DecodeError> {
        let (&bytes, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated(field))?;
        self.0 = rest;
        Ok(u16::from_be_bytes(bytes))
    }

    #[inline]
    pub(super) fn u32(&mut self, field: Field) -> Result<u32, DecodeError> {
        let (&bytes, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated(field))?;
        self.0 = rest;
        Ok(u32::from_be_bytes(bytes))
    }

    /// Takes a zero byte from the front. `false`: the next byte is another one, or there is none.
    #[inline]
    pub(super) fn take_zero(&mut self) -> bool {
        let [0, rest @ ..] = self.0 else { return false };
        self.0 = rest;
        true
    }

    /// A Variable Byte Integer (MQTT 5 section 1.5.5): at most four bytes, in the shortest form.
    pub(super) fn variable(&mut self, field: Field) -> Result<u32, DecodeError> {
        let mut number = 0;
        for at in 0..4 {
            let byte = self.u8(field)?;
            number |= u32::from(byte & 0x7F) << (7 * at);
            match byte {
                0 if at > 0 => break,
                0..0x80 => return Ok(number),
                _ => {}
            }
        }
        Err(DecodeError::VariableByteInteger(field))
    }

    /// This number of bytes.
    #[inline]
    pub(super) fn take(&mut self, length: usize, field: Field) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Truncated(field))?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Packet Identifier (section 2.3.1).
    #[inline]
    pub(super) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16(Field::PacketId)?).ok_or(DecodeError::PacketIdZero)
    }

    /// Bytes after a length of two bytes.
    #[inline]
    pub(super) fn binary(&mut self, field: Field) -> Result<&'a [u8], DecodeError> {
        let length = usize::from(self.u16(field)?);
        self.take(length, field)
    }

    /// UTF-8 encoded string (section 1.5.3). A byte order mark stays [MQTT-1.5.3-3].
    pub(super) fn text(&mut self, field: Field) -> Result<&'a str, DecodeError> {
        let text = utf8(self.binary(field)?, field)?;
        if memchr::memchr(0, text.as_bytes()).is_some() {
            return Err(DecodeError::NullInText(field));
        }
        Ok(text)
    }

    /// Takes a valid [`text`](Self::text) that is not used further.
    #[inline]
    pub(super) fn check_text(&mut self, field: Field) -> Result<(), DecodeError> {
        let mut all = *self;
        if is_plain_ascii(self.binary(field)?) { Ok(()) } else { all.text(field).map(drop) }
    }

    pub(super) fn topic_name(&mut self, field: Field) -> Result<&'a TopicName, DecodeError> {
        topic_name(self.binary(field)?, field)
    }

    pub(super) fn topic_filter(&mut self) -> Result<&'a TopicFilter, DecodeError> {
        let field = Field::TopicFilter;
        TopicFilter::new(utf8(self.binary(field)?, field)?).map_err(|error| DecodeError::Topic { field, error })
    }

    /// All bytes that are left.
    #[inline]
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// An error if bytes are left.
    #[inline]
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes(self.0.len())) }
    }
}

/// Checks a Topic Name of at most 65,535 bytes.
#[inline]
pub(super) fn topic_name(bytes: &[u8], field: Field) -> Result<&TopicName, DecodeError> {
    let text = utf8(bytes, field)?;
    if is_plain(bytes) {
        return Ok(TopicName::from_valid(text));
    }
    TopicName::new(text).map_err(|error| DecodeError::Topic { field, error })
}

/// True if `bytes` are 1 to 64 without U+0000, `+` and `#`, as in nearly all Topic Names: checks eight bytes at a time,
/// because a call of `memchr3` would cost more. False says nothing.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    match bytes.last_chunk() {
        // the last eight bytes overlap the ones before if the length is not a multiple of eight
        Some(last) if bytes.len() <= 64 => {
            bytes.as_chunks().0.iter().fold(special(last), |found, chunk| found | special(chunk)) == 0
        }
        Some(_) => false,
        None => !bytes.is_empty() && !bytes.iter().any(|byte| matches!(byte, 0 | b'+' | b'#')),
    }
}

/// True if `bytes` are at most 64, all ASCII and not U+0000, so they are valid text. False says nothing.
#[inline]
fn is_plain_ascii(bytes: &[u8]) -> bool {
    match bytes.last_chunk() {
        Some(last) if bytes.len() <= 64 => {
            bytes.as_chunks().0.iter().fold(no_text(last), |found, chunk| found | no_text(chunk)) == 0
        }
        Some(_) => false,
        None => bytes.iter().all(|byte| (1..0x80).contains(byte)),
    }
}

/// Is not 0 exactly if one of the eight bytes is U+0000, `+` or `#`.
#[inline]
fn special(chunk: &[u8; 8]) -> u64 {
    let word = u64::from_ne_bytes(*chunk);
    zero(word) | zero(word ^ all(b'+')) | zero(word ^ all(b'#'))
}

/// Is not 0 exactly if one of the eight bytes is U+0000 or not ASCII.
#[inline]
fn no_text(chunk: &[u8; 8]) -> u64 {
    let word = u64::from_ne_bytes(*chunk);
    zero(word) | word & all(0x80)
}

const fn all(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Is not 0 exactly if one of the eight bytes is 0.
const fn zero(word: u64) -> u64 {
    word.wrapping_sub(all(0x01)) & !word & all(0x80)
}

#[inline]
fn utf8(bytes: &[u8], field: Field) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::IllFormedText(field))
}
