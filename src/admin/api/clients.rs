//! `clients`, `kick`, `sessions`: lists clients, disconnects them and ends their sessions.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    super::problem::Problem,
    call::{Answer, Call, answer, next},
    parameters::{Kind, Parameter, bad},
    schema::{Field, Is, Shape, field, nullable, optional},
    selection::{CLIENT_FIELDS, FILTERS, KEYS, NAMES, Row, Selection},
};
use crate::{
    router::inspect::{ByAdministrator, Closed, Cursor, Ended, Wanted},
    trace::{properties, put_payload},
    types::{ClientId, Role},
};

/// Parameters of the list, besides filters.
pub(super) static SHOWN: [Parameter; 2] = [
    Parameter::new("fields", Kind::Words(&NAMES), "These fields alone"),
    Parameter::new("sort", Kind::Choice(&KEYS), "Sorted by this field, with - the largest first; without a cursor"),
];

/// Parameters for disconnecting a client.
pub(super) static CLOSING: [Parameter; 3] = [
    Parameter::new("session", Kind::Choice(&["keep", "end"]), "keep: the session is kept; end: it is removed"),
    Parameter::new("will", Kind::Choice(&["publish", "discard"]), "What becomes of its Will"),
    Parameter::new("reason", Kind::Text, "Why: for the log, and for a client of MQTT 5"),
];

/// Parameters for disconnecting many clients.
pub(super) static CLOSING_MANY: [Parameter; 2] = [
    Parameter::new("will", Kind::Choice(&["publish", "discard"]), "What becomes of their Wills"),
    Parameter::new("reason", Kind::Text, "Why: for the log, and for clients of MQTT 5"),
];

/// Parameter of requests that concern many clients.
pub(super) static DRY: [Parameter; 1] =
    [Parameter::new("dry_run", Kind::Flag, "Do nothing: only count the clients that would be affected")];

pub(super) static WILL: Shape = Shape {
    name: "Will",
    fields: &[
        field("topic", Is::Text),
        field("qos", Is::Number),
        field("retain", Is::Flag),
        field("delay", Is::Number),
        field("size", Is::Number),
        optional("payload", Is::Text),
        optional("payload_base64", Is::Text),
        field("properties", Is::Any),
    ],
};

/// One client with its Will.
pub(super) static ONE: Shape = Shape { name: "ClientAndWill", fields: &ONE_FIELDS };

const ONE_FIELDS: [Field; NAMES.len() + 1] = {
    let mut fields = [const { nullable("will", Is::Object(&WILL)) }; NAMES.len() + 1];
    let mut at = 0;
    while at < NAMES.len() {
        let Field { name, is, nullable, optional } = CLIENT_FIELDS[at];
        fields[at] = Field { name, is, nullable, optional };
        at += 1;
    }
    fields
};

pub(super) static CLOSED: Shape =
    Shape { name: "Closed", fields: &[field("client_id", Is::Text), field("result", Is::Text)] };

pub(super) static MANY: Shape = Shape {
    name: "Concerned",
    fields: &[field("clients", Is::Number), field("done", Is::Number), field("dry_run", Is::Flag)],
};

pub(super) async fn list(call: Call) -> Answer {
    let selection = Selection::of(&call.query, Wanted::All, &call);
    let (limit, listeners) = (call.limit(), call.desk.control.listeners());
    let Some(sort) = call.query.text("sort") else {
        let mut data = Vec::new();
        let after = call.cursor()?;
        let behind = selection.walk(&call, after, limit, |row| data.push(row.json(&call, &listeners))).await;
        return call.list(data, behind.map(|cursor| next(cursor.number())));
    };
    if call.query.text("cursor").is_some() {
        return Err(bad("cursor", "a sorted list has no cursor: ask for more at once with limit"));
    }
    let (key, down) = sort.strip_prefix('-').map_or((sort, false), |key| (key, true));
    let mut best: Vec<(u128, Row)> = Vec::new();
    let keep = |best: &mut Vec<(u128, Row)>| {
        crate::types::sort_by_key(best, |(key, _)| if down { u128::MAX - *key } else { *key });
        best.truncate(limit);
    };
    let all = selection.walk(&call, Cursor::default(), usize::MAX, |row| {
        if let Some(key) = row.key(key, &call) {
            best.push((key, row));
            // sorts when twice the limit is collected, so that memory stays bounded
            if best.len() >= 2 * limit + 64 {
                keep(&mut best);
            }
        }
    });
    let _none_is_left = all.await;
    keep(&mut best);
    call.list(best.iter().map(|(_, row)| row.json(&call, &listeners)).collect(), None)
}

pub(super) async fn one(call: Call) -> Answer {
    let shows_payload = call.caller.role >= Role::Operator;
    let found = call.router().client(&ClientId::from(call.id.as_str()), |view| {
        let will = view.session.will.as_ref().map(|will| {
            let mut shown = json!({
                "topic": will.topic.as_str(),
                "qos": will.qos as u8,
                "retain": will.retain,
                "delay": will.delay.as_secs(),
                "size": will.payload.len(),
                "properties": properties(will.properties),
            });
            if shows_payload {
                put_payload(&mut shown, will.payload);
            }
            shown
        });
        (Row::of(view), will)
    });
    let Some((row, will)) = found else { return Err(call.unknown_client()) };
    let mut shown = row.json(&call, &call.desk.control.listeners());
    shown["will"] = will.unwrap_or(Value::Null);
    Ok(answer(&shown))
}

/// The administrator and the reason, for the log and the client.
fn closed_by(call: &Call) -> ByAdministrator {
    let mut by = ByAdministrator::new(&call.caller.name, call.query.text("reason").unwrap_or_default());
    by.publishes_will = call.query.text("will") != Some("discard");
    by
}

pub(super) async fn close(call: Call) -> Answer {
    let (client, by) = (ClientId::from(call.id.as_str()), closed_by(&call));
    let result = match call.query.text("session") == Some("end") {
        true => end(&call, &client, &by),
        false => kick(&call, &client, &by),
    };
    let result = result.ok_or_else(|| call.unknown_client())?;
    Ok(answer(&json!({ "client_id": call.id, "result": result })))
}

fn kick(call: &Call, client: &ClientId, by: &ByAdministrator) -> Option<&'static str> {
    match call.router().close(client, by) {
        Closed::Closing => Some("closing"),
        Closed::Away => Some("away"),
        Closed::Unknown => None,
    }
}

fn end(call: &Call, client: &ClientId, by: &ByAdministrator) -> Option<&'static str> {
    match call.desk.operator.end_session(call.state.clock.now(), client, by) {
        Ended::Closing => Some("closing"),
        Ended::Ended => Some("ended"),
        Ended::Unknown => None,
    }
}

/// Disconnects the clients that the filters select.
pub(super) async fn kick_many(call: Call) -> Answer {
    many(&call, Wanted::Connected, kick).await
}

/// Ends the sessions of the clients that the filters select.
pub(super) async fn end_many(call: Call) -> Answer {
    many(&call, Wanted::All, end).await
}

type Act = fn(&Call, &ClientId, &ByAdministrator) -> Option<&'static str>;

async fn many(call: &Call, wanted: Wanted, act: Act) -> Answer {
    if !call.query.has_any(&FILTERS) && call.query.text("state").is_none() {
        let detail = "this would affect every client: add a filter, such as prefix= for all";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "no-filter", detail));
    }
    let (selection, by, dry) = (Selection::of(&call.query, wanted, call), closed_by(call), call.query.flag("dry_run"));
    let (mut clients, mut done) = (0_u64, 0_u64);
    // sessions that begin during the walk may be among them
    let all = selection.walk(call, Cursor::default(), usize::MAX, |row| {
        clients += 1;
        done += u64::from(!dry && act(call, &row.client, &by).is_some_and(|result| result != "away"));
    });
    let _none_is_left = all.await;
    Ok(answer(&json!({ "clients": clients, "done": done, "dry_run": dry })))
}
