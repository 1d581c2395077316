//! [`Comers`]: sessions that begin and end, and which of them must be there.

use crate::{
    support::{random::Random, raw::Connect},
    wire::{Broker, Connection},
};

const CLIENTS: usize = 6;

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

    /// Each comes once more, and finds its session or not, as it must be.
    pub fn check(&mut self, broker: &Broker) {
        for n in 0..CLIENTS {
            let mut connection = Connection::open(broker).expect("nobody kills it");
            self.ask(n, false, &mut connection);
            let present = connection.accepted().expect("nobody kills it");
            self.accepted(n, false, present);
            connection.disconnect();
        }
    }

    fn ask(&self, n: usize, clean: bool, connection: &mut Connection<'_>) {
        let connect = Connect::new(&format!("comer-{n}"));
        connection.send(&if clean { connect } else { connect.persistent() }.frame());
    }

    fn accepted(&mut self, n: usize, clean: bool, present: bool) {
        let possible = &mut self.possible[n];
        assert!(if clean { !present } else { possible.contains(&present) }, "comer-{n}: {present}, not {possible:?}");
        *possible = vec![!clean];
    }
}
