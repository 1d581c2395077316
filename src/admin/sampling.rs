//! Adds points to [`History`](super::history::History): a task of the HTTP thread reads counters of router and store
//! once a second. No code here runs on the path of a message.

use std::sync::Arc;

use super::{
    history::{EVERY, Point},
    state::State,
};
use crate::router::{Count, Distribution, Router};

/// Adds a point each second.
pub(super) async fn keep(state: Arc<State>) {
    let clock = &state.clock;
    let mut last: Option<Counted> = None;
    loop {
        let began = clock.now();
        clock.sleep(EVERY).await;
        let Some(broker) = state.broker.get() else { continue };
        let counted = Counted::now(&broker.router);
        let passed = clock.now().saturating_duration_since(began).as_secs_f64().max(EVERY.as_secs_f64());
        if let Some(last) = &last {
            state.history.add(counted.since(last, passed, &broker.router), clock.wall());
        }
        last = Some(counted);
    }
}

/// Counters at a moment.
struct Counted {
    counts: [u64; 5],
    fsyncs: Option<Distribution>,
}

impl Counted {
    fn now(router: &Router) -> Self {
        let all =
            [Count::PublishReceived, Count::PublishSent, Count::PublishDropped, Count::BytesReceived, Count::BytesSent];
        let fsyncs = router.plugged_store().and_then(|store| store.fsync_times());
        Self { counts: all.map(|count| router.counters().get(count)), fsyncs }
    }

    fn since(&self, last: &Self, seconds: f64, router: &Router) -> Point {
        let since = |at: usize| self.counts[at].saturating_sub(last.counts[at]);
        let rate = |at: usize| a_second(since(at), seconds);
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let backlog = router.backlog();
        let fsync_p99 = self.fsyncs.as_ref().zip(last.fsyncs.as_ref()).and_then(|(now, last)| p99(now, last));
        Point {
            messages_received: rate(0),
            messages_sent: rate(1),
            // they are added up: none of them is rounded away
            messages_dropped: u32::try_from(since(2)).unwrap_or(u32::MAX),
            bytes_received: rate(3),
            bytes_sent: rate(4),
            connected: small(router.connected()),
            queued: small(backlog.messages),
            fsync_p99: fsync_p99.unwrap_or(f32::NAN),
            queued_bytes: backlog.bytes as u64,
        }
    }
}

/// The rate of a counter that grew by `count` within that time.
fn a_second(count: u64, seconds: f64) -> u32 {
    (count as f64 / seconds).round() as u32
}

/// 99th percentile of the values between two moments. In the last bucket, which has no upper bound: its lower bound.
fn p99(now: &Distribution, last: &Distribution) -> Option<f32> {
    let before = |at: usize| last.buckets.get(at).map_or(0, |(_, count)| *count);
    let came: Vec<_> =
        now.buckets.iter().enumerate().map(|(at, (bound, count))| (*bound, count.saturating_sub(before(at)))).collect();
    let all: u64 = came.iter().map(|(_, count)| count).sum();
    let mut seen = 0;
    let at = came.iter().position(|(_, count)| {
        seen += count;
        all > 0 && seen * 100 >= all * 99
    })?;
    let finite = came[..=at].iter().rev().map(|(bound, _)| *bound).find(|bound| bound.is_finite());
    finite.map(|bound| bound as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_is_counted_once_when_a_point_is_late() {
        assert_eq!([0, 1, 3, 1000].map(|count| a_second(count, 1.01)), [0, 1, 3, 990]);
        assert_eq!(a_second(u64::MAX, 1.0), u32::MAX);
    }

    #[test]
    fn the_99th_percentile_covers_only_the_last_second() {
        let of = |counts: [u64; 3]| Distribution {
            buckets: [0.001, 0.01, f64::INFINITY].into_iter().zip(counts).collect(),
            sum: 0.0,
        };
        assert_eq!(p99(&of([5, 5, 5]), &of([5, 5, 5])), None);
        assert_eq!(p99(&of([105, 5, 5]), &of([5, 5, 5])), Some(0.001));
        assert_eq!(p99(&of([103, 7, 5]), &of([5, 5, 5])), Some(0.01));
        assert_eq!(p99(&of([5, 5, 6]), &of([5, 5, 5])), Some(0.01));
    }
}
