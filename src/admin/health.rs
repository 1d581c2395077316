//! The three health checks. They need no login and are outside the limits of requests.

use std::sync::Arc;

use super::{state::State, ticks::Answered};
use crate::router::Condition;
use axum::{
    extract::State as Shared,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// `/healthz`: the threads respond.
pub(super) async fn alive(Shared(state): Shared<Arc<State>>) -> Response {
    // before the worker threads exist, only the starting thread could hang
    let Answered { serving, store } = match state.broker.get() {
        Some(broker) if !state.is_stopping() => state.ticks.answered(&broker.probe, &broker.router).await,
        _ => Answered::ALL,
    };
    let checks = json!({ "threads": word(serving, "answer", "hang"), "store_thread": word(store, "answers", "hangs") });
    answer(serving && store, checks)
}

/// `/readyz`: the broker accepts clients.
pub(super) async fn ready(Shared(state): Shared<Arc<State>>) -> Response {
    let restored = state.broker.get().is_some();
    let (listening, stopping) = (state.is_listening(), state.is_stopping());
    let condition = state.broker.get().and_then(|broker| Some(broker.router.plugged_store()?.condition()));
    let stored = !matches!(condition, Some(Condition::Stuck | Condition::Failed));
    let checks = json!({
        "restored": word(restored, "yes", "no"),
        "listening": word(listening, "yes", "no"),
        "shutdown": word(!stopping, "no", "yes"),
        "store": condition.map_or_else(|| "none".to_owned(), |condition| condition.to_string()),
    });
    answer(restored && listening && !stopping && stored, checks)
}

/// `/startupz`: the stored state is restored.
pub(super) async fn started(Shared(state): Shared<Arc<State>>) -> Response {
    let restored = state.broker.get().is_some();
    answer(restored, json!({ "restored": word(restored, "yes", "no") }))
}

fn answer(good: bool, checks: serde_json::Value) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let kind = (header::CONTENT_TYPE, "application/json");
    (status, [kind], json!({ "ok": good, "checks": checks }).to_string() + "\n").into_response()
}

fn word(good: bool, yes: &'static str, no: &'static str) -> &'static str {
    if good { yes } else { no }
}
