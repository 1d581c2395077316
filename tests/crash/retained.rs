//! [`Retainer`]: sets, replaces and clears retained messages, and knows the expected ones.

use crate::{
    outbox::Outbox,
    support::{
        random::Random,
        raw::{Client, Connect, Frame, Message, connack, suback, subscribe},
    },
    wire::{Broker, Connection},
};

const TOPICS: usize = 8;

/// A client that changes retained messages.
pub struct Retainer {
    outbox: Outbox,
    topics: [Topic; TOPICS],
    has_session: bool,
}

/// The changes of one topic.
#[derive(Default)]
struct Topic {
    /// Every payload that may be retained: the last that was acknowledged, and those sent after it. Empty: none.
    possible: Vec<(u64, String)>,
    /// The number of the last one sent.
    last: u64,
}

impl Topic {
    /// The last payload that was sent.
    fn newest(&self) -> &str {
        self.possible.last().map_or("", |(_, payload)| payload)
    }
}

impl Retainer {
    pub fn new() -> Self {
        let nothing = || Topic { possible: vec![(0, String::new())], last: 0 };
        Self { outbox: Outbox::default(), topics: std::array::from_fn(|_| nothing()), has_session: false }
    }

    /// Sets and clears until the broker is killed.
    pub fn change(&mut self, broker: &Broker, mut random: Random) {
        let Some(mut connection) = self.connect(broker) else { return };
        loop {
            while self.outbox.len() < 6 {
                let bytes = self.next(&mut random);
                connection.send(&bytes);
            }
            let Some(frame) = connection.read() else { return };
            self.handle(&mut connection, &frame);
        }
    }

    /// Completes all changes, after which the retained messages are certain.
    pub fn finish(&mut self, broker: &Broker) {
        let mut connection = self.connect(broker).expect("nobody kills it");
        while self.outbox.len() > 0 {
            let frame = connection.read().expect("nobody kills it");
            self.handle(&mut connection, &frame);
        }
        connection.disconnect();
        for topic in &self.topics {
            assert_eq!(topic.possible.len(), 1, "all is acknowledged");
        }
    }

    /// The retained message must be the last acknowledged one, or a later one.
    pub fn check(&self, broker: &Broker) {
        let found = look(broker);
        for (n, topic) in self.topics.iter().enumerate() {
            let now = found.iter().find(|(name, _)| *name == name_of(n)).map_or("", |(_, payload)| payload);
            let possible = topic.possible.iter().any(|(_, payload)| payload == now);
            assert!(possible, "{} has {now:?}, which is none of {:?}", name_of(n), topic.possible);
        }
    }

    fn connect<'b>(&mut self, broker: &'b Broker) -> Option<Connection<'b>> {
        let (mut connection, present) = Connection::persistent(broker, "retainer")?;
        assert!(present || !self.has_session, "the retainer's session is lost");
        self.has_session = true;
        connection.send(&self.outbox.resend());
        Some(connection)
    }

    fn next(&mut self, random: &mut Random) -> Vec<u8> {
        let n = random.below(TOPICS);
        let topic = &mut self.topics[n];
        topic.last += 1;
        let longest = if random.once_in(10) { 5_000 } else { 50 };
        let length = random.below(longest);
        let payload = match random.below(4) {
            0 if !topic.newest().is_empty() => String::new(),
            _ => format!("{} {}", topic.last, "r".repeat(length)),
        };
        topic.possible.push((topic.last, payload.clone()));
        // a topic has one QoS: the order of resent messages of different QoS is not guaranteed
        let qos = 1 + (n % 2) as u8;
        let tag = topic.last << 8 | n as u64;
        self.outbox.send(Message::new(&name_of(n), &payload).qos(qos).retain(), tag)
    }

    fn handle(&mut self, connection: &mut Connection<'_>, frame: &Frame) {
        if let Some(tag) = self.outbox.handle(connection, frame) {
            let topic = &mut self.topics[(tag & 0xFF) as usize];
            topic.possible.retain(|&(number, _)| number >= tag >> 8);
        }
    }
}

fn name_of(topic: usize) -> String {
    format!("r/{topic}")
}

/// All retained messages there: topics and payloads. Messages published after the subscription follow them.
pub fn look(broker: &Broker) -> Vec<(String, String)> {
    let mut client = Client::open(broker.address());
    client.send(&Connect::new("looks-at-retained").frame());
    client.expect(&connack(0, 0));
    client.send(&subscribe(1, &[("r/#", 0)]));
    client.send(&Message::new("r/all", "").frame());
    let mut found = Vec::new();
    loop {
        let frame = client.expect_any();
        match frame.message() {
            None => assert_eq!(frame.bytes(), suback(1, &[0])),
            Some(message) if message.topic == "r/all" => return found,
            Some(message) => {
                assert!(message.retain, "{message:?}");
                found.push((message.topic.clone(), message.text().to_owned()));
            }
        }
    }
}
