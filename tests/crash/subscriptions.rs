//! [`Chooser`]: subscribes and unsubscribes, and knows the expected subscriptions.

use std::collections::BTreeMap;

use crate::{
    inbox::{END, Inbox},
    support::{
        random::Random,
        raw::{Client, Connect, Frame, Message, ack, connack, suback, subscribe, unsubscribe},
    },
    wire::{Broker, Connection, packet_id},
};

const FILTERS: usize = 8;
/// Requests that are not acknowledged.
const WINDOW: usize = 4;

/// At which QoS, if at all.
type Subscribed = Option<u8>;

/// A client that changes its mind.
pub struct Chooser {
    inbox: Inbox,
    filters: [Filter; FILTERS],
    /// Requested filters by the Packet Identifier of the request.
    asked: BTreeMap<u16, Vec<(usize, Subscribed)>>,
    last_id: u16,
}

/// The possible subscriptions of one filter: one, unless requests were not answered.
struct Filter {
    possible: Vec<Subscribed>,
    is_asked: bool,
}

impl Chooser {
    /// Has a session from now on.
    pub fn new(broker: &Broker) -> Self {
        let (mut connection, present) = Connection::persistent(broker, CLIENT).expect("nobody kills it");
        assert!(!present);
        connection.send(&subscribe(1, &[(END, 2)]));
        assert_eq!(connection.read().expect("nobody kills it").bytes(), suback(1, &[2]));
        connection.disconnect();
        let filters = std::array::from_fn(|_| Filter { possible: vec![None], is_asked: false });
        Self { inbox: Inbox::default(), filters, asked: BTreeMap::new(), last_id: 0 }
    }

    /// Subscribes and unsubscribes until the broker is killed.
    pub fn choose(&mut self, broker: &Broker, mut random: Random) {
        let Some(mut connection) = connect(broker) else { return };
        loop {
            while self.asked.len() < WINDOW {
                let bytes = self.next(&mut random);
                connection.send(&bytes);
            }
            let Some(frame) = connection.read() else { break };
            match frame.first {
                0x90 | 0xB0 => self.acknowledged(&frame),
                // what came for an earlier probe
                _ => connection.send(&self.inbox.handle(&frame).1),
            }
        }
        // an unanswered request may be in force or not
        for (n, asked) in std::mem::take(&mut self.asked).into_values().flatten() {
            self.filters[n].is_asked = false;
            self.filters[n].possible.push(asked);
        }
    }

    /// Messages to all filters show which subscriptions are in force; the last one, to [`END`], has payload `end`.
    pub fn check(&mut self, broker: &Broker, end: &str) {
        // a QoS 0 message reaches only connected subscribers
        let mut connection = connect(broker).expect("nobody kills it");
        let mut prober = Client::open(broker.address());
        prober.send(&Connect::new("prober").frame());
        prober.expect(&connack(0, 0));
        for n in 0..FILTERS {
            prober.publish(Message::new(&format!("c/{n}/probe"), end).qos(2));
        }
        prober.publish(Message::new(END, end).qos(2));
        let mut found = [None; FILTERS];
        // others are of earlier probes
        for message in self.inbox.drain(&mut connection, end).iter().filter(|message| message.text() == end) {
            let n = message.topic.split('/').nth(1).expect("a probe's topic");
            found[n.parse::<usize>().expect("a probe's topic")] = Some(message.qos);
        }
        connection.disconnect();
        for (n, (filter, found)) in self.filters.iter_mut().zip(found).enumerate() {
            assert!(filter.possible.contains(&found), "{}: {found:?}, none of {:?}", name_of(n), filter.possible);
            filter.possible = vec![found];
        }
    }

    /// A request for one to three filters that no other request is about.
    fn next(&mut self, random: &mut Random) -> Vec<u8> {
        let start = random.below(FILTERS);
        let free = (start..start + FILTERS).map(|n| n % FILTERS).filter(|&n| !self.filters[n].is_asked);
        let mut chosen: Vec<usize> = free.collect();
        // one at least is left for each of the requests to come
        let most = chosen.len() - (WINDOW - 1 - self.asked.len());
        chosen.truncate(most.min(1 + random.below(3)));
        self.last_id = self.last_id % 100 + 1;
        let id = self.last_id;
        let asked: Vec<(usize, Subscribed)> = match random.once_in(3) {
            true => chosen.into_iter().map(|n| (n, None)).collect(),
            // QoS 0 messages may be lost, but the subscription may not
            false => chosen.into_iter().map(|n| (n, Some(random.below(3) as u8))).collect(),
        };
        let names: Vec<String> = asked.iter().map(|&(n, _)| name_of(n)).collect();
        let bytes = match asked[0].1 {
            None => unsubscribe(id, &names.iter().map(String::as_str).collect::<Vec<_>>()),
            Some(_) => {
                let filters = names.iter().zip(&asked).map(|(name, asked)| (name.as_str(), asked.1.unwrap_or(0)));
                subscribe(id, &filters.collect::<Vec<_>>())
            }
        };
        asked.iter().for_each(|&(n, _)| self.filters[n].is_asked = true);
        self.asked.insert(id, asked);
        bytes
    }

    fn acknowledged(&mut self, frame: &Frame) {
        let id = packet_id(frame);
        let asked = self.asked.remove(&id).expect("an answer to a request");
        let granted: Option<Vec<u8>> = asked.iter().map(|&(_, asked)| asked).collect();
        let expected = granted.map_or(ack(0xB0, id), |granted| suback(id, &granted));
        assert_eq!(frame.bytes(), expected);
        for (n, asked) in asked {
            self.filters[n] = Filter { possible: vec![asked], is_asked: false };
        }
    }
}

const CLIENT: &str = "chooser";

fn name_of(filter: usize) -> String {
    format!("c/{filter}/#")
}

fn connect(broker: &Broker) -> Option<Connection<'_>> {
    let (connection, present) = Connection::persistent(broker, CLIENT)?;
    assert!(present, "the session of {CLIENT} is lost");
    Some(connection)
}
