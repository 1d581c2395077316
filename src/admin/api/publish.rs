//! `publish`, and setting one retained message. Answered with 200 when the messages are as durable as after a PUBACK.

use std::{future::poll_fn, pin::Pin, task::Poll};

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use super::{
    super::problem::Problem,
    call::{Answer, Call, answer, check_fields, kind},
    parameters::{Kind, Parameter, bad, unknown},
    schema::{Is, Shape, field, optional},
};
use crate::{
    codec::{PropertiesBuf, PropertyId, PropertyValue},
    inside::{Publication, PublishError, Published},
    topic::TopicName,
    trace::name,
    types::QoS,
};

pub(super) static TOPIC: [Parameter; 1] = [Parameter::required("topic", Kind::Topic, "Topic of the retained message")];

/// A message to publish.
pub(super) static MESSAGE: Shape = Shape {
    name: "Message",
    fields: &[
        optional("topic", Is::Text),
        optional("payload", Is::Text),
        optional("payload_base64", Is::Text),
        optional("payload_json", Is::Any),
        optional("qos", Is::Number),
        optional("retain", Is::Flag),
        optional("properties", Is::Any),
    ],
};

pub(super) static PUBLISHED: Shape = Shape { name: "Published", fields: &[field("subscribers", Is::Number)] };

/// Most messages in one request.
pub(super) const MOST: usize = 1_000;

/// Publishes one message or an array of them. All are checked before the first is published.
pub(super) async fn publish(call: Call) -> Answer {
    let body = call.json()?;
    let Value::Array(all) = &body else {
        let published = keep(&call, vec![message(&body, None)?]).await?;
        return Ok(answer(&shown(published[0])));
    };
    if all.len() > MOST {
        return Err(bad("too-many", format!("{} messages are more than {MOST}", all.len())));
    }
    let read = all
        .iter()
        .enumerate()
        .map(|(at, one)| message(one, None).map_err(|problem| problem.prefixed(&format!("message {at}: "))));
    let published = keep(&call, read.collect::<Result<_, _>>()?).await?;
    let data: Vec<_> = published.into_iter().map(shown).collect();
    Ok(answer(&json!({ "data": data, "next": null })))
}

/// Retains one message.
pub(super) async fn retain(call: Call) -> Answer {
    let topic = call.query.text("topic").unwrap_or_default();
    let publication = message(&call.json()?, Some(topic))?.retain(true);
    let published = keep(&call, vec![publication]).await?;
    Ok(answer(&shown(published[0])))
}

fn shown(published: Published) -> Value {
    json!({ "subscribers": published.subscribers })
}

/// Publishes the messages in their order, in one batch of the store, and waits until they are durable.
async fn keep(call: &Call, publications: Vec<Publication>) -> Result<Vec<Published>, Problem> {
    let mut waiting: Vec<_> = publications.into_iter().map(|one| Box::pin(call.desk.inside.publish(one))).collect();
    let mut results: Vec<Option<Result<Published, PublishError>>> = vec![None; waiting.len()];
    poll_fn(|cx| {
        for (one, result) in waiting.iter_mut().zip(&mut results).filter(|(_, result)| result.is_none()) {
            if let Poll::Ready(ready) = Pin::as_mut(one).poll(cx) {
                *result = Some(ready);
            }
        }
        if results.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let (all, kept) = (results.len(), results.iter().flatten().filter(|result| result.is_ok()).count());
    results.into_iter().flatten().collect::<Result<_, _>>().map_err(|error| {
        let problem = refused(&error);
        if all == 1 { problem } else { problem.prefixed(&format!("{kept} of {all} messages are kept: ")) }
    })
}

fn refused(error: &PublishError) -> Problem {
    let (status, code) = match error {
        PublishError::Topic(_) => (StatusCode::BAD_REQUEST, "topic"),
        PublishError::Property(_) => (StatusCode::BAD_REQUEST, "property"),
        PublishError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "message-too-large"),
        PublishError::Refused(_) => (StatusCode::SERVICE_UNAVAILABLE, "not-kept"),
        PublishError::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    Problem::new(status, code, error.to_string())
}

/// Parses a message. `topic`: the topic, if a parameter has it.
fn message(value: &Value, topic: Option<&str>) -> Result<Publication, Problem> {
    check_fields(value, &MESSAGE)?;
    let text = |name: &str| match &value[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.as_str())),
        other => Err(bad("body", format!("{name}: a string is expected, not {}", kind(other)))),
    };
    let topic = match (topic, text("topic")?) {
        (Some(_), Some(_)) => return Err(bad("body", "topic is in the parameters already")),
        (Some(topic), None) | (None, Some(topic)) => topic,
        (None, None) => return Err(bad("body", "topic is missing")),
    };
    TopicName::new(topic).map_err(|error| bad("topic", format!("{topic:?} is not a Topic Name: it {error}")))?;
    if topic.starts_with("$SYS/") || topic.starts_with("$events/") {
        return Err(bad("topic", "only the broker publishes to topics of $SYS and $events"));
    }
    let payload = match (text("payload")?, text("payload_base64")?, value.get("payload_json")) {
        (Some(text), None, None) => text.as_bytes().to_vec(),
        (None, Some(text), None) => {
            BASE64.decode(text).map_err(|error| bad("body", format!("payload_base64: not base64: {error}")))?
        }
        (None, None, Some(json)) => json.to_string().into_bytes(),
        (None, None, None) => {
            const MISSING: &str =
                "one of payload, payload_base64 and payload_json is missing; an empty payload is \"payload\": \"\"";
            return Err(bad("body", MISSING));
        }
        _ => return Err(bad("body", "payload, payload_base64 and payload_json: exactly one is expected")),
    };
    let qos = match &value["qos"] {
        Value::Null => Some(QoS::default()),
        number => number.as_u64().and_then(|number| QoS::from_bits(u8::try_from(number).ok()?)),
    };
    let qos = qos.ok_or_else(|| bad("body", "qos: 0, 1 or 2 is expected"))?;
    let retain = match &value["retain"] {
        Value::Null => false,
        Value::Bool(retain) => *retain,
        other => return Err(bad("body", format!("retain: true or false is expected, not {}", kind(other)))),
    };
    let properties = properties(&value["properties"])?;
    Ok(Publication::new(topic, payload).qos(qos).retain(retain).properties(properties))
}

/// Properties that a publisher may set.
const SETTABLE: [PropertyId; 6] = [
    PropertyId::PayloadFormatIndicator,
    PropertyId::MessageExpiryInterval,
    PropertyId::ContentType,
    PropertyId::ResponseTopic,
    PropertyId::CorrelationData,
    PropertyId::UserProperty,
];

/// Parses those properties of a recorded message that a publisher may set. The error says what is wrong.
pub(crate) fn settable_properties(value: &Value) -> Result<PropertiesBuf, String> {
    let mut known = value.clone();
    if let Value::Object(all) = &mut known {
        all.retain(|word, _| SETTABLE.into_iter().any(|id| name(id) == *word));
    }
    properties(&known).map_err(|problem| problem.detail().to_owned())
}

/// Parses properties, in the form in which messages show them.
fn properties(value: &Value) -> Result<PropertiesBuf, Problem> {
    let mut all = PropertiesBuf::default();
    let object = match value {
        Value::Null => return Ok(all),
        Value::Object(object) => object,
        other => return Err(bad("property", format!("properties: an object is expected, not {}", kind(other)))),
    };
    for (word, value) in object {
        let Some(id) = SETTABLE.into_iter().find(|id| name(*id) == *word) else {
            let known: Vec<_> = SETTABLE.into_iter().map(name).collect();
            return Err(unknown("property", word, known.iter().map(String::as_str)));
        };
        let wrong = |expected: &str| bad("property", format!("{word}: {expected} is expected"));
        let text = || value.as_str().ok_or_else(|| wrong("a string"));
        let fits = match id {
            PropertyId::PayloadFormatIndicator => {
                all.push(id, PropertyValue::Flag(value.as_bool().ok_or_else(|| wrong("true or false"))?))
            }
            PropertyId::MessageExpiryInterval => {
                let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
                all.push(id, PropertyValue::Number(number.ok_or_else(|| wrong("a number of seconds"))?))
            }
            PropertyId::CorrelationData => {
                let bytes = BASE64.decode(text()?).map_err(|_| wrong("base64"))?;
                all.push(id, PropertyValue::Bytes(&bytes))
            }
            PropertyId::UserProperty => {
                let pairs = value.as_array().ok_or_else(|| wrong("an array of [name, value]"))?;
                let mut push = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
                    Some([Value::String(name), Value::String(value)]) => {
                        Ok(all.push(id, PropertyValue::Pair(name, value)))
                    }
                    _ => Err(wrong("an array of [name, value]")),
                };
                pairs.iter().try_fold(true, |fits, pair| Ok::<_, Problem>(push(pair)? && fits))?
            }
            PropertyId::ResponseTopic => {
                TopicName::new(text()?).map_err(|_| wrong("a Topic Name"))?;
                all.push(id, PropertyValue::Text(text()?))
            }
            _ => all.push(id, PropertyValue::Text(text()?)),
        };
        if !fits || value.as_str().is_some_and(|text| text.contains('\0')) {
            return Err(wrong("a text of at most 65,535 bytes without U+0000"));
        }
    }
    Ok(all)
}
