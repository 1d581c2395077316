//! Bans: refused clients, and closed connections.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use dunlin::{
    BanError, Builder, ClientId, Config, Network, TestClock,
    config::Limits,
    inspect::{Ban, BanTarget, ByAdministrator, Closed},
    router::Count,
    types::Frequency,
};

use crate::support::{
    Broker, config,
    five::{self, Five, Properties},
    raw::{Client, Connect, Message},
    run, wait_until,
};

fn ban(target: BanTarget) -> Ban {
    Ban { target, reason: "too loud".into(), by: "ann".into(), until: None }
}

fn loopback() -> Network {
    "127.0.0.0/8".parse().expect("a network")
}

/// A broker that has users.
fn with_users(config: Config) -> Broker {
    let user = |builder: Builder, name| builder.add_user(name, "secret").expect("a user");
    Broker::build(config, |builder| user(user(builder, "alice"), "eve"))
}

#[test]
fn a_ban_closes_and_refuses_matching_clients() {
    let broker = with_users(config());
    let mut other = broker.connect(&Connect::new("other").user("alice", "secret"), 0);
    let mut eve = broker.connect(&Connect::new("c").user("eve", "secret"), 0);
    assert_eq!(run(broker.server.ban(ban(BanTarget::user("eve")))).expect("a ban"), 1);
    eve.expect_closed();
    broker.refuses(&Connect::new("c").user("eve", "secret"), 5);
    // before its password is looked at
    broker.refuses(&Connect::new("c").user("eve", "wrong"), 5);
    broker.expect_counts(&[(Count::RefusedBanned, 2), (Count::RefusedLogins, 0)]);
    drop(broker.connect(&Connect::new("c").user("alice", "secret"), 0));

    let both = BanTarget { user: Some("alice".into()), ..BanTarget::client("c") };
    run(broker.server.ban(ban(both.clone()))).expect("a ban");
    broker.refuses(&Connect::new("c").user("alice", "secret"), 5);
    drop(broker.connect(&Connect::new("d").user("alice", "secret"), 0));
    assert_eq!(broker.server.bans().len(), 2);
    for target in [both, BanTarget::user("eve")] {
        assert!(run(broker.server.unban(&target)).expect("it can be written"));
        assert!(!run(broker.server.unban(&target)).expect("there is nothing to write"));
    }
    drop(broker.connect(&Connect::new("c").user("eve", "secret"), 0));
    other.expect_nothing_pending();
}

#[test]
fn clients_of_mqtt_5_get_the_reason_code_of_a_ban() {
    let broker = Broker::new(config());
    let mut client = Five::accepted(broker.address(), &five::Connect::new("five"), 0);
    assert_eq!(run(broker.server.ban(ban(BanTarget::network(loopback())))).expect("a ban"), 1);
    let told = five::disconnect_with(0x98, &Properties::new().text(0x1F, "too loud"));
    assert_eq!(client.read().expect("a DISCONNECT").bytes(), told);
    client.expect_closed();
    let mut client = Client::open(broker.address());
    client.send(&five::Connect::new("five").frame());
    assert_eq!(client.expect_any().bytes()[3], 0x8A);
    client.expect_closed();
    broker.expect_counts(&[(Count::RefusedBanned, 1)]);
}

#[test]
fn a_ban_expires_and_an_invalid_one_is_an_error() {
    let clock = TestClock::new();
    let broker = Broker::with_clock(config(), clock.clone());
    let hour = Duration::from_secs(3_600);
    let now = clock.clock().wall();
    let until = |until: SystemTime| Ban { until: Some(until), ..ban(BanTarget::client("c")) };
    run(broker.server.ban(until(now + hour))).expect("a ban");
    broker.refuses(&Connect::new("c"), 5);
    broker.turn(hour);
    drop(broker.client("c"));
    assert_eq!(broker.server.bans(), []);
    assert!(matches!(run(broker.server.ban(until(now))), Err(BanError::Over)));
    assert!(matches!(run(broker.server.ban(ban(BanTarget::default()))), Err(BanError::Nobody)));
}

#[test]
fn bans_are_kept_in_data_dir() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = || Config { data_dir: Some(dir.path().join("data")), ..config() };
    let clock = TestClock::new();
    let broker = Broker::with_clock(config(), clock.clone());
    run(broker.server.ban(ban(BanTarget::client("c")))).expect("a ban");
    drop(broker);
    let broker = Broker::with_clock(config(), clock);
    broker.refuses(&Connect::new("c"), 5);
    assert_eq!(broker.server.bans(), [ban(BanTarget::client("c"))]);
}

#[test]
fn a_client_that_reconnects_too_often_is_banned_after_a_login() {
    let reconnects = Some(Frequency { most: 3, within: Duration::from_secs(60) });
    let mut config = Config { limits: Limits { reconnects, ..Limits::default() }, ..config() };
    config.auth.failed_login_delay = None;
    let mut broker = with_users(config);
    // with her Client Identifier, and without her password
    for _ in 0..10 {
        broker.refuses(&Connect::new("c").user("alice", "wrong"), 4);
    }
    let gone = || broker.server.inspect_client(&ClientId::from("c"), |_| ()).is_none();
    let connect = Connect::new("c").user("alice", "secret");
    for _ in 0..2 {
        broker.connect(&connect, 0).expect_nothing_pending();
    }
    let mut third = broker.connect(&connect, 0);
    broker.refuses(&connect, 5);
    third.expect_closed();
    broker.refuses(&connect, 5);
    let bans = broker.server.bans();
    assert_eq!(bans.iter().map(|ban| &ban.target).collect::<Vec<_>>(), [&flapping("c", "alice")]);
    wait_until(gone, || "the session stays".into());
    // others by that name, and her others
    broker.connect(&Connect::new("c").user("eve", "secret"), 0).expect_nothing_pending();
    wait_until(gone, || "the session stays".into());
    broker.connect(&Connect::new("x").user("alice", "secret"), 0).expect_nothing_pending();
    broker.turn(Duration::from_secs(5 * 60));
    broker.connect(&connect, 0).expect_nothing_pending();

    broker.reload(|config| config.limits.reconnects = None);
    for _ in 0..10 {
        broker.connect(&connect, 0).expect_nothing_pending();
    }
    assert_eq!(broker.server.bans(), []);
}

fn flapping(client: &str, user: &str) -> BanTarget {
    BanTarget { user: Some(user.into()), ..BanTarget::client(client) }
}

/// Sets a flag at the end.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Clients that connect again and again, whatever becomes of them.
#[test]
fn kicks_and_bans_work_while_clients_reconnect() {
    let broker = Broker::new(config());
    let address = broker.address();
    let (over, accepted) = (AtomicBool::new(false), AtomicU64::new(0));
    let refused: [AtomicU64; 6] = std::array::from_fn(|_| AtomicU64::new(0));
    std::thread::scope(|scope| {
        for (n, refused) in refused.iter().enumerate() {
            let (over, accepted) = (&over, &accepted);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let mut client = Client::open(address);
                    let connect = Connect::new(&format!("c{}", n % 3)).user("noisy", "");
                    if !client.try_send(&connect.frame()) {
                        continue;
                    }
                    match client.read().map(|connack| connack.bytes()[3]) {
                        Some(0) => {
                            accepted.fetch_add(1, Ordering::SeqCst);
                            client.try_send(&Message::new("t", "noise").frame());
                            // until it is taken over, kicked or banned
                            while client.read().is_some() {}
                        }
                        Some(5) => _ = refused.fetch_add(1, Ordering::SeqCst),
                        Some(code) => panic!("CONNACK with {code}"),
                        None => {}
                    }
                }
            });
        }
        // they end if this thread panics, too
        let ends = Ends(&over);
        let connected = |name: &str| {
            broker.server.inspect_client(&ClientId::from(name), |client| client.connection.is_some()).unwrap_or(false)
        };
        for round in 0..20 {
            let before = accepted.load(Ordering::SeqCst);
            wait_until(|| accepted.load(Ordering::SeqCst) > before, || format!("nobody is let in in round {round}"));
            for n in 0..3 {
                let kicked = broker.server.close(&ClientId::from(&*format!("c{n}")), &ByAdministrator::new("ann", ""));
                assert!(matches!(kicked, Closed::Closing | Closed::Away | Closed::Unknown));
                // whether there is one just now is not known
                let _whether =
                    broker.server.end_session(&ClientId::from(&*format!("c{n}")), &ByAdministrator::new("ann", ""));
            }
            let target = match round % 3 {
                0 => BanTarget::user("noisy"),
                1 => BanTarget::network(loopback()),
                _ => BanTarget { user: Some("noisy".into()), ..BanTarget::network(loopback()) },
            };
            run(broker.server.ban(ban(target.clone()))).expect("a ban");
            wait_until(|| (0..3).all(|n| !connected(&format!("c{n}"))), || "one stays connected".into());
            let each_refused_again = || {
                let before: Vec<_> = refused.iter().map(|one| one.load(Ordering::SeqCst)).collect();
                let all = || refused.iter().zip(&before).all(|(one, before)| one.load(Ordering::SeqCst) > *before);
                wait_until(all, || "one is not refused".into());
            };
            // what each was told before may have been on its way
            each_refused_again();
            let before = accepted.load(Ordering::SeqCst);
            each_refused_again();
            assert_eq!(accepted.load(Ordering::SeqCst), before, "one was let in in spite of {target}");
            assert!(run(broker.server.unban(&target)).expect("memory"));
        }
        drop(ends);
        // those that are connected
        run(broker.server.ban(ban(BanTarget::user("noisy")))).expect("a ban");
    });
    assert!(broker.count(Count::RefusedBanned) >= 20 * 6);
}
