//! `session`: login and logout of a browser; the caller and the role of a request.

use std::sync::atomic::Ordering;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    super::{
        login::{Shown, wrong_login},
        problem::Problem,
        rules::Via,
        sessions::{Begun, LASTS, Standing},
        state::State,
    },
    call::{Answer, Call, answer, check_fields},
    parameters::bad,
    schema::{Is, Shape, field, nullable, optional},
};

/// The caller of a request.
pub(super) static SESSION: Shape = Shape {
    name: "Session",
    fields: &[
        field("user", Is::Text),
        field("role", Is::Text),
        field("open", Is::Flag),
        nullable("csrf", Is::Text),
        field("test", Is::Flag),
    ],
};

/// A new session.
pub(super) static BEGUN: Shape = Shape {
    name: "SessionBegun",
    fields: &[field("user", Is::Text), field("role", Is::Text), field("csrf", Is::Text)],
};

pub(super) static ENDED: Shape = Shape { name: "SessionEnded", fields: &[field("ended", Is::Flag)] };

/// The login in the body, if no header has one.
pub(super) static LOGIN: Shape = Shape {
    name: "Login",
    fields: &[optional("user", Is::Text), optional("password", Is::Text), optional("key", Is::Text)],
};

/// The name of the caller for the audit log, whose entry begins before the login is known.
#[derive(Clone)]
pub(super) struct By(pub String);

pub(super) async fn show(call: Call) -> Answer {
    let csrf = match &call.caller.standing {
        Standing::Session { csrf, .. } => Some(csrf),
        _ => None,
    };
    let open = matches!(call.caller.standing, Standing::Socket | Standing::Open);
    Ok(answer(&json!({
        "user": call.caller.name,
        "role": call.caller.role.name(),
        "open": open,
        "csrf": csrf,
        "test": call.state.is_bench.load(Ordering::Acquire),
    })))
}

pub(super) async fn begin(call: Call) -> Answer {
    let (Standing::Asking, Via::Tcp(peer)) = (&call.caller.standing, call.via) else {
        let detail = "no login is configured: requests need none";
        return Err(Problem::new(StatusCode::CONFLICT, "no-login", detail));
    };
    let shown = match call.headers.get(header::AUTHORIZATION) {
        Some(_) if !call.body.is_empty() => {
            return Err(bad("body", "the login must be in the header Authorization or in the body, not in both"));
        }
        Some(value) => Shown::of_header(value).ok_or_else(wrong_login)?,
        None if call.body.is_empty() => {
            let detail =
                "log in with the header Authorization (Basic, Bearer), or with {\"user\", \"password\"} or {\"key\"}";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "login", detail));
        }
        None => of_body(&call.json()?)?,
    };
    let state = &call.state;
    let (login, role) = shown.prove(state.judge(&state.rules.load_full()), peer).await?;
    let name = login.name();
    let Some(Begun { token, csrf }) = state.sessions.begin(login, state.clock.now()) else {
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "random", "the system has no random bytes"));
    };
    let mut response = answer(&json!({ "user": name, "role": role.name(), "csrf": csrf }));
    set_cookie(&mut response, state, &call.headers, &token, LASTS.as_secs())?;
    response.extensions_mut().insert(By(name));
    Ok(response)
}

fn of_body(body: &Value) -> Result<Shown, Problem> {
    check_fields(body, &LOGIN)?;
    match (body["user"].as_str(), body["password"].as_str(), body["key"].as_str()) {
        (Some(user), Some(password), None) if body.get("key").is_none() => {
            Ok(Shown::Password(user.into(), password.into()))
        }
        (None, None, Some(key)) if body.get("user").is_none() && body.get("password").is_none() => {
            Ok(Shown::Key(key.into()))
        }
        _ => Err(bad("body", "{\"user\", \"password\"} or {\"key\"} is expected, all of them texts")),
    }
}

pub(super) async fn end(call: Call) -> Answer {
    let Standing::Session { id, .. } = &call.caller.standing else {
        return Err(Problem::new(StatusCode::CONFLICT, "no-session", "the request has no session cookie"));
    };
    call.state.end_session(id);
    let mut response = answer(&json!({ "ended": true }));
    set_cookie(&mut response, &call.state, &call.headers, "", 0)?;
    Ok(response)
}

/// The cookie has no path: the browser uses that of the request, which may have a prefix of a proxy.
fn set_cookie(
    response: &mut Response,
    state: &State,
    headers: &HeaderMap,
    token: &str,
    seconds: u64,
) -> Result<(), Problem> {
    let secure = if state.secure.load().is_some() || is_by_tls(headers) { "; Secure" } else { "" };
    let cookie = format!("{}={token}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", state.cookie);
    let cookie = HeaderValue::from_str(&cookie).map_err(|_| bad("cookie", "the cookie is not valid in a header"))?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(())
}

/// Does the browser speak TLS, perhaps to a proxy? The browser or the proxy states it in a header. A client with a
/// wrong header gets a cookie that it does not send.
fn is_by_tls(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text("origin").starts_with("https://") || text("x-forwarded-proto").eq_ignore_ascii_case("https")
}
