//! [`Topics`]: the busiest topics, by messages and by bytes. Counting begins with a request and stops ten minutes after
//! the last one, so that otherwise a message costs nothing.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::busiest::{Busiest, PLACES, Place};
use crate::{
    clock::Clock,
    router::{Event, EventKinds, Observe},
};

/// The busiest topics.
pub(super) struct Topics {
    clock: Clock,
    counts: AtomicBool,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    messages: Busiest,
    bytes: Busiest,
    since: Option<Instant>,
    asked: Option<Instant>,
    /// Number of messages until the next check for recent requests.
    look_in: u32,
}

/// What topics are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Messages,
    /// Payload bytes.
    Bytes,
}

/// Counting stops after this time without a request.
const UNASKED: Duration = Duration::from_secs(600);

const LOOK_EVERY: u32 = 1_024;

impl Topics {
    pub fn new(clock: Clock) -> Self {
        Self { clock, counts: AtomicBool::new(false), counted: Mutex::default() }
    }

    /// The busiest topics and the time at which counting began; starts counting if it was off.
    pub fn first(&self, by: By) -> (Instant, Vec<Place>) {
        let now = self.clock.now();
        let mut counted = self.counted.lock();
        if counted.is_unasked(now) {
            *counted = Counted { since: Some(now), look_in: LOOK_EVERY, ..Counted::default() };
        }
        counted.asked = Some(now);
        self.counts.store(true, Ordering::Relaxed);
        let busiest = match by {
            By::Messages => &counted.messages,
            By::Bytes => &counted.bytes,
        };
        (counted.since.unwrap_or(now), busiest.first(PLACES))
    }
}

impl Counted {
    fn is_unasked(&self, now: Instant) -> bool {
        self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= UNASKED)
    }
}

impl Observe for Topics {
    fn observe(&self, event: &Event<'_>) {
        let Event::Publish { topic, payload, .. } = event else { return };
        let mut counted = self.counted.lock();
        counted.messages.add(topic.as_str(), 1);
        counted.bytes.add(topic.as_str(), *payload as u64);
        counted.look_in -= 1;
        if counted.look_in == 0 {
            counted.look_in = LOOK_EVERY;
            if counted.is_unasked(self.clock.now()) {
                *counted = Counted { look_in: LOOK_EVERY, ..Counted::default() };
                self.counts.store(false, Ordering::Relaxed);
            }
        }
    }

    fn wants(&self) -> EventKinds {
        if self.counts.load(Ordering::Relaxed) { EventKinds::PUBLISH } else { EventKinds::NONE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::TestClock, codec::Properties, topic::TopicName, types::QoS};

    fn publish(topics: &Topics, name: &str) {
        let topic = TopicName::new(name).unwrap();
        topics.observe(&Event::Publish {
            client: None,
            user: None,
            topic,
            qos: QoS::AtMostOnce,
            retain: false,
            payload: 5,
            content: b"12345",
            properties: Properties::default(),
            expires: None,
        });
    }

    #[test]
    fn topics_are_counted_while_there_are_requests() {
        let clock = TestClock::still();
        let topics = Topics::new(clock.clock());
        assert_eq!(topics.wants(), EventKinds::NONE);
        let (since, first) = topics.first(By::Messages);
        assert_eq!((topics.wants(), first), (EventKinds::PUBLISH, Vec::new()));
        publish(&topics, "a");
        let place = Place { name: "a".into(), count: 5, error: 0 };
        assert_eq!(topics.first(By::Bytes), (since, vec![place]));
        clock.turn(UNASKED);
        (0..LOOK_EVERY).for_each(|_| publish(&topics, "b"));
        assert_eq!(topics.wants(), EventKinds::NONE);
        let (later, first) = topics.first(By::Messages);
        assert_eq!((later - since, first.len()), (UNASKED, 0));
    }
}
