//! `live`: everything that one page of the web console shows, as one stream of server-sent events with at most 10
//! updates a second. A slow reader loses messages and gets the number of lost ones.
//!
//! | module | owns |
//! |---|---|
//! | this one | the stream and its updates |
//! | `lane` | messages of one filter |
//! | `shown` | the first messages of each update |
//! | `topics` | the last message and the number of messages of each topic |

mod lane;
mod shown;
mod topics;

use std::{fmt::Display, pin::pin, time::Duration};

use axum::{body::Bytes, http::StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use self::{
    lane::{Lane, Most},
    shown::Shown,
    topics::Topics,
};
use super::{
    super::{
        feed::{Direction, Feed, Kind as Taken},
        history::Point,
        problem::Problem,
    },
    call::{Answer, Call, time},
    history::show,
    parameters::{Kind, Parameter, bad},
    streams,
};
use crate::{router::inspect::EventStream, topic::TopicFilter, types::Role};

pub(super) static LIVE: [Parameter; 8] = [
    Parameter::new("points", Kind::Flag, "A point of history each second"),
    Parameter::new("events", Kind::Flag, "Events, as the route events sends them without publish"),
    Parameter::new("topics", Kind::Filter, "The last message of each topic that this filter matches; 50,000 topics"),
    Parameter::new("watch", Kind::Topic, "Every message of this topic, with its payload: operator or higher"),
    Parameter::new("messages", Kind::Filter, "Messages that this filter matches, 40 an update: operator or higher"),
    Parameter::new(
        "deliveries",
        Kind::Filter,
        "Messages on their way to connected clients, each as often as \
        there are receivers, 40 an update: operator or higher",
    ),
    Parameter::new("record", Kind::Filter, "All messages that this filter matches: operator or higher"),
    Parameter::new(
        "resumed",
        Kind::Words(&["topics", "watch", "messages", "record"]),
        "Without retained messages: these \
        go on from another stream",
    ),
];

/// Time between two updates. Each one wakes this task, the connection and the page.
const EVERY: Duration = Duration::from_millis(100);

/// Most events of clients in one update.
const MOST_EVENTS: usize = 400;

/// Bounds of a lane in one update.
const WATCHED: Most = Most { messages: 400, bytes: 4 << 20 };
const SHOWN: Most = Most { messages: 40, bytes: 2 << 20 };
const RECORDED: Most = Most { messages: 4_000, bytes: 8 << 20 };

/// The parameters of a page's stream.
struct Live {
    call: Call,
    points: Option<u64>,
    events: Option<EventStream>,
    events_lost: u64,
    topics: Option<Topics>,
    shown: Option<Shown>,
    delivered: Option<Shown>,
    lanes: Vec<Lane>,
}

pub(super) async fn live(call: Call) -> Answer {
    let sees_payloads = call.caller.role >= Role::Operator;
    let text = |name: &str| call.query.text(name).map(str::to_owned);
    let asked = [("watch", WATCHED), ("messages", SHOWN), ("record", RECORDED)];
    let asked = asked.into_iter().filter_map(|(name, most)| Some((name, text(name)?, most)));
    let asked: Vec<_> = asked.collect();
    let deliveries = text("deliveries");
    let payloads_of = asked.first().map(|(name, ..)| *name).or(deliveries.as_ref().map(|_| "deliveries"));
    if let Some(name) = payloads_of.filter(|_| !sees_payloads) {
        let detail = format!("{name} shows payloads: it requires the role \"operator\" or a higher one");
        return Err(Problem::new(StatusCode::FORBIDDEN, "role", detail));
    }
    let (sender, response) = streams::stream(&call.state)?;
    let resumed = call.query.text("resumed").unwrap_or_default();
    let is_new = |name: &str| !resumed.split(',').any(|resumed| resumed == name);
    let tap_of = |filter: &str, way: Direction, kind: Taken| {
        TopicFilter::new(filter).map(|filter| Feed::tap(&call.state.feed, filter, way, kind))
    };
    let tap = |filter: &str, kind: Taken| tap_of(filter, Direction::In, kind);
    let (mut lanes, mut shown) = (Vec::new(), None);
    for (name, filter, most) in asked {
        let is_fed = name == "messages" && TopicFilter::new(&filter).is_ok_and(Feed::serves);
        let tap = is_fed.then(|| tap(&filter, Taken::messages(most.messages, most.bytes)).ok()).flatten();
        // what is fed comes from a lane as far as it was retained before
        let lane = match tap.is_none() || is_new(name) {
            true => Some(Lane::open(&call, name, filter, most, is_new(name)).await?),
            false => None,
        };
        match tap {
            Some(tap) => shown = Some(Shown::new(tap, lane)),
            None => lanes.extend(lane),
        }
    }
    let delivered = match deliveries {
        Some(filter) => {
            let tap = tap_of(&filter, Direction::Out, Taken::messages(SHOWN.messages, SHOWN.bytes));
            Some(Shown::new(tap.map_err(|error| bad("filter", error.to_string()))?, None))
        }
        None => None,
    };
    let topics = match text("topics") {
        Some(filter) => {
            let stays = !TopicFilter::new(&filter).is_ok_and(Feed::serves);
            let tap = tap(&filter, Taken::topics(topics::KEPT)).map_err(|error| bad("filter", error.to_string()))?;
            let lane = match stays || is_new("topics") {
                true => Some(Lane::open(&call, "topics", filter, topics::TAKEN, is_new("topics")).await?),
                false => None,
            };
            Some(Topics::new(tap, lane, stays, sees_payloads))
        }
        None => None,
    };
    let events = call.query.flag("events").then(|| call.desk.events.open(streams::kinds(&call, None)));
    let points = call.query.flag("points").then_some(0);
    let live = Live { call, points, events, events_lost: 0, topics, shown, delivered, lanes };
    tokio::spawn(live.run(sender));
    Ok(response)
}

impl Live {
    /// Sends updates until the reader is gone.
    async fn run(mut self, sender: mpsc::Sender<Bytes>) {
        let (clock, caller, state) = (self.call.state.clock.clone(), self.call.caller.clone(), self.call.state.clone());
        let mut revoked = pin!(caller.is_let_in_no_more(&state));
        loop {
            let update = self.update();
            if !update.is_empty() && sender.send(update.into()).await.is_err() {
                return;
            }
            tokio::select! {
                () = clock.sleep(EVERY) => {}
                () = sender.closed() => return,
                () = &mut revoked => return,
            }
        }
    }

    /// Everything since the last update, as server-sent events.
    fn update(&mut self) -> String {
        let mut out = String::new();
        let now = self.call.state.clock.wall();
        let mut put = |name: &str, data: &dyn Display| out.push_str(&streams::text_of_event(name, data));
        if let Some((point, at)) = self.points.as_mut().and_then(|seen| self.call.state.history.after(seen)) {
            put("point", &point_at(&point, time(at)));
        }
        if let Some(data) = self.happened() {
            put("events", &data);
        }
        if let Some(topics) = &mut self.topics {
            if let Some(data) = topics.update(now) {
                put("topics", &data);
            }
            if let Some(lost) = topics.lost() {
                put("lost", &json!({ "of": "topics", "lost": lost }));
            }
        }
        for (name, shown) in [("messages", &mut self.shown), ("deliveries", &mut self.delivered)] {
            let Some((data, skipped)) = shown.as_mut().map(|shown| shown.update(now)) else { continue };
            if !data.is_empty() || skipped > 0 {
                put(name, &json!({ "data": data, "skipped": skipped }));
            }
        }
        for lane in &mut self.lanes {
            let (data, skipped) = lane.update();
            if !data.is_empty() || skipped > 0 {
                put(lane.name, &json!({ "data": data, "skipped": skipped }));
            }
        }
        out
    }

    fn happened(&mut self) -> Option<Value> {
        let events = self.events.as_mut()?;
        let mut data = Vec::new();
        while data.len() < MOST_EVENTS
            && let Some(happened) = events.try_recv()
        {
            let Some(word) = streams::word_of(&happened) else { continue };
            let mut shown = streams::shown(&self.call, &happened);
            shown["type"] = word.into();
            data.push(shown);
        }
        let lost = events.lost();
        let newly = lost - std::mem::replace(&mut self.events_lost, lost);
        (!data.is_empty() || newly > 0).then(|| json!({ "data": data, "lost": newly }))
    }
}

fn point_at(point: &Point, at: String) -> Value {
    let mut shown = show(point);
    shown["at"] = at.into();
    shown
}
