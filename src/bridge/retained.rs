//! [`Retained`]: retained messages that changed here while the other broker was away; `due` sends them.
//!
//! Those that the queue does not have, because they are of QoS 0 or were dropped, are in a list of the session. When a
//! connection begins they are queued behind all others. One of QoS 0 stays in the list until the other broker has
//! answered a PINGREQ behind it.
//!
//! With topics of both directions, what changed here wins. So the bridge subscribes when the other broker has read the
//! changes: it then answers with them. Until it has read a topic's change, retained messages of this topic from it are
//! older, and are dropped. Such messages may wait in its session, behind a window, and must come before it reads the
//! change. So the bridge sends nothing until no message comes any more (`missing`), for a limited time.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::Instant,
};

use super::error::Lost;
use crate::{inside::Relay, router::Relaying, session::Change, topic::TopicName};

/// The state of one connection.
pub(super) struct Retained {
    /// Where to continue among all retained messages, if all are due.
    pub(super) walk: u32,
    /// Some may have to be queued.
    pub(super) brings: bool,
    /// Messages of QoS 0 that are due were sent: the number of the last message that was sent.
    pub(super) sent: Option<u64>,
    /// A PINGREQ was sent behind the message with this number.
    pub(super) asked: Option<u64>,
    /// When to send the next one.
    pub(super) asks_at: Instant,
    /// The other broker has read all messages up to this number.
    pub(super) arrived: u64,
    pub(super) changed: Changed,
    /// SUBSCRIBE waits until the changes have arrived, at the latest until then.
    pub(super) subscribes_by: Option<Instant>,
    /// Nothing is sent until all has come that waits in the session of the other broker, at the latest until then.
    pub(super) sends_by: Option<Instant>,
}

/// Topics of both directions that changed here while the other broker was away.
#[derive(Default)]
pub(super) struct Changed {
    /// The last message of each.
    pub(super) topics: HashMap<u64, Change>,
    /// All that are retained here.
    pub(super) all: bool,
    /// The last messages: of any QoS, and of QoS 0.
    pub(super) last: u64,
    pub(super) last_qos0: u64,
    random: RandomState,
}

impl Retained {
    pub(super) fn new(now: Instant) -> Self {
        let (walk, changed) = Default::default();
        let (sent, asked, subscribes_by, sends_by) = Default::default();
        Self { walk, brings: true, sent, asked, asks_at: now, arrived: 0, changed, subscribes_by, sends_by }
    }

    /// Messages were taken from the session, if `any`.
    pub(super) fn filled(&mut self, session: &mut Relaying<'_>, any: bool) {
        self.sent = session.due_taken();
        // now there may be room
        self.brings |= session.take_due_news() || any && session.due_waits();
    }

    /// Do messages wait until all has come that waits in the session of the other broker?
    pub(super) fn holds_messages(&self) -> bool {
        self.sends_by.is_some()
    }

    /// When there is something to do next.
    pub(super) fn next(&self, now: Instant, pinged: bool) -> Option<Instant> {
        let brings = self.brings.then_some(now);
        let asks = self.sent.filter(|_| !pinged).map(|_| self.asks_at);
        [brings, asks, self.subscribes_by, self.sends_by].into_iter().flatten().min()
    }

    /// Did this topic, as it is called here, change here, so that a message of the other broker is older?
    pub(super) fn is_newer_here(&self, here: &TopicName, relay: &Relay) -> Result<bool, Lost> {
        let Changed { topics, all, random, .. } = &self.changed;
        if topics.is_empty() && !all {
            return Ok(false);
        }
        let change = topics.get(&random.hash_one(here.as_str()));
        let newer = relay.turn(|turn| {
            let open = turn.session(|session| (session.first_open(), session.all_are_due()));
            open.map(|(first, all_are_due)| {
                change.is_some_and(|change| !self.has_arrived(*change, first))
                    || *all && all_are_due && turn.retains_of_others(here)
            })
        });
        newer.flatten().ok_or(Lost::Stopped)
    }

    /// Has the other broker read this change? `first_open`: the first message that it has not acknowledged.
    pub(super) fn has_arrived(&self, change: Change, first_open: Option<u64>) -> bool {
        first_open.is_none_or(|first| first > change.number) && (!change.qos0 || self.arrived >= change.number)
    }
}

impl Changed {
    pub(super) fn note(&mut self, topic: &str, change: Change) {
        let mark = self.random.hash_one(topic);
        let noted = self.topics.entry(mark).or_insert(change);
        if noted.number < change.number {
            *noted = change;
        }
        self.last = self.last.max(change.number);
        if change.qos0 {
            self.last_qos0 = self.last_qos0.max(change.number);
        }
    }
}
