//! `traces`: packets of a client, of a network or about topics, as lines of JSON.

use std::{pin::pin, time::Duration};

use axum::{
    body::Bytes,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    super::problem::Problem,
    call::{Answer, Call, answer, check_fields, time},
    parameters::{Kind, Parameter, bad, duration},
    schema::{Is, Shape, field, nullable, optional},
    streams::lines,
};
use crate::{
    topic::TopicFilter,
    trace::{Asked, MOST_TRACES, Shown, Target, TooMany, Traces, first_line},
    types::Network,
};

pub(super) static TRACE: Shape = Shape {
    name: "Trace",
    fields: &[
        field("id", Is::Number),
        nullable("client_id", Is::Text),
        nullable("filter", Is::Text),
        nullable("network", Is::Text),
        field("payload", Is::Flag),
        field("attached", Is::Flag),
        field("by", Is::Text),
        field("started", Is::Time),
        field("until", Is::Time),
        nullable("ended", Is::Time),
        field("packets", Is::Number),
        field("bytes", Is::Number),
        field("lost", Is::Number),
    ],
};

/// The body of POST.
pub(super) static NEW: Shape = Shape {
    name: "NewTrace",
    fields: &[
        optional("client_id", Is::Text),
        optional("filter", Is::Text),
        optional("network", Is::Text),
        optional("payload", Is::Flag),
        optional("attached", Is::Flag),
        optional("for", Is::Text),
    ],
};

pub(super) static REMOVED: Shape = Shape { name: "TraceRemoved", fields: &[field("removed", Is::Flag)] };

pub(super) static FOLLOW: [Parameter; 1] =
    [Parameter::new("follow", Kind::Flag, "Wait for further packets until the trace has ended")];

/// The duration without `for`, and the longest one.
const USUAL: Duration = Duration::from_secs(10 * 60);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Approximate bytes of lines in one read.
const A_PIECE: usize = 64 << 10;

pub(super) async fn list(call: Call) -> Answer {
    let data = call.desk.traces.all().iter().map(shown).collect();
    call.list(data, None)
}

pub(super) async fn start(call: Call) -> Answer {
    let body = call.json()?;
    check_fields(&body, &NEW)?;
    let target = target(&body)?;
    let (payload, attached) = (flag(&body, "payload")?, flag(&body, "attached")?);
    let lasts = match &body["for"] {
        Value::Null => USUAL,
        lasts => match lasts.as_str().and_then(duration).filter(|lasts| !lasts.is_zero() && *lasts <= LONGEST) {
            Some(lasts) => lasts,
            None => return Err(bad("body", "for: a duration such as \"10m\" is expected, of at most 24h")),
        },
    };
    let by = call.caller.name.as_str().into();
    match call.desk.traces.start(Asked { target, payload, lasts, attached, by }) {
        Ok(trace) => Ok(answer(&shown(&trace))),
        Err(TooMany) => {
            let detail = format!("{MOST_TRACES} traces run already: stop one");
            Err(Problem::new(StatusCode::CONFLICT, "too-many", detail))
        }
    }
}

fn flag(body: &Value, name: &str) -> Result<bool, Problem> {
    match &body[name] {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        _ => Err(bad("body", format!("{name}: true or false is expected"))),
    }
}

fn target(body: &Value) -> Result<Target, Problem> {
    let all = ["client_id", "filter", "network"];
    let there: Vec<_> = all.into_iter().filter(|name| !body[*name].is_null()).collect();
    let [name] = there[..] else {
        return Err(bad("body", "client_id, filter or network: exactly one is expected"));
    };
    let text = body[name].as_str().ok_or_else(|| bad("body", format!("{name}: a text is expected")))?;
    match name {
        "client_id" if text.is_empty() => Err(bad("body", "client_id: it is empty")),
        "client_id" => Ok(Target::Client(text.into())),
        "filter" => match TopicFilter::new(text) {
            Ok(filter) => Ok(Target::Topics(filter.as_str().into())),
            Err(error) => Err(bad("body", format!("filter: {error}"))),
        },
        _ => text
            .parse::<Network>()
            .map(Target::Network)
            .map_err(|error| bad("body", format!("network: {text:?} is {error}"))),
    }
}

fn shown(trace: &Shown) -> Value {
    let (client, filter, network) = match &trace.asked.target {
        Target::Client(id) => (Some(id), None, None),
        Target::Topics(filter) => (None, Some(filter), None),
        Target::Network(network) => (None, None, Some(network.to_string())),
    };
    json!({
        "id": trace.id,
        "client_id": client,
        "filter": filter,
        "network": network,
        "payload": trace.asked.payload,
        "attached": trace.asked.attached,
        "by": trace.asked.by,
        "started": time(trace.started),
        "until": time(trace.until),
        "ended": trace.ended.map(time),
        "packets": trace.packets,
        "bytes": trace.bytes,
        "lost": trace.lost,
    })
}

pub(super) async fn stop(call: Call) -> Answer {
    let stopped = number(&call).and_then(|id| call.desk.traces.stop(id));
    stopped.map(|trace| answer(&shown(&trace))).ok_or_else(|| unknown(&call))
}

pub(super) async fn remove(call: Call) -> Answer {
    match number(&call).is_some_and(|id| call.desk.traces.remove(id)) {
        true => Ok(answer(&json!({ "removed": true }))),
        false => Err(unknown(&call)),
    }
}

fn number(call: &Call) -> Option<u64> {
    call.id.parse().ok()
}

fn unknown(call: &Call) -> Problem {
    let id: String = call.id.chars().take(100).collect();
    Problem::new(StatusCode::NOT_FOUND, "no-trace", format!("there is no trace {id:?}"))
}

/// Answers the lines of a trace, and with `follow` its further lines.
pub(super) async fn read(call: Call) -> Answer {
    let trace = number(&call).and_then(|id| call.desk.traces.one(id)).ok_or_else(|| unknown(&call))?;
    let (sender, body) = lines(&call.state)?;
    let name = format!("attachment; filename=\"trace-{}.jsonl\"", trace.id);
    let head = [
        (header::CONTENT_TYPE, "application/jsonl".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    let follows = call.query.flag("follow");
    tokio::spawn(async move {
        tokio::select! {
            () = pass_on(&call.desk.traces, &trace, follows, &sender) => {}
            () = sender.closed() => {}
            () = call.caller.is_let_in_no_more(&call.state) => {}
        }
        if follows && trace.asked.attached {
            call.desk.traces.stop(trace.id);
        }
    });
    Ok((head, body).into_response())
}

async fn pass_on(traces: &Traces, trace: &Shown, follows: bool, sender: &mpsc::Sender<Bytes>) {
    let Some((news, until)) = traces.news(trace.id) else { return };
    let mut text = first_line(trace.started) + "\n";
    let mut from = 0;
    loop {
        let mut told = pin!(news.notified());
        told.as_mut().enable();
        let Some(lines) = traces.read(trace.id, from, A_PIECE) else { return };
        if lines.lost > 0 {
            text += &format!("{}\n", json!({ "lost": lines.lost }));
        }
        lines.lines.iter().for_each(|line| text += line);
        from = lines.next;
        if !text.is_empty() && sender.send(std::mem::take(&mut text).into()).await.is_err() {
            return;
        }
        if !lines.lines.is_empty() {
            continue;
        }
        if !follows || lines.has_ended {
            return;
        }
        tokio::select! {
            () = told => {}
            () = traces.until(until) => {}
        }
    }
}
