//! Reads a recording as a list of published messages, with the times between them.

use std::{
    collections::HashSet,
    io::BufRead,
    path::Path,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::Value;

use crate::{
    admin::settable_properties,
    codec::PropertiesBuf,
    testing::recording::{RecordingError, is_first_line},
    topic::{TopicFilter, TopicName},
    types::QoS,
};

/// A message of a recording.
pub(super) struct Message {
    /// Time since the first message of the recording.
    pub(super) at: Duration,
    pub(super) topic: Box<str>,
    pub(super) payload: Vec<u8>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) properties: PropertiesBuf,
}

/// The messages that match one of `filters`, or all without a filter, and the number of those whose topic or payload is
/// not in the recording. Of packets, these are the PUBLISH packets of clients; a repeated one (DUP) counts if the first
/// is not there. Other lines, and unknown keys, are skipped. `path` is the recording's name in errors.
pub(super) fn messages(
    path: &Path,
    recording: impl BufRead,
    filters: &[&TopicFilter],
) -> Result<(Vec<Message>, u64), RecordingError> {
    let read = |error| RecordingError::Read { path: path.to_owned(), error };
    let wrong = |line, problem: String| RecordingError::Line { path: path.to_owned(), line, problem };
    let (mut messages, mut first) = (Vec::new(), None);
    let (mut sent, mut left_out) = (HashSet::new(), 0);
    let mut lines = (1..).zip(recording.lines()).peekable();
    if lines.peek().is_none() {
        return Err(wrong(1, "there is nothing: the first line of a recording is missing".into()));
    }
    for (number, line) in lines {
        let line = line.map_err(read)?;
        let value: Value = serde_json::from_str(&line).map_err(|error| wrong(number, error.to_string()))?;
        if number == 1 {
            match is_first_line(&value) {
                true => continue,
                false => return Err(wrong(1, "not the first line of a recording".into())),
            }
        }
        if !is_publication(&value) {
            continue;
        }
        if value["packet"].is_string() {
            let known = (value["client"].as_str().map(str::to_owned), value["packet_id"].as_u64());
            let is_known = known.1.is_some() && !sent.insert(known);
            if value["dup"] == true && is_known {
                continue;
            }
            // a trace without payloads, or one that began behind a Topic Alias
            if value["topic"].is_null() || value["payload"].is_null() && value["payload_base64"].is_null() {
                left_out += 1;
                continue;
            }
        }
        let (mut message, at) = message(&value).map_err(|problem| wrong(number, problem))?;
        let topic = TopicName::from_valid(&message.topic);
        if !filters.is_empty() && !filters.iter().any(|filter| filter.matches(topic)) {
            continue;
        }
        let first = *first.get_or_insert(at);
        let last = messages.last().map_or(Duration::ZERO, |last: &Message| last.at);
        message.at = at.saturating_sub(first).max(last);
        messages.push(message);
    }
    Ok((messages, left_out))
}

/// Is it a message, or a client's PUBLISH?
fn is_publication(value: &Value) -> bool {
    match value["packet"].as_str() {
        Some(packet) => packet == "PUBLISH" && value["direction"] == "to_server",
        // the console exports deliveries too
        None => !value["topic"].is_null() && value["direction"] != "to_client",
    }
}

/// The message of a line, and its recorded time.
fn message(value: &Value) -> Result<(Message, Duration), String> {
    let topic = value["topic"].as_str().ok_or("topic: a string is expected")?;
    TopicName::new(topic).map_err(|error| format!("{topic:?} is not a Topic Name: it {error}"))?;
    let payload = match (value["payload"].as_str(), value["payload_base64"].as_str()) {
        (Some(text), None) => text.as_bytes().to_vec(),
        (None, Some(text)) => BASE64.decode(text).map_err(|error| format!("payload_base64: not base64: {error}"))?,
        _ => return Err("payload or payload_base64 is expected: a string".into()),
    };
    let qos = match &value["qos"] {
        Value::Null => Some(QoS::AtMostOnce),
        number => number.as_u64().and_then(|number| QoS::from_bits(u8::try_from(number).ok()?)),
    };
    let qos = qos.ok_or("qos: 0, 1 or 2 is expected")?;
    let properties = settable_properties(&value["properties"])?;
    let at = match (value["mono_us"].as_u64(), value["at"].as_str()) {
        (Some(micros), _) => Duration::from_micros(micros),
        (None, Some(at)) => humantime::parse_rfc3339(at)
            .map_err(|error| format!("at: {error}"))?
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
        (None, None) => return Err("mono_us or at is expected: the time of publication".into()),
    };
    let retain = value["retain"] == true;
    Ok((Message { at: Duration::ZERO, topic: topic.into(), payload, qos, retain, properties }, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str], filters: &[&str]) -> Result<(Vec<Message>, u64), RecordingError> {
        let first = r#"{"dunlin":"recording","version":1}"#;
        let recording = [&[first], lines].concat().join("\n");
        let filters: Vec<_> = filters.iter().map(|filter| TopicFilter::new(filter).unwrap()).collect();
        messages(Path::new("recording.jsonl"), recording.as_bytes(), &filters)
    }

    #[test]
    fn messages_and_publish_packets_of_a_recording_keep_their_times() {
        let lines = [
            r#"{"packet":"CONNECT","direction":"to_server","client":"c","mono_us":1}"#,
            r#"{"packet":"PUBLISH","direction":"to_server","topic":"a","payload":"1","qos":1,"packet_id":7,"mono_us":1000}"#,
            r#"{"packet":"PUBLISH","direction":"to_client","topic":"a","payload":"1","qos":1,"mono_us":1100}"#,
            r#"{"packet":"PUBLISH","direction":"to_server","topic":"a","payload":"1","qos":1,"dup":true,"packet_id":7,"mono_us":1200}"#,
            r#"{"packet":"PUBLISH","direction":"to_server","topic":"a","payload_size":1,"qos":0,"mono_us":1300}"#,
            r#"{"packet":"PUBLISH","direction":"to_server","topic":"d","payload":"2","qos":1,"dup":true,"packet_id":8,"mono_us":2000}"#,
            r#"{"packet":"PUBLISH","direction":"to_server","topic":"b/c","payload_base64":"/w==","retain":true,"mono_us":3500}"#,
        ];
        let (all, left_out) = read(&lines, &[]).unwrap();
        assert_eq!(left_out, 1);
        let shown: Vec<_> = all.iter().map(|m| (&*m.topic, m.at.as_micros(), m.qos as u8, m.retain)).collect();
        assert_eq!(shown, [("a", 0, 1, false), ("d", 1_000, 1, false), ("b/c", 2_500, 0, true)]);
        assert_eq!(all[2].payload, [255]);
        let (some, _) = read(&lines, &["b/#"]).unwrap();
        assert_eq!((some.len(), some[0].at), (1, Duration::ZERO));
        let messages = [
            r#"{"at":"2026-11-30T10:00:00.5Z","topic":"a","payload":"1","properties":{"content_type":"text/plain"},"new":1}"#,
            r#"{"at":"2026-11-30T10:00:01Z","topic":"a","payload":"1","client":"c","direction":"to_client"}"#,
            r#"{"at":"2026-11-30T10:00:02Z","topic":"a","payload":"2"}"#,
        ];
        let (all, _) = read(&messages, &[]).unwrap();
        assert_eq!((all[1].at, all[0].properties.as_properties().is_empty()), (Duration::from_millis(1_500), false));
    }

    #[test]
    fn an_invalid_recording_is_refused_with_the_line() {
        for (line, problem) in [
            (r#"{"topic":"a/#","payload":"","at":"2026-11-30T10:00:00Z"}"#, "is not a Topic Name"),
            (r#"{"topic":"a","at":"2026-11-30T10:00:00Z"}"#, "payload or payload_base64 is expected"),
            (r#"{"topic":"a","payload":""}"#, "mono_us or at is expected"),
            (r#"{"topic":"a","payload":"","qos":3,"at":"2026-11-30T10:00:00Z"}"#, "qos: 0, 1 or 2"),
            (r#"{"topic":"a","payload":"","at":"yesterday"}"#, "at: "),
            ("{", "EOF"),
        ] {
            let error = read(&[r#"{"event":"x"}"#, line], &[]).err().unwrap().to_string();
            assert!(error.contains("recording.jsonl:3: ") && error.contains(problem), "{error}");
        }
    }
}
