//! [`Strict`]: collects the violations of all clients.

use std::{collections::HashMap, fmt};

use parking_lot::Mutex;

use super::{
    super::forget::Reset,
    closed::violation,
    track::{Track, Wrong},
};
use crate::{
    codec::ReasonCode,
    session::CloseReason,
    trace::{Seen, Who},
    types::ProtocolVersion,
};

/// Consequence of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is reported, as an event and at the end.
    Report,
    /// The connection closes, too.
    Fail,
}

/// A violation by a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The client.
    pub client: Option<Box<str>>,
    /// The normative statement; `None`: legal, but other brokers reject it.
    pub statement: Option<Box<str>>,
    /// Description.
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

/// Collects the violations of all clients. Without a mode it checks nothing.
pub(in super::super) struct Strict {
    mode: Option<Mode>,
    tracks: Mutex<HashMap<Box<str>, Track>>,
    found: Mutex<Vec<Violation>>,
}

/// Most violations that are kept for the end.
const MOST: usize = 1_000;

impl Strict {
    pub(in super::super) fn new(mode: Option<Mode>) -> Self {
        Self { mode, tracks: Mutex::default(), found: Mutex::default() }
    }

    /// Checks a packet that a client sends.
    pub(in super::super) fn sends(&self, who: &Who, seen: &Seen) -> Vec<Violation> {
        let (Some(_), Some(client)) = (self.mode, &who.client) else { return Vec::new() };
        let wrong = {
            let mut tracks = self.tracks.lock();
            tracks.entry(client.clone()).or_default().sends(who.version, seen)
        };
        wrong.into_iter().map(|Wrong { statement, text }| self.found(Some(&**client), statement, text)).collect()
    }

    /// Records a packet that a client receives.
    pub(in super::super) fn gets(&self, who: &Who, seen: &Seen) {
        let (Some(_), Some(client)) = (self.mode, &who.client) else { return };
        if let Some(track) = self.tracks.lock().get_mut(client) {
            track.gets(seen);
        }
    }

    /// Records that a fault changes what a client sends.
    pub(in super::super) fn tampers(&self, who: &Who) {
        if let (Some(_), Some(client)) = (self.mode, &who.client) {
            self.tracks.lock().entry(client.clone()).or_default().is_tampered = true;
        }
    }

    /// Has this client been silent for longer than its Keep Alive, by real time?
    fn is_silent(&self, client: &str) -> bool {
        self.tracks.lock().get(client).is_some_and(Track::is_silent)
    }

    /// Records that the broker closed the connection of an accepted client, if that was for a violation.
    pub(in super::super) fn closed(&self, client: &str, reason: &CloseReason) -> Option<Violation> {
        self.mode?;
        let version = self.blamable(Some(client))?;
        if matches!(reason, CloseReason::KeepAliveTimeout { .. }) && !self.is_silent(client) {
            return None;
        }
        let (text, statement) = violation(reason, version)?;
        Some(self.found(Some(client), Some(&statement), text))
    }

    /// The same for a connection that was not accepted. `clean`: its CONNECT had Clean Session 1.
    pub(in super::super) fn turned_away(&self, who: &Who, clean: bool, reason: &CloseReason) -> Option<Violation> {
        self.mode?;
        self.blamable(who.client.as_deref())?;
        let is_identifier = matches!(reason, CloseReason::Refused { code: ReasonCode::ClientIdentifierNotValid, .. });
        if is_identifier && who.client.is_none() && !clean && who.version < ProtocolVersion::V5 {
            return Some(self.found(None, Some("MQTT-3.1.3-7"), "no Client Identifier, and Clean Session is 0".into()));
        }
        let (text, statement) = violation(reason, who.version)?;
        Some(self.found(who.client.as_deref(), Some(&statement), text))
    }

    /// The version of a client. `None`: a fault has changed what it sends.
    fn blamable(&self, client: Option<&str>) -> Option<ProtocolVersion> {
        let tracks = self.tracks.lock();
        match client.and_then(|client| tracks.get(client)) {
            Some(track) => (!track.is_tampered).then_some(track.version),
            None => Some(ProtocolVersion::default()),
        }
    }

    fn found(&self, client: Option<&str>, statement: Option<&str>, text: String) -> Violation {
        let violation = Violation { client: client.map(Into::into), statement: statement.map(Into::into), text };
        match statement {
            Some(_) => tracing::warn!(%violation, "violation"),
            None => tracing::info!(warning = %violation, "legal, but other brokers reject it"),
        }
        let mut found = self.found.lock();
        if found.len() < MOST {
            found.push(violation.clone());
        }
        violation
    }

    /// Does a violation close the connection?
    pub(in super::super) fn closes(&self) -> bool {
        self.mode == Some(Mode::Fail)
    }

    /// The violations since the start.
    pub(in super::super) fn all(&self) -> Vec<Violation> {
        self.found.lock().clone()
    }

    /// Removes the tracks of sessions that were removed.
    pub(in super::super) fn forget(&self, reset: &Reset) {
        self.tracks.lock().retain(|client, _| !reset.has_client(client));
    }
}
