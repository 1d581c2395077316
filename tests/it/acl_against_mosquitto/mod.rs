//! The rights that an ACL file and a password file give, case by case, in Debian's mosquitto and in dunlin: both must
//! do what the table says. Without mosquitto only dunlin is tested; `DUNLIN_NEEDS_MOSQUITTO=1`, which `.ci/run` sets,
//! makes that a failure.

mod odd_lines;
mod table;

use std::{fs, net::SocketAddr, path::Path, process::Command};

use dunlin::{Config, config::AuthConfig};
use tempfile::TempDir;

use crate::support::{
    Broker, config,
    mosquitto::{self, Mosquitto},
    raw::{self, Client, Connect, Message, connack, subscribe},
};

use odd_lines::{Odd, Outcome};
use table::{ACLS, Case, Kind, WATCHER};

#[test]
fn both_allow_the_same() {
    let mut wrong = Vec::new();
    let mut asked = 0;
    for (acl, cases) in ACLS {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("acl");
        fs::write(&file, format!("{acl}\n{WATCHER}")).unwrap();
        let brokers = Both::start(&dir, &format!("allow_anonymous true\nacl_file {}\n", file.display()), |config| {
            config.allow_anonymous = Some(true);
            config.auth.acl_file = Some(file.clone());
        });
        for case in *cases {
            for (name, address) in brokers.addresses() {
                let got = ask(address, case);
                if got != case.expected {
                    wrong.push(format!("{name}: {case:?} is {got} by\n{acl}"));
                }
            }
            asked += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(asked >= 60, "{asked} cases");
}

#[test]
fn dunlin_and_mosquitto_accept_the_same_logins() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passwords");
    let users =
        [("alice", "secret", "sha512-pbkdf2"), ("bob", "pässword: $7$", "sha512"), ("eve smith", "x", "sha512")];
    match Command::new("mosquitto_passwd").arg("--help").output() {
        Ok(_) => {
            fs::write(&file, "").unwrap();
            for (user, password, hash) in users {
                let run = Command::new("mosquitto_passwd")
                    .args(["-H", hash, "-b"])
                    .arg(&file)
                    .args([user, password])
                    .status();
                assert!(run.expect("mosquitto_passwd runs").success());
            }
        }
        // the part that was written
        Err(_) => fs::write(&file, include_str!("../../data/passwords")).unwrap(),
    }
    for anonymous in [true, false] {
        let text = format!("allow_anonymous {anonymous}\npassword_file {}\n", file.display());
        let brokers = Both::start(&dir, &text, |config| {
            config.allow_anonymous = Some(anonymous);
            config.auth =
                AuthConfig { password_file: Some(file.clone()), failed_login_delay: None, ..config.auth.clone() };
        });
        let anybody = Connect::new("c");
        // each with an identifier of its own: the connection of another user may not have ended yet
        let with = |user: &str, password| Connect::new(&format!("of {user}")).user(user, password);
        for (connect, allowed) in [
            (anybody, anonymous),
            (with("alice", "secret"), true),
            (with("alice", "Secret"), false),
            (with("alice", ""), false),
            (with("alice", "pässword: $7$"), false),
            (with("bob", "pässword: $7$"), true),
            (with("bob", "secret"), false),
            (with("eve smith", "x"), true),
            (with("eve", "x"), false),
            // an empty user name is none
            (with("", "x"), anonymous),
            (with("nobody", "secret"), false),
        ] {
            for (name, address) in brokers.addresses() {
                let mut client = Client::open(address);
                client.send(&connect.frame());
                let answer = client.expect_any().bytes();
                assert_eq!(answer[3] == 0, allowed, "{name} answers {answer:?} to {:?}", connect.frame());
            }
        }
    }
}

/// What mosquitto makes of a line that is odd is what dunlin makes of it, or dunlin does not start and names the line.
#[test]
fn odd_lines_of_a_password_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passwords");
    let let_in = |address, odd: &Odd| {
        let mut client = Client::open(address);
        client.send(&Connect::new("c").user(odd.user, odd.password).frame());
        if client.expect_any().bytes()[3] == 0 { Outcome::LetIn } else { Outcome::Refused }
    };
    for odd in odd_lines::ODD {
        fs::write(&file, odd_lines::filled(odd.file)).unwrap();
        let auth = AuthConfig { password_file: Some(file.clone()), ..AuthConfig::default() };
        let ours = Config { auth, ..config() };
        let got = match dunlin::server::check_files(&ours) {
            Ok(_) => let_in(Broker::new(ours).address(), odd),
            Err(error) => {
                assert!(error.to_string().starts_with(&format!("{}:", file.display())), "{error}");
                Outcome::Error
            }
        };
        assert_eq!(got, odd.dunlin, "dunlin, {:?} for {:?}", odd.file, odd.user);
        let text = format!("allow_anonymous false\npassword_file {}\n", file.display());
        if let Some(mosquitto) = Mosquitto::start(dir.path(), &text) {
            assert_eq!(let_in(mosquitto.address, odd), odd.mosquitto, "mosquitto, {:?} for {:?}", odd.file, odd.user);
        }
    }
}

/// The example files that Debian's package brings, as they are.
#[test]
fn dunlin_and_mosquitto_read_mosquitto_s_examples() {
    let [acl, passwords] = ["/etc/mosquitto/aclfile.example", "/etc/mosquitto/pwfile.example"].map(Path::new);
    if !acl.exists() || !passwords.exists() {
        assert!(!mosquitto::is_needed(), "the package brings {} and {}", acl.display(), passwords.display());
        return println!("NOT COMPARED: mosquitto's example files are not installed");
    }
    let dir = tempfile::tempdir().unwrap();
    let text = format!("allow_anonymous true\nacl_file {}\npassword_file {}\n", acl.display(), passwords.display());
    let brokers = Both::start(&dir, &text, |config| {
        config.allow_anonymous = Some(true);
        config.auth.acl_file = Some(acl.into());
        config.auth.password_file = Some(passwords.into());
    });
    for (_, address) in brokers.addresses() {
        let mut wrong = Client::open(address);
        wrong.send(&Connect::new("wrong").user("roger", "Password").frame());
        assert_ne!(wrong.expect_any().bytes()[3], 0);
        let mut roger = accepted(address, &Connect::new("r").user("roger", "password"));
        accepted(address, &Connect::new("s").user("sub_client", "password"));
        let mut nameless = accepted(address, &Connect::new("n"));
        roger.subscribe(&[("foo/#", 0)]);
        for (client, allowed) in [(&mut nameless, false), (&mut roger, true)] {
            client.send(&Message::new("foo/bar", "x").qos(1).id(1).frame());
            client.send(&Message::new("foo/other", "x").qos(1).id(2).frame());
            let mut frames = vec![client.expect_any(), client.expect_any()];
            if allowed {
                frames.push(client.expect_any());
            }
            let received: Vec<_> = frames.iter().filter_map(|frame| frame.message()).map(|m| m.topic).collect();
            let expected: &[&str] = if allowed { &["foo/bar"] } else { &[] };
            assert_eq!(received, expected);
            client.expect_nothing_pending();
        }
    }
}

#[test]
fn both_refuse_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let acl = dir.path().join("acl");
    for (text, good) in [
        ("topic read a\n", true),
        ("#\n", true),
        ("  topic read a\n\n   \n", true),
        ("topic read a\r\nuser x\r\n", true),
        ("topic read\n", true),
        ("topic read\ta\n", true),
        ("pattern read a\n", true),
        ("user a:b\ntopic a", true),
        ("  # comment\n", false),
        ("topic\tread a\n", false),
        ("topic foo bar\n", false),
        ("topic subscribe a\n", false),
        ("topic read a # b\n", false),
        ("topic read a#\n", false),
        ("topic a/#/b\n", false),
        ("topic a+\n", false),
        ("pattern read %u#\n", false),
        ("Topic a\n", false),
        ("user\n", false),
        ("topic\n", false),
    ] {
        fs::write(&acl, text).unwrap();
        let ours = Config { auth: AuthConfig { acl_file: Some(acl.clone()), ..AuthConfig::default() }, ..config() };
        assert_eq!(dunlin::server::check_files(&ours).is_ok(), good, "dunlin, {text:?}");
        if let Some(starts) =
            Mosquitto::starts(dir.path(), &format!("allow_anonymous true\nacl_file {}\n", acl.display()))
        {
            assert_eq!(starts, good, "mosquitto, {text:?}");
        }
    }
}

/// The two brokers, or dunlin alone.
struct Both {
    dunlin: Broker,
    mosquitto: Option<Mosquitto>,
}

impl Both {
    fn start(dir: &TempDir, text: &str, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        change(&mut config);
        Self { dunlin: Broker::new(config), mosquitto: Mosquitto::start(dir.path(), text) }
    }

    fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> + use<> {
        let mosquitto = self.mosquitto.as_ref().map(|mosquitto| ("mosquitto", mosquitto.address));
        [("dunlin", self.dunlin.address())].into_iter().chain(mosquitto)
    }
}

/// Is it allowed there?
fn ask(address: SocketAddr, case: &Case) -> bool {
    let connect = match case.user {
        Some(user) => Connect::new(case.client).user(user, "any"),
        None => Connect::new(case.client),
    };
    let mut watcher = accepted(address, &Connect::new("watcher").user("watcher", "any"));
    let message = Message::new(case.topic, "x");
    match case.kind {
        Kind::Publish(qos) => {
            watcher.subscribe(&[(case.filter, 0)]);
            // acknowledged whether or not it is allowed
            accepted(address, &connect).publish(message.qos(qos));
            has_message(&mut watcher)
        }
        Kind::Will => {
            watcher.subscribe(&[(case.filter, 0)]);
            let _dying = accepted(address, &connect.clone().will(&message));
            // the client that takes the session over is accepted after the Will is published
            accepted(address, &connect);
            has_message(&mut watcher)
        }
        Kind::Receive => {
            let mut client = accepted(address, &connect);
            client.send(&subscribe(1, &[(case.filter, 0)]));
            assert_eq!(client.expect_any().bytes(), [0x90, 3, 0, 1, 0], "both grant every subscription");
            watcher.publish(message.qos(1));
            has_message(&mut client)
        }
        Kind::Retained => {
            watcher.publish(message.clone().qos(1).retain());
            let mut client = accepted(address, &connect);
            client.send(&subscribe(1, &[(case.filter, 0)]));
            // they may come behind the answer to a ping that was sent with the SUBSCRIBE, not behind that to a later
            // one
            let got = has_message(&mut client) | has_message(&mut client);
            watcher.publish(Message::new(case.topic, "").qos(1).retain());
            got
        }
        Kind::Queued => {
            let persistent = connect.persistent();
            let mut client = accepted(address, &persistent);
            client.subscribe(&[(case.filter, 1)]);
            client.disconnect();
            watcher.publish(message.qos(1));
            let mut client = Client::open(address);
            client.send(&persistent.frame());
            assert_eq!(client.expect_any().bytes(), connack(1, 0));
            let got = has_message(&mut client);
            drop(client);
            // the session goes, for the next case
            accepted(address, &Connect::new(case.client).user("watcher", "any"));
            got
        }
    }
}

fn accepted(address: SocketAddr, connect: &Connect) -> Client {
    Client::accepted(address, connect, 0)
}

/// Does a PUBLISH precede the answer to a ping?
fn has_message(client: &mut Client) -> bool {
    client.send(raw::PINGREQ);
    let mut got = false;
    loop {
        let frame = client.expect_any();
        got |= frame.message().is_some();
        if frame.bytes() == raw::PINGRESP {
            return got;
        }
    }
}
