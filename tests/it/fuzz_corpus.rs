//! The fuzz targets over their seed corpus and a few thousand mutated inputs, with the stable toolchain; longer with
//! `DUNLIN_FUZZ_SECONDS`. `DUNLIN_BLESS=1` writes the seeds; inputs that a fuzzer found and that were added to the
//! corpus run too.

// cargo-fuzz wants a crate of its own, which builds with a nightly toolchain only
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

use dunlin::{
    codec::{self, Connack, Connect, Packet, Publish, ReasonCode, Suback, SubackCode, Subscribe},
    codec::{Disconnect, Unsuback, Unsubscribe, Will},
    config,
    topic::{TopicFilter, TopicName},
    types::{PacketId, ProtocolVersion, QoS, SubscriptionOptions},
};

use crate::support::malformed::{MALFORMED, MALFORMED_5};

type Seeds = BTreeMap<String, Vec<u8>>;

const MUTATIONS: usize = 3_000;
const LONGEST: usize = 6_000;

#[test]
fn decode() {
    drive("decode", targets::decode, &decode_seeds());
}

#[test]
fn topic_matching() {
    drive("topic_matching", targets::topic_matching, &topic_seeds());
}

#[test]
fn session() {
    drive("session", targets::session, &session_seeds());
}

#[test]
fn config() {
    drive("config", targets::config, &config_seeds());
}

#[test]
fn passwords() {
    drive("passwords", targets::passwords, &password_seeds());
}

#[test]
fn acl() {
    drive("acl", targets::acl, &acl_seeds());
}

#[test]
fn proxy_header() {
    drive("proxy_header", targets::proxy_header, &proxy_seeds());
}

/// The corpus exists and is current; none of its inputs and of the mutated ones makes the target panic.
fn drive(target: &str, run: fn(&[u8]), seeds: &Seeds) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    if std::env::var_os("DUNLIN_BLESS").is_some_and(|bless| bless == "1") {
        fs::create_dir_all(&folder).unwrap();
        seeds.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    }
    for (name, bytes) in seeds {
        let there = fs::read(folder.join(name)).ok();
        assert!(
            there.as_ref() == Some(bytes),
            "fuzz/corpus/{target}/{name} is missing or old: run DUNLIN_BLESS=1 cargo test --test it fuzz_corpus"
        );
    }
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    for (file, bytes) in files.iter().zip(&corpus) {
        check(run, bytes, &file.display().to_string());
    }
    let mut mutator = Mutator(0x9E37_79B9_7F4A_7C15);
    let started = Instant::now();
    for n in 0.. {
        // the clock decides the number of inputs, but not their content
        if n >= MUTATIONS && started.elapsed() >= budget() {
            break;
        }
        check(run, &mutator.mutate(&corpus), &format!("mutation {n} of {target}"));
    }
}

/// How long one target is driven at least: its share of `DUNLIN_FUZZ_SECONDS`, which CI sets where no fuzzer runs.
fn budget() -> Duration {
    const TARGETS: u32 = 7;
    let seconds = std::env::var("DUNLIN_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    Duration::from_secs(seconds) / TARGETS
}

fn check(run: fn(&[u8]), bytes: &[u8], what: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(bytes))) {
        eprintln!("{what} fails with {:?}", String::from_utf8_lossy(bytes));
        eprintln!("as bytes: {bytes:02x?}");
        std::panic::resume_unwind(panic);
    }
}

/// xorshift64*: the same inputs in each run.
struct Mutator(u64);

impl Mutator {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit.max(1)
    }

    fn mutate(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = corpus[self.below(corpus.len())].clone();
        for _ in 0..1 + self.below(6) {
            let at = self.below(bytes.len() + 1);
            let to = at + self.below((bytes.len() - at).min(40) + 1);
            match self.below(8) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => {
                    bytes[at] = [0, 1, 2, 0x7F, 0x80, 0xFF, b'/', b'#', b'+', b'\n'][self.below(10)]
                }
                2 if at < bytes.len() => bytes[at] = self.below(256) as u8,
                3 => _ = bytes.drain(at..to),
                4 => bytes.truncate(at),
                5 => {
                    let part = bytes[at..to].to_vec();
                    let into = self.below(bytes.len() + 1);
                    bytes.splice(into..into, part);
                }
                6 => {
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.below(other.len() + 1);
                    let until = from + self.below(other.len() - from + 1);
                    bytes.splice(at..at, other[from..until].iter().copied());
                }
                _ => {
                    let new: Vec<u8> = (0..1 + self.below(4)).map(|_| self.below(256) as u8).collect();
                    bytes.splice(at..at, new);
                }
            }
        }
        bytes.truncate(LONGEST);
        bytes
    }
}

#[test]
fn the_mutator_generates_many_inputs_deterministically() {
    let corpus = [b"first seed".to_vec(), vec![], vec![7; 9_000]];
    let made = || {
        let mut mutator = Mutator(1);
        (0..1_000).map(|_| mutator.mutate(&corpus)).collect::<Vec<_>>()
    };
    assert_eq!(made(), made());
    let distinct: std::collections::BTreeSet<_> = made().into_iter().collect();
    assert!(distinct.len() > 800 && distinct.iter().all(|bytes| bytes.len() <= LONGEST), "{}", distinct.len());
}

#[test]
fn an_input_that_panics_is_not_passed_over() {
    let refuses = |bytes: &[u8]| assert!(bytes != b"bad");
    check(refuses, b"good", "a good input");
    assert!(catch_unwind(|| check(refuses, b"bad", "an input that is to fail")).is_err());
}

// ---- the seeds ----

fn decode_seeds() -> Seeds {
    let mut seeds = Seeds::new();
    let mut all = Vec::new();
    for (name, packet) in packets() {
        let mut bytes = Vec::new();
        codec::encode(ProtocolVersion::V311, &packet, &mut bytes).unwrap();
        all.extend_from_slice(&bytes);
        seeds.insert(name.to_owned(), bytes);
    }
    seeds.insert("all".to_owned(), all);
    for (n, row) in MALFORMED.iter().enumerate().step_by(4) {
        seeds.insert(format!("malformed-{n:03}"), row.bytes.to_vec());
    }
    for (n, row) in MALFORMED_5.iter().enumerate().step_by(4) {
        seeds.insert(format!("malformed-5-{n:03}"), row.bytes.to_vec());
    }
    seeds
}

fn packets() -> Vec<(&'static str, Packet<'static>)> {
    let id = PacketId::new(258).unwrap();
    let topic = TopicName::new("a/b").unwrap();
    let filters = ["a/+/c", "#", "plain"].map(|filter| TopicFilter::new(filter).unwrap());
    let properties = codec::Properties::default();
    let connect = Connect {
        version: ProtocolVersion::V311,
        bridge: false,
        clean_session: true,
        keep_alive: 60,
        client_id: "client",
        will: None,
        username: None,
        password: None,
        properties,
    };
    let will = Will { topic, payload: b"gone", qos: QoS::AtLeastOnce, retain: true, properties };
    let full = Connect {
        bridge: false,
        clean_session: false,
        will: Some(will),
        username: Some("user"),
        password: Some(b"password"),
        ..connect.clone()
    };
    let v31 = Connect { version: ProtocolVersion::V31, ..full.clone() };
    let publish = |qos, payload| {
        let packet_id = (qos != QoS::AtMostOnce).then_some(id);
        Packet::Publish(Publish { dup: false, qos, retain: false, topic, packet_id, payload, properties })
    };
    let options = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce].map(SubscriptionOptions::from);
    let codes = vec![SubackCode::Granted(QoS::ExactlyOnce), SubackCode::Failure(ReasonCode::UnspecifiedError)];
    vec![
        ("connect", Packet::Connect(Box::new(connect))),
        ("connect-full", Packet::Connect(Box::new(full))),
        ("connect-v31", Packet::Connect(Box::new(v31))),
        ("connack", Packet::Connack(Connack::accepted(true))),
        ("publish-qos0", publish(QoS::AtMostOnce, b"payload")),
        ("publish-qos1", publish(QoS::AtLeastOnce, b"")),
        ("publish-qos2", publish(QoS::ExactlyOnce, &[0; 200])),
        ("puback", Packet::Puback(id.into())),
        ("pubrec", Packet::Pubrec(id.into())),
        ("pubrel", Packet::Pubrel(id.into())),
        ("pubcomp", Packet::Pubcomp(id.into())),
        ("subscribe", {
            let filters = filters.into_iter().zip(options).collect();
            Packet::Subscribe(Subscribe { packet_id: id, filters, properties })
        }),
        ("suback", Packet::Suback(Suback { packet_id: id, codes, properties })),
        ("unsubscribe", Packet::Unsubscribe(Unsubscribe { packet_id: id, filters: filters.to_vec(), properties })),
        ("unsuback", Packet::Unsuback(Unsuback { packet_id: id, codes: Vec::new(), properties })),
        ("pingreq", Packet::Pingreq),
        ("pingresp", Packet::Pingresp),
        ("disconnect", Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties })),
    ]
}

fn topic_seeds() -> Seeds {
    let seeds = [
        ("wildcards", "a/b\na/+\na/#\n+/b\n#\n+\na\n/\n//\n/a\n+/+\n/+\na/b/c\na/+/c\na/#\n"),
        ("dollar", "$SYS/a\n$SYS\n$SYS/#\n+/a\n#\n$SYS/+\n$\n+\n$/\n"),
        ("removed", "a/+/c\na/b/c\n-a/+/c\na/+/c\na/b\n-a/b\n-nothing\n-#\na/b/c\n"),
        ("invalid", "a#\n#/a\na+\n+a\n\n\u{0}\n\u{FEFF}\nä/ö\n"),
        ("deep", "a/a/a/a/a/a/a/a\na/+/a/+/a/+/a/+\na/a/a/#\n+/+/+/+/+/+/+/+\na/a/a/a/a/a/a/b\n"),
    ];
    seeds.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect()
}

fn session_seeds() -> Seeds {
    // the operations of `targets::session`
    let [deliver, retained, puback, pubrec, pubcomp, pubrel, publish, detach, attach, writing, packet] =
        [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11_u8];
    // window and window in, messages and bytes of the queue, flags and bytes to the socket
    let [narrow, wide] = [[1, 2, 40, 1], [15, 7, 255, 255]];
    type Script<'a> = (&'a str, [u8; 4], &'a [[u8; 2]]);
    let seeds: [Script<'_>; 5] = [
        (
            "qos1",
            narrow,
            &[[attach, 0], [deliver, 4], [deliver, 7], [deliver, 1], [puback, 0], [puback, 1], [puback, 2]],
        ),
        (
            "qos2-reconnects",
            wide,
            &[
                [attach, 0],
                [deliver, 2],
                [deliver, 5],
                [pubrec, 0],
                [detach, 0],
                [deliver, 8],
                [deliver, 3],
                [attach, 0],
                [pubcomp, 0],
                [pubrec, 1],
                [pubcomp, 1],
                [detach, 0],
                [attach, 0],
                [deliver, 255],
            ],
        ),
        (
            "from-the-client",
            narrow,
            &[
                [attach, 0],
                [publish, 0],
                [publish, 1],
                [publish, 2],
                [publish, 0],
                [pubrel, 0],
                [pubrel, 1],
                [detach, 0],
                [attach, 0],
                [publish, 2],
                [pubrel, 2],
            ],
        ),
        (
            "retained-and-slow",
            wide,
            &[
                [attach, 0],
                [writing, 255],
                [retained, 90],
                [retained, 91],
                [deliver, 90],
                [deliver, 92],
                [writing, 0],
                [deliver, 1],
                [deliver, 0],
                [detach, 0],
                [attach, 0],
            ],
        ),
        (
            "packets",
            wide,
            &[[attach, 0], [packet, 4], [0x40, 2], [0, 1], [packet, 2], [0xC0, 0], [packet, 2], [0xE0, 0]],
        ),
    ];
    seeds
        .into_iter()
        .map(|(name, limits, steps)| (name.to_owned(), [&limits[..], steps.as_flattened()].concat()))
        .collect()
}

fn proxy_seeds() -> Seeds {
    let v2 = |command: u8, family: u8, rest: &[u8]| {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, rest].concat()
    };
    let v4 = [10, 0, 0, 7, 10, 0, 0, 1, 0x30, 0x39, 0x07, 0x5b];
    let v6 = [&[0x20, 1, 0xd, 0xb8], &[0; 11][..], &[7], &[0; 16], &[0x30, 0x39, 0x07, 0x5b]].concat();
    let with_more = [&v4[..], &[4, 0, 2, 0, 0, 0x20, 0, 5, 1, 0, 0, 0, 0]].concat();
    let seeds = [
        ("v1-tcp4", b"PROXY TCP4 10.0.0.7 10.0.0.1 12345 1883\r\n".to_vec()),
        ("v1-tcp6", b"PROXY TCP6 2001:db8::7 ::1 12345 1883\r\n\x10\x0c".to_vec()),
        ("v1-unknown", b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec()),
        ("v1-lies", b"PROXY TCP4 10.0.0.256 10.0.0.1 70000 1883\r\n".to_vec()),
        ("v2-tcp4", v2(0x21, 0x11, &v4)),
        ("v2-tcp6", v2(0x21, 0x21, &v6)),
        ("v2-more", v2(0x21, 0x11, &with_more)),
        ("v2-certificate", v2(0x21, 0x11, &[&v4[..], &[0x20, 0, 12, 7, 0, 0, 0, 0, 0x22, 0, 4], b"lamp"].concat())),
        ("v2-field-lies", v2(0x21, 0x11, &[&v4[..], &[4, 0, 3, 0, 0]].concat())),
        ("v2-local", v2(0x20, 0x00, &[])),
        ("v2-unix", v2(0x21, 0x31, &[b'/'; 216])),
        ("v2-short", v2(0x21, 0x11, &v4[..4])),
    ];
    seeds.map(|(name, bytes)| (name.to_owned(), bytes)).into()
}

fn config_seeds() -> Seeds {
    let mut seeds = Seeds::new();
    let reference = config::reference::toml();
    // every key with its default, in force and not
    let keys = reference
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| line.contains(" = ") || line.starts_with('['));
    seeds.insert("keys".to_owned(), keys.collect::<Vec<_>>().join("\n").into());
    seeds.insert("reference".to_owned(), reference.into());
    seeds
}

fn password_seeds() -> Seeds {
    let argon2id =
        "eve:$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";
    let seeds = [
        ("mosquitto", include_str!("../data/passwords").to_owned()),
        ("argon2id", format!("# comment\n\n{argon2id}")),
        ("bad", "bob:clear\neve\n:\n$6$a$b\na:$7$101$AAAA$AAAA\n".to_owned()),
    ];
    seeds.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect()
}

fn acl_seeds() -> Seeds {
    let seeds = [
        (
            "users",
            "c\nbob\nb/x\n# all\ntopic read $SYS/#\nuser bob\ntopic write b/#\ntopic deny b/+/no\nuser eve\ntopic e\n",
        ),
        ("anonymous", "c\n\na/b\ntopic readwrite a/+\ntopic deny a/c\nuser bob\ntopic #\n"),
        ("patterns", "c\nbob\np/c/bob\npattern read p/%c/%u\npattern write %u/%c/#\npattern deny p/%c/no\ntopic x\n"),
        ("dangerous", "+\n#\np/x\npattern p/%c\npattern %u\nuser #\ntopic read p/x\n"),
        ("bad", "c\n\na\ntopic raed a\n  # comment\nuser\ntopic a#\n"),
        ("blanks", "c\neve smith\na b\n  topic   write   a b  \nuser  eve smith \ntopic read\ttab\ntopic read\n"),
    ];
    seeds.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect()
}
