//! [`Faults`]: the faults that are set; selects the one that hits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::{
    super::{
        forget::Reset,
        journal::{Journal, What},
        strict::Strict,
    },
    fault::{Does, Fault},
    longest::Longest,
};
use crate::{
    clock::{Clock, TestClock},
    net::Stream,
    topic::{TopicFilter, TopicName},
    trace::{Seen, Who},
};

/// All faults of a bench.
pub(in super::super) struct Faults {
    set: Mutex<Set>,
    clock: Clock,
    pub(super) journal: Arc<Journal>,
    pub(super) strict: Arc<Strict>,
    /// Larger packets of clients have no faults.
    pub(super) longest: Longest,
    /// Sockets of connections that the broker has closed without telling the client.
    buried: Mutex<Vec<Box<dyn Stream + Send>>>,
    /// Tasks that send what is delayed after the broker has closed, with their clients.
    left: Mutex<Vec<(Option<Box<str>>, AbortHandle)>>,
    /// The broker is being killed: nothing that it sends now arrives.
    cut: AtomicBool,
    /// Number of delayed packets.
    pub(super) late: AtomicUsize,
}

#[derive(Default)]
struct Set {
    all: Vec<Active>,
    last: u64,
}

struct Active {
    id: u64,
    fault: Fault,
    since: Instant,
    random: Random,
    /// Number of packets that it applied to.
    met: u64,
    hits: u64,
}

/// A fault that is set.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its number.
    pub id: u64,
    /// As it was set.
    pub fault: Fault,
    /// Number of hits.
    pub hits: u64,
}

impl Shown {
    /// Name of its effect.
    pub fn does(&self) -> &'static str {
        self.fault.does.name()
    }
}

/// The effect of a fault on a packet.
pub(super) struct Hit {
    pub(super) does: Does,
    pub(super) random: u64,
}

/// Most such sockets.
const MOST_BURIED: usize = 1_024;
/// Most faults.
const MOST: usize = 1_000;

impl Faults {
    pub(in super::super) fn new(
        clock: &TestClock,
        journal: Arc<Journal>,
        strict: Arc<Strict>,
        longest: Longest,
    ) -> Self {
        let (set, buried, left, late) = (Mutex::default(), Mutex::default(), Mutex::default(), AtomicUsize::new(0));
        Self { set, clock: clock.clock(), journal, strict, buried, left, longest, cut: AtomicBool::new(false), late }
    }

    /// Sets a fault; returns its number.
    pub(in super::super) fn set(&self, fault: Fault) -> Result<u64, String> {
        fault.check()?;
        let mut set = self.set.lock();
        if set.all.len() >= MOST {
            return Err(format!("{MOST} faults are set, and no more can be"));
        }
        set.last += 1;
        let (id, since, random) = (set.last, self.clock.now(), Random(fault.seed));
        set.all.push(Active { id, fault, since, random, met: 0, hits: 0 });
        Ok(id)
    }

    /// All faults.
    pub(in super::super) fn all(&self) -> Vec<Shown> {
        let set = self.set.lock();
        set.all.iter().map(|one| Shown { id: one.id, fault: one.fault.clone(), hits: one.hits }).collect()
    }

    /// Removes one fault or all; returns their number. Effects on open connections stay.
    pub(in super::super) fn remove(&self, id: Option<u64>) -> usize {
        let mut set = self.set.lock();
        let before = set.all.len();
        set.all.retain(|one| id.is_some_and(|id| id != one.id));
        let removed = before - set.all.len();
        let is_none = set.all.is_empty();
        drop(set);
        if is_none {
            drop(std::mem::take(&mut *self.buried.lock()));
        }
        removed
    }

    /// Removes the faults of some clients and topics, or all.
    pub(in super::super) fn forget(&self, reset: &Reset) {
        self.left.lock().retain(|(client, task)| {
            let is_meant = reset.is_all() || client.as_deref().is_some_and(|client| reset.has_client(client));
            if is_meant {
                task.abort();
            }
            !is_meant
        });
        if reset.is_all() {
            self.remove(None);
            return;
        }
        self.set.lock().all.retain(|one| {
            let when = &one.fault.when;
            let of_client = when.client.as_ref().is_some_and(|client| reset.has_client(client));
            let of_topic = when.topic.as_ref().is_some_and(|topic| reset.has_topic(topic));
            !(when.is_narrow() && (of_client || of_topic))
        });
    }

    /// Applies the first fault that hits this packet, and records it.
    /// `greeted`: the client was accepted.
    pub(super) fn hit(&self, who: &Who, seen: &Seen, greeted: bool) -> Option<Hit> {
        let now = self.clock.now();
        let mut set = self.set.lock();
        let (id, hit) = set.all.iter_mut().find_map(|one| {
            let does = &one.fault.does;
            let is_for = does.is_for(seen.packet, seen.direction) && does.changes(seen, who.version, greeted);
            let is_for = is_for && one.is_for(who, seen);
            (is_for && one.hits_now(now)).then(|| (one.id, one.hit()))
        })?;
        drop(set);
        let what = What::Fault { id, does: hit.does.name(), packet: Some(Box::new(seen.clone())) };
        self.journal.note(who.client.as_deref(), who.user.as_deref(), what);
        Some(hit)
    }

    /// Is the next connection refused?
    pub(super) fn refuses(&self) -> bool {
        let now = self.clock.now();
        let mut set = self.set.lock();
        let found = set.all.iter_mut().filter(|one| one.fault.does == Does::RefuseTcp).find_map(|one| {
            one.hits_now(now).then(|| {
                one.hit();
                one.id
            })
        });
        drop(set);
        let Some(id) = found else { return false };
        self.journal.note(None, None, What::Fault { id, does: Does::RefuseTcp.name(), packet: None });
        self.journal.tell();
        true
    }

    /// Keeps the socket of a closed connection open, so that its client is not told.
    pub(super) fn bury(&self, socket: Box<dyn Stream + Send>) {
        let mut buried = self.buried.lock();
        if buried.len() < MOST_BURIED {
            buried.push(socket);
        }
    }

    /// Remembers a task that sends what is delayed after the broker has closed.
    pub(super) fn leaves(&self, client: Option<Box<str>>, task: AbortHandle) {
        let mut left = self.left.lock();
        left.retain(|(_, task)| !task.is_finished());
        left.push((client, task));
    }

    /// Cuts connections: nothing more reaches their clients, and they are reset. `false`: ends this.
    pub(in super::super) fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Release);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Are there delayed packets?
    pub(in super::super) fn has_late(&self) -> bool {
        self.late.load(Ordering::Acquire) > 0
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl Active {
    fn is_for(&self, who: &Who, seen: &Seen) -> bool {
        let when = &self.fault.when;
        when.client.as_deref().is_none_or(|wanted| who.client.as_deref().is_some_and(|name| is_named(wanted, name)))
            && when.user.as_deref().is_none_or(|wanted| who.user.as_deref() == Some(wanted))
            && when.packet.is_none_or(|wanted| wanted == seen.packet)
            && when.direction.is_none_or(|wanted| wanted == seen.direction)
            && when
                .topic
                .as_deref()
                .is_none_or(|filter| seen.topic.as_deref().is_some_and(|topic| matches(filter, topic)))
    }

    /// Counts a packet that it applies to. `true`: it hits this packet.
    fn hits_now(&mut self, now: Instant) -> bool {
        let when = &self.fault.when;
        let from = self.since + when.after.unwrap_or_default().0;
        if now < from || when.lasts.is_some_and(|lasts| now >= from + lasts.0) {
            return false;
        }
        if when.times.is_some_and(|times| self.hits >= times) {
            return false;
        }
        self.met += 1;
        // drawn for every packet, so that the sequence depends on nothing else
        let drawn = self.random.unit();
        when.nth.is_none_or(|nth| nth == self.met)
            && when.every.is_none_or(|every| self.met.is_multiple_of(every))
            && when.probability.is_none_or(|probability| drawn < probability)
    }

    fn hit(&mut self) -> Hit {
        self.hits += 1;
        Hit { does: self.fault.does.clone(), random: self.random.next() }
    }
}

fn is_named(wanted: &str, name: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => wanted == name,
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    match (TopicFilter::new(filter), TopicName::new(topic)) {
        (Ok(filter), Ok(topic)) => filter.matches(topic),
        _ => false,
    }
}

/// Equal numbers for equal seeds (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to less than 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{codec::PacketType, trace::Direction};

    fn faults(clock: &TestClock) -> Faults {
        let strict = Arc::new(Strict::new(None));
        Faults::new(clock, Arc::new(Journal::new(strict.clone(), None)), strict, super::super::longest::LONGEST)
    }

    /// Which of the PUBLISH packets of "c" are hit.
    fn hits(faults: &Faults, packets: u64) -> Vec<u64> {
        let mut who = Who::default();
        // the CONNECT of "c"
        who.see(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c", Direction::ToServer).unwrap();
        let seen = who.see(b"\x30\x03\x00\x01a", Direction::ToServer).unwrap();
        assert_eq!((seen.packet, seen.topic.as_deref()), (PacketType::Publish, Some("a")));
        (1..=packets).filter(|_| faults.hit(&who, &seen, true).is_some()).collect()
    }

    fn set(faults: &Faults, fault: serde_json::Value) -> u64 {
        faults.set(serde_json::from_value(fault).unwrap()).unwrap()
    }

    #[test]
    fn nth_every_and_times_select_packets() {
        for (when, expected) in [
            (json!({}), vec![1, 2, 3, 4, 5, 6]),
            (
                json!({ "client": "c", "topic": "+", "packet": "publish", "direction": "to_server" }),
                vec![1, 2, 3, 4, 5, 6],
            ),
            (json!({ "client": "c*", "nth": 2 }), vec![2]),
            (json!({ "every": 3 }), vec![3, 6]),
            (json!({ "times": 2 }), vec![1, 2]),
            (json!({ "every": 2, "times": 2 }), vec![2, 4]),
            (json!({ "probability": 0.0 }), vec![]),
            (json!({ "probability": 1.0, "times": 1 }), vec![1]),
            (json!({ "client": "d" }), vec![]),
            (json!({ "user": "c" }), vec![]),
            (json!({ "topic": "b" }), vec![]),
            (json!({ "packet": "PUBACK" }), vec![]),
            (json!({ "direction": "to_client" }), vec![]),
        ] {
            let faults = faults(&TestClock::new());
            let id = set(&faults, json!({ "when": when, "do": "drop" }));
            assert_eq!(hits(&faults, 6), expected, "{when}");
            assert_eq!(faults.all()[0].hits, expected.len() as u64);
            assert_eq!((faults.remove(Some(id + 1)), faults.remove(Some(id)), faults.all().len()), (0, 1, 0));
        }
    }

    #[test]
    fn a_seed_replays_the_same_hits() {
        let of = |seed: u64| {
            let faults = faults(&TestClock::new());
            set(&faults, json!({ "when": { "probability": 0.3 }, "do": "drop", "seed": seed }));
            hits(&faults, 1000)
        };
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        assert!((200..400).contains(&of(7).len()), "{}", of(7).len());
    }

    #[test]
    fn a_fault_begins_and_ends_by_the_clock_of_the_broker() {
        let clock = TestClock::new();
        let faults = faults(&clock);
        set(&faults, json!({ "when": { "after": "1h", "for": "1h" }, "do": "close" }));
        assert!(hits(&faults, 2).is_empty());
        clock.turn(Duration::from_secs(3600));
        assert_eq!(hits(&faults, 2), [1, 2]);
        clock.turn(Duration::from_secs(3600));
        assert!(hits(&faults, 2).is_empty());
    }

    #[test]
    fn an_invalid_fault_is_refused_with_the_reason() {
        for (fault, wrong) in [
            (json!({ "do": "explode" }), "unknown variant"),
            (json!({ "do": "drop", "when": { "packet": "HELLO" } }), "is not a type"),
            (json!({ "do": "drop", "when": { "topic": "a/#/b" } }), "topic: "),
            (json!({ "do": "drop", "when": { "topic": "a", "packet": "PUBACK" } }), "topic: "),
            (json!({ "do": "drop", "when": { "probability": 2 } }), "probability: "),
            (json!({ "do": "drop", "when": { "nth": 0 } }), "nth and every"),
            (json!({ "do": "refuse_tcp", "when": { "client": "c" } }), "refuse_tcp: "),
            (json!({ "do": { "stall": 0 } }), "stall: "),
        ] {
            let read = serde_json::from_value::<Fault>(fault.clone()).map_err(|error| error.to_string());
            let error = read.and_then(|fault| fault.check()).unwrap_err();
            assert!(error.contains(wrong), "{fault}: {error}");
        }
    }
}
