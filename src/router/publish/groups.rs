//! A message to the group of a shared subscription (MQTT 5 section 4.8.2): one member gets it. Candidates are tried
//! one by one, each with only its own session locked.

use std::{
    cell::Cell,
    hash::{BuildHasher, Hash},
};

use foldhash::fast::FixedState;

use super::{
    super::{
        Router, RouterThread,
        ports::DropReason,
        sessions::{GroupRef, Member, Passed, SlotRef, Standing},
    },
    delivering::{Delivering, hand_over},
};
use crate::{
    codec::encode,
    session::{Delivery, How, Moved, Outgoing, Turn},
    types::{QoS, SharedSubscriptions},
};

/// The requirement for a member to get the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// The message can be sent at once.
    Now,
    /// The message can be sent at once, or queued.
    InQueue,
    /// None: the queue's policy decides what is dropped.
    Any,
}

/// The result of offering a message to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offered {
    Taken,
    NoRoom,
    /// The member may not receive it.
    NotAllowed,
    /// It is larger than the client accepts.
    TooLarge,
    /// The session is not a member any more.
    Gone,
}

impl Router {
    /// Delivers a message to one member of the group: to a connected member with room, chosen by the policy; otherwise
    /// to a connected one; otherwise to one that is away. Members that may not receive it, or do not accept its size,
    /// are skipped.
    pub(super) fn deliver_to_group(&self, delivering: &mut Delivering<'_, '_, '_, '_>, group: &GroupRef) {
        let choice = match delivering.policy {
            SharedSubscriptions::Random => group.at_random(),
            _ => group.in_turn(),
        };
        let key = match delivering.policy {
            SharedSubscriptions::HashClient => Some(delivering.outgoing.from.map_or(0, hash_of)),
            SharedSubscriptions::HashTopic => Some(hash_of(delivering.outgoing.topic)),
            _ => None,
        };
        let sticks = delivering.policy == SharedSubscriptions::Sticky;
        let mut refused = None;
        let lacks_room = Cell::new(false);
        let mut offer = |member: &Member, room| {
            let offered = self.offer(delivering, group, member, room);
            if matches!(offered, Offered::NotAllowed | Offered::TooLarge) {
                refused = Some((offered, member.slot.clone()));
            }
            lacks_room.set(lacks_room.get() || offered == Offered::NoRoom);
            offered
        };
        if let Some(key) = key {
            let mut members = (0..MOST_ASKED_FOR_PLACE).map_while(|n| group.by_key(key, true, n));
            if members.any(|member| offer(&member, Room::InQueue) == Offered::Taken) {
                return;
            }
        }
        if sticks && group.sticky().is_some_and(|member| offer(&member, Room::InQueue) == Offered::Taken) {
            return;
        }
        let mut passed = 0;
        while passed < MOST_ASKED
            && let Some(member) = group.nth(choice, Standing::Ready, passed)
        {
            if offer(&member, Room::Now) == Offered::Taken {
                if sticks {
                    group.stick_to(&member.slot);
                }
                return;
            }
            // a member without room was moved in the list, and another took its place
            passed += usize::from(group.is_ready(&member.slot));
        }
        for room in [Room::InQueue, Room::Any] {
            if room == Room::Any && !lacks_room.get() {
                break;
            }
            if let Some(key) = key
                && group.by_key(key, false, 0).is_some_and(|member| offer(&member, room) == Offered::Taken)
            {
                return;
            }
            for standing in [Standing::Full, Standing::Away] {
                let mut without_place = 0;
                for member in (0..MOST_ASKED).map_while(|n| group.nth(choice, standing, n)) {
                    match offer(&member, room) {
                        Offered::Taken => return,
                        Offered::NoRoom => without_place += 1,
                        Offered::NotAllowed | Offered::TooLarge | Offered::Gone => {}
                    }
                    if without_place == MOST_ASKED_FOR_PLACE {
                        break;
                    }
                }
            }
        }
        if let Some((refusal, slot)) = refused {
            say_why(delivering, &refusal, &slot);
        }
    }

    fn offer(
        &self,
        delivering: &mut Delivering<'_, '_, '_, '_>,
        group: &GroupRef,
        member: &Member,
        room: Room,
    ) -> Offered {
        let Delivering { outgoing, turn, wakes, not_to, .. } = delivering;
        let Member { slot, options, share } = member;
        if not_to.contains(slot) {
            return Offered::NotAllowed;
        }
        let mut state = slot.lock();
        if state.ended || !state.shared.as_ref().is_some_and(|shared| shared.has(group)) {
            return Offered::Gone;
        }
        if !state.may_receive(outgoing.topic, turn.journal.observers) {
            return Offered::NotAllowed;
        }
        let mut identifiers = smallvec::SmallVec::<[u8; 16]>::new();
        if let Some(identifier) = options.identifier {
            encode::identifier(&mut identifiers, identifier.get());
        }
        let how = How {
            qos: outgoing.offered.min(options.qos),
            retain: options.retain_as_published && outgoing.retain,
            identifiers: &identifiers,
            share: *share,
        };
        let session = &state.session;
        if session.is_too_small_for(outgoing, how, turn) {
            return Offered::TooLarge;
        }
        let (bytes, limits) = (outgoing.size(), turn.limits);
        let is_sent = session.has_room(bytes, how.qos, limits);
        // QoS 0 messages for connected clients are mostly not queued
        let waits =
            || (how.qos != QoS::AtMostOnce || !session.is_connected()) && session.has_place_in_queue(bytes, limits);
        let fits = match room {
            Room::Now => is_sent,
            Room::InQueue => is_sent || waits(),
            Room::Any => true,
        };
        if !fits {
            if room == Room::Now
                && let Some(shared) = &mut state.shared
            {
                shared.note_full(slot, group);
            }
            return Offered::NoRoom;
        }
        if how.qos == QoS::ExactlyOnce && state.session.number().is_none() {
            // it may move to a member with a stored session later: without a stored receipt, a repeated PUBLISH would
            // then count as new after a crash
            turn.journal.may_be_stored_later();
        }
        if let Delivery::Queued = hand_over(slot, &mut state, outgoing, how, turn, wakes) {
            if outgoing.extras.expires.is_some() {
                self.list_expiring(slot, &mut state);
            }
            self.requeues.note_queued(slot, &mut state, turn.now);
            let (number, first_open) = (state.session.last_number(), state.session.first_open());
            if let Some(shared) = state.shared.as_mut().filter(|_| !not_to.is_empty()) {
                shared.note_refused(number, not_to, first_open);
            }
        }
        Offered::Taken
    }

    /// Moves messages of groups that a session does not send to other members.
    ///
    /// Call it within a group of records, so that removal and delivery are stored together.
    pub(crate) fn move_to_others(&self, local: &mut RouterThread, passed: &[Passed]) {
        local.work.add_deliveries(passed.len());
        for Passed { group, moved: Moved { message, retain, .. }, not_to } in passed {
            let RouterThread { pool, wakes, limits, observers, .. } = local;
            let (now, policy) = (observers.now, limits.shared_subscriptions);
            let mut turn = Turn { now, limits: &limits.session, pool, journal: self.recorder(observers) };
            let message = message.clone();
            let outgoing = &Outgoing::from(&message).with_retain(*retain);
            // all members may have left the group's filter, and others begun a group anew
            let group = self.subscriptions.group_like(group);
            if let Some(group) = group {
                self.deliver_to_group(&mut Delivering { outgoing, turn: &mut turn, wakes, policy, not_to }, &group);
            }
        }
    }
}

/// Reports why no member got the message.
#[cold]
fn say_why(delivering: &mut Delivering<'_, '_, '_, '_>, refusal: &Offered, slot: &SlotRef) {
    let Outgoing { topic, payload, .. } = delivering.outgoing;
    let (state, observers) = (slot.lock(), &mut delivering.turn.journal.observers);
    match refusal {
        Offered::TooLarge => {
            observers.dropped(state.session.id(), topic, payload.len(), DropReason::PacketTooLarge);
        }
        _ => observers.may_not_receive(state.session.id(), state.access.as_deref(), topic),
    }
}

fn hash_of(key: impl Hash) -> u64 {
    FixedState::default().hash_one(key)
}

/// Most members in one state whose rights are checked for one message: rules are mostly the same for all.
pub(crate) const MOST_ASKED: usize = 32;

/// Most members without room whose queues are checked for a place.
const MOST_ASKED_FOR_PLACE: usize = 16;
