//! [`Queue`]: a fair queue of logins: one address after another, and within an address one user after another. A client
//! that sends many logins delays only its own.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    time::Instant,
};

use super::throttle::{Held, Whose};

/// The queue. `J`: the items.
#[derive(Debug)]
pub(super) struct Queue<J> {
    addresses: HashMap<IpAddr, Users<J>>,
    /// Each address above once, in the order of turns.
    turns: VecDeque<IpAddr>,
    len: usize,
}

/// The items of one address.
#[derive(Debug)]
struct Users<J> {
    jobs: HashMap<Option<u64>, VecDeque<J>>,
    /// Each user above once, in the order of turns.
    turns: VecDeque<Option<u64>>,
    len: usize,
}

/// The next item.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<J> {
    Job(Whose, J),
    /// No item may be taken before this time.
    At(Instant),
    /// The queue is empty.
    Empty,
}

impl<J> Default for Queue<J> {
    fn default() -> Self {
        Self { addresses: HashMap::new(), turns: VecDeque::new(), len: 0 }
    }
}

impl<J> Queue<J> {
    pub(super) fn push(&mut self, whose: Whose, job: J) {
        let users = self.addresses.entry(whose.address).or_insert_with(|| {
            self.turns.push_back(whose.address);
            Users { jobs: HashMap::new(), turns: VecDeque::new(), len: 0 }
        });
        let jobs = users.jobs.entry(whose.user).or_insert_with(|| {
            users.turns.push_back(whose.user);
            VecDeque::new()
        });
        jobs.push_back(job);
        users.len += 1;
        self.len += 1;
    }

    /// The items of a user at an address.
    pub(super) fn of(&mut self, whose: Whose) -> impl Iterator<Item = &mut J> {
        self.addresses.get_mut(&whose.address).and_then(|users| users.jobs.get_mut(&whose.user)).into_iter().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Number of items of an address.
    pub(super) fn len_of(&self, address: IpAddr) -> usize {
        self.addresses.get(&address).map_or(0, |users| users.len)
    }

    /// Takes the next item that `may` be taken. Its address and its user move to the end; others keep their place.
    pub(super) fn next(&mut self, mut may: impl FnMut(Whose, &J) -> Result<(), Held>) -> Next<J> {
        let mut soonest = None::<Instant>;
        for at in 0..self.turns.len() {
            let address = self.turns[at];
            let Some(users) = self.addresses.get_mut(&address) else { continue };
            for place in 0..users.turns.len() {
                let whose = Whose { address, user: users.turns[place] };
                let Some(jobs) = users.jobs.get_mut(&whose.user) else { continue };
                if let Some(Err(held)) = jobs.front().map(|job| may(whose, job)) {
                    soonest = Some(soonest.map_or(held.until, |soonest| soonest.min(held.until)));
                    if held.address {
                        break;
                    }
                    continue;
                }
                let Some(job) = jobs.pop_front() else { continue };
                users.len -= 1;
                self.len -= 1;
                users.turns.remove(place);
                if users.jobs.get(&whose.user).is_some_and(VecDeque::is_empty) {
                    users.jobs.remove(&whose.user);
                } else {
                    users.turns.push_back(whose.user);
                }
                self.turns.remove(at);
                if users.len == 0 {
                    self.addresses.remove(&address);
                } else {
                    self.turns.push_back(address);
                }
                return Next::Job(whose, job);
            }
        }
        soonest.map_or(Next::Empty, Next::At)
    }

    /// Removes items that are not needed any more.
    pub(super) fn retain(&mut self, keep: impl Fn(&mut J) -> bool) {
        for users in self.addresses.values_mut() {
            users.jobs.retain(|_, jobs| {
                jobs.retain_mut(&keep);
                !jobs.is_empty()
            });
            users.turns.retain(|user| users.jobs.contains_key(user));
            users.len = users.jobs.values().map(VecDeque::len).sum();
        }
        self.addresses.retain(|_, users| users.len > 0);
        self.turns.retain(|address| self.addresses.contains_key(address));
        self.len = self.addresses.values().map(|users| users.len).sum();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn whose(address: u8, user: u64) -> Whose {
        Whose { address: [192, 0, 2, address].into(), user: Some(user) }
    }

    /// Everything, in the order in which it has its turn.
    fn order(queue: &mut Queue<&'static str>) -> String {
        let taken = std::iter::from_fn(|| match queue.next(|_, _| Ok(())) {
            Next::Job(_, job) => Some(job),
            _ => None,
        });
        taken.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn addresses_and_users_take_turns() {
        let mut queue = Queue::default();
        for (address, user, job) in
            [(1, 1, "a"), (1, 1, "b"), (1, 1, "c"), (1, 2, "d"), (1, 2, "e"), (2, 1, "f"), (2, 1, "g"), (3, 9, "h")]
        {
            queue.push(whose(address, user), job);
        }
        assert_eq!((queue.len(), queue.len_of([192, 0, 2, 1].into())), (8, 5));
        assert_eq!(order(&mut queue), "a f h d g b e c");
        assert_eq!(queue.next(|_, _| Ok(())), Next::Empty);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_delayed_login_keeps_its_place_in_the_queue() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let soon = now + Duration::from_secs(1);
        for (address, user, job) in [(1, 1, "a"), (1, 2, "b"), (2, 1, "c"), (2, 3, "d")] {
            queue.push(whose(address, user), job);
        }
        let not_1 =
            |w: Whose, _: &_| if w.user == Some(1) { Err(Held { until: soon, address: false }) } else { Ok(()) };
        assert_eq!(queue.next(not_1), Next::Job(whose(1, 2), "b"));
        assert_eq!(queue.next(not_1), Next::Job(whose(2, 3), "d"));
        assert_eq!(queue.next(not_1), Next::At(soon));
        let not_2 = |w: Whose, _: &_| {
            if w.address == whose(2, 1).address { Ok(()) } else { Err(Held { until: soon, address: true }) }
        };
        assert_eq!(queue.next(not_2), Next::Job(whose(2, 1), "c"));
        assert_eq!(queue.next(not_2), Next::At(soon));
        assert_eq!(order(&mut queue), "a");
    }

    #[test]
    fn logins_of_clients_that_have_gone_leave_the_queue() {
        let mut queue = Queue::default();
        for (address, user, job) in [(1, 1, "a"), (1, 1, "gone"), (1, 2, "gone"), (2, 1, "gone"), (3, 1, "b")] {
            queue.push(whose(address, user), job);
        }
        queue.retain(|job| *job != "gone");
        assert_eq!(queue.len(), 2);
        queue.of(whose(3, 1)).for_each(|job| *job = "c");
        assert_eq!(order(&mut queue), "a c");
    }
}
