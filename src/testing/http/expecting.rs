//! `POST /test/v1/expect`.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    super::{expect::Missed, shown::entry},
    call::{Answer, Call, bad},
};
use crate::admin::Problem;

pub(super) async fn expect(call: Call) -> Answer {
    match call.bench.expect(&call.asked()?).await {
        Ok(met) => {
            let messages: Vec<_> = met.messages.iter().map(|one| entry(one)).collect();
            Ok(json!({ "last": met.last, "messages": messages }))
        }
        Err(missed) if missed.is_wrong => Err(bad(missed.detail)),
        Err(missed) => Err(unmet(missed)),
    }
}

/// 409, with the messages that did arrive.
fn unmet(missed: Missed) -> Problem {
    let arrived: Vec<_> = missed.arrived.iter().map(|one| entry(one)).collect();
    let nearest = missed.nearest.map_or(Value::Null, |(near, differs)| {
        let mut shown = entry(&near);
        shown["differs"] = json!(differs);
        shown
    });
    let problem = Problem::new(StatusCode::CONFLICT, "unmet", missed.detail);
    problem.with("arrived", arrived.into()).with("nearest", nearest)
}
