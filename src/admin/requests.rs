//! [`Requests`]: durations of requests.

use std::time::Duration;

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Durations of requests.
pub(super) struct Requests(Histogram);

impl Default for Requests {
    fn default() -> Self {
        Self(Histogram::new(exponential_buckets(0.000_5, 4.0, 8)))
    }
}

impl Requests {
    pub fn took(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }

    /// The distribution, which later requests change too.
    pub fn histogram(&self) -> Histogram {
        self.0.clone()
    }
}
