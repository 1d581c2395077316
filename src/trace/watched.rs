//! [`Watched`]: the state of a traced connection.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use serde_json::{Value, json};

use super::{
    line::{self, How},
    packet::{Direction, Who},
    set::{Piece, Traces},
    target::{About, Chosen, Target},
};
use crate::codec;

/// The state of a traced connection.
#[derive(Debug)]
pub(crate) struct Watched {
    /// The [number of changes](Traces::changes) at its last look.
    pub(crate) as_of: u8,
    who: Who,
    address: Option<SocketAddr>,
    traces: Vec<Chosen>,
    /// Its CONNECT is recorded; the next packet from the client is that CONNECT again.
    knows_connect: bool,
}

impl Traces {
    /// Finds the running traces of a connection. `before`: its state so far. `None`: no trace selects it.
    #[cold]
    pub(crate) fn watch(&self, about: &About<'_>, before: Option<Watched>) -> Option<Watched> {
        let (as_of, chosen) = self.chosen(about)?;
        Some(Watched::new(about, as_of, chosen).go_on(before))
    }
}

impl Watched {
    fn new(about: &About<'_>, as_of: u8, traces: Vec<Chosen>) -> Self {
        let who = Who::new(about.client, about.user, about.version);
        Self { as_of, who, address: about.address, traces, knows_connect: false }
    }

    /// Takes over Topic Aliases and awaited acknowledgements from the state before a change of the traces.
    fn go_on(mut self, before: Option<Self>) -> Self {
        if let Some(before) = before {
            (self.who, self.knows_connect) = (before.who, before.knows_connect);
            for Chosen { id, awaited, .. } in before.traces {
                if let Some(same) = self.traces.iter_mut().find(|chosen| chosen.id == id) {
                    same.awaited = awaited;
                }
            }
        }
        self
    }

    /// Adds a Topic Alias from before the trace.
    pub(crate) fn knows(&mut self, direction: Direction, alias: u16, topic: &str) {
        self.who.knows(direction, alias, topic);
    }

    /// Records its CONNECT, before the connection handles it.
    pub(crate) fn connects(&mut self, traces: &Traces, bytes: &[u8]) {
        self.note(traces, bytes, Direction::ToServer);
        self.knows_connect = true;
    }

    /// Records complete packets.
    pub(crate) fn note(&mut self, traces: &Traces, mut bytes: &[u8], direction: Direction) {
        let when = When::now(traces);
        let mut pieces = Vec::new();
        while let Some(length) = codec::packet_len(bytes).filter(|length| *length <= bytes.len()) {
            let (packet, rest) = bytes.split_at(length);
            bytes = rest;
            if direction == Direction::ToServer && std::mem::take(&mut self.knows_connect) {
                continue;
            }
            let Some(looked) = self.who.look(packet, direction) else { continue };
            // one form without payload, one with it
            let mut shown = [None, None];
            let mut all = std::mem::take(&mut self.traces);
            for chosen in &mut all {
                if chosen.target.is_about(&looked, direction, &mut chosen.awaited) {
                    let shown = shown[usize::from(chosen.payload)].get_or_insert_with(|| {
                        let how = How { version: self.who.version, payload: chosen.payload };
                        line::packet(&looked, packet.len(), direction, how)
                    });
                    pieces.push(chosen.piece(true, self.told(shown, when, chosen.begun)));
                }
            }
            self.traces = all;
        }
        traces.write(when.now, pieces);
    }

    /// Records the end of the connection, except in traces by topic.
    pub(crate) fn ends(&self, traces: &Traces, reason: &str) {
        let when = When::now(traces);
        let mut shown = json!({ "event": "disconnected", "reason": reason });
        let whole = self.traces.iter().filter(|chosen| !matches!(chosen.target, Target::Topics(_)));
        let pieces = whole.map(|chosen| chosen.piece(false, self.told(&mut shown, when, chosen.begun)));
        traces.write(when.now, pieces.collect());
    }

    /// A line of a trace that began at `begun`.
    fn told(&self, shown: &mut Value, when: When, begun: Instant) -> Arc<str> {
        let Who { client, user, .. } = &self.who;
        shown["at"] = humantime::format_rfc3339_micros(when.wall).to_string().into();
        let since = when.now.saturating_duration_since(begun).as_micros();
        shown["mono_us"] = u64::try_from(since).unwrap_or(u64::MAX).into();
        shown["client"] = client.as_deref().into();
        if let Some(user) = user {
            shown["user"] = (&**user).into();
        }
        // further packets are identified by their client
        let says_where = client.is_none() || shown["packet"].is_null() || shown["packet"] == "CONNECT";
        if let Some(address) = self.address.filter(|_| says_where) {
            shown["peer"] = address.to_string().into();
        }
        (shown.to_string() + "\n").into()
    }
}

impl Chosen {
    fn piece(&self, is_packet: bool, line: Arc<str>) -> Piece {
        Piece { trace: self.id, is_packet, line }
    }
}

/// The current time, by both clocks.
#[derive(Clone, Copy)]
struct When {
    now: Instant,
    wall: SystemTime,
}

impl When {
    fn now(traces: &Traces) -> Self {
        Self { now: traces.clock().now(), wall: traces.clock().wall() }
    }
}
