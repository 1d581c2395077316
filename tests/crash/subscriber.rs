//! [`Subscriber`]: receives streams and checks them: no message is missing, out of order, or repeated against the
//! rules.

use std::collections::BTreeMap;

use crate::{
    inbox::{END, Inbox},
    publisher::Stream,
    support::{
        random::Random,
        raw::{Message, suback, subscribe},
    },
    wire::{Broker, Connection},
};

/// A client with a persistent session and subscriptions that it keeps.
pub struct Subscriber {
    id: String,
    qos: u8,
    filter: &'static str,
    inbox: Inbox,
    /// The last message of each stream that it gets.
    received: BTreeMap<Stream, u64>,
    /// Messages that came more than once, as QoS 1 may.
    pub repeated: u64,
}

impl Subscriber {
    /// Gets these streams, and has a session from now on.
    pub fn new(broker: &Broker, filter: &'static str, qos: u8, streams: impl Iterator<Item = Stream>) -> Self {
        let id = format!("subscriber-{filter}-{qos}");
        let (mut connection, present) = Connection::persistent(broker, &id).expect("nobody kills it");
        assert!(!present, "{id} has a session already");
        connection.send(&subscribe(1, &[(filter, qos), (END, qos)]));
        assert_eq!(connection.read().expect("nobody kills it").bytes(), suback(1, &[qos, qos]));
        connection.disconnect();
        let received = streams.map(|stream| (stream, 0)).collect();
        Self { id, qos, filter, inbox: Inbox::default(), received, repeated: 0 }
    }

    /// Receives until the broker is killed; sometimes it goes away before, and sometimes it comes back.
    pub fn receive(&mut self, broker: &Broker, mut random: Random) {
        while let Some(connection) = self.connect(broker) {
            let comes_back = connection.hear(&mut random, |frame| {
                let (message, answer) = self.inbox.handle(frame);
                if let Some(message) = message.filter(|m| m.topic != END) {
                    self.judge(&message);
                }
                Some(answer)
            });
            if !comes_back {
                return;
            }
        }
    }

    /// Receives all queued messages up to the one to [`END`] with payload `end`; all of these streams must be complete
    /// then.
    pub fn drain(&mut self, broker: &Broker, end: &str, sent: &BTreeMap<Stream, u64>) {
        let mut connection = self.connect(broker).expect("nobody kills it");
        for message in self.inbox.drain(&mut connection, end) {
            self.judge(&message);
        }
        for (stream, received) in &self.received {
            assert_eq!(received, &sent[stream], "{}: the last of {stream:?} is lost", self.id);
        }
        connection.disconnect();
    }

    /// No message is queued but the one to [`END`] with payload `end`.
    pub fn expect_drained(&mut self, broker: &Broker, end: &str) {
        let mut connection = self.connect(broker).expect("nobody kills it");
        let first = connection.read().expect("nobody kills it").message().expect("a PUBLISH");
        assert_eq!((first.topic.as_str(), first.text()), (END, end), "{}: it had acknowledged that", self.id);
    }

    fn connect<'b>(&self, broker: &'b Broker) -> Option<Connection<'b>> {
        let (connection, present) = Connection::persistent(broker, &self.id)?;
        assert!(present, "the session of {} is lost", self.id);
        Some(connection)
    }

    fn judge(&mut self, message: &Message) {
        let Self { id, filter, .. } = self;
        let (stream, number) = Stream::of(message);
        let last = self.received.get_mut(&stream);
        let last = last.unwrap_or_else(|| panic!("{id} did not subscribe to {stream:?} with {filter}"));
        let qos = self.qos.min(stream.qos);
        assert_eq!(message.qos, qos, "{id}: {stream:?} {number}: QoS");
        assert!(number <= *last + 1, "{id}: {stream:?} {number} came after {last}: lost, or out of order");
        if number == *last + 1 {
            *last = number;
            return;
        }
        assert_eq!(qos, 1, "{id}: {stream:?} {number} came twice at QoS 2; the last is {last}: {message:?}");
        self.repeated += 1;
    }
}
