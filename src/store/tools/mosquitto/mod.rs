//! `dunlin import --db`: a data directory from a `mosquitto.db`: sessions, subscriptions, retained and queued messages.

mod chunks;
mod plan;
#[cfg(test)]
mod tests;

pub use chunks::DatabaseError;

use std::{io::Write, path::Path};

use super::{
    super::{
        commit::milliseconds,
        log::{Away, EntryState, Extras, File, LogRecord, Origin},
    },
    ToolError,
    fresh::FreshLog,
    import::{AGE, import_with},
};
use crate::clock::Clock;
use plan::{Body, Plan, Session};

/// Creates a data directory, which must not contain a store yet, from the contents of `database`.
pub fn import_mosquitto(database: &Path, data_dir: &Path, out: &mut impl Write) -> Result<(), ToolError> {
    let wrong = |why: String| ToolError::Database { path: database.to_owned(), why };
    let bytes = std::fs::read(database).map_err(|error| wrong(error.to_string()))?;
    let now = milliseconds(Clock::system().wall());
    let chunks = chunks::read(&bytes).map_err(|error| wrong(error.to_string()))?;
    let plan = Plan::of(&chunks, now).map_err(|error| wrong(error.to_string()))?;
    import_with(data_dir, out, |log, failed| write(log, &plan, now).map_err(|error| failed(error).into()))?;
    if !plan.left_out.is_empty() {
        writeln!(out, "left out: {}", plan.left_out)?;
    }
    Ok(())
}

fn write<F: File>(log: &mut FreshLog<F>, plan: &Plan<'_>, now: u64) -> std::io::Result<()> {
    for (session, number) in plan.sessions.iter().zip(1..) {
        write_session(log, session, number)?;
    }
    for (body, number) in plan.bodies.iter().zip(1..) {
        let Body { message, topic, qos, retained } = *body;
        let some = |name| Some(name).filter(|name: &&str| !name.is_empty());
        let origin = Origin { time: now, client: some(message.client), user: some(message.user) };
        log.put(&LogRecord::Body {
            message: number,
            qos,
            retained,
            topic,
            payload: message.payload,
            origin: retained.then_some(origin),
            extras: Extras {
                properties: message.properties,
                expires: plan::left(message.expires, now).map(|left| AGE.saturating_add(left)),
            },
        })?;
    }
    Ok(())
}

fn write_session<F: File>(log: &mut FreshLog<F>, session: &Session<'_>, number: u64) -> std::io::Result<()> {
    log.put(&LogRecord::Session {
        session: number,
        client: session.client,
        away: Some(Away::Age(AGE.saturating_sub(session.away))),
        will: None,
        // the first client that logs in with this identifier becomes the owner
        owner: None,
        lasts: session.lasts,
        will_due: None,
    })?;
    for &(filter, options) in &session.subscriptions {
        log.put(&LogRecord::Subscribed { session: number, filter, options })?;
    }
    for (delivery, place) in session.deliveries.iter().zip(1..) {
        let entry = EntryState {
            qos: delivery.qos,
            retain: delivery.retain,
            shared: false,
            sent: delivery.sent,
            message: delivery.body.map(|body| body as u64 + 1),
            identifiers: delivery.identifiers,
        };
        log.put(&LogRecord::Entry { session: number, number: place, entry })?;
    }
    for (packet_id, arrival) in session.received.iter().zip(1..) {
        log.put(&LogRecord::Received { session: number, packet_id: *packet_id, arrival })?;
    }
    Ok(())
}
