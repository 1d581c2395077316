//! Traces: requests, and packets as lines.

use std::ops::ControlFlow;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value, json};

use super::{CtlError, asking::Asking, shown};
use crate::config::{TraceAction, TraceTarget};

/// Does the operation print packets?
pub(super) fn prints(action: &TraceAction) -> bool {
    matches!(action, TraceAction::Start { detach: false, .. } | TraceAction::Show { .. })
}

/// Prints packets as they arrive.
pub(super) fn print(asking: &Asking, action: &TraceAction, as_json: bool) -> Result<(), CtlError> {
    let (path, count) = match action {
        TraceAction::Show { id, follow } => (format!("traces/{id}?follow={follow}"), None),
        action => {
            let (method, path, body) = request(Some(action));
            let started = asking.ask(method, &path, body.as_ref())?.value;
            let count = if let TraceAction::Start { count, .. } = action { *count } else { None };
            (format!("traces/{}?follow=true", started["id"]), count)
        }
    };
    let mut left = count.unwrap_or(u64::MAX);
    asking.lines(&path, |line| {
        let packet: Value = serde_json::from_str(line).unwrap_or_default();
        match as_json {
            true => shown::print(&format!("{line}\n"))?,
            false => text(&packet).map_or(Ok(()), |text| shown::print(&text))?,
        }
        left -= u64::from(!packet["packet"].is_null());
        Ok(if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
}

/// The verb, the path and the body.
pub(super) fn request(action: Option<&TraceAction>) -> (&'static str, String, Option<Value>) {
    match action {
        None | Some(TraceAction::List) => ("GET", "traces".into(), None),
        Some(TraceAction::Start { target, payload, lasts, detach, .. }) => {
            let TraceTarget { client, topic, network } = target;
            let mut body = json!({ "payload": payload, "for": lasts, "attached": !detach });
            for (name, value) in [("client_id", client), ("filter", topic), ("network", network)] {
                value.iter().for_each(|value| body[name] = value.as_str().into());
            }
            ("POST", "traces".into(), Some(body))
        }
        Some(TraceAction::Show { id, .. }) => ("GET", format!("traces/{id}"), None),
        Some(TraceAction::Stop { id }) => ("POST", format!("traces/{id}/stop"), None),
        Some(TraceAction::Remove { id }) => ("DELETE", format!("traces/{id}"), None),
    }
}

/// A line for people; `None`: nothing is printed.
fn text(line: &Value) -> Option<String> {
    let object = line.as_object()?;
    if let Some(lost) = object.get("lost") {
        return Some(format!("lost: {lost}\n"));
    }
    // the time of day of 2026-01-31T12:00:00.000000Z
    let at = object.get("at")?.as_str()?;
    let at = at.split_once('T').map_or(at, |(_, time)| time.trim_end_matches('Z'));
    let client = object.get("client").and_then(Value::as_str).unwrap_or("-");
    let (arrow, what) = match (object.get("packet"), object.get("direction").and_then(Value::as_str)) {
        (Some(packet), Some("to_client")) => ("<-", packet),
        (Some(packet), _) => ("->", packet),
        (None, _) => ("  ", object.get("event")?),
    };
    let what = what.as_str().unwrap_or_default();
    let text = format!("{at} {client} {arrow} {what} {}", fields(object).join(" "));
    Some(printable(text.trim_end()) + "\n")
}

/// The fields of a packet besides its type.
fn fields(object: &Map<String, Value>) -> Vec<String> {
    const TOLD: [&str; 8] = ["at", "client", "direction", "event", "mono_us", "packet", "size", "user"];
    let mut fields = Vec::new();
    // the topic first
    fields.extend(object.get("topic").and_then(Value::as_str).map(str::to_owned));
    for (name, value) in object.iter().filter(|(name, _)| *name != "topic" && !TOLD.contains(&name.as_str())) {
        match value {
            Value::Bool(true) => fields.push(name.clone()),
            Value::Null | Value::Bool(false) => {}
            Value::String(text) if name == "payload_base64" => {
                let bytes = BASE64.decode(text).map_or(0, |bytes| bytes.len());
                fields.push(format!("payload=({bytes} bytes)"));
            }
            Value::String(text) => fields.push(format!("{name}={text}")),
            other => fields.push(format!("{name}={other}")),
        }
    }
    fields
}

/// Escapes characters that a terminal could interpret.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_printed_as_a_line() {
        let table = [
            (json!({ "dunlin": "recording", "version": 1 }), None),
            (json!({ "lost": 3 }), Some("lost: 3\n")),
            (
                json!({ "at": "2026-01-31T12:00:00.000001Z", "client": "lamp", "direction": "to_client", "dup": false,
                        "mono_us": 1, "packet": "PUBLISH", "packet_id": 7, "payload": "a\u{1b}[2J", "qos": 1,
                        "retain": true, "size": 12, "topic": "home/door" }),
                Some("12:00:00.000001 lamp <- PUBLISH home/door packet_id=7 payload=a\\u{1b}[2J qos=1 retain\n"),
            ),
            (
                json!({ "at": "2026-01-31T12:00:00Z", "client": null, "event": "disconnected", "reason": "bored" }),
                Some("12:00:00 -    disconnected reason=bored\n"),
            ),
        ];
        for (line, expected) in table {
            assert_eq!(text(&line).as_deref(), expected, "{line}");
        }
    }
}
