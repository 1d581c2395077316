//! [`Comers`]: begins and ends sessions, and knows the expected ones and their users.

use crate::{
    support::{random::Random, raw::Connect},
    wire::{Broker, Connection},
};

const CLIENTS: usize = 6;
/// Users whom the broker knows, each by a password that is the name. The first clients are theirs in turn; the last
/// ones are anonymous.
pub const USERS: [&str; 2] = ["bob", "eve"];
const OWNED: usize = 4;

/// Clients that come with or without Clean Session and go at once.
pub struct Comers {
    /// Whether each may have a session: one thing, unless a CONNECT was not answered.
    possible: [Vec<bool>; CLIENTS],
}

impl Comers {
    pub fn new() -> Self {
        Self { possible: std::array::from_fn(|_| vec![false]) }
    }

    /// One after the other, until the broker is killed.
    pub fn come(&mut self, broker: &Broker, mut random: Random) {
        loop {
            let (n, clean) = (random.below(CLIENTS), random.once_in(3));
            let Some(mut connection) = Connection::open(broker) else { return };
            self.ask(n, clean, &mut connection);
            let Some(present) = connection.accepted() else {
                self.possible[n].push(!clean);
                return;
            };
            self.accepted(n, clean, present);
            if random.once_in(2) {
                connection.disconnect();
            }
        }
    }

    /// Each comes once more, and finds its session or not, as it must be. A session that is kept lets no other user in.
    pub fn check(&mut self, broker: &Broker) {
        for n in 0..CLIENTS {
            if n < OWNED && self.possible[n] == [true] {
                let mut other = Connection::open(broker).expect("nobody kills it");
                other.send(&Self::of(n, n + 1).frame());
                other.refused(2);
            }
            let mut connection = Connection::open(broker).expect("nobody kills it");
            self.ask(n, false, &mut connection);
            let present = connection.accepted().expect("nobody kills it");
            self.accepted(n, false, present);
            connection.disconnect();
        }
    }

    fn ask(&self, n: usize, clean: bool, connection: &mut Connection<'_>) {
        let connect = Self::of(n, n);
        connection.send(&if clean { connect } else { connect.persistent() }.frame());
    }

    /// The Client Identifier of client `n`, the user of client `user`.
    fn of(n: usize, user: usize) -> Connect {
        let connect = Connect::new(&format!("comer-{n}"));
        let user = USERS[user % USERS.len()];
        if n < OWNED { connect.user(user, user) } else { connect }
    }

    fn accepted(&mut self, n: usize, clean: bool, present: bool) {
        let possible = &mut self.possible[n];
        assert!(if clean { !present } else { possible.contains(&present) }, "comer-{n}: {present}, not {possible:?}");
        *possible = vec![!clean];
    }
}
