//! Subscriptions of clients, and the subscribers of a topic.

use std::num::NonZeroU32;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    super::problem::Problem,
    call::{Answer, Call, answer, check_fields, next},
    parameters::{Kind, Parameter, bad},
    schema::{Is, Shape, field, nullable, optional},
    selection::Selection,
};
use crate::{
    inside::until_kept,
    router::inspect::{Cursor, NotSubscribed, SubscriptionView, Wanted},
    session::Stored,
    topic::{TopicFilter, TopicName},
    types::{ClientId, QoS, RetainHandling, SubscriptionOptions},
};

pub(super) static SUBSCRIPTION: Shape = Shape {
    name: "Subscription",
    fields: &[
        field("client_id", Is::Text),
        field("filter", Is::Text),
        field("qos", Is::Number),
        field("no_local", Is::Flag),
        field("retain_as_published", Is::Flag),
        field("retain_handling", Is::Number),
        nullable("identifier", Is::Number),
    ],
};

pub(super) static SUBSCRIBER: Shape = Shape {
    name: "Subscriber",
    fields: &[
        field("client_id", Is::Text),
        nullable("group", Is::Text),
        field("qos", Is::Number),
        field("connected", Is::Flag),
        field("may_receive", Is::Flag),
    ],
};

/// The answer of `routes`.
pub(super) static ROUTES: Shape =
    Shape { name: "Routes", fields: &[field("data", Is::List(&SUBSCRIBER)), field("subscribers", Is::Number)] };

pub(super) static TOPIC: [Parameter; 2] = [
    Parameter::required("topic", Kind::Topic, "The subscribers of this topic"),
    Parameter::new("limit", Kind::Number(1, super::call::MOST), "Most subscribers; default 100"),
];

pub(super) static ONE_CLIENT: [Parameter; 2] = [
    Parameter::new("client_id", Kind::Text, "Of this client"),
    Parameter::new("filter", Kind::Filter, "Exactly this Topic Filter"),
];

fn shown(client: &str, view: &SubscriptionView) -> Value {
    let options = &view.options;
    json!({
        "client_id": client,
        "filter": view.filter,
        "qos": options.qos as u8,
        "no_local": options.no_local,
        "retain_as_published": options.retain_as_published,
        "retain_handling": match options.retain_handling {
            RetainHandling::Send => 0,
            RetainHandling::SendIfNew => 1,
            RetainHandling::DoNotSend => 2,
        },
        "identifier": options.identifier,
    })
}

/// The body of a new subscription.
pub(super) static NEW: Shape = Shape {
    name: "NewSubscription",
    fields: &[
        field("filter", Is::Text),
        optional("qos", Is::Number),
        optional("no_local", Is::Flag),
        optional("retain_as_published", Is::Flag),
        optional("retain_handling", Is::Number),
        optional("identifier", Is::Number),
    ],
};

pub(super) static ENDED: Shape = Shape { name: "SubscriptionEnded", fields: &[field("filter", Is::Text)] };

pub(super) static WHICH: [Parameter; 1] =
    [Parameter::required("filter", Kind::Filter, "Exactly this Topic Filter of the client")];

/// Subscribes a client; answers when this is durable.
pub(super) async fn subscribe(call: Call) -> Answer {
    let body = call.json()?;
    check_fields(&body, &NEW)?;
    let Some(text) = body["filter"].as_str() else { return Err(bad("body", "filter is missing, or is not a text")) };
    let filter = TopicFilter::new(text);
    let filter = filter.map_err(|error| bad("filter", format!("{text:?} is not a Topic Filter: it {error}")))?;
    let options = options(&body)?;
    let client = ClientId::from(call.id.as_str());
    let stored = call.desk.operator.subscribe(call.state.clock.now(), &client, filter, options);
    kept(&call, stored.map_err(|why| refused(&call, why))?).await?;
    Ok(answer(&shown(&call.id, &SubscriptionView { filter: text.into(), options })))
}

fn options(body: &Value) -> Result<SubscriptionOptions, Problem> {
    let number = |name: &str, least: u64, most: u64| match &body[name] {
        Value::Null => Ok(None),
        value => match value.as_u64().filter(|number| (least..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(bad("body", format!("{name}: a number from {least} to {most} is expected"))),
        },
    };
    let flag = |name: &str| match &body[name] {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        _ => Err(bad("body", format!("{name}: true or false is expected"))),
    };
    let qos = number("qos", 0, 2)?.and_then(|qos| QoS::from_bits(u8::try_from(qos).ok()?));
    Ok(SubscriptionOptions {
        qos: qos.unwrap_or_default(),
        no_local: flag("no_local")?,
        retain_as_published: flag("retain_as_published")?,
        retain_handling: match number("retain_handling", 0, 2)? {
            None | Some(0) => RetainHandling::Send,
            Some(1) => RetainHandling::SendIfNew,
            Some(_) => RetainHandling::DoNotSend,
        },
        // the largest Variable Byte Integer
        identifier: number("identifier", 1, 268_435_455)?.and_then(|id| NonZeroU32::new(u32::try_from(id).ok()?)),
    })
}

/// Ends a subscription of a client; answers when this is durable.
pub(super) async fn unsubscribe(call: Call) -> Answer {
    let text = call.query.text("filter").unwrap_or_default();
    let filter = TopicFilter::new(text).map_err(|error| bad("filter", error.to_string()))?;
    let ended = call.desk.operator.unsubscribe(&ClientId::from(call.id.as_str()), filter);
    let Some(stored) = ended.map_err(|why| refused(&call, why))? else {
        let detail = format!("the client has no subscription to {text:?}");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-subscription", detail));
    };
    kept(&call, stored).await?;
    Ok(answer(&json!({ "filter": text })))
}

fn refused(call: &Call, why: NotSubscribed) -> Problem {
    match why {
        NotSubscribed::Unknown => call.unknown_client(),
        NotSubscribed::Shared => bad("shared", "only the client itself can begin and end its shared subscriptions"),
        NotSubscribed::Refused(reason) => {
            Problem::new(StatusCode::CONFLICT, "refused", format!("the subscription would be refused: {reason:?}"))
        }
    }
}

/// Waits until the change is durable.
pub(super) async fn kept(call: &Call, stored: Stored) -> Result<(), Problem> {
    let kept = until_kept(call.router().clone(), stored).await;
    kept.map_err(|reason| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store", reason.to_string()))
}

/// The subscriptions of one client.
pub(super) async fn of_client(call: Call) -> Answer {
    let (skip, limit) = (usize::try_from(call.number_of_cursor()?).unwrap_or(usize::MAX), call.limit());
    let some = call.router().subscriptions_of(&ClientId::from(call.id.as_str()), skip, limit);
    let some = some.ok_or_else(|| call.unknown_client())?;
    let behind = (some.len() == limit).then(|| next((skip + limit) as u64));
    call.list(some.iter().map(|view| shown(&call.id, view)).collect(), behind)
}

/// The subscriptions of all clients. A page ends after a client's last subscription, or within those of a client with
/// many.
pub(super) async fn all(call: Call) -> Answer {
    let selection = Selection::of(&call.query, Wanted::All, &call);
    let wanted = call.query.text("filter").map(str::to_owned);
    let (mut client, mut skip) = start(&call)?;
    let (limit, mut data) = (call.limit(), Vec::new());
    loop {
        let mut row = None;
        let behind = selection.walk(&call, client, 1, |found| row = Some(found)).await;
        if let Some(row) = row {
            let id = row.client.as_str();
            while let Some(some) = call.router().subscriptions_of(&row.client, skip, limit) {
                for (at, view) in some.iter().enumerate() {
                    if data.len() == limit {
                        // continues within this client
                        let here = format!("{:x}.{:x}", client.number(), skip + at);
                        return call.list(data, Some(here));
                    }
                    if wanted.as_deref().is_none_or(|wanted| wanted == &*view.filter) {
                        data.push(shown(id, view));
                    }
                }
                if some.len() < limit {
                    break;
                }
                skip += some.len();
            }
        }
        let Some(behind) = behind else { return call.list(data, None) };
        (client, skip) = (behind, 0);
        if data.len() == limit {
            return call.list(data, Some(format!("{:x}.0", client.number())));
        }
    }
}

/// The start of a page: a client, and the number of its subscriptions on earlier pages.
fn start(call: &Call) -> Result<(Cursor, usize), super::super::problem::Problem> {
    let Some(text) = call.query.text("cursor") else { return Ok((Cursor::default(), 0)) };
    let parse = |text: &str| u64::from_str_radix(text, 16).ok();
    let both = text.split_once('.').and_then(|(client, skip)| Some((parse(client)?, parse(skip)?)));
    match both {
        Some((client, skip)) => Ok((Cursor::from_number(client), usize::try_from(skip).unwrap_or(usize::MAX))),
        None => Err(bad("cursor", format!("{text:?} is not a cursor: take next of the answer before"))),
    }
}

/// The subscribers of a topic.
pub(super) async fn routes(call: Call) -> Answer {
    let text = call.query.text("topic").unwrap_or_default();
    let topic = TopicName::new(text).map_err(|error| bad("topic", error.to_string()))?;
    let (views, all) = call.router().subscribers(topic, call.limit());
    let data: Vec<_> = views
        .iter()
        .map(|view| {
            json!({
                "client_id": view.client.as_str(),
                "group": view.group,
                "qos": view.qos as u8,
                "connected": view.connected,
                "may_receive": view.may_receive,
            })
        })
        .collect();
    Ok(answer(&json!({ "data": data, "subscribers": all })))
}
