//! [`Statistics`]: the counters of the store, for `$SYS` and metrics.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::router::Distribution;

/// What a store has done since it was opened, and its size.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Commits, including those without a frame.
    pub batches: Number,
    /// Frames written, including those of cleaning.
    pub frames: Number,
    /// Records in these frames.
    pub records: Number,
    /// Bytes of these frames.
    pub bytes_written: Number,
    /// Calls of fdatasync for these frames.
    pub fsyncs: Number,
    /// Approximate bytes of live records.
    pub live_bytes: Number,
    /// Bytes of the store's files.
    pub disk_bytes: Number,
    /// Durations of fsyncs.
    pub fsync_times: Times,
    /// Numbers of records in frames.
    pub batch_sizes: Sizes,
}

impl Statistics {
    /// All figures with their names.
    pub fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("batches", self.batches.get()),
            ("frames", self.frames.get()),
            ("records", self.records.get()),
            ("bytes written", self.bytes_written.get()),
            ("fsyncs", self.fsyncs.get()),
            ("bytes kept", self.live_bytes.get()),
            ("bytes on disk", self.disk_bytes.get()),
        ]
    }
}

/// A number that the store's threads write and any thread may read.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// The current value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Times(Spread<14>);

/// A histogram of numbers.
#[derive(Debug, Default)]
pub struct Sizes(Spread<8>);

/// A histogram: how many values are at most a bound and above the one before.
#[derive(Debug)]
struct Spread<const N: usize> {
    counts: [Number; N],
    /// Number of values above the last bound.
    above: Number,
    sum: Number,
}

/// Bounds in microseconds, for disks from a protected write cache to overload.
const TIMES: [u64; 14] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

const SIZES: [u64; 8] = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384];

impl Times {
    pub(crate) fn add(&self, took: Duration) {
        self.0.add(&TIMES, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// In seconds.
    pub(crate) fn distribution(&self) -> Distribution {
        self.0.distribution(&TIMES, 1e6)
    }
}

impl Sizes {
    pub(crate) fn add(&self, size: u64) {
        self.0.add(&SIZES, size);
    }

    pub(crate) fn distribution(&self) -> Distribution {
        self.0.distribution(&SIZES, 1.0)
    }
}

impl<const N: usize> Default for Spread<N> {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| Number::default()), above: Number::default(), sum: Number::default() }
    }
}

impl<const N: usize> Spread<N> {
    fn add(&self, bounds: &[u64; N], number: u64) {
        self.counts.get(bounds.partition_point(|bound| *bound < number)).unwrap_or(&self.above).add(1);
        self.sum.add(number);
    }

    /// Bounds and sum are divided by `unit`.
    fn distribution(&self, bounds: &[u64; N], unit: f64) -> Distribution {
        let bounds = bounds.iter().map(|bound| *bound as f64 / unit).chain([f64::INFINITY]);
        let counts = self.counts.iter().chain([&self.above]).map(Number::get);
        Distribution { buckets: bounds.zip(counts).collect(), sum: self.sum.get() as f64 / unit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_up_to_the_next_bound() {
        let times = Times::default();
        [50, 51, 1_000, 6_000_000].into_iter().for_each(|us| times.add(Duration::from_micros(us)));
        let Distribution { buckets, sum } = times.distribution();
        let some: Vec<_> = buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(some, [(0.000_05, 1), (0.000_1, 1), (0.001, 1), (f64::INFINITY, 1)]);
        assert!((sum - 6.001_101).abs() < 1e-9, "{sum}");
    }
}
