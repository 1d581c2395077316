//! The broker under test, and identifiers and topics that no other test uses.

use std::{
    fs::OpenOptions,
    io::Write,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use dunlin::{
    config::{Config, Limits},
    testing::{self, Mode, Options, Turn},
};

use crate::support::{
    Broker, GUARD,
    raw::{Client, Connect, Message},
    run,
};

/// The case of the test function in which it stands, on the broker that all such tests share.
macro_rules! case {
    () => {
        $crate::conformance::case::Case::shared(std::any::type_name_of_val(&{
            fn here() {}
            here
        }))
    };
}

/// The case of a test with a broker of its own, `None` where an external broker is under test.
macro_rules! case_with {
    ($limits:expr) => {
        $crate::conformance::case::Case::alone(
            std::any::type_name_of_val(&{
                fn here() {}
                here
            }),
            $limits,
        )
    };
}

/// The case of a test that subscribes to `#` and the like: on a broker of its own where it can have one.
macro_rules! case_apart {
    () => {
        case_with!(dunlin::config::Limits::default()).unwrap_or_else(|| case!())
    };
}

/// What belongs to one test.
pub struct Case {
    name: String,
    address: SocketAddr,
    anonymous: AtomicUsize,
    /// Where it is not one that tests share.
    own: Option<Own>,
}

/// A broker of one test.
enum Own {
    Usual(Box<Broker>),
    /// In strict mode; what it finds is written to this file.
    Strict(Box<testing::Broker>, PathBuf),
}

impl Case {
    pub fn shared(function: &str) -> Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        if let Some(case) = Self::strict(function, &Limits::default()) {
            return case;
        }
        let address = external().unwrap_or_else(|| SHARED.get_or_init(|| Broker::new(Config::ephemeral())).address());
        Self::new(function, address, None)
    }

    pub fn alone(function: &str, limits: Limits) -> Option<Self> {
        if external().is_some() {
            eprintln!("left out: {function} needs settings of its own");
            return None;
        }
        if let Some(case) = Self::strict(function, &limits) {
            if let Some(Own::Strict(broker, _)) = &case.own {
                run(broker.turn(Turn { advance: Duration::ZERO, keep_alive: true, paused: Some(true) }));
            }
            return Some(case);
        }
        let broker = Broker::still(Config { limits, ..Config::ephemeral() });
        Some(Self::new(function, broker.address(), Some(Own::Usual(Box::new(broker)))))
    }

    /// With `DUNLIN_CONFORMANCE_STRICT=FILE`, each test has a broker of its own in strict mode.
    fn strict(function: &str, limits: &Limits) -> Option<Self> {
        let file = PathBuf::from(std::env::var_os("DUNLIN_CONFORMANCE_STRICT")?);
        let config = Config { limits: limits.clone(), ..Config::ephemeral() };
        let options = Options { config, strict: Some(Mode::Report), ..Options::default() };
        let broker = run(testing::Broker::with(options)).expect("a broker on free ports");
        Some(Self::new(function, broker.address(), Some(Own::Strict(Box::new(broker), file))))
    }

    fn new(function: &str, address: SocketAddr, own: Option<Own>) -> Self {
        // The path of `here` within the test, and perhaps within a closure of it.
        let name = function.rsplit("::").skip(1).find(|name| !name.contains('{')).expect("a function's path");
        // The process id keeps apart two runs against one external broker.
        let name = format!("{name}-{}", std::process::id());
        Self { name, address, anonymous: AtomicUsize::new(0), own }
    }

    /// A client id that stands for `role` in this test.
    pub fn id(&self, role: &str) -> String {
        format!("{}-{role}", self.name)
    }

    /// A topic that only this test uses.
    pub fn topic(&self, rest: &str) -> String {
        format!("{}/{rest}", self.name)
    }

    /// Where its broker listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Turns the clock of a broker of its own.
    pub fn turn(&self, by: Duration) {
        match self.own.as_ref().expect("a clock that others do not need") {
            Own::Usual(broker) => broker.turn(by),
            Own::Strict(broker, _) => run(broker.turn(Turn { advance: by, keep_alive: true, paused: None })),
        }
    }

    /// A connection without a CONNECT.
    pub fn open(&self) -> Client {
        Client::open(self.address)
    }

    /// A client with a clean session.
    #[track_caller]
    pub fn client(&self, role: &str) -> Client {
        self.connect(&Connect::new(&self.id(role)), 0)
    }

    /// A client whose session is new and stays.
    #[track_caller]
    pub fn begin(&self, role: &str) -> Client {
        self.connect(&Connect::new(&self.id(role)).persistent(), 0)
    }

    /// A client that finds its session.
    #[track_caller]
    pub fn resume(&self, role: &str) -> Client {
        self.connect(&Connect::new(&self.id(role)).persistent(), 1)
    }

    /// A client that is accepted with this Session Present flag.
    #[track_caller]
    pub fn connect(&self, connect: &Connect, session_present: u8) -> Client {
        Client::accepted(self.address, connect, session_present)
    }

    /// A client that sends these bytes is closed.
    #[track_caller]
    pub fn assert_closes(&self, bytes: &[u8]) {
        let number = self.anonymous.fetch_add(1, Ordering::Relaxed);
        let mut client = self.client(&format!("bad{number}"));
        client.context = format!("for {:02x?}", &bytes[..bytes.len().min(80)]);
        client.send(bytes);
        if let Some(frame) = client.read() {
            panic!("{:02x?} came {}", frame.bytes(), client.context);
        }
    }

    /// A CONNECT of these bytes is closed without a CONNACK.
    #[track_caller]
    pub fn assert_connect_closes(&self, bytes: &[u8]) {
        let mut client = self.open();
        client.context = format!("for {:02x?}", &bytes[..bytes.len().min(80)]);
        client.send(bytes);
        client.expect_closed();
    }

    /// The messages that a new subscriber to `topic` gets at once.
    #[track_caller]
    pub fn retained(&self, topic: &str, count: usize) -> Vec<Message> {
        let number = self.anonymous.fetch_add(1, Ordering::Relaxed);
        self.client(&format!("look{number}")).subscribe_retained(&[(topic, 2)], count)
    }
}

impl Drop for Case {
    /// Writes the violations that were found: test, statement, description.
    fn drop(&mut self) {
        let Some(Own::Strict(broker, file)) = &self.own else { return };
        // a second panic would end the process and hide the first one
        if thread::panicking() {
            return;
        }
        assert!(run(broker.idle(GUARD)), "the broker is busy");
        let test = self.name.rsplit_once('-').expect("a process id").0;
        let mut lines = String::new();
        for violation in broker.violations() {
            if let Some(statement) = violation.statement {
                lines += &format!("{test}\t{statement}\t{}\n", violation.text);
            }
        }
        let mut file = OpenOptions::new().append(true).create(true).open(file).expect("a file");
        file.write_all(lines.as_bytes()).expect("a line");
    }
}

fn external() -> Option<SocketAddr> {
    static ADDRESS: OnceLock<Option<SocketAddr>> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let address = std::env::var("DUNLIN_CONFORMANCE_ADDR").ok()?;
        let mut found = address.to_socket_addrs().expect("DUNLIN_CONFORMANCE_ADDR is host:port");
        Some(found.next().expect("DUNLIN_CONFORMANCE_ADDR has an address"))
    })
}
