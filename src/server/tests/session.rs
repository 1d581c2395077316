//! [`Session`]: the expected state of a session.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::promises::{FILTERS, Number, Promises, Tick, fault};
use crate::types::QoS;

/// How long a session outlives its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasts {
    WithConnection,
    Seconds(u32),
    Forever,
}

/// The expected state of a subscription.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Subscription {
    /// It was acknowledged at this event, and no UNSUBSCRIBE was sent since.
    pub(super) there: Option<Tick>,
    /// It may exist since this event.
    pub(super) possible: Option<Tick>,
    /// It did not exist at this event.
    pub(super) absent: Tick,
    /// It did not exist, and a SUBSCRIBE was sent at this event, without a SUBACK yet.
    pub(super) asked: Option<Tick>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u32,
    /// It exists: the client knows that from a CONNACK.
    pub(super) exists: bool,
    /// It may exist.
    pub(super) possible: bool,
    pub(super) lasts: Lasts,
    /// The earliest and the latest time since which its client is away; the latest may be unknown.
    pub(super) away: Option<(Instant, Option<Instant>)>,
    /// The time at which it expired.
    expired: Option<Instant>,
    /// Its client was away since then; its return may not be durable.
    pub(super) was_away: Option<Instant>,
    pub(super) subscriptions: [Subscription; FILTERS.len()],
    /// Messages that must arrive if their publishers receive the acknowledgement.
    pub(super) due: BTreeSet<Number>,
    /// Messages that arrived, and the life of the broker at their last arrival.
    came: BTreeMap<Number, u32>,
    /// The last message of each publisher, topic and QoS.
    last: BTreeMap<(usize, String, QoS), Number>,
}

/// The fields of a received PUBLISH.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    pub(super) number: Number,
    pub(super) qos: QoS,
    pub(super) dup: bool,
    pub(super) retain: bool,
    pub(super) is_shared: bool,
}

impl Session {
    /// No session yet.
    pub(super) fn none(number: u32) -> Self {
        Self {
            number,
            exists: false,
            possible: false,
            lasts: Lasts::WithConnection,
            away: None,
            was_away: None,
            expired: None,
            subscriptions: Default::default(),
            due: BTreeSet::new(),
            came: BTreeMap::new(),
            last: BTreeMap::new(),
        }
    }

    /// Its existence is unknown: no message must arrive.
    pub(super) fn doubt(&mut self) {
        self.exists = false;
        self.due.clear();
        for subscription in &mut self.subscriptions {
            subscription.there = None;
        }
    }

    /// Its client drops its state.
    pub(super) fn forget(&mut self) {
        self.doubt();
        self.came.clear();
        self.last.clear();
    }

    /// It does not exist.
    pub(super) fn end(&mut self) {
        self.doubt();
        self.possible = false;
    }

    /// Its client is away, since a time between these.
    pub(super) fn leaves(&mut self, earliest: Instant, latest: Option<Instant>) {
        self.away = Some((earliest, latest));
        if self.lasts == Lasts::WithConnection {
            self.doubt();
        }
    }

    /// The time is `now`, and the broker last looked for expired sessions at `looked`. `asks`: its client asks for it.
    pub(super) fn pass(&mut self, now: Instant, looked: Instant, asks: bool) {
        let (Some((earliest, latest)), Lasts::Seconds(seconds)) = (self.away, self.lasts) else { return };
        let lasts = Duration::from_secs(seconds.into());
        if now >= earliest + lasts && self.exists {
            self.doubt();
        }
        if !asks && latest.is_some_and(|latest| looked >= latest + lasts) && self.possible {
            self.end();
            self.expired = Some(now);
        }
    }

    /// The broker is restarted after a crash. It knows that the client was connected until `known`, or later.
    pub(super) fn survives(&mut self, known: Instant, crashed: Instant) {
        let known = self.was_away.map_or(known, |was_away| was_away.min(known));
        if self.lasts == Lasts::WithConnection {
            return self.end();
        }
        // its expiry may not be durable
        self.possible |= self.expired.is_some_and(|expired| expired >= known);
        self.away = self.away.map(|(earliest, latest)| {
            (earliest.min(known), Some(latest.map_or(crashed, |latest| latest.max(crashed))))
        });
    }

    /// Must the message arrive, if it is stored?
    pub(super) fn expects(&self, filter: usize) -> bool {
        self.exists && self.subscriptions[filter].there.is_some()
    }

    /// A message arrived.
    pub(super) fn hear(&mut self, who: &str, promises: &Promises, delivery: Delivery) {
        let Delivery { number, qos, dup, retain, is_shared } = delivery;
        let message = &promises.messages[number];
        let subscription = self.subscriptions[message.filter];
        if subscription.possible.is_none() && message.sent > subscription.absent {
            fault!("{number} came to {who}, which had no subscription when it was published: {subscription:?}");
        }
        if subscription.asked.is_some_and(|asked| retain || message.sent > asked) {
            fault!("{number} came to {who} before the SUBACK");
        }
        if retain {
            return;
        }
        self.due.remove(&number);
        if let Some(life) = self.came.insert(number, promises.life) {
            let is_again = dup || life != promises.life || message.sends > 1;
            if qos == QoS::ExactlyOnce && message.qos == QoS::ExactlyOnce || !is_again {
                fault!("{number} came twice to {who} at {qos:?}");
            }
            return;
        }
        // Wills have their own times
        if is_shared || message.fate.is_some() {
            return;
        }
        // a repeated message may first have been published before the subscription existed
        let is_late = message.sends > 1 && subscription.there.is_none_or(|there| there > message.sent);
        let last = self.last.entry((message.from, message.topic.clone(), qos)).or_insert(number);
        if *last > number && !is_late {
            fault!("{number} came to {who} behind {last}");
        }
        *last = number.max(*last);
    }

    /// Did this message arrive?
    pub(super) fn has(&self, number: Number) -> bool {
        self.came.contains_key(&number)
    }
}
