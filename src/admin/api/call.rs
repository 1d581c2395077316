//! [`Call`]: a checked request, with everything that its answer needs.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Instant, SystemTime},
};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    super::{
        problem::Problem,
        rules::Via,
        state::{Caller, Desk, State},
    },
    parameters::{Kind, Parameter, Query, bad},
    schema::Shape,
};
use crate::{router::Router, router::inspect::Cursor};

/// A checked request.
pub(super) struct Call {
    pub state: Arc<State>,
    pub desk: Desk,
    pub caller: Caller,
    pub via: Via,
    pub headers: HeaderMap,
    /// The value of `{id}` in its path.
    pub id: String,
    pub query: Query,
    pub body: Bytes,
    pub document: Arc<str>,
}

pub(super) type Answer = Result<Response, Problem>;
pub(super) type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Entries of a list if `limit` is missing.
const USUAL: u64 = 100;
pub(super) const MOST: u64 = 1_000;

/// Parameters of all lists.
pub(super) static LIST: [Parameter; 2] = [
    Parameter::new("limit", Kind::Number(1, MOST), "Most entries; default 100"),
    Parameter::new("cursor", Kind::Text, "Position at which the list continues: next of the previous answer"),
];

impl Call {
    pub fn router(&self) -> &Arc<Router> {
        self.desk.operator.router()
    }

    pub fn limit(&self) -> usize {
        usize::try_from(self.query.number("limit").unwrap_or(USUAL)).unwrap_or(usize::MAX)
    }

    /// Position at which a walk begins.
    pub fn cursor(&self) -> Result<Cursor, Problem> {
        self.number_of_cursor().map(Cursor::from_number)
    }

    /// Position at which a list with numbered entries begins.
    pub fn number_of_cursor(&self) -> Result<u64, Problem> {
        match self.query.text("cursor") {
            None => Ok(0),
            Some(text) => u64::from_str_radix(text, 16)
                .map_err(|_| bad("cursor", format!("{text:?} is not a cursor: take next of the answer before"))),
        }
    }

    /// The wall-clock time of a moment.
    pub fn wall(&self, at: Instant) -> SystemTime {
        let clock = &self.state.clock;
        let (now, wall) = (clock.now(), clock.wall());
        match now.checked_duration_since(at) {
            Some(ago) => wall - ago,
            None => wall + at.saturating_duration_since(now),
        }
    }

    /// The wall-clock time of a moment as text (RFC 3339).
    pub fn time(&self, at: Instant) -> String {
        time(self.wall(at))
    }

    /// Answers with a list, with the requested fields of each entry.
    pub fn list(&self, mut data: Vec<Value>, next: Option<String>) -> Answer {
        if let Some(fields) = self.query.text("fields") {
            let fields: Vec<_> = fields.split(',').collect();
            data.iter_mut().filter_map(Value::as_object_mut).for_each(|entry| {
                entry.retain(|name, _| fields.contains(&name.as_str()));
            });
        }
        Ok(answer(&json!({ "data": data, "next": next })))
    }

    /// The body as JSON, of at most 128 levels.
    pub fn json(&self) -> Result<Value, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| bad("json", format!("the body is not JSON: {error}")))
    }

    pub fn unknown_client(&self) -> Problem {
        let shown: String = self.id.chars().take(100).collect();
        Problem::new(StatusCode::NOT_FOUND, "no-client", format!("there is no client {shown:?}, nor a session of it"))
    }
}

/// The cursor of the next page.
pub(super) fn next(number: u64) -> String {
    format!("{number:x}")
}

pub(super) fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_micros(at).to_string()
}

/// 200 with JSON.
pub(super) fn answer(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string() + "\n").into_response()
}

/// Refuses an object with unknown fields.
pub(super) fn check_fields(value: &Value, shape: &Shape) -> Result<(), Problem> {
    let Some(object) = value.as_object() else {
        return Err(bad("body", format!("an object is expected ({}), not {}", shape.name, kind(value))));
    };
    let known = || shape.fields.iter().map(|field| field.name);
    match object.keys().find(|name| !known().any(|known| known == *name)) {
        Some(name) => Err(super::parameters::unknown("field", name, known())),
        None => Ok(()),
    }
}

/// The name of a value's type in JSON.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
