//! [`Audit`]: who had what written, from where, and how it ended: the last of them, and a line of the log for each.

use std::time::SystemTime;

use axum::http::{Method, StatusCode};
use parking_lot::Mutex;

use super::{last::Last, rules::Via};

/// Writes that are remembered.
const MOST: usize = 1_000;

/// The longest text of a path or a query that is remembered.
const LONGEST: usize = 1_024;

/// The last requests that were to write.
pub(super) struct Audit(Mutex<Last<Write>>);

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

impl Default for Audit {
    fn default() -> Self {
        Self(Mutex::new(Last::new(MOST)))
    }
}

impl Audit {
    /// It ended so.
    pub fn ended(&self, write: Write, status: StatusCode) {
        let Write { by, from, method, what, .. } = &write;
        tracing::info!(by, from, %method, what, status = status.as_u16(), "HTTP write");
        self.0.lock().add(Write { status, ..write });
    }

    /// Up to `limit` of those before the one of that number, the latest first, and where to go on.
    pub fn before(&self, before: u64, limit: usize) -> (Vec<Write>, Option<u64>) {
        self.0.lock().before(before, limit)
    }
}
