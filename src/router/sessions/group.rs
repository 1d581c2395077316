//! [`GroupRef`]: one group of a shared subscription (MQTT 5 section 4.8.2): its members, which of them are connected
//! and have room, and whose turn it is. It locks no session: the thread that has a member's slot locked reports the
//! member's [`Standing`].

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use triomphe::Arc;

use super::ring::{Place, Ring, mixed};
use crate::{
    session::{Session, SessionLimits, Share},
    types::{QoS, SubscriptionOptions},
};

/// A handle of a group. Two are equal if they are the same group.
pub(crate) struct GroupRef<S>(Arc<Group<S>>);

struct Group<S> {
    /// The whole filter: `$share/…/…`.
    filter: Box<str>,
    seed: u64,
    /// Number of messages that were delivered to it.
    turn: AtomicU64,
    /// Number of members with a stored session and a granted QoS above 0.
    kept: AtomicUsize,
    members: Mutex<Members<S>>,
}

/// A session in a group.
#[derive(Clone, Debug)]
pub(crate) struct Member<S> {
    pub(crate) slot: S,
    pub(crate) options: SubscriptionOptions,
    /// The number of the group within the session.
    pub(crate) share: Share,
}

/// The state of a member, which a group knows without the member's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// The client is connected and had room when last checked.
    Ready,
    /// The client is connected and had no room.
    Full,
    /// The client is away.
    Away,
}

impl Standing {
    /// The state of this session, to be reported to its groups.
    pub(crate) fn of(session: &Session, limits: &SessionLimits) -> Self {
        match session.is_connected() {
            true if session.has_room(0, QoS::AtLeastOnce, limits) => Self::Ready,
            true => Self::Full,
            false => Self::Away,
        }
    }
}

/// The members: first those that are ready, then those that are full, then those that are away.
struct Members<S> {
    list: Vec<Member<S>>,
    /// Indexes in `list`, by the member's address.
    places: HashMap<usize, u32, FixedState>,
    ready: usize,
    connected: usize,
    /// The member that gets all messages until it is away or does not take one.
    sticky: Option<S>,
    /// Created when a message is first delivered by a hash.
    ring: Option<Box<Ring<S>>>,
}

impl<S> Default for Members<S> {
    fn default() -> Self {
        Self { list: Vec::new(), places: HashMap::default(), ready: 0, connected: 0, sticky: None, ring: None }
    }
}

/// The first member to be tried for a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    first: u64,
}

impl<S: Place> GroupRef<S> {
    /// A group without members. `seed`: random.
    pub(crate) fn new(filter: &str, seed: u64) -> Self {
        Self(Arc::new(Group {
            filter: filter.into(),
            seed,
            turn: AtomicU64::new(0),
            kept: AtomicUsize::new(0),
            members: Mutex::default(),
        }))
    }

    /// The Topic Filter of its subscriptions, including `$share/…`.
    pub(crate) fn filter(&self) -> &str {
        &self.0.filter
    }

    /// Would a message to the group be stored?
    pub(crate) fn keeps(&self) -> bool {
        self.0.kept.load(Ordering::Relaxed) > 0
    }

    /// Number of members.
    pub(crate) fn len(&self) -> usize {
        self.0.members.lock().list.len()
    }

    /// The options of a member.
    pub(crate) fn options_of(&self, slot: &S) -> Option<SubscriptionOptions> {
        let members = self.0.members.lock();
        members.place(slot).map(|place| members.list[place].options)
    }

    /// A member that is as ready as any other.
    pub(crate) fn any_member(&self) -> Option<Member<S>> {
        self.0.members.lock().list.first().cloned()
    }

    /// Is the session a member?
    pub(crate) fn has(&self, slot: &S) -> bool {
        self.0.members.lock().place(slot).is_some()
    }

    /// Is the session a member that is ready?
    pub(crate) fn is_ready(&self, slot: &S) -> bool {
        let members = self.0.members.lock();
        members.place(slot).is_some_and(|place| place < members.ready)
    }

    /// Is another member ready?
    pub(crate) fn has_ready_beside(&self, slot: &S) -> bool {
        let members = self.0.members.lock();
        members.list[..members.ready].iter().any(|member| member.slot != *slot)
    }

    /// Are there other members?
    pub(crate) fn has_others(&self, slot: &S) -> bool {
        self.0.members.lock().list.iter().any(|member| member.slot != *slot)
    }

    // ---- joining and leaving: call with the member's slot locked ----

    /// Adds a member, or changes its options. `false`: it was a member before.
    pub(crate) fn join(&self, member: Member<S>, standing: Standing) -> bool {
        let mut members = self.0.members.lock();
        let keeps = member.keeps();
        let before = match members.place(&member.slot) {
            Some(place) => {
                let of_member = &mut members.list[place];
                let keeps = of_member.keeps();
                of_member.options = member.options;
                Some(keeps)
            }
            None => {
                members.push(member, standing);
                None
            }
        };
        match (before.unwrap_or(false), keeps) {
            (false, true) => _ = self.0.kept.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.0.kept.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
        before.is_none()
    }

    /// Removes a member. `false`: it was not a member.
    pub(crate) fn leave(&self, slot: &S) -> bool {
        let Some(member) = self.0.members.lock().remove(slot) else { return false };
        if member.keeps() {
            self.0.kept.fetch_sub(1, Ordering::Relaxed);
        }
        true
    }

    /// Sets the state of a member.
    pub(crate) fn set_standing(&self, slot: &S, standing: Standing) {
        self.0.members.lock().set_standing(slot, standing);
    }

    /// The member did not take a message: others are tried first.
    pub(crate) fn unstick(&self, slot: &S) {
        self.0.members.lock().unstick(slot);
    }

    // ---- choosing a member ----

    /// Counts a message: the search begins with the member after the previous one's.
    #[inline]
    pub(crate) fn in_turn(&self) -> Choice {
        Choice { first: self.0.turn.fetch_add(1, Ordering::Relaxed) }
    }

    /// Counts a message: the search begins with a random member.
    pub(crate) fn at_random(&self) -> Choice {
        let Choice { first } = self.in_turn();
        Choice { first: mixed(self.0.seed ^ mixed(first)) }
    }

    /// The `n`th member in this state. `None`: there are no more.
    #[inline]
    pub(crate) fn nth(&self, choice: Choice, standing: Standing, n: usize) -> Option<Member<S>> {
        let members = self.0.members.lock();
        let those = members.standing(standing);
        let place = (choice.first as usize).wrapping_add(n).checked_rem(those.len())?;
        (n < those.len()).then(|| those[place].clone())
    }

    /// The member that got the last message, while it is connected.
    pub(crate) fn sticky(&self) -> Option<Member<S>> {
        let members = self.0.members.lock();
        let place = members.place(members.sticky.as_ref()?)?;
        members.list[..members.connected].get(place).cloned()
    }

    /// Makes this the member that gets the next message too.
    pub(crate) fn stick_to(&self, slot: &S) {
        self.0.members.lock().sticky = Some(slot.clone());
    }

    /// The `n`th member for this key: the same for the same key, as long as the same members are connected or away.
    pub(crate) fn by_key(&self, key: u64, is_connected: bool, n: usize) -> Option<Member<S>> {
        let mut members = self.0.members.lock();
        let Members { list, connected, ring, .. } = &mut *members;
        let ring = ring.get_or_insert_with(|| {
            let mut ring = Box::<Ring<S>>::default();
            for (place, member) in list.iter().enumerate() {
                ring.add(&member.slot, place < *connected);
            }
            ring
        });
        let slot = ring.nth(mixed(self.0.seed ^ key), is_connected, n)?.clone();
        let place = members.place(&slot)?;
        Some(members.list[place].clone())
    }
}

impl<S: Place> Member<S> {
    fn keeps(&self) -> bool {
        self.slot.is_kept() && self.options.qos != QoS::AtMostOnce
    }
}

impl<S: Place> Members<S> {
    fn place(&self, slot: &S) -> Option<usize> {
        self.places.get(&slot.address()).map(|&place| place as usize)
    }

    fn standing(&self, standing: Standing) -> &[Member<S>] {
        match standing {
            Standing::Ready => &self.list[..self.ready],
            Standing::Full => &self.list[self.ready..self.connected],
            Standing::Away => &self.list[self.connected..],
        }
    }

    fn standing_at(&self, place: usize) -> Standing {
        match place {
            place if place < self.ready => Standing::Ready,
            place if place < self.connected => Standing::Full,
            _ => Standing::Away,
        }
    }

    fn push(&mut self, member: Member<S>, standing: Standing) {
        let (slot, place) = (member.slot.clone(), self.list.len());
        self.list.push(member);
        self.places.insert(slot.address(), place as u32);
        if let Some(ring) = &mut self.ring {
            ring.add(&slot, false);
        }
        self.set_standing(&slot, standing);
    }

    fn remove(&mut self, slot: &S) -> Option<Member<S>> {
        // the last of those that are away can be removed without moving others
        self.set_standing(slot, Standing::Away);
        let place = self.place(slot)?;
        let last = self.list.len() - 1;
        self.swap(place, last);
        self.places.remove(&slot.address());
        if let Some(ring) = &mut self.ring {
            ring.remove(slot, false);
        }
        let gone = self.list.pop();
        if self.list.is_empty() {
            *self = Self::default();
        }
        gone
    }

    fn set_standing(&mut self, slot: &S, standing: Standing) {
        let Some(mut place) = self.place(slot) else { return };
        let before = self.standing_at(place);
        // moves it across one border after the other
        if before == Standing::Ready && standing > Standing::Ready {
            self.ready -= 1;
            place = self.swap(place, self.ready);
        }
        if before < Standing::Away && standing == Standing::Away {
            self.connected -= 1;
            self.swap(place, self.connected);
        }
        if before == Standing::Away && standing < Standing::Away {
            place = self.swap(place, self.connected);
            self.connected += 1;
        }
        if before > Standing::Ready && standing == Standing::Ready {
            self.swap(place, self.ready);
            self.ready += 1;
        }
        if standing == Standing::Away {
            self.unstick(slot);
        }
        let (was, is) = (before < Standing::Away, standing < Standing::Away);
        if let Some(ring) = self.ring.as_mut().filter(|_| was != is) {
            ring.remove(slot, was);
            ring.add(slot, is);
        }
    }

    fn unstick(&mut self, slot: &S) {
        self.sticky = self.sticky.take().filter(|sticky| sticky != slot);
    }

    /// Swaps two members. Returns the new index of the first.
    fn swap(&mut self, place: usize, other: usize) -> usize {
        if place != other {
            self.list.swap(place, other);
            for at in [place, other] {
                self.places.insert(self.list[at].slot.address(), at as u32);
            }
        }
        other
    }
}

impl<S: Place> fmt::Debug for GroupRef<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GroupRef").field(&self.filter()).finish()
    }
}

impl<S> Clone for GroupRef<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> PartialEq for GroupRef<S> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<S> Eq for GroupRef<S> {}

impl<S> Hash for GroupRef<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (Arc::as_ptr(&self.0) as usize).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{super::slot::SlotRef, *};
    use crate::session::Expiry;

    const STANDINGS: [Standing; 3] = [Standing::Ready, Standing::Full, Standing::Away];

    fn member(slot: &SlotRef) -> Member<SlotRef> {
        Member { slot: slot.clone(), options: SubscriptionOptions::default(), share: Share::of(1) }
    }

    fn slots(count: usize) -> Vec<SlotRef> {
        (0..count).map(|_| SlotRef::new(Session::new("c".into(), Expiry::WithConnection, None))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Through all changes, each member in a state is counted once.
        #[test]
        fn members_of_a_group_are_found_by_their_position(steps in proptest::collection::vec((0..6usize, 0..5usize, any::<u64>()), 1..80)) {
            let (slots, group) = (slots(6), GroupRef::new("$share/g/t", 7));
            let mut model: HashMap<usize, Standing> = HashMap::new();
            for (who, what, key) in steps {
                let slot = &slots[who];
                match what {
                    3 => prop_assert_eq!(group.leave(slot), model.remove(&who).is_some()),
                    4 => {
                        group.stick_to(slot);
                        group.by_key(key, true, 0);
                    }
                    what if model.contains_key(&who) => {
                        group.set_standing(slot, STANDINGS[what]);
                        model.insert(who, STANDINGS[what]);
                    }
                    what => {
                        prop_assert!(group.join(member(slot), STANDINGS[what]));
                        prop_assert!(!group.join(member(slot), STANDINGS[what]));
                        model.insert(who, STANDINGS[what]);
                    }
                }
                for standing in STANDINGS {
                    let choice = group.at_random();
                    let all: Vec<_> = (0..).map_while(|n| group.nth(choice, standing, n)).map(|m| m.slot).collect();
                    let expected: Vec<_> = model.iter().filter(|(_, is)| **is == standing).map(|(who, _)| &slots[*who]).collect();
                    prop_assert_eq!(all.len(), expected.len());
                    prop_assert!(expected.iter().all(|slot| all.contains(slot)));
                }
                for is_connected in [true, false] {
                    let stands = |is: Standing| (is < Standing::Away) == is_connected;
                    let mut all: Vec<_> =
                        (0..).map_while(|n| group.by_key(key, is_connected, n)).map(|m| Place::address(&m.slot)).collect();
                    all.sort_unstable();
                    all.dedup();
                    prop_assert_eq!(all.len(), model.values().filter(|is| stands(**is)).count());
                }
                if let Some(sticky) = group.sticky() {
                    let who = slots.iter().position(|slot| *slot == sticky.slot).unwrap();
                    prop_assert!(model.get(&who).is_some_and(|is| *is < Standing::Away));
                }
            }
        }
    }

    #[test]
    fn round_robin_and_hash_choose_members_of_a_changing_group() {
        let (slots, group) = (slots(8), GroupRef::new("$share/g/t", 7));
        slots.iter().for_each(|slot| assert!(group.join(member(slot), Standing::Ready)));
        let mut counts: HashMap<usize, usize> = HashMap::new();
        for _ in 0..80 {
            let next = group.nth(group.in_turn(), Standing::Ready, 0).unwrap();
            *counts.entry(Place::address(&next.slot)).or_default() += 1;
        }
        assert_eq!(counts.values().collect::<Vec<_>>(), [&10; 8]);
        let of = |key: u64| group.by_key(key, true, 0).unwrap().slot;
        let before: Vec<_> = (0..1_000).map(of).collect();
        for slot in &slots {
            let keys = before.iter().filter(|of_key| *of_key == slot).count();
            assert!((60..250).contains(&keys), "{keys} of 1,000 keys");
        }
        group.set_standing(&slots[3], Standing::Away);
        for (key, before) in before.iter().enumerate() {
            assert_eq!(of(key as u64) == *before, *before != slots[3], "{key}");
        }
        group.set_standing(&slots[3], Standing::Full);
        assert_eq!((0..1_000).map(of).collect::<Vec<_>>(), before);
    }
}
