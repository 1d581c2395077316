//! [`Publisher`]: numbered messages, several in flight, at QoS 1 and 2.

use std::collections::BTreeMap;

use crate::{
    outbox::Outbox,
    support::{random::Random, raw::Message},
    wire::{Broker, Connection},
};

/// What order is promised for: a publisher's messages at one QoS, on a topic of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stream {
    pub publisher: usize,
    pub qos: u8,
}

/// The publisher whose messages go to groups of shared subscriptions.
pub const GROUPED: usize = 3;

impl Stream {
    fn topic(self) -> String {
        let above = if self.publisher == GROUPED { "g" } else { "t" };
        format!("{above}/{}/{}", self.publisher, self.qos)
    }

    /// Message `number` of the stream: its payload contains the number, and has a length that follows from it.
    pub fn message(self, number: u64) -> Message {
        let Self { publisher, qos } = self;
        let scattered =
            (number << 3 | u64::from(qos) << 1 | publisher as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        // most are short
        let length = if scattered.is_multiple_of(8) { scattered / 8 % 6_000 } else { scattered / 8 % 200 };
        let filler = char::from(b'a' + (number % 26) as u8).to_string().repeat(length as usize);
        Message::new(&self.topic(), &format!("{publisher} {qos} {number} {filler}")).qos(qos)
    }

    /// The stream and number of a message that came; anything but the payload that was sent is a failure.
    pub fn of(message: &Message) -> (Self, u64) {
        let words: Vec<&str> = message.text().splitn(4, ' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap_or_else(|_| panic!("a foreign message: {message:?}"));
        let stream = Self { publisher: number(0) as usize, qos: number(1) as u8 };
        let sent = stream.message(number(2));
        assert!(sent.topic == message.topic && sent.payload == message.payload, "{message:?} came, not {sent:?}");
        (stream, number(2))
    }
}

/// A client with a persistent session that sends for as long as it can.
pub struct Publisher {
    number: usize,
    /// Messages in flight.
    window: usize,
    outbox: Outbox,
    /// The number of the last message at QoS 1 and at QoS 2.
    sent: [u64; 2],
    has_session: bool,
}

impl Publisher {
    pub fn new(number: usize, window: usize) -> Self {
        Self { number, window, outbox: Outbox::default(), sent: [0; 2], has_session: false }
    }

    /// The last message of each stream.
    pub fn sent(&self) -> BTreeMap<Stream, u64> {
        let stream = |qos| Stream { publisher: self.number, qos };
        [1, 2].map(|qos| (stream(qos), self.sent[usize::from(qos) - 1])).into()
    }

    /// Sends until the broker is killed; sometimes the connection breaks and is made again.
    pub fn send(&mut self, broker: &Broker, mut random: Random) {
        while let Some(mut connection) = self.connect(broker) {
            let breaks = random.once_in(3).then(|| random.below(300));
            let mut heard = 0;
            while breaks.is_none_or(|at| heard < at) {
                let mut bytes = Vec::new();
                while self.outbox.len() < self.window {
                    bytes.extend(self.next(&mut random));
                }
                connection.send(&bytes);
                let Some(frame) = connection.read() else { break };
                self.outbox.handle(&mut connection, &frame);
                heard += 1;
            }
        }
    }

    /// Has all acknowledged that was sent.
    pub fn finish(&mut self, broker: &Broker) {
        let mut connection = self.connect(broker).expect("nobody kills it");
        while self.outbox.len() > 0 {
            let frame = connection.read().expect("nobody kills it");
            self.outbox.handle(&mut connection, &frame);
        }
        connection.disconnect();
    }

    fn connect<'b>(&mut self, broker: &'b Broker) -> Option<Connection<'b>> {
        let (connection, present) = Connection::persistent(broker, &format!("publisher-{}", self.number))?;
        assert!(present || !self.has_session, "the session of publisher {} is lost", self.number);
        self.has_session = true;
        let mut connection = connection.may_be_closed();
        connection.send(&self.outbox.resend());
        Some(connection)
    }

    fn next(&mut self, random: &mut Random) -> Vec<u8> {
        let qos = 1 + random.below(2);
        self.sent[qos - 1] += 1;
        let number = self.sent[qos - 1];
        let stream = Stream { publisher: self.number, qos: qos as u8 };
        self.outbox.send(stream.message(number), number)
    }
}
