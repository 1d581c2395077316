//! Answers as text: lists as tables, objects as lines.

use std::io::{self, Write};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value};

use super::CtlError;

/// Prints text. The reader of standard output may have ended already.
pub(super) fn print(text: &str) -> Result<(), CtlError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(CtlError::Write(error)),
        Ok(()) => Ok(()),
    }
}

/// A list as a table, of these columns if they are given; an object as lines.
pub(super) fn people(value: &Value, columns: Option<&[&str]>) -> String {
    match (value.get("data").and_then(Value::as_array), value.as_object()) {
        (Some(rows), _) => {
            let more = value.get("next").and_then(Value::as_str);
            let more = more.map(|cursor| format!("more: cursor={cursor}\n"));
            table(rows, columns) + &more.unwrap_or_default()
        }
        (None, Some(object)) => lines(object, ""),
        (None, None) => cell(value) + "\n",
    }
}

/// The columns that are not empty, in the order of the answer.
fn table(rows: &[Value], columns: Option<&[&str]>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for object in rows.iter().filter_map(Value::as_object) {
        let filled = object.iter().filter(|(_, value)| !is_nothing(value)).map(|(name, _)| name.as_str());
        let filled = filled.filter(|name| columns.is_none_or(|columns| columns.contains(name)));
        filled.for_each(|name| {
            if !names.contains(&name) {
                names.push(name)
            }
        });
    }
    // identifying columns come first
    let order = columns.unwrap_or(&FIRST);
    crate::types::sort_by_key(&mut names, |name| order.iter().position(|first| first == name).unwrap_or(order.len()));
    let mut all = vec![names.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>()];
    all.extend(rows.iter().map(|row| names.iter().map(|name| cell(&row[*name])).collect()));
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..names.len()).map(width).collect();
    let mut text = String::new();
    for row in &all {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

const FIRST: [&str; 8] = ["number", "name", "client_id", "key", "topic", "filter", "user", "connected"];

fn lines(object: &Map<String, Value>, before: &str) -> String {
    let mut text = String::new();
    for (name, value) in object {
        match value {
            Value::Object(inner) => text += &lines(inner, &format!("{before}{name}.")),
            Value::Null => {}
            // a table of its own
            Value::Array(rows) if rows.first().is_some_and(Value::is_object) => {
                text += &format!("{before}{name}:\n");
                table(rows, None).lines().for_each(|line| text += &format!("  {line}\n"));
            }
            value => text = text + format!("{before}{name}: {}", cell(value)).trim_end() + "\n",
        }
    }
    text
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}

/// Escapes characters that a terminal could interpret.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.chars().any(char::is_control) => text.escape_debug().to_string(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Prints a message: topic and payload.
pub(super) fn message(data: &Value, json: bool) -> Result<(), CtlError> {
    if json {
        return print(&format!("{data}\n"));
    }
    if let Some(lost) = data.get("lost") {
        return print(&format!("lost: {lost}\n"));
    }
    let payload = data["payload_base64"].as_str().and_then(|text| BASE64.decode(text).ok());
    let payload = payload.map(|bytes| Value::from(format!("({} bytes)", bytes.len())));
    print(&format!("{} {}\n", cell(&data["topic"]), cell(payload.as_ref().unwrap_or(&data["payload"]))))
}

/// Prints an event.
pub(super) fn event(name: &str, data: &Value, json: bool) -> Result<(), CtlError> {
    if json {
        let mut data = data.clone();
        data["event"] = name.into();
        return print(&format!("{data}\n"));
    }
    let fields = data.as_object().into_iter().flatten().filter(|(_, value)| !is_nothing(value));
    let fields: Vec<_> = fields.map(|(name, value)| format!("{name}={}", cell(value))).collect();
    print(&format!("{name} {}\n", fields.join(" ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_a_table_and_an_object_is_lines() {
        let list = json!({ "data": [
            { "queued": 3, "client_id": "lamp", "user": null },
            { "queued": 20, "client_id": "a\u{1b}[2J", "user": null },
        ], "next": "1f" });
        assert_eq!(people(&list, None), "CLIENT_ID   QUEUED\nlamp        3\na\\u{1b}[2J  20\nmore: cursor=1f\n");
        assert_eq!(people(&json!({ "a": { "b": 1 }, "c": null, "d": "x" }), None), "a.b: 1\nd: x\n");
        let nested =
            json!({ "listeners": [{ "address": "127.0.0.1:1883", "number": 1, "certificate_ends_at": null }] });
        assert_eq!(people(&nested, None), "listeners:\n  NUMBER  ADDRESS\n  1       127.0.0.1:1883\n");
    }
}
