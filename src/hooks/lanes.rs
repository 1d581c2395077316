//! [`Lanes`]: the bounded queues of events for a service. All events of one client are in one lane, in their order.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::types::ClientId;

/// Largest number of concurrent requests to one service.
pub(super) const LANES: usize = 4;
/// Largest size of a request that has more than one event.
const MOST_BYTES: usize = 1 << 20;

/// The bounded queues of events for a service.
pub(super) struct Lanes {
    lanes: [Lane; LANES],
    /// Number and bytes of the events that are queued or sent and not yet accepted.
    events: AtomicUsize,
    bytes: AtomicUsize,
    most_events: usize,
    most_bytes: usize,
    /// Lost events: those that no request has reported yet, and all of them.
    untold: AtomicU64,
    lost: AtomicU64,
}

#[derive(Default)]
struct Lane {
    waiting: Mutex<VecDeque<Waiting>>,
    bell: Notify,
}

/// A queued event.
pub(super) struct Waiting {
    pub text: String,
    pub since: Instant,
}

impl Lanes {
    pub(super) fn new(most_events: usize, most_bytes: usize) -> Self {
        let (lanes, events, bytes, untold, lost) = Default::default();
        Self { lanes, events, bytes, most_events, most_bytes, untold, lost }
    }

    /// Appends an event to its client's lane. If the lanes are full, the event is lost and counted.
    pub(super) fn push(&self, client: Option<&ClientId>, text: String, since: Instant) {
        let bytes = text.len();
        // only one thread appends, except for events of the broker itself
        if self.events.load(Ordering::Relaxed) >= self.most_events
            || self.bytes.load(Ordering::Relaxed) + bytes > self.most_bytes
        {
            return self.lose(1);
        }
        self.events.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let lane = &self.lanes[client.map_or(0, lane_of)];
        lane.waiting.lock().push_back(Waiting { text, since });
        lane.bell.notify_one();
    }

    /// Counts lost events.
    pub(super) fn lose(&self, lost: u64) {
        self.untold.fetch_add(lost, Ordering::Relaxed);
        self.lost.fetch_add(lost, Ordering::Relaxed);
    }

    /// Takes the number of lost events that the next request reports.
    pub(super) fn take_untold(&self) -> u64 {
        self.untold.swap(0, Ordering::Relaxed)
    }

    /// Returns it after a request that was refused.
    pub(super) fn put_back_untold(&self, untold: u64) {
        self.untold.fetch_add(untold, Ordering::Relaxed);
    }

    /// The age and the number of the events in a lane; `None`: it is empty.
    pub(super) fn oldest(&self, lane: usize) -> Option<(Instant, usize)> {
        let waiting = self.lanes[lane].waiting.lock();
        Some((waiting.front()?.since, waiting.len()))
    }

    /// Waits until an event may have been added to the lane.
    pub(super) async fn rings(&self, lane: usize) {
        self.lanes[lane].bell.notified().await;
    }

    /// Takes the oldest events of a lane, for one request.
    pub(super) fn take(&self, lane: usize, most: usize) -> Vec<Waiting> {
        let mut waiting = self.lanes[lane].waiting.lock();
        let mut bytes = 0;
        let fits = |one: &&Waiting| {
            bytes += one.text.len();
            bytes <= MOST_BYTES
        };
        let taken = waiting.iter().take(most).take_while(fits).count();
        let taken = taken.max(1).min(waiting.len());
        waiting.drain(..taken).collect()
    }

    /// Releases the room of a request's events.
    pub(super) fn done(&self, events: usize, bytes: usize) {
        self.events.fetch_sub(events, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Number of events that are queued or being sent, and of lost events.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.events.load(Ordering::Relaxed) as u64, self.lost.load(Ordering::Relaxed))
    }
}

fn lane_of(client: &ClientId) -> usize {
    let mut hasher = DefaultHasher::new();
    client.as_str().hash(&mut hasher);
    (hasher.finish() % LANES as u64) as usize
}
