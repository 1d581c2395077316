//! [`Slow`]: the subscribers with the longest times to acknowledge a message, and the topics. Only a sample of messages
//! is timed: see [`Event::Timed`].

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    clock::Clock,
    router::{Event, EventKinds, Observe},
    types::{ClientId, QoS},
};

/// Pairs of client and topic that are kept.
pub(super) const MOST: usize = 100;

/// A pair is removed after this time.
const FORGOTTEN: Duration = Duration::from_secs(300);

/// The slowest pairs of client and topic.
pub(super) struct Slow {
    clock: Clock,
    pairs: Mutex<HashMap<(ClientId, Box<str>), Took>>,
}

/// The times of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Took {
    pub qos: QoS,
    /// Until it was sent.
    pub queued: Duration,
    /// From then until it was acknowledged, or until now.
    pub unacknowledged: Duration,
    /// Time of the acknowledgement; `None`: there is none yet.
    pub acknowledged: Option<Instant>,
}

/// A pair, and its slowest message.
pub(super) type Pair = ((ClientId, Box<str>), Took);

impl Took {
    pub fn whole(&self) -> Duration {
        self.queued + self.unacknowledged
    }
}

impl Slow {
    pub fn new(clock: Clock) -> Self {
        Self { clock, pairs: Mutex::default() }
    }

    /// All pairs, unordered.
    pub fn all(&self) -> Vec<Pair> {
        let now = self.clock.now();
        let mut pairs = self.pairs.lock();
        pairs.retain(|_, took| took.is_remembered(now));
        pairs.iter().map(|(pair, took)| (pair.clone(), *took)).collect()
    }
}

impl Took {
    fn is_remembered(&self, now: Instant) -> bool {
        self.acknowledged.is_none_or(|at| now.saturating_duration_since(at) < FORGOTTEN)
    }
}

impl Observe for Slow {
    fn observe(&self, event: &Event<'_>) {
        let Event::Timed { client, topic, qos, queued, unacknowledged } = *event else { return };
        let now = self.clock.now();
        let took = Took { qos, queued, unacknowledged, acknowledged: Some(now) };
        let mut pairs = self.pairs.lock();
        let pair = (client.clone(), Box::from(topic.as_str()));
        if let Some(known) = pairs.get_mut(&pair) {
            if took.whole() >= known.whole() || !known.is_remembered(now) {
                *known = took;
            }
            return;
        }
        if pairs.len() >= MOST {
            pairs.retain(|_, took| took.is_remembered(now));
        }
        if pairs.len() >= MOST {
            let least = pairs.iter().min_by_key(|(_, took)| took.whole());
            let least = least.filter(|(_, least)| least.whole() < took.whole()).map(|(pair, _)| pair.clone());
            match least {
                Some(least) => drop(pairs.remove(&least)),
                None => return,
            }
        }
        pairs.insert(pair, took);
    }

    fn wants(&self) -> EventKinds {
        EventKinds::TIMED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::TestClock, topic::TopicName};

    fn took(slow: &Slow, client: &str, milliseconds: u64) {
        slow.observe(&Event::Timed {
            client: &ClientId::from(client),
            topic: TopicName::new("a").unwrap(),
            qos: QoS::AtLeastOnce,
            queued: Duration::from_millis(1),
            unacknowledged: Duration::from_millis(milliseconds),
        });
    }

    #[test]
    fn the_slowest_messages_are_kept_for_five_minutes() {
        let clock = TestClock::still();
        let slow = Slow::new(clock.clock());
        (0..2 * MOST as u64).for_each(|n| took(&slow, &format!("c{n}"), n));
        took(&slow, "c150", 3);
        let all = slow.all();
        assert_eq!(all.len(), MOST);
        let longest = |client: &str| {
            let found = all.iter().find(|((id, _), _)| id.as_str() == client);
            found.map(|(_, took)| took.unacknowledged.as_millis())
        };
        assert_eq!((longest("c99"), longest("c100"), longest("c150")), (None, Some(100), Some(150)));
        clock.turn(FORGOTTEN);
        took(&slow, "fast", 1);
        let names: Vec<_> = slow.all().into_iter().map(|((client, _), _)| client.as_str().to_owned()).collect();
        assert_eq!(names, ["fast"]);
    }
}
