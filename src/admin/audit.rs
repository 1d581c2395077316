//! [`Audit`]: who had what written, from where, and how it ended: the last of them, and a line of the log for each.

use std::{collections::VecDeque, time::SystemTime};

use axum::http::{Method, StatusCode};
use parking_lot::Mutex;

use super::rules::Via;

/// Writes that are remembered.
const MOST: usize = 1_000;

/// The longest text of a path or a query that is remembered.
const LONGEST: usize = 1_024;

/// The last requests that were to write.
#[derive(Default)]
pub(super) struct Audit(Mutex<Writes>);

#[derive(Default)]
struct Writes {
    last: VecDeque<Write>,
    /// How many there were in all.
    count: u64,
}

/// A request that was to write.
#[derive(Clone)]
pub(super) struct Write {
    pub at: SystemTime,
    pub by: String,
    pub from: String,
    pub method: Method,
    /// Still encoded, with its query.
    pub what: String,
    pub status: StatusCode,
}

impl Write {
    /// By a caller, from somewhere.
    pub fn new(at: SystemTime, by: &str, via: Option<&Via>, method: &Method, what: &str) -> Self {
        let from = match via {
            Some(Via::Tcp(peer)) => peer.to_string(),
            Some(Via::Unix) => "unix".to_owned(),
            None => String::new(),
        };
        let what = what.chars().take(LONGEST).collect();
        Self { at, by: by.to_owned(), from, method: method.clone(), what, status: StatusCode::OK }
    }
}

impl Audit {
    /// It ended so.
    pub fn ended(&self, write: Write, status: StatusCode) {
        let Write { by, from, method, what, .. } = &write;
        tracing::info!(by, from, %method, what, status = status.as_u16(), "HTTP write");
        let mut writes = self.0.lock();
        if writes.last.len() == MOST {
            writes.last.pop_front();
        }
        writes.last.push_back(Write { status, ..write });
        writes.count += 1;
    }

    /// Up to `limit` of those before the one of that number, the latest first, and where to go on.
    pub fn before(&self, before: u64, limit: usize) -> (Vec<Write>, Option<u64>) {
        let writes = self.0.lock();
        let oldest = writes.count - writes.last.len() as u64;
        let to = before.min(writes.count);
        let there = usize::try_from(to.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let some: Vec<_> = writes.last.iter().take(there).rev().take(limit).cloned().collect();
        let has_more = some.len() < there;
        let behind = to - some.len() as u64;
        (some, has_more.then_some(behind))
    }
}
