//! [`Echo`]: the last messages that were sent to a broker without No Local and without support for bridges, so that
//! they are dropped when they come back. Bounded in number and age.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use crate::codec::Publish;

/// The last messages that were sent.
#[derive(Default)]
pub(super) struct Echo {
    sent: Marks,
    /// Those that came back and were dropped, with their Packet Identifiers: what is sent again of them is dropped,
    /// too.
    back: Marks,
    random: RandomState,
}

/// Marks of messages, each as often as it was noted.
#[derive(Default)]
struct Marks {
    noted: VecDeque<(u64, Instant)>,
    counts: HashMap<u64, Counts>,
}

/// How often a mark is there.
#[derive(Default)]
struct Counts {
    /// Among those that were noted.
    noted: u32,
    /// Of these, those that were not forgotten: the newest of them, as their order does not matter.
    live: u32,
}

/// Messages that are remembered, at most.
const MOST: usize = 10_000;
/// For how long.
const AGE: Duration = Duration::from_secs(60);

impl Echo {
    /// A message was sent. One that is sent again comes back once all the same, if the other broker had not got it.
    pub(super) fn sent(&mut self, topic: &str, payload: &[u8], again: bool, now: Instant) {
        let mark = self.random.hash_one((topic, payload));
        self.sent.prune(now);
        if !(again && self.sent.has(mark)) {
            self.sent.note(mark, now);
        }
    }

    /// A message came. `true`: it is one of those, each of which comes back once.
    pub(super) fn came(&mut self, publish: &Publish<'_>, now: Instant) -> bool {
        let (topic, payload) = (publish.topic.as_str(), publish.payload);
        let mark = self.random.hash_one((topic, payload));
        // only one with a Packet Identifier is sent again
        let back = publish.packet_id.map(|id| self.random.hash_one((topic, payload, id)));
        self.sent.prune(now);
        self.back.prune(now);
        if publish.dup && back.is_some_and(|back| self.back.has(back)) {
            return true;
        }
        let known = self.sent.forget(mark);
        if let Some(back) = back {
            match known {
                true => self.back.note(back, now),
                // another message has this Packet Identifier now
                false => _ = self.back.forget(back),
            }
        }
        known
    }

    /// The other broker has no session of the bridge: it sends nothing again.
    pub(super) fn sends_nothing_again(&mut self) {
        self.back = Marks::default();
    }
}

impl Marks {
    /// Those that are too old go.
    fn prune(&mut self, now: Instant) {
        while self.noted.front().is_some_and(|(_, at)| now.saturating_duration_since(*at) > AGE) {
            self.evict();
        }
    }

    fn note(&mut self, mark: u64, now: Instant) {
        if self.noted.len() >= MOST {
            self.evict();
        }
        self.noted.push_back((mark, now));
        let counts = self.counts.entry(mark).or_default();
        counts.noted += 1;
        counts.live += 1;
    }

    /// The oldest goes; if one of the same was forgotten, that was it.
    fn evict(&mut self) {
        let Some((oldest, _)) = self.noted.pop_front() else { return };
        let Some(counts) = self.counts.get_mut(&oldest) else { return };
        counts.noted -= 1;
        counts.live = counts.live.min(counts.noted);
        if counts.noted == 0 {
            self.counts.remove(&oldest);
        }
    }

    fn has(&self, mark: u64) -> bool {
        self.counts.get(&mark).is_some_and(|counts| counts.live > 0)
    }

    /// `false`: it is not noted.
    fn forget(&mut self, mark: u64) -> bool {
        let Some(counts) = self.counts.get_mut(&mark).filter(|counts| counts.live > 0) else { return false };
        counts.live -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::Properties,
        topic::TopicName,
        types::{PacketId, QoS},
    };

    /// A message of QoS 1 came; `again`: with DUP.
    fn came_as(echo: &mut Echo, id: u16, text: &[u8], again: bool, now: Instant) -> bool {
        let (topic, packet_id, properties) = (TopicName::new("a").unwrap(), PacketId::new(id), Properties::default());
        let qos = QoS::AtLeastOnce;
        echo.came(&Publish { dup: again, qos, retain: false, topic, packet_id, payload: text, properties }, now)
    }

    fn came(echo: &mut Echo, text: &[u8], now: Instant) -> bool {
        came_as(echo, 1, text, false, now)
    }

    fn echo() -> (Echo, Instant) {
        (Echo::default(), crate::clock::Clock::system().now())
    }

    #[test]
    fn an_echo_is_recognised_once_and_for_a_limited_time() {
        let (mut echo, start) = echo();
        echo.sent("a", b"1", false, start);
        echo.sent("a", b"1", false, start);
        echo.sent("b", b"5", false, start);
        assert!(!came(&mut echo, b"2", start) && !came(&mut echo, b"5", start));
        assert!(came(&mut echo, b"1", start) && came(&mut echo, b"1", start) && !came(&mut echo, b"1", start));
        echo.sent("a", b"3", false, start);
        echo.sent("a", b"4", false, start + AGE * 2);
        assert!(!came(&mut echo, b"3", start + AGE * 2) && came(&mut echo, b"4", start + AGE * 2));
        for n in 0..3 * MOST as u64 {
            echo.sent("a", &n.to_be_bytes(), false, start + AGE * 2);
        }
        assert!(echo.sent.noted.len() <= MOST && echo.sent.counts.len() <= MOST);
    }

    #[test]
    fn an_old_message_is_no_echo_though_nothing_was_sent_since() {
        let (mut echo, start) = echo();
        echo.sent("a", b"1", false, start);
        assert!(!came(&mut echo, b"1", start + AGE * 2));
        // and is noted when it is sent again
        echo.sent("a", b"2", false, start);
        echo.sent("a", b"2", true, start + AGE * 2);
        assert!(came(&mut echo, b"2", start + AGE * 2));
    }

    #[test]
    fn an_entry_of_an_echo_that_came_does_not_take_a_newer_one_along() {
        let (mut echo, start) = echo();
        echo.sent("a", b"1", false, start);
        assert!(came(&mut echo, b"1", start));
        echo.sent("a", b"1", false, start + AGE);
        // the first entry goes by its age
        echo.sent("a", b"2", false, start + AGE + Duration::from_secs(1));
        assert!(came(&mut echo, b"1", start + AGE + Duration::from_secs(1)));
        // and here by the number
        let now = start + AGE * 3;
        echo.sent("a", b"1", false, now);
        assert!(came(&mut echo, b"1", now));
        for n in 0..MOST as u64 - 1 {
            echo.sent("a", &n.to_be_bytes(), false, now);
        }
        echo.sent("a", b"1", false, now);
        assert!(came(&mut echo, b"1", now) && !came(&mut echo, b"1", now));
    }

    #[test]
    fn what_is_sent_again_comes_back_once_and_what_comes_back_again_is_dropped_again() {
        let (mut echo, start) = echo();
        // the connection was lost before its acknowledgement
        echo.sent("a", b"1", false, start);
        echo.sent("a", b"1", true, start);
        assert!(came(&mut echo, b"1", start));
        // the acknowledgement of that was lost
        assert!(came_as(&mut echo, 1, b"1", true, start));
        // messages of another client that are the same, one of which is sent again
        assert!(!came_as(&mut echo, 2, b"1", true, start));
        assert!(!came(&mut echo, b"1", start) && !came_as(&mut echo, 1, b"1", true, start));
        // one that was sent by an earlier process is not known, and is noted when it is sent again
        echo.sent("a", b"2", true, start);
        assert!(came(&mut echo, b"2", start));
        // the other broker has lost the session: this is a message of another client
        echo.sends_nothing_again();
        assert!(!came_as(&mut echo, 1, b"2", true, start));
        // DUP alone makes none an echo
        assert!(!came_as(&mut echo, 3, b"3", true, start));
    }
}
