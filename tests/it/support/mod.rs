//! Shared helpers of tests.
//!
//! | module | has |
//! |---|---|
//! | this one | a broker in the test's process, and an observer of its events |
//! | `running` | the binary in a process of its own, and its log |
//! | `command` | runs the binary to its end |
//! | `raw` | frames as bytes, and a socket to send and read them through |
//! | `five` | the same for MQTT 5 |
//! | `scram` | the client of SCRAM |
//! | `secure` | clients over TLS, and certificates |
//! | `malformed` | malformed packets as data; the codec's own tests use them too |
//! | `mosquitto` | Debian's mosquitto |
//! | `namespace` | a private network and private mounts for a test |
//! | `random` | seeded random numbers |

pub mod command;
pub mod five;
pub mod malformed;
pub mod mosquitto;
pub mod namespace;
pub mod random;
pub mod raw;
pub mod running;
pub mod scram;
pub mod secure;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use dunlin::{
    Builder, Config, Server, TestClock,
    codec::Properties,
    config::{Limits, SysConfig},
    router::{Count, Event, Observe},
    server::ServerError,
    session::CloseReason,
    types::{ClientId, ProtocolVersion, QoS},
};
use parking_lot::{Condvar, Mutex};

use raw::{Client, Connect, Message};

/// No test waits for this; it is what ends a test whose event never comes.
pub const GUARD: Duration = Duration::from_secs(30 * GUARD_FACTOR);

/// `DUNLIN_GUARD_FACTOR` when the tests are compiled: under an emulator an event takes longer.
const GUARD_FACTOR: u64 = match option_env!("DUNLIN_GUARD_FACTOR") {
    Some(factor) => match u64::from_str_radix(factor, 10) {
        Ok(factor) => factor,
        Err(_) => panic!("DUNLIN_GUARD_FACTOR is a number"),
    },
    None => 1,
};

/// A broker that runs for as long as the value lives.
pub struct Broker {
    pub server: Server,
    config: Config,
    clock: TestClock,
}

/// A free loopback port, two threads, no `$SYS`.
pub fn config() -> Config {
    let sys = SysConfig { interval: None, ..Config::default().sys };
    Config { workers: Some(2), sys, ..Config::ephemeral() }
}

/// Starts the broker that the builder describes.
pub fn start(builder: Builder) -> Server {
    run(builder.start()).expect("a server on a free port")
}

/// Shuts down and waits for it.
pub fn shut_down(server: Server) {
    run(server.shutdown()).expect("the store closes");
}

/// Puts another configuration in force.
pub fn reload(server: &Server, config: &Config) -> Result<Vec<String>, ServerError> {
    run(server.reload(config))
}

/// Waits for the end of `future`.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

/// Polls until a condition holds that causes no event; `otherwise` describes the state if it never does.
#[track_caller]
pub fn wait_until(holds: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < GUARD, "it does not happen: {}", otherwise());
        std::thread::yield_now();
    }
}

impl Broker {
    pub fn new(config: Config) -> Self {
        Self::build(config, |builder| builder)
    }

    /// With what `plug` plugs in.
    pub fn build(config: Config, plug: impl FnOnce(Builder) -> Builder) -> Self {
        Self::build_on(TestClock::new(), config, plug)
    }

    /// With a clock that goes on when the broker ends.
    pub fn with_clock(config: Config, clock: TestClock) -> Self {
        Self::build_on(clock, config, |builder| builder)
    }

    /// With a clock that stands still unless it is turned, however slow the machine is.
    pub fn still(config: Config) -> Self {
        let clock = TestClock::new();
        clock.pause();
        Self::with_clock(config, clock)
    }

    fn build_on(clock: TestClock, config: Config, plug: impl FnOnce(Builder) -> Builder) -> Self {
        Self { server: start(plug(Builder::new(config.clone()).clock(clock.clock()))), config, clock }
    }

    pub fn limits(limits: Limits) -> Self {
        Self::new(Config { limits, ..config() })
    }

    /// With these limits and an observer.
    pub fn observed(limits: Limits) -> (Self, Arc<Recorder>) {
        let recorder = Arc::<Recorder>::default();
        let observe = recorder.clone();
        (Self::build(Config { limits, ..config() }, |b| b.observe(observe)), recorder)
    }

    /// Puts a changed configuration in force.
    pub fn reload(&mut self, change: impl FnOnce(&mut Config)) -> Vec<String> {
        change(&mut self.config);
        reload(&self.server, &self.config).expect("it can be put in force")
    }

    pub fn address(&self) -> SocketAddr {
        self.server.local_addrs()[0]
    }

    pub fn count(&self, count: Count) -> u64 {
        self.server.counters().get(count)
    }

    /// The current counters.
    #[track_caller]
    pub fn expect_counts(&self, expected: &[(Count, u64)]) {
        let got: Vec<_> = expected.iter().map(|&(count, _)| (count, self.count(count))).collect();
        assert_eq!(got, expected);
    }

    /// Waits until exactly this is counted, where the client can know of the event before it is.
    #[track_caller]
    pub fn wait_for_count(&self, count: Count, expected: u64) {
        let begin = Instant::now();
        loop {
            let got = self.count(count);
            if got == expected {
                return;
            }
            assert!(begin.elapsed() < GUARD && got < expected, "{count:?} is {got}, not {expected}");
            std::thread::yield_now();
        }
    }

    /// Waits until no connection has this Client Identifier. Other connections may end meanwhile, which a count of
    /// disconnects would mix up with this one.
    #[track_caller]
    pub fn wait_until_away(&self, client_id: &str) {
        let id = ClientId::from(client_id);
        let is_away = || self.server.inspect_client(&id, |client| client.connection.is_none()).unwrap_or(true);
        wait_until(is_away, || format!("the client {client_id} is connected"));
    }

    /// Turns its clock forward. Bytes and connections may be on their way: what the time is to run from is waited for
    /// before, by an answer or a count. What follows from that on its threads is waited for here.
    #[track_caller]
    pub fn turn(&self, by: Duration) {
        // before a thread answers, its connections have their turn; a new one is dealt to its thread before
        let pulse = self.server.pulse();
        assert!((0..3).all(|_| pulse.threads_answer(GUARD)), "a thread of the broker hangs");
        self.clock.turn(by);
    }

    /// Sets the clock that people read, by so many seconds.
    pub fn set_wall(&self, by: i64) {
        self.clock.set_wall(by);
    }

    /// Turns its clock forward again and again until an event has happened.
    #[track_caller]
    pub fn turn_until(&self, by: Duration, has_happened: impl Fn() -> bool) {
        let begin = Instant::now();
        while !has_happened() {
            assert!(begin.elapsed() < GUARD, "it does not happen");
            self.turn(by);
        }
    }

    /// A connection without a CONNECT.
    pub fn open(&self) -> Client {
        Client::open(self.address())
    }

    /// A client that is accepted with this Session Present flag.
    #[track_caller]
    pub fn connect(&self, connect: &Connect, session_present: u8) -> Client {
        Client::accepted(self.address(), connect, session_present)
    }

    /// A client that sends this is answered with this return code, and closed.
    #[track_caller]
    pub fn refuses(&self, connect: &Connect, code: u8) {
        let mut client = self.open();
        client.send(&connect.frame());
        client.expect_refused(code);
    }

    /// A client with a clean session.
    #[track_caller]
    pub fn client(&self, id: &str) -> Client {
        self.connect(&Connect::new(id), 0)
    }

    /// A client whose session is new and stays.
    #[track_caller]
    pub fn begin(&self, id: &str) -> Client {
        self.connect(&Connect::new(id).persistent(), 0)
    }

    /// A client that finds its session.
    #[track_caller]
    pub fn resume(&self, id: &str) -> Client {
        self.connect(&Connect::new(id).persistent(), 1)
    }

    /// The messages that a new subscriber gets at once: topics and payloads, sorted.
    #[track_caller]
    pub fn retained(&self, filter: &str, count: usize) -> Vec<(String, String)> {
        let messages = self.client("looks-at-retained").subscribe_retained(&[(filter, 0)], count);
        assert!(messages.iter().all(|m| m.retain));
        let mut found: Vec<_> =
            messages.into_iter().map(|m| (m.text().to_owned(), m)).map(|(p, m)| (m.topic, p)).collect();
        found.sort();
        found
    }
}

/// The hash of a password as a password file has it, which takes `memory` KiB.
pub fn argon2id(password: &str, memory: u32) -> String {
    let (salt, mut hash) = (b"sixteen bytes ..", [0; 32]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(memory, 2, 1, None).unwrap());
    argon2.hash_password_into(password.as_bytes(), salt, &mut hash).unwrap();
    format!("$argon2id$v=19$m={memory},t=2,p=1${}${}", BASE64.encode(salt), BASE64.encode(hash))
}

/// Receives these payloads, acknowledging each, and nothing else.
#[track_caller]
pub fn expect_exactly(client: &mut Client, payloads: &[&str]) {
    let got: Vec<_> = payloads.iter().map(|_| client.take().text().to_owned()).collect();
    assert_eq!(got, payloads);
    client.expect_nothing_pending();
}

/// QoS 1 messages of one topic, one after the other.
#[track_caller]
pub fn publish_all(publisher: &mut Client, topic: &str, payloads: &[&str]) {
    payloads.iter().for_each(|payload| publisher.publish(Message::new(topic, payload).qos(1)));
}

/// Remembers every event, as a line of text.
#[derive(Default)]
pub struct Recorder {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Observe for Recorder {
    fn observe(&self, event: &Event<'_>) {
        self.lines.lock().push(line(event));
        self.more.notify_all();
    }
}

impl Recorder {
    /// Waits until there is a line that begins so.
    #[track_caller]
    pub fn wait_for(&self, beginning: &str) {
        let mut lines = self.lines.lock();
        while !lines.iter().any(|line| line.starts_with(beginning)) {
            let late = self.more.wait_for(&mut lines, GUARD).timed_out();
            assert!(!late, "no `{beginning}…` among {lines:#?}");
        }
    }

    /// All lines since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock())
    }

    /// The lines that begin so.
    pub fn lines(&self, beginning: &str) -> Vec<String> {
        self.lines.lock().iter().filter(|line| line.starts_with(beginning)).cloned().collect()
    }
}

/// An event as a line: kind, client, topic or filter, the rest.
fn line(event: &Event<'_>) -> String {
    let at = |qos: &QoS| *qos as u8;
    match event {
        Event::Connect { client, peer, version, clean_session, session_present, properties, .. } => {
            assert!(peer.ip().is_loopback() && peer.port() != 0);
            let version = if *version == ProtocolVersion::V5 { " v5" } else { "" };
            let properties = listed(properties);
            format!("connect {client} clean={clean_session} present={session_present}{version}{properties}")
        }
        Event::Disconnect { client, reason: CloseReason::WriteTimeout { .. }, .. } => {
            format!("disconnect {client} WriteTimeout")
        }
        Event::Disconnect { client, reason, .. } => format!("disconnect {client} {reason:?}"),
        Event::Subscribe { client, filter, qos, options, properties, .. } => {
            assert_eq!(options.qos, *qos);
            let no_local = if options.no_local { " no-local" } else { "" };
            format!("subscribe {client} {} qos={}{no_local}{}", filter.as_str(), at(qos), listed(properties))
        }
        Event::Unsubscribe { client, filter, properties, .. } => {
            format!("unsubscribe {client} {}{}", filter.as_str(), listed(properties))
        }
        Event::Publish { client, topic, qos, retain, payload, properties, expires, .. } => {
            let client = client.map_or("(broker)", |c| c.as_str());
            let (topic, properties) = (topic.as_str(), listed(properties));
            let expires = if expires.is_some() { " expires" } else { "" };
            format!("publish {client} {topic} qos={} retain={retain} {payload} bytes{expires}{properties}", at(qos))
        }
        Event::Deliver { client, topic, qos, payload, content, properties } => {
            assert_eq!(content.len(), *payload);
            format!("deliver {client} {} qos={} {payload} bytes{}", topic.as_str(), at(qos), listed(properties))
        }
        Event::Drop { client, topic, payload, reason } => {
            format!("drop {client} {} {payload} bytes {reason:?}", topic.as_str())
        }
        Event::Ping { client } => format!("ping {client}"),
        Event::Will { client, topic, properties, .. } => {
            format!("will {client} {}{}", topic.as_str(), listed(properties))
        }
        Event::SessionExpired { client, after } => format!("expired {client} {after:?}"),
        other => format!("{other:?}"),
    }
}

/// Nothing where there are none.
fn listed(properties: &Properties<'_>) -> String {
    if properties.is_empty() { String::new() } else { format!(" {properties:?}") }
}

/// Publishes fewer than `most` messages at QoS 1, whose payloads are the numbers from `next` on, and waits for some of
/// the acknowledgements. Returns the acknowledged payloads; others may be accepted too.
pub fn publish_some(
    publisher: &mut raw::Client,
    next: &mut usize,
    most: usize,
    random: &mut random::Random,
) -> Vec<String> {
    let mut numbers: Vec<_> = (*next..*next + random.below(most)).map(|number| number.to_string()).collect();
    *next += numbers.len();
    let frame = |(at, text): (usize, &String)| raw::Message::new("n/x", text).qos(1).id(at as u16 + 1).frame();
    publisher.send(&numbers.iter().enumerate().flat_map(frame).collect::<Vec<_>>());
    numbers.truncate(random.below(numbers.len() + 1));
    (1..=numbers.len()).for_each(|id| publisher.expect(&raw::puback(id as u16)));
    numbers
}
