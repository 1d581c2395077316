//! `POST /test/v1/replay`: the body is a recording, the query has the options of `dunlin replay`.

use axum::http::StatusCode;
use serde_json::json;

use super::{
    super::replay::{Here, ReplayError},
    call::{Answer, Call, bad},
};
use crate::{
    admin::{Problem, decode_url},
    config::Speed,
};

/// `?speed=max&filter=a/%23&rewrite=a/=b/`, the last two also repeated; the login is in the header `Authorization`.
pub(super) async fn replay(call: Call) -> Answer {
    let options = options(&call)?;
    let refused = |detail: String| Problem::new(StatusCode::CONFLICT, "replay", detail);
    match call.bench.replay(&call.body, &options).await {
        Ok(replayed) if replayed.is_whole() => {
            let seconds = replayed.took.as_secs_f64();
            Ok(json!({ "sent": replayed.sent, "seconds": seconds, "last": call.bench.journal.last() }))
        }
        Ok(replayed) => Err(refused(replayed.to_string())),
        Err(error @ (ReplayError::Recording(_) | ReplayError::Option(_))) => Err(bad(error.to_string())),
        Err(error) => Err(refused(error.to_string())),
    }
}

fn options(call: &Call) -> Result<Here, Problem> {
    let login = call.login.clone();
    let mut options = Here { speed: Speed::Times(1.0), filter: Vec::new(), rewrite: Vec::new(), login };
    for part in call.query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let decoded = decode_url(value);
        let value = decoded.ok_or_else(|| bad(format!("{part:?} is not UTF-8 with percent signs (RFC 3986)")))?;
        let wrong = |why: String| bad(format!("{name}: {why}"));
        match name {
            "speed" => options.speed = value.parse().map_err(wrong)?,
            "filter" => options.filter.push(value),
            "rewrite" => options.rewrite.push(value.parse().map_err(wrong)?),
            _ => return Err(bad(format!("{name:?}: the parameters are speed, filter and rewrite"))),
        }
    }
    Ok(options)
}
