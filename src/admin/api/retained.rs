//! `retained`: lists, removes and sets retained messages.

use std::ops::ControlFlow;

use axum::http::StatusCode;
use serde_json::json;

use super::{
    super::problem::Problem,
    call::{Answer, Call, answer, next},
    messages::MOST_BYTES,
    parameters::{Kind, Parameter, bad},
    schema::{Is, Shape, field, nullable, optional},
};
use crate::{
    inside::until_kept,
    router::inspect::Cursor,
    session::Stored,
    topic::TopicFilter,
    trace::{properties, put_payload},
    types::ClientId,
};

pub(super) static WHICH: [Parameter; 2] = [
    Parameter::new("filter", Kind::Filter, "Messages whose topic this filter matches"),
    Parameter::new("topic", Kind::Topic, "Of this topic"),
];

pub(super) static RETAINED: Shape = Shape {
    name: "RetainedMessage",
    fields: &[
        field("topic", Is::Text),
        field("qos", Is::Number),
        field("size", Is::Number),
        nullable("expires_at", Is::Time),
        nullable("at", Is::Time),
        nullable("client_id", Is::Text),
        nullable("user", Is::Text),
        field("own", Is::Flag),
        field("properties", Is::Any),
        optional("payload", Is::Text),
        optional("payload_base64", Is::Text),
    ],
};

pub(super) static REMOVED: Shape =
    Shape { name: "Removed", fields: &[field("messages", Is::Number), field("dry_run", Is::Flag)] };

pub(super) static DRY: [Parameter; 1] =
    [Parameter::new("dry_run", Kind::Flag, "Do nothing: only count the messages that would be affected")];

/// Topics that one step visits before other tasks have a turn.
const TOPICS_A_STEP: usize = 4_096;

pub(super) async fn list(call: Call) -> Answer {
    let text = call.query.text("topic").or(call.query.text("filter")).unwrap_or("#").to_owned();
    let filter = TopicFilter::new(&text).map_err(|error| bad("filter", error.to_string()))?;
    let (router, limit) = (call.router().clone(), call.limit());
    let (mut data, mut bytes, mut behind) = (Vec::new(), 0, Some(call.cursor()?));
    while let Some(after) = behind.filter(|_| data.len() < limit && bytes <= MOST_BYTES) {
        behind = router.retained(filter, after, TOPICS_A_STEP, &mut |retained| {
            let mut shown = json!({
                "topic": retained.topic().as_str(),
                "qos": retained.qos() as u8,
                "size": retained.payload().len(),
                "expires_at": retained.expires().map(|at| call.time(at)),
                "at": retained.since().map(|at| call.time(at)),
                "client_id": retained.publisher().map(ClientId::as_str),
                "user": retained.user(),
                "own": retained.is_own(),
                "properties": properties(retained.properties()),
            });
            if call.query.flag("payload") {
                bytes += retained.payload().len();
                put_payload(&mut shown, retained.payload());
            }
            data.push(shown);
            if data.len() < limit && bytes <= MOST_BYTES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        tokio::task::yield_now().await;
    }
    call.list(data, behind.map(|cursor| next(cursor.number())))
}

pub(super) async fn remove(call: Call) -> Answer {
    let Some(text) = call.query.text("topic").or(call.query.text("filter")) else {
        let detail = "this would remove every retained message: add a topic or a filter (%23 for all)";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "no-filter", detail));
    };
    let filter = TopicFilter::new(text).map_err(|error| bad("filter", error.to_string()))?;
    let (router, dry, mut messages) = (call.router().clone(), call.query.flag("dry_run"), 0_usize);
    let (mut behind, mut stored) = (Some(Cursor::default()), Stored::Done);
    while let Some(after) = behind {
        behind = match dry {
            true => router.retained(filter, after, TOPICS_A_STEP, &mut |retained| {
                messages += usize::from(!retained.is_own());
                ControlFlow::Continue(())
            }),
            false => {
                let now = call.state.clock.now();
                let (removed, kept) = call.desk.operator.remove_retained(now, filter, after, TOPICS_A_STEP);
                messages += removed.messages;
                stored = stored.and(kept);
                removed.next
            }
        };
        tokio::task::yield_now().await;
    }
    until_kept(router, stored).await.map_err(|reason| {
        let detail = format!("{messages} messages were removed, which is not kept yet: {reason}");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-kept", detail)
    })?;
    Ok(answer(&json!({ "messages": messages, "dry_run": dry })))
}
