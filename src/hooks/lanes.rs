//! [`Lanes`]: the events that wait for a service. Those of one client are in one lane, in their order.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::types::ClientId;

/// Requests that are on their way to a service, at most.
pub(super) const LANES: usize = 4;
/// Bytes of a request in which there is more than one event.
const MOST_BYTES: usize = 1 << 20;

/// The events that wait for a service.
pub(super) struct Lanes {
    lanes: [Lane; LANES],
    /// Events, and their bytes, that wait or are on their way.
    events: AtomicUsize,
    bytes: AtomicUsize,
    most_events: usize,
    most_bytes: usize,
    /// Events that were lost: that no request has told yet, and altogether.
    untold: AtomicU64,
    lost: AtomicU64,
}

#[derive(Default)]
struct Lane {
    waiting: Mutex<VecDeque<Waiting>>,
    bell: Notify,
}

/// An event that waits.
pub(super) struct Waiting {
    pub text: String,
    pub since: Instant,
}

impl Lanes {
    pub(super) fn new(most_events: usize, most_bytes: usize) -> Self {
        let (lanes, events, bytes, untold, lost) = Default::default();
        Self { lanes, events, bytes, most_events, most_bytes, untold, lost }
    }

    /// Puts an event behind the others of its client. It is lost if there is no room.
    pub(super) fn push(&self, client: Option<&ClientId>, text: String, since: Instant) {
        let bytes = text.len();
        // by one thread at a time, but for what is told of the broker itself
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

    /// So many events were lost.
    pub(super) fn lose(&self, lost: u64) {
        self.untold.fetch_add(lost, Ordering::Relaxed);
        self.lost.fetch_add(lost, Ordering::Relaxed);
    }

    /// What was lost, to be told now.
    pub(super) fn take_untold(&self) -> u64 {
        self.untold.swap(0, Ordering::Relaxed)
    }

    /// It was not told after all.
    pub(super) fn put_back_untold(&self, untold: u64) {
        self.untold.fetch_add(untold, Ordering::Relaxed);
    }

    /// When the oldest event of a lane came, and how many there are; `None`: none.
    pub(super) fn oldest(&self, lane: usize) -> Option<(Instant, usize)> {
        let waiting = self.lanes[lane].waiting.lock();
        Some((waiting.front()?.since, waiting.len()))
    }

    /// Ends when there is an event more in the lane, perhaps.
    pub(super) async fn rings(&self, lane: usize) {
        self.lanes[lane].bell.notified().await;
    }

    /// The oldest events of a lane, for one request.
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

    /// A request has ended that had these.
    pub(super) fn done(&self, events: usize, bytes: usize) {
        self.events.fetch_sub(events, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Events that wait or are on their way, and those that were lost.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.events.load(Ordering::Relaxed) as u64, self.lost.load(Ordering::Relaxed))
    }
}

fn lane_of(client: &ClientId) -> usize {
    let mut hasher = DefaultHasher::new();
    client.as_str().hash(&mut hasher);
    (hasher.finish() % LANES as u64) as usize
}
