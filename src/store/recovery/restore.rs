//! From the index to what the router is given at a start.

use std::{num::NonZeroU64, time::Duration};

use super::super::index::{Entry, Index, Session};
use crate::{
    router::{Restored, RestoredSession},
    session::{RestoredMessage, RestoredState, SessionNumber},
};

/// All that is kept. `now` is in milliseconds since 1970.
pub(crate) fn restored(index: &Index, now: u64) -> Restored {
    let sessions = index.sessions.iter().map(|(_, session)| restored_session(index, session, now)).collect();
    let retained = index.bodies.iter().filter(|(_, body)| body.flags.retained);
    Restored {
        sessions,
        retained: retained.map(|(_, body)| body.message.clone()).collect(),
        next_session: number(index.next_session),
    }
}

fn restored_session(index: &Index, session: &Session, now: u64) -> RestoredSession {
    let filters = session.subscriptions.iter();
    RestoredSession {
        session: number(session.number),
        client: session.client.clone(),
        will: session.will.clone(),
        due: session.due.iter().map(|(&number, due)| (number, due.will.clone())).collect(),
        // a clock that was set back makes nobody away for less than no time
        away: Duration::from_millis(session.away_since.map_or(0, |since| now.saturating_sub(since))),
        subscriptions: filters.map(|(filter, subscription)| (filter.clone(), subscription.options)).collect(),
        messages: session.live_entries().filter_map(|entry| restored_message(index, entry)).collect(),
        received: session.received.iter().map(|received| received.packet_id).collect(),
    }
}

fn restored_message(index: &Index, entry: &Entry) -> Option<RestoredMessage> {
    let message = entry.body().and_then(|slot| index.bodies.get(slot)).map(|body| body.message.clone());
    let (qos, retain) = (entry.qos(), entry.retain());
    let state = match (entry.sent(), message) {
        (None, Some(message)) => RestoredState::Queued { message, qos, retain },
        (Some(sent), Some(message)) => RestoredState::Sent { sent, message, qos, retain },
        (Some(sent), None) => RestoredState::Released { sent },
        (None, None) => return None,
    };
    Some(RestoredMessage { number: entry.number, state })
}

fn number(number: u64) -> SessionNumber {
    SessionNumber(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
}
