//! [`Promises`]: messages and retained values, and what must and must not become of them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::wills::Fate;
use crate::types::QoS;

/// Counts what happens: of two events, the earlier has the lower one.
pub(super) type Tick = u64;
/// Names a message; its payload says it.
pub(super) type Number = usize;

/// Topics, and which of [`FILTERS`] they match: one each, so that each message comes once.
pub(super) const TOPICS: [(&str, usize); 8] = [
    ("t/0", 0),
    ("t/1", 1),
    ("t/a/x", 2),
    ("t/b/x", 2),
    ("s/0", SHARED),
    ("s/1", SHARED),
    ("r/0", RETAINED),
    ("r/1", RETAINED),
];
pub(super) const FILTERS: [&str; 6] = ["t/0", "t/1", "t/+/x", "$share/g/s/+", "r/#", "w/#"];
pub(super) const SHARED: usize = 3;
pub(super) const RETAINED: usize = 4;
pub(super) const WILLS: usize = 5;
/// The first topic that is retained.
pub(super) const FIRST_RETAINED: usize = 6;

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    /// Its publisher.
    pub(super) from: usize,
    pub(super) topic: String,
    /// Which of the filters its topic matches.
    pub(super) filter: usize,
    pub(super) qos: QoS,
    /// Message Expiry Interval.
    pub(super) expiry: Option<u32>,
    /// When it was sent first.
    pub(super) sent: Tick,
    pub(super) sent_at: Instant,
    /// How often.
    pub(super) sends: u32,
    /// In which life of the broker it was sent first.
    pub(super) life: u32,
    /// When its publisher knew that it is kept.
    pub(super) acknowledged: Option<Instant>,
    /// What has to become of it, if it is a Will.
    pub(super) fate: Option<Fate>,
    /// Sessions that got it as members of a group: whose, and which of theirs; at which QoS, and in which life of the
    /// broker.
    pub(super) members: Vec<Got>,
    /// Members of the group when it was sent.
    pub(super) group: Vec<(usize, u32)>,
}

/// A session that got a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Got {
    pub(super) who: usize,
    pub(super) session: u32,
    pub(super) qos: QoS,
    pub(super) life: u32,
}

/// What was published with RETAIN to a topic: by one client, in its order.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// Numbers; a clear one has none that is ever seen.
    pub(super) sent: Vec<(Number, bool)>,
    /// How many of them, from the first on, were acknowledged or are older than one that was.
    pub(super) acknowledged: usize,
}

#[derive(Debug, Default)]
pub(super) struct Promises {
    pub(super) tick: Tick,
    pub(super) messages: Vec<Message>,
    /// By the topic.
    pub(super) values: BTreeMap<String, Values>,
    /// How often the broker was started.
    pub(super) life: u32,
    /// The number of the last session.
    pub(super) session: u32,
}

/// What is wrong: ends the history.
macro_rules! fault {
    ($($why:tt)*) => { panic!("a promise is broken: {}", format!($($why)*)) };
}
pub(super) use fault;

impl Promises {
    pub(super) fn tick(&mut self) -> Tick {
        self.tick += 1;
        self.tick
    }

    pub(super) fn next_session(&mut self) -> u32 {
        self.session += 1;
        self.session
    }

    /// One more message, which is sent now.
    pub(super) fn message(&mut self, from: usize, topic: &str, filter: usize, qos: QoS, now: Instant) -> Number {
        let sent = self.tick();
        self.messages.push(Message {
            from,
            topic: topic.to_owned(),
            filter,
            qos,
            expiry: None,
            sent,
            sent_at: now,
            sends: 1,
            life: self.life,
            acknowledged: None,
            fate: None,
            members: Vec::new(),
            group: Vec::new(),
        });
        self.messages.len() - 1
    }

    /// Its publisher is told that it is kept.
    pub(super) fn acknowledge(&mut self, number: Number, now: Instant) {
        let message = &mut self.messages[number];
        message.acknowledged.get_or_insert(now);
        if let Some(values) = self.values.get_mut(&message.topic)
            && let Some(at) = values.sent.iter().position(|(other, _)| *other == number)
        {
            values.acknowledged = values.acknowledged.max(at + 1);
        }
    }

    /// Must it come to those that are connected, read and acknowledge, and had subscribed by then?
    pub(super) fn is_owed(&self, number: Number, now: Instant) -> bool {
        let message = &self.messages[number];
        let may_have_expired =
            message.expiry.is_some_and(|seconds| now >= message.sent_at + Duration::from_secs(seconds.into()));
        message.acknowledged.is_some() && !may_have_expired
    }

    /// How many values of a topic are surely overwritten now, and by which value that is.
    pub(super) fn overwritten(&self, topic: &str) -> usize {
        self.values.get(topic).map_or(0, |values| values.acknowledged)
    }

    /// A new subscriber got this value of a topic, or none: after so many were acknowledged.
    pub(super) fn check_value(&self, who: &str, topic: &str, got: Option<Number>, acknowledged: usize) {
        let Some(values) = self.values.get(topic) else {
            return assert_eq!(got, None, "{who} got a retained message of {topic}");
        };
        let possible = &values.sent[acknowledged.saturating_sub(1)..];
        let is_possible = match got {
            Some(number) => possible.contains(&(number, false)),
            None => acknowledged == 0 || possible.iter().any(|(_, clears)| *clears),
        };
        if !is_possible {
            fault!("the retained value of {topic} is {got:?} to {who}, and can be one of {possible:?}");
        }
    }

    /// A member of a group gets a message: nobody else may have it.
    pub(super) fn came_to_member(&mut self, number: Number, got: Got, has_ended: impl Fn(usize, u32) -> bool) {
        let message = &mut self.messages[number];
        for other in &message.members {
            if (other.who, other.session) == (got.who, got.session) {
                continue;
            }
            let (has_ended, has_crashed) = (has_ended(other.who, other.session), other.life != got.life);
            let again = match other.qos {
                // a session that is not kept got it before that it was received was
                QoS::ExactlyOnce => message.sends > 1 && has_crashed && has_ended,
                _ => message.sends > 1 || has_crashed || has_ended,
            };
            if !again {
                fault!("{number} came to two members of a group: {other:?} and {got:?}");
            }
        }
        message.members.push(got);
    }
}
