//! Subscriptions, and the retained messages they bring (MQTT 3.1.1 sections 3.8 to 3.11).

use std::ops::ControlFlow;

use super::super::{
    Router, RouterThread,
    ports::{DropReason, Event, Record},
    sessions::{Access, ConnectionId, SlotRef, SlotState},
    thread::Count,
};
use crate::{
    codec::{ReasonCode, SubackCode, Subscribe, Unsubscribe},
    session::{CloseReason, Stored},
    topic::{FilterId, TopicFilter},
    types::{ClientId, SubscriptionOptions},
};

/// What became of a SUBSCRIBE.
pub(crate) struct Subscribed {
    /// For each filter.
    pub(crate) codes: Vec<SubackCode>,
    /// When what was granted is durable.
    pub(crate) stored: Stored,
    /// Messages wait until the session's [`suback_sent`](crate::session::Session::suback_sent) is told this: the number
    /// of the last message before the SUBSCRIBE.
    pub(crate) behind: Option<u64>,
}

impl Router {
    /// Grants or refuses each filter, in order: as if each had come alone [MQTT-3.8.4-4]. An error: the session is
    /// another connection's by now.
    pub(crate) fn subscribe(
        &self,
        local: &mut RouterThread,
        client: &ClientId,
        slot: &SlotRef,
        connection: ConnectionId,
        subscribe: &Subscribe<'_>,
    ) -> Result<Subscribed, CloseReason> {
        let (mut held, access, before) = {
            let mut state = slot.lock();
            if !slot.is_owned_by(connection) {
                return Err(CloseReason::SessionTakenOver);
            }
            let before = state.session.last_number();
            if slot.is_kept() {
                // its SUBACK waits for the store, and messages of the new subscriptions come as soon as they are there
                state.session.wait_for_suback(before);
            }
            (state.session.subscriptions().len(), state.access.clone(), before)
        };
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        let mut added = Vec::with_capacity(subscribe.filters.len());
        // asked before the lock: a plug-in may take its time
        let refuses = slot.is_kept() && self.store_refuses(local).is_some();
        let may = |filter| match refuses {
            true => Err(ReasonCode::QuotaExceeded),
            false => may_subscribe(local, access.as_deref(), filter),
        };
        let allowed: Vec<_> = subscribe.filters.iter().map(|&(f, _)| may(f)).collect();
        {
            let mut subscriptions = self.subscriptions.change();
            for (&(filter, options), allowed) in subscribe.filters.iter().zip(allowed) {
                if let Err(reason) = allowed {
                    codes.push(SubackCode::Failure(reason));
                    continue;
                }
                if held >= local.limits.max_subscriptions && !subscriptions.has(filter, slot) {
                    local.count(Count::RefusedSubscriptions, 1);
                    codes.push(SubackCode::Failure(ReasonCode::QuotaExceeded));
                    continue;
                }
                if let Some(id) = subscriptions.subscribe(filter, slot, options) {
                    held += 1;
                    added.push(id);
                }
                codes.push(SubackCode::Granted(options.qos));
            }
        }
        for (&(filter, _), code) in subscribe.filters.iter().zip(&codes) {
            if let SubackCode::Failure(reason) = code {
                let user = access.as_deref().and_then(Access::user);
                local.observers.denials.tell_refused(client, user, filter.as_str(), why(*reason, refuses));
            }
        }
        if !self.own_subscriptions(slot, &added) {
            return Ok(Subscribed { codes, stored: Stored::Done, behind: None });
        }
        let granted = subscribe.filters.iter().zip(&codes).filter(|(_, code)| matches!(code, SubackCode::Granted(_)));
        let (mut stored, mut brings) = (Stored::Done, false);
        for (&(filter, options), _) in granted {
            local.observers.observe(&Event::Subscribe { client, filter, qos: options.qos });
            brings |= self.send_retained(local, slot, filter, options);
            stored = stored.and(self.store_subscription(slot, filter, Some(options)));
        }
        let behind = (brings || slot.is_kept()).then_some(before);
        if brings && !slot.is_kept() {
            let mut state = slot.lock();
            // the session's next connection has no such SUBACK to send
            if slot.is_owned_by(connection) {
                state.session.wait_for_suback(before);
            }
        }
        Ok(Subscribed { codes, stored, behind })
    }

    /// The session notes which filters are its. `false`: it ended meanwhile, and they are taken back.
    fn own_subscriptions(&self, slot: &SlotRef, added: &[FilterId]) -> bool {
        let mut state = slot.lock();
        if !state.ended {
            added.iter().for_each(|&id| state.session.add_subscription(id));
            return true;
        }
        drop(state);
        self.remove_subscriptions(slot, added);
        false
    }

    /// The retained messages that match, in front of whatever is published from now on. They are looked up with the
    /// session locked: a message that is retained at the same time is delivered either by this or after it.
    ///
    /// As many may wait for one session as there are, and a queue's worth more: a client that subscribes, whatever the
    /// filters, gets them all; one that subscribes again and again without taking them has no more for it, and what
    /// each filter would bring then counts as one message dropped. Gives whether there were any.
    fn send_retained(
        &self,
        local: &mut RouterThread,
        slot: &SlotRef,
        filter: &TopicFilter,
        options: SubscriptionOptions,
    ) -> bool {
        let (retained, _) = self.retained.size();
        let max = retained.saturating_add(local.limits.session.max_queued_messages);
        let mut state = slot.lock();
        let mut turn = self.turn(local);
        let SlotState { session, access, ended, .. } = &mut *state;
        if *ended {
            return false;
        }
        let limited = access.as_deref().filter(|access| access.limits_reading());
        let before = session.last_number();
        self.retained.try_for_each_match(filter, |message| {
            let observers = &turn.journal.recorder.observers;
            if limited.is_some_and(|access| !observers.call(false, || access.may_receive(message.topic()))) {
                turn.journal.recorder.observers.may_not_receive(session.id(), limited, message.topic());
                return ControlFlow::Continue(());
            }
            if session.deliver_retained(message, options.qos, None, max, &mut turn) {
                return ControlFlow::Continue(());
            }
            let payload = message.payload().len();
            let observers = &mut turn.journal.recorder.observers;
            observers.dropped(session.id(), message.topic(), payload, DropReason::QueueFull);
            // the others would be dropped too: to find them would only keep other clients waiting
            ControlFlow::Break(())
        });
        session.last_number() > before
    }

    fn store_subscription(&self, slot: &SlotRef, filter: &TopicFilter, options: Option<SubscriptionOptions>) -> Stored {
        if !slot.is_kept() {
            return Stored::Done;
        }
        // with the session locked: its records come in order, and none after its end
        let state = slot.lock();
        match state.session.number().filter(|_| !state.ended) {
            None => Stored::Done,
            Some(session) => self.store(|| match options {
                Some(options) => Record::Subscribed { session, filter: filter.as_str().into(), options },
                None => Record::Unsubscribed { session, filter: filter.as_str().into() },
            }),
        }
    }

    /// Gives up each filter that the client has; those it has not are no error [MQTT-3.10.4-5].
    pub(crate) fn unsubscribe(
        &self,
        local: &mut RouterThread,
        slot: &SlotRef,
        client: &ClientId,
        unsubscribe: &Unsubscribe<'_>,
    ) -> Stored {
        let mut stored = Stored::Done;
        for filter in &unsubscribe.filters {
            let id = self.subscriptions.change().unsubscribe(filter, slot);
            if let Some(id) = id {
                slot.lock().session.remove_subscription(id);
                local.observers.observe(&Event::Unsubscribe { client, filter });
            }
            // also where it is gone already: that it is may not be durable yet
            stored = stored.and(self.store_subscription(slot, filter, None));
        }
        stored
    }

    /// Takes the subscriptions of a session that ended out of the trie.
    pub(crate) fn remove_subscriptions(&self, slot: &SlotRef, filters: &[FilterId]) {
        if filters.is_empty() {
            return;
        }
        let mut subscriptions = self.subscriptions.change();
        for &id in filters {
            subscriptions.remove(id, slot);
        }
    }
}

/// For the log: why a filter is refused; `None` where the client may not subscribe to it.
fn why(reason: ReasonCode, store_refuses: bool) -> Option<&'static str> {
    match reason {
        ReasonCode::NotAuthorized => None,
        ReasonCode::SharedSubscriptionsNotSupported => Some("shared subscriptions ($share) are not served yet"),
        ReasonCode::TopicFilterInvalid => {
            Some("it is longer than limits.max_topic_length or has more levels than limits.max_topic_levels")
        }
        _ if store_refuses => Some("it cannot be stored: there is no room in data_dir"),
        _ => Some("its client has as many subscriptions as limits.max_subscriptions allows"),
    }
}

/// What a Topic Filter of a shared subscription begins with (MQTT 5 section 4.8.2).
const SHARE_PREFIX: &str = "$share/";

fn may_subscribe(local: &RouterThread, access: Option<&Access>, filter: &TopicFilter) -> Result<(), ReasonCode> {
    if !local.limits.allows_filter(filter) {
        local.count(Count::TopicsTooLarge, 1);
        return Err(ReasonCode::TopicFilterInvalid);
    }
    if filter.as_str().starts_with(SHARE_PREFIX) {
        // granted, it would never deliver: nobody publishes to such a topic
        return Err(ReasonCode::SharedSubscriptionsNotSupported);
    }
    match access {
        Some(access) if !access.may_subscribe(filter) => Err(ReasonCode::NotAuthorized),
        _ => Ok(()),
    }
}
