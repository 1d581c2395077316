//! The headers of segments and frames, as `FORMAT.md` describes them.

use super::varint::{self, Reader};

/// Bytes of a segment before its first frame.
pub(crate) const HEADER: usize = 64;
/// Bytes of a frame that its length does not count.
pub(crate) const PREFIX: usize = 16;
/// The format version that is written.
pub(crate) const VERSION: u32 = 2;
/// The oldest format version that is read.
pub(crate) const OLDEST_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"dunlin\r\n";

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The format version of this segment.
    pub(crate) version: u32,
    /// Rises by one with each segment and is never reused.
    pub(crate) id: u64,
    /// The number of its first frame.
    pub(crate) first_frame: u64,
    /// The oldest segment that was needed when this one began.
    pub(crate) oldest: u64,
    /// The next free number of a session.
    pub(crate) next_session: u64,
    /// The next free number of a message.
    pub(crate) next_message: u64,
    /// Random, the same in all segments of a log and unknown to clients, so that no payload can look like a frame.
    pub(crate) salt: u64,
}

/// Why a header is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    Damaged,
    Version(u32),
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        let fields =
            [self.id, self.first_frame, self.oldest, self.next_session, self.next_message, self.salt].into_iter();
        for (at, field) in fields.enumerate() {
            bytes[16 + 8 * at..24 + 8 * at].copy_from_slice(&field.to_le_bytes());
        }
        let sum = Self::sum(&bytes);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let bytes: &[u8; HEADER] = bytes.first_chunk().ok_or(BadHeader::Damaged)?;
        if bytes[..8] != MAGIC || u32_at(bytes, 12) != Self::sum(bytes) {
            return Err(BadHeader::Damaged);
        }
        let version = u32_at(bytes, 8);
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(BadHeader::Version(version));
        }
        let [id, first_frame, oldest, next_session, next_message, salt] =
            std::array::from_fn(|at| u64_at(bytes, 16 + 8 * at));
        Ok(Self { version, id, first_frame, oldest, next_session, next_message, salt })
    }

    fn sum(bytes: &[u8; HEADER]) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&bytes[..12]);
        sum.update(&bytes[16..]);
        sum.finalize()
    }
}

/// The parameters for reading the frames of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The initial value of the checksums. Two segments of a log have different ones, so a frame of one segment is not
    /// valid in another.
    pub(crate) seed: u32,
    /// The format version of the segment.
    pub(crate) version: u32,
}

impl Key {
    pub(crate) fn new(salt: u64, id: u64, version: u32) -> Self {
        Self { seed: salt as u32 ^ id as u32, version }
    }
}

/// A time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    /// Wall clock, since 1970. The operator may set this clock.
    pub(crate) wall: u64,
    /// Age of the log: milliseconds since it began, by a monotonic clock. Time between two processes is added by the
    /// wall clock. 0 in frames of format 1.
    pub(crate) age: u64,
}

/// The header fields of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    /// Rises by one with each frame, across segments.
    pub(crate) number: u64,
    /// All frames up to this one were durable before this one was written. Less than `number`.
    pub(crate) synced: u64,
    /// The oldest segment that is needed when this frame is durable.
    pub(crate) oldest: u64,
    pub(crate) time: Time,
}

/// A frame with a correct checksum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) about: About,
    pub(crate) records: &'a [u8],
    /// The offset of the next frame.
    pub(crate) end: usize,
}

/// Begins a frame in `out`: reserves the bytes before the records, which [`finish`] fills in.
pub(crate) fn begin(out: &mut Vec<u8>) {
    out.clear();
    out.resize(PREFIX + MOST_ABOUT, 0);
}

/// Completes the frame in `out`. Returns its offset in `out`. `None`: the frame is too long for its length field.
pub(crate) fn finish(out: &mut [u8], about: About, key: Key) -> Option<usize> {
    // the header fields have a variable length and end directly before the records
    let mut varying = Vec::with_capacity(MOST_ABOUT);
    varint::put(&mut varying, about.number - 1 - about.synced);
    varint::put(&mut varying, about.oldest);
    varint::put(&mut varying, about.time.wall);
    if key.version > 1 {
        varint::put(&mut varying, about.time.age);
    }
    let start = MOST_ABOUT - varying.len();
    let frame = &mut out[start..];
    let len = u32::try_from(frame.len() - PREFIX).ok()?;
    frame[..4].copy_from_slice(&len.to_le_bytes());
    frame[8..16].copy_from_slice(&about.number.to_le_bytes());
    frame[PREFIX..PREFIX + varying.len()].copy_from_slice(&varying);
    let sum = sum(frame, key.seed);
    frame[4..8].copy_from_slice(&sum.to_le_bytes());
    Some(start)
}

/// The frame at `at`; `None` if there is no whole one.
pub(crate) fn frame_at(bytes: &[u8], at: usize, key: Key) -> Option<Frame<'_>> {
    let rest = bytes.get(at..)?;
    if rest.len() < PREFIX {
        return None;
    }
    let len = u32_at(rest, 0) as usize;
    // a frame is not empty, so zeros are not a frame
    let frame = rest.get(..PREFIX.checked_add(len).filter(|_| len > 0)?)?;
    let mut body = Reader(&frame[PREFIX..]);
    let number = u64_at(frame, 8);
    let synced = number.checked_sub(1)?.checked_sub(body.number().ok()?)?;
    let (oldest, wall) = (body.number().ok()?, body.number().ok()?);
    let age = if key.version > 1 { body.number().ok()? } else { 0 };
    let about = About { number, synced, oldest, time: Time { wall, age } };
    // the checksum last, because it costs most
    if sum(frame, key.seed) != u32_at(frame, 4) {
        return None;
    }
    Some(Frame { about, records: body.0, end: at + frame.len() })
}

/// The length without the zeros at the end, rounded up.
fn used(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    let zeros = bytes.rchunks(ZEROS.len()).take_while(|chunk| **chunk == ZEROS[..chunk.len()]).count();
    bytes.len().saturating_sub(zeros * ZEROS.len())
}

/// The first whole frame at or after `from` with one of these numbers, at any offset.
pub(crate) fn find_frame(
    bytes: &[u8],
    from: usize,
    key: Key,
    numbers: std::ops::RangeInclusive<u64>,
) -> Option<(usize, Frame<'_>)> {
    // zeros at the end of a segment contain no frame, because a frame's number is not 0
    let last = bytes.len().checked_sub(PREFIX)?.min(used(bytes));
    (from..=last)
        .filter(|&at| numbers.contains(&u64_at(bytes, at + 8)))
        .find_map(|at| frame_at(bytes, at, key).map(|frame| (at, frame)))
}

/// The frame number at `at`, if a frame begins there.
pub(crate) fn number_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at + 8..at + 16).map(|number| u64_at(number, 0))
}

fn sum(frame: &[u8], seed: u32) -> u32 {
    let mut sum = crc32fast::Hasher::new_with_initial(seed);
    sum.update(&frame[..4]);
    sum.update(&frame[8..]);
    sum.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Most bytes of the header fields after the prefix.
const MOST_ABOUT: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Time = Time { wall: 1 << 40, age: 1 << 30 };

    fn header() -> Header {
        Header {
            version: VERSION,
            id: 7,
            first_frame: 40,
            oldest: 3,
            next_session: 9,
            next_message: 1 << 40,
            salt: 0x1234_5678_9ABC_DEF0,
        }
    }

    const fn key(seed: u32) -> Key {
        Key { seed, version: VERSION }
    }

    fn frame(number: u64, records: &[u8], key: Key) -> Vec<u8> {
        let mut out = Vec::new();
        begin(&mut out);
        out.extend_from_slice(records);
        let about = About { number, synced: number - 1, oldest: 3, time: TIME };
        let start = finish(&mut out, about, key).unwrap();
        out.split_off(start)
    }

    #[test]
    fn a_header_is_read_back_and_a_changed_bit_is_found() {
        let bytes = header().encode();
        assert_eq!(Header::decode(&bytes), Ok(header()));
        for bit in 0..HEADER * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes), Err(BadHeader::Damaged), "bit {bit}");
        }
        for cut in 0..HEADER {
            assert!(Header::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn a_later_version_is_distinguished_from_damage() {
        let mut bytes = header().encode();
        bytes[8] = 3;
        let sum = Header::sum(&bytes);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Err(BadHeader::Version(3)));
    }

    #[test]
    fn a_frame_is_read_back_and_a_changed_bit_is_found() {
        let bytes = frame(41, b"records", key(5));
        let back = frame_at(&bytes, 0, key(5)).unwrap();
        assert_eq!(back.about, About { number: 41, synced: 40, oldest: 3, time: TIME });
        assert_eq!((back.records, back.end), (&b"records"[..], bytes.len()));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(frame_at(&bytes, 0, key(5)).is_none(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(frame_at(&bytes[..cut], 0, key(5)).is_none());
        }
        assert!(frame_at(&[0; 100], 0, key(0)).is_none());
    }

    #[test]
    fn a_frame_of_format_1_has_no_age() {
        let first = Key { version: 1, ..key(5) };
        let bytes = frame(41, b"records", first);
        assert_eq!(bytes.len() + 5, frame(41, b"records", key(5)).len());
        let back = frame_at(&bytes, 0, first).unwrap();
        assert_eq!((back.about.time, back.records), (Time { age: 0, ..TIME }, &b"records"[..]));
    }

    #[test]
    fn a_frame_is_valid_only_in_its_segment() {
        let salt = header().salt;
        let bytes = frame(41, b"records", Key::new(salt, 7, VERSION));
        let others = (0..100_000).filter(|&id| id != 7);
        assert_eq!(others.filter(|&id| frame_at(&bytes, 0, Key::new(salt, id, VERSION)).is_some()).count(), 0);
    }

    #[test]
    fn a_frame_is_found_at_any_offset() {
        let mut bytes = vec![0xAB; 37];
        bytes.extend(frame(41, b"one", key(5)));
        bytes.extend([1, 2, 3]);
        let second = bytes.len();
        bytes.extend(frame(43, b"two", key(5)));
        assert_eq!(find_frame(&bytes, 0, key(5), 41..=50).map(|(at, _)| at), Some(37));
        assert_eq!(
            find_frame(&bytes, 0, key(5), 42..=50).map(|(at, frame)| (at, frame.about.number)),
            Some((second, 43))
        );
        assert!(find_frame(&bytes, 0, key(6), 0..=50).is_none());
        assert!(find_frame(&bytes[..10], 0, key(5), 0..=50).is_none());
    }
}
