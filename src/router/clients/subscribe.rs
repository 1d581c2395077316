//! SUBSCRIBE, and the retained messages that a new subscription receives (MQTT 3.1.1 sections 3.8 and 3.9).

use std::ops::{ControlFlow, Range};

use super::{
    super::{
        Router, RouterThread,
        ports::{DropReason, Event, EventKinds, Record},
        sessions::{Access, GroupRef, Member, SlotRef, SlotState, Standing},
        subscriptions::Changes,
        thread::{Count, Refused},
    },
    client::Client,
    filters::{Filters, KeptFilters, Seen, listed, steps_of},
    operation::{Operation, Subscribing},
};
use crate::{
    codec::{self, PacketType, Properties, ReasonCode, Suback, SubackCode, Subscribe},
    session::{CloseReason, How, Identifiers, Stored, wire_of},
    topic::{FilterId, SHARE_PREFIX, SharedFilter, Steps, TopicFilter},
    types::{ProtocolVersion, RetainHandling, SharedSubscriptions, SubscriptionOptions},
};

/// Bytes of `$share/`, the name of a group, and the separator behind it.
const MOST_OF_GROUP: usize = 1_024;

/// Number of filters for which the trie is locked once.
const FILTERS_AT_ONCE: usize = 256;

/// A visited node counts as this many if the rights of the publishers are looked up.
const A_LOOK_UP: u32 = 8;

impl Router {
    /// Grants or refuses each filter in order, as in separate packets [MQTT-3.8.4-4], except that a filter that is
    /// repeated with the same QoS gets its retained messages once. `Err`: another connection has taken the session
    /// over.
    pub(crate) fn subscribe(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        subscribe: &Subscribe<'_>,
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        let mut subscribing = self.begin_subscribing(local, client, subscribe)?;
        let filters = Filters::Packet(&subscribe.filters);
        if !self.go_on_subscribing(local, client, &mut subscribing, &filters, replies)? {
            let filters = KeptFilters::new(subscribe.filters.iter().copied());
            self.leave(local, client, Operation::Subscribe { subscribing, filters });
        }
        Ok(())
    }

    pub(super) fn begin_subscribing(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        subscribe: &Subscribe<'_>,
    ) -> Result<Subscribing, CloseReason> {
        let answers = client.take_answers();
        let is_kept = client.slot.is_kept();
        let (held, access, before) = {
            let mut state = self.own(client)?;
            let before = state.session.last_number();
            if is_kept {
                // its SUBACK waits for the store, and messages for the new subscriptions arrive at once
                state.session.wait_for_suback(before);
            } else {
                // messages for the new subscriptions in this turn follow the SUBACK
                state.session.keep_place(&mut local.pool);
            }
            let shared = state.shared.as_ref().map_or(0, |shared| shared.len());
            (state.session.subscriptions().len() + shared, state.access.clone(), before)
        };
        Ok(Subscribing {
            packet_id: subscribe.packet_id,
            properties: local.observers.told_of(EventKinds::SUBSCRIBE, subscribe.properties),
            before,
            access,
            answers,
            refuses: is_kept && self.store_refuses(local).is_some(),
            held,
            codes: Vec::with_capacity(subscribe.filters.len()),
            present: None,
            next: 0,
            seen: Seen::default(),
            had: Vec::new(),
            place: None,
            numbers: None,
            waits: is_kept,
            is_left: false,
            brings: false,
            stored: Stored::Done,
        })
    }

    /// Continues a SUBSCRIBE. `true`: it is answered.
    pub(crate) fn go_on_subscribing(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        subscribing: &mut Subscribing,
        filters: &Filters<'_>,
        replies: &mut Vec<u8>,
    ) -> Result<bool, CloseReason> {
        let (is_done, panicked) = local.finish(|local| {
            self.take_filters(local, client, subscribing, filters)
                && self.look_up_retained(local, client, subscribing, filters)
        });
        let is_owned = if is_done { client.is_attached() } else { self.let_others_wait(local, client, subscribing) };
        if !is_owned {
            // retained messages may be in a session that another connection took over and that was not signalled
            client.slot.signal(&client.slot.lock(), &mut local.wakes);
        }
        if panicked || !is_owned {
            if let Some(place) = subscribing.place.take() {
                self.retained.give_up(place);
            }
            return Err(if is_owned { CloseReason::Panicked } else { CloseReason::SessionTakenOver });
        }
        if !is_done {
            return Ok(false);
        }
        tracing::debug!(
            client = %client.id,
            filters = listed(filters.iter().map(|(filter, _)| filter.as_str())),
            codes = listed(subscribing.codes.iter()),
            "subscribe"
        );
        self.answer_subscribe(local, client, subscribing, replies)?;
        Ok(true)
    }

    /// Puts filters into the trie, as many as the turn allows. `true`: all of them.
    pub(super) fn take_filters(
        &self,
        local: &mut RouterThread,
        client: &Client,
        subscribing: &mut Subscribing,
        filters: &Filters<'_>,
    ) -> bool {
        while subscribing.codes.len() < filters.len() {
            if local.work.is_spent(0) || !client.is_attached() {
                return false;
            }
            let begin = subscribing.codes.len();
            let end = filters.len().min(begin + FILTERS_AT_ONCE);
            let added = self.insert_filters(local, client, subscribing, filters, begin..end);
            for place in begin..end {
                if let SubackCode::Failure(reason) = subscribing.codes[place] {
                    let user = subscribing.access.as_deref().and_then(Access::user);
                    let no_memory = local.observers.refuses(Refused::Subscriptions);
                    let why = why(reason, subscribing.refuses, no_memory);
                    let filter = filters.get(place).0.as_str();
                    local.observers.denials.tell_refused(&client.id, user, filter, why);
                }
            }
            if !self.own_subscriptions(local, &client.slot, added) {
                return false;
            }
        }
        true
    }

    fn insert_filters(
        &self,
        local: &mut RouterThread,
        client: &Client,
        subscribing: &mut Subscribing,
        filters: &Filters<'_>,
        places: Range<usize>,
    ) -> Added {
        let Subscribing { access, answers, refuses, held, codes, had, .. } = subscribing;
        let mut added = Added { filters: Vec::with_capacity(places.len()), groups: Vec::new() };
        // before the lock: a plug-in may take long
        let no_memory = local.observers.refuses(Refused::Subscriptions);
        let may = |place| match refuses {
            true => Err(ReasonCode::QuotaExceeded),
            false => {
                let answer = answers.get(place).copied().flatten();
                may_subscribe(local, (access.as_deref(), answer), client.version, filters.get(place).0)
            }
        };
        let allowed: Vec<_> = places.clone().map(may).collect();
        let user = access.as_deref().and_then(Access::user);
        for (place, _) in places.clone().zip(&allowed).filter(|(_, allowed)| **allowed == Ok(Delivers::Nothing)) {
            local.observers.denials.tell_unreadable(&client.id, user, filters.get(place).0.as_str());
        }
        let mut subscriptions = self.subscriptions.change();
        for (place, allowed) in places.zip(allowed) {
            let (filter, options) = filters.get(place);
            local.work.add_nodes(steps_of(filter));
            if let Err(reason) = allowed {
                codes.push(SubackCode::Failure(reason));
                continue;
            }
            let most_bytes = local.limits.max_subscription_bytes;
            let is_full = *held >= local.limits.max_subscriptions || subscriptions.memory() >= most_bytes;
            let shared = SharedFilter::of(filter).and_then(Result::ok);
            let has = |subscriptions: &Changes<'_>| match shared {
                None => subscriptions.has(filter, &client.slot),
                Some(_) => self.subscriptions.group(filter).is_some_and(|group| group.has(&client.slot)),
            };
            if (no_memory || is_full) && !has(&subscriptions) {
                local.count(if no_memory { Count::RefusedMemory } else { Count::RefusedSubscriptions }, 1);
                codes.push(SubackCode::Failure(ReasonCode::QuotaExceeded));
                continue;
            }
            if let Some(shared) = shared {
                *held += usize::from(!has(&subscriptions));
                added.groups.push((self.subscriptions.claim(filter, shared), options));
                codes.push(SubackCode::Granted(options.qos));
                continue;
            }
            match subscriptions.subscribe(filter, &client.slot, options) {
                Some(id) => {
                    *held += 1;
                    added.filters.push(id);
                }
                None if options.retain_handling == RetainHandling::SendIfNew => had.push(place),
                None => {}
            }
            codes.push(SubackCode::Granted(options.qos));
        }
        added
    }

    /// Notes in the session which filters are its own. `false`: it has ended, and they are removed again.
    pub(super) fn own_subscriptions(&self, local: &RouterThread, slot: &SlotRef, added: Added) -> bool {
        let Added { filters, groups } = added;
        let mut state = slot.lock();
        let is_owned = !state.ended;
        let mut surplus = Vec::new();
        if is_owned {
            filters.iter().for_each(|&id| state.session.add_subscription(id));
            let joins =
                |(group, options): (GroupRef, _)| (!join(&mut state, slot, local, &group, options)).then_some(group);
            surplus.extend(groups.into_iter().filter_map(joins));
        } else {
            surplus.extend(groups.into_iter().map(|(group, _)| group));
        }
        drop(state);
        if !is_owned {
            self.remove_subscriptions(slot, &filters);
        }
        surplus.iter().for_each(|group| self.subscriptions.give_back(group));
        is_owned
    }

    /// Looks up the retained messages of granted filters, as many as the turn allows. `true`: of all of them.
    pub(super) fn look_up_retained(
        &self,
        local: &mut RouterThread,
        client: &Client,
        subscribing: &mut Subscribing,
        filters: &Filters<'_>,
    ) -> bool {
        if subscribing.present.is_none() {
            self.begin_look_up(local, client, subscribing, filters);
        }
        while subscribing.next < filters.len() {
            let place = subscribing.next;
            if let SubackCode::Granted(_) = subscribing.codes[place] {
                if local.work.is_spent(0) || !client.is_attached() {
                    return false;
                }
                let (filter, options) = filters.get(place);
                let is_new = subscribing.place.is_none();
                if is_new {
                    let (info, qos, properties) = (client.info(), options.qos, subscribing.properties.as_properties());
                    let client = &client.id;
                    local.observers.observe(&Event::Subscribe { client, info, filter, qos, options, properties });
                }
                // a group gets no retained messages, because any member could get them
                if !filter.as_str().starts_with(SHARE_PREFIX)
                    && subscribing.wants_retained(options, place)
                    && (!is_new || subscribing.seen.add(filters, place))
                    && !self.send_retained(local, &client.slot, subscribing, filter, options)
                {
                    return false;
                }
                let stored = self.store_subscription(&client.slot, filter, Some(options));
                subscribing.stored = subscribing.stored.and(stored);
            }
            subscribing.next += 1;
        }
        true
    }

    /// Queues the matching retained messages before messages that are published from now on. They are looked up with
    /// the session locked: a message that is retained at the same time is delivered either here or later. `true`: these
    /// are all.
    ///
    /// A session queues at most as many as are retained, plus the limit of its queue: a client that subscribes gets all
    /// of them, whatever its filters. If it subscribes repeatedly without reading, further ones are dropped, which
    /// counts as one message for each filter.
    pub(super) fn send_retained(
        &self,
        local: &mut RouterThread,
        slot: &SlotRef,
        subscribing: &mut Subscribing,
        filter: &TopicFilter,
        options: SubscriptionOptions,
    ) -> bool {
        let max = subscribing.max(local);
        let mut sources = self.sources(local);
        let a_node = if sources.is_some() { A_LOOK_UP } else { 1 };
        let mut steps = Steps::new(local.work.nodes_left().div_ceil(a_node));
        let mut found = 0;
        let mut state = slot.lock();
        let mut turn = self.turn(local);
        let SlotState { session, access, ended, .. } = &mut *state;
        if *ended {
            return false;
        }
        let identifiers = options.identifier.map_or_else(Identifiers::new, wire_of);
        let granted = How { identifiers: &identifiers, ..options.qos.into() };
        let limited = access.as_deref().filter(|access| access.limits_reading());
        let Subscribing { place, present, numbers, brings, .. } = subscribing;
        let up_to = present.map_or(u64::MAX, |present| present.up_to);
        *place = self.retained.walk(filter, *place, up_to, &mut steps, |message, by| {
            found += 1;
            let observers = &turn.journal.recorder.observers;
            if sources.as_mut().is_some_and(|sources| !sources.may_still_publish(message.topic(), by, observers)) {
                return ControlFlow::Continue(());
            }
            if limited.is_some_and(|access| !observers.call(false, || access.may_receive(message.topic()))) {
                turn.journal.recorder.observers.may_not_receive(session.id(), limited, message.topic());
                return ControlFlow::Continue(());
            }
            if message.is_expired(turn.now) {
                return ControlFlow::Continue(());
            }
            let number = numbers.as_mut().and_then(Iterator::next);
            if session.deliver_retained(message, granted, number, max, &mut turn) {
                *brings = true;
                return ControlFlow::Continue(());
            }
            let payload = message.payload().len();
            let observers = &mut turn.journal.recorder.observers;
            observers.dropped(session.id(), message.topic(), payload, DropReason::QueueFull);
            // further ones would be dropped too: looking for them would only delay other clients
            ControlFlow::Break(())
        });
        drop(turn);
        self.list_expiring(slot, &mut state);
        drop(state);
        local.work.add_deliveries(found);
        local.work.add_nodes((steps.taken() as usize * a_node as usize).saturating_sub(found).max(1));
        subscribing.place.is_none()
    }

    /// The SUBSCRIBE needs another turn. Messages that are published until then wait for the SUBACK and for the
    /// remaining retained messages.
    ///
    /// If few messages are retained, numbers are reserved only now: messages that arrived since the first look-up are
    /// sent before the remaining retained ones.
    pub(super) fn let_others_wait(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        subscribing: &mut Subscribing,
    ) -> bool {
        let Ok(mut state) = self.own(client) else { return false };
        let sent_before = state.session.split_out(&mut local.pool);
        if !subscribing.waits {
            subscribing.waits = true;
            state.session.wait_for_suback(subscribing.before);
        }
        subscribing.is_left = true;
        if subscribing.present.is_some() {
            self.reserve_numbers(local, &mut state, subscribing);
        }
        drop(state);
        client.hold_behind_suback(sent_before);
        true
    }

    /// All filters are in the trie: from now on the set of retained messages to be sent is fixed.
    fn begin_look_up(
        &self,
        local: &RouterThread,
        client: &Client,
        subscribing: &mut Subscribing,
        filters: &Filters<'_>,
    ) {
        let present = self.retained.present();
        let takes_long = || present.messages > local.work.nodes_left() as usize && filters.have_wildcards();
        if !subscribing.is_left && !takes_long() {
            subscribing.present = Some(present);
            return;
        }
        // in one step: messages that arrive from now on are newer
        let mut state = client.slot.lock();
        if !subscribing.waits && client.is_attached() {
            subscribing.waits = true;
            state.session.wait_for_suback(subscribing.before);
        }
        subscribing.present = Some(self.retained.present());
        self.reserve_numbers(local, &mut state, subscribing);
    }

    pub(super) fn reserve_numbers(&self, local: &RouterThread, state: &mut SlotState, subscribing: &mut Subscribing) {
        if subscribing.numbers.is_none() {
            subscribing.numbers = Some(state.session.reserve_numbers(subscribing.max(local)));
        }
    }

    /// Answers with the SUBACK, when the granted subscriptions are durable; the retained messages follow.
    fn answer_subscribe(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        subscribing: &mut Subscribing,
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        let Subscribing { packet_id, before, codes, waits, brings, stored, .. } = subscribing;
        let (before, waits, brings, stored) = (*before, *waits, *brings, *stored);
        let codes = std::mem::take(codes);
        let suback = Suback { packet_id: *packet_id, codes, properties: Properties::default() };
        // behind acknowledgements that wait for the store it waits too, although it needs no record
        let is_held = stored != Stored::Done || client.awaited.as_ref().is_some_and(|awaited| !awaited.acks.is_empty());
        let behind = (brings || waits || is_held).then_some(before);
        if (brings || is_held) && !waits {
            let mut state = client.slot.lock();
            // the session's next connection has no such SUBACK to send
            if client.is_attached() {
                state.session.wait_for_suback(before);
            }
        }
        local.said(PacketType::Suback);
        let write = |out: &mut Vec<u8>| codec::encode::suback(out, client.version, &suback);
        let held = match (&mut client.awaited, stored) {
            (None, Stored::Done) => {
                write(replies);
                false
            }
            (awaited, _) => awaited.get_or_insert_default().acks.push_suback(stored, replies, behind, write),
        };
        if !held {
            return self.suback_sent(local, client, replies, behind);
        }
        let sent_before = self.own(client)?.session.split_out(&mut local.pool);
        client.hold_behind_suback(sent_before);
        Ok(())
    }

    /// When the record of this subscription, or of its end, is durable.
    pub(crate) fn store_subscription(
        &self,
        slot: &SlotRef,
        filter: &TopicFilter,
        options: Option<SubscriptionOptions>,
    ) -> Stored {
        if !slot.is_kept() {
            return Stored::Done;
        }
        // with the session locked, so that its records are in order, and none follows its end
        let state = slot.lock();
        match state.session.number().filter(|_| !state.ended) {
            None => Stored::Done,
            Some(session) => self.store(|| match options {
                Some(options) => Record::Subscribed { session, filter: filter.as_str().into(), options },
                None => Record::Unsubscribed { session, filter: filter.as_str().into() },
            }),
        }
    }

    /// Removes the subscriptions of a session that ended from the trie.
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

/// Filters that were added to the trie, to be noted in the session.
pub(super) struct Added {
    pub(super) filters: Vec<FilterId>,
    pub(super) groups: Vec<(GroupRef, SubscriptionOptions)>,
}

/// Adds the session to this group. `false`: it was a member before.
pub(super) fn join(
    state: &mut SlotState,
    slot: &SlotRef,
    local: &RouterThread,
    group: &GroupRef,
    options: SubscriptionOptions,
) -> bool {
    let SlotState { shared, session, .. } = state;
    let standing = Standing::of(session, &local.limits.session);
    let shared = shared.get_or_insert_default();
    let share = shared.number_for(group);
    let is_new = group.join(Member { slot: slot.clone(), options, share }, standing);
    if is_new {
        shared.add(share, group, standing);
    }
    is_new
}

/// For the log: why a filter is refused. `None`: the client may not subscribe to it.
fn why(reason: ReasonCode, store_refuses: bool, no_memory: bool) -> Option<&'static str> {
    match reason {
        ReasonCode::NotAuthorized => None,
        ReasonCode::SharedSubscriptionsNotSupported => {
            Some("there are no shared subscriptions (limits.shared_subscriptions)")
        }
        ReasonCode::TopicFilterInvalid => Some(
            "it is longer than limits.max_topic_length, has more levels than limits.max_topic_levels, or names no group (`$share/group/filter`)",
        ),
        _ if no_memory => Some("the process has nearly as much memory as limits.max_memory allows"),
        _ if store_refuses => Some("it cannot be stored: there is no room in data_dir"),
        _ => Some(
            "its client has as many subscriptions as limits.max_subscriptions allows, or all clients together as \
             limits.max_subscription_bytes does",
        ),
    }
}

/// What a granted subscription delivers, by the client's rights.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivers {
    /// Messages of some topics.
    Something,
    /// No message: the client may read none of the topics.
    Nothing,
}

pub(super) fn may_subscribe(
    local: &RouterThread,
    (access, answer): (Option<&Access>, Option<bool>),
    version: ProtocolVersion,
    filter: &TopicFilter,
) -> Result<Delivers, ReasonCode> {
    let behind = match SharedFilter::of(filter) {
        None => filter,
        // such a subscription would never deliver anything
        Some(Err(_)) => return Err(ReasonCode::TopicFilterInvalid),
        Some(Ok(_)) if local.limits.shared_subscriptions == SharedSubscriptions::Off => {
            return Err(ReasonCode::SharedSubscriptionsNotSupported);
        }
        Some(Ok(shared)) => shared.filter,
    };
    if !local.limits.allows_filter(behind) || filter.as_str().len() - behind.as_str().len() > MOST_OF_GROUP {
        local.count(Count::TopicsTooLarge, 1);
        return Err(ReasonCode::TopicFilterInvalid);
    }
    match access {
        Some(access) if !answer.unwrap_or_else(|| access.may_subscribe(behind)) => Err(ReasonCode::NotAuthorized),
        Some(access) if !access.may_receive_some(behind) => match version {
            ProtocolVersion::V5 => Err(ReasonCode::NotAuthorized),
            // 3.1.1 clients are always granted such filters, by mosquitto too, and may take 0x80 for a fault
            _ => Ok(Delivers::Nothing),
        },
        _ => Ok(Delivers::Something),
    }
}
