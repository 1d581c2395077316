//! `webhooks`: the webhooks and their states.

use serde_json::{Map, Value, json};

use super::{
    super::control::WebhookState,
    call::{Answer, Call, answer, time},
    schema::{Is, Shape, field, nullable},
};

pub(super) static WEBHOOK: Shape = Shape {
    name: "Webhook",
    fields: &[
        field("name", Is::Text),
        field("url", Is::Text),
        field("state", Is::Text),
        nullable("error", Is::Text),
        nullable("error_at", Is::Time),
        field("counters", Is::Any),
    ],
};

pub(super) async fn list(call: Call) -> Answer {
    let all = call.desk.control.webhooks();
    Ok(answer(&json!({ "data": all.iter().map(shown).collect::<Vec<_>>(), "next": null })))
}

fn state(webhook: &WebhookState) -> &'static str {
    match (webhook.is_stopped, webhook.fails) {
        (true, _) => "stopped",
        (false, true) => "failing",
        (false, false) => "working",
    }
}

fn shown(webhook: &WebhookState) -> Value {
    let counters: Map<String, Value> =
        webhook.counts.iter().map(|(name, _, number)| ((*name).to_owned(), (*number).into())).collect();
    json!({
        "name": webhook.name,
        "url": webhook.url,
        "state": state(webhook),
        "error": webhook.error.as_ref().map(|(why, _)| why),
        "error_at": webhook.error.as_ref().map(|(_, at)| time(*at)),
        "counters": counters,
    })
}
