//! [`Bursts`]: clients that connect several times at once, so that one batch has the beginning of a session, its end
//! and the beginning of the next; and the expected sessions and subscriptions.

use crate::{
    support::{
        random::Random,
        raw::{Client, Connect, DISCONNECT, Message, connack, puback, suback, subscribe},
    },
    wire::{Broker, Connection},
};

const CLIENTS: usize = 3;
const TOPICS: usize = 4;

/// The subscriptions of a session, a bit for each topic; `None`: there is no session.
type Session = Option<u8>;

/// Clients that connect and disconnect faster than their changes are written.
pub struct Bursts {
    /// What each may have: one thing, unless something was not answered.
    possible: [Vec<Session>; CLIENTS],
    /// What each may have once more after a kill, as nothing that came after it was acknowledged.
    earlier: [Vec<Session>; CLIENTS],
    /// How often one came.
    pub count: usize,
}

impl Bursts {
    pub fn new() -> Self {
        Self { possible: std::array::from_fn(|_| vec![None]), earlier: Default::default(), count: 0 }
    }

    /// One client after the other, until the broker is killed.
    pub fn come(&mut self, broker: &Broker, mut random: Random) {
        self.restarted();
        loop {
            let n = random.below(CLIENTS);
            self.count += 1;
            if self.burst(n, broker, &mut random).is_none()
                || random.once_in(2) && self.stay(n, broker, &mut random).is_none()
            {
                return;
            }
        }
    }

    /// Several connections at once, with and without Clean Session: the broker takes them in whatever order. They have
    /// been taken when this returns; `None`: it was killed.
    fn burst(&mut self, n: usize, broker: &Broker, random: &mut Random) -> Option<()> {
        let before = self.possible[n].clone();
        let (mut open, mut kept, mut clean) = (Vec::new(), false, false);
        for _ in 0..1 + random.below(4) {
            let mut connection = Connection::open(broker)?;
            let is_clean = random.once_in(2);
            (kept, clean) = (kept || !is_clean, clean || is_clean);
            let mut bytes = connect(n, is_clean);
            if random.once_in(2) {
                bytes.extend(DISCONNECT);
            }
            self.possible[n] = before.iter().copied().chain(after(&before, kept, clean)).collect();
            if kept && clean {
                // only the one or only the other was taken
                let one = after(&before, true, false).chain(after(&before, false, true)).collect::<Vec<_>>();
                self.possible[n].extend(one);
            }
            connection.send(&bytes);
            open.push(connection);
        }
        let mut acknowledged = true;
        for connection in &mut open {
            acknowledged &= connection.is_answered()?;
        }
        self.possible[n] = after(&before, kept, clean).collect();
        if acknowledged {
            self.earlier[n].clear();
        } else {
            self.earlier[n].extend(before);
        }
        Some(())
    }

    /// A connection that waits for its answers; `None`: the broker was killed.
    fn stay(&mut self, n: usize, broker: &Broker, random: &mut Random) -> Option<()> {
        let is_clean = random.once_in(3);
        let mut connection = Connection::open(broker)?;
        let before = self.possible[n].clone();
        self.possible[n].extend(after(&before, !is_clean, is_clean));
        connection.send(&connect(n, is_clean));
        let present = connection.accepted()?;
        self.accepted(n, before, is_clean, present);
        if !is_clean {
            let topic = random.below(TOPICS);
            let before = self.possible[n].clone();
            let subscribed = before.iter().map(|session| session.map(|topics| topics | 1 << topic));
            self.possible[n].extend(subscribed.clone());
            connection.send(&subscribe(1, &[(&name_of(n, topic), 1)]));
            assert_eq!(connection.read()?.bytes(), suback(1, &[1]));
            self.possible[n] = subscribed.collect();
        }
        match random.below(3) {
            0 => connection.disconnect(),
            _ => drop(connection),
        }
        Some(())
    }

    /// Each comes once more, and finds its session and its subscriptions, as it must be. `end` is said by what shows
    /// them.
    pub fn check(&mut self, broker: &Broker, end: &str) {
        self.restarted();
        for n in 0..CLIENTS {
            let mut connection = Connection::open(broker).expect("nobody kills it");
            connection.send(&connect(n, false));
            let present = connection.accepted().expect("nobody kills it");
            let before = self.possible[n].clone();
            self.accepted(n, before, false, present);
            let last = name_of(n, TOPICS);
            connection.send(&subscribe(1, &[(&last, 1)]));
            let mut prober = Client::open(broker.address());
            prober.send(&Connect::new("prober").frame());
            prober.expect(&connack(0, 0));
            let mut found = 0;
            let mut frame = connection.read().expect("nobody kills it");
            // what came for an earlier probe may be in front of it
            while let Some(message) = frame.message() {
                connection.send(&puback(message.id));
                frame = connection.read().expect("nobody kills it");
            }
            assert_eq!(frame.bytes(), suback(1, &[1]));
            (0..=TOPICS).for_each(|topic| prober.publish(Message::new(&name_of(n, topic), end).qos(1)));
            loop {
                let message = connection.read().and_then(|frame| frame.message()).expect("a PUBLISH");
                connection.send(&puback(message.id));
                if message.text() != end {
                    continue;
                }
                if message.topic == last {
                    break;
                }
                found |=
                    (0..TOPICS).filter(|&topic| name_of(n, topic) == message.topic).map(|topic| 1 << topic).sum::<u8>();
            }
            connection.disconnect();
            let possible = &mut self.possible[n];
            assert!(possible.contains(&Some(found)), "burst-{n} is subscribed to {found:04b}, none of {possible:?}");
            *possible = vec![Some(found)];
        }
    }

    /// The broker may be another, after a kill.
    fn restarted(&mut self) {
        for (possible, earlier) in self.possible.iter_mut().zip(&mut self.earlier) {
            possible.append(earlier);
        }
    }

    /// CONNACK arrived. After it, the session is the one `before`, a new one, or none.
    fn accepted(&mut self, n: usize, before: Vec<Session>, is_clean: bool, present: bool) {
        let expected = if is_clean { !present } else { before.iter().any(|session| session.is_some() == present) };
        assert!(expected, "burst-{n}: Session Present is {present}, and {before:?} was possible");
        self.earlier[n].clear();
        self.possible[n] = match (is_clean, present) {
            (true, _) => vec![None],
            (false, false) => vec![Some(0)],
            (false, true) => before.into_iter().filter(Option::is_some).collect(),
        };
    }
}

/// The possible results of connections in any order, `kept` (without Clean Session) and `clean` among them.
fn after(before: &[Session], kept: bool, clean: bool) -> impl Iterator<Item = Session> {
    let before = if clean { Vec::new() } else { before.to_vec() };
    let gone = clean.then_some(None);
    let new = (clean && kept).then_some(Some(0));
    before.into_iter().map(move |session| if kept { session.or(Some(0)) } else { session }).chain(gone).chain(new)
}

fn connect(n: usize, is_clean: bool) -> Vec<u8> {
    let connect = Connect::new(&format!("burst-{n}"));
    if is_clean { connect.frame() } else { connect.persistent().frame() }
}

fn name_of(client: usize, topic: usize) -> String {
    format!("s/{client}/{topic}")
}
