//! `keys`: keys of programs, in the file that the configuration names.

use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    super::{admission::Key, control::FileProblem, problem::Problem},
    call::{Answer, Call, answer, check_fields, time},
    parameters::{Kind, Parameter, bad, duration},
    schema::{Is, Shape, field, nullable, optional},
};
use crate::types::Role;

pub(super) static KEY: Shape = Shape {
    name: "Key",
    fields: &[
        field("name", Is::Text),
        field("role", Is::Text),
        nullable("expires_at", Is::Time),
        field("expired", Is::Flag),
    ],
};

/// The body of a new key.
pub(super) static NEW: Shape = Shape {
    name: "NewKey",
    fields: &[field("name", Is::Text), field("role", Is::Text), optional("expires", Is::Text)],
};

/// The answer with the new key, which is shown only here.
pub(super) static ADDED: Shape = Shape {
    name: "AddedKey",
    fields: &[
        field("name", Is::Text),
        field("role", Is::Text),
        nullable("expires_at", Is::Time),
        field("key", Is::Text),
    ],
};

pub(super) static DELETED: Shape = Shape { name: "Deleted", fields: &[field("deleted", Is::Text)] };

pub(super) static NAME: [Parameter; 1] = [Parameter::required("name", Kind::Text, "The name of the key")];

pub(super) async fn list(call: Call) -> Answer {
    let rules = call.state.rules.load_full();
    let Some(keys) = &rules.keys else { return Err(file_problem(FileProblem::NotConfigured("http.keys_file"))) };
    let wall = call.state.clock.wall();
    let data = keys.iter().map(|Key { name, role, expires, .. }| {
        json!({
            "name": name,
            "role": role.name(),
            "expires_at": expires.map(time),
            "expired": expires.is_some_and(|at| at <= wall),
        })
    });
    Ok(answer(&json!({ "data": data.collect::<Vec<_>>(), "next": null })))
}

pub(super) async fn add(call: Call) -> Answer {
    let body = call.json()?;
    check_fields(&body, &NEW)?;
    let Some(name) = body["name"].as_str() else { return Err(bad("body", "name is missing, or is not a text")) };
    let role = body["role"].as_str().and_then(|word| Role::ALL.into_iter().find(|role| role.name() == word));
    let Some(role) = role else { return Err(bad("body", "role: \"viewer\", \"operator\" or \"admin\" is expected")) };
    let expires = expiry(&body["expires"], call.state.clock.wall())?;
    let added = call.desk.control.add_key(name.to_owned(), role, expires).await.map_err(file_problem)?;
    Ok(answer(&json!({
        "name": name,
        "role": role.name(),
        "expires_at": added.expires.map(time),
        "key": added.key,
    })))
}

fn expiry(value: &Value, now: SystemTime) -> Result<Option<SystemTime>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    let lasts = value.as_str().and_then(duration).filter(|lasts| (SECOND..CENTURY).contains(lasts));
    match lasts {
        Some(lasts) => Ok(Some(now + lasts)),
        None => Err(bad("body", "expires: a duration such as \"90d\" is expected, of a second to a century")),
    }
}

const SECOND: Duration = Duration::from_secs(1);
const CENTURY: Duration = Duration::from_secs(100 * 31_557_600);

pub(super) async fn delete(call: Call) -> Answer {
    let name = call.query.text("name").unwrap_or_default().to_owned();
    call.desk.control.delete_key(name.clone()).await.map_err(file_problem)?;
    Ok(answer(&json!({ "deleted": name })))
}

/// Why a file was not changed, as an answer.
pub(super) fn file_problem(problem: FileProblem) -> Problem {
    let conflict = |code, detail: String| Problem::new(StatusCode::CONFLICT, code, detail);
    match problem {
        FileProblem::NotConfigured(key) => {
            conflict("not-configured", format!("{key} is not set: the configuration names no such file"))
        }
        FileProblem::ReadOnly(detail) => conflict("read-only", detail),
        FileProblem::Invalid(detail) => bad("invalid", detail),
        FileProblem::Unknown(detail) => Problem::new(StatusCode::NOT_FOUND, "unknown-name", detail),
        FileProblem::Exists(detail) => conflict("exists", detail),
        FileProblem::Changed(version) => {
            conflict("changed", "another writer changed the file meanwhile".into()).with_version(version)
        }
        FileProblem::PluggedIn => {
            conflict("plug-in", "a plug-in of the embedding program decides logins and rights".into())
        }
        FileProblem::Full(detail) => conflict("full", detail),
        FileProblem::Broken(detail) => conflict("configuration", detail),
    }
}
