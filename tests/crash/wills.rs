//! [`Willer`]: a client with Wills that disconnects with or without DISCONNECT; [`Watcher`]: receives the Wills, and
//! checks them at the end.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    inbox::{END, Inbox},
    retained,
    support::{
        five::{self, Properties, Publish, property},
        random::Random,
        raw::{self, Connect, Message, ack, puback, suback, subscribe, unsubscribe},
    },
    wire::{Broker, Connection},
};

/// Wills of QoS 1 and 2, retained and not, of clients with persistent sessions and with none.
const AT_ONCE: usize = 8;
/// And Wills of QoS 1 and 2, retained and not, whose delay is not over before the end of the test.
const DELAYED: usize = 4;
const WILLERS: usize = AT_ONCE + DELAYED;
/// A DISCONNECT that the broker has answered by closing the connection is kept after this time.
const KEPT_AFTER: Duration = Duration::from_millis(100);

/// All of them.
pub fn willers() -> Vec<Willer> {
    (0..WILLERS).map(|number| Willer { number, has_session: false, fates: Vec::new() }).collect()
}

/// What must become of a Will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// That its connection began is kept, and its client sent no DISCONNECT: it is published, by the broker or the
    /// next.
    Published,
    /// That its client sent DISCONNECT is kept, or that it resumed the session within the delay: it is not.
    Discarded,
    /// That its connection began is kept, and its delay is not over: it is not published yet.
    Waits,
    /// The broker had closed the connection by then, after a DISCONNECT: that is kept a moment later.
    Left(Instant),
    /// Neither is known to be kept.
    Open,
}

/// A client with a Will with each of its connections.
pub struct Willer {
    number: usize,
    has_session: bool,
    /// Of each Will, by its number.
    fates: Vec<Fate>,
}

impl Willer {
    /// Comes and goes until the broker is killed.
    pub fn come_and_go(&mut self, broker: &Broker, mut random: Random) {
        if is_delayed(self.number) {
            return self.come_and_go_within_delays(broker, random);
        }
        let mut earlier = None;
        while let Some(mut connection) = self.connect(broker) {
            let Some(present) = connection.accepted() else { return };
            assert!(present == self.has_session || present && !is_clean(self.number), "willer {}", self.number);
            if !is_clean(self.number) {
                self.has_session = true;
                // does not wait for the CONNACK, and sends the next packets at once
                connection.send(&unsubscribe(1, &["any"]));
                let Some(frame) = connection.read() else { return };
                assert_eq!(frame.bytes(), ack(0xB0, 1));
            }
            let current = self.fates.len() - 1;
            self.fates[current] = Fate::Published;
            drop(earlier.take());
            match random.below(3) {
                0 => {
                    self.fates[current] = Fate::Open;
                    connection.disconnect();
                    self.fates[current] = Fate::Left(Instant::now());
                    if random.once_in(2) {
                        continue;
                    }
                    // an acknowledged packet and everything before it is durable
                    if self.acknowledged(broker).is_none() {
                        return;
                    }
                    self.fates[current] = Fate::Discarded;
                    if random.once_in(4) {
                        return;
                    }
                }
                // the next connection takes the session over
                1 => earlier = Some(connection),
                _ => drop(connection),
            }
        }
    }

    /// The same with Wills that wait: each ends with the connection that follows, whenever that comes.
    fn come_and_go_within_delays(&mut self, broker: &Broker, mut random: Random) {
        let mut earlier = None;
        loop {
            let clean = random.once_in(3);
            let before = self.fates.len().checked_sub(1).filter(|&nth| self.fates[nth] == Fate::Waits);
            let Some(mut connection) = Connection::open(broker) else { return };
            let connect = delayed(self.number, self.fates.len());
            self.fates.push(Fate::Open);
            let current = self.fates.len() - 1;
            // until this one is answered
            before.into_iter().for_each(|nth| self.fates[nth] = Fate::Open);
            connection.send(&if clean { connect } else { connect.resume() }.frame());
            let Some(present) = connection.accepted_5() else { return };
            assert!(if clean { !present } else { present || !self.has_session }, "willer {}", self.number);
            let fate = if present { Fate::Discarded } else { Fate::Published };
            before.into_iter().for_each(|nth| self.fates[nth] = fate);
            self.has_session = true;
            // does not wait for the CONNACK, and sends the next packets at once
            connection.send(&five::unsubscribe(1, &["any"]));
            let Some(frame) = connection.read() else { return };
            assert_eq!(frame.bytes(), five::unsuback(1, &[0x11]));
            self.fates[current] = Fate::Waits;
            drop(earlier.take());
            match random.below(4) {
                0 => {
                    self.fates[current] = Fate::Open;
                    connection.disconnect();
                    self.fates[current] = Fate::Left(Instant::now());
                    if self.acknowledged(broker).is_none() {
                        return;
                    }
                    self.fates[current] = Fate::Discarded;
                }
                // the next connection takes the session over
                1 => earlier = Some(connection),
                2 => connection.disconnect_with(&five::disconnect(0x04)),
                _ => drop(connection),
            }
            // so that it waits when the broker is killed
            if random.once_in(8) {
                return;
            }
        }
    }

    /// The broker was killed then.
    pub fn killed(&mut self, at: Instant) {
        for fate in &mut self.fates {
            if let Fate::Left(left) = *fate {
                *fate = if left + KEPT_AFTER <= at { Fate::Discarded } else { Fate::Open };
            }
        }
    }

    /// Of Wills that wait, this one is retained. The last one that somebody saw may not be: if the broker is killed
    /// before it answers the connection that has a Will published, that waits once more.
    fn expect_retained(&self, found: Option<usize>) {
        let last = self.fates.iter().rposition(|&fate| fate == Fate::Published).filter(|_| is_retained(self.number));
        let fate = found.map(|nth| self.fates[nth]);
        let right = found >= last && fate.is_none_or(|fate| matches!(fate, Fate::Published | Fate::Open));
        assert!(right, "willer {}: {found:?} is retained, {fate:?}; {last:?} was published", self.number);
    }

    /// How many Wills had to be published, had to be discarded, might be either, and still wait.
    pub fn fates(&self) -> [usize; 4] {
        [Fate::Published, Fate::Discarded, Fate::Open, Fate::Waits]
            .map(|fate| self.fates.iter().filter(|&&f| f == fate).count())
    }

    /// Another client has something kept; `None`: the broker was killed.
    fn acknowledged(&self, broker: &Broker) -> Option<()> {
        let mut connection = Connection::open(broker)?;
        let id = format!("witness-{}", self.number);
        connection.send(&Connect::new(&id).frame());
        connection.accepted()?;
        connection.send(&Message::new(&id, &self.fates.len().to_string()).qos(1).retain().id(1).frame());
        assert_eq!(connection.read()?.bytes(), puback(1));
        connection.disconnect();
        Some(())
    }

    /// A CONNECT is sent, with the next Will.
    fn connect<'b>(&mut self, broker: &'b Broker) -> Option<Connection<'b>> {
        let mut connection = Connection::open(broker)?;
        let will = will(self.number, self.fates.len());
        self.fates.push(Fate::Open);
        let connect = Connect::new(&format!("willer-{}", self.number)).will(&will);
        connection.send(&if is_clean(self.number) { connect } else { connect.persistent() }.frame());
        Some(connection)
    }
}

/// A client with a persistent session that gets all Wills.
pub struct Watcher {
    inbox: Inbox,
    /// How often each Will came.
    seen: [BTreeMap<usize, usize>; WILLERS],
}

impl Watcher {
    /// Has a session from now on.
    pub fn new(broker: &Broker) -> Self {
        let (mut connection, present) = Connection::persistent(broker, WATCHER).expect("nobody kills it");
        assert!(!present);
        let topics: Vec<_> = (0..WILLERS).map(topic_of).collect();
        let filters: Vec<_> = topics.iter().map(String::as_str).chain([END]).map(|filter| (filter, 2)).collect();
        connection.send(&subscribe(1, &filters));
        assert_eq!(connection.read().expect("nobody kills it").bytes(), suback(1, &[2; WILLERS + 1]));
        connection.disconnect();
        Self { inbox: Inbox::default(), seen: Default::default() }
    }

    /// Receives until the broker is killed.
    pub fn watch(&mut self, broker: &Broker) {
        let Some(mut connection) = connect(broker) else { return };
        while let Some(frame) = connection.read() {
            let (message, answer) = self.inbox.handle(&frame);
            if let Some(message) = message.filter(|message| message.topic != END) {
                self.note(&message);
            }
            connection.send(&answer);
        }
    }

    /// Receives all that waits, up to the message to [`END`] that says `end`: all Wills are as they must be then, and
    /// the last of those that are retained is what is retained.
    pub fn settle(&mut self, broker: &Broker, end: &str, willers: &[Willer]) {
        let mut connection = connect(broker).expect("nobody kills it");
        for message in self.inbox.drain(&mut connection, end) {
            self.note(&message);
        }
        connection.disconnect();
        let retained = retained::look(broker);
        for (willer, seen) in willers.iter().zip(&self.seen) {
            let number = willer.number;
            for (nth, &fate) in willer.fates.iter().enumerate() {
                let count = seen.get(&nth).copied().unwrap_or(0);
                let right = match fate {
                    Fate::Published => count > 0,
                    Fate::Discarded | Fate::Waits => count == 0,
                    Fate::Open | Fate::Left(_) => true,
                };
                assert!(right, "Will {nth} of willer {number}: {fate:?}, and it came {count} times");
            }
            let found = retained.iter().find(|(topic, _)| *topic == topic_of(number)).map(|(_, text)| text.as_str());
            if is_delayed(number) {
                willer.expect_retained(found.map(|text| nth_of(text).1));
                continue;
            }
            let last = seen.last_key_value().filter(|_| is_retained(number)).map(|(&nth, _)| will(number, nth));
            assert_eq!(
                found,
                last.as_ref().map(Message::text),
                "willer {number}: what is retained is not its last Will"
            );
        }
    }

    /// No message is queued but the one to [`END`] with payload `end`.
    pub fn expect_settled(&mut self, broker: &Broker, end: &str) {
        let mut connection = connect(broker).expect("nobody kills it");
        let first = connection.read().expect("nobody kills it").message().expect("a PUBLISH");
        assert_eq!((first.topic.as_str(), first.text()), (END, end), "{WATCHER} had acknowledged that");
    }

    fn note(&mut self, message: &Message) {
        let (willer, nth) = nth_of(message.text());
        let sent = will(willer, nth);
        assert_eq!((&message.topic, message.text(), message.qos), (&sent.topic, sent.text(), sent.qos));
        let seen = &mut self.seen[willer];
        let last = seen.last_key_value().map(|(&last, _)| last);
        let count = seen.entry(nth).or_insert(0);
        *count += 1;
        assert!(*count == 1 || message.qos == 1, "Will {nth} of willer {willer} came twice at QoS 2");
        assert!(*count > 1 || last.is_none_or(|last| last < nth), "Will {nth} of willer {willer} came after {last:?}");
    }
}

/// The `nth` Will of a willer.
fn will(willer: usize, nth: usize) -> Message {
    let length = if nth.is_multiple_of(8) { 3_000 } else { nth % 100 };
    let message = Message::new(&topic_of(willer), &format!("{willer} {nth}{}", " ".repeat(length)));
    let message = message.qos(1 + (willer % 2) as u8);
    if is_retained(willer) { message.retain() } else { message }
}

/// The CONNECT with the `nth` Will of a willer, with Clean Start 1; session and delay outlast the test.
fn delayed(willer: usize, nth: usize) -> five::Connect {
    let raw::Message { topic, payload, qos, retain, .. } = will(willer, nth);
    let properties = Properties::new().int(property::WILL_DELAY, 50_000).user("willer", &willer.to_string());
    let will = Publish { payload, retain, ..Publish::new(&topic, "").qos(qos).with(properties) };
    let connect = five::Connect::new(&format!("willer-{willer}")).will(&will);
    connect.with(Properties::new().int(property::SESSION_EXPIRY, 100_000))
}

fn is_delayed(willer: usize) -> bool {
    willer >= AT_ONCE
}

/// Whose Will this is, and which of them.
fn nth_of(text: &str) -> (usize, usize) {
    let (willer, nth) = text.split_once(' ').expect("a Will");
    (willer.parse().expect("a number"), nth.trim().parse().expect("a number"))
}

fn is_retained(willer: usize) -> bool {
    if is_delayed(willer) { willer / 2 % 2 == 1 } else { willer >= AT_ONCE / 2 }
}

fn is_clean(willer: usize) -> bool {
    willer / 2 % 2 == 1
}

fn topic_of(willer: usize) -> String {
    // retained messages are checked with the others
    format!("{}/will-{willer}", if is_retained(willer) { "r" } else { "w" })
}

fn connect(broker: &Broker) -> Option<Connection<'_>> {
    let (connection, present) = Connection::persistent(broker, WATCHER)?;
    assert!(present, "the session of {WATCHER} is lost");
    Some(connection)
}

const WATCHER: &str = "watcher";
