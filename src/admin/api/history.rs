//! `history`: rates and levels of the last 15 minutes.

use serde_json::{Map, Value, json};

use super::{
    super::history::{EVERY, Point},
    call::{Answer, Call, answer, time},
    schema::{Is, Shape, field, nullable},
};

pub(super) static HISTORY: Shape = Shape {
    name: "History",
    fields: &[field("every", Is::Number), nullable("ends_at", Is::Time), field("points", Is::Any)],
};

/// Answers with a list of numbers for each name, the oldest first.
pub(super) async fn history(call: Call) -> Answer {
    let (points, at) = call.state.history.all();
    let mut columns = Map::new();
    for point in &points {
        let Value::Object(shown) = show(point) else { continue };
        for (name, value) in shown {
            let column = columns.entry(name).or_insert_with(|| Value::Array(Vec::with_capacity(points.len())));
            column.as_array_mut().into_iter().for_each(|column| column.push(value.clone()));
        }
    }
    Ok(answer(&json!({ "every": EVERY.as_secs(), "ends_at": at.map(time), "points": columns })))
}

/// A point as an object.
pub(super) fn show(point: &Point) -> Value {
    json!({
        "messages_received": point.messages_received,
        "messages_sent": point.messages_sent,
        "messages_dropped": point.messages_dropped,
        "bytes_received": point.bytes_received,
        "bytes_sent": point.bytes_sent,
        "connected": point.connected,
        "queued": point.queued,
        "queued_bytes": point.queued_bytes,
        "fsync_p99": point.fsync_p99.is_finite().then_some(point.fsync_p99),
    })
}
