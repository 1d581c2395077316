//! [`Session`]: what a client knows of its session.

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

/// What is known of a subscription.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Subscription {
    /// It has been acknowledged since, and nothing was done to end it.
    pub(super) there: Option<Tick>,
    /// It may have been there since.
    pub(super) possible: Option<Tick>,
    /// It was not there then.
    pub(super) absent: Tick,
    /// It was not there, and was asked for then; that is not answered.
    pub(super) asked: Option<Tick>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u32,
    /// It is there: its client was told so.
    pub(super) exists: bool,
    /// It may be there.
    pub(super) possible: bool,
    pub(super) lasts: Lasts,
    /// Its client has been away since, at the earliest, and at the latest, if that is known.
    pub(super) away: Option<(Instant, Option<Instant>)>,
    /// When it expired.
    expired: Option<Instant>,
    /// It had been away since, and that it is back may not be kept.
    pub(super) was_away: Option<Instant>,
    pub(super) subscriptions: [Subscription; FILTERS.len()],
    /// Messages that have to come if their publishers are told that they are kept.
    pub(super) due: BTreeSet<Number>,
    /// Messages that came, and in which life of the broker the last time.
    came: BTreeMap<Number, u32>,
    /// The last one of each publisher, topic and QoS.
    last: BTreeMap<(usize, String, QoS), Number>,
}

/// How a message comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    pub(super) number: Number,
    pub(super) qos: QoS,
    pub(super) dup: bool,
    pub(super) retain: bool,
    pub(super) is_shared: bool,
}

impl Session {
    /// None yet.
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

    /// Nobody knows whether it is there: nothing has to come to it.
    pub(super) fn doubt(&mut self) {
        self.exists = false;
        self.due.clear();
        for subscription in &mut self.subscriptions {
            subscription.there = None;
        }
    }

    /// Its client forgets it.
    pub(super) fn forget(&mut self) {
        self.doubt();
        self.came.clear();
        self.last.clear();
    }

    /// It is not there.
    pub(super) fn end(&mut self) {
        self.doubt();
        self.possible = false;
    }

    /// Its client is away, since a moment between these.
    pub(super) fn leaves(&mut self, earliest: Instant, latest: Option<Instant>) {
        self.away = Some((earliest, latest));
        if self.lasts == Lasts::WithConnection {
            self.doubt();
        }
    }

    /// It is `now`, and the broker last looked for sessions to end at `looked`. `asks`: its client asks for it.
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

    /// The broker is started again after a crash. It knows that its client was there until `known`, or later.
    pub(super) fn survives(&mut self, known: Instant, crashed: Instant) {
        let known = self.was_away.map_or(known, |was_away| was_away.min(known));
        if self.lasts == Lasts::WithConnection {
            return self.end();
        }
        // that it has expired may not be kept
        self.possible |= self.expired.is_some_and(|expired| expired >= known);
        self.away = self.away.map(|(earliest, latest)| {
            (earliest.min(known), Some(latest.map_or(crashed, |latest| latest.max(crashed))))
        });
    }

    /// Is the message to come, if it is kept?
    pub(super) fn expects(&self, filter: usize) -> bool {
        self.exists && self.subscriptions[filter].there.is_some()
    }

    /// A message came.
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
        // one that was sent again may have been published first before there was the subscription
        let is_late = message.sends > 1 && subscription.there.is_none_or(|there| there > message.sent);
        let last = self.last.entry((message.from, message.topic.clone(), qos)).or_insert(number);
        if *last > number && !is_late {
            fault!("{number} came to {who} behind {last}");
        }
        *last = number.max(*last);
    }

    /// Did this come?
    pub(super) fn has(&self, number: Number) -> bool {
        self.came.contains_key(&number)
    }
}
