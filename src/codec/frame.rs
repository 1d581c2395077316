//! The boundaries of packets: [`frame`] cuts the first packet off bytes (MQTT 3.1.1 section 2.2). It has the table of
//! fixed headers; `decode` parses the rest.

use crate::types::{PacketId, ProtocolVersion};

use super::{DecodeError, PacketType};

/// The most bytes that can follow a fixed header (section 2.2.3).
pub const MAX_REMAINING_LENGTH: usize = 268_435_455;

/// One packet, cut but not parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The first byte: packet type and flags, which [`frame`] has checked.
    pub first: u8,
    /// The bytes after the fixed header.
    pub body: &'a [u8],
    /// Bytes of the whole frame, its fixed header included.
    pub len: usize,
}

/// The result of [`frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut<'a> {
    /// A whole packet; the next begins `len` bytes later.
    Frame(Frame<'a>),
    /// Too few bytes: the frame has at least this many, and exactly this many once its length is known. Always more
    /// than there are.
    Need(usize),
}

/// Cuts the first packet off `bytes`. Errors are found as early as possible: in type and flags by the first byte, in a
/// length that is too large for the type or for `max_packet_size` (in bytes, including the fixed header) as soon as it
/// is readable.
///
/// `version`: the client's; before CONNECT, any.
#[inline]
pub fn frame(version: ProtocolVersion, bytes: &[u8], max_packet_size: usize) -> Result<Cut<'_>, DecodeError> {
    let Some(&first) = bytes.first() else { return Ok(Cut::Need(2)) };
    let form = RULES[usize::from(first >> 4)].form(version);
    if (form.flags >> (first & 0x0F)) & 1 == 0 {
        return Err(flags_error(version, first));
    }
    let (header, length) = match *bytes {
        [_, a, ..] if a < 0x80 => (2, usize::from(a)),
        [_, a, b, ..] if b < 0x80 => (3, usize::from(a & 0x7F) | (usize::from(b) << 7)),
        _ => match long_length(bytes)? {
            Some(found) => found,
            None => return Ok(Cut::Need(bytes.len() + 1)),
        },
    };
    let len = header + length;
    if length < form.min || length > form.max || len > max_packet_size {
        return Err(length_error(version, first, length, len, max_packet_size));
    }
    match bytes.get(header..len) {
        Some(body) => Ok(Cut::Frame(Frame { first, body, len })),
        None => Ok(Cut::Need(len)),
    }
}

/// Bytes of the packet at the front of `bytes`, including its fixed header. `None`: not readable yet, or malformed. For
/// packets that the broker wrote: only the length is checked.
#[inline]
pub fn packet_len(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        [_, a, ..] if a < 0x80 => Some(2 + usize::from(a)),
        _ => long_length(bytes).ok().flatten().map(|(header, length)| header + length),
    }
}

impl Frame<'_> {
    /// The type of the packet; an error for the reserved types, which [`frame`] never yields.
    pub fn packet_type(&self) -> Result<PacketType, DecodeError> {
        RULES[usize::from(self.first >> 4)].packet.ok_or(DecodeError::ReservedType(self.first >> 4))
    }

    /// PUBACK, PUBREC, PUBREL or PUBCOMP?
    #[inline]
    pub fn is_acknowledgement(&self) -> bool {
        (PacketType::Puback as u8..=PacketType::Pubcomp as u8).contains(&(self.first >> 4))
    }

    /// The Packet Identifier of a PUBACK without further contents.
    #[inline]
    pub fn plain_puback(&self) -> Option<PacketId> {
        match *self.body {
            [high, low] if self.first >> 4 == PacketType::Puback as u8 => {
                PacketId::new(u16::from_be_bytes([high, low]))
            }
            _ => None,
        }
    }

    /// May a client send this packet (section 2.2.1)?
    #[inline]
    pub fn is_from_client(&self) -> bool {
        RULES[usize::from(self.first >> 4)].from_client
    }
}

/// The length of the fixed header, and a Remaining Length of 3 or 4 bytes. `None`: incomplete.
#[cold]
fn long_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, DecodeError> {
    let mut length = 0;
    for (at, &byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte < 0x80 {
            return Ok(Some((2 + at, length)));
        }
    }
    if bytes.len() > 4 { Err(DecodeError::RemainingLength) } else { Ok(None) }
}

/// The error for a first byte that the table does not allow.
#[cold]
fn flags_error(version: ProtocolVersion, first: u8) -> DecodeError {
    let flags = first & 0x0F;
    match RULES[usize::from(first >> 4)].packet {
        None => DecodeError::ReservedType(first >> 4),
        Some(PacketType::Auth) if version != ProtocolVersion::V5 => DecodeError::ReservedType(first >> 4),
        Some(PacketType::Publish) if flags & 0b0110 == 0b0110 => DecodeError::PublishQos,
        Some(PacketType::Publish) => DecodeError::PublishDup,
        Some(packet) => DecodeError::HeaderFlags { packet, flags },
    }
}

/// The error for a length that the table or the limit does not allow.
#[cold]
fn length_error(version: ProtocolVersion, first: u8, length: usize, size: usize, limit: usize) -> DecodeError {
    let rule = &RULES[usize::from(first >> 4)];
    let form = rule.form(version);
    match rule.packet {
        Some(packet) if length < form.min || length > form.max => DecodeError::PacketLength { packet, length },
        _ => DecodeError::PacketTooLarge { size, limit },
    }
}

/// The allowed fixed headers of one packet type.
struct Rule {
    packet: Option<PacketType>,
    from_client: bool,
    /// In MQTT 3.1, 3.1.1 and 5.
    forms: [Form; 3],
}

/// The same for one version.
#[derive(Clone, Copy)]
struct Form {
    /// Bit n is set if the flags may have the value n.
    flags: u16,
    /// Least Remaining Length. If a shorter packet violates a specific statement (a SUBSCRIBE without a filter, a
    /// PUBLISH without a topic), the parser reports that instead.
    min: usize,
    /// Greatest Remaining Length.
    max: usize,
}

impl Rule {
    #[inline]
    fn form(&self, version: ProtocolVersion) -> &Form {
        &self.forms[version as usize]
    }
}

/// Bit 0 alone: all flags are 0.
const NO_FLAGS: u16 = 1;
/// Any flags.
const ANY: u16 = 0xFFFF;
/// No flags are allowed: there is no such packet.
const NONE: u16 = 0;
/// Flags 0010 (section 2.2.2).
const BIT_1: u16 = 1 << 0b0010;
/// QoS 1, with any DUP and RETAIN.
const QOS_1: u16 = BIT_1 | 1 << 0b0011 | 1 << 0b1010 | 1 << 0b1011;
/// DUP, QoS, RETAIN: neither QoS 3 nor DUP with QoS 0.
const PUBLISH: u16 = 0b0011_1100_0011_1111;
/// DUP, QoS, RETAIN: not QoS 3.
const PUBLISH_V31: u16 = PUBLISH | (0b11 << 0b1000);
const MAX: usize = MAX_REMAINING_LENGTH;

/// The table, by packet type (sections 2.2.1, 2.2.2 and the fixed headers of chapter 3).
///
/// MQTT 3.1 calls most of the flags "not used" and does not define what a receiver does with them; SUBSCRIBE and
/// UNSUBSCRIBE have QoS 1 and a DUP flag there, and DUP is allowed on a PUBLISH of QoS 0.
#[rustfmt::skip]
static RULES: [Rule; 16] = {
    use PacketType::*;
    [
        //                      from    flags in                        Remaining Length in
        //                      client  3.1          3.1.1     5        3.1 and 3.1.1   5
        rule(None,              false, [NONE,        NONE,     NONE],   [0, 0],         [0, 0]),
        // the version is in the body, and flags and length are checked there
        rule(Some(Connect),     true,  [ANY,         ANY,      ANY],    [12, MAX],      [12, MAX]),
        rule(Some(Connack),     false, [NO_FLAGS,    NO_FLAGS, NO_FLAGS], [2, 2],       [3, MAX]),
        rule(Some(Publish),     true,  [PUBLISH_V31, PUBLISH,  PUBLISH], [2, MAX],      [2, MAX]),
        rule(Some(Puback),      true,  [ANY,         NO_FLAGS, NO_FLAGS], [2, 2],       [2, MAX]),
        rule(Some(Pubrec),      true,  [ANY,         NO_FLAGS, NO_FLAGS], [2, 2],       [2, MAX]),
        rule(Some(Pubrel),      true,  [ANY,         BIT_1,    BIT_1],  [2, 2],         [2, MAX]),
        rule(Some(Pubcomp),     true,  [ANY,         NO_FLAGS, NO_FLAGS], [2, 2],       [2, MAX]),
        rule(Some(Subscribe),   true,  [QOS_1,       BIT_1,    BIT_1],  [2, MAX],       [2, MAX]),
        rule(Some(Suback),      false, [NO_FLAGS,    NO_FLAGS, NO_FLAGS], [3, MAX],     [4, MAX]),
        rule(Some(Unsubscribe), true,  [QOS_1,       BIT_1,    BIT_1],  [2, MAX],       [2, MAX]),
        rule(Some(Unsuback),    false, [NO_FLAGS,    NO_FLAGS, NO_FLAGS], [2, 2],       [4, MAX]),
        rule(Some(Pingreq),     true,  [ANY,         NO_FLAGS, NO_FLAGS], [0, 0],       [0, 0]),
        rule(Some(Pingresp),    false, [NO_FLAGS,    NO_FLAGS, NO_FLAGS], [0, 0],       [0, 0]),
        rule(Some(Disconnect),  true,  [ANY,         NO_FLAGS, NO_FLAGS], [0, 0],       [0, MAX]),
        rule(Some(Auth),        true,  [NONE,        NONE,     NO_FLAGS], [0, 0],       [0, MAX]),
    ]
};

const fn rule(
    packet: Option<PacketType>,
    from_client: bool,
    [v31, v311, v5]: [u16; 3],
    [min, max]: [usize; 2],
    [min_5, max_5]: [usize; 2],
) -> Rule {
    let forms =
        [Form { flags: v31, min, max }, Form { flags: v311, min, max }, Form { flags: v5, min: min_5, max: max_5 }];
    Rule { packet, from_client, forms }
}
