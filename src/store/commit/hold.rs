//! [`Hold`]: delays the write of QoS 1 messages that were just sent to connected subscribers. A message whose PUBACK
//! arrives first is never written. The delay is three times the usual duration of a batch. If too few PUBACKs arrive in
//! time, the mechanism switches itself off for a while. It has no locks and no clock.
//!
//! Held messages are grouped in parts, each with the number of a batch. A part is done when all its messages and all
//! parts before it are acknowledged. Each part has its own records, so that a part that is done frees its memory even
//! if messages are held without a pause.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use hashbrown::HashMap;

use super::super::index::Hasher;
use crate::{router::Record, session::SessionNumber};

/// The held messages.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    sent: HashMap<MessageKey, Sent, Hasher>,
    /// Their numbers are consecutive.
    parts: VecDeque<Part>,
    /// Empty parts, for reuse.
    spare: Vec<Vec<Option<Record>>>,
    /// The duration of a batch that was not held, and when it was measured.
    batch: Option<(Duration, Instant)>,
    /// A batch that is not held is on its way, as a measurement.
    measures: bool,
    /// Messages that were acknowledged in time since the last miss.
    acknowledged: usize,
    /// Misses in a row: parts that had to be written after all.
    misses: u32,
    /// Nothing is held until then, because of misses.
    pauses_until: Option<Instant>,
}

/// A message of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MessageKey {
    pub(crate) session: SessionNumber,
    /// The number of the message in the session.
    pub(crate) number: u64,
}

/// The place of a held message.
#[derive(Clone, Copy, Debug)]
struct Sent {
    part: u64,
    /// The index of its record in the part.
    at: usize,
}

#[derive(Debug)]
struct Part {
    number: u64,
    began: Instant,
    /// Its messages; `None` in place of acknowledged ones.
    records: Vec<Option<Record>>,
    /// Number of messages that are not acknowledged.
    left: usize,
}

impl Hold {
    /// Should the next message be held?
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.pauses_until.is_none() && !self.time().is_zero()
    }

    /// No message is held.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The number of the first part.
    pub(crate) fn first(&self) -> Option<u64> {
        self.parts.front().map(|part| part.number)
    }

    /// The current delay; zero: no message is held.
    pub(crate) fn time(&self) -> Duration {
        self.batch.map_or(Duration::ZERO, |(batch, _)| if batch < SHORTEST { Duration::ZERO } else { batch * BATCHES })
    }

    /// When the delay of the oldest part ends; with `left`, of the oldest part that is not done.
    pub(crate) fn until(&self, left: bool) -> Option<Instant> {
        self.parts.iter().find(|part| !left || part.left > 0).map(|part| part.began + self.time())
    }

    /// Holds a message. `number` is the batch that collects. Returns the number of the message's part, which is this
    /// one or the next. `Err` returns the message: the caller writes it.
    #[inline]
    pub(crate) fn add(
        &mut self,
        key: MessageKey,
        record: Record,
        number: u64,
        now: impl FnOnce() -> Instant,
    ) -> Result<u64, Record> {
        if self.sent.contains_key(&key) {
            return Err(record);
        }
        let last = self.parts.back().filter(|last| last.number == number);
        match last {
            // messages that were sent together are mostly acknowledged together
            Some(last) if last.left == last.records.len() && last.left < MOST_A_PART => {}
            last => {
                if self.parts.len() >= MOST_PARTS {
                    return Err(record);
                }
                let (number, began) = (number + u64::from(last.is_some()), now());
                // the last measurement is old: one batch is not held, to measure its duration again
                if !self.measures && self.batch.is_none_or(|(_, since)| began - since >= VALID) {
                    self.measures = true;
                    return Err(record);
                }
                let records = self.spare.pop().unwrap_or_default();
                self.parts.push_back(Part { number, began, records, left: 0 });
            }
        }
        let Some(part) = self.parts.back_mut() else { return Err(record) };
        self.sent.insert(key, Sent { part: part.number, at: part.records.len() });
        part.records.push(Some(record));
        part.left += 1;
        Ok(part.number)
    }

    /// A client acknowledged a message. Returns its record if it is held.
    #[inline]
    pub(crate) fn acknowledge(&mut self, key: MessageKey) -> Option<Record> {
        if self.sent.is_empty() {
            return None;
        }
        let Sent { part, at } = self.sent.remove(&key)?;
        let first = self.first()?;
        let part = self.parts.get_mut(usize::try_from(part - first).ok()?)?;
        part.left -= 1;
        self.acknowledged += 1;
        part.records[at].take()
    }

    /// The oldest part is done.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.parts.front().is_some_and(|part| part.left == 0)
    }

    /// Removes the parts that are done. Returns the number of the last one.
    pub(crate) fn take_ready(&mut self) -> Option<u64> {
        let mut last = None;
        while self.is_ready()
            && let Some(mut part) = self.parts.pop_front()
        {
            last = Some(part.number);
            if self.spare.len() < MOST_SPARE {
                part.records.clear();
                self.spare.push(part.records);
            }
        }
        last
    }

    /// The delay is over and some messages are not acknowledged: a miss, after which nothing is held for a while.
    pub(crate) fn end(&mut self, now: Instant) {
        let missed = WORTH * self.sent.len() > self.acknowledged;
        self.misses = if missed { (self.misses + 1).min(MOST_MISSES) } else { 0 };
        self.pauses_until = Some(now + self.time() * (PAUSE << self.misses));
        self.acknowledged = 0;
    }

    /// The batch is taken: moves the held messages to `records`.
    pub(crate) fn take(&mut self, records: &mut Vec<Vec<Option<Record>>>, now: Instant) {
        records.extend(self.parts.drain(..).map(|part| part.records));
        self.sent.clear();
        if self.sent.capacity() > MOST_KEPT {
            self.sent = HashMap::default();
        }
        self.pauses_until = self.pauses_until.filter(|&until| now < until);
    }

    /// Notes the duration of a batch that was not held, until it was durable.
    pub(crate) fn note_batch(&mut self, took: Duration, now: Instant) {
        let took = took.min(LONGEST / BATCHES);
        let batch = match self.batch {
            // a single slow batch counts for a shorter time
            Some((known, _)) if self.measures => known.min(took),
            Some((known, _)) => (known * 7 + took) / 8,
            None => took,
        };
        self.batch = Some((batch, now));
        self.measures = false;
    }
}

/// Most messages in a part.
const MOST_A_PART: usize = 64;
/// Most parts: acknowledged ones use memory until the batch before them is durable.
const MOST_PARTS: usize = 1024;
/// Empty parts that keep their memory for reuse.
const MOST_SPARE: usize = 128;
/// The delay, in durations of a batch. In the worst case the publisher waits that much longer for its PUBACK.
const BATCHES: u32 = 3;
/// The longest delay, however slow the disk is.
const LONGEST: Duration = Duration::from_millis(2);
/// Batches that take less are not worth a delay.
const SHORTEST: Duration = Duration::from_micros(50);
/// How long a measured duration of a batch is used.
const VALID: Duration = Duration::from_secs(1);
/// The pause after a miss, in delays: so at most a ninth of the time is lost to delays.
const PAUSE: u32 = 8;
/// The pause doubles with each miss in a row, at most this many times.
const MOST_MISSES: u32 = 6;
/// Messages that must be acknowledged in time for each one that was held and written after all.
const WORTH: usize = 8;
/// Capacity for messages that is kept from one batch to the next.
const MOST_KEPT: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::{super::super::tests::world::session_number, *};

    const MS: Duration = Duration::from_millis(1);

    /// Of batches that take a third of that delay.
    fn hold(time: Duration) -> Hold {
        let mut hold = Hold::default();
        assert!(!hold.is_on());
        hold.note_batch(time / BATCHES, Instant::now());
        assert!(hold.is_on() && hold.is_empty());
        hold
    }

    fn message(number: u64) -> Record {
        Record::Released { session: session_number(1), number }
    }

    fn key(session: u64, number: u64) -> MessageKey {
        MessageKey { session: session_number(session), number }
    }

    fn acknowledge(hold: &mut Hold, session: u64, number: u64) -> Option<u64> {
        hold.acknowledge(key(session, number)).map(|record| match record {
            Record::Released { number, .. } => number,
            other => panic!("{other:?}"),
        })
    }

    /// Adds the messages of a session: the numbers of their parts.
    fn add(hold: &mut Hold, messages: std::ops::Range<u64>, collecting: &mut u64, now: Instant) -> Vec<u64> {
        let each = messages.map(|n| {
            *collecting = hold.add(key(1, n), message(n), *collecting, || now).unwrap();
            *collecting
        });
        each.collect()
    }

    #[test]
    fn a_part_is_complete_when_it_and_all_before_are_acknowledged() {
        let (mut hold, mut number, now) = (hold(MS), 7, Instant::now());
        let time = hold.time();
        assert_eq!(add(&mut hold, 0..3, &mut number, now), [7, 7, 7]);
        assert_eq!((hold.first(), hold.until(true)), (Some(7), Some(now + time)));
        assert_eq!(acknowledge(&mut hold, 1, 1), Some(1));
        assert_eq!(acknowledge(&mut hold, 1, 1), None);
        assert_eq!(acknowledge(&mut hold, 2, 0), None);
        // a message after an acknowledgement waits for its own
        let later = now + MS / 2;
        assert_eq!(add(&mut hold, 3..5, &mut number, later), [8, 8]);
        assert_eq!((acknowledge(&mut hold, 1, 4), acknowledge(&mut hold, 1, 3)), (Some(4), Some(3)));
        assert!(!hold.is_ready());
        assert_eq!((hold.take_ready(), hold.until(true)), (None, Some(now + time)));
        assert_eq!(acknowledge(&mut hold, 1, 0), Some(0));
        assert!(!hold.is_ready());
        assert_eq!(acknowledge(&mut hold, 1, 2), Some(2));
        assert!(hold.is_ready());
        assert_eq!((hold.until(false), hold.until(true)), (Some(now + time), None));
        assert_eq!(hold.take_ready(), Some(8));
        assert!(hold.is_empty());
    }

    #[test]
    fn a_part_has_a_bounded_number_of_messages() {
        let (mut hold, mut number) = (hold(MS), 1);
        let most = MOST_A_PART as u64;
        let parts = add(&mut hold, 0..2 * most + 1, &mut number, Instant::now());
        assert_eq!((parts[0], parts[MOST_A_PART - 1], parts[MOST_A_PART]), (1, 1, 2));
        assert_eq!((parts[2 * MOST_A_PART - 1], number), (2, 3));
        assert!((0..most).all(|n| acknowledge(&mut hold, 1, n) == Some(n)));
        assert_eq!((hold.take_ready(), hold.first()), (Some(1), Some(2)));
    }

    #[test]
    fn the_number_of_parts_is_bounded() {
        let (mut hold, mut number, most) = (hold(MS), 1, MOST_PARTS as u64);
        for n in 0..most {
            add(&mut hold, n..n + 1, &mut number, Instant::now());
            assert_eq!((acknowledge(&mut hold, 1, n), number), (Some(n), n + 1));
        }
        assert!(hold.add(key(1, most), message(most), number, Instant::now).is_err());
        assert_eq!(hold.take_ready(), Some(most));
        add(&mut hold, most..most + 1, &mut number, Instant::now());
    }

    #[test]
    fn a_message_is_delayed_only_once() {
        let mut hold = hold(MS);
        assert!(matches!(hold.add(key(1, 1), message(1), 1, Instant::now), Ok(1)));
        assert!(hold.add(key(1, 1), message(1), 1, Instant::now).is_err());
    }

    #[test]
    fn each_miss_makes_the_pause_longer() {
        let (mut hold, mut number, mut now) = (hold(LONGEST), 1, Instant::now());
        for n in 1..=MOST_MISSES + 2 {
            add(&mut hold, 0..1, &mut number, now);
            hold.end(now);
            let pause = hold.time() * PAUSE * 2_u32.pow(n.min(MOST_MISSES));
            hold.take(&mut Vec::new(), now + pause - MS);
            assert!(!hold.is_on() && hold.is_empty(), "{n}");
            now += pause;
            hold.take(&mut Vec::new(), now);
            hold.note_batch(LONGEST, now);
            assert!(hold.is_on(), "{n}");
            number += 1;
        }
        // most of the held messages were acknowledged in time
        add(&mut hold, 0..1 + WORTH as u64, &mut number, now);
        assert!((0..WORTH as u64).all(|n| acknowledge(&mut hold, 1, n) == Some(n)));
        hold.end(now);
        hold.take(&mut Vec::new(), now + hold.time() * (PAUSE - 1));
        assert!(!hold.is_on());
        hold.take(&mut Vec::new(), now + hold.time() * PAUSE);
        assert!(hold.is_on());
    }

    #[test]
    fn how_long_follows_the_batches_and_is_measured_anew_after_a_while() {
        let mut hold = hold(MS);
        let now = Instant::now();
        (0..100).for_each(|_| hold.note_batch(Duration::from_secs(1), now));
        assert!(hold.time() <= LONGEST && hold.time() > LONGEST - MS / 10);
        (0..100).for_each(|_| hold.note_batch(SHORTEST, now));
        assert!(hold.time() < SHORTEST * (BATCHES + 1));
        let mut number = 1;
        add(&mut hold, 0..1, &mut number, now + VALID / 2);
        assert!(hold.is_on());
        acknowledge(&mut hold, 1, 0);
        // one is written, the next is not
        assert!(hold.add(key(1, 1), message(1), number, || now + VALID).is_err());
        assert_eq!(acknowledge(&mut hold, 1, 1), None);
        add(&mut hold, 2..3, &mut number, now + VALID);
        let time = hold.time();
        hold.note_batch(MS, now + VALID);
        assert_eq!(hold.time(), time);
        hold.note_batch(MS, now + VALID);
        assert!(hold.time() > time);
        add(&mut hold, 3..4, &mut number, now + VALID * 3 / 2);
        assert!(hold.add(key(1, 4), message(4), number + 1, || now + 2 * VALID).is_err());
        hold.note_batch(SHORTEST, now + 2 * VALID);
        assert_eq!(hold.time(), SHORTEST * BATCHES);
    }

    #[test]
    fn with_very_fast_batches_no_write_is_delayed() {
        let mut hold = Hold::default();
        let now = Instant::now();
        hold.note_batch(SHORTEST / 2, now);
        assert!(!hold.is_on());
        // even if one of them is slow by chance
        hold.note_batch(Duration::from_secs(1), now);
        (0..50).for_each(|_| hold.note_batch(SHORTEST / 2, now));
        assert!(!hold.is_on());
    }
}
