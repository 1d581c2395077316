//! [`Sizes`]: the size of the next segment. The first ones are small. They grow if segments fill quickly, in
//! proportion to the live bytes, and only as long as many of them fit on the disk.

use std::time::Duration;

/// The smallest and largest size of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentBytes {
    /// The first segments, header included.
    pub first: u64,
    /// The largest segments.
    pub most: u64,
}

/// The size of the next segment.
#[derive(Debug)]
pub(crate) struct Sizes {
    bytes: SegmentBytes,
    now: u64,
}

impl Default for SegmentBytes {
    fn default() -> Self {
        Self { first: 3 << 20, most: 64 << 20 }
    }
}

impl SegmentBytes {
    /// All segments have this size.
    pub const fn all(bytes: u64) -> Self {
        Self { first: bytes, most: bytes }
    }

    /// The smallest size, on a small disk.
    fn least(self) -> u64 {
        self.first.min(1 << 20)
    }

    /// Bytes that the log and the free space of the disk must have together.
    pub(crate) fn least_disk(self) -> u64 {
        LEAST_SEGMENTS * self.least()
    }

    /// The first size that is at least this large.
    fn at_least(self, bytes: u64) -> u64 {
        let mut size = self.first;
        while size < bytes && size < self.most {
            size *= 2;
        }
        size.min(self.most)
    }
}

impl Sizes {
    /// `live`: bytes of live records. `disk`: bytes that the log may use, including those that it uses.
    pub(crate) fn new(bytes: SegmentBytes, live: u64, disk: u64) -> Self {
        let mut sizes = Self { bytes, now: bytes.first };
        sizes.fit(disk);
        sizes.grow(bytes.at_least(LIVE * live), disk);
        sizes
    }

    /// The size of the next segment.
    pub(crate) fn next(&self) -> u64 {
        self.now
    }

    /// A segment of `len` bytes was filled in `took`.
    pub(crate) fn filled(&mut self, len: u64, took: Duration, live: u64, disk: u64) {
        self.fit(disk);
        let quickly = if took < QUICKLY { GROWS * len } else { 0 };
        self.grow(self.bytes.at_least(quickly.max(LIVE * live)), disk);
    }

    fn grow(&mut self, mut wanted: u64, disk: u64) {
        while wanted > self.now && wanted > disk / SEGMENTS {
            wanted /= 2;
        }
        self.now = self.now.max(wanted);
    }

    /// Makes segments smaller if the disk has become too small for them.
    fn fit(&mut self, disk: u64) {
        while self.now > disk / FEWEST_SEGMENTS && self.now > self.bytes.least() {
            self.now = (self.now / 2).max(self.bytes.least());
        }
    }
}

/// If a segment is filled in less time, the next one is larger,
const QUICKLY: Duration = Duration::from_secs(60);
/// by this factor.
const GROWS: u64 = 4;
/// The size of a segment, in multiples of the live bytes: the live records of any segment then fit in one segment.
const LIVE: u64 = 2;
/// A segment grows only if this number of them fits on the disk.
const SEGMENTS: u64 = 32;
/// It shrinks if this number of them does not fit.
const FEWEST_SEGMENTS: u64 = 24;
/// The disk must have space for this number of the smallest ones: the last segment, three spares, and uncleaned ones.
const LEAST_SEGMENTS: u64 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const SOON: Duration = Duration::from_secs(1);
    const LATE: Duration = Duration::from_secs(600);

    fn sizes(live: u64, disk: u64) -> Sizes {
        Sizes::new(SegmentBytes::default(), live * MIB, disk * MIB)
    }

    /// The sizes that follow one another, in MiB, where each is filled in this time.
    fn follow(mut sizes: Sizes, took: Duration, live: u64, disk: u64) -> Vec<u64> {
        let next = |_| {
            let now = sizes.next();
            sizes.filled(now, took, live * MIB, disk * MIB);
            now / MIB
        };
        (0..6).map(next).collect()
    }

    #[test]
    fn they_grow_with_use() {
        assert_eq!(follow(sizes(0, 100_000), SOON, 0, 100_000), [3, 12, 48, 64, 64, 64]);
        assert_eq!(follow(sizes(0, 100_000), LATE, 0, 100_000), [3; 6]);
        assert_eq!(follow(sizes(0, 100_000), LATE, 10, 100_000), [3, 24, 24, 24, 24, 24]);
        assert_eq!(sizes(10, 100_000).next(), 24 * MIB);
        assert_eq!(sizes(1000, 100_000).next(), 64 * MIB);
    }

    #[test]
    fn they_stay_small_on_a_small_disk() {
        for (disk, expected) in [(12, 1), (40, 1), (64, 1), (100, 3), (300, 6), (1000, 24), (4000, 64)] {
            assert_eq!(follow(sizes(0, disk), SOON, 10, disk)[5], expected, "{disk}");
        }
        // others fill it
        let mut sizes = sizes(100, 10_000);
        assert_eq!(sizes.next(), 64 * MIB);
        sizes.filled(64 * MIB, SOON, 100 * MIB, 200 * MIB);
        assert_eq!(sizes.next(), 8 * MIB);
    }

    #[test]
    fn all_may_be_alike() {
        let mut sizes = Sizes::new(SegmentBytes::all(4096), 1 << 30, 0);
        sizes.filled(4096, SOON, 1 << 30, 0);
        assert_eq!(sizes.next(), 4096);
    }
}
