//! Logins by SCRAM, with the lines of a password file.

use std::{io::Write, process::Command};

use dunlin::{
    Config,
    auth::{self, PasswordChange},
    config::{AuthConfig, Limits},
    router::Count,
    types::Transport,
};

use super::{Files, password};
use crate::{
    support::{
        Broker,
        five::{Connect, Five, Properties},
        raw::{self, DISCONNECT},
        scram::{Hash, Scram, auth, log_in, packet, says},
        secure::{Certs, secure, tcp},
    },
    transports::websocket::{Frames, listener, upgrade},
};

const BOTH: [Hash; 2] = [Hash::Sha256, Hash::Sha512];
/// What mosquitto_passwd 2.0.11 wrote for the password "secret".
const OF_MOSQUITTO: &str = "eve:$7$101$LLGT7/feVyZegqdF$Yzvq5OFn8Mi3AgahDENE6I0UcvywQcJHgl4vmxJVb1N+Y8J6ViCLb82my4Z+bcbztX/5/DFGJg32jEsxLRIlgA==\n";

/// Bob has keys for SCRAM, made of his name backwards; so has "a,b=c".
fn files() -> Files {
    let files = Files::new();
    for user in ["bob", "a,b=c"] {
        let (password, iterations) = (password(user), 4096.try_into().unwrap());
        let change = PasswordChange::SetScram { password: password.as_bytes(), iterations };
        auth::edit(&files.path("passwords"), user, change).unwrap();
    }
    files
}

fn config(files: &Files) -> Config {
    let auth =
        AuthConfig { password_file: Some(files.path("passwords")), failed_login_delay: None, ..AuthConfig::default() };
    Config { auth, ..crate::support::config() }
}

/// The Reason Code of the CONNACK of a login over TCP.
#[track_caller]
fn login(broker: &Broker, hash: Hash, user: &str, password: &str) -> u8 {
    let mut scram = Scram::new(hash, user, password);
    log_in(&mut tcp(broker.address()), &Connect::new("c"), &mut scram).0
}

/// Salt and iterations in the server's first message.
#[track_caller]
fn costs(broker: &Broker, hash: Hash, user: &str) -> (String, u32) {
    let scram = Scram::new(hash, user, "");
    let mut client = Five::open(broker.address());
    client.send(&Connect::new("asks").with(says(hash.method(), scram.first())).frame());
    let costs = scram.costs(&client.expect_auth(0x18, hash.method()));
    client.leave_with(DISCONNECT);
    costs
}

/// The Reason Code of a method that is not served.
#[track_caller]
fn refused_method(broker: &Broker, method: &str) {
    let mut client = Five::open(broker.address());
    client.send(&Connect::new("c").with(says(method, "n,,n=bob,r=x")).frame());
    client.expect_refused(0x8C);
}

/// RFC 5802 section 5 and RFC 7677 section 3.
#[test]
fn the_client_of_these_tests_is_that_of_the_examples() {
    let examples = [
        (
            Hash::Sha1,
            "fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            Hash::Sha256,
            "rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ];
    for (hash, nonce, challenge, last, proof) in examples {
        let mut scram = Scram::with_nonce(hash, "user", "pencil", nonce);
        assert_eq!(scram.first(), format!("n,,n=user,r={nonce}"));
        assert_eq!(scram.last(challenge), last);
        scram.expect_proof(proof);
    }
}

#[test]
fn both_sides_prove_that_they_know_the_password_over_every_transport() {
    let (files, certs) = (files(), Certs::new());
    let listeners = vec![crate::support::config().listeners[0].clone(), certs.listener(Transport::Tls), listener()];
    let broker = Broker::new(Config { listeners, ..config(&files) });
    let [plain, tls, websocket] = broker.server.local_addrs()[..] else { panic!("three listeners") };
    for hash in BOTH {
        for user in ["bob", "a,b=c"] {
            let scram = || Scram::new(hash, user, &password(user));
            let connect = Connect::new("c");
            assert_eq!(log_in(&mut tcp(plain), &connect, &mut scram()).0, 0);
            assert_eq!(log_in(&mut secure(tls, &certs.client()), &connect, &mut scram()).0, 0);
            assert_eq!(log_in(&mut Frames::new(upgrade(tcp(websocket))), &connect, &mut scram()).0, 0);
        }
    }
    broker.expect_counts(&[(Count::RefusedLogins, 0)]);
}

#[test]
fn wrong_proofs_are_refused_and_unknown_users_look_like_known_ones() {
    let files = files();
    files.users(&["plain"]);
    let broker = Broker::new(config(&files));
    for hash in BOTH {
        assert_eq!(login(&broker, hash, "bob", "wrong"), 0x86);
        assert_eq!(login(&broker, hash, "bob", ""), 0x86);
        // no user of that name has a password that could be right
        assert_eq!(login(&broker, hash, "nobody", "nobody"), 0x86);
        assert_eq!(login(&broker, hash, "plain", &password("plain")), 0x86);
        let bobs = costs(&broker, hash, "bob");
        assert_eq!((bobs.clone(), bobs.1), (costs(&broker, hash, "bob"), 4096));
        for user in ["nobody", "plain", "Bob"] {
            let told = costs(&broker, hash, user);
            assert_eq!(told, costs(&broker, hash, user), "always the same");
            assert_eq!((told.0.len(), told.1), (bobs.0.len(), bobs.1));
            assert_ne!(told.0, bobs.0);
        }
    }
    broker.expect_counts(&[(Count::RefusedLogins, 8)]);
}

#[test]
fn a_proof_is_valid_for_one_exchange_only() {
    let files = files();
    let broker = Broker::new(config(&files));
    // all packets of the client, as an eavesdropper has them
    let scram = Scram::new(Hash::Sha256, "bob", &password("bob"));
    let first = Connect::new("c").with(says("SCRAM-SHA-256", scram.first())).frame();
    let mut client = Five::open(broker.address());
    client.send(&first);
    let last = scram.clone().last(&client.expect_auth(0x18, "SCRAM-SHA-256"));
    client.send(&auth(0x18, &says("SCRAM-SHA-256", &last)));
    assert_eq!(client.connack().code, 0);
    // the same first message gets another challenge, to which the recorded answer does not fit
    let mut replay = Five::open(broker.address());
    replay.send(&first);
    let challenge = replay.expect_auth(0x18, "SCRAM-SHA-256");
    replay.send(&auth(0x18, &says("SCRAM-SHA-256", &last)));
    replay.expect_refused(0x87);
    // nor does it with the nonce that is asked for
    let mut replay = Five::open(broker.address());
    replay.send(&first);
    let nonce = replay.expect_auth(0x18, "SCRAM-SHA-256");
    let nonce = nonce.split(',').next().unwrap();
    let proof = last.rsplit_once(",p=").unwrap().1;
    replay.send(&auth(0x18, &says("SCRAM-SHA-256", format!("c=biws,{nonce},p={proof}"))));
    replay.expect_refused(0x86);
    assert!(!challenge.contains(nonce));
}

#[test]
fn channel_binding_and_authorization_identities_are_refused() {
    let files = files();
    let broker = Broker::new(config(&files));
    let refuses = |first: &str, user: Option<&str>| {
        let mut client = Five::open(broker.address());
        let mut connect = Connect::new("c").with(says("SCRAM-SHA-256", first));
        if let Some(user) = user {
            connect = Connect { flags: 0x82, user: raw::text(user), ..connect };
        }
        client.context = first.into();
        client.send(&connect.frame());
        client.expect_refused(0x87);
    };
    for first in ["p=tls-exporter,,n=bob,r=x", "n,a=eve,n=bob,r=x", "n,,m=x,n=bob,r=x", "garbage", "n,,n=,r=x"] {
        refuses(first, None);
    }
    refuses("n,,n=bob,r=x", Some("eve"));
    // a downgrade: the client supports channel binding, and an attacker removes that from the server's offer
    let mut scram = Scram::new(Hash::Sha256, "bob", &password("bob"));
    let mut client = Five::open(broker.address());
    client.send(&Connect::new("c").with(says("SCRAM-SHA-256", scram.first().replace("n,,", "y,,"))).frame());
    let last = scram.last(&client.expect_auth(0x18, "SCRAM-SHA-256"));
    client.send(&auth(0x18, &says("SCRAM-SHA-256", last)));
    client.expect_refused(0x87);
    // the same name in CONNECT is right
    let connect = Connect { flags: 0x82, user: raw::text("bob"), ..Connect::new("c") };
    let mut scram = Scram::new(Hash::Sha256, "bob", &password("bob"));
    assert_eq!(log_in(&mut tcp(broker.address()), &connect, &mut scram).0, 0);
}

#[test]
fn a_user_with_keys_logs_in_by_its_password_too() {
    let files = files();
    let broker = Broker::new(config(&files));
    broker.connect(&raw::Connect::new("c").user("bob", &password("bob")), 0).disconnect();
    broker.refuses(&raw::Connect::new("c").user("bob", "wrong"), 4);
}

#[test]
fn hashes_of_mosquitto_passwd_serve_scram_if_configured() {
    let files = Files::new();
    files.write("passwords", OF_MOSQUITTO);
    let broker = Broker::new(config(&files));
    refused_method(&broker, "SCRAM-SHA-512");
    let mut config = config(&files);
    config.auth.scram_from_password_file = true;
    let broker = Broker::new(config.clone());
    refused_method(&broker, "SCRAM-SHA-256");
    refused_method(&broker, "SCRAM-SHA-512-PLUS");
    assert_eq!(login(&broker, Hash::Sha512, "eve", "secret"), 0);
    assert_eq!(login(&broker, Hash::Sha512, "eve", "Secret"), 0x86);
    assert_eq!(costs(&broker, Hash::Sha512, "eve").1, 101);
    assert_eq!(costs(&broker, Hash::Sha512, "nobody").1, 101);
}

#[test]
fn half_done_exchanges_are_bounded_in_number_and_time() {
    let files = files();
    let limits = Limits { max_connecting: 3, ..Limits::default() };
    let broker = Broker::new(Config { limits: limits.clone(), ..config(&files) });
    let begin = || {
        let scram = Scram::new(Hash::Sha256, "bob", &password("bob"));
        let mut client = Five::open(broker.address());
        client.send(&Connect::new("c").with(says("SCRAM-SHA-256", scram.first())).frame());
        let challenge = client.expect_auth(0x18, "SCRAM-SHA-256");
        (client, scram, challenge)
    };
    let mut waiting: Vec<_> = (0..3).map(|_| begin()).collect();
    broker.open().expect_closed();
    broker.expect_counts(&[(Count::RefusedConnecting, 1), (Count::Connects, 0)]);
    // one that is let in makes room
    let (mut client, mut scram, challenge) = waiting.pop().unwrap();
    client.send(&auth(0x18, &says("SCRAM-SHA-256", scram.last(&challenge))));
    assert_eq!(client.connack().code, 0);
    waiting.push(begin());
    broker.turn(limits.connect_timeout * 2);
    for (mut late, ..) in waiting {
        late.expect_refused(0x87);
    }
    client.expect_nothing_pending();
    // the same holds for one that is connected
    client.send(&auth(0x19, &says("SCRAM-SHA-256", Scram::new(Hash::Sha256, "bob", "").first())));
    client.expect_auth(0x18, "SCRAM-SHA-256");
    broker.turn(limits.connect_timeout * 2);
    client.expect_disconnect(0x87);
    broker.expect_counts(&[(Count::ConnectTimeouts, 4)]);
}

#[test]
fn guesses_are_delayed_as_those_of_passwords_are() {
    let files = files();
    let mut config = config(&files);
    config.auth.failed_login_delay = Some(std::time::Duration::from_secs(10));
    let broker = Broker::new(config);
    for guess in ["1", "2", "3"] {
        assert_eq!(login(&broker, Hash::Sha256, "bob", guess), 0x86);
    }
    let mut scram = Scram::new(Hash::Sha256, "bob", "4");
    let mut stream = tcp(broker.address());
    stream.write_all(&Connect::new("c").with(says("SCRAM-SHA-256", scram.first())).frame()).unwrap();
    let (_, body) = packet(&mut stream);
    let challenge = Properties::split(&body[1..]).0.string(0x16).unwrap();
    stream.write_all(&auth(0x18, &says("SCRAM-SHA-256", scram.last(&challenge)))).unwrap();
    broker.turn_until(std::time::Duration::from_secs(5), || broker.count(Count::RefusedLogins) == 4);
    assert_eq!(packet(&mut stream), (0x20, vec![0, 0x86, 0]));
    // a correct login is not delayed
    assert_eq!(login(&broker, Hash::Sha512, "bob", &password("bob")), 0);
}

#[test]
fn a_new_password_closes_connections_of_the_old_one() {
    let files = files();
    let mut broker = Broker::new(config(&files));
    let mut stream = tcp(broker.address());
    let mut scram = Scram::new(Hash::Sha256, "bob", &password("bob"));
    assert_eq!(log_in(&mut stream, &Connect::new("c"), &mut scram).0, 0);
    auth::edit(&files.path("passwords"), "bob", PasswordChange::Set(b"other")).unwrap();
    broker.reload(|_| {});
    assert_eq!(packet(&mut stream), (0xE0, vec![0x98, 0]));
    assert_eq!(login(&broker, Hash::Sha256, "bob", "other"), 0x86, "it has no keys now");
}

#[test]
fn passwd_writes_scram_keys_and_warns_of_ambiguous_passwords() {
    let files = Files::new();
    let path = files.path("passwords");
    let passwd = |arguments: &[&str], password: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dunlin"))
            .env_clear()
            .arg("passwd")
            .arg(&path)
            .args(arguments)
            .arg("--batch")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(passwd(&["bob", "--scram"], "pencil").0);
    assert!(passwd(&["eve", "--scram", "--iterations", "5000"], "crayon").0);
    let text = std::fs::read_to_string(&path).unwrap();
    let begins: Vec<_> = text.lines().map(|line| line.rsplitn(6, '$').last().unwrap()).collect();
    assert_eq!(begins, ["bob:$scram$4096", "eve:$scram$5000"]);
    for (arguments, password, said) in [
        (&["bob", "--scram"][..], "p\u{e4}ssword", "the password has more in it than"),
        (&["b\u{f6}b", "--scram"], "password", "the user name has more in it than"),
        (&["bob", "--scram", "--iterations", "4095"], "password", "4095 is not in 4096..=10000000"),
        (&["bob", "--iterations", "5000"], "password", "--scram"),
    ] {
        let (success, error) = passwd(arguments, password);
        assert!(!success && error.contains(said), "{error}");
    }
    let broker = Broker::new(config(&files));
    assert_eq!(login(&broker, Hash::Sha512, "bob", "pencil"), 0);
    assert_eq!(login(&broker, Hash::Sha256, "eve", "crayon"), 0);
    assert_eq!(costs(&broker, Hash::Sha256, "eve").1, 5000);
}
