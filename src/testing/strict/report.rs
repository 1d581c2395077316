//! [`Strict`]: what was found, of all clients.

use std::{collections::HashMap, fmt};

use parking_lot::Mutex;

use super::{
    super::{
        forget::Reset,
        packets::{Seen, Who},
    },
    track::{Track, Wrong},
};

/// What becomes of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is told, as an event and at the end.
    Report,
    /// Its connection ends, too.
    Fail,
}

/// What a client has done that no client may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The client.
    pub client: Option<Box<str>>,
    /// The normative statement; `None`: it is legal, and breaks elsewhere.
    pub statement: Option<Box<str>>,
    /// What it is.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.client.as_deref().unwrap_or("?");
        match &self.statement {
            Some(statement) => write!(f, "client {client:?}: {} [{statement}]", self.text),
            None => write!(f, "client {client:?}: {} (a warning)", self.text),
        }
    }
}

/// What was found, of all clients. Without a mode nothing is looked for.
pub(in super::super) struct Strict {
    mode: Option<Mode>,
    tracks: Mutex<HashMap<Box<str>, Track>>,
    found: Mutex<Vec<Violation>>,
}

/// As many are remembered for the end.
const MOST: usize = 1_000;

impl Strict {
    pub(in super::super) fn new(mode: Option<Mode>) -> Self {
        Self { mode, tracks: Mutex::default(), found: Mutex::default() }
    }

    /// A client sends a packet; what is wrong with that.
    pub(in super::super) fn sends(&self, who: &Who, seen: &Seen) -> Vec<Violation> {
        let (Some(_), Some(client)) = (self.mode, &who.client) else { return Vec::new() };
        let wrong = {
            let mut tracks = self.tracks.lock();
            tracks.entry(client.clone()).or_default().sends(who.version, seen)
        };
        wrong.into_iter().map(|Wrong { statement, text }| self.found(Some(&**client), statement, text)).collect()
    }

    /// A client gets a packet.
    pub(in super::super) fn gets(&self, who: &Who, seen: &Seen) {
        let (Some(_), Some(client)) = (self.mode, &who.client) else { return };
        if let Some(track) = self.tracks.lock().get_mut(client) {
            track.gets(seen);
        }
    }

    /// A fault changes what a client sends.
    pub(in super::super) fn tampers(&self, who: &Who) {
        if let (Some(_), Some(client)) = (self.mode, &who.client) {
            self.tracks.lock().entry(client.clone()).or_default().is_tampered = true;
        }
    }

    /// Has this client been silent for longer than its Keep Alive, by real time?
    pub(in super::super) fn is_silent(&self, client: &str) -> bool {
        self.tracks.lock().get(client).is_some_and(Track::is_silent)
    }

    /// A connection ends because its client has broken what this text names: `… [MQTT-2.3.1-1]`.
    pub(in super::super) fn closed(&self, client: Option<&str>, text: &str) -> Option<Violation> {
        self.mode?;
        let is_tampered = |client: &str| self.tracks.lock().get(client).is_some_and(|track| track.is_tampered);
        if client.is_some_and(is_tampered) {
            return None;
        }
        let (text, statement) = text.rsplit_once(" [").unwrap_or((text, ""));
        let statement = statement.trim_end_matches(']');
        let statement = if statement.is_empty() { "MQTT-4.8.0-1" } else { statement };
        Some(self.found(client, Some(statement), text.to_owned()))
    }

    fn found(&self, client: Option<&str>, statement: Option<&str>, text: String) -> Violation {
        let violation = Violation { client: client.map(Into::into), statement: statement.map(Into::into), text };
        match statement {
            Some(_) => tracing::warn!(%violation, "violation"),
            None => tracing::info!(warning = %violation, "legal, and breaks elsewhere"),
        }
        let mut found = self.found.lock();
        if found.len() < MOST {
            found.push(violation.clone());
        }
        violation
    }

    /// Does the connection of a client end that breaks a statement?
    pub(in super::super) fn closes(&self) -> bool {
        self.mode == Some(Mode::Fail)
    }

    /// What was found since the start.
    pub(in super::super) fn all(&self) -> Vec<Violation> {
        self.found.lock().clone()
    }

    /// Sessions are gone.
    pub(in super::super) fn forget(&self, reset: &Reset) {
        self.tracks.lock().retain(|client, _| !reset.has_client(client));
    }
}
