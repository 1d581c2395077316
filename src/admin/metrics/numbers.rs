//! Writes one number, or several with a label.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet},
    metrics::MetricType,
};

use crate::router::Distribution;

/// Writes metrics one after another.
pub(super) struct Numbers<'a>(pub DescriptorEncoder<'a>);

impl Numbers<'_> {
    /// A number that only grows. The encoder appends `_total` to its name.
    pub fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// Counters with one label.
    pub fn counters<'v>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'v str, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (of, value) in values {
            encoder.encode_family(&[(label, of)])?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    /// Counters with two labels.
    pub fn counters_by_two<'v>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; 2],
        values: impl Iterator<Item = ([&'v str; 2], u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for ([first, second], value) in values {
            let family = [(labels[0], first), (labels[1], second)];
            encoder.encode_family(&family)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        encoder.encode_gauge(&value)
    }

    /// Gauges with one label.
    pub fn gauges<'v>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'v str, impl EncodeGaugeValue)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (of, value) in values {
            encoder.encode_family(&[(label, of)])?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// A distribution.
    pub fn histogram(&mut self, name: &str, help: &str, values: &Distribution) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        let count = values.buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(values.sum, count, &values.buckets, None)
    }
}
