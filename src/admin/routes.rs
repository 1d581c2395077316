//! The routes outside the API, with their roles; the number and the duration of concurrent requests.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request, State as Shared},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{
    access,
    api::{self, LARGEST_BODY},
    health,
    metrics::{self, Metrics},
    page,
    problem::Problem,
    rules::{METRICS, Via},
    sessions::CSRF,
    sniff,
    state::{Caller, State},
};
use crate::{clock::Stopwatch, types::Role};

/// Most concurrent requests.
const MOST_REQUESTS: usize = 64;

/// Time limit of a request.
const LONGEST: Duration = Duration::from_secs(30);

/// The routes of a full listener.
pub(super) fn all(state: &Arc<State>) -> Router {
    let judged = Router::new()
        .route(METRICS, get(metrics).route_layer(middleware::from_fn_with_state(Role::Viewer, needs)))
        .merge(api::routes(state))
        .fallback(async |uri: Uri| {
            Problem::new(StatusCode::NOT_FOUND, "not-found", format!("there is nothing at {}", uri.path()))
        })
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            let detail = format!("{method} is not for {}", uri.path());
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail)
        })
        .layer(Extension(Arc::new(Metrics::new(state.clone()))))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(state.clone(), judge))
        .layer(middleware::from_fn_with_state(state.clone(), bound))
        .with_state(state.clone());
    judged.merge(page::routes(state)).merge(sniff::routes(state)).merge(checks(state))
}

/// The routes of a listener for health checks.
pub(super) fn checks(state: &Arc<State>) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/startupz", get(health::started))
        .with_state(state.clone())
}

/// Finds out the caller of a request, for the handlers behind.
async fn judge(Shared(state): Shared<Arc<State>>, mut request: Request, next: Next) -> Response {
    let via = request.extensions().get::<Via>().copied();
    let Some(via) = via else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    // the body cannot be shared among threads and is not needed here
    let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
    let mut response = match access::admit(&state, via, &method, &uri, &headers).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    if response.status() == StatusCode::UNAUTHORIZED && has_own_form(&uri, &headers) {
        let bearer = HeaderValue::from_static("Bearer realm=\"dunlin\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
    }
    response
}

/// Does a page with its own login form ask? Basic would make the browser show a second form.
fn has_own_form(uri: &Uri, headers: &HeaderMap) -> bool {
    let mode = headers.get("sec-fetch-mode").map(|mode| mode.as_bytes());
    uri.path() == access::SESSION || headers.contains_key(&CSRF) || mode.is_some_and(|mode| mode != b"navigate")
}

/// Refuses callers whose role is too low.
async fn needs(Shared(least): Shared<Role>, request: Request, next: Next) -> Response {
    match request.extensions().get::<Caller>() {
        Some(caller) if caller.role >= least => next.run(request).await,
        caller => Problem::role(least, caller.map(Caller::role_and_name)).into_response(),
    }
}

/// The limits of all requests but health checks.
async fn bound(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let most = api::largest_body(request.uri().path());
    if length.is_some_and(|length: u64| length > most as u64) {
        let detail = format!("the body has {} bytes, more than {most}", length.unwrap_or_default());
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail).into_response();
    }
    let watch = Stopwatch::start();
    let _one = match OneOfMany::begin(state.clone()) {
        Some(one) => one,
        None => return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many requests").into_response(),
    };
    let response = match state.clock.timeout(LONGEST, pin!(next.run(request))).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "the request took too long").into_response(),
    };
    state.requests.took(watch.took());
    response
}

/// Counts a request that is being answered.
struct OneOfMany(Arc<State>);

impl OneOfMany {
    fn begin(state: Arc<State>) -> Option<Self> {
        let others = state.under_way.fetch_add(1, Ordering::AcqRel);
        let one = Self(state);
        (others < MOST_REQUESTS).then_some(one)
    }
}

impl Drop for OneOfMany {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn metrics(Extension(all): Extension<Arc<Metrics>>, headers: header::HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = metrics::Format::wanted(accepts);
    match all.text(format) {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(metrics::NotYet) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", "the broker is starting").into_response()
        }
    }
}
