//! Every fault on every packet type in both directions, by a table, for MQTT 3.1.1 and MQTT 5. The result of a fault on
//! a client's packet must equal that of an exchange in which the client had done the same itself. A fault on a packet
//! of the broker changes what the client receives, and not what the broker accepts.

mod exchange;

use std::{
    collections::HashMap,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dunlin::{
    Config,
    auth::{PasswordChange, edit},
    config::AuthConfig,
    testing::Options,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use self::exchange::{BOB, End, Player, Step, TYPES, Trace, corrupt, name, normal, play, script, without};
use super::{Bench, run};
use crate::support::{
    five::{self, Properties, property},
    raw::{ack, frame},
};

/// A column for each type, in the order of [`TYPES`]. `x`: the fault hits, with the effect that `Cell::sent` and
/// `Cell::received` describe; `5`: in MQTT 5 alone, and in 3.1.1 the packet passes and is no hit; `-`: it means
/// nothing, and setting it is refused.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str)] = &[
    //                            CONNECT
    //                            |  CONNACK
    //                            |  |  PUBLISH
    //                            |  |  |  PUBACK
    //                            |  |  |  |  PUBREC
    //                            |  |  |  |  |  PUBREL
    //                            |  |  |  |  |  |  PUBCOMP
    //                            |  |  |  |  |  |  |  SUBSCRIBE
    //                            |  |  |  |  |  |  |  |  SUBACK
    //                            |  |  |  |  |  |  |  |  |  UNSUBSCRIBE
    //                            |  |  |  |  |  |  |  |  |  |  UNSUBACK
    //                            |  |  |  |  |  |  |  |  |  |  |  PINGREQ
    //                            |  |  |  |  |  |  |  |  |  |  |  |  PINGRESP
    //                            |  |  |  |  |  |  |  |  |  |  |  |  |  DISCONNECT
    //                            |  |  |  |  |  |  |  |  |  |  |  |  |  |  AUTH
    ("drop",            SERVER,  "x  -  x  x  x  x  x  x  -  x  -  x  -  x  5"),
    ("drop",            CLIENT,  "-  x  x  x  x  x  x  -  x  -  x  -  x  5  5"),
    ("delay",           SERVER,  "x  -  x  x  x  x  x  x  -  x  -  x  -  x  5"),
    ("delay",           CLIENT,  "-  x  x  x  x  x  x  -  x  -  x  -  x  5  5"),
    ("duplicate",       SERVER,  "x  -  x  x  x  x  x  x  -  x  -  x  -  x  5"),
    ("duplicate",       CLIENT,  "-  x  x  x  x  x  x  -  x  -  x  -  x  5  5"),
    ("corrupt",         SERVER,  "x  -  x  x  x  x  x  x  -  x  -  -  -  5  5"),
    ("corrupt",         CLIENT,  "-  x  x  x  x  x  x  -  x  -  x  -  -  5  5"),
    ("truncate",        SERVER,  "x  -  x  x  x  x  x  x  -  x  -  x  -  x  5"),
    ("truncate",        CLIENT,  "-  x  x  x  x  x  x  -  x  -  x  -  x  5  5"),
    ("close",           SERVER,  "x  -  x  x  x  x  x  x  -  x  -  x  -  x  5"),
    ("close",           CLIENT,  "-  x  x  x  x  x  x  -  x  -  x  -  x  5  5"),
    ("reset",           SERVER,  "x  -  x  x  x  x  x  x  -  x  -  x  -  x  5"),
    ("reset",           CLIENT,  "-  x  x  x  x  x  x  -  x  -  x  -  x  5  5"),
    ("half_open",       SERVER,  "x  -  x  x  x  x  x  x  -  x  -  x  -  x  5"),
    ("half_open",       CLIENT,  "-  x  x  x  x  x  x  -  x  -  x  -  x  5  5"),
    ("stall",           SERVER,  "x  -  x  x  x  x  x  x  -  x  -  x  -  x  5"),
    ("stall",           CLIENT,  "-  x  x  x  x  x  x  -  x  -  x  -  x  5  5"),
    ("reorder",         SERVER,  "x  -  x  x  x  x  x  x  -  x  -  x  -  x  5"),
    ("reorder",         CLIENT,  "-  x  x  x  x  x  x  -  x  -  x  -  x  5  5"),
    ("refuse",          SERVER,  "x  -  -  -  -  -  -  -  -  -  -  -  -  -  -"),
    ("refuse",          CLIENT,  "-  -  -  -  -  -  -  -  -  -  -  -  -  -  -"),
    ("refuse_tcp",      SERVER,  "-  -  -  -  -  -  -  -  -  -  -  -  -  -  -"),
    ("refuse_tcp",      CLIENT,  "-  -  -  -  -  -  -  -  -  -  -  -  -  -  -"),
    ("reason_code",     SERVER,  "-  -  5  -  5  5  -  x  -  5  -  -  -  -  -"),
    ("reason_code",     CLIENT,  "-  x  -  5  5  5  5  -  x  -  5  -  -  5  5"),
    ("disconnect",      SERVER,  "-  -  x  x  x  x  x  x  -  x  -  x  -  x  5"),
    ("disconnect",      CLIENT,  "-  -  x  x  x  x  x  -  x  -  x  -  x  5  5"),
    ("redirect",        SERVER,  "x  -  x  x  x  x  x  x  -  x  -  x  -  x  5"),
    ("redirect",        CLIENT,  "-  x  x  x  x  x  x  -  x  -  x  -  x  5  5"),
    ("receive_maximum", SERVER,  "-  -  -  -  -  -  -  -  -  -  -  -  -  -  -"),
    ("receive_maximum", CLIENT,  "-  5  -  -  -  -  -  -  -  -  -  -  -  -  -"),
];

const SERVER: &str = "to_server";
const CLIENT: &str = "to_client";
/// The code of `refuse`, `reason_code` and `disconnect`.
const CODE: u8 = 0x80;
/// Bytes a second of `stall`.
const RATE: usize = 10;

/// A fault with its value.
fn asked(does: &str) -> Value {
    match does {
        "delay" => json!({ "delay": "2s" }),
        "truncate" => json!({ "truncate": 1 }),
        "stall" => json!({ "stall": RATE }),
        "refuse" | "reason_code" | "disconnect" => json!({ does: CODE }),
        "redirect" => json!({ "redirect": "other:1883" }),
        "receive_maximum" => json!({ "receive_maximum": 7 }),
        _ => json!(does),
    }
}

/// A cell of the table, for one version.
struct Cell {
    does: &'static str,
    direction: &'static str,
    packet: &'static str,
    version: u8,
}

/// How the effect of a fault on a client's packet is described.
enum Sent {
    /// As if the client had sent this.
    AsIf(Vec<Step>),
    /// The same, and the client also receives this.
    AndReceives(Vec<Step>, Vec<u8>),
}

#[test]
fn every_fault_has_a_row_for_each_direction_and_every_packet_type_a_column() {
    let bench = Bench::start();
    let told = bench.ask("POST", "faults", &json!({ "do": "explode" })).1["detail"].as_str().unwrap().to_owned();
    let known = told.split("expected one of ").nth(1).expect("the names of all faults");
    let known: Vec<_> = known.split('`').skip(1).step_by(2).filter(|name| !name.contains('-')).collect();
    for direction in [SERVER, CLIENT] {
        let mut rows: Vec<_> = TABLE.iter().filter(|row| row.1 == direction).map(|row| row.0).collect();
        rows.sort_unstable();
        let mut known = known.clone();
        known.sort_unstable();
        assert_eq!(rows, known, "{direction}");
    }
    assert!(TABLE.iter().all(|row| row.2.split_whitespace().count() == TYPES.len()));
}

#[test]
fn a_fault_that_means_nothing_is_refused() {
    let bench = Bench::start();
    for (does, direction, cells) in TABLE {
        for (packet, cell) in TYPES.iter().zip(cells.split_whitespace()) {
            let when = json!({ "packet": packet, "direction": direction });
            let (status, answer) = bench.ask("POST", "faults", &json!({ "when": when, "do": asked(does) }));
            assert_eq!(status, if cell == "-" { 400 } else { 200 }, "{does} {direction} {packet}: {answer}");
            if cell == "-" {
                let told = answer["detail"].as_str().unwrap();
                assert!(told.starts_with(&format!("{does}: ")), "{does} {direction} {packet}: {told}");
            }
        }
        // a direction alone is enough to mean nothing
        let is_none = cells.split_whitespace().all(|cell| cell == "-");
        let when = json!({ "direction": direction });
        let (status, answer) = bench.ask("POST", "faults", &json!({ "when": when, "do": asked(does) }));
        assert_eq!(status, if is_none { 400 } else { 200 }, "{does} {direction}: {answer}");
    }
}

#[test]
fn every_fault_on_every_packet_has_its_effect() {
    const THREADS: usize = 6;
    let cells: Vec<_> = cells();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let dir = tempfile::tempdir().unwrap();
                let bench = bench(dir.path());
                while let Some((cell, hits)) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(told) = cell.check(&bench, *hits) {
                        let Cell { does, direction, packet, version } = cell;
                        wrong.lock().push(format!("{does} {direction} {packet}, version {version}: {told}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner();
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), cells.len(), wrong.join("\n"));
}

/// All cells that are not refused, and whether the fault hits.
fn cells() -> Vec<(Cell, bool)> {
    let mut all = Vec::new();
    for version in [4, 5] {
        for &(does, direction, cells) in TABLE {
            for (packet, cell) in TYPES.into_iter().zip(cells.split_whitespace()) {
                let exists = script(version, packet, direction == CLIENT).is_some();
                if cell != "-" && exists {
                    all.push((Cell { does, direction, packet, version }, cell == "x" || version == 5));
                }
            }
        }
    }
    all
}

/// A broker that has bob, and serves anonymous clients.
fn bench(dir: &std::path::Path) -> Bench {
    let file = dir.join("passwords");
    let iterations = 4096.try_into().unwrap();
    edit(&file, BOB.0, PasswordChange::SetScram { password: BOB.1.as_bytes(), iterations }).unwrap();
    let auth = AuthConfig { password_file: Some(file), ..AuthConfig::default() };
    let config = Config { auth, allow_anonymous: Some(true), workers: Some(1), ..Config::ephemeral() };
    Bench::with(Options { config, ..Options::default() })
}

/// Position of the n-th packet of a type.
fn position<'a>(mut names: impl Iterator<Item = &'a str>, packet: &str, nth: usize) -> usize {
    let mut count = 0;
    let found = names.position(|name| {
        count += usize::from(name == packet);
        count == nth && name == packet
    });
    found.unwrap_or_else(|| panic!("{packet} {nth} is not in the script"))
}

/// The script without a fault; played once.
fn plain(bench: &Bench, steps: &[Step]) -> Trace {
    static PLAYED: LazyLock<Mutex<HashMap<Vec<Step>, Trace>>> = LazyLock::new(Mutex::default);
    if let Some(trace) = PLAYED.lock().get(steps) {
        return trace.clone();
    }
    bench.post("reset", json!({}));
    let trace = play(bench, steps, |_| {});
    PLAYED.lock().insert(steps.to_vec(), trace.clone());
    trace
}

impl Cell {
    /// Does the fault hit, and have its effect?
    fn check(&self, bench: &Bench, hits: bool) -> Result<(), String> {
        let (steps, nth) = script(self.version, self.packet, self.direction == CLIENT).unwrap();
        if !hits {
            let found = self.under(bench, &steps, nth, 0, |_| {})?;
            let expected = plain(bench, &steps);
            return same("everything", &sorted(&found.packets()), &sorted(&expected.packets()));
        }
        match self.direction {
            SERVER => self.check_sent(bench, steps, nth),
            _ => self.check_received(bench, steps, nth),
        }
    }

    /// Plays it under the fault.
    fn under(
        &self,
        bench: &Bench,
        steps: &[Step],
        nth: usize,
        hits: u64,
        then: impl FnOnce(&mut Player<'_>),
    ) -> Result<Trace, String> {
        bench.post("reset", json!({}));
        if ["delay", "stall"].contains(&self.does) {
            bench.post("clock", json!({ "pause": true }));
        }
        // the one before CONNACK, which cannot be changed so, is not counted
        let nth = if (self.does, self.packet) == ("disconnect", "AUTH") { nth - 1 } else { nth };
        let when = json!({ "packet": self.packet, "direction": self.direction, "nth": nth });
        bench.post("faults", json!({ "when": when, "do": asked(self.does) }));
        let trace = play(bench, steps, then);
        let (_, faults) = bench.ask("GET", "faults", &json!({}));
        same("hits", &faults["data"][0]["hits"], &json!(hits))?;
        let noted = json!({
            "packet": self.packet, "direction": self.direction, "fault": self.does, "count": hits, "within": 0,
        });
        bench.post("expect", noted);
        Ok(trace)
    }

    /// A fault on a client's packet: the broker receives something else, or nothing.
    fn check_sent(&self, bench: &Bench, mut steps: Vec<Step>, nth: usize) -> Result<(), String> {
        let at = position(steps.iter().map(|step| step.name), self.packet, nth);
        steps.truncate(at + 2);
        if ["delay", "stall"].contains(&self.does) {
            let before = vec![plain(bench, &steps[..at]).packets()];
            if self.does == "delay" {
                steps.truncate(at + 1);
            }
            let expected = plain(bench, &steps);
            return self.check_late(bench, &steps, nth, &before, &expected);
        }
        let found = self.under(bench, &steps, nth, 1, |_| {})?;
        let (steps, answer) = match self.sent(&steps, at, nth) {
            Sent::AsIf(steps) => (steps, Vec::new()),
            Sent::AndReceives(steps, answer) => (steps, answer),
        };
        let expected = plain(bench, &steps);
        let mut packets = expected.packets();
        if !answer.is_empty() {
            packets.push(answer);
        }
        // two that come at once are answered together, in any order
        same("packets", &sorted(&found.packets()), &sorted(&packets))?;
        same("end", &found.end, &self.end(expected.end))?;
        same("events", &found.events, &expected.events)
    }

    /// What the broker receives instead.
    fn sent(&self, all: &[Step], at: usize, nth: usize) -> Sent {
        let mut steps = all.to_vec();
        let before = || all[..at].to_vec();
        Sent::AsIf(match self.does {
            "drop" => {
                steps.remove(at);
                steps
            }
            "duplicate" => {
                steps[at].is_doubled = true;
                steps
            }
            "corrupt" => {
                steps[at].corrupt = Some(nth);
                steps
            }
            "truncate" => {
                steps.truncate(at + 1);
                steps[at].cut = Some(1);
                steps
            }
            "close" | "reset" | "half_open" => before(),
            // there is no next one
            "reorder" if at + 1 == steps.len() => before(),
            "reorder" => {
                steps.swap(at, at + 1);
                steps
            }
            "refuse" if self.version == 5 => return Sent::AndReceives(before(), frame(0x20, &[0, CODE, 0])),
            "refuse" => return Sent::AndReceives(before(), frame(0x20, &[0, CODE])),
            "disconnect" | "redirect" => return Sent::AndReceives(before(), self.farewell(at > 0).unwrap_or_default()),
            "reason_code" => {
                steps.remove(at);
                return Sent::AndReceives(steps, self.answer());
            }
            other => panic!("{other}"),
        })
    }

    /// The answer with a code to a client's packet.
    fn answer(&self) -> Vec<u8> {
        match self.packet {
            "PUBLISH" => five::ack_with(0x40, 1, CODE),
            "PUBREC" => five::ack_with(0x62, 1, CODE),
            "PUBREL" => five::ack_with(0x70, 2, CODE),
            "SUBSCRIBE" if self.version == 5 => five::suback(9, &[CODE]),
            "SUBSCRIBE" => frame(0x90, &[0, 9, CODE]),
            "UNSUBSCRIBE" => five::unsuback(10, &[CODE]),
            other => panic!("{other}"),
        }
    }

    /// The last packet to a client that is disconnected or redirected; MQTT 3.1.1 has none.
    fn farewell(&self, is_connected: bool) -> Option<Vec<u8>> {
        let server = Properties::new().text(property::SERVER_REFERENCE, "other:1883").framed();
        match (self.version, self.does, is_connected) {
            (4, ..) => None,
            (_, "disconnect", _) => Some(five::disconnect(CODE)),
            (_, _, true) => Some(frame(0xE0, &[vec![0x9C], server].concat())),
            (_, _, false) => Some(frame(0x20, &[vec![0, 0x9C], server].concat())),
        }
    }

    fn end(&self, without: End) -> End {
        match self.does {
            "close" | "truncate" | "refuse" | "disconnect" | "redirect" => End::Closed,
            "reset" => End::Reset,
            "half_open" => End::Open,
            "reason_code" if self.packet == "CONNACK" => End::Closed,
            _ => without,
        }
    }

    /// A fault on a packet of the broker: the client receives something else, and the broker's state is right.
    fn check_received(&self, bench: &Bench, mut steps: Vec<Step>, nth: usize) -> Result<(), String> {
        let all = plain(bench, &steps);
        let mut count = 0;
        let is_here = |packets: &Vec<Vec<u8>>| {
            count += packets.iter().filter(|packet| name(packet) == self.packet).count();
            count >= nth
        };
        let at = all.steps.iter().position(is_here).expect("the packet is in the script");
        steps.truncate(at + 2);
        let expected = plain(bench, &steps);
        let where_in = |all: &[Vec<u8>]| position(all.iter().map(|packet| name(packet)), self.packet, nth);
        if ["delay", "stall"].contains(&self.does) {
            let before: Vec<_> = expected.orders().iter().map(|all| all[..where_in(all)].to_vec()).collect();
            return self.check_late(bench, &steps, nth, &before, &expected);
        }
        let mut found = self.under(bench, &steps, nth, 1, |_| {})?;
        if self.does == "corrupt" {
            // which byte is known
            let at = where_in(&found.packets());
            let changed = &mut found.steps.iter_mut().flatten().nth(at).unwrap()[..];
            corrupt(changed, nth);
        }
        let orders: Vec<_> =
            expected.orders().iter().map(|all| self.received(all, where_in(all), expected.end)).collect();
        let packets = normalized(&found.packets());
        if !orders.iter().any(|order| normalized(order).concat() == packets.concat()) {
            return Err(format!("packets: {:02x?}, none of {:02x?}", packets, orders));
        }
        same("end", &found.end, &self.end(expected.end))?;
        // it hears nothing more from a client whose connection has ended
        let cuts = found.end != expected.end || self.does == "half_open";
        let events = if cuts { plain(bench, &steps[..=at]).events } else { expected.events };
        same("events", &found.events, &events)
    }

    /// What the client receives instead. `end`: that of the exchange without the fault.
    fn received(&self, all: &[Vec<u8>], at: usize, end: End) -> Vec<Vec<u8>> {
        let mut packets = all.to_vec();
        let mut before = all[..at].to_vec();
        match self.does {
            "drop" => {
                packets.remove(at);
            }
            "duplicate" => packets.insert(at, packets[at].clone()),
            // it was corrected
            "corrupt" => {}
            "truncate" => {
                packets.truncate(at + 1);
                packets[at].truncate(1);
            }
            "close" | "reset" | "half_open" => return before,
            // there is no next one, or the end of the connection
            "reorder" if at + 1 == packets.len() && end == End::Open => return before,
            "reorder" if at + 1 == packets.len() => {}
            "reorder" => packets.swap(at, at + 1),
            "reason_code" => {
                packets[at] = self.with_code(&packets[at]);
                if self.packet == "CONNACK" {
                    packets.truncate(at + 1);
                }
            }
            "disconnect" | "redirect" => {
                before.extend(self.farewell(at > 0));
                return before;
            }
            "receive_maximum" => {
                let (properties, _) = Properties::split(&packets[at][4..]);
                let properties = without(&properties, property::RECEIVE_MAXIMUM).short(property::RECEIVE_MAXIMUM, 7);
                packets[at] = frame(0x20, &[vec![0, 0], properties.framed()].concat());
            }
            other => panic!("{other}"),
        }
        packets
    }

    /// The packet with another Reason Code.
    fn with_code(&self, packet: &[u8]) -> Vec<u8> {
        let mut packet = packet.to_vec();
        match self.packet {
            "CONNACK" => packet[3] = CODE,
            "SUBACK" | "UNSUBACK" => *packet.last_mut().unwrap() = CODE,
            "DISCONNECT" => packet = five::disconnect(CODE),
            "AUTH" => packet[2] = CODE,
            // without a Reason Code, it is 0
            _ => {
                assert_eq!(packet, ack(packet[0], u16::from_be_bytes([packet[2], packet[3]])));
                packet[1] = 3;
                packet.push(CODE);
            }
        }
        packet
    }

    /// Delays and stalls: everything arrives, by the broker's clock. `before`: what arrives at once, in any of these
    /// ways.
    fn check_late(
        &self,
        bench: &Bench,
        steps: &[Step],
        nth: usize,
        before: &[Vec<Vec<u8>>],
        expected: &Trace,
    ) -> Result<(), String> {
        const A_SECOND: Duration = Duration::from_secs(1);
        const LONG: Duration = Duration::from_secs(60);
        let mut seen = Vec::new();
        let found = self.under(bench, steps, nth, 1, |player| {
            let mut look = |player: &Player<'_>| {
                let complete = normalized(&player.trace.packets()).concat().len();
                seen.push(complete + player.rest().len());
            };
            look(player);
            run(player.bench.broker.advance(A_SECOND));
            player.wait();
            look(player);
            run(player.bench.broker.advance(LONG));
            player.wait();
            look(player);
        })?;
        let length = |packets: &[Vec<u8>]| normalized(packets).concat().len();
        let all = length(&expected.packets());
        let is_so = |before: &[Vec<u8>]| {
            let first = length(before);
            let paced = if self.does == "stall" { RATE.min(all - first) } else { 0 };
            seen == [first, first + paced, all]
        };
        if !before.iter().any(|before| is_so(before)) {
            return Err(format!("bytes at once, after a second, and at last: {seen:?}, in all {all}"));
        }
        same("packets", &sorted(&found.packets()), &sorted(&expected.packets()))?;
        same("end", &found.end, &expected.end)?;
        same("events", &found.events, &expected.events)
    }
}

fn normalized(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    packets.iter().map(|packet| normal(packet)).collect()
}

fn sorted(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut packets = normalized(packets);
    packets.sort();
    packets
}

fn same<T: std::fmt::Debug + PartialEq>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:02x?} instead of {expected:02x?}")) }
}
