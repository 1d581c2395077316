//! [`Promises`]: messages and retained values, and the expectations about them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::wills::Fate;
use crate::types::QoS;

/// A counter of events: the earlier of two events has the lower number.
pub(super) type Tick = u64;
/// The number of a message, which its payload contains.
pub(super) type Number = usize;

/// Topics, and the index in [`FILTERS`] of the only filter that matches, so that each message arrives once.
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
    /// The filter that its topic matches.
    pub(super) filter: usize,
    pub(super) qos: QoS,
    /// Message Expiry Interval.
    pub(super) expiry: Option<u32>,
    /// The event of its first sending.
    pub(super) sent: Tick,
    pub(super) sent_at: Instant,
    /// How often it was sent.
    pub(super) sends: u32,
    /// The life of the broker at its first sending.
    pub(super) life: u32,
    /// When its publisher received the acknowledgement.
    pub(super) acknowledged: Option<Instant>,
    /// The expectation, if it is a Will.
    pub(super) fate: Option<Fate>,
    /// Sessions that received it as members of a group: the client, the number of its session, the QoS, and the life of
    /// the broker.
    pub(super) members: Vec<Got>,
    /// The members of the group when it was sent.
    pub(super) group: Vec<(usize, u32)>,
}

/// A session that received a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Got {
    pub(super) who: usize,
    pub(super) session: u32,
    pub(super) qos: QoS,
    pub(super) life: u32,
}

/// The retained messages of a topic, which have one publisher, in order.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// Their numbers; the number of a clearing message is never received.
    pub(super) sent: Vec<(Number, bool)>,
    /// How many of them, from the first on, were acknowledged or precede an acknowledged one.
    pub(super) acknowledged: usize,
}

#[derive(Debug, Default)]
pub(super) struct Promises {
    pub(super) tick: Tick,
    pub(super) messages: Vec<Message>,
    /// By topic.
    pub(super) values: BTreeMap<String, Values>,
    /// Number of starts of the broker.
    pub(super) life: u32,
    /// The number of the last session.
    pub(super) session: u32,
}

/// Reports a fault and ends the history.
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

    /// A new message, which is sent now.
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

    /// Its publisher receives the acknowledgement.
    pub(super) fn acknowledge(&mut self, number: Number, now: Instant) {
        let message = &mut self.messages[number];
        message.acknowledged.get_or_insert(now);
        if let Some(values) = self.values.get_mut(&message.topic)
            && let Some(at) = values.sent.iter().position(|(other, _)| *other == number)
        {
            values.acknowledged = values.acknowledged.max(at + 1);
        }
    }

    /// Must each client that is connected, reads and acknowledges receive it, if it had subscribed in time?
    pub(super) fn is_owed(&self, number: Number, now: Instant) -> bool {
        let message = &self.messages[number];
        let may_have_expired =
            message.expiry.is_some_and(|seconds| now >= message.sent_at + Duration::from_secs(seconds.into()));
        message.acknowledged.is_some() && !may_have_expired
    }

    /// Number of acknowledged values of a topic. All but the last of these are certainly overwritten.
    pub(super) fn overwritten(&self, topic: &str) -> usize {
        self.values.get(topic).map_or(0, |values| values.acknowledged)
    }

    /// A new subscriber received this value of a topic, or none; `acknowledged` values were acknowledged before.
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

    /// A member of a group received a message: no other member may receive it.
    pub(super) fn came_to_member(&mut self, number: Number, got: Got, has_ended: impl Fn(usize, u32) -> bool) {
        let message = &mut self.messages[number];
        for other in &message.members {
            if (other.who, other.session) == (got.who, got.session) {
                continue;
            }
            let (has_ended, has_crashed) = (has_ended(other.who, other.session), other.life != got.life);
            let again = match other.qos {
                // a session that is not stored received it before its receipt was stored
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
