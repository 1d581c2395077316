//! The random actions of clients.

use super::{
    client::{Begins, is_shared},
    promises::{FILTERS, FIRST_RETAINED, RETAINED, TOPICS},
    world::{CLIENTS, World, version},
};
use crate::types::{ProtocolVersion, QoS};

impl World {
    /// A random client does something.
    pub(super) fn act(&mut self) {
        let who = self.rng.below(CLIENTS);
        if self.clients[who].connection.is_none() {
            if self.rng.one_in(2) {
                let begins = self.begins(who);
                self.connect(who, begins);
            }
            return;
        }
        match self.rng.below(100) {
            0..34 => self.publish(who),
            34..44 => {
                let filter = self.rng.below(FILTERS.len());
                if self.rng.one_in(4) { self.unsubscribe(who, filter) } else { self.subscribe(who, filter) }
            }
            44..64 => {
                let stalls = self.clients[who].connection.as_ref().is_some_and(|connection| connection.stalls);
                let room = if self.rng.one_in(3) { self.rng.below(60) } else { 4096 };
                if !stalls {
                    self.hear(who, room);
                }
            }
            64..76 => {
                let most = 1 + self.rng.below(4);
                self.clients[who].acknowledge(most);
            }
            76..92 => {
                let most = if self.rng.one_in(3) { self.rng.below(30) } else { usize::MAX };
                self.clients[who].pump(most);
            }
            92..95 => {
                if let Some(connection) = &mut self.clients[who].connection {
                    connection.stalls = !connection.stalls;
                }
            }
            95..97 => {
                self.tell(|| format!("{who} hangs up"));
                let now = self.now();
                self.clients[who].hang_up(&mut self.promises, now);
            }
            97 => {
                self.tell(|| format!("{who} says goodbye"));
                let now = self.now();
                self.clients[who].say_goodbye(&mut self.promises, now);
            }
            _ => {
                self.tally.take_overs += u64::from(self.clients[who].is_accepted());
                let begins = self.begins(who);
                self.connect(who, begins);
            }
        }
    }

    /// The options of a new connection.
    fn begins(&mut self, _: usize) -> Begins {
        let rng = &mut self.rng;
        let will = rng.one_in(2).then(|| {
            let qos = if rng.one_in(2) { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            (qos, if rng.one_in(2) { 0 } else { 1 + rng.below(3) as u32 })
        });
        Begins { clean: rng.one_in(8), keep_alive: if rng.one_in(6) { 1 } else { 0 }, will }
    }

    pub(super) fn connect(&mut self, who: usize, begins: Begins) {
        self.notice();
        if !self.clients[who].may_connect() {
            return;
        }
        let Some(line) = self.line() else { return };
        let (now, client) = (self.now(), &mut self.clients[who]);
        if self.tells {
            eprintln!("{who} connects, clean {}, MQTT {}, Will {:?}", begins.clean, version(client), begins.will);
        }
        client.connect(line, begins, &mut self.promises, now);
        client.pump(usize::MAX);
    }

    fn publish(&mut self, who: usize) {
        if !self.clients[who].may_publish() {
            return;
        }
        let (topic, now) = (self.rng.below(TOPICS.len()), self.now());
        let (name, filter) = TOPICS[topic];
        let retains = filter == RETAINED;
        // each retained topic has one publisher
        if retains && topic - FIRST_RETAINED != who {
            return;
        }
        let qos = match (retains, self.rng.below(5)) {
            // if both QoS are used for a topic, a repeated QoS 1 message may arrive after a QoS 2 message that is not
            // repeated
            (true, _) if topic == FIRST_RETAINED => QoS::AtLeastOnce,
            (true, _) => QoS::ExactlyOnce,
            (false, 0) => QoS::AtMostOnce,
            (false, 1 | 2) => QoS::AtLeastOnce,
            (false, _) => QoS::ExactlyOnce,
        };
        let clears = retains && self.rng.one_in(3);
        let expires = filter < 3 && self.clients[who].version == ProtocolVersion::V5 && self.rng.one_in(4);
        let expiry = expires.then(|| 1 + self.rng.below(3) as u32);
        let number = self.promises.message(who, name, filter, qos, now);
        if self.tells {
            eprintln!("{who} publishes {number} to {name}, {qos:?}, expiry {expiry:?}, clears {clears}");
        }
        self.promises.messages[number].expiry = expiry;
        if retains {
            self.promises.values.entry(name.to_owned()).or_default().sent.push((number, clears));
        }
        for client in &mut self.clients {
            if qos == QoS::AtMostOnce || clears || !client.session.expects(filter) {
                continue;
            }
            if is_shared(filter) {
                self.promises.messages[number].group.push((client.who, client.session.number));
            } else if client.qos[filter] != QoS::AtMostOnce {
                client.session.due.insert(number);
            }
        }
        self.clients[who].publish(number, topic, expiry, clears, &self.promises);
        if self.rng.one_in(2) {
            self.clients[who].pump(usize::MAX);
        }
    }

    pub(super) fn subscribe(&mut self, who: usize, filter: usize) {
        let client = &mut self.clients[who];
        let values_come = client.connection.as_ref().is_none_or(|connection| !connection.values.is_empty());
        if !client.is_accepted() || client.has_asked(filter) || filter == RETAINED && values_come {
            return;
        }
        if self.tells {
            eprintln!("{who} subscribes to {}", FILTERS[filter]);
        }
        client.subscribe(filter, &mut self.promises);
    }

    fn unsubscribe(&mut self, who: usize, filter: usize) {
        let client = &mut self.clients[who];
        if !client.is_accepted() || client.has_asked(filter) {
            return;
        }
        if self.tells {
            eprintln!("{who} unsubscribes from {}", FILTERS[filter]);
        }
        client.unsubscribe(filter, &self.promises);
    }
}
