//! Common forms of configurations: Debian's mosquitto and dunlin get the same file, and must behave alike. Without
//! mosquitto, only dunlin is tested, and nothing is compared.

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Instant,
};

use serde_json::json;

use crate::support::{
    GUARD,
    mosquitto::Mosquitto,
    raw::{Client, Connect, Message, PINGREQ, PINGRESP, puback, subscribe},
    secure::Certs,
};

/// Configurations, each behind a line `== name`. `P0`, `P1` are free ports, `DIR` is a directory with certificates, a
/// password file and ACL files.
const CONFIGURATIONS: &str = include_str!("configurations.txt");

/// Answers that differ on purpose: configuration, question, dunlin's answer, mosquitto's. Each is in
/// `docs/from-mosquitto.md`.
const ON_PURPOSE: &[[&str; 4]] = &[
    // 2.0.12 and later answer as dunlin does
    ["no line end at the end of the file", "with a long keep alive", "refused", "let in"],
];

const ACL: &str = "topic read public/#\nuser alice\ntopic readwrite home/#\ntopic deny home/secret\n\
                   pattern readwrite own/%u/#\npattern read by/%c\n";

/// Debian's, where it is installed.
pub(super) const PLUGIN: &str = "/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so";

/// Dynamic security as mosquitto 2.0 writes it, with the passwords of a password file.
fn dynsec(passwords: &str) -> String {
    let client = |line: &str| {
        let (name, hash) = line.split_once(":$7$").unwrap();
        let [iterations, salt, hash] = hash.split('$').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let roles = json!([{"rolename": name}, {"rolename": "all", "priority": -2}]);
        let iterations: u32 = iterations.parse().unwrap();
        json!({"username": name, "password": hash, "salt": salt, "iterations": iterations, "roles": roles})
    };
    let acl = |kind: &str, topic: &str, allow: bool, priority: i32| json!({"acltype": kind, "topic": topic, "allow": allow, "priority": priority});
    let roles = json!([
        {"rolename": "alice", "acls": [
            acl("publishClientSend", "home/#", true, 0),
            acl("publishClientSend", "home/secret", false, 5),
            acl("publishClientReceive", "home/zero", false, 0),
        ]},
        {"rolename": "bob", "acls": []},
        {"rolename": "all", "acls": [
            acl("subscribePattern", "home/#", true, 0),
            acl("subscribeLiteral", "#", false, 0),
        ]},
        {"rolename": "guests", "acls": [
            acl("publishClientSend", "public/#", true, 0),
            acl("subscribePattern", "#", true, 0),
        ]},
    ]);
    json!({
        "defaultACLAccess": {
            "publishClientSend": false, "publishClientReceive": true, "subscribe": false, "unsubscribe": true
        },
        "clients": passwords.lines().map(client).collect::<Vec<_>>(),
        "groups": [{"groupname": "g", "roles": [{"rolename": "guests"}], "clients": []}],
        "anonymousGroup": "g",
        "roles": roles,
    })
    .to_string()
}

pub(super) struct Dunlin(pub Child);

impl Drop for Dunlin {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn both_answer_alike_with_the_same_file() {
    let certs = Certs::new();
    fs::write(certs.path("passwords"), include_str!("../../data/passwords_of_alice_and_bob")).unwrap();
    fs::write(certs.path("acl"), ACL).unwrap();
    fs::write(certs.path("dynsec.json"), dynsec(&fs::read_to_string(certs.path("passwords")).unwrap())).unwrap();
    fs::create_dir(certs.path("conf.d")).unwrap();
    fs::write(certs.path("conf.d/b.conf"), "allow_anonymous true\r\n# a comment\r\nmax_keepalive 3000\r\n").unwrap();
    fs::write(certs.path("conf.d/A.conf"), "allow_anonymous false\nmax_keepalive 2000\n").unwrap();
    let (mut asked, mut wrong) = (0, Vec::new());
    for configuration in CONFIGURATIONS.split("== ").skip(1) {
        let (name, conf) = configuration.split_once('\n').unwrap();
        // each has a directory of its own for its data
        let data = tempfile::tempdir().unwrap();
        let ports = [free(), free()];
        let conf = conf.replace("P0", &ports[0].port().to_string()).replace("P1", &ports[1].port().to_string());
        let conf = conf
            .replace("PLUGIN", PLUGIN)
            .replace("DATA", data.path().to_str().unwrap())
            .replace("DIR", certs.dir().to_str().unwrap());
        // invalid lines of hand-written files
        let conf = match name {
            "with Windows line ends" => conf.replace('\n', "\r\n"),
            "no line end at the end of the file" => conf.trim_end().to_owned(),
            _ => conf,
        };
        let file = data.path().join("mosquitto.conf");
        fs::write(&file, format!("user root\n{conf}")).unwrap();
        // on another machine it may be elsewhere, and dunlin needs none
        let has_plugin = !conf.contains(PLUGIN) || Path::new(PLUGIN).exists();
        let of_mosquitto = has_plugin.then(|| Mosquitto::with_file(&file, ports[0])).flatten().map(|mut mosquitto| {
            wait_for(ports[0], || mosquitto.has_ended(), name);
            answers(ports[0])
        });
        let mut dunlin = start(&file);
        wait_for(ports[0], || dunlin.0.try_wait().unwrap().is_some(), name);
        let ours = answers(ports[0]);
        let mount_point = conf.lines().find_map(|line| line.strip_prefix("mount_point "));
        for (ours, theirs) in ours.iter().zip(of_mosquitto.iter().flatten()) {
            asked += 1;
            // 2.0.12 and later take the prefix away again
            let theirs = &mount_point.map_or(theirs.clone(), |mp| theirs.replace(&format!(" of {mp}"), " of "));
            let on_purpose = ON_PURPOSE.iter().any(|&[configuration, question, of_dunlin, of_mosquitto]| {
                configuration == name
                    && *ours == format!("{question}: {of_dunlin}")
                    && *theirs == format!("{question}: {of_mosquitto}")
            });
            if ours != theirs && !on_purpose {
                wrong.push(format!("{name}: dunlin: {ours}; mosquitto: {theirs}"));
            }
        }
        assert!(ours.len() >= 20, "{} questions", ours.len());
    }
    let many = CONFIGURATIONS.matches("== ").count();
    assert!(wrong.is_empty(), "{} of {asked} answers differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(many >= 30, "{many} configurations");
}

/// A port that no test is given which lets the system pick one: it has to stay free until a broker takes it.
pub(super) fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // another run of the tests begins elsewhere
    let first = 20_000 + u16::try_from(std::process::id() % 100).unwrap() * 100;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}

pub(super) fn start(file: &Path) -> Dunlin {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    let log = fs::File::create(file.with_file_name("said")).unwrap();
    Dunlin(command.env_clear().arg("-c").arg(file).stdout(Stdio::null()).stderr(log).spawn().expect("dunlin runs"))
}

/// Waits until it accepts; its log may be empty.
pub(super) fn wait_for(address: SocketAddr, mut has_ended: impl FnMut() -> bool, name: &str) {
    let begin = Instant::now();
    while TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
        assert!(!has_ended() && begin.elapsed() < GUARD, "{name}: it does not start");
        std::thread::yield_now();
    }
}

/// The answers of a broker, each with its question.
fn answers(address: SocketAddr) -> Vec<String> {
    let new = |id: &str| Connect::new(id).keep_alive(60);
    let alice = |id: &str| new(id).user("alice", "secret");
    let mut answers = Vec::new();
    let mut tell = |question: &str, answer: String| answers.push(format!("{question}: {answer}"));
    // logins
    tell("without a name", let_in(address, &new("c1")));
    tell("alice", let_in(address, &alice("c2")));
    tell("alice with a wrong password", let_in(address, &new("c3").user("alice", "Secret")));
    tell("bob", let_in(address, &new("c4").user("bob", "battery-staple")));
    tell("a name that there is not", let_in(address, &new("c5").user("nobody", "secret")));
    tell("with MQTT 3.1", let_in(address, &alice("c6").protocol("MQIsdp", 3)));
    tell("with an empty identifier", let_in(address, &alice("")));
    tell("with an empty identifier and a session", let_in(address, &alice("").persistent()));
    tell("with a long keep alive", let_in(address, &alice("c7").keep_alive(2500)));
    tell("with another prefix", let_in(address, &alice("x-1")));
    // rights
    for (who, connect) in [("anonymous", new("c8")), ("alice", alice("c9"))] {
        for topic in ["home/lamp", "home/secret", "own/alice/x", "public/x"] {
            tell(&format!("{who} to {topic}"), round_trip(address, &connect, topic, 1));
        }
    }
    tell("alice with QoS 2", round_trip(address, &alice("c10"), "home/two", 2));
    tell("alice with QoS 0", round_trip(address, &alice("c11"), "home/zero", 0));
    tell("a retained message", retained(address, &alice("c12")));
    tell("a long message", round_trip_of(address, &alice("c13"), "home/long", 1, &"x".repeat(3000)));
    tell("what waits for a session", waits(address, &alice("c14").persistent()));
    tell("a subscription", granted(address, &alice("c15")));
    answers
}

pub(super) fn connected(address: SocketAddr, connect: &Connect) -> Option<Client> {
    let mut client = Client::open(address);
    client.send(&connect.frame());
    client.read().filter(|frame| frame.first == 0x20 && frame.body[1] == 0).map(|_| client)
}

pub(super) fn let_in(address: SocketAddr, connect: &Connect) -> String {
    if connected(address, connect).is_some() { "let in" } else { "refused" }.into()
}

pub(super) fn round_trip(address: SocketAddr, connect: &Connect, topic: &str, qos: u8) -> String {
    round_trip_of(address, connect, topic, qos, "x")
}

/// Does the client get its own message?
fn round_trip_of(address: SocketAddr, connect: &Connect, topic: &str, qos: u8, payload: &str) -> String {
    let Some(mut client) = connected(address, connect) else { return "refused".into() };
    client.send(&subscribe(1, &[(topic, qos)]));
    let mut told = Vec::new();
    let message = Message::new(topic, payload).qos(qos).id(7);
    client.send(&message.frame());
    if qos == 2 {
        client.send(&[0x62, 2, 0, 7]);
    }
    client.send(PINGREQ);
    loop {
        match client.read() {
            None => {
                told.push("closed".to_owned());
                break;
            }
            Some(frame) if frame.bytes() == PINGRESP => break,
            Some(frame) => {
                told.extend(frame.message().map(|message| format!("got QoS {} of {}", message.qos, message.topic)));
                told.extend((frame.first == 0x90).then(|| format!("granted {}", frame.body[2])));
            }
        }
    }
    told.sort();
    told.join(", ")
}

fn retained(address: SocketAddr, connect: &Connect) -> String {
    let Some(mut client) = connected(address, connect) else { return "refused".into() };
    client.send(&Message::new("home/kept", "k").qos(1).id(3).retain().frame());
    if client.read().is_none_or(|frame| frame.bytes() != puback(3)) {
        return "closed".into();
    }
    round_trip(address, connect, "home/kept", 0)
}

/// A message that comes while the client is away.
fn waits(address: SocketAddr, connect: &Connect) -> String {
    let Some(mut client) = connected(address, connect) else { return "refused".into() };
    client.subscribe(&[("home/wait", 1)]);
    client.disconnect();
    let Some(mut publisher) = connected(address, &Connect::new("c16").keep_alive(60).user("alice", "secret")) else {
        return "refused".into();
    };
    publisher.send(&Message::new("home/wait", "w").qos(1).id(3).frame());
    publisher.send(PINGREQ);
    while publisher.read().is_some_and(|frame| frame.bytes() != PINGRESP) {}
    let Some(mut client) = connected(address, connect) else { return "refused".into() };
    client.send(PINGREQ);
    let mut told = Vec::new();
    while let Some(frame) = client.read().filter(|frame| frame.bytes() != PINGRESP) {
        told.extend(frame.message().map(|message| message.text().to_owned()));
    }
    told.join(", ")
}

/// The codes of a SUBACK.
fn granted(address: SocketAddr, connect: &Connect) -> String {
    let Some(mut client) = connected(address, connect) else { return "refused".into() };
    client.send(&subscribe(5, &[("#", 2), ("a/+", 1), ("home/#", 0)]));
    client.read().map_or("closed".into(), |frame| format!("{:?}", frame.body))
}
