//! [`World`]: a log under random traffic, with a model of its possible contents.

use std::{
    collections::HashMap,
    num::{NonZeroU32, NonZeroU64},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use super::{
    super::{
        commit::{
            contents::Contents,
            statistics::Statistics,
            writer::{Progress, Settings, Writer},
        },
        log::{Time, error::Failure, sizes::SegmentBytes},
        recovery::recover::{Recovered, recover},
    },
    model::Model,
    simulated::{Rng, Simulated},
};
use crate::{
    codec::{PropertiesBuf, PropertyId, PropertyValue},
    router::{Login, Publisher, QueuedCopy, Record, SessionOwner, WillLeft},
    session::{Extras, Identifiers, Message, SessionNumber, StoredWill},
    topic::TopicName,
    types::{ClientId, PacketId, QoS, SubscriptionOptions, UserName},
};

/// A log and its possible contents.
#[derive(Debug)]
pub(super) struct World {
    pub(super) files: Simulated,
    pub(super) settings: Settings,
    pub(super) writer: Writer<Simulated>,
    /// The content with all committed records.
    pub(super) model: Model,
    /// The possible contents after a power cut: the first is certainly durable, the last is `model`.
    pub(super) possible: Vec<Model>,
    pub(super) rng: Rng,
    next_session: u64,
    next_message: u64,
    next_sent: u64,
    next_will: u64,
    last_message: Option<Message>,
    /// The last message number of each session.
    last_numbers: HashMap<SessionNumber, u64>,
    /// Copies that are still to be added to the record of their first copy.
    waiting: Vec<(QueuedCopy, Vec<QueuedCopy>)>,
    pub(super) now: u64,
    /// Largest payload in bytes.
    pub(super) payload: usize,
    /// Number of completions for ten publishes.
    pub(super) drains: usize,
    /// Each commit is synced before the next.
    pub(super) syncs: bool,
}

pub(super) fn settings(segment_bytes: u64) -> Settings {
    let segment_bytes = SegmentBytes::all(segment_bytes);
    Settings { segment_bytes, sync_delay: Duration::ZERO, one_sync_at_a_time: false, salt: 0x5A17, keep_freed: false }
}

/// Reads the log and continues it.
pub(super) fn open(
    files: &Simulated,
    settings: &Settings,
) -> (Writer<Simulated>, Option<super::super::recovery::recover::Torn>) {
    let recovered = look(files);
    assert_eq!(recovered.damage, []);
    let torn = recovered.torn.clone();
    let statistics = Arc::new(Statistics::default());
    let mut writer = Writer::open(Arc::new(files.clone()), recovered, settings.clone(), statistics).unwrap();
    writer.begins(log_began(), 0);
    (writer, torn)
}

/// The time at which all logs of these tests began.
fn log_began() -> Instant {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    *BEGAN.get_or_init(Instant::now)
}

/// Their age at that time, in milliseconds.
pub(super) fn age_at(at: Instant) -> u64 {
    at.duration_since(log_began()).as_millis() as u64
}

/// The time at which they have this age.
pub(super) fn when_old(age: u64) -> Instant {
    log_began() + Duration::from_millis(age)
}

pub(super) fn look(files: &Simulated) -> Recovered {
    recover(files, &mut |_, _| {}).unwrap()
}

pub(in crate::store) fn message(number: u64, topic: &str, payload: &[u8]) -> Message {
    let message = Message::new(TopicName::new(topic).unwrap(), payload, QoS::ExactlyOnce);
    message.set_store_number(NonZeroU64::new(number).unwrap());
    message
}

pub(in crate::store) fn session_number(number: u64) -> SessionNumber {
    SessionNumber(number.try_into().unwrap())
}

/// As time of both clocks.
pub(in crate::store) fn time(now: u64) -> Time {
    Time { wall: now, age: now }
}

/// A copy of a message of QoS 1.
pub(in crate::store) fn copy(session: u64, number: u64) -> QueuedCopy {
    QueuedCopy {
        session: session_number(session),
        number,
        qos: QoS::AtLeastOnce,
        retain: false,
        shared: false,
        identifier: None,
    }
}

impl World {
    pub(super) fn new(seed: u64, settings: Settings) -> Self {
        let files = Simulated::default();
        let (writer, _) = open(&files, &settings);
        Self {
            files,
            settings,
            writer,
            model: Model::default(),
            possible: vec![Model::default()],
            rng: Rng::new(seed),
            next_session: 1,
            next_message: 1,
            next_sent: 1,
            next_will: 1,
            last_message: None,
            last_numbers: HashMap::new(),
            waiting: Vec::new(),
            now: 1_000_000,
            payload: 60,
            drains: 9,
            syncs: true,
        }
    }

    /// Commits a random batch.
    pub(super) fn commit_random(&mut self) -> Result<Progress, Failure> {
        let count = 1 + self.rng.below(8);
        let mut contents = Contents::default();
        for _ in 0..count {
            self.random(&mut contents);
            if self.rng.one_in(3) {
                self.queue_too(&mut contents);
            }
        }
        self.queue_too(&mut contents);
        self.commit(contents)
    }

    pub(super) fn commit(&mut self, contents: impl Into<Contents>) -> Result<Progress, Failure> {
        self.now += 1;
        self.possible.push(self.model.clone());
        let progress = self.writer.commit(&mut contents.into(), time(self.now))?;
        self.synced(progress)
    }

    /// Retries a stuck batch.
    pub(super) fn retry(&mut self) -> Result<Progress, Failure> {
        let progress = self.writer.retry()?;
        self.synced(progress)
    }

    fn synced(&mut self, progress: Progress) -> Result<Progress, Failure> {
        if progress == Progress::Done && self.syncs {
            self.writer.sync()?;
            self.is_kept();
        }
        Ok(progress)
    }

    /// All commits are durable.
    pub(super) fn is_kept(&mut self) {
        self.possible = vec![self.model.clone()];
    }

    /// All commits but the last `later` are durable.
    pub(super) fn is_kept_but(&mut self, later: usize) {
        self.possible.drain(..self.possible.len() - 1 - later);
    }

    /// A power cut and a restart. The content must be a possible one.
    pub(super) fn power_cut(&mut self) {
        self.files.power_cut(&mut self.rng);
        self.restart();
    }

    pub(super) fn restart(&mut self) {
        let (writer, _) = open(&self.files, &self.settings);
        let found = Model::from(writer.index());
        assert!(
            self.possible.contains(&found),
            "{found:#?}\nis none of {}, the first of which is\n{:#?}",
            self.possible.len(),
            self.possible[0]
        );
        assert!(writer.index().next_session > found.sessions.keys().max().map_or(0, |last| last.0.get()));
        (self.next_session, self.next_message) = (writer.index().next_session, writer.index().next_message);
        self.writer = writer;
        // its number may be reused
        self.last_message = None;
        // a number may be reused if the log has nothing left of its session
        self.last_numbers.clear();
        self.model = found;
        // it is durable, because it was read from the disk; everything after it is cut off
        self.is_kept();
    }

    /// The largest size of the log in bytes after cleaning.
    pub(super) fn bound(&self) -> u64 {
        3 * self.writer.index().live_bytes + 11 * self.settings.segment_bytes.most
    }

    /// A random event, with all its records.
    fn random(&mut self, contents: &mut Contents) {
        let before = contents.list.len();
        let sessions: Vec<SessionNumber> = self.model.sessions.keys().copied().collect();
        let Some(&session) = sessions.get(self.rng.below(sessions.len())) else { return self.start(contents) };
        let packet_id = PacketId::new(1 + self.rng.below(5) as u16).unwrap();
        let filter = ["a/#", "+/b", "c", "d/e/f"][self.rng.below(4)];
        match self.rng.below(24) {
            22 => contents.list.push(Record::RetainedDue { session, topic: self.topic_or_all() }),
            23 => contents.list.push(Record::RetainedSent { session, topic: self.topic_or_all() }),
            20 => {
                let number = self.model.wills.keys().max().map_or(self.next_will, |last| last + 1);
                self.next_will = number + 1;
                let will = self.new_will();
                let client = ClientId::from(format!("comes and goes {number}").as_str());
                contents.list.push(Record::WillKept { number, client, user: self.user(), will });
            }
            21 => {
                let wills: Vec<u64> = self.model.wills.keys().copied().collect();
                let Some(&number) = wills.get(self.rng.below(wills.len())) else { return };
                contents.list.push(Record::WillGone { number });
            }
            0 if sessions.len() < 5 => return self.start(contents),
            1 if self.rng.one_in(4) => contents.list.push(Record::SessionEnded { session }),
            1 => {
                let waits = WillLeft::Until(when_old(self.rng.below(1 << 20) as u64));
                let left = [WillLeft::Gone, WillLeft::FromNextStart, waits][self.rng.below(3)];
                contents.list.push(Record::Detached { session, will: left });
                if let Some(will) = self.will() {
                    let number = self.model.sessions[&session].due.keys().max().map_or(1, |last| last + 1);
                    contents.list.push(Record::WillDue { session, number, will });
                }
            }
            2 => {
                let (owner, will) = (self.owner(), self.will());
                contents.list.push(Record::Attached { session, owner, will });
                let seconds = self.rng.one_in(2).then(|| self.rng.next() as u32);
                contents.list.push(Record::Lasts { session, seconds });
            }
            3 => {
                let mut options = SubscriptionOptions::from(QoS::from_bits(self.rng.below(3) as u8).unwrap());
                if self.rng.one_in(2) {
                    // a subscription of MQTT 5
                    options.no_local = self.rng.one_in(2);
                    options.retain_as_published = self.rng.one_in(2);
                    options.identifier = NonZeroU32::new(self.rng.below(3) as u32 * 100_000_000);
                }
                contents.list.push(Record::Subscribed { session, filter: filter.into(), options });
            }
            4 => contents.list.push(Record::Unsubscribed { session, filter: filter.into() }),
            5 if self.rng.one_in(2) => contents.list.push(Record::RetainedCleared { topic: self.topic().into() }),
            5 => {
                let Some(&number) = self.model.sessions[&session].due.keys().next() else { return };
                contents.list.push(Record::WillPublished { session, number });
            }
            6..=9 => return self.publish(&sessions, contents),
            10 => {
                if self.model.sessions[&session].received.contains(&packet_id.get()) {
                    contents.list.push(Record::ReceiptReleased { session, packet_id });
                } else {
                    contents.list.push(Record::Received { session, packet_id });
                }
            }
            _ => {
                let messages = &self.model.sessions[&session].messages;
                if messages.is_empty() {
                    return self.publish(&sessions, contents);
                }
                let nth = if self.rng.one_in(3) { self.rng.below(messages.len()) } else { 0 };
                let (&number, entry) = messages.iter().nth(nth).unwrap();
                // several at a time, some of which may be completed already
                let count = if self.rng.one_in(2) { 1 } else { 1 + self.rng.below(4) as u32 };
                match entry {
                    _ if self.rng.below(10) < self.drains => {
                        contents.list.push(Record::Completed { session, number, count })
                    }
                    entry if entry.sent.is_none() => {
                        contents.list.push(Record::Sent { session, number, sent: self.next_sent, count });
                        self.next_sent += u64::from(count);
                    }
                    entry if entry.content.is_some() => contents.list.push(Record::Released { session, number }),
                    _ => contents.list.push(Record::Completed { session, number, count: 1 }),
                }
            }
        }
        contents.list[before..].iter().for_each(|record| self.model.apply(record));
    }

    fn start(&mut self, contents: &mut Contents) {
        let number = self.next_session;
        self.next_session += 1;
        let (session, client) = (session_number(number), ClientId::from(format!("client {number}").as_str()));
        let record = Record::SessionStarted { session, client, owner: self.owner(), will: self.will() };
        self.model.apply(&record);
        contents.list.push(record);
    }

    fn publish(&mut self, sessions: &[SessionNumber], contents: &mut Contents) {
        // two at once, as from two publishers' threads; one of them may exist already
        let old = self.last_message.take().filter(|_| self.rng.one_in(4));
        let messages = [self.new_message(), old.unwrap_or_else(|| self.new_message())];
        let mixes = self.rng.one_in(3);
        let mut waiting = [const { Vec::new() }; 2];
        for &session in sessions {
            let which = if mixes { self.rng.below(2) } else { 0 };
            let message = &messages[which];
            if self.rng.one_in(2) {
                let known = &self.model.sessions[&session].messages;
                let last = self.last_numbers.entry(session).or_default();
                *last = 1 + known.keys().max().copied().unwrap_or(0).max(*last);
                let number = *last;
                let (qos, retain, shared) = (QoS::AtLeastOnce, self.rng.one_in(3), session.0.get() % 2 == 0);
                let sent = self.rng.one_in(3).then_some(self.next_sent);
                self.next_sent += 1;
                // as in MQTT 5: no Subscription Identifier, one, or several
                let ids = self.rng.below(4) as u32;
                let identifier = NonZeroU32::new(300 * (ids % 3));
                let several = (ids == 3).then(|| Box::new(Identifiers::from(&b"\x0B\x07\x0B\x80\x01"[..])));
                let copy = QueuedCopy { qos, retain, shared, identifier, ..copy(session.0.get(), number) };
                let is_alone = sent.is_some() || several.is_some();
                let record = Record::Queued { message: message.clone(), copy, identifiers: several, sent };
                self.model.apply(&record);
                // waiting copies are added to the first one
                if is_alone || waiting[which].is_empty() {
                    contents.list.push(record);
                }
                if !is_alone {
                    waiting[which].push(copy);
                }
            }
        }
        let [message, _] = messages;
        self.last_message = Some(message.clone());
        if self.rng.one_in(3) {
            let number = message.store_number().unwrap().get();
            let client = ClientId::from(format!("publisher {number}").as_str());
            let user = (number % 2 == 0).then(|| UserName::from("maria"));
            let publisher = (number % 3 > 0).then_some(Publisher { client, user });
            let record = Record::Retained { message, publisher };
            self.model.apply(&record);
            contents.list.push(record);
        }
        for copies in waiting {
            if let [first, others @ ..] = &copies[..]
                && !others.is_empty()
            {
                self.waiting.push((*first, others.to_vec()));
            }
        }
    }

    /// Ends the groups of waiting publishers.
    fn queue_too(&mut self, contents: &mut Contents) {
        self.waiting.drain(..).for_each(|(first, others)| assert!(contents.add_copies(&first, &others)));
    }

    fn new_message(&mut self) -> Message {
        let number = self.next_message;
        self.next_message += 1;
        let length = self.rng.below(self.payload);
        let payload: Vec<u8> = (0..length).map(|_| self.rng.next() as u8).collect();
        if self.rng.one_in(2) {
            return message(number, self.topic(), &payload);
        }
        // as in MQTT 5: a User Property
        let mut properties = PropertiesBuf::default();
        properties.push(PropertyId::UserProperty, PropertyValue::Pair("name", &"v".repeat(self.rng.below(200))));
        let extras = Extras { properties: properties.as_properties(), expires: None };
        let message = Message::with(TopicName::new(self.topic()).unwrap(), &payload, QoS::AtLeastOnce, extras);
        message.set_store_number(NonZeroU64::new(number).unwrap());
        message
    }

    fn topic(&mut self) -> &'static str {
        ["a/b", "c", "d", "e/f/g", "h"][self.rng.below(5)]
    }

    /// An empty one is for all topics.
    fn topic_or_all(&mut self) -> Box<str> {
        if self.rng.one_in(4) { "".into() } else { self.topic().into() }
    }

    fn user(&mut self) -> Option<UserName> {
        let names = ["maria", "jon", "a name of more than a few bytes"];
        self.rng.one_in(2).then(|| UserName::from(names[self.rng.below(3)]))
    }

    fn owner(&mut self) -> Option<Box<SessionOwner>> {
        let logins = [Login::PasswordFile, Login::Token, Login::Certificate, Login::PlugIn, Login::Http];
        self.user().map(|user| Box::new(SessionOwner { user, login: logins[self.rng.below(4)] }))
    }

    fn will(&mut self) -> Option<StoredWill> {
        self.rng.one_in(3).then(|| self.new_will())
    }

    fn new_will(&mut self) -> StoredWill {
        let (topic, retain) = (TopicName::new("will").unwrap(), self.rng.one_in(2));
        if self.rng.one_in(2) {
            return StoredWill::plain(Message::new(topic, b"gone", QoS::AtLeastOnce), retain);
        }
        // as in MQTT 5
        let mut properties = PropertiesBuf::default();
        if self.rng.one_in(2) {
            properties.push(PropertyId::UserProperty, PropertyValue::Pair("name", &"v".repeat(self.rng.below(200))));
        }
        let extras = Extras { properties: properties.as_properties(), ..Extras::default() };
        let message = Message::with(topic, b"gone", QoS::AtLeastOnce, extras);
        let expiry = self.rng.one_in(2).then(|| self.rng.next() as u32);
        StoredWill { message, retain, delay: self.rng.below(1_000) as u32, expiry }
    }
}
