//! UNSUBSCRIBE (MQTT 3.1.1 sections 3.10 and 3.11).

use super::{
    super::{
        Router, RouterThread,
        ports::{Event, EventKinds},
        sessions::{GroupRef, Passed, SlotState},
    },
    client::{Client, answer},
    filters::{KeptFilters, listed, steps_of},
    operation::{Operation, Unsubscribing},
};
use crate::{
    codec::{self, PacketType, Properties, ReasonCode, Unsuback, Unsubscribe},
    session::{CloseReason, Message, Stored},
    topic::{SharedFilter, TopicFilter},
    types::{ProtocolVersion, SubscriptionOptions},
};

impl Router {
    /// Removes each filter that the client has. Others are no error [MQTT-3.10.4-5].
    pub(crate) fn unsubscribe(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        unsubscribe: &Unsubscribe<'_>,
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        let properties = local.observers.told_of(EventKinds::UNSUBSCRIBE, unsubscribe.properties);
        let packet_id = unsubscribe.packet_id;
        let mut unsubscribing =
            Unsubscribing { packet_id, properties, next: 0, stored: Stored::Done, codes: Vec::new() };
        if self.give_up_filters(local, client, &mut unsubscribing, |place| unsubscribe.filters.get(place).copied())? {
            tracing::debug!(client = %client.id, filters = listed(unsubscribe.filters.iter().map(|filter| filter.as_str())), "unsubscribe");
            self.unsubscribed(local, client, &mut unsubscribing, replies);
        } else {
            let options = SubscriptionOptions::default();
            let filters = KeptFilters::new(unsubscribe.filters.iter().map(|filter| (*filter, options)));
            self.leave(local, client, Operation::Unsubscribe { unsubscribing, filters });
        }
        Ok(())
    }

    /// Continues an interrupted UNSUBSCRIBE. `true`: it is answered.
    pub(crate) fn go_on_unsubscribing(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        unsubscribing: &mut Unsubscribing,
        filters: &KeptFilters,
        replies: &mut Vec<u8>,
    ) -> Result<bool, CloseReason> {
        let filter = |place| (place < filters.len()).then(|| filters.get(place).0);
        let is_done = self.give_up_filters(local, client, unsubscribing, filter)?;
        if is_done {
            let all = || (0..filters.len()).map(|place| filters.get(place).0.as_str());
            tracing::debug!(client = %client.id, filters = listed(all()), "unsubscribe");
            self.unsubscribed(local, client, unsubscribing, replies);
        }
        Ok(is_done)
    }

    fn give_up_filters<'f>(
        &self,
        local: &mut RouterThread,
        client: &Client,
        unsubscribing: &mut Unsubscribing,
        filters: impl Fn(usize) -> Option<&'f TopicFilter>,
    ) -> Result<bool, CloseReason> {
        // another connection may have taken the session over
        drop(self.own(client)?);
        let (is_done, panicked) = local.finish(|local| self.give_up_some(local, client, unsubscribing, filters));
        if panicked { Err(CloseReason::Panicked) } else { Ok(is_done) }
    }

    /// Removes as many as the turn allows. `true`: all of them.
    pub(super) fn give_up_some<'f>(
        &self,
        local: &mut RouterThread,
        client: &Client,
        unsubscribing: &mut Unsubscribing,
        filters: impl Fn(usize) -> Option<&'f TopicFilter>,
    ) -> bool {
        while let Some(filter) = filters(unsubscribing.next) {
            if local.work.is_spent(0) {
                return false;
            }
            local.work.add_nodes(steps_of(filter));
            if let Some(shared) = SharedFilter::of(filter) {
                self.leave_group(local, client, unsubscribing, filter, shared.ok());
                unsubscribing.next += 1;
                continue;
            }
            let id = self.subscriptions.change().unsubscribe(filter, &client.slot);
            if let Some(id) = id {
                client.slot.lock().session.remove_subscription(id);
                let (info, client, properties) = (client.info(), &client.id, unsubscribing.properties.as_properties());
                local.observers.observe(&Event::Unsubscribe { client, info, filter, properties });
            }
            if client.version == ProtocolVersion::V5 {
                let had = id.is_some();
                let code = if had { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted };
                unsubscribing.codes.push(code);
            }
            // even if it was removed before, because that may not be durable yet
            let stored = self.store_subscription(&client.slot, filter, None);
            unsubscribing.stored = unsubscribing.stored.and(stored);
            unsubscribing.next += 1;
        }
        true
    }

    /// Removes a shared subscription. `shared`: its parsed filter; a malformed one was never granted. Messages that
    /// were not sent move to other members.
    fn leave_group(
        &self,
        local: &mut RouterThread,
        client: &Client,
        unsubscribing: &mut Unsubscribing,
        filter: &TopicFilter,
        shared: Option<SharedFilter<'_>>,
    ) {
        let slot = &client.slot;
        let leave = |local: &mut RouterThread, group: &GroupRef, shared: SharedFilter<'_>| {
            let mut state = slot.lock();
            let mut turn = self.turn(local);
            let SlotState { shared: memberships, session, .. } = &mut *state;
            let share = memberships.as_mut()?.remove(group)?;
            group.leave(slot);
            let mut moved = Vec::new();
            if group.has_others(slot) {
                let goes = |_, of, message: &Message| of == share && shared.filter.matches(message.topic());
                moved = session.take_shared(usize::MAX, goes, &mut turn);
            }
            memberships.take_if(|memberships| memberships.is_empty());
            Some(
                moved
                    .into_iter()
                    .map(|moved| Passed { group: group.clone(), moved, not_to: Vec::new() })
                    .collect::<Vec<_>>(),
            )
        };
        let (mut had, mut stored) = (false, Stored::Done);
        self.together(|| {
            if let Some(shared) = shared
                && let Some(group) = self.subscriptions.group(filter)
                && let Some(moved) = leave(local, &group, shared)
            {
                self.move_to_others(local, &moved);
                self.subscriptions.give_back(&group);
                had = true;
            }
            stored = self.store_subscription(slot, filter, None);
        });
        unsubscribing.stored = unsubscribing.stored.and(stored);
        if had {
            let (info, client, properties) = (client.info(), &client.id, unsubscribing.properties.as_properties());
            local.observers.observe(&Event::Unsubscribe { client, info, filter, properties });
        }
        if client.version == ProtocolVersion::V5 {
            unsubscribing.codes.push(match (had, shared) {
                (true, _) => ReasonCode::Success,
                (false, Some(_)) => ReasonCode::NoSubscriptionExisted,
                (false, None) => ReasonCode::TopicFilterInvalid,
            });
        }
    }

    fn unsubscribed(
        &self,
        local: &RouterThread,
        client: &mut Client,
        unsubscribing: &mut Unsubscribing,
        replies: &mut Vec<u8>,
    ) {
        let (packet_id, stored) = (unsubscribing.packet_id, unsubscribing.stored);
        let codes = std::mem::take(&mut unsubscribing.codes);
        let unsuback = Unsuback { packet_id, codes, properties: Properties::default() };
        let version = client.version;
        let replies = (PacketType::Unsuback, replies);
        answer(&local.observers, &mut client.awaited, stored, replies, |out| {
            codec::encode::unsuback(out, version, &unsuback);
        });
    }
}
