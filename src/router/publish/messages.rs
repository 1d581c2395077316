//! Publishing: from a message to the sessions of its subscribers.

use std::sync::Arc;

use super::{
    super::{
        COMMANDS, Router, RouterThread, SysPublish,
        ports::{self, Authorize, Condition, DropReason, Record, Store},
        sessions::{GroupRef, is_of_events},
        subscriptions::{Matched, RetainedBounds, RetainedBy, Target},
        thread::{Action, Copies, Recorder, Refused, WHOLE_FANOUT, WHOLE_MATCH},
    },
    delivering::{Delivering, hand_over},
    sender::Publisher,
    steps::Leave,
};
use crate::{
    codec::ReasonCode,
    session::{CloseReason, Delivery, How, Identifiers, Outgoing, ProtocolError, Share, Stored, Turn},
    topic::TopicName,
    types::{ClientId, QoS, SubscriptionOptions},
};

/// The prefix of the server's own topics.
const SYS_PREFIX: &str = "$SYS/";

/// Is this the topic in which a bridge reports its connection, as mosquitto's bridges do: `$SYS/broker/connection/<its
/// own Client Identifier>/state`?
fn is_own_connection_state(topic: &TopicName, client: &ClientId) -> bool {
    let name = topic.as_str().strip_prefix("$SYS/broker/connection/").and_then(|rest| rest.strip_suffix("/state"));
    name == Some(client.as_str())
}

/// A larger match is not remembered by the client: many clients that published once would each keep one, with its
/// sessions. Compared with so many deliveries, a look-up costs nothing.
const MAX_REMEMBERED: usize = 256;

/// The publisher of a message, for the store.
fn publisher_of(outgoing: &Outgoing<'_>) -> Option<ports::Publisher> {
    Some(ports::Publisher { client: outgoing.from?.clone(), user: outgoing.user.cloned() })
}

/// The error ends its connection.
type Asked = Result<Publisher, CloseReason>;

impl Router {
    /// Publishes a client's PUBLISH. `access` returns its rights, if there are any. `last`: the match of its previous
    /// PUBLISH, which is reused for the same topic. An error ends the connection.
    #[inline(always)]
    pub(crate) fn publish_from(
        &self,
        local: &mut RouterThread,
        access: impl FnOnce() -> Asked,
        last: &mut Option<Arc<Matched>>,
        outgoing: &Outgoing<'_>,
        leave: &mut Leave,
    ) -> Result<Stored, CloseReason> {
        let stored = self.publish_as(local, access, last, outgoing, leave)?;
        if last.as_ref().is_some_and(|matched| matched.targets.len() > MAX_REMEMBERED) {
            *last = None;
        }
        Ok(stored)
    }

    /// Publishes a message of a client, which it contains.
    pub(crate) fn publish_as(
        &self,
        local: &mut RouterThread,
        access: impl FnOnce() -> Asked,
        last: &mut Option<Arc<Matched>>,
        outgoing: &Outgoing<'_>,
        leave: &mut Leave,
    ) -> Result<Stored, CloseReason> {
        let topic = outgoing.topic;
        let repeated = last.as_ref().filter(|m| m.topic() == topic && self.subscriptions.is_fresh(m)).cloned();
        let matched = match repeated {
            Some(matched) => matched,
            None => {
                let (permissions, publisher) = (self.permissions.version(), access()?);
                // a remembered admission is by the current rules, and holds for each message of the topic
                let is_remembered =
                    publisher.access.as_ref().is_none_or(|access| !(access.reads_messages || access.asks));
                let permissions = is_remembered.then_some(permissions);
                if !self.admit(local, Action::Publish, publisher, outgoing)? {
                    leave.set_outcome(ReasonCode::NotAuthorized);
                    return Ok(Stored::Done);
                }
                if topic.as_str().starts_with(COMMANDS) && self.is_command(local, outgoing) {
                    return Ok(Stored::Done);
                }
                let Some(matched) = self.matching(local, topic, leave.may_match_in_steps()) else {
                    leave.match_first(self.subscriptions.begin_matching(topic), permissions, outgoing);
                    return Ok(Stored::Done);
                };
                *last = (permissions == Some(self.permissions.version())).then(|| matched.clone());
                matched
            }
        };
        self.publish_matched(local, matched, outgoing, leave)
    }

    /// Is this a command to the broker? No subscriber gets it, and the right to publish it is not cached.
    #[cold]
    fn is_command(&self, local: &mut RouterThread, outgoing: &Outgoing<'_>) -> bool {
        self.ports.command.as_ref().is_some_and(|command| local.observers.call(false, || command.take(outgoing)))
    }

    /// The subscribers of this topic. `None`: finding them takes many steps, which `in_steps` allows to interrupt.
    #[inline]
    pub(crate) fn matching(&self, local: &mut RouterThread, topic: &TopicName, in_steps: bool) -> Option<Arc<Matched>> {
        let most = if in_steps { WHOLE_MATCH } else { usize::MAX };
        match self.subscriptions.matching(&mut local.cache, topic, most) {
            Ok((matched, visited)) => {
                local.work.add_nodes(visited);
                Some(matched)
            }
            Err(too_many) => {
                local.work.add_nodes(too_many.visited);
                None
            }
        }
    }

    /// Publishes an admitted message to its matched subscribers.
    #[inline(always)]
    pub(crate) fn publish_matched(
        &self,
        local: &mut RouterThread,
        matched: Arc<Matched>,
        outgoing: &Outgoing<'_>,
        leave: &mut Leave,
    ) -> Result<Stored, CloseReason> {
        let (topic, retain) = (outgoing.topic, outgoing.retain);
        if matched.is_empty() {
            leave.set_outcome(ReasonCode::NoMatchingSubscribers);
        }
        if outgoing.offered != QoS::AtMostOnce
            && let Some(reason) = self.store_refuses(local)
            && self.needs_room(&matched, outgoing)
        {
            return match outgoing.qos {
                QoS::AtMostOnce => self.publish_unstored(local, matched, outgoing, leave),
                _ => Err(reason),
            };
        }
        local.observers.published(outgoing);
        if let Some(forward) = &self.ports.forward {
            local.observers.call((), || forward.forward(outgoing));
        }
        let bounded;
        let delivered = match local.limits.message_expiry {
            None => outgoing,
            Some(most) => {
                bounded = outgoing.expiring(local.observers.now + most);
                &bounded
            }
        };
        let kept = if retain { self.retain(local, outgoing, delivered) } else { Stored::Done };
        let outgoing = delivered;
        // a client that subscribed since the match may have got the previous retained message: it gets this one too
        let matched = if retain && !self.subscriptions.is_fresh(&matched) {
            let Some(matched) = self.matching(local, topic, leave.may_deliver_in_steps()) else {
                leave.match_again(self.subscriptions.begin_matching(topic), kept, outgoing);
                return Ok(kept);
            };
            matched
        } else {
            matched
        };
        if matched.receivers > WHOLE_FANOUT
            && leave.may_deliver_in_steps()
            && matched.receivers > local.work.deliveries_left() as usize
        {
            leave.deliver(matched, kept, outgoing);
            return Ok(kept);
        }
        Ok(kept.and(self.deliver(local, &matched, &matched.targets, &matched.groups, outgoing)))
    }

    /// A QoS 0 message that would be delivered at a higher QoS, which the store refuses: it is delivered as it came.
    #[cold]
    fn publish_unstored(
        &self,
        local: &mut RouterThread,
        matched: Arc<Matched>,
        outgoing: &Outgoing<'_>,
        leave: &mut Leave,
    ) -> Result<Stored, CloseReason> {
        self.publish_matched(local, matched, &outgoing.offered_at(QoS::AtMostOnce), leave)
    }

    /// Does the store grow by this message? Clearing a retained message frees space, and one that is no longer than the
    /// previous one needs none: both use the reserve, and so do copies of the clearing message for stored sessions,
    /// because they are small and cannot repeat. Copies of other messages do not.
    fn needs_room(&self, matched: &Matched, outgoing: &Outgoing<'_>) -> bool {
        let is_reserved = outgoing.retain && self.is_reserved_for(outgoing);
        match outgoing.payload.is_empty() {
            true if is_reserved => return false,
            false if outgoing.retain && !is_reserved => return true,
            _ => {}
        }
        matched.is_kept()
    }

    /// Is the disk full except for the reserve, and does this retained message free space or need none?
    pub(super) fn is_reserved_for(&self, outgoing: &Outgoing<'_>) -> bool {
        let is_full = |store: &Arc<dyn Store>| store.condition() == Condition::Full;
        self.ports.store.as_ref().is_some_and(is_full)
            && self.retained.has_room_of(outgoing.topic, outgoing.payload.len())
    }

    /// May this message be published? `Ok(false)`: it is dropped, and the client is not told, because MQTT 3.1.1 has no
    /// means for that [MQTT-3.3.5-2].
    pub(crate) fn admit(
        &self,
        local: &mut RouterThread,
        action: Action,
        Publisher { access, may }: Publisher,
        outgoing: &Outgoing<'_>,
    ) -> Result<bool, CloseReason> {
        // the broker itself may publish everything
        let Some(client) = outgoing.from else { return Ok(true) };
        if access.as_ref().is_some_and(|access| access.is_revoked()) {
            return Err(CloseReason::UserGone);
        }
        let (topic, payload) = (outgoing.topic, outgoing.payload.len());
        if !local.limits.allows_name(topic) {
            return Err(ProtocolError::TopicTooLarge.into());
        }
        let is_sys = topic.is_dollar()
            && (topic.as_str().starts_with(SYS_PREFIX) && local.limits.sys_publish != SysPublish::Allow
                || is_of_events(topic.as_str()));
        let disconnects = if is_sys && !is_own_connection_state(topic, client) {
            local.observers.not_published(outgoing, DropReason::SysTopic);
            local.limits.sys_publish == SysPublish::Disconnect
        } else if access.as_ref().is_some_and(|access| {
            let may = || may.unwrap_or_else(|| access.may_publish(topic)) && access.may_publish_message(outgoing);
            !local.observers.call(false, may)
        }) {
            local.observers.may_not_publish(action, client, access.as_deref(), topic, payload);
            let disconnects =
                |authorize: &Arc<dyn Authorize>| local.observers.call(false, || authorize.denied_publish_disconnects());
            self.ports.authorize.as_ref().is_some_and(disconnects)
        } else {
            return Ok(true);
        };
        if disconnects { Err(CloseReason::NotAuthorized) } else { Ok(false) }
    }

    /// Retains a message. `delivered`: the same message as it is delivered.
    fn retain(&self, local: &mut RouterThread, outgoing: &Outgoing<'_>, delivered: &Outgoing<'_>) -> Stored {
        let topic = outgoing.topic;
        if outgoing.payload.is_empty() {
            // with QoS 1 or 2 it also waits for an earlier clearing of the topic to be durable
            let acknowledged = outgoing.qos != QoS::AtMostOnce;
            return self.retained.clear(topic, |cleared| {
                if cleared || acknowledged {
                    self.store(|| Record::RetainedCleared { topic: topic.as_str().into() })
                } else {
                    Stored::Done
                }
            });
        }
        if self.store_refuses(local).is_some() && !self.is_reserved_for(outgoing) {
            // QoS 0: the client is not told
            local.observers.not_published(outgoing, DropReason::StoreFull);
            return Stored::Done;
        }
        let limits = &local.limits;
        let bounded = limits.retained_expiry.map(|most| outgoing.expiring(local.observers.now + most));
        let retained = bounded.as_ref().unwrap_or(outgoing);
        // if both expire at the same time, they share one message
        let is_delivered = retained.extras.expires == delivered.extras.expires;
        let message = if is_delivered { delivered.message() } else { retained.message() };
        // replacing a message of the topic is allowed
        let no_memory = local.observers.refuses(Refused::Newcomers);
        let messages = if no_memory { 0 } else { limits.max_retained_messages };
        let bounds = RetainedBounds { messages, bytes: limits.max_retained_bytes };
        let by = RetainedBy { at: Some(local.observers.now), publisher: local.publisher(outgoing) };
        message.note_when_it_came(|| Some(local.observers.moment().number()));
        match self.retained.set(topic, (message.clone(), by), bounds, || {
            self.store(|| Record::Retained { message: message.clone(), publisher: publisher_of(outgoing) })
        }) {
            Ok(stored) => stored,
            Err(_full) => {
                let reason = if no_memory { DropReason::MemoryFull } else { DropReason::RetainedFull };
                local.observers.not_published(outgoing, reason);
                Stored::Done
            }
        }
    }

    /// Publishes a retained message of the broker itself: `$SYS`.
    pub(crate) fn publish_own(&self, local: &mut RouterThread, topic: &TopicName, payload: &[u8]) {
        let outgoing = Outgoing::new(topic, payload, QoS::AtMostOnce).with_retain(true);
        local.observers.published(&outgoing);
        self.retained.set_own(outgoing.message().clone(), local.observers.now);
        // in one step: a long match delays only the broker's own work
        if let Some(matched) = self.matching(local, topic, false) {
            // QoS 0: nothing waits for the store
            let _ = self.deliver(local, &matched, &matched.targets, &matched.groups, &outgoing);
        }
    }

    /// Delivers a message to `targets` and `groups`, which are those of `matched` or a part of them.
    #[inline(always)]
    pub(crate) fn deliver(
        &self,
        local: &mut RouterThread,
        matched: &Matched,
        targets: &[Target],
        groups: &[GroupRef],
        outgoing: &Outgoing<'_>,
    ) -> Stored {
        local.work.add_deliveries(targets.len());
        match matched.has_options {
            false => self.deliver_all::<false>(local, matched, targets, &[], outgoing),
            true => self.deliver_by_options(local, matched, targets, groups, outgoing),
        }
    }

    /// A separate function, so that publishers to subscriptions without options and groups do not pay for these.
    #[inline(never)]
    fn deliver_by_options(
        &self,
        local: &mut RouterThread,
        matched: &Matched,
        targets: &[Target],
        groups: &[GroupRef],
        outgoing: &Outgoing<'_>,
    ) -> Stored {
        local.work.add_deliveries(groups.len());
        self.deliver_all::<true>(local, matched, targets, groups, outgoing)
    }

    #[inline(always)]
    fn deliver_all<const OPTIONS: bool>(
        &self,
        local: &mut RouterThread,
        matched: &Matched,
        targets: &[Target],
        groups: &[GroupRef],
        outgoing: &Outgoing<'_>,
    ) -> Stored {
        let RouterThread { pool, wakes, limits, observers, copies, .. } = local;
        let store = self.ports.store.as_deref().filter(|_| outgoing.offered != QoS::AtMostOnce);
        let mut copies = store.map(|store| Copies::new(store, outgoing, copies));
        let now = observers.now;
        let journal = Recorder { copies: copies.as_mut(), ..self.recorder(observers) };
        let mut turn = Turn { now, limits: &limits.session, pool, journal };
        for target in targets {
            let mut state = target.slot.lock();
            if state.ended {
                continue;
            }
            if !state.may_receive(outgoing.topic, turn.journal.observers) {
                turn.journal.observers.may_not_receive(state.session.id(), state.access.as_deref(), outgoing.topic);
                continue;
            }
            let SubscriptionOptions { qos: granted, no_local, retain_as_published, .. } = target.options;
            if OPTIONS && no_local && outgoing.from == Some(state.session.id()) {
                continue;
            }
            let identifiers = if OPTIONS { matched.identifiers(target) } else { Identifiers::new() };
            let how = How {
                qos: outgoing.offered.min(granted),
                retain: OPTIONS && retain_as_published && outgoing.retain,
                identifiers: &identifiers,
                share: Share::NONE,
            };
            let delivery = hand_over(&target.slot, &mut state, outgoing, how, &mut turn, wakes);
            if outgoing.extras.expires.is_some() && matches!(delivery, Delivery::Queued) {
                self.list_expiring(&target.slot, &mut state);
            }
        }
        if OPTIONS {
            let policy = limits.shared_subscriptions;
            let mut delivering = Delivering { outgoing, turn: &mut turn, wakes, policy, not_to: &[] };
            groups.iter().for_each(|group| self.deliver_to_group(&mut delivering, group));
        }
        let stored = turn.journal.stored;
        stored.and(copies.map_or(Stored::Done, Copies::finish))
    }
}
