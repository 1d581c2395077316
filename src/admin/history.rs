//! [`History`]: rates and levels of the last 15 minutes, one point a second.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::sync::watch;

/// Points that are kept: 15 minutes.
pub(super) const MOST: usize = 900;

/// Time between two points.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Rates within a second, and levels at its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub messages_received: u32,
    pub messages_sent: u32,
    pub messages_dropped: u32,
    pub bytes_received: u32,
    pub bytes_sent: u32,
    pub connected: u32,
    pub queued: u32,
    /// 99th percentile of the fsyncs of this second, in seconds; `NaN`: there was none.
    pub fsync_p99: f32,
    pub queued_bytes: u64,
}

/// The points of the last 15 minutes.
pub(super) struct History {
    points: Mutex<Points>,
    /// Number of points so far.
    count: watch::Sender<u64>,
}

#[derive(Default)]
struct Points {
    last: VecDeque<Point>,
    /// Time of the last point.
    at: Option<SystemTime>,
}

impl Default for History {
    fn default() -> Self {
        Self { points: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl History {
    /// All points, the oldest first, and the time of the last one.
    pub fn all(&self) -> (Vec<Point>, Option<SystemTime>) {
        let points = self.points.lock();
        (points.last.iter().copied().collect(), points.at)
    }

    /// The last point and its time, if it is newer than number `seen`.
    pub fn after(&self, seen: &mut u64) -> Option<(Point, SystemTime)> {
        let count = *self.count.borrow();
        if std::mem::replace(seen, count) == count {
            return None;
        }
        let points = self.points.lock();
        points.last.back().copied().zip(points.at)
    }

    /// Adds a point.
    pub fn add(&self, point: Point, at: SystemTime) {
        let mut points = self.points.lock();
        if points.last.capacity() == 0 {
            points.last.reserve_exact(MOST);
        }
        if points.last.len() == MOST {
            points.last.pop_front();
        }
        points.last.push_back(point);
        points.at = Some(at);
        drop(points);
        self.count.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: Point = Point {
        messages_received: 1,
        messages_sent: 2,
        messages_dropped: 3,
        bytes_received: 4,
        bytes_sent: 5,
        connected: 6,
        queued: 7,
        fsync_p99: 0.5,
        queued_bytes: 8,
    };

    #[test]
    fn fifteen_minutes_of_history_take_at_most_64_kib() {
        let (history, mut seen) = (History::default(), 0);
        assert_eq!(history.after(&mut seen), None);
        for number in 0..MOST as u32 + 10 {
            history.add(Point { queued: number, ..POINT }, SystemTime::UNIX_EPOCH);
        }
        let (all, at) = history.all();
        assert_eq!((all.len(), all[0].queued, at), (MOST, 10, Some(SystemTime::UNIX_EPOCH)));
        let capacity = history.points.lock().last.capacity();
        assert!(capacity * size_of::<Point>() <= 64 << 10, "{capacity} points of {} bytes", size_of::<Point>());
        assert_eq!(history.after(&mut seen).map(|(point, _)| point.queued), Some(MOST as u32 + 9));
        assert_eq!(history.after(&mut seen), None);
    }
}
