//! Clock, resets, restarts, events.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{
        clock::{Turn, Turned},
        forget::Reset,
        options::TestError,
        quiet::SETTLES_WITHIN,
        restart::Restart,
        shown::entry,
        span::{Span, shown},
    },
    call::{Answer, Call, bad, ended},
};
use crate::admin::Problem;

/// `{"advance": "25h", "keep_alive": true}`, `{"pause": true}`, `{"resume": true}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AskedClock {
    advance: Option<Span>,
    keep_alive: bool,
    pause: bool,
    resume: bool,
}

/// Largest sum of advances: dates would have five digits in years.
const FURTHEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

pub(super) async fn now(call: Call) -> Answer {
    Ok(shown_clock(&call.bench.turned(true)))
}

pub(super) async fn clock(call: Call) -> Answer {
    let AskedClock { advance, keep_alive, pause, resume } = call.asked()?;
    let advance = advance.unwrap_or_default().0;
    if pause && resume {
        return Err(bad("pause or resume, not both"));
    }
    if advance > FURTHEST || call.bench.turned(true).by + advance > FURTHEST {
        return Err(bad("advance: at most 100 years in total"));
    }
    let paused = if pause { Some(true) } else { resume.then_some(false) };
    let turned = call.bench.turn(Turn { paused, advance, keep_alive }).await;
    Ok(shown_clock(&turned))
}

fn shown_clock(turned: &Turned) -> Value {
    json!({
        "now": humantime::format_rfc3339_micros(turned.wall).to_string(),
        "advanced": shown(turned.by),
        "paused": turned.paused,
        "settled": turned.settled,
    })
}

/// `{}`: everything; `{"prefix": "t1/"}`: Client Identifiers and topics; or either of both.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AskedReset {
    prefix: Option<String>,
    clients: Option<String>,
    topics: Option<String>,
}

pub(super) async fn reset(call: Call) -> Answer {
    let AskedReset { prefix, clients, topics } = call.asked()?;
    if [&prefix, &clients, &topics].into_iter().flatten().any(String::is_empty) {
        return Err(bad("an empty prefix: leave it out to reset everything"));
    }
    let reset = Reset { clients: clients.or(prefix.clone()), topics: topics.or(prefix) };
    if call.bench.server().await.is_none() {
        return Err(ended());
    }
    let forgotten = call.bench.reset(&reset).await;
    Ok(json!({
        "sessions": forgotten.sessions,
        "retained": forgotten.retained,
        "settled": forgotten.settled,
        "last": call.bench.journal.last(),
    }))
}

/// `{"kill": true}`, the default; `{"kill": false, "down": "2s", "empty": true}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AskedRestart {
    kill: bool,
    down: Span,
    empty: bool,
}

impl Default for AskedRestart {
    fn default() -> Self {
        Self { kill: true, down: Span::default(), empty: false }
    }
}

pub(super) async fn restart(call: Call) -> Answer {
    const LONGEST: Duration = Duration::from_secs(600);
    let AskedRestart { kill, down: Span(down), empty } = call.asked()?;
    if down > LONGEST {
        return Err(bad("down: at most 10m"));
    }
    restarted(&call, call.bench.restart(&Restart { gently: !kill, down, empty }).await)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedName {
    name: String,
}

pub(super) async fn snapshot(call: Call) -> Answer {
    let AskedName { name } = call.asked()?;
    let noted = call.bench.snapshot(&name, SETTLES_WITHIN).await;
    noted.map(|()| json!({ "name": name })).map_err(|wrong| Problem::new(StatusCode::CONFLICT, "snapshot", wrong))
}

pub(super) async fn restore(call: Call) -> Answer {
    let AskedName { name } = call.asked()?;
    match call.bench.restore(&name).await {
        Some(done) => restarted(&call, done),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "not-found", format!("there is no snapshot {name:?}"))),
    }
}

/// The body is the content of a file that `dunlin ctl export` or `dunlin store export` wrote.
pub(super) async fn seed(call: Call) -> Answer {
    let (kept, done) = call.bench.seed(&call.body).await.map_err(bad)?;
    let mut answer = restarted(&call, done)?;
    answer["kept"] = kept.into();
    Ok(answer)
}

fn restarted(call: &Call, done: Result<(), TestError>) -> Answer {
    done.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "restart", error.to_string()))?;
    Ok(json!({ "last": call.bench.journal.last() }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AskedIdle {
    within: Option<Span>,
}

pub(super) async fn idle(call: Call) -> Answer {
    let AskedIdle { within } = call.asked()?;
    let idle = call.bench.is_quiet(within.map_or(Duration::from_secs(5), |within| within.0)).await;
    Ok(json!({ "idle": idle, "last": call.bench.journal.last() }))
}

/// `?after=NUMBER`: at most a thousand events after this one.
pub(super) async fn events(call: Call) -> Answer {
    const MOST: usize = 1_000;
    let after = match call.query.strip_prefix("after=") {
        Some(number) => number.parse().map_err(|_| bad("after: the number of an event"))?,
        None if call.query.is_empty() => 0,
        None => return Err(bad("the one parameter is after")),
    };
    let all = call.bench.journal.after(after);
    let data: Vec<_> = all.iter().take(MOST).map(|one| entry(one)).collect();
    let last = all.get(MOST.min(all.len()).wrapping_sub(1)).map_or(after, |one| one.number);
    Ok(json!({ "data": data, "last": last, "lost": call.bench.journal.lost() }))
}
