//! `slow`: the subscribers with the longest times to acknowledge a message.

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::{
    super::slow::{MOST, Pair, Took},
    call::{Answer, Call, answer},
    parameters::{Kind, Parameter},
    schema::{Is, Shape, field, nullable},
};
use crate::router::inspect::{Cursor, SESSIONS_A_STEP, Wanted};

pub(super) static SLOWEST: [Parameter; 1] =
    [Parameter::new("limit", Kind::Number(1, MOST as u64), "Most pairs; default 100")];

static PAIR: Shape = Shape {
    name: "SlowSubscriber",
    fields: &[
        field("client_id", Is::Text),
        field("topic", Is::Text),
        field("qos", Is::Number),
        field("seconds", Is::Seconds),
        field("queued_seconds", Is::Seconds),
        field("unacknowledged_seconds", Is::Seconds),
        nullable("acknowledged_at", Is::Time),
    ],
};

pub(super) static SLOW: Shape =
    Shape { name: "SlowSubscribers", fields: &[field("threshold", Is::Seconds), field("data", Is::List(&PAIR))] };

pub(super) async fn slowest(call: Call) -> Answer {
    let threshold = call.state.rules.load().slow_threshold;
    let mut pairs = call.state.slow.all();
    waiting(&call, &mut pairs).await;
    pairs.retain(|(_, took)| took.whole() >= threshold);
    crate::types::sort_by_key(&mut pairs, |(_, took)| std::cmp::Reverse(took.whole()));
    pairs.truncate(call.limit());
    let data: Vec<_> = pairs.iter().map(|pair| row(&call, pair)).collect();
    Ok(answer(&json!({ "threshold": threshold.as_secs_f64(), "data": data })))
}

/// Adds timed messages that are not acknowledged yet: the longest waiting ones, a few more than the answer shows.
async fn waiting(call: &Call, pairs: &mut Vec<Pair>) {
    let (now, mut next) = (call.state.clock.now(), Some(Cursor::default()));
    let mut found: Vec<Pair> = Vec::new();
    while let Some(after) = next {
        next = call.router().clients(after, Wanted::Connected, SESSIONS_A_STEP, &mut |view| {
            if let Some(timed) = view.session.timed {
                let (queued, unacknowledged) = timed.times(now);
                let took = Took { qos: timed.qos, queued, unacknowledged, acknowledged: None };
                found.push(((view.client.clone(), timed.topic().as_str().into()), took));
            }
            ControlFlow::Continue(())
        });
        if found.len() > 2 * MOST {
            crate::types::sort_by_key(&mut found, |(_, took)| std::cmp::Reverse(took.whole()));
            found.truncate(MOST);
        }
        tokio::task::yield_now().await;
    }
    for (pair, took) in found {
        match pairs.iter_mut().find(|(known, _)| *known == pair) {
            Some((_, known)) if known.whole() < took.whole() => *known = took,
            Some(_) => {}
            None => pairs.push((pair, took)),
        }
    }
}

fn row(call: &Call, ((client, topic), took): &Pair) -> Value {
    json!({
        "client_id": client.as_str(),
        "topic": &**topic,
        "qos": took.qos as u8,
        "seconds": took.whole().as_secs_f64(),
        "queued_seconds": took.queued.as_secs_f64(),
        "unacknowledged_seconds": took.unacknowledged.as_secs_f64(),
        "acknowledged_at": took.acknowledged.map(|at| call.time(at)),
    })
}
