//! `bridges`: the bridges to other brokers and their states.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    super::{control::BridgeState, problem::Problem},
    call::{Answer, Call, answer, time},
    schema::{Is, Shape, field, nullable},
};

pub(super) static BRIDGE: Shape = Shape {
    name: "Bridge",
    fields: &[
        field("name", Is::Text),
        field("state", Is::Text),
        nullable("address", Is::Text),
        nullable("protocol", Is::Text),
        nullable("since", Is::Time),
        nullable("error", Is::Text),
        nullable("error_at", Is::Time),
        field("counters", Is::Any),
    ],
};

pub(super) static PAUSED: Shape =
    Shape { name: "BridgePaused", fields: &[field("name", Is::Text), field("paused", Is::Flag)] };

pub(super) async fn list(call: Call) -> Answer {
    let all = call.desk.control.bridges();
    Ok(answer(&json!({ "data": all.iter().map(shown).collect::<Vec<_>>(), "next": null })))
}

fn shown(bridge: &BridgeState) -> Value {
    let counters: Map<String, Value> =
        bridge.counts.iter().map(|(name, _, number)| ((*name).to_owned(), (*number).into())).collect();
    json!({
        "name": bridge.name,
        "state": bridge.state,
        "address": bridge.address,
        "protocol": bridge.protocol,
        "since": bridge.since.map(time),
        "error": bridge.error.as_ref().map(|(why, _)| why),
        "error_at": bridge.error.as_ref().map(|(_, at)| time(*at)),
        "counters": counters,
    })
}

pub(super) async fn pause(call: Call) -> Answer {
    set(&call, true)
}

pub(super) async fn resume(call: Call) -> Answer {
    set(&call, false)
}

fn set(call: &Call, paused: bool) -> Answer {
    match call.desk.control.pause_bridge(&call.id, paused) {
        true => Ok(answer(&json!({ "name": call.id, "paused": paused }))),
        false => Err(Problem::new(StatusCode::NOT_FOUND, "no-bridge", format!("there is no bridge {:?}", call.id))),
    }
}
