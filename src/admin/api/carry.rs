//! `export` and `import`: stored state and users, as lines of JSON.

use std::{
    convert::Infallible,
    io::{self, Write},
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::header,
    response::IntoResponse,
};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    super::control::{FileProblem, Imported},
    call::{Answer, Call, answer},
    keys::file_problem,
    parameters::{Kind, Parameter},
    schema::{Is, Shape, field, nullable},
    streams::Place,
    subscriptions::kept,
};
use crate::{router::inspect::NotAdopted, session::Stored};

const PARTS: [&str; 3] = ["retained", "sessions", "users"];

pub(super) static ONLY: [Parameter; 1] = [Parameter::new("only", Kind::Words(&PARTS), "These parts; default: all")];

static COUNTED: Shape = Shape {
    name: "ImportedPart",
    fields: &[field("imported", Is::Number), field("existed", Is::Number), field("refused", Is::Number)],
};

pub(super) static IMPORTED: Shape = Shape {
    name: "Imported",
    fields: &[
        field("retained", Is::Object(&COUNTED)),
        field("sessions", Is::Object(&COUNTED)),
        field("users", Is::Object(&COUNTED)),
        nullable("refusal", Is::Text),
    ],
};

/// Size of a piece of output, and number of pieces in the channel.
const PIECE: usize = 64 << 10;
const PIECES: usize = 8;

/// Number of items that are imported before the store must have made them durable.
const AT_ONCE: usize = 256;

pub(super) async fn export(call: Call) -> Answer {
    let place = Place::take(&call.state)?;
    let (sender, mut pieces) = mpsc::channel(PIECES);
    let mut doing = call.desk.control.export(Box::new(Pieces { sender, bytes: Vec::new() }));
    tokio::select! {
        // the first line is sent when nothing can fail any more
        biased;
        first = pieces.recv() => {
            if let Some(first) = first {
                let head = [(header::CONTENT_TYPE, "application/jsonl"), (header::CACHE_CONTROL, "no-store")];
                // the writer continues on its own; the last line tells the reader that the export is complete
                return Ok((head, Body::new(Export { first: Some(first), pieces, _place: place })).into_response());
            }
        }
        done = &mut doing => done.map_err(file_problem)?,
    }
    doing.await.map_err(file_problem)?;
    Err(file_problem(FileProblem::Broken("nothing was exported".into())))
}

/// Sends output in pieces.
struct Pieces {
    sender: mpsc::Sender<Bytes>,
    bytes: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        self.sender.blocking_send(bytes).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// The output of an export as a body.
struct Export {
    first: Option<Bytes>,
    pieces: mpsc::Receiver<Bytes>,
    _place: Place,
}

impl HttpBody for Export {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.pieces.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Number of items of one part: imported, present, refused.
#[derive(Default)]
struct Counted {
    imported: usize,
    existed: usize,
    refused: usize,
}

impl Counted {
    fn json(&self) -> Value {
        json!({ "imported": self.imported, "existed": self.existed, "refused": self.refused })
    }
}

/// Imports items.
struct Importing<'a> {
    call: &'a Call,
    stored: Stored,
    /// Reason of the first refusal.
    refusal: Option<&'static str>,
    since: usize,
}

impl Importing<'_> {
    async fn note(&mut self, counted: &mut Counted, adopted: Result<Stored, NotAdopted>) -> Result<(), super::Problem> {
        match adopted {
            Ok(stored) => {
                counted.imported += 1;
                self.stored = self.stored.and(stored);
            }
            Err(NotAdopted::Exists) => counted.existed += 1,
            Err(not) => {
                counted.refused += 1;
                let why = match not {
                    NotAdopted::Full(why) => why,
                    _ => "it is a session of a client within a broker",
                };
                self.refusal.get_or_insert(why);
            }
        }
        self.since += 1;
        if self.since >= AT_ONCE {
            self.settle().await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Waits until everything so far is durable.
    async fn settle(&mut self) -> Result<(), super::Problem> {
        self.since = 0;
        kept(self.call, std::mem::take(&mut self.stored)).await
    }
}

pub(super) async fn import(call: Call) -> Answer {
    let now = call.state.clock.now();
    let Imported { state, users: lines } =
        call.desk.control.read_export(call.body.clone(), now).await.map_err(file_problem)?;
    let wants = |part: &str| call.query.text("only").is_none_or(|only| only.split(',').any(|word| word == part));
    let [mut retained, mut sessions, mut users] = [const { Counted { imported: 0, existed: 0, refused: 0 } }; 3];
    if wants("users") && !lines.is_empty() {
        let all = lines.len();
        users.imported = call.desk.control.add_users(lines).await.map_err(file_problem)?;
        users.existed = all - users.imported;
    }
    let mut importing = Importing { call: &call, stored: Stored::Done, refusal: None, since: 0 };
    for one in state.retained.into_iter().filter(|_| wants("retained")) {
        let adopted = call.desk.operator.adopt_retained(now, one);
        importing.note(&mut retained, adopted).await?;
    }
    for one in state.sessions.into_iter().filter(|_| wants("sessions")) {
        let adopted = call.desk.operator.adopt_session(now, one);
        importing.note(&mut sessions, adopted).await?;
    }
    importing.settle().await?;
    Ok(answer(&json!({
        "retained": retained.json(),
        "sessions": sessions.json(),
        "users": users.json(),
        "refusal": importing.refusal,
    })))
}
