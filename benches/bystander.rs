//! The delay of one ordinary client during attacks by others: `cargo bench --bench bystander` prints how long its
//! PINGREQ and its QoS 1 PUBLISH wait for their answers, during each attack, without attacks, and with a minimal broker
//! (`loadgen null`, if `LOADGEN` names the load generator). Each is sent at a fixed time, and its wait counts from
//! then. The goal is a p99 of 20 ms at most.
//!
//! `cargo bench --bench bystander -- --seconds 5 --only filters,match`; `DUNLIN_BROKER` names another `dunlin` to
//! measure. The broker has one thread, so that all its clients are on it.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, Scope},
    time::{Duration, Instant},
};

use clap::Parser;

/// Time between two packets of the bystander.
const EVERY: Duration = Duration::from_millis(5);

type Attack = for<'s> fn(&'s Scope<'s, '_>, SocketAddr, &'s AtomicBool);

const CASES: [(&str, &str, Attack); 7] = [
    ("idle", "nobody else", |_, _, _| {}),
    ("filters", "SUBSCRIBE with 1,000 filters a/+/z… over 100,000 retained a/N/b, again and again", many_filters),
    ("match", "1,000 PUBLISH at a time that 65,536 filters of x and + match in part", many_matches),
    ("retained", "SUBSCRIBE to # with a million retained messages, again and again", many_retained),
    ("returning", "a client that comes back to 900 messages of 64 KiB, and goes, again and again", returning),
    ("large", "64 KiB messages to 500 subscribers, of whom one does not read", large),
    ("connections", "connections that open, connect and close as fast as they can", connections),
];

/// Measures what one client makes the others wait.
#[derive(Parser)]
struct Options {
    /// How long each case lasts
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// The cases to measure, separated by commas; all of them if it is left out
    #[arg(long, default_value = "")]
    only: String,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let Options { seconds, only, .. } = Options::parse();
    let is_asked_for = |name: &str| only.is_empty() || only.split(',').any(|one| one == name);
    println!("{:<12} {:>27} {:>33}", "", "PINGREQ p50 p99 max (ms)", "QoS 1 PUBLISH p50 p99 max (ms)");
    if let Some(program) = env::var_os("LOADGEN").filter(|_| is_asked_for("null")) {
        // the port is free in a moment
        let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        let null = Command::new(program).args(["--addr", &address.to_string(), "null"]).spawn();
        let _null = Running(null.expect("loadgen runs"));
        while TcpStream::connect(address).is_err() {
            thread::yield_now();
        }
        measure("null", "the least that a broker can do, and nobody else", |_, _, _| {}, address, seconds);
    }
    for (name, about, attack) in CASES.into_iter().filter(|case| is_asked_for(case.0)) {
        let config = config();
        let program = env::var_os("DUNLIN_BROKER").unwrap_or_else(|| env!("CARGO_BIN_EXE_dunlin").into());
        let mut command = Command::new(program);
        command.args(["--listen=127.0.0.1:0", "--workers=1", "--log-level=info", "--config"]).arg(&config);
        let mut broker = Running(command.stderr(Stdio::piped()).spawn().expect("the broker runs"));
        let address = broker.address();
        measure(name, about, attack, address, seconds);
    }
}

fn config() -> tempfile::TempPath {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let limits = "max_subscriptions = 100000\nmax_retained_messages = 2000000\nmax_retained_bytes = \"1 GiB\"";
    write!(file, "[limits]\n{limits}\n").expect("the temporary file can be written");
    file.into_temp_path()
}

fn measure(name: &str, about: &str, attack: Attack, address: SocketAddr, seconds: f64) {
    let ends = AtomicBool::new(false);
    let (mut pings, mut publishes) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        // gives when everything is prepared
        attack(scope, address, &ends);
        let mut bystander = Client::connect(address, "bystander", true);
        let begin = Instant::now();
        let mut due = begin;
        while begin.elapsed().as_secs_f64() < seconds {
            due += EVERY;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let (waits, packet, answer) = match pings.len() > publishes.len() {
                false => (&mut pings, &[0xC0, 0][..], &[0xD0, 0][..]),
                true => (&mut publishes, &[0x32, 6, 0, 1, b'b', 0, 1, b'x'][..], &[0x40, 2, 0, 1][..]),
            };
            bystander.send(packet);
            bystander.expect(answer);
            waits.push(due.elapsed());
        }
        ends.store(true, Ordering::Relaxed);
    });
    let row = |waits: &mut Vec<Duration>| {
        waits.sort();
        if waits.is_empty() {
            return "none was answered".to_owned();
        }
        let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
        format!("{:8.2} {:8.2} {:8.2}", at(0.5), at(0.99), at(1.0))
    };
    println!("{name:<12} {:>27} {:>33}   {about}", row(&mut pings), row(&mut publishes));
}

// ---- the attacks: each prepares its clients, then runs until the end ----

fn many_filters<'s>(scope: &'s Scope<'s, '_>, address: SocketAddr, ends: &'s AtomicBool) {
    retain(address, 100_000, |n| format!("a/{n}/b"));
    let filters: Vec<_> = (0..1_000).map(|n| format!("a/+/z{n}")).collect();
    scope.spawn(move || {
        let mut client = Client::connect(address, "filters", true);
        while !ends.load(Ordering::Relaxed) {
            client.subscribe(&filters);
        }
    });
}

fn many_matches<'s>(scope: &'s Scope<'s, '_>, address: SocketAddr, ends: &'s AtomicBool) {
    let filter = |n: usize| (0..16).map(|bit| if n >> bit & 1 == 0 { "x/" } else { "+/" }).collect::<String>();
    for holder in 0..8 {
        let mut client = Client::connect(address, &format!("holder{holder}"), true);
        let filters: Vec<_> = (holder..1 << 16).step_by(8).map(|n| filter(n) + "y").collect();
        filters.chunks(4096).for_each(|filters| client.subscribe(filters));
        scope.spawn(move || client.read_until(ends));
    }
    scope.spawn(move || {
        let mut client = Client::connect(address, "publisher", true);
        let mut n = 0;
        while !ends.load(Ordering::Relaxed) {
            let mut burst = Vec::new();
            for _ in 0..1_000 {
                n += 1;
                publish(&mut burst, 0x30, &format!("{}{n}", "x/".repeat(16)), b"x");
            }
            burst.extend_from_slice(&[0xC0, 0]);
            client.send(&burst);
            client.expect_or_end(&[0xD0, 0], ends);
        }
    });
}

fn many_retained<'s>(scope: &'s Scope<'s, '_>, address: SocketAddr, ends: &'s AtomicBool) {
    retain(address, 1_000_000, |n| format!("r/{}/{n}", n % 1_000));
    scope.spawn(move || {
        while !ends.load(Ordering::Relaxed) {
            let mut client = Client::connect(address, "retained", true);
            client.send(&packet(0x82, &[&1u16.to_be_bytes(), &text("#"), &[0]]));
            client.read_bytes(4 << 20, ends);
        }
    });
}

fn returning<'s>(scope: &'s Scope<'s, '_>, address: SocketAddr, ends: &'s AtomicBool) {
    Client::connect(address, "returning", false).subscribe(&["q".to_owned()]);
    let mut publisher = Client::connect(address, "publisher", true);
    for _ in 0..900 {
        let mut message = Vec::new();
        publish(&mut message, 0x32, "q", &vec![b'x'; 64 << 10]);
        publisher.send(&message);
        publisher.expect(&[0x40, 2, 0, 1]);
    }
    scope.spawn(move || {
        while !ends.load(Ordering::Relaxed) {
            Client::connect(address, "returning", false).read_bytes(8 << 20, ends);
        }
    });
}

fn large<'s>(scope: &'s Scope<'s, '_>, address: SocketAddr, ends: &'s AtomicBool) {
    for n in 0..500 {
        let mut client = Client::connect(address, &format!("subscriber{n}"), true);
        client.subscribe(&["large".to_owned()]);
        let small = thread::Builder::new().stack_size(256 << 10);
        let reads = move || match n {
            // its socket stays open
            0 => {
                while_not(ends, || ());
                drop(client);
            }
            _ => client.read_until(ends),
        };
        small.spawn_scoped(scope, reads).expect("a thread");
    }
    scope.spawn(move || {
        let mut client = Client::connect(address, "publisher", true);
        let mut message = Vec::new();
        publish(&mut message, 0x32, "large", &vec![b'x'; 64 << 10]);
        while !ends.load(Ordering::Relaxed) {
            client.send(&message);
            client.expect_or_end(&[0x40, 2, 0, 1], ends);
        }
    });
}

fn connections<'s>(scope: &'s Scope<'s, '_>, address: SocketAddr, ends: &'s AtomicBool) {
    for thread in 0..4 {
        let id = format!("connection{thread}");
        scope.spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                drop(Client::connect(address, &id, true));
            }
        });
    }
}

fn while_not(ends: &AtomicBool, mut f: impl FnMut()) {
    while !ends.load(Ordering::Relaxed) {
        f();
        thread::sleep(EVERY);
    }
}

fn retain(address: SocketAddr, count: usize, topic: impl Fn(usize) -> String) {
    let mut client = Client::connect(address, "retains", true);
    let mut bytes = Vec::new();
    for n in 0..count {
        publish(&mut bytes, 0x31, &topic(n), b"x");
        if bytes.len() > 64 << 10 || n + 1 == count {
            bytes.extend_from_slice(&[0xC0, 0]);
            client.send(&bytes);
            client.expect(&[0xD0, 0]);
            bytes.clear();
        }
    }
}

// ---- MQTT, as much as is needed ----

struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr, id: &str, clean: bool) -> Self {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
        let mut client = Self(stream);
        let head = [&text("MQTT")[..], &[4, u8::from(clean) << 1, 0, 0]].concat();
        client.send(&packet(0x10, &[&head, &text(id)]));
        let mut connack = [0; 4];
        client.read_exact(&mut connack);
        assert_eq!((connack[0], connack[3]), (0x20, 0));
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the broker takes it");
    }

    fn expect(&mut self, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        self.read_exact(&mut got);
        assert_eq!(got, bytes);
    }

    /// The same, unless the bench ends before.
    fn expect_or_end(&mut self, bytes: &[u8], ends: &AtomicBool) {
        let mut got = vec![0; bytes.len()];
        let mut at = 0;
        while at < got.len() && !ends.load(Ordering::Relaxed) {
            at += self.0.read(&mut got[at..]).unwrap_or(0);
        }
    }

    fn read_exact(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            match self.0.read(&mut bytes[at..]) {
                Ok(0) => panic!("the broker closed the connection"),
                Ok(read) => at += read,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn read_until(&mut self, ends: &AtomicBool) {
        self.read_bytes(usize::MAX, ends);
    }

    /// Reads so much, or until the bench ends.
    fn read_bytes(&mut self, count: usize, ends: &AtomicBool) {
        let (mut bytes, mut read) = (vec![0; 64 << 10], 0);
        while read < count && !ends.load(Ordering::Relaxed) {
            match self.0.read(&mut bytes) {
                Ok(0) => return,
                Ok(more) => read += more,
                Err(_) => {}
            }
        }
    }

    fn subscribe(&mut self, filters: &[String]) {
        let mut body = vec![0, 1];
        for filter in filters {
            body.extend(text(filter));
            body.push(0);
        }
        self.send(&packet(0x82, &[&body]));
        self.expect(&packet(0x90, &[&[0, 1], &vec![0; filters.len()]]));
    }
}

fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut bytes = vec![first];
    let mut length = body.len();
    while length > 127 {
        bytes.push((length % 128) as u8 | 0x80);
        length /= 128;
    }
    bytes.push(length as u8);
    bytes.extend(body);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text");
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// A PUBLISH with these flags in its first byte; above QoS 0 its Packet Identifier is 1.
fn publish(out: &mut Vec<u8>, first: u8, topic: &str, payload: &[u8]) {
    let id: &[u8] = if first & 6 == 0 { &[] } else { &[0, 1] };
    out.extend(packet(first, &[&text(topic), id, payload]));
}

/// A process that is killed when the bench ends, however it does.
struct Running(Child);

impl Running {
    /// The address in its log. The log is read further, so that the broker never waits for a reader.
    fn address(&mut self) -> SocketAddr {
        let mut lines = BufReader::new(self.0.stderr.take().expect("standard error is a pipe")).lines();
        let ready = lines.by_ref().map_while(Result::ok).find(|l| l.contains("listeners=")).expect("it gets ready");
        thread::spawn(move || lines.for_each(drop));
        let address = ready.split("listeners=").nth(1).and_then(|rest| rest.split([' ', ',']).next());
        address.and_then(|address| address.parse().ok()).expect("the line names the address")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
