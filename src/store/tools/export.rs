//! `dunlin store export`: the stored state as JSON lines, or as a data directory of format 1.

use std::{
    io::{self, Write},
    mem,
    path::Path,
};

use serde_json::{Map, Value};

use super::{
    super::{
        commit::milliseconds,
        index::{Index, body_record, log_will, session_record, will_record},
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

/// Writes the stored state to `out` as one JSON object a line, which `dunlin store import` reads.
pub fn export(data_dir: &Path, out: &mut impl Write) -> Result<(), ToolError> {
    let _lock = data_dir::lock_to_read(data_dir)?;
    let (recovered, now) = whole(data_dir, "exporting")?;
    each_record(&recovered.index, &mut |record| {
        let mut object = json::record(record);
        if let LogRecord::Session { away: Some(Away::Age(since)), will_due, .. } = *record {
            object.insert("away_ms".into(), now.age.saturating_sub(since).into());
            if let Some(due) = will_due {
                object.insert("will_left_ms".into(), due.saturating_sub(now.age).into());
            }
        }
        if let LogRecord::Body { extras: Extras { expires: Some(at), .. }, .. } = *record {
            object.insert("expires_ms".into(), at.saturating_sub(now.age).into());
        }
        // ages have no meaning outside of this log
        object.remove("expires_age_ms");
        object.remove("away_since_ms");
        object.remove("away_since_age_ms");
        object.remove("will_due_age_ms");
        without_nulls(&mut object);
        line(out, object)
    })?;
    Ok(())
}

/// Writes a data directory of format 1 to the directory `to`, which is created or must be empty. Reports everything
/// that format 1 cannot represent.
pub fn export_format_1(data_dir: &Path, to: &Path, out: &mut impl Write) -> Result<(), ToolError> {
    let _lock = data_dir::lock_to_read(data_dir)?;
    let (recovered, now) = whole(data_dir, "exporting")?;
    make(to)?;
    let failed = |error| OpenError::Io { path: to.to_owned(), what: "cannot write it", error };
    let files = Disk::new(to, false);
    let mut lost = NotIn1::default();
    let written = FreshLog::new(&files, 1, now).and_then(|mut log| {
        each_record(&recovered.index, &mut |record| {
            let mut record = *record;
            if let LogRecord::WillKept { .. } = record {
                lost.wills += 1;
                return Ok(());
            }
            // an older dunlin would take it for an ordinary filter, which matches no topic
            if let LogRecord::Subscribed { filter, .. } = record
                && SharedFilter::of(filter).is_some()
            {
                lost.groups += 1;
                return Ok(());
            }
            if let LogRecord::RetainedDue { .. } = record {
                lost.retained_due += 1;
                return Ok(());
            }
            lost.strip(&mut record);
            if let LogRecord::Session { away: Some(away), .. } = &mut record
                && let Away::Age(since) = *away
            {
                *away = Away::Wall(now.wall.saturating_sub(now.age.saturating_sub(since)));
            }
            log.put(&record)
        })?;
        log.finish(recovered.index.next_session, recovered.index.next_message)
    });
    written.and_then(|()| files.sync_dir()).map_err(failed)?;
    writeln!(out, "kept: {}", super::kept(&recovered.index))?;
    for (count, what) in lost.told() {
        if count > 0 {
            writeln!(out, "not in format 1, of {count} {what}")?;
        }
    }
    Ok(())
}

/// Number of items with a part that format 1 cannot represent.
#[derive(Debug, Default)]
struct NotIn1 {
    users: u64,
    lasts: u64,
    subscriptions: u64,
    extras: u64,
    origins: u64,
    will_extras: u64,
    wills: u64,
    groups: u64,
    shared: u64,
    identifiers: u64,
    retained_due: u64,
}

impl NotIn1 {
    /// Removes these parts from a record.
    fn strip(&mut self, record: &mut LogRecord<'_>) {
        match record {
            LogRecord::Session { owner, lasts, will, will_due, .. } => {
                self.users += u64::from(owner.take().is_some());
                self.lasts += u64::from(lasts.take().is_some());
                will.iter_mut().for_each(|will| self.strip_will(will));
                *will_due = None;
            }
            LogRecord::WillDue { will, .. } => self.strip_will(will),
            LogRecord::Subscribed { options, .. } => {
                self.subscriptions += u64::from(options.is_special());
                *options = options.qos.into();
            }
            LogRecord::Body { origin, extras, .. } => {
                self.origins += u64::from(origin.take().is_some());
                self.extras += u64::from(!mem::take(extras).is_empty());
            }
            LogRecord::Entry { entry, .. } => {
                self.shared += u64::from(mem::take(&mut entry.shared));
                self.identifiers += u64::from(!mem::take(&mut entry.identifiers).is_empty());
            }
            _ => {}
        }
    }

    fn strip_will(&mut self, will: &mut Will<'_>) {
        self.will_extras += u64::from(!mem::take(&mut will.extras).is_empty());
    }

    fn told(&self) -> [(u64, &'static str); 11] {
        [
            (self.users, "sessions: the user"),
            (self.lasts, "sessions: the Session Expiry Interval (they last until their clients end them)"),
            (self.subscriptions, "subscriptions: No Local, Retain As Published, the Subscription Identifier"),
            (self.extras, "messages: properties and the Message Expiry Interval (they do not expire)"),
            (self.origins, "retained messages: the time, the publisher and its user"),
            (
                self.will_extras,
                "Wills: properties, the Message Expiry Interval and the delay (they are due at the start)",
            ),
            (self.wills, "Wills of clients with Clean Session 1: all of it"),
            (self.groups, "shared subscriptions: all of it"),
            (self.identifiers, "messages: their Subscription Identifiers"),
            (self.shared, "messages: that they came through a shared subscription"),
            (self.retained_due, "topics whose retained messages are due to a bridge: all of it"),
        ]
    }
}

/// The stored state of a directory without damage, and the time of its log.
pub(super) fn whole(data_dir: &Path, what: &'static str) -> Result<(Recovered, Time), ToolError> {
    let recovered = read(data_dir, what, &mut |_, _| {})?;
    damaged(data_dir, &recovered)?;
    let wall = milliseconds(Clock::system().wall());
    let age = recovered.last.age.saturating_add(down_time(recovered.last, wall));
    Ok((recovered, Time { wall, age }))
}

/// Calls `each` with the record of each item.
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
            each(&LogRecord::WillDue { session: number, number: due, will: log_will(&kept.will) })?;
        }
        for entry in session.live_entries() {
            let (number, state) = (entry.number, index.entry_state(session, entry));
            each(&LogRecord::Entry { session: session.number, number, entry: state })?;
        }
        for received in &session.received {
            let (packet_id, arrival) = (received.packet_id, received.arrival);
            each(&LogRecord::Received { session: number, packet_id, arrival })?;
        }
        for topic in session.retained_due.keys() {
            each(&LogRecord::RetainedDue { session: number, topic })?;
        }
    }
    Ok(())
}

fn without_nulls(object: &mut Map<String, Value>) {
    object.retain(|_, value| !value.is_null());
}
