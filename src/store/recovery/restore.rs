//! From the index to the sessions and retained messages that the router restores at a start.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

use super::super::{
    index::{Entry, Index, Session},
    log::Time,
};
use crate::{
    router::{Restored, RestoredRetained, RestoredSession, RestoredWill},
    session::{Identifiers, RestoredMessage, RestoredState, SessionNumber},
};

/// How long no process used a log whose last frame is of `last`, in milliseconds, by the wall clock. 0 if that clock
/// was set back since, or was not set yet.
pub(crate) fn down_time(last: Time, wall: u64) -> u64 {
    if last.wall < NOT_SET { 0 } else { wall.saturating_sub(last.wall) }
}

/// The stored state for the router. `age`: that of the log `now`.
pub(crate) fn restored(index: &Index, age: u64, now: Instant) -> Restored {
    for (_, body) in index.bodies.iter() {
        if let Some(expires) = body.expires {
            let left = Duration::from_millis(expires.saturating_sub(age));
            body.message.set_expiry(now.checked_add(left).unwrap_or(now));
        }
    }
    let sessions = index.sessions.iter().map(|(_, session)| restored_session(index, session, age)).collect();
    let retained = index.bodies.iter().filter(|(_, body)| body.flags.retained).map(|(slot, body)| {
        let (time, publisher) = index.origins.get(&slot).map_or((None, None), |o| (Some(o.time), o.publisher.clone()));
        RestoredRetained { message: body.message.clone(), time, at: None, publisher }
    });
    let wills = index.wills.iter().map(|(&number, kept)| RestoredWill {
        number,
        client: kept.client.clone(),
        user: kept.user.clone(),
        will: kept.will.clone(),
    });
    Restored {
        sessions,
        retained: retained.collect(),
        wills: wills.collect(),
        next_session: number(index.next_session),
    }
}

fn restored_session(index: &Index, session: &Session, age: u64) -> RestoredSession {
    let filters = session.subscriptions.iter();
    RestoredSession {
        session: number(session.number),
        client: session.client.clone(),
        owner: session.owner.clone(),
        lasts: session.lasts,
        will: session.will.clone(),
        will_left: session.will_due.map(|due| Duration::from_millis(due.saturating_sub(age))),
        due: session.due.iter().map(|(&number, due)| (number, due.will.clone())).collect(),
        away: Duration::from_millis(session.away_since.map_or(0, |since| age.saturating_sub(since))),
        subscriptions: filters.map(|(filter, subscription)| (filter.clone(), subscription.options)).collect(),
        messages: session.live_entries().filter_map(|entry| restored_message(index, session, entry)).collect(),
        received: session.received.iter().map(|received| received.packet_id).collect(),
        retained_due: session.retained_due.keys().cloned().collect(),
    }
}

fn restored_message(index: &Index, session: &Session, entry: &Entry) -> Option<RestoredMessage> {
    let message = entry.body().and_then(|slot| index.bodies.get(slot)).map(|body| body.message.clone());
    let (qos, retain, shared) = (entry.qos(), entry.retain(), entry.shared());
    let identifiers = Identifiers::from(session.identifiers_of(entry));
    let state = match (entry.sent(), message) {
        (None, Some(message)) => RestoredState::Queued { message, qos, retain, shared, identifiers },
        (Some(sent), Some(message)) => RestoredState::Sent { sent, message, qos, retain, shared, identifiers },
        (Some(sent), None) => RestoredState::Released { sent },
        (None, None) => return None,
    };
    Some(RestoredMessage { number: entry.number, state })
}

fn number(number: u64) -> SessionNumber {
    SessionNumber(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
}

/// A clock before 2025, in milliseconds since 1970, was not set.
const NOT_SET: u64 = 1_735_689_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_measures_the_down_time_unless_it_was_set_back_or_not_set_before() {
        let last = |wall| Time { wall, age: 7 };
        assert_eq!(down_time(last(NOT_SET), NOT_SET + 5), 5);
        assert_eq!(down_time(last(NOT_SET + 5), NOT_SET), 0);
        assert_eq!(down_time(last(NOT_SET - 1), NOT_SET + 5), 0);
        assert_eq!(down_time(last(300_000), u64::MAX), 0);
    }
}
