//! [`Call`]: a request, and the decoding of its body.

use std::{pin::Pin, sync::Arc};

use axum::{body::Bytes, http::StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::bench::Bench;
use crate::admin::Problem;

/// A request.
pub(super) struct Call {
    pub(super) bench: Arc<Bench>,
    pub(super) body: Bytes,
    /// The query of its URL.
    pub(super) query: String,
    /// User name and password in the header `Authorization`.
    pub(super) login: Option<(String, Vec<u8>)>,
}

pub(super) type Answer = Result<Value, Problem>;
pub(super) type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

impl Call {
    /// Decodes the body; an empty one counts as an empty object.
    pub(super) fn asked<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let body: &[u8] = if self.body.trim_ascii().is_empty() { b"{}" } else { &self.body };
        // serde also decodes arrays as objects
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(bad("the body: an object is expected"));
        }
        serde_json::from_slice(body).map_err(|error| bad(format!("the body: {error}")))
    }
}

/// 400.
pub(super) fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "body", detail)
}

/// The broker has ended.
pub(super) fn ended() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ended", "the broker has ended")
}
