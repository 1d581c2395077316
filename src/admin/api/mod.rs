//! The admin API below `/api/v1/`.
//!
//! | module | owns |
//! |---|---|
//! | this one | finds the route that answers a request |
//! | `table` | every route |
//! | `document` | the OpenAPI document, generated from the table |
//! | `call` | a checked request, and answers as JSON |
//! | `parameters` | parameters of requests |
//! | `schema` | types of objects in answers and bodies |
//! | `selection` | selects clients by filters |
//! | `clients`, `messages`, `subscriptions`, `retained`, `publish`, `bridges`, `webhooks`, `sinks`, `logins`, `broker` | answers |
//! | `history` | rates and levels of the last 15 minutes |
//! | `session`, `keys` | logins of browsers and of programs |
//! | `topics` | the busiest topics |
//! | `slow` | the slowest subscribers |
//! | `traces` | packets of clients or about topics |
//! | `carry` | export and import |
//! | `bans` | bans of clients, users and networks |
//! | `users` | users and rules |
//! | `streams` | server-sent events |
//! | `live` | everything that a page of the web console shows, as one stream |

mod bans;
mod bridges;
mod broker;
mod call;
mod carry;
mod clients;
mod document;
mod history;
mod keys;
mod live;
mod logins;
mod messages;
mod parameters;
mod publish;
mod retained;
mod schema;
mod selection;
mod session;
mod sinks;
mod slow;
mod streams;
mod subscriptions;
mod table;
mod topics;
mod traces;
mod users;
mod webhooks;

pub(crate) use parameters::decode as decode_url;
pub(crate) use publish::settable_properties;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::any,
};
use serde_json::Value;

use super::{
    audit::Write,
    problem::Problem,
    rules::Via,
    sessions::Standing,
    state::{Caller, State},
};
use call::{Answer, Call, kind};
use parameters::{Query, bad, decode, nearest};
use table::{ROUTES, Route, Takes};

/// Largest body of a request in bytes.
pub(super) const LARGEST_BODY: usize = 1 << 20;

/// Largest body of an import in bytes.
const LARGEST_IMPORT: usize = 64 << 20;

const BELOW: &str = "/api/v1/";

/// All routes of the API.
pub(super) fn routes(state: &Arc<State>) -> Router<Arc<State>> {
    let document: Arc<str> = (document::document().to_string() + "\n").into();
    let state = state.clone();
    let handle = any(move |request: Request| {
        let (state, document) = (state.clone(), document.clone());
        async move { answer(state, document, request).await.unwrap_or_else(IntoResponse::into_response) }
    });
    // the second pattern needs one character or more
    Router::new().route(BELOW, handle.clone()).route("/api/v1/{*rest}", handle)
}

async fn answer(state: Arc<State>, document: Arc<str>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    if head.method.is_safe() {
        return judged(state, document, head, body).await;
    }
    let by = head.extensions.get::<Caller>().map_or("", |caller| caller.name.as_str());
    let what = head.uri.path_and_query().map_or("", |what| what.as_str());
    let write = Write::new(state.clock.wall(), by, head.extensions.get::<Via>(), &head.method, what);
    let mut under_way = state.audit.begin(write);
    let asks = head.extensions.get::<Caller>().is_some_and(|caller| matches!(caller.standing, Standing::Asking));
    let response = judged(state, document, head, body).await.unwrap_or_else(IntoResponse::into_response);
    match response.extensions().get::<session::By>() {
        Some(session::By(name)) => under_way.by(name),
        // the log has refused requests; the file does not, so that callers without a login cannot make it grow
        None if asks => {
            under_way.forget();
            return Ok(response);
        }
        None => {}
    }
    under_way.ended(response.status()).await;
    Ok(response)
}

async fn judged(state: Arc<State>, document: Arc<str>, head: Parts, body: Body) -> Answer {
    let path = head.uri.path().strip_prefix(BELOW).unwrap_or_default();
    let (route, id) = match find(path, &head.method) {
        Found::Route(route, id) => (route, id),
        Found::Verbs(verbs) => return Ok(not_allowed(&head.method, path, &verbs)),
        Found::Nothing => return Err(not_found(path)),
    };
    let caller = match head.extensions.get::<Caller>() {
        Some(caller) if caller.role >= route.role => caller.clone(),
        caller => return Err(Problem::role(route.role, caller.map(Caller::role_and_name))),
    };
    let id = decode(id).ok_or_else(|| bad("encoding", "the path is not UTF-8 with percent signs (RFC 3986)"))?;
    let Some(desk) = state.desk.get().cloned() else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", "the broker is starting"));
    };
    let body = read(body, largest_body(head.uri.path())).await?;
    let query = query(route, head.uri.query().unwrap_or_default(), &body)?;
    let Some(via) = head.extensions.get::<Via>().copied() else {
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "place", "the address of the caller is unknown"));
    };
    (route.run)(Call { state, desk, caller, via, headers: head.headers, id, query, body, document }).await
}

/// Largest body of a request for this path.
pub(super) fn largest_body(path: &str) -> usize {
    if path.strip_prefix(BELOW) == Some("import") { LARGEST_IMPORT } else { LARGEST_BODY }
}

async fn read(body: Body, most: usize) -> Result<Bytes, Problem> {
    let too_large = |_| {
        let detail = format!("the body is larger than {most} bytes, or was not received");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    };
    axum::body::to_bytes(body, most).await.map_err(too_large)
}

/// The parameters of a request: from its URL, or from its body if the route allows it.
fn query(route: &Route, text: &str, body: &Bytes) -> Result<Query, Problem> {
    match route.takes {
        Takes::Parameters if !body.is_empty() => {
            if !text.is_empty() {
                return Err(bad("parameter", "parameters are in the URL or in the body, not in both"));
            }
            let value: Value =
                serde_json::from_slice(body).map_err(|error| bad("json", format!("the body is not JSON: {error}")))?;
            let Value::Object(object) = value else {
                return Err(bad("body", format!("an object is expected, not {}", kind(&value))));
            };
            let text = |(name, value)| match value {
                Value::String(text) => Ok((name, text)),
                Value::Number(number) => Ok((name, number.to_string())),
                Value::Bool(flag) => Ok((name, flag.to_string())),
                other => Err(bad("parameter", format!("{name}: {} cannot be one", kind(&other)))),
            };
            Query::check(object.into_iter().map(text).collect::<Result<_, _>>()?, route.parameters)
        }
        Takes::Nothing if !body.is_empty() => Err(bad("body", "this request has no body")),
        _ => Query::parse(text, route.parameters),
    }
}

enum Found<'a> {
    Route(&'static Route, &'a str),
    /// The path exists, for other verbs.
    Verbs(Vec<&'static str>),
    Nothing,
}

/// Finds the route of an encoded path.
fn find<'a>(path: &'a str, method: &Method) -> Found<'a> {
    let there = || ROUTES.iter().filter_map(|route| Some((route, matches(route.path, path)?)));
    if let Some((route, id)) = there().find(|(route, _)| route.method == *method) {
        return Found::Route(route, id);
    }
    let verbs: Vec<_> = there().map(|(route, _)| route.method.as_str()).collect();
    if verbs.is_empty() { Found::Nothing } else { Found::Verbs(verbs) }
}

/// The value of `{id}`, which may be empty.
fn matches<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let (mut pattern, mut path, mut id) = (pattern.split('/'), path.split('/'), "");
    loop {
        match (pattern.next(), path.next()) {
            (Some("{id}"), Some(segment)) => id = segment,
            (Some(word), Some(segment)) if word == segment => {}
            (None, None) => return Some(id),
            _ => return None,
        }
    }
}

fn not_allowed(method: &Method, path: &str, verbs: &[&'static str]) -> Response {
    let verbs = verbs.join(", ");
    let detail = format!("{method} is not for {BELOW}{path}: known are {verbs}");
    let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail).into_response();
    if let Ok(value) = HeaderValue::from_str(&verbs) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

fn not_found(path: &str) -> Problem {
    let shown: String = path.chars().take(100).collect();
    let near = nearest(path, ROUTES.iter().map(|route| route.path));
    let hint = near.map_or_else(|| "openapi.json has all".to_owned(), |near| format!("did you mean {BELOW}{near}?"));
    Problem::new(StatusCode::NOT_FOUND, "not-found", format!("there is nothing at {BELOW}{shown}: {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let at = |path| match find(path, &Method::GET) {
            Found::Route(route, id) => Some((route.path, id)),
            _ => None,
        };
        assert_eq!(at("clients"), Some(("clients", "")));
        assert_eq!(at("clients/"), Some(("clients/{id}", "")));
        assert_eq!(at("clients/a%2Fb"), Some(("clients/{id}", "a%2Fb")));
        assert_eq!(at("clients/queue"), Some(("clients/{id}", "queue")));
        assert_eq!(at("clients//queue"), Some(("clients/{id}/queue", "")));
        assert_eq!(at("clients/queue/queue"), Some(("clients/{id}/queue", "queue")));
        for nothing in ["", "clients/a/b", "kick", "no", "clients/a/queue/"] {
            assert_eq!(at(nothing), None, "{nothing}");
        }
    }
}
