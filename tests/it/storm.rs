//! Many logins at once: devices that reconnect together, clients that leave before their login is decided, and guesses
//! from the same address. `DUNLIN_LONG=1`: 3,000 devices, with the hashes of `dunlin passwd`.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use dunlin::{
    Config,
    config::{AuthConfig, Limits, SysConfig},
    router::Count,
};
use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};

use crate::support::{
    Broker, GUARD, argon2id, config,
    raw::{Client, Connect, Message, connack},
    run,
};

/// One storm at a time: each measures how long it takes.
static STORM: Mutex<()> = Mutex::new(());

/// How large the storm is.
struct Size {
    devices: usize,
    /// In KiB.
    memory: u32,
    /// A device gives up after this long, and comes back.
    patience: Duration,
}

fn size() -> Size {
    match std::env::var_os("DUNLIN_LONG").is_some_and(|long| long == "1") {
        true => Size { devices: 3_000, memory: 19_456, patience: Duration::from_secs(5) },
        false => Size { devices: 300, memory: 4_096, patience: Duration::from_millis(300) },
    }
}

/// A password file, and a broker with it.
struct Storm {
    dir: TempDir,
    broker: Broker,
    /// How long a hash of it takes.
    hash: Duration,
    _turn: MutexGuard<'static, ()>,
}

impl Storm {
    /// With these users, who all have the password "right"; their hashes take `memory` KiB.
    fn new(users: impl IntoIterator<Item = String>, memory: u32, change: impl FnOnce(&mut Config)) -> Self {
        let turn = STORM.lock();
        let (dir, hash) = (tempfile::tempdir().unwrap(), argon2id("right", memory));
        let times = [(); 5].map(|()| {
            let begin = Instant::now();
            argon2id("wrong", memory);
            begin.elapsed()
        });
        let lines: String = users.into_iter().map(|user| format!("{user}:{hash}\n")).collect();
        let file = dir.path().join("passwords");
        fs::write(&file, lines).unwrap();
        let auth = AuthConfig { password_file: Some(file), ..AuthConfig::default() };
        let mut config = Config { auth, ..config() };
        change(&mut config);
        Self { dir, broker: Broker::new(config), hash: times.into_iter().min().unwrap(), _turn: turn }
    }

    fn address(&self) -> SocketAddr {
        self.broker.address()
    }
}

/// As many as the broker hashes at a time.
fn hashing_threads() -> u32 {
    let cores = std::thread::available_parallelism().unwrap().get();
    u32::try_from(if cores > 1 { cores - 1 } else { 1 }).unwrap()
}

/// A connection that has sent this; the return code of its CONNACK, if it comes before the client gives up.
async fn ask(address: SocketAddr, frame: &[u8], patience: Duration) -> Option<(TcpStream, u8)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(frame).await.ok()?;
    code(stream, patience).await
}

async fn code(mut stream: TcpStream, patience: Duration) -> Option<(TcpStream, u8)> {
    let mut answer = [0; 4];
    timeout(patience, stream.read_exact(&mut answer)).await.ok()?.expect("an answer, not the end");
    Some((stream, answer[3]))
}

/// All devices come back at once, and again each time they give up. How long it takes until all are in; none is
/// refused.
fn come_back(address: SocketAddr, patience: Duration, connects: impl Iterator<Item = Connect>) -> Duration {
    let begin = Instant::now();
    run(async {
        let mut devices = JoinSet::new();
        for connect in connects {
            let frame = connect.frame();
            devices.spawn(async move {
                loop {
                    if let Some((stream, code)) = ask(address, &frame, patience).await {
                        assert_eq!(code, 0, "refused");
                        return stream;
                    }
                }
            });
        }
        let all = timeout(GUARD * 10, devices.join_all()).await;
        all.expect("all come in").len()
    });
    begin.elapsed()
}

pub fn raise_the_limit_of_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

#[test]
fn all_clients_reconnect_at_once() {
    raise_the_limit_of_files();
    let Size { devices, memory, patience } = size();
    for users in [1, devices] {
        let storm = Storm::new((0..users).map(|n| format!("user{n}")), memory, |_| {});
        let connects = (0..devices)
            .map(|n| Connect::new(&format!("device{n}")).user(&format!("user{}", n % users), "right").keep_alive(600));
        let took = come_back(storm.address(), patience, connects);
        let hashing = storm.hash * u32::try_from(devices).unwrap() / hashing_threads();
        let most = Duration::from_secs(60).max(hashing * 3 / 2);
        println!("{devices} devices, {users} users: {took:?}; a hash takes {:?}", storm.hash);
        assert!(took < most, "{took:?}, at most {most:?}");
        storm.broker.expect_counts(&[(Count::RefusedLogins, 0), (Count::ConnectTimeouts, 0)]);
    }
}

#[test]
fn logins_of_disconnected_clients_delay_no_other() {
    for (left, user) in [(800, "user"), (400, "unknown")] {
        let users = (0..800).map(|n| format!("user{n}")).chain(["bob".into()]);
        let storm = Storm::new(users, size().memory.max(12_000), |_| {});
        run(async {
            for n in 0..left {
                let mut stream = TcpStream::connect(storm.address()).await.unwrap();
                let connect = Connect::new(&format!("left{n}")).user(&format!("{user}{n}"), "right");
                stream.write_all(&connect.frame()).await.unwrap();
            }
            let begin = Instant::now();
            let frame = Connect::new("bob").user("bob", "right").frame();
            let (_, code) = ask(storm.address(), &frame, GUARD).await.expect("an answer");
            let took = begin.elapsed();
            assert!(code == 0 && took < Duration::from_secs(1), "{user}: code {code} after {took:?}");
        });
    }
}

/// The wait is the broker's own doing: the connect timeout is over long before the last is looked at.
#[test]
fn waiting_for_a_hash_does_not_count_in_the_connect_timeout() {
    let connect_timeout = Duration::from_millis(200);
    let storm = Storm::new((0..40).map(|n| format!("user{n}")), 19_456, |config| {
        config.limits = Limits { connect_timeout, ..Limits::default() };
    });
    let connects = (0..40).map(|n| Connect::new(&format!("c{n}")).user(&format!("user{n}"), "right"));
    let took = come_back(storm.address(), GUARD, connects);
    storm.broker.expect_counts(&[(Count::Connects, 40), (Count::ConnectTimeouts, 0)]);
    assert!(took > connect_timeout || hashing_threads() > 2, "the last was looked at after {took:?}");

    // a client that sends nothing after its verdict is not closed by that timeout either
    let mut silent = storm.broker.connect(&Connect::new("silent").user("user0", "right").keep_alive(600), 0);
    let mut waited = storm.broker.connect(&Connect::new("waited").user("user1", "right").keep_alive(600), 0);
    storm.broker.open().expect_closed();
    silent.expect_nothing_pending();
    waited.expect_nothing_pending();
}

#[test]
fn packets_after_a_connect_are_handled_although_the_client_has_left() {
    let storm = Storm::new(["bob".into()], 4_096, |config| config.allow_anonymous = Some(true));
    let mut reader = storm.broker.client("reader");
    reader.subscribe(&[("t", 0)]);
    let mut client = Client::open(storm.address());
    let message = Message::new("t", "last words").frame();
    client.send(&[Connect::new("c").user("bob", "right").frame(), message].concat());
    drop(client);
    reader.expect_message("t", "last words", 0);
}

#[test]
fn sys_has_the_number_of_waiting_logins() {
    let storm = Storm::new((0..60).map(|n| format!("user{n}")), 19_456, |config| {
        config.allow_anonymous = Some(true);
        config.sys = SysConfig { interval: Some(Duration::from_millis(100)), ..config.sys.clone() };
    });
    let mut reader = storm.broker.client("reader");
    reader.subscribe(&[("$SYS/broker/logins/waiting", 0)]);
    let waiting: Vec<_> = (0..60)
        .map(|n| {
            let mut client = storm.broker.open();
            client.send(&Connect::new(&format!("c{n}")).user(&format!("user{n}"), "right").frame());
            client
        })
        .collect();
    let mut lengths = std::iter::repeat_with(|| reader.receive().text().parse::<u32>().unwrap());
    assert!(lengths.by_ref().any(|length| length > 0));
    assert!(lengths.any(|length| length == 0));
    waiting.into_iter().for_each(|mut client| client.expect(&connack(0, 0)));
}

/// Behind one address, as behind a NAT: devices with the right password, devices with an old one, and a scanner.
#[test]
fn the_correct_password_is_accepted_during_guesses() {
    const SCANNERS: u32 = 20;
    let storm = Storm::new((0..5).map(|n| format!("user{n}")), 1_024, |_| {});
    let address = storm.address();
    let (guesses, stop) = (Arc::<AtomicU32>::default(), Arc::<AtomicBool>::default());
    let begin = Instant::now();
    run(async {
        let mut others = JoinSet::new();
        for n in 0..5 {
            let (stop, frame) =
                (stop.clone(), Connect::new(&format!("old{n}")).user(&format!("user{n}"), "old").frame());
            others.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let (_, code) = ask(address, &frame, GUARD).await.expect("an answer");
                    assert_eq!(code, 4);
                }
            });
        }
        for n in 0..SCANNERS {
            let (stop, guesses) = (stop.clone(), guesses.clone());
            others.spawn(async move {
                for guess in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let frame = Connect::new("scanner").user(&format!("name{n}-{guess}"), "guess").frame();
                    let (_, code) = ask(address, &frame, GUARD * 3).await.expect("an answer");
                    assert_eq!(code, 4);
                    guesses.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // until the scanner is held up
        while guesses.load(Ordering::Relaxed) < 60 {
            tokio::task::yield_now().await;
        }
        let mut right = JoinSet::new();
        for n in 0..5 {
            let frame = Connect::new(&format!("right{n}")).user(&format!("user{n}"), "right").frame();
            right.spawn(async move {
                for most in [10, 1, 1, 1] {
                    let begin = Instant::now();
                    let (_, code) = ask(address, &frame, GUARD).await.expect("an answer");
                    let took = begin.elapsed();
                    assert!(code == 0 && took < Duration::from_secs(most), "{code} after {took:?}, at most {most} s");
                }
            });
        }
        right.join_all().await;
        stop.store(true, Ordering::Relaxed);
        others.join_all().await;
    });
    let most = 30 + 16 + 8 * (u32::try_from(begin.elapsed().as_secs()).unwrap() + 1);
    let compared = guesses.load(Ordering::Relaxed);
    assert!(compared <= most, "{compared} guesses in {:?}", begin.elapsed());
    drop(storm.dir);
}

#[test]
fn guesses_at_one_user_are_bounded_over_all_addresses() {
    const ADDRESSES: u8 = 60;
    let storm = Storm::new(["bob".into()], 1_024, |config| {
        config.listeners = vec![dunlin::config::ListenerConfig::tcp(([127, 0, 0, 1], 0).into())];
    });
    let address = storm.address();
    let begin = Instant::now();
    let refused = run(async {
        let mut guessers = JoinSet::new();
        for n in 0..ADDRESSES {
            guessers.spawn(async move {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(([127, 0, 1, n + 1], 0).into()).unwrap();
                let mut stream = socket.connect(address).await.unwrap();
                stream.write_all(&Connect::new("g").user("bob", &format!("guess{n}")).frame()).await.unwrap();
                let (_, code) = code(stream, GUARD).await.expect("an answer");
                assert_eq!(code, 4);
            });
        }
        guessers.join_all().await.len()
    });
    // 30 are free; the others are answered eight in a second
    let least = Duration::from_millis(125) * u32::from(ADDRESSES - 30 - 1);
    assert!(refused == usize::from(ADDRESSES) && begin.elapsed() >= least, "{refused} in {:?}", begin.elapsed());
}
