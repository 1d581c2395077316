//! Messages as JSON; the messages that are queued or in flight for a client.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, answer, next},
    parameters::{Kind, Parameter},
    schema::{Is, Shape, field, nullable, optional},
    subscriptions::kept,
};
use crate::{
    router::inspect::Stage,
    trace::{properties, put_payload},
    types::ClientId,
};

/// Are payloads shown?
pub(super) static PAYLOAD: [Parameter; 1] = [Parameter::new("payload", Kind::Flag, "Show payloads, too")];

pub(super) static QUEUED: Shape = Shape {
    name: "QueuedMessage",
    fields: &[
        field("topic", Is::Text),
        field("qos", Is::Number),
        field("retain", Is::Flag),
        field("size", Is::Number),
        nullable("age", Is::Number),
        nullable("expires_at", Is::Time),
        field("properties", Is::Any),
        optional("payload", Is::Text),
        optional("payload_base64", Is::Text),
    ],
};

pub(super) static IN_FLIGHT: Shape = Shape {
    name: "InflightMessage",
    fields: &[
        field("packet_id", Is::Number),
        field("stage", Is::Text),
        nullable("qos", Is::Number),
        nullable("topic", Is::Text),
        nullable("size", Is::Number),
        optional("payload", Is::Text),
        optional("payload_base64", Is::Text),
    ],
};

/// Most payload bytes in one answer, to which one more message may be added.
pub(super) const MOST_BYTES: usize = 4 << 20;

pub(super) static REMOVED: Shape = Shape { name: "QueueRemoved", fields: &[field("messages", Is::Number)] };

/// Removes the queued messages of a client; answers when this is durable.
pub(super) async fn remove_queue(call: Call) -> Answer {
    let removed = call.desk.operator.clear_queue(call.state.clock.now(), &ClientId::from(call.id.as_str()));
    let (messages, stored) = removed.ok_or_else(|| call.unknown_client())?;
    kept(&call, stored).await?;
    Ok(answer(&json!({ "messages": messages })))
}

pub(super) async fn queue(call: Call) -> Answer {
    let (skip, limit) = (usize::try_from(call.number_of_cursor()?).unwrap_or(usize::MAX), call.limit());
    let to = skip.saturating_add(limit).saturating_add(1);
    let all = call.router().queue(&ClientId::from(call.id.as_str()), to).ok_or_else(|| call.unknown_client())?;
    let now = call.state.clock.now();
    page(&call, all.iter().skip(skip), skip, |message| {
        let shown = json!({
            "topic": message.topic().as_str(),
            "qos": message.qos() as u8,
            "retain": message.retain(),
            "size": message.payload().len(),
            "age": message.since().map(|at| now.saturating_duration_since(at).as_secs_f64()),
            "expires_at": message.expires().map(|at| call.time(at)),
            "properties": properties(message.properties()),
        });
        (shown, Some(message.payload()))
    })
}

pub(super) async fn inflight(call: Call) -> Answer {
    let (skip, limit) = (usize::try_from(call.number_of_cursor()?).unwrap_or(usize::MAX), call.limit());
    let to = skip.saturating_add(limit).saturating_add(1);
    let all = call.router().inflight(&ClientId::from(call.id.as_str()), to).ok_or_else(|| call.unknown_client())?;
    page(&call, all.iter().skip(skip), skip, |message| {
        let (stage, qos) = match message.stage {
            Stage::Published(qos) => ("published", Some(qos as u8)),
            Stage::Released => ("released", None),
        };
        let shown = json!({
            "packet_id": message.packet_id,
            "stage": stage,
            "qos": qos,
            "topic": message.topic().map(|topic| topic.as_str()),
            "size": message.payload().map(<[u8]>::len),
        });
        (shown, message.payload())
    })
}

/// The next page, bounded by `limit` and by the bytes of payloads.
fn page<'a, T: 'a>(
    call: &Call,
    all: impl Iterator<Item = &'a T>,
    skip: usize,
    show: impl Fn(&'a T) -> (Value, Option<&'a [u8]>),
) -> Answer {
    let (mut data, mut bytes, mut more) = (Vec::new(), 0, false);
    for one in all {
        if data.len() == call.limit() || bytes > MOST_BYTES {
            more = true;
            break;
        }
        let (mut shown, payload) = show(one);
        if let Some(payload) = payload.filter(|_| call.query.flag("payload")) {
            bytes += payload.len();
            put_payload(&mut shown, payload);
        }
        data.push(shown);
    }
    let behind = (skip + data.len()) as u64;
    call.list(data, more.then(|| next(behind)))
}
