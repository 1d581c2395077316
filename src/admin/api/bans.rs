//! `bans`: clients, users and networks that are refused before they log in.

use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};

use super::{
    super::problem::Problem,
    call::{Answer, Call, answer, check_fields, time},
    keys::file_problem,
    parameters::{Kind, Parameter, bad, duration},
    schema::{Is, Shape, field, nullable, optional},
};
use crate::{
    router::inspect::{Ban, BanTarget},
    types::Network,
};

pub(super) static BAN: Shape = Shape {
    name: "Ban",
    fields: &[
        nullable("client_id", Is::Text),
        nullable("user", Is::Text),
        nullable("network", Is::Text),
        field("reason", Is::Text),
        field("by", Is::Text),
        nullable("until", Is::Time),
    ],
};

/// The body of a new ban.
pub(super) static NEW: Shape = Shape {
    name: "NewBan",
    fields: &[
        optional("client_id", Is::Text),
        optional("user", Is::Text),
        optional("network", Is::Text),
        optional("reason", Is::Text),
        optional("for", Is::Text),
        optional("until", Is::Time),
    ],
};

pub(super) static BANNED: Shape = Shape { name: "Banned", fields: &[field("closed", Is::Number)] };

pub(super) static UNBANNED: Shape = Shape { name: "Unbanned", fields: &[field("ended", Is::Flag)] };

pub(super) static TARGET: [Parameter; 3] = [
    Parameter::new("client_id", Kind::Text, "The Client Identifier of the ban"),
    Parameter::new("user", Kind::Text, "The user name of the ban"),
    Parameter::new("network", Kind::Network, "The address or network of the ban"),
];

/// Longest reason in bytes.
const LONGEST_REASON: usize = 1_000;
const CENTURY: Duration = Duration::from_secs(100 * 31_557_600);

pub(super) async fn list(call: Call) -> Answer {
    let after = call.query.text("cursor").map(|text| {
        of_cursor(text)
            .ok_or_else(|| bad("cursor", format!("{text:?} is not a cursor: take next of the answer before")))
    });
    let after = after.transpose()?;
    let bans = call.router().bans(call.state.clock.now());
    let mut left = bans.iter().filter(|ban| after.as_ref().is_none_or(|after| ban.target > *after));
    let some: Vec<_> = left.by_ref().take(call.limit()).collect();
    let next = left.next().and(some.last()).map(|last| BASE64.encode(target_shown(&last.target).to_string()));
    call.list(some.into_iter().map(shown).collect(), next)
}

fn shown(ban: &Ban) -> Value {
    let mut shown = target_shown(&ban.target);
    shown["reason"] = (&*ban.reason).into();
    shown["by"] = (&*ban.by).into();
    shown["until"] = ban.until.map(time).into();
    shown
}

fn target_shown(target: &BanTarget) -> Value {
    let network = target.network.map(|network| network.to_string());
    json!({ "client_id": target.client, "user": target.user, "network": network })
}

fn of_cursor(text: &str) -> Option<BanTarget> {
    target(&serde_json::from_slice(&BASE64.decode(text).ok()?).ok()?).ok()
}

fn target(value: &Value) -> Result<BanTarget, Problem> {
    let text = |name: &str| match &value[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Box::<str>::from(text.as_str()))),
        _ => Err(bad("body", format!("{name}: a text is expected"))),
    };
    let network = text("network")?
        .map(|text| text.parse::<Network>().map_err(|error| bad("body", format!("network: {text:?} is {error}"))));
    Ok(BanTarget { client: text("client_id")?, user: text("user")?, network: network.transpose()? })
}

pub(super) async fn ban(call: Call) -> Answer {
    let body = call.json()?;
    check_fields(&body, &NEW)?;
    let target = target(&body)?;
    let reason = match &body["reason"] {
        Value::Null => "",
        Value::String(text) if text.len() <= LONGEST_REASON => text,
        _ => return Err(bad("body", format!("reason: a text of at most {LONGEST_REASON} bytes is expected"))),
    };
    let until = until(&body, call.state.clock.wall())?;
    let ban = Ban { target, reason: reason.into(), by: call.caller.name.as_str().into(), until };
    let closed = call.desk.control.ban(ban).await.map_err(file_problem)?;
    Ok(answer(&json!({ "closed": closed })))
}

fn until(body: &Value, now: SystemTime) -> Result<Option<SystemTime>, Problem> {
    match (&body["for"], &body["until"]) {
        (Value::Null, Value::Null) => Ok(None),
        (lasts, Value::Null) => match lasts.as_str().and_then(duration).filter(|lasts| *lasts <= CENTURY) {
            Some(lasts) => Ok(Some(now + lasts)),
            None => Err(bad("body", "for: a duration such as \"1h\" is expected, of at most a century")),
        },
        (Value::Null, until) => match until.as_str().and_then(|text| humantime::parse_rfc3339(text).ok()) {
            Some(until) => Ok(Some(until)),
            None => Err(bad("body", "until: a time such as \"2026-01-31T12:00:00Z\" is expected")),
        },
        _ => Err(bad("body", "for or until: exactly one is expected")),
    }
}

pub(super) async fn unban(call: Call) -> Answer {
    let text = |name: &str| call.query.text(name).map(Box::<str>::from);
    let network = text("network").map(|text| {
        text.parse::<Network>().map_err(|_| bad("parameter", "network: an address or a network is expected"))
    });
    let target = BanTarget { client: text("client_id"), user: text("user"), network: network.transpose()? };
    if target == BanTarget::default() {
        return Err(bad("no-filter", "client_id, user or network: all that the ban has are expected"));
    }
    match call.desk.control.unban(target).await.map_err(file_problem)? {
        true => Ok(answer(&json!({ "ended": true }))),
        false => Err(Problem::new(StatusCode::NOT_FOUND, "no-ban", "there is no such ban")),
    }
}
