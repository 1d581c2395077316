//! Who is subscribed to what, and who would get a topic.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, answer, next},
    parameters::{Kind, Parameter, bad},
    schema::{Is, Shape, field, nullable},
    selection::Selection,
};
use crate::{
    router::inspect::{Cursor, SubscriptionView, Wanted},
    topic::TopicName,
    types::{ClientId, RetainHandling},
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

/// Of `routes`.
pub(super) static ROUTES: Shape =
    Shape { name: "Routes", fields: &[field("data", Is::List(&SUBSCRIBER)), field("subscribers", Is::Number)] };

pub(super) static TOPIC: [Parameter; 2] = [
    Parameter::required("topic", Kind::Topic, "Who would get a message of this topic?"),
    Parameter::new("limit", Kind::Number(1, super::call::MOST), "Subscribers at most that are named; 100 without it"),
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

/// Of one client.
pub(super) async fn of_client(call: Call) -> Answer {
    let (skip, limit) = (usize::try_from(call.number_of_cursor()?).unwrap_or(usize::MAX), call.limit());
    let some = call.router().subscriptions_of(&ClientId::from(call.id.as_str()), skip, limit);
    let some = some.ok_or_else(|| call.unknown_client())?;
    let behind = (some.len() == limit).then(|| next((skip + limit) as u64));
    call.list(some.iter().map(|view| shown(&call.id, view)).collect(), behind)
}

/// Of all clients: a page ends with the last subscription of a client, or within those of one that has many.
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
                        // within this client
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

/// Where the list begins: a client, and how many of its subscriptions were told.
fn start(call: &Call) -> Result<(Cursor, usize), super::super::problem::Problem> {
    let Some(text) = call.query.text("cursor") else { return Ok((Cursor::default(), 0)) };
    let parse = |text: &str| u64::from_str_radix(text, 16).ok();
    let both = text.split_once('.').and_then(|(client, skip)| Some((parse(client)?, parse(skip)?)));
    match both {
        Some((client, skip)) => Ok((Cursor::from_number(client), usize::try_from(skip).unwrap_or(usize::MAX))),
        None => Err(bad("cursor", format!("{text:?} is not a cursor: take next of the answer before"))),
    }
}

/// Who would get a topic.
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
