//! `/test/v1/faults`.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::faults::{Fault, PRESETS, Shown, preset},
    call::{Answer, Call, bad},
};
use crate::admin::Problem;

/// One fault, several, or a preset.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedPreset {
    preset: String,
    client: Option<String>,
}

pub(super) async fn set(call: Call) -> Answer {
    let asked: Value = call.asked()?;
    if asked.get("preset").is_some() {
        let AskedPreset { preset: name, client } = call.asked()?;
        let known = || PRESETS.map(|(name, _)| name).join(", ");
        let faults = preset(&name, client.as_deref());
        let faults = faults.ok_or_else(|| bad(format!("preset: {name:?} is none of {}", known())))?;
        let ids: Result<Vec<_>, _> = faults.into_iter().map(|fault| call.bench.faults.set(fault)).collect();
        return Ok(json!({ "ids": ids.map_err(bad)? }));
    }
    let id = call.bench.faults.set(call.asked::<Fault>()?).map_err(bad)?;
    Ok(json!({ "id": id }))
}

pub(super) async fn all(call: Call) -> Answer {
    let shown =
        |shown: Shown| json!({ "id": shown.id, "name": shown.fault.name, "does": shown.does(), "hits": shown.hits });
    let data: Vec<_> = call.bench.faults.all().into_iter().map(shown).collect();
    Ok(json!({ "data": data }))
}

/// `?id=3`, or all.
pub(super) async fn remove(call: Call) -> Answer {
    let id = match call.query.strip_prefix("id=") {
        Some(id) => Some(id.parse().map_err(|_| bad("id: the number of a fault"))?),
        None if call.query.is_empty() => None,
        None => return Err(bad("the one parameter is id")),
    };
    match (call.bench.faults.remove(id), id) {
        (0, Some(id)) => Err(Problem::new(StatusCode::NOT_FOUND, "not-found", format!("there is no fault {id}"))),
        (removed, _) => Ok(json!({ "removed": removed })),
    }
}

pub(super) async fn presets(_: Call) -> Answer {
    let data = PRESETS.map(|(name, about)| json!({ "name": name, "about": about }));
    Ok(json!({ "data": data }))
}
