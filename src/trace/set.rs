//! [`Traces`]: all traces and their lines, in bounded memory.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;

use super::target::{About, Awaited, Chosen, Target};
use crate::clock::Clock;

/// Most traces, including ended ones.
pub(crate) const MOST_TRACES: usize = 30;

/// Most bytes of the lines of all traces.
const MOST_BYTES: usize = 64 << 20;

/// Approximate bytes of memory of a line besides its text.
const A_LINE: usize = 48;

/// The options of a new trace.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) target: Target,
    /// Include payloads.
    pub(crate) payload: bool,
    pub(crate) lasts: Duration,
    /// Stop it when a reader that follows it disconnects.
    pub(crate) attached: bool,
    /// The name of the caller.
    pub(crate) by: Box<str>,
}

/// All traces.
pub(crate) struct Traces {
    clock: Clock,
    /// Number of starts and ends of traces so far; never [`u32::MAX`].
    changes: AtomicU8,
    running: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    /// In the order of their numbers.
    all: Vec<Trace>,
    /// Bytes of all lines.
    bytes: usize,
    /// A trace was started, or one has ended.
    has_changed: bool,
    /// Readers to be notified after the lock is released.
    news: Vec<Arc<Notify>>,
}

struct Trace {
    id: u64,
    asked: Asked,
    begun: Instant,
    started: SystemTime,
    until: Instant,
    /// When it was stopped, or its duration had passed.
    ended: Option<SystemTime>,
    lines: VecDeque<Arc<str>>,
    /// Number of the first line in `lines`.
    first: u64,
    bytes: usize,
    packets: u64,
    /// Number of lines that were dropped to make room.
    lost: u64,
    news: Arc<Notify>,
}

/// A new line of a trace.
pub(crate) struct Piece {
    pub(crate) trace: u64,
    pub(crate) is_packet: bool,
    pub(crate) line: Arc<str>,
}

/// The state of a trace.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) id: u64,
    pub(crate) asked: Asked,
    pub(crate) started: SystemTime,
    pub(crate) until: SystemTime,
    /// `None`: it is running.
    pub(crate) ended: Option<SystemTime>,
    pub(crate) packets: u64,
    pub(crate) bytes: usize,
    pub(crate) lost: u64,
}

/// The next lines for a reader.
pub(crate) struct Lines {
    /// Number of lines before these that were dropped and that the reader has not received.
    pub(crate) lost: u64,
    pub(crate) lines: Vec<Arc<str>>,
    /// The number after the last one.
    pub(crate) next: u64,
    /// The trace has ended and there are no more lines.
    pub(crate) has_ended: bool,
}

/// [`MOST_TRACES`] traces are running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Traces {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, changes: AtomicU8::new(0), running: AtomicUsize::new(0), inner: Mutex::default() }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Number of starts and ends of traces so far; behind 254 comes 1. A connection compares it with the number at its
    /// last look. A byte, because each connection has one: if exactly 254 changes happen between two turns of a
    /// connection, it notices the next one.
    #[inline]
    pub(crate) fn changes(&self) -> u8 {
        self.changes.load(Ordering::Relaxed)
    }

    /// The same; what was changed before is visible to the caller.
    pub(crate) fn changes_so_far(&self) -> u8 {
        self.changes.load(Ordering::Acquire)
    }

    fn changed(&self, inner: &Inner) {
        let running = inner.all.iter().filter(|trace| trace.ended.is_none()).count();
        self.running.store(running, Ordering::Release);
        let next = self.changes().wrapping_add(1);
        self.changes.store(if next == u8::MAX { 1 } else { next }, Ordering::Release);
    }

    // ---- for the API ----

    /// Starts a trace. If there are too many, the oldest ended one is removed.
    pub(crate) fn start(&self, asked: Asked) -> Result<Shown, TooMany> {
        let (begun, started) = (self.clock.now(), self.clock.wall());
        self.act(begun, |inner| {
            if inner.all.len() >= MOST_TRACES {
                let at = inner.all.iter().position(|trace| trace.ended.is_some()).ok_or(TooMany)?;
                inner.remove(at);
            }
            inner.last += 1;
            inner.all.push(Trace::new(inner.last, asked, begun, started));
            inner.has_changed = true;
            Ok(inner.all[inner.all.len() - 1].shown())
        })
    }

    /// All traces.
    pub(crate) fn all(&self) -> Vec<Shown> {
        self.look(|inner| inner.all.iter().map(Trace::shown).collect())
    }

    /// One trace.
    pub(crate) fn one(&self, id: u64) -> Option<Shown> {
        self.look(|inner| inner.find(id).map(|trace| trace.shown()))
    }

    /// Stops a trace and keeps its lines. `None`: there is no such trace.
    pub(crate) fn stop(&self, id: u64) -> Option<Shown> {
        let wall = self.clock.wall();
        self.look(|inner| {
            inner.end(wall, |trace| trace.id == id);
            inner.find(id).map(|trace| trace.shown())
        })
    }

    /// Removes a trace and its lines. `false`: there is no such trace.
    pub(crate) fn remove(&self, id: u64) -> bool {
        self.look(|inner| {
            let at = inner.all.iter().position(|trace| trace.id == id);
            at.into_iter().for_each(|at| inner.remove(at));
            at.is_some()
        })
    }

    /// About `most` bytes of lines from the number `from` on. `None`: there is no such trace.
    pub(crate) fn read(&self, id: u64, from: u64, most: usize) -> Option<Lines> {
        self.look(|inner| inner.find(id).map(|trace| trace.read(from, most)))
    }

    /// Notifies of new lines, the end and the removal of a trace; with its latest end. `None`: there is no such trace.
    pub(crate) fn news(&self, id: u64) -> Option<(Arc<Notify>, Instant)> {
        self.look(|inner| inner.find(id).map(|trace| (trace.news.clone(), trace.until)))
    }

    /// Waits until that time.
    pub(crate) async fn until(&self, at: Instant) {
        self.clock.sleep_until(at).await;
    }

    fn look<R>(&self, look: impl FnOnce(&mut Inner) -> R) -> R {
        self.act(self.clock.now(), look)
    }

    /// Ends traces whose duration has passed, then calls `act`. Notifies readers after the lock is released.
    fn act<R>(&self, now: Instant, act: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.inner.lock();
        if inner.all.iter().any(|trace| trace.ended.is_none() && trace.until <= now) {
            inner.end(self.clock.wall(), |trace| trace.until <= now);
        }
        let result = act(&mut inner);
        if std::mem::take(&mut inner.has_changed) {
            self.changed(&inner);
        }
        let news = std::mem::take(&mut inner.news);
        drop(inner);
        news.iter().for_each(|news| news.notify_waiters());
        result
    }

    // ---- for connections ----

    /// Finds the running traces of a connection, and the number of changes so far. `None`: no trace selects it.
    pub(super) fn chosen(&self, about: &About<'_>) -> Option<(u8, Vec<Chosen>)> {
        if self.running.load(Ordering::Acquire) == 0 {
            return None;
        }
        let inner = self.inner.lock();
        let running = inner.all.iter().filter(|trace| trace.ended.is_none());
        let of_it = running
            .filter(|trace| trace.asked.target.concerns(about.client, about.address.map(|address| address.ip())));
        let chosen: Vec<_> = of_it.map(Trace::chosen).collect();
        let as_of = self.changes();
        drop(inner);
        (!chosen.is_empty()).then_some((as_of, chosen))
    }

    /// Adds lines to running traces.
    pub(super) fn write(&self, now: Instant, pieces: Vec<Piece>) {
        if pieces.is_empty() {
            return;
        }
        self.act(now, |inner| pieces.into_iter().for_each(|piece| inner.write(piece)));
    }
}

impl Inner {
    fn find(&mut self, id: u64) -> Option<&mut Trace> {
        self.all.iter_mut().find(|trace| trace.id == id)
    }

    fn remove(&mut self, at: usize) {
        let trace = self.all.remove(at);
        self.bytes -= trace.bytes;
        self.has_changed = true;
        self.news.push(trace.news);
    }

    /// Ends the selected traces.
    fn end(&mut self, wall: SystemTime, which: impl Fn(&Trace) -> bool) {
        for trace in self.all.iter_mut().filter(|trace| trace.ended.is_none() && which(trace)) {
            trace.ended = Some(wall);
            self.has_changed = true;
            self.news.push(trace.news.clone());
        }
    }

    fn write(&mut self, Piece { trace: id, is_packet, line }: Piece) {
        let running = |trace: &&mut Trace| trace.id == id && trace.ended.is_none();
        let Some(trace) = self.all.iter_mut().find(running) else { return };
        let cost = line.len() + A_LINE;
        trace.packets += u64::from(is_packet);
        trace.bytes += cost;
        trace.lines.push_back(line);
        if !self.news.iter().any(|news| Arc::ptr_eq(news, &trace.news)) {
            self.news.push(trace.news.clone());
        }
        self.bytes += cost;
        while self.bytes > MOST_BYTES {
            // the largest trace loses its oldest line, so that a busy trace does not displace the others
            let Some(largest) = self.all.iter_mut().max_by_key(|trace| trace.bytes) else { return };
            let Some(oldest) = largest.lines.pop_front() else { return };
            let cost = oldest.len() + A_LINE;
            (largest.first, largest.lost) = (largest.first + 1, largest.lost + 1);
            largest.bytes -= cost;
            self.bytes -= cost;
        }
    }
}

impl Trace {
    fn new(id: u64, asked: Asked, begun: Instant, started: SystemTime) -> Self {
        Self {
            id,
            begun,
            started,
            until: begun + asked.lasts,
            asked,
            ended: None,
            lines: VecDeque::new(),
            first: 0,
            bytes: 0,
            packets: 0,
            lost: 0,
            news: Arc::default(),
        }
    }

    fn chosen(&self) -> Chosen {
        let Asked { target, payload, .. } = &self.asked;
        let (target, begun) = (target.clone(), self.begun);
        Chosen { id: self.id, target, payload: *payload, begun, awaited: Awaited::default() }
    }

    fn shown(&self) -> Shown {
        Shown {
            id: self.id,
            asked: self.asked.clone(),
            started: self.started,
            until: self.started + self.asked.lasts,
            ended: self.ended,
            packets: self.packets,
            bytes: self.bytes,
            lost: self.lost,
        }
    }

    fn read(&self, from: u64, most: usize) -> Lines {
        let lost = self.first.saturating_sub(from);
        let skip = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let (mut lines, mut bytes) = (Vec::new(), 0);
        for line in self.lines.iter().skip(skip) {
            if bytes >= most {
                break;
            }
            bytes += line.len();
            lines.push(line.clone());
        }
        let next = from + lost + lines.len() as u64;
        let is_all = next >= self.first + self.lines.len() as u64;
        Lines { lost, lines, next, has_ended: is_all && self.ended.is_some() }
    }
}

/// The first line of a recording.
pub(crate) fn first_line(started: SystemTime) -> String {
    let started = humantime::format_rfc3339_micros(started).to_string();
    json!({ "dunlin": "recording", "version": 1, "broker": env!("CARGO_PKG_VERSION"), "started": started }).to_string()
}
