//! `events` and `messages`: streams of server-sent events. A slow reader loses some and gets the number of lost ones.

use std::{
    convert::Infallible,
    fmt::Display,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    super::{feed::PAGES, problem::Problem, state::State},
    call::{Answer, Call, time},
    parameters::{Kind, Parameter, bad},
};
use crate::{
    inside::{Client, InsideClient, Received},
    router::{
        EventKinds,
        inspect::{Happened, What},
    },
    session::Missed,
    trace::{properties, put_payload},
    types::{QoS, Role, Told},
};

/// Most streams at the same time.
const MOST_STREAMS: usize = 32;

/// Events in the channel to a connection: more wait in the bounded ring.
const ON_THEIR_WAY: usize = 16;

/// The type of an event in these streams; `None`: it is in none of them.
const fn type_of(told: Told) -> Option<&'static str> {
    Some(match told {
        Told::ClientConnected => "connect",
        Told::ClientDisconnected => "disconnect",
        Told::ClientRefused => "refuse",
        Told::ClientBanned => "ban",
        Told::ClientSubscribed => "subscribe",
        Told::ClientUnsubscribed => "unsubscribe",
        Told::SessionExpired => "session_expired",
        Told::MessagePublished => "publish",
        Told::MessageDropped => "drop",
        Told::WillPublished => "will",
        Told::BrokerStopping => "broker_stopping",
        Told::StoreCondition => "store",
        Told::BridgeUp => "bridge_up",
        Told::BridgeDown => "bridge_down",
        // no stream can be open yet
        Told::BrokerStarted => return None,
        Told::MessageDelivered | Told::MessageAcknowledged => return None,
    })
}

/// The type of bans, which operators see.
const BAN: &str = "ban";

/// All types.
const TYPES: [&str; Told::WORDS.len() - 3] = {
    let mut types = [""; Told::WORDS.len() - 3];
    let (mut at, mut next) = (0, 0);
    while at < Told::WORDS.len() {
        if let Some(word) = type_of(Told::WORDS[at].1) {
            types[next] = word;
            next += 1;
        }
        at += 1;
    }
    assert!(next == types.len());
    types
};

pub(super) static EVENTS: [Parameter; 3] = [
    Parameter::new("types", Kind::Words(&TYPES), "These events; default: all but publish; ban: operator or higher"),
    Parameter::new("client_id", Kind::Text, "Of this client"),
    Parameter::new("payload", Kind::Flag, "With payloads: operator or higher"),
];

pub(super) static MESSAGES: [Parameter; 2] = [
    Parameter::required("filter", Kind::Filter, "Messages of the topics that this filter matches"),
    Parameter::new("qos", Kind::Number(0, 2), "Maximum QoS; default 0"),
];

pub(super) async fn events(call: Call) -> Answer {
    let shows_payload = call.query.flag("payload");
    if shows_payload && call.caller.role < Role::Operator {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "role",
            "payloads require the role \"operator\" or a higher one",
        ));
    }
    let types = call.query.text("types");
    if types.is_some_and(|types| types.split(',').any(|word| word == BAN)) && call.caller.role < Role::Operator {
        return Err(Problem::new(StatusCode::FORBIDDEN, "role", "bans require the role \"operator\" or a higher one"));
    }
    let payloads = if shows_payload { EventKinds::PAYLOADS } else { EventKinds::NONE };
    let kinds = kinds(&call, types) | payloads;
    let types = types.map(str::to_owned);
    let of = call.query.text("client_id").map(str::to_owned);
    let (sender, response) = stream(&call.state)?;
    let mut events = call.desk.events.open(kinds);
    tokio::spawn(async move {
        let mut told = 0;
        let mut revoked = pin!(call.caller.is_let_in_no_more(&call.state));
        loop {
            let happened = tokio::select! {
                happened = events.recv() => happened,
                () = sender.closed() => return,
                () = &mut revoked => return,
            };
            let lost = events.lost();
            if lost > told && sender.send(event("lost", &json!({ "lost": lost - told }))).await.is_err() {
                return;
            }
            told = lost;
            let is_of = |of: &String| happened.client.as_ref().is_some_and(|client| client.as_str() == of);
            if !of.as_ref().is_none_or(is_of) {
                continue;
            }
            let Some(word) = word_of(&happened).filter(|word| is_wanted(types.as_deref(), word)) else { continue };
            if sender.send(event(word, &shown(&call, &happened))).await.is_err() {
                return;
            }
        }
    });
    Ok(response)
}

/// Is an event of this type to be sent? `types`: a list of those to be sent; `None`: all but publish.
fn is_wanted(types: Option<&str>, word: &str) -> bool {
    types.map_or(word != "publish", |types| types.split(',').any(|wanted| wanted == word))
}

/// The kinds of the events of these types, as far as the caller may see them.
pub(super) fn kinds(call: &Call, types: Option<&str>) -> EventKinds {
    let sees = |word: &str| word != BAN || call.caller.role >= Role::Operator;
    let is_seen = |told: &Told| type_of(*told).is_some_and(|word| is_wanted(types, word) && sees(word));
    let seen = Told::WORDS.iter().map(|(_, told)| *told).filter(is_seen);
    seen.fold(EventKinds::NONE, |all, told| all | EventKinds::of(told))
}

/// The type of this event.
pub(super) fn word_of(happened: &Happened) -> Option<&'static str> {
    type_of(happened.told()?)
}

pub(super) fn shown(call: &Call, happened: &Happened) -> Value {
    let mut shown = json!({ "at": time(call.state.clock.wall()) });
    let mut put = |name: &str, value: Value| shown[name] = value;
    if let Some(client) = &happened.client {
        put("client_id", client.as_str().into());
    }
    if let Some(user) = &happened.user {
        put("user", (&**user).into());
    }
    if let Some((listener, version)) = happened.came_by {
        put("listener", listener.into());
        put("protocol", version.to_string().into());
    }
    match &happened.what {
        What::Connect { peer, clean_session, session_present } => {
            put("peer", peer.to_string().into());
            put("clean_session", (*clean_session).into());
            put("session_present", (*session_present).into());
        }
        What::Disconnect { reason, duration, received_bytes, sent_bytes } => {
            put("reason", reason.to_string().into());
            // known to a tenth of a second
            put("duration_seconds", ((duration.as_millis() / 100) as f64 / 10.0).into());
            put("received_bytes", (*received_bytes).into());
            put("sent_bytes", (*sent_bytes).into());
        }
        What::Subscribe(filter, options) => {
            put("filter", (&**filter).into());
            put("qos", (options.qos as u8).into());
        }
        What::Unsubscribe(filter) => put("filter", (&**filter).into()),
        What::Message { topic, qos, retain, payload, content, properties: all } => {
            put("topic", (&**topic).into());
            put("qos", (*qos as u8).into());
            put("retain", (*retain).into());
            put("size", (*payload).into());
            put("properties", properties(all.as_properties()));
            content.iter().for_each(|content| put_payload(&mut shown, content));
        }
        What::Drop { topic, payload, reason } => {
            put("topic", (&**topic).into());
            put("size", (*payload).into());
            put("reason", reason.why().into());
        }
        What::SessionExpired(after) => put("away", after.as_secs().into()),
        What::Refuse { peer, reason } => {
            put("peer", peer.to_string().into());
            put("reason", reason.to_string().into());
        }
        What::Ban { network, reason, by, until } => {
            put("network", network.map(|network| network.to_string()).into());
            put("reason", (&**reason).into());
            put("by", (&**by).into());
            put("until", until.map(time).into());
        }
        What::Start | What::Stop => put("version", env!("CARGO_PKG_VERSION").into()),
        What::Store(condition) => put("condition", condition.to_string().into()),
        What::Bridge { name, address, down } => {
            put("name", (&**name).into());
            put("address", (&**address).into());
            down.iter().for_each(|reason| put("reason", (&**reason).into()));
        }
        // no stream asks for these
        What::Ping | What::Timed { .. } | What::Acknowledge { .. } => {}
    }
    shown
}

pub(super) async fn messages(call: Call) -> Answer {
    let filter = call.query.text("filter").unwrap_or_default().to_owned();
    let qos = call.query.number("qos").and_then(|qos| QoS::from_bits(u8::try_from(qos).ok()?)).unwrap_or_default();
    let (sender, response) = stream(&call.state)?;
    let id = format!("{PAGES}{}", call.state.stream_ids.fetch_add(1, Ordering::Relaxed));
    let asked = InsideClient { id, filters: vec![filter], qos, retain_as_published: true, ..InsideClient::default() };
    let client = call.desk.inside.client(asked).await;
    let client = client.map_err(|error| bad("filter", error.to_string()))?;
    tokio::spawn(async move {
        tokio::select! {
            () = pass_on(&client, &sender) => {}
            () = sender.closed() => {}
            () = call.caller.is_let_in_no_more(&call.state) => {}
        }
    });
    Ok(response)
}

/// Sends messages until the reader is gone or the client ends.
async fn pass_on(client: &Client, sender: &mpsc::Sender<Bytes>) {
    let mut told = 0;
    while let Some(received) = client.recv().await {
        client.ack(&received);
        let Missed { queue_full, expired } = client.missed();
        let missed = queue_full + expired;
        if missed > told && sender.send(event("lost", &json!({ "lost": missed - told }))).await.is_err() {
            return;
        }
        told = missed;
        if sender.send(event("message", &message(&received))).await.is_err() {
            return;
        }
    }
}

/// A message as JSON.
pub(super) fn message(received: &Received) -> Value {
    let publisher = received.publisher.as_ref();
    let mut shown = json!({
        "at": received.at.map(time),
        "topic": received.topic(),
        "qos": received.qos as u8,
        "retain": received.retain,
        "client": publisher.map(|publisher| publisher.client.as_str()),
        "properties": properties(received.properties()),
    });
    put_payload(&mut shown, received.payload());
    shown
}

fn event(name: &str, data: &Value) -> Bytes {
    text_of_event(name, data).into()
}

/// A server-sent event.
pub(super) fn text_of_event(name: &str, data: &dyn Display) -> String {
    // JSON as written here has no line breaks
    format!("event: {name}\ndata: {data}\n\n")
}

/// A response with a channel for its body, if a stream more is allowed.
pub(super) fn stream(state: &Arc<State>) -> Result<(mpsc::Sender<Bytes>, Response), Problem> {
    let (sender, body) = lines(state)?;
    // a first comment, so that the reader sees the connection
    let _there_is_room = sender.try_send(Bytes::from_static(b": dunlin\n\n"));
    let head = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((sender, (head, body).into_response()))
}

/// The body of a stream of lines. An error: too many streams are read.
pub(super) fn lines(state: &Arc<State>) -> Result<(mpsc::Sender<Bytes>, Body), Problem> {
    let place = Place::take(state)?;
    let (sender, receiver) = mpsc::channel(ON_THEIR_WAY);
    Ok((sender, Body::new(Flow { receiver, _place: place })))
}

/// Counts one stream.
pub(super) struct Place(Arc<State>);

impl Place {
    /// Takes one of the allowed streams.
    pub fn take(state: &Arc<State>) -> Result<Self, Problem> {
        let others = state.streams.fetch_add(1, Ordering::AcqRel);
        let place = Self(state.clone());
        match others < MOST_STREAMS {
            true => Ok(place),
            false => {
                let detail = format!("{MOST_STREAMS} streams are read already");
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail))
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The channel as a body.
struct Flow {
    receiver: mpsc::Receiver<Bytes>,
    _place: Place,
}

impl HttpBody for Flow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.receiver.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
