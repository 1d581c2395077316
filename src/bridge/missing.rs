//! [`Missing`]: retained messages that came from the other broker and are missing there, found at each connect
//! (`clear_missing_retained`).
//!
//! The other broker queues what it retains when it is asked for it, and sends as much as its window allows; the rest
//! waits for acknowledgements, and the answer to a PINGREQ does not. So the bridge asks with PINGREQ again and again,
//! each behind the acknowledgements of all that came before. When nothing comes from one answer to the next, several
//! times in succession, nothing waits there any more.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use crate::{
    codec::Publish,
    router::inspect::Cursor,
    types::{PacketId, QoS},
};

/// The topics, as they are called here, of retained messages that the other broker sent on this connection; and the
/// search for the end of them.
pub(super) struct Missing {
    /// How often one came for a topic.
    sent: HashMap<u64, usize>,
    random: RandomState,
    /// Filters that were asked for: a retained message comes once for each of them that matches.
    filters: usize,
    /// The other broker had a session: what is queued in it comes first.
    has_backlog: bool,
    /// Messages that were waited for, of QoS 2 and not released.
    open: HashSet<PacketId>,
    asks: Asks,
    /// A message that was waited for came, since the last PINGREQ or during the quiet answers.
    came: bool,
    /// Answers before which none came.
    quiet: u8,
    cleared: usize,
}

/// When it asks for an answer.
enum Asks {
    /// Not all SUBACKs have come.
    NotYet,
    At(Instant),
    /// The answer is due.
    Asked,
    /// All was sent: what is retained here behind this is looked at.
    Ended(Cursor),
}

/// So many answers in succession, with nothing before each of them, are the end: a broker may write an answer before
/// the messages for which earlier acknowledgements made room.
const QUIET: u8 = 3;
/// Time from an answer that was not quiet to the next question.
const PAUSE: Duration = Duration::from_millis(20);

impl Missing {
    /// For so many filters; `has_backlog`: the other broker had a session.
    pub(super) fn new(filters: usize, has_backlog: bool) -> Self {
        let (sent, random, open) = Default::default();
        Self { sent, random, filters, has_backlog, open, asks: Asks::NotYet, came: false, quiet: 0, cleared: 0 }
    }

    /// A message came; `here`: its topic, as it is called here, if it has one.
    pub(super) fn came(&mut self, publish: &Publish<'_>, here: Option<&str>) {
        let is_retained = publish.retain && !publish.payload.is_empty();
        let mut is_awaited = self.has_backlog && publish.qos != QoS::AtMostOnce;
        if is_retained {
            let topic = self.mark(here.is_some(), here.unwrap_or(publish.topic.as_str()));
            let count = self.sent.entry(topic).or_default();
            *count += 1;
            // more often: they are messages of now, which may come without end
            is_awaited |= *count <= self.filters;
        }
        if is_awaited {
            self.came = true;
            self.open.extend(publish.packet_id.filter(|_| publish.qos == QoS::ExactlyOnce));
        }
    }

    /// PUBREL came.
    pub(super) fn released(&mut self, id: PacketId) {
        self.came |= self.open.remove(&id) || self.has_backlog;
    }

    /// All SUBACKs have come.
    pub(super) fn subscribed(&mut self, now: Instant) {
        self.asks = Asks::At(now);
    }

    /// Is a PINGREQ to be sent now, behind all acknowledgements? None must be unanswered.
    pub(super) fn asks(&mut self, now: Instant) -> bool {
        let asks = matches!(self.asks, Asks::At(at) if at <= now);
        if asks {
            self.asks = Asks::Asked;
            // during quiet answers, what came since the last of them counts, too
            self.came &= self.quiet > 0;
        }
        asks
    }

    /// When it asks next.
    pub(super) fn asks_at(&self) -> Option<Instant> {
        match self.asks {
            Asks::At(at) => Some(at),
            Asks::NotYet | Asks::Asked | Asks::Ended(_) => None,
        }
    }

    /// PINGRESP came.
    pub(super) fn answered(&mut self, now: Instant) {
        if !matches!(self.asks, Asks::Asked) {
            return;
        }
        if self.came || !self.open.is_empty() {
            self.quiet = 0;
            self.asks = Asks::At(now + PAUSE);
        } else {
            self.quiet += 1;
            self.asks = if self.quiet < QUIET { Asks::At(now) } else { Asks::Ended(Cursor::default()) };
        }
    }

    /// All was sent: where to continue among what is retained here.
    pub(super) fn ended(&self) -> Option<Cursor> {
        match self.asks {
            Asks::Ended(cursor) => Some(cursor),
            Asks::NotYet | Asks::At(_) | Asks::Asked => None,
        }
    }

    /// So many more were cleared here: how many in all.
    pub(super) fn cleared(&mut self, more: usize) -> usize {
        self.cleared += more;
        self.cleared
    }

    /// Continues there next time.
    pub(super) fn looked_at(&mut self, next: Cursor) {
        self.asks = Asks::Ended(next);
    }

    /// Was no retained message sent for this topic?
    pub(super) fn has_not(&self, here: &str) -> bool {
        !self.sent.contains_key(&self.mark(true, here))
    }

    fn mark(&self, is_here: bool, topic: &str) -> u64 {
        self.random.hash_one((is_here, topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec::Properties, topic::TopicName};

    fn now() -> Instant {
        crate::clock::Clock::system().now()
    }

    fn came(missing: &mut Missing, topic: &str, qos: QoS, retain: bool) {
        let packet_id = PacketId::new(7).filter(|_| qos != QoS::AtMostOnce);
        let (topic, payload, properties) = (TopicName::new(topic).unwrap(), b"x", Properties::default());
        let publish = Publish { dup: false, qos, retain, topic, packet_id, payload, properties };
        missing.came(&publish, Some(topic.as_str()));
    }

    /// PINGRESP came. `true`: all was sent.
    fn answered(missing: &mut Missing, now: Instant) -> bool {
        missing.answered(now);
        missing.ended().is_some()
    }

    /// The answers, each with nothing before it, until all was sent.
    fn answers(missing: &mut Missing) -> u8 {
        let later = now() + PAUSE * 100;
        let is_end = |_: &u8| missing.asks(later) && answered(missing, later);
        (1..10).find(is_end).unwrap_or(u8::MAX)
    }

    #[test]
    fn an_answer_that_was_not_asked_for_is_not_the_end() {
        let mut missing = Missing::new(1, false);
        assert!(!missing.asks(now()) && !answered(&mut missing, now()));
        missing.subscribed(now());
        assert!((0..10).all(|_| !answered(&mut missing, now())));
        came(&mut missing, "a", QoS::AtMostOnce, true);
        assert_eq!(answers(&mut missing), QUIET);
        assert!(missing.has_not("b") && !missing.has_not("a"));
    }

    #[test]
    fn retained_messages_before_an_answer_or_between_quiet_ones_are_not_the_end() {
        let (mut missing, start) = (Missing::new(1, false), now());
        missing.subscribed(start);
        let mut at = start;
        for n in 0..20 {
            // a broker that sends each of them behind the answer, and one that sends each before it
            at += PAUSE;
            assert!(missing.asks(at));
            if n % 2 == 0 {
                came(&mut missing, &n.to_string(), QoS::AtLeastOnce, true);
            }
            assert!(!answered(&mut missing, at), "{n}");
            if n % 2 == 1 {
                came(&mut missing, &n.to_string(), QoS::AtLeastOnce, true);
                assert!(missing.asks(at) && !answered(&mut missing, at));
                assert_eq!(missing.asks_at(), Some(at + PAUSE));
            }
        }
        assert_eq!(answers(&mut missing), QUIET);
    }

    #[test]
    fn messages_of_now_do_not_delay_the_end_where_no_session_was() {
        for has_backlog in [false, true] {
            let (mut missing, start) = (Missing::new(2, has_backlog), now());
            missing.subscribed(start);
            let is_end = |n: &u32| {
                assert!(missing.asks(start + PAUSE * *n));
                came(&mut missing, "a", QoS::AtLeastOnce, n.is_multiple_of(2));
                answered(&mut missing, start + PAUSE * *n)
            };
            // two filters match the topic: so often it may be of those that are retained
            assert_eq!((1..50).find(is_end), if has_backlog { None } else { Some(7) });
            if has_backlog {
                assert_eq!(answers(&mut missing), QUIET);
            }
        }
    }

    #[test]
    fn a_message_of_qos_2_is_waited_for_until_it_is_released() {
        let mut missing = Missing::new(1, false);
        missing.subscribed(now());
        came(&mut missing, "a", QoS::ExactlyOnce, true);
        let mut at = now();
        for _ in 0..10 {
            at += PAUSE;
            assert!(missing.asks(at) && !answered(&mut missing, at));
        }
        assert!(missing.asks(at + PAUSE));
        missing.released(PacketId::new(7).unwrap());
        // its PUBCOMP may have made room
        assert!(!answered(&mut missing, at + PAUSE));
    }
}
