//! [`Times`] and [`Sizes`]: how often something took how long, or was how large. Any thread adds and reads.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::super::ports::Distribution;

/// How long something took, each time.
#[derive(Debug, Default)]
pub struct Times(Spread<14>);

/// How many there were of something, each time.
#[derive(Debug, Default)]
pub struct Sizes(Spread<8>);

/// How often a number was up to each of some bounds, and above the one before.
#[derive(Debug)]
struct Spread<const N: usize> {
    counts: [AtomicU64; N],
    /// Above the last bound.
    above: AtomicU64,
    sum: AtomicU64,
}

/// In microseconds: from a disk with a cache that survives a power cut to one that is overloaded.
const TIMES: [u64; 14] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

const SIZES: [u64; 8] = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384];

impl Times {
    pub(crate) fn add(&self, took: Duration) {
        self.0.add(&TIMES, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// In seconds.
    pub fn distribution(&self) -> Distribution {
        self.0.distribution(&TIMES, 1e6)
    }
}

impl Sizes {
    pub(crate) fn add(&self, size: u64) {
        self.0.add(&SIZES, size);
    }

    /// As they are.
    pub fn distribution(&self) -> Distribution {
        self.0.distribution(&SIZES, 1.0)
    }
}

impl<const N: usize> Default for Spread<N> {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            above: AtomicU64::default(),
            sum: AtomicU64::default(),
        }
    }
}

impl<const N: usize> Spread<N> {
    fn add(&self, bounds: &[u64; N], number: u64) {
        self.counts
            .get(bounds.partition_point(|bound| *bound < number))
            .unwrap_or(&self.above)
            .fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(number, Ordering::Relaxed);
    }

    /// In a unit of which so many are one.
    fn distribution(&self, bounds: &[u64; N], unit: f64) -> Distribution {
        let bounds = bounds.iter().map(|bound| *bound as f64 / unit).chain([f64::INFINITY]);
        let counts = self.counts.iter().chain([&self.above]).map(|count| count.load(Ordering::Relaxed));
        Distribution { buckets: bounds.zip(counts).collect(), sum: self.sum.load(Ordering::Relaxed) as f64 / unit }
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
