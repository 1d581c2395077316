//! Subscribes and unsubscribes a client for an operator, whether it is connected or away. The client is not told, and
//! receives only messages that its rules allow.

use super::{
    super::{
        Router, RouterThread,
        sessions::SlotRef,
        thread::{Refused, Work},
    },
    filters::{Seen, steps_of},
    operation::Subscribing,
    subscribe::{Added, may_subscribe},
};
use crate::{
    codec::{PropertiesBuf, ReasonCode},
    session::Stored,
    topic::{SHARE_PREFIX, TopicFilter},
    types::{ClientId, PacketId, ProtocolVersion, RetainHandling, SubscriptionOptions},
};

/// Why an operator's subscription was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSubscribed {
    /// There is no session of that name, or a client within this process has it.
    Unknown,
    /// A member of a group is one by its own subscription alone.
    Shared,
    /// As a SUBSCRIBE of the client would be refused.
    Refused(ReasonCode),
}

impl Router {
    /// Subscribes a client. Returns when this is durable. Retained messages are sent as the options require.
    pub(crate) fn subscribe_for(
        &self,
        local: &mut RouterThread,
        client: &ClientId,
        filter: &TopicFilter,
        options: SubscriptionOptions,
    ) -> Result<Stored, NotSubscribed> {
        if filter.as_str().starts_with(SHARE_PREFIX) {
            return Err(NotSubscribed::Shared);
        }
        let slot = self.slot_of_network(client).ok_or(NotSubscribed::Unknown)?;
        let (held, access) = {
            let state = slot.lock();
            let shared = state.shared.as_ref().map_or(0, |shared| shared.len());
            (state.session.subscriptions().len() + shared, state.access.clone())
        };
        // as strict as for a client that would be told
        may_subscribe(local, (access.as_deref(), None), ProtocolVersion::V5, filter).map_err(NotSubscribed::Refused)?;
        let refuses = slot.is_kept() && self.store_refuses(local).is_some();
        let no_memory = local.observers.refuses(Refused::Subscriptions);
        let mut subscriptions = self.subscriptions.change();
        let (most, most_bytes) = (local.limits.max_subscriptions, local.limits.max_subscription_bytes);
        let is_full = held >= most || subscriptions.memory() >= most_bytes;
        if refuses || ((no_memory || is_full) && !subscriptions.has(filter, &slot)) {
            return Err(NotSubscribed::Refused(ReasonCode::QuotaExceeded));
        }
        let added = subscriptions.subscribe(filter, &slot, options);
        drop(subscriptions);
        let is_new = added.is_some();
        let added = Added { filters: added.into_iter().collect(), groups: Vec::new() };
        if !self.own_subscriptions(local, &slot, added) {
            return Err(NotSubscribed::Unknown);
        }
        let wants_retained = match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        if wants_retained {
            self.bring_retained(local, &slot, filter, options);
        }
        let stored = self.store_subscription(&slot, filter, Some(options));
        slot.signal(&slot.lock(), &mut local.wakes);
        Ok(stored)
    }

    /// Ends a subscription of a client: when that is durable; `None`: it has no such subscription.
    pub(crate) fn unsubscribe_for(
        &self,
        client: &ClientId,
        filter: &TopicFilter,
    ) -> Result<Option<Stored>, NotSubscribed> {
        if filter.as_str().starts_with(SHARE_PREFIX) {
            return Err(NotSubscribed::Shared);
        }
        let slot = self.slot_of_network(client).ok_or(NotSubscribed::Unknown)?;
        let id = self.subscriptions.change().unsubscribe(filter, &slot);
        let Some(id) = id else { return Ok(None) };
        slot.lock().session.remove_subscription(id);
        Ok(Some(self.store_subscription(&slot, filter, None)))
    }

    /// The session of a client of the network.
    fn slot_of_network(&self, client: &ClientId) -> Option<SlotRef> {
        let slot = self.sessions.get(client)?;
        let state = slot.lock();
        let is_there = !state.ended && !state.session.is_inside();
        drop(state);
        is_there.then_some(slot)
    }

    /// In steps: the session is not locked for longer than in the turn of a client.
    fn bring_retained(
        &self,
        local: &mut RouterThread,
        slot: &SlotRef,
        filter: &TopicFilter,
        options: SubscriptionOptions,
    ) {
        let mut subscribing = Subscribing {
            packet_id: PacketId::MIN,
            properties: PropertiesBuf::default(),
            before: 0,
            access: None,
            answers: Vec::new(),
            refuses: false,
            held: 0,
            codes: Vec::new(),
            present: Some(self.retained.present()),
            next: 0,
            seen: Seen::default(),
            had: Vec::new(),
            place: None,
            numbers: None,
            waits: false,
            is_left: false,
            brings: false,
            stored: Stored::Done,
        };
        local.work.add_nodes(steps_of(filter));
        self.reserve_numbers(local, &mut slot.lock(), &mut subscribing);
        while !self.send_retained(local, slot, &mut subscribing, filter, options) && !slot.lock().ended {
            local.work = Work::default();
        }
        if let Some(place) = subscribing.place.take() {
            self.retained.give_up(place);
        }
    }
}
