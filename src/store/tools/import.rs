//! `dunlin store import`: a data directory from the JSON lines that `export` writes.

use std::{
    io::{BufRead, Write},
    num::NonZeroU32,
    path::Path,
    time::SystemTime,
};

use serde_json::{Map, Value};

use super::{
    super::{
        commit::milliseconds,
        log::{
            Away, Disk, EntryState, Extras, Files, LogRecord, MAX_SENT, MemoryDisk, OpenError, Origin, Owner, Time,
            VERSION, Will, WillExtras, are_identifiers, data_dir, is_stored_in,
        },
        recovery::recover,
    },
    ToolError, damaged, finish,
    fresh::FreshLog,
    json, kept,
};
use crate::{
    clock::Clock,
    codec::Properties,
    topic::{TopicFilter, TopicName},
    types::{PacketId, QoS, SubscriptionOptions},
};

type Object = Map<String, Value>;

/// Creates a data directory, which must not contain a store yet, from the JSON lines in `lines`.
pub fn import(data_dir: &Path, lines: impl BufRead, out: &mut impl Write) -> Result<(), ToolError> {
    import_with(data_dir, out, |log, failed| put_lines(log, lines, failed))
}

/// Creates a data directory, which must not contain a store yet, from the records that `put` writes.
pub(super) fn import_with(
    data_dir: &Path,
    out: &mut impl Write,
    put: impl FnOnce(&mut FreshLog<<Disk as Files>::File>, &dyn Fn(std::io::Error) -> OpenError) -> Result<(), ToolError>,
) -> Result<(), ToolError> {
    data_dir::create(data_dir)?;
    let _lock = data_dir::lock(data_dir)?;
    if is_stored_in(data_dir) {
        return Err(ToolError::NotEmpty { path: data_dir.to_owned() });
    }
    let failed = |error| OpenError::Io { path: data_dir.to_owned(), what: "cannot write it", error };
    let files = Disk::new(data_dir, false);
    let time = Time { wall: milliseconds(Clock::system().wall()), age: AGE };
    let mut log = FreshLog::new(&files, VERSION, time).map_err(failed)?;
    let written = put(&mut log, &failed);
    // remove it: an incomplete import must not look complete
    let taken_back = |_: &ToolError| drop(std::fs::remove_file(data_dir.join(super::super::log::names::segment(1))));
    written.inspect_err(taken_back)?;
    log.finish(1, 1).map_err(failed)?;
    let recovered = recover(&files, &mut |_, _| {}).map_err(|error| error.within(data_dir))?;
    damaged(data_dir, &recovered).inspect_err(taken_back)?;
    finish(&files, &recovered).map_err(failed)?;
    writeln!(out, "kept: {}", kept(&recovered.index))?;
    Ok(())
}

/// The same in memory, as of this time of the day. Returns also a description of the content.
pub(crate) fn import_in_memory(lines: impl BufRead, wall: SystemTime) -> Result<(MemoryDisk, String), ToolError> {
    let (disk, name) = (MemoryDisk::default(), Path::new("memory"));
    let failed = |error| OpenError::Io { path: name.to_owned(), what: "cannot write it", error };
    let time = Time { wall: milliseconds(wall), age: AGE };
    let mut log = FreshLog::new(&disk, VERSION, time).map_err(failed)?;
    put_lines(&mut log, lines, &failed)?;
    log.finish(1, 1).map_err(failed)?;
    disk.sync_dir().map_err(failed)?;
    let recovered = recover(&disk, &mut |_, _| {}).map_err(|error| error.within(name))?;
    damaged(name, &recovered)?;
    Ok((disk, kept(&recovered.index)))
}

fn put_lines<F: super::super::log::File>(
    log: &mut FreshLog<F>,
    lines: impl BufRead,
    failed: &dyn Fn(std::io::Error) -> OpenError,
) -> Result<(), ToolError> {
    let mut progress = super::super::recovery::Progress::new("importing", 0, |what, done| eprintln!("{what}: {done}"));
    let mut done = 0;
    for (text, number) in lines.lines().zip(1..) {
        let text = text.map_err(ToolError::Input)?;
        done += text.len() as u64 + 1;
        progress.at(done);
        let wrong = |why: String| ToolError::Line { number, why };
        let object: Object = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        // lines of a running broker's export that a store's export does not have
        if object.get("record").is_some_and(|record| NOT_STORED.iter().any(|name| record == name)) {
            continue;
        }
        let (mut payload, mut properties) = (Vec::new(), Vec::new());
        let record = record(&object, &mut payload, &mut properties).map_err(wrong)?;
        log.put(&record).map_err(failed)?;
    }
    Ok(())
}

/// Parses a line. `payload`: the buffer for a decoded payload.
fn record<'a>(
    object: &'a Object,
    payload: &'a mut Vec<u8>,
    properties: &'a mut Vec<u8>,
) -> Result<LogRecord<'a>, String> {
    Ok(match text(object, "record")? {
        "session" => LogRecord::Session {
            session: id(object, "session")?,
            client: text(object, "client")?,
            away: Some(Away::Age(AGE.saturating_sub(optional_number(object, "away_ms")?.unwrap_or(0)))),
            will_due: optional_number(object, "will_left_ms")?.map(|left| AGE.saturating_add(left)),
            owner: match inner(object, "owner")? {
                Some(owner) => Some(Owner {
                    user: text(owner, "user")?,
                    login: json::login_of(text(owner, "login")?).ok_or("\"login\" is none that is known")?,
                }),
                None => None,
            },
            will: inner(object, "will")?.map(|object| will(object, payload, properties)).transpose()?,
            lasts: seconds(object, "lasts_s")?,
        },
        "subscription" => {
            let filter = TopicFilter::new(text(object, "filter")?).map_err(|error| format!("\"filter\" {error}"))?;
            let options = SubscriptionOptions {
                no_local: optional_flag(object, "no_local")?,
                retain_as_published: optional_flag(object, "retain_as_published")?,
                identifier: optional_number(object, "identifier")?
                    .and_then(|number| u32::try_from(number).ok())
                    .and_then(NonZeroU32::new),
                ..qos(object)?.into()
            };
            LogRecord::Subscribed { session: id(object, "session")?, filter, options }
        }
        "message" => LogRecord::Body {
            message: id(object, "message")?,
            qos: qos(object)?,
            retained: flag(object, "retained")?,
            topic: topic(object)?,
            origin: match inner(object, "origin")? {
                Some(origin) => Some(Origin {
                    time: number(origin, "time_ms")?,
                    client: optional_text(origin, "client")?,
                    user: optional_text(origin, "user")?,
                }),
                None => None,
            },
            extras: Extras {
                properties: properties_of(object, properties)?,
                expires: optional_number(object, "expires_ms")?.map(|left| AGE.saturating_add(left)),
            },
            payload: bytes(object, payload)?,
        },
        "delivery" => delivery(object, properties)?,
        "received" => {
            let packet_id = u16::try_from(number(object, "packet_id")?).ok().and_then(PacketId::new);
            let packet_id = packet_id.ok_or("\"packet_id\" is none")?;
            LogRecord::Received { session: id(object, "session")?, packet_id, arrival: number(object, "arrival")? }
        }
        "retained_due" => {
            let topic = text(object, "topic")?;
            if !topic.is_empty() {
                TopicName::new(topic).map_err(|error| format!("\"topic\" {error}"))?;
            }
            LogRecord::RetainedDue { session: id(object, "session")?, topic }
        }
        "will_due" => {
            let will = will(inner(object, "will")?.ok_or("\"will\" is missing")?, payload, properties)?;
            LogRecord::WillDue { session: id(object, "session")?, number: number(object, "number")?, will }
        }
        "will_kept" => {
            let will = will(inner(object, "will")?.ok_or("\"will\" is missing")?, payload, properties)?;
            let (client, user) = (text(object, "client")?, optional_text(object, "user")?);
            LogRecord::WillKept { number: id(object, "number")?, client, user, will }
        }
        other => return Err(format!("\"record\" is {other:?}, which is none that is imported")),
    })
}

fn delivery<'a>(object: &'a Object, properties: &'a mut Vec<u8>) -> Result<LogRecord<'a>, String> {
    let (sent, message) = (optional_number(object, "sent")?, optional_number(object, "message")?);
    if sent.is_none() && message.is_none() || sent.is_some_and(|sent| sent == 0 || sent > MAX_SENT) {
        return Err("a message that was neither queued nor sent".into());
    }
    let shared = optional_flag(object, "shared")?;
    let identifiers = Some(hex_bytes(object, "properties_hex", properties)?)
        .filter(|bytes| are_identifiers(bytes))
        .ok_or("\"properties_hex\" is not Subscription Identifiers")?;
    let entry = EntryState { qos: qos(object)?, retain: flag(object, "retain")?, shared, sent, message, identifiers };
    Ok(LogRecord::Entry { session: id(object, "session")?, number: number(object, "number")?, entry })
}

fn will<'a>(object: &'a Object, payload: &'a mut Vec<u8>, properties: &'a mut Vec<u8>) -> Result<Will<'a>, String> {
    let (qos, retain, topic) = (qos(object)?, flag(object, "retain")?, topic(object)?);
    let extras = WillExtras {
        properties: properties_of(object, properties)?,
        delay: seconds(object, "delay_s")?.unwrap_or(0),
        expiry: seconds(object, "expiry_s")?,
    };
    Ok(Will { qos, retain, topic, payload: bytes(object, payload)?, extras })
}

fn properties_of<'a>(object: &'a Object, properties: &'a mut Vec<u8>) -> Result<&'a [u8], String> {
    Some(hex_bytes(object, "properties_hex", properties)?)
        .filter(|bytes| Properties::of_stored(bytes).is_some())
        .ok_or_else(|| "\"properties_hex\" is not the properties of a PUBLISH".into())
}

fn seconds(object: &Object, key: &str) -> Result<Option<u32>, String> {
    let seconds = optional_number(object, key)?.map(u32::try_from).transpose();
    seconds.map_err(|_| format!("{key:?} is more seconds than an interval has"))
}

fn inner<'a>(object: &'a Object, key: &str) -> Result<Option<&'a Object>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(inner)) => Ok(Some(inner)),
        Some(_) => Err(format!("{key:?} is not an object")),
    }
}

fn optional_text<'a>(object: &'a Object, key: &str) -> Result<Option<&'a str>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{key:?} is not a text")),
    }
}

fn text<'a>(object: &'a Object, key: &str) -> Result<&'a str, String> {
    optional_text(object, key)?.ok_or_else(|| format!("{key:?} is missing"))
}

fn optional_number(object: &Object, key: &str) -> Result<Option<u64>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| format!("{key:?} is not a number of 0 and above")),
    }
}

fn number(object: &Object, key: &str) -> Result<u64, String> {
    optional_number(object, key)?.ok_or_else(|| format!("{key:?} is missing"))
}

/// A number that identifies an item.
fn id(object: &Object, key: &str) -> Result<u64, String> {
    match number(object, key)? {
        0 | u64::MAX => Err(format!("{key:?} is a number that none has")),
        id => Ok(id),
    }
}

fn flag(object: &Object, key: &str) -> Result<bool, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(format!("{key:?} is neither true nor false")),
    }
}

fn qos(object: &Object) -> Result<QoS, String> {
    let bits = u8::try_from(number(object, "qos")?).ok();
    bits.and_then(QoS::from_bits).ok_or_else(|| "\"qos\" is none".into())
}

fn topic(object: &Object) -> Result<&TopicName, String> {
    TopicName::new(text(object, "topic")?).map_err(|error| format!("\"topic\" {error}"))
}

fn bytes<'a>(object: &'a Object, payload: &'a mut Vec<u8>) -> Result<&'a [u8], String> {
    if let Some(text) = optional_text(object, "payload")? {
        return Ok(text.as_bytes());
    }
    text(object, "payload_hex")?;
    hex_bytes(object, "payload_hex", payload)
}

/// Bytes from hexadecimal digits; empty if the key is missing.
fn hex_bytes<'a>(object: &'a Object, key: &str, bytes: &'a mut Vec<u8>) -> Result<&'a [u8], String> {
    let hex = optional_text(object, key)?.unwrap_or_default();
    let wrong = || format!("{key:?} is not pairs of hexadecimal digits");
    for pair in hex.as_bytes().chunks(2) {
        let digits = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2).ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
    }
    Ok(bytes)
}

fn optional_flag(object: &Object, key: &str) -> Result<bool, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(_) => flag(object, key),
    }
}

/// Kinds of lines that are not for the store: the first line, a user of the password file, the last line.
const NOT_STORED: [&str; 3] = ["begin", "user", "end"];

/// The age of the imported log in milliseconds: longer than any client was away.
pub(super) const AGE: u64 = 100 * 365 * 24 * 3_600_000;
