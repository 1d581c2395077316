//! Admits requests: by the address of the caller, the headers and the login. Health checks are always answered.

use std::net::SocketAddr;

use axum::http::{HeaderMap, Method, StatusCode, Uri, header::AUTHORIZATION};

use super::{
    admission::Rules,
    login::{Shown, wrong_login},
    problem::Problem,
    rules::{METRICS, Via, check_origin_of_write},
    sessions::Standing,
    state::{Caller, State},
};
use crate::types::Role;

/// Finds out the caller of a request and its role, or refuses the request.
pub(super) async fn admit(
    state: &State,
    via: Via,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    let called = |role, name: &str, standing| Caller { role, name: name.to_owned(), standing };
    let Via::Tcp(peer) = via else { return Ok(called(Role::Admin, "unix socket", Standing::Socket)) };
    let rules = state.rules.load_full();
    if is_login(method, uri) && rules.has_login() {
        check_named(&rules, method, uri, headers)?;
        return Ok(called(Role::Viewer, "nobody", Standing::Asking));
    }
    let caller = match by_header(state, &rules, peer, headers).await? {
        Some(caller) => Some(caller),
        None => by_cookie(state, &rules, method, headers)?,
    };
    if let Some(caller) = caller {
        check_named(&rules, method, uri, headers)?;
        return Ok(caller);
    }
    if rules.metrics_open && uri.path() == METRICS && !rules.open {
        return Ok(called(Role::Viewer, "nobody", Standing::Open));
    }
    if rules.open && peer.ip().to_canonical().is_loopback() {
        if headers.contains_key(AUTHORIZATION) {
            let detail = "a login was sent, and this broker knows no users and no keys of HTTP: leave it out, or write \
                          users = [\"NAME:admin\"] or keys_file below [http]";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "no-logins", detail));
        }
        rules.check_open(uri, headers)?;
        return Ok(called(Role::Operator, "local program", Standing::Open));
    }
    Err(match rules.has_login() {
        false => Problem::new(
            StatusCode::FORBIDDEN,
            "no-users",
            "logins are configured, but no user or key may log in here: write users = [\"NAME:admin\"] or keys_file below [http]",
        ),
        true => Problem::new(
            StatusCode::UNAUTHORIZED,
            "login",
            "log in with a user name and a password (Basic), or with a key (Bearer)",
        ),
    })
}

/// The path of the session of a browser.
pub(super) const SESSION: &str = "/api/v1/session";

/// Does this request begin a session? Its login may be in its body.
fn is_login(method: &Method, uri: &Uri) -> bool {
    *method == Method::POST && uri.path() == SESSION
}

/// Checks the headers of a request that has a login.
fn check_named(rules: &Rules, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if !rules.allowed_hosts.is_empty() {
        rules.check_host(uri, headers)?;
    }
    check_origin_of_write(method, headers)
}

/// The user who logs in by a header of this request; `None`: there is no such header.
async fn by_header(
    state: &State,
    rules: &Rules,
    peer: SocketAddr,
    headers: &HeaderMap,
) -> Result<Option<Caller>, Problem> {
    let Some(value) = headers.get(AUTHORIZATION).filter(|_| rules.has_login()) else { return Ok(None) };
    let shown = Shown::of_header(value).ok_or_else(wrong_login)?;
    let (login, role) = shown.prove(state.judge(rules), peer).await?;
    Ok(Some(Caller { role, name: login.name(), standing: Standing::Login(login) }))
}

/// The session of the request's cookie; `None`: it has none.
fn by_cookie(state: &State, rules: &Rules, method: &Method, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
    let Some((id, session)) = state.sessions.find(headers, &state.cookie, state.clock.now()) else { return Ok(None) };
    let Some(role) = session.login.role(state.judge(rules)) else {
        state.sessions.end(&id);
        return Ok(None);
    };
    if !method.is_safe() && !session.is_sent_by_page(headers) {
        let detail = "a write with the cookie of a session needs the header X-Dunlin-CSRF: GET /api/v1/session returns its value";
        return Err(Problem::new(StatusCode::FORBIDDEN, "csrf", detail));
    }
    let standing = Standing::Session { id, login: session.login.clone(), csrf: session.csrf };
    Ok(Some(Caller { role, name: session.login.name(), standing }))
}

impl Caller {
    /// Ends when the caller would not be admitted with this role any more: after a reload, after the end of its
    /// session, or when its key has expired.
    pub(super) async fn is_let_in_no_more(&self, state: &State) {
        let mut changes = state.changes.subscribe();
        loop {
            let rules = state.rules.load_full();
            let until = match &self.standing {
                Standing::Socket => None,
                Standing::Open if rules.open => None,
                Standing::Open | Standing::Asking => return,
                Standing::Login(login) => match login.role(state.judge(&rules)) {
                    Some(role) if role >= self.role => login.until(state.judge(&rules)),
                    _ => return,
                },
                Standing::Session { id, login, .. } => {
                    match (login.role(state.judge(&rules)), state.sessions.until(id)) {
                        (Some(role), Some(until)) if role >= self.role => {
                            Some(login.until(state.judge(&rules)).map_or(until, |earlier| until.min(earlier)))
                        }
                        _ => return,
                    }
                }
            };
            if until.is_some_and(|until| until <= state.clock.now()) {
                return;
            }
            tokio::select! {
                // it is never closed while the state exists
                _ = changes.changed() => {}
                () = async {
                    match until {
                        Some(until) => state.clock.sleep_until(until).await,
                        None => std::future::pending().await,
                    }
                } => {}
            }
        }
    }
}
