//! `dunlin store export`: what is kept, as JSON lines, or as a data directory of format 1.

use std::{io, io::Write, path::Path};

use serde_json::{Map, Value};

use super::{
    super::{
        commit::milliseconds,
        index::{Index, body_record, session_record, will_record},
        log::{Away, Disk, Extras, Files, LogRecord, OpenError, Time, Will, data_dir},
        recovery::{Recovered, down_time},
    },
    ToolError,
    backup::make,
    damaged,
    fresh::FreshLog,
    json, line, read,
};
use crate::{
    clock::Clock,
    topic::{SharedFilter, TopicFilter},
};

/// Writes what is kept to `out`, an object a line: `dunlin store import` takes them.
pub fn export(data_dir: &Path, out: &mut impl Write) -> Result<(), ToolError> {
    let _lock = data_dir::lock_to_read(data_dir)?;
    let (recovered, now) = whole(data_dir, "exporting")?;
    each_record(&recovered.index, &mut |record| {
        let mut object = json::record(record);
        if let LogRecord::Session { away: Some(Away::Age(since)), .. } = *record {
            object.insert("away_ms".into(), now.age.saturating_sub(since).into());
        }
        if let LogRecord::Body { extras: Extras { expires: Some(at), .. }, .. } = *record {
            object.insert("expires_ms".into(), at.saturating_sub(now.age).into());
        }
        // how old this log is says nothing elsewhere
        object.remove("expires_age_ms");
        object.remove("away_since_ms");
        object.remove("away_since_age_ms");
        without_nulls(&mut object);
        line(out, object)
    })?;
    Ok(())
}

/// Writes a data directory of format 1 to the directory `to`, which is made, or empty; says what that cannot have.
pub fn export_format_1(data_dir: &Path, to: &Path, out: &mut impl Write) -> Result<(), ToolError> {
    let _lock = data_dir::lock_to_read(data_dir)?;
    let (recovered, now) = whole(data_dir, "exporting")?;
    make(to)?;
    let failed = |error| OpenError::Io { path: to.to_owned(), what: "cannot write it", error };
    let files = Disk::new(to, false);
    let (mut users, mut origins, mut wills, mut groups, mut shared) = (0, 0, 0, 0, 0);
    let written = FreshLog::new(&files, 1, now).and_then(|mut log| {
        each_record(&recovered.index, &mut |record| {
            let mut record = *record;
            match &mut record {
                LogRecord::Session { away, owner, .. } => {
                    users += u64::from(owner.take().is_some());
                    if let Some(Away::Age(since)) = *away {
                        let wall = now.wall.saturating_sub(now.age.saturating_sub(since));
                        *away = Some(Away::Wall(wall));
                    }
                }
                LogRecord::Body { origin, .. } => origins += u64::from(origin.take().is_some()),
                LogRecord::WillKept { .. } => {
                    wills += 1;
                    return Ok(());
                }
                // it would take one for an ordinary filter, to which nobody publishes
                LogRecord::Subscribed { filter, .. } if SharedFilter::of(filter).is_some() => {
                    groups += 1;
                    return Ok(());
                }
                LogRecord::Entry { entry, .. } => shared += u64::from(std::mem::take(&mut entry.shared)),
                _ => {}
            }
            log.put(&record)
        })?;
        log.finish(recovered.index.next_session, recovered.index.next_message)
    });
    written.and_then(|()| files.sync_dir()).map_err(failed)?;
    writeln!(out, "kept: {}", super::kept(&recovered.index))?;
    for (count, what) in [
        (users, "sessions: the user"),
        (origins, "retained messages: the time, the publisher and its user"),
        (wills, "Wills of clients with Clean Session 1: all of it"),
        (groups, "shared subscriptions: all of it"),
        (shared, "messages: that they came through a shared subscription"),
    ] {
        if count > 0 {
            writeln!(out, "not in format 1, of {count} {what}")?;
        }
    }
    Ok(())
}

/// All that is kept in a directory that has no damage, and what time it is there.
fn whole(data_dir: &Path, what: &'static str) -> Result<(Recovered, Time), ToolError> {
    let recovered = read(data_dir, what, &mut |_, _| {})?;
    damaged(data_dir, &recovered)?;
    let wall = milliseconds(Clock::system().wall());
    let age = recovered.last.age.saturating_add(down_time(recovered.last, wall));
    Ok((recovered, Time { wall, age }))
}

/// Gives a record of each thing.
pub(super) fn each_record(index: &Index, each: &mut impl FnMut(&LogRecord<'_>) -> io::Result<()>) -> io::Result<()> {
    for (slot, body) in index.bodies.iter() {
        each(&body_record(index, slot, body))?;
    }
    for (&number, kept) in &index.wills {
        each(&will_record(number, kept))?;
    }
    for (_, session) in index.sessions.iter() {
        each(&session_record(session))?;
        let number = session.number;
        for (filter, subscription) in &session.subscriptions {
            let (filter, options) = (TopicFilter::from_valid(filter), subscription.options);
            each(&LogRecord::Subscribed { session: number, filter, options })?;
        }
        for (&due, kept) in &session.due {
            let message = &kept.will.message;
            let (qos, retain, topic, payload) = (message.qos(), kept.will.retain, message.topic(), message.payload());
            let will = Will { qos, retain, topic, payload };
            each(&LogRecord::WillDue { session: number, number: due, will })?;
        }
        for entry in session.live_entries() {
            let (number, state) = (entry.number, index.entry_state(entry));
            each(&LogRecord::Entry { session: session.number, number, entry: state })?;
        }
        for received in &session.received {
            let (packet_id, arrival) = (received.packet_id, received.arrival);
            each(&LogRecord::Received { session: number, packet_id, arrival })?;
        }
    }
    Ok(())
}

fn without_nulls(object: &mut Map<String, Value>) {
    object.retain(|_, value| !value.is_null());
}
