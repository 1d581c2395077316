//! `sinks`: the file sinks and their states.

use serde_json::{Map, Value, json};

use super::{
    super::control::SinkState,
    call::{Answer, Call, answer, time},
    schema::{Is, Shape, field, nullable},
};

pub(super) static SINK: Shape = Shape {
    name: "Sink",
    fields: &[
        field("name", Is::Text),
        field("file", Is::Text),
        field("state", Is::Text),
        nullable("error", Is::Text),
        nullable("error_at", Is::Time),
        field("counters", Is::Any),
    ],
};

pub(super) async fn list(call: Call) -> Answer {
    let all = call.desk.control.sinks();
    Ok(answer(&json!({ "data": all.iter().map(shown).collect::<Vec<_>>(), "next": null })))
}

fn shown(sink: &SinkState) -> Value {
    let counters: Map<String, Value> =
        sink.counts.iter().map(|(name, _, number)| ((*name).to_owned(), (*number).into())).collect();
    json!({
        "name": sink.name,
        "file": sink.file,
        "state": if sink.fails { "failing" } else { "working" },
        "error": sink.error.as_ref().map(|(why, _)| why),
        "error_at": sink.error.as_ref().map(|(_, at)| time(*at)),
        "counters": counters,
    })
}
