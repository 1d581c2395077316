//! `topics`: the busiest topics.

use serde_json::{Value, json};

use super::{
    super::topics::By,
    call::{Answer, Call, answer},
    parameters::{Kind, Parameter},
    schema::{Is, Shape, field},
};

/// Most topics in one answer.
const MOST: u64 = 100;

pub(super) static BUSIEST: [Parameter; 3] = [
    Parameter::new("sys", Kind::Flag, "With those below $SYS, which the broker publishes"),
    Parameter::new("by", Kind::Choice(&["messages", "bytes"]), "By messages (the default) or payload bytes"),
    Parameter::new("limit", Kind::Number(1, MOST), "Most topics; default 100"),
];

static TOPIC: Shape = Shape {
    name: "BusyTopic",
    fields: &[field("topic", Is::Text), field("count", Is::Number), field("error", Is::Number)],
};

pub(super) static TOPICS: Shape = Shape {
    name: "BusiestTopics",
    fields: &[field("since", Is::Time), field("by", Is::Text), field("data", Is::List(&TOPIC))],
};

pub(super) async fn busiest(call: Call) -> Answer {
    let (by, word) = match call.query.text("by") {
        Some("bytes") => (By::Bytes, "bytes"),
        _ => (By::Messages, "messages"),
    };
    let (since, mut places) = call.state.topics.first(by);
    if !call.query.flag("sys") {
        places.retain(|place| !place.name.starts_with("$SYS/"));
    }
    places.truncate(call.limit());
    let row = |place: &super::super::busiest::Place| -> Value {
        json!({ "topic": &*place.name, "count": place.count, "error": place.error })
    };
    let data: Vec<_> = places.iter().map(row).collect();
    Ok(answer(&json!({ "since": call.time(since), "by": word, "data": data })))
}
