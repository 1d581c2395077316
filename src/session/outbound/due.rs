//! [`Due`]: the retained messages that are due to the other broker of a bridge: their topics, as a bounded list.
//!
//! A message of QoS 1 or 2 in the queue is not in the list, because the queue is as durable. What is: messages of QoS
//! 0, from their arrival until the other broker has read them, messages that were dropped, and messages that an
//! operator removed here.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{
    super::journal::{Journal, SessionChange, SessionNumber},
    Outbound,
};
use crate::types::QoS;

/// The list.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Each topic with the number of its last queued or taken QoS 0 message; `None`: there is none.
    topics: BTreeMap<Arc<str>, Option<u64>>,
    /// The topics without one.
    unqueued: BTreeSet<Arc<str>>,
    /// The numbers of the others, in order. A topic may have a later one.
    queued: VecDeque<(u64, Arc<str>)>,
    /// Bytes of the topics.
    bytes: usize,
    all: Option<All>,
    /// A topic is in the list although no message was delivered: the bridge does not know yet.
    is_news: bool,
}

/// All retained messages are due, because the list was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum All {
    /// None of them is queued.
    Due,
    /// They are being queued.
    Queueing,
    /// This is the number of the last one.
    Queued(u64),
}

/// Topics in the list, at most.
const MOST: usize = 10_000;
/// Bytes of them, at most.
const MOST_BYTES: usize = 1 << 20;

impl Due {
    fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.all.is_none()
    }

    /// The retained message of a topic changed. `queued`: the number of the QoS 0 message that says so. Returns the
    /// topic that is to be stored; empty: all.
    fn note<'t>(&mut self, topic: &'t str, queued: Option<u64>) -> Option<&'t str> {
        if let Some((known, number)) = self.topics.get_key_value(topic).map(|(known, number)| (known.clone(), *number))
        {
            if number.is_none() && queued.is_some() {
                self.unqueued.remove(&known);
            }
            if number.is_some() && queued.is_none() {
                self.unqueued.insert(known.clone());
            }
            self.queued.extend(queued.map(|number| (number, known.clone())));
            self.topics.insert(known, queued);
            return None;
        }
        if self.topics.len() >= MOST || self.bytes + topic.len() > MOST_BYTES {
            let is_stored = self.all.replace(All::Due).is_some();
            return (!is_stored).then_some("");
        }
        self.bytes += topic.len();
        let known: Arc<str> = topic.into();
        match queued {
            Some(number) => self.queued.push_back((number, known.clone())),
            None => _ = self.unqueued.insert(known.clone()),
        }
        self.topics.insert(known, queued);
        Some(topic)
    }

    fn restore(&mut self, topic: &str) {
        match topic.is_empty() {
            true => self.all = Some(All::Due),
            false => _ = self.note(topic, None),
        }
    }

    /// A topic leaves the list.
    fn remove(&mut self, topic: &str) {
        if let Some((topic, _)) = self.topics.remove_entry(topic) {
            self.bytes -= topic.len();
            self.unqueued.remove(&topic);
        }
    }

    /// Queued messages are gone: all topics are due.
    fn anew(&mut self) {
        self.queued.clear();
        for (topic, number) in &mut self.topics {
            if number.take().is_some() {
                self.unqueued.insert(topic.clone());
            }
        }
        self.all = self.all.map(|_| All::Due);
    }

    /// The other broker has read all messages up to this number: calls `sent` with each topic that leaves the list.
    fn arrived(&mut self, up_to: u64, mut sent: impl FnMut(&str)) {
        while self.queued.front().is_some_and(|(number, _)| *number <= up_to) {
            let Some((number, topic)) = self.queued.pop_front() else { return };
            if self.topics.get(&topic) == Some(&Some(number)) {
                self.remove(&topic);
                sent(&topic);
            }
        }
        if matches!(self.all, Some(All::Queued(number)) if number <= up_to) {
            self.all = None;
            sent("");
        }
    }

    /// The first number that the other broker has not read.
    fn first_queued(&self) -> Option<u64> {
        let all = if let Some(All::Queued(number)) = self.all { Some(number) } else { None };
        self.queued.front().map(|(number, _)| *number).into_iter().chain(all).min()
    }
}

impl Outbound {
    /// The retained message of a topic changed, and the client that relays messages was not given it at QoS 1 or 2.
    /// `retain`: RETAIN of the message that says so. `queued`: its number, if it is of QoS 0; `None`: it was dropped.
    /// No effect on other clients, and without RETAIN.
    #[inline(never)]
    pub(in super::super) fn note_due(
        &mut self,
        session: Option<SessionNumber>,
        (topic, retain): (&str, bool),
        queued: Option<u64>,
        journal: &mut impl Journal,
    ) {
        if !(retain && self.relays) {
            return;
        }
        let new = self.due.get_or_insert_default().note(topic, queued);
        if let (Some(session), Some(topic)) = (session, new) {
            let _ = journal.changed(session, SessionChange::RetainedDue { topic });
        }
    }

    /// A message with RETAIN was queued, which says what the retained message of its topic is now. One of QoS 1 or 2
    /// takes the topic off the list.
    pub(in super::super) fn note_queued(
        &mut self,
        session: Option<SessionNumber>,
        topic: &str,
        (qos, number): (QoS, u64),
        journal: &mut impl Journal,
    ) {
        match qos {
            QoS::AtMostOnce => self.note_due(session, (topic, true), Some(number), journal),
            QoS::AtLeastOnce | QoS::ExactlyOnce => self.due_is_queued(session, topic, journal),
        }
    }

    /// The retained message of a topic was removed, and no message says so.
    pub(in super::super) fn note_removed(
        &mut self,
        session: Option<SessionNumber>,
        topic: &str,
        journal: &mut impl Journal,
    ) {
        self.note_due(session, (topic, true), None, journal);
        self.due.iter_mut().for_each(|due| due.is_news = true);
    }

    /// Was one removed since the last call?
    pub(in super::super) fn take_due_news(&mut self) -> bool {
        self.due.as_mut().is_some_and(|due| std::mem::take(&mut due.is_news))
    }

    /// The session is that of a bridge.
    pub(in super::super) fn set_relays(&mut self) {
        self.relays = true;
    }

    /// From the store: this topic is due; an empty one: all.
    pub(in super::super) fn restore_due(&mut self, topic: &str) {
        self.due.get_or_insert_default().restore(topic);
    }

    /// The next topic without a queued message.
    pub(in super::super) fn next_due(&self) -> Option<Arc<str>> {
        self.due.as_ref()?.unqueued.first().cloned()
    }

    /// Are all retained messages due, and not queued? `Some(true)`: from the first on.
    pub(in super::super) fn queue_all(&mut self) -> Option<bool> {
        let all = self.due.as_mut()?.all.as_mut()?;
        match all {
            All::Due => {
                *all = All::Queueing;
                Some(true)
            }
            All::Queueing => Some(false),
            All::Queued(_) => None,
        }
    }

    /// All of them are queued, unless the list was full again meanwhile.
    pub(in super::super) fn all_are_queued(&mut self) {
        let last = self.last_number();
        if let Some(Due { all: Some(all), .. }) = self.due.as_deref_mut()
            && *all == All::Queueing
        {
            *all = All::Queued(last);
        }
    }

    /// A topic's message is queued, at QoS 0 and with this number.
    pub(in super::super) fn due_is_queued_at_0(&mut self, topic: &str, number: u64) {
        // if it is not in the list, it is one of all
        if let Some(due) = self.due.as_mut().filter(|due| due.topics.contains_key(topic)) {
            let _in_the_list = due.note(topic, Some(number));
        }
    }

    /// Number of topics in the list.
    pub(in super::super) fn due(&self) -> usize {
        self.due.as_ref().map_or(0, |due| due.topics.len() + usize::from(due.all.is_some()))
    }

    /// Are retained messages due that are not queued?
    pub(in super::super) fn due_waits(&self) -> bool {
        self.due
            .as_ref()
            .is_some_and(|due| !due.unqueued.is_empty() || matches!(due.all, Some(All::Due | All::Queueing)))
    }

    /// Are all retained messages due, and not known to be read?
    pub(in super::super) fn all_are_due(&self) -> bool {
        self.due.as_ref().is_some_and(|due| due.all.is_some())
    }

    /// A topic leaves the list: its message is queued, at QoS 1 or 2, or there is nothing to be sent.
    pub(in super::super) fn due_is_queued(
        &mut self,
        session: Option<SessionNumber>,
        topic: &str,
        journal: &mut impl Journal,
    ) {
        self.change_due(session, journal, |due, sent| {
            due.remove(topic);
            sent(topic);
        });
    }

    /// The other broker has read all messages up to this number.
    pub(in super::super) fn due_arrived(
        &mut self,
        session: Option<SessionNumber>,
        up_to: u64,
        journal: &mut impl Journal,
    ) {
        self.change_due(session, journal, |due, sent| due.arrived(up_to, sent));
    }

    /// The client took messages that are in the list: the number of the last message that it took.
    pub(in super::super) fn due_taken(&self) -> Option<u64> {
        let (first, taken) = (self.due.as_ref()?.first_queued()?, self.last_taken());
        (first <= taken).then_some(taken)
    }

    /// Queued QoS 0 messages are gone.
    pub(super) fn due_anew(&mut self) {
        if let Some(due) = &mut self.due {
            due.anew();
        }
    }

    fn change_due(
        &mut self,
        session: Option<SessionNumber>,
        journal: &mut impl Journal,
        change: impl FnOnce(&mut Due, &mut dyn FnMut(&str)),
    ) {
        let Some(due) = &mut self.due else { return };
        change(due, &mut |topic| {
            if let Some(session) = session {
                let _ = journal.changed(session, SessionChange::RetainedSent { topic });
            }
        });
        if due.is_empty() {
            self.due = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(due: &Due) -> Vec<&str> {
        due.unqueued.iter().map(|topic| &**topic).collect()
    }

    /// The topics that leave the list.
    fn arrived(due: &mut Due, up_to: u64) -> Vec<String> {
        let mut gone = Vec::new();
        due.arrived(up_to, |topic| gone.push(topic.to_owned()));
        gone
    }

    #[test]
    fn a_topic_is_stored_once_and_leaves_when_its_last_message_has_arrived() {
        let mut list = Due::default();
        assert_eq!(
            (list.note("a", Some(1)), list.note("b", None), list.note("a", Some(2))),
            (Some("a"), Some("b"), None)
        );
        assert_eq!((due(&list), list.first_queued()), (vec!["b"], Some(1)));
        // the first message with it, but not the last one
        assert_eq!(arrived(&mut list, 1), [""; 0]);
        assert_eq!(list.note("b", Some(3)), None);
        assert_eq!(arrived(&mut list, 2), ["a"]);
        // dropped before it was sent
        assert_eq!(list.note("b", None), None);
        assert_eq!((arrived(&mut list, 9), due(&list)), (vec![], vec!["b"]));
        assert_eq!(list.note("b", Some(10)), None);
        // the connection was lost
        list.anew();
        assert_eq!((due(&list), list.first_queued()), (vec!["b"], None));
        assert_eq!(arrived(&mut list, 99), [""; 0]);
        list.remove("b");
        assert!(list.is_empty() && list.bytes == 0);
    }

    #[test]
    fn a_full_list_makes_all_due_until_all_have_arrived() {
        for topic in [|n: usize| n.to_string(), |n: usize| format!("{n}{}", "x".repeat(1 << 10))] {
            let mut list = Due::default();
            let first = (0..=MOST).find(|n| list.note(&topic(*n), None) == Some("")).expect("it is bounded");
            assert!(list.bytes <= MOST_BYTES && list.topics.len() == first);
            // stored once
            assert_eq!(list.note(&topic(MOST + 1), None), None);
            assert_eq!(list.all, Some(All::Due));
            let mut outbound = Outbound { due: Some(Box::new(list)), ..Outbound::default() };
            assert_eq!((outbound.queue_all(), outbound.queue_all()), (Some(true), Some(false)));
            // full again while they are queued: from the first on
            let _ = outbound.due.as_mut().unwrap().note(&topic(MOST + 2), None);
            outbound.all_are_queued();
            assert_eq!(outbound.queue_all(), Some(true));
            outbound.last_number = 7;
            outbound.all_are_queued();
            assert_eq!(outbound.queue_all(), None);
            let list = outbound.due.as_mut().unwrap();
            assert_eq!((arrived(list, 6), arrived(list, 7), list.all), (vec![], vec!["".to_owned()], None));
        }
    }
}
