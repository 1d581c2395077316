//! [`Front`]: the HTTP thread. It answers `/test/v1/` itself and passes everything else to the running broker.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, oneshot};

use super::{
    super::bench::Bench,
    call::Call,
    table::{ROUTES, Route},
};
use crate::{
    admin::{LONGEST_HEAD, Problem, Rules, Via, basic_login, serve},
    clock::Clock,
};

/// Serves HTTP; dropping it ends the thread.
pub(in super::super) struct Front {
    address: SocketAddr,
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

const BELOW: &str = "/test/v1/";
/// Largest body of a request in bytes; snapshots are large.
const LARGEST_BODY: usize = 64 << 20;
/// Most concurrent requests: those that wait, and others.
const MOST_WAITING: usize = 1_024;
const MOST: usize = 64;
/// Most connections: each waiting request has one.
const MOST_CONNECTIONS: usize = MOST_WAITING + 256;
/// Pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(50);

impl Front {
    pub(in super::super) fn start(bench: Arc<Bench>, listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("dunlin-test-http".into());
        let thread = thread.spawn(move || {
            runtime.block_on(async move {
                let listening = tokio::spawn(listen(listener, bench));
                let _ = stopped.await;
                listening.abort();
            });
            // a waiting request is left behind
            runtime.shutdown_background();
        })?;
        Ok(Self { address, thread: Some((stop, thread)) })
    }

    /// `http://127.0.0.1:40123`.
    pub(in super::super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

async fn listen(listener: TcpListener, bench: Arc<Bench>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot serve HTTP"),
    };
    let (room, routes) = (Arc::new(Semaphore::new(MOST_CONNECTIONS)), routes(&bench));
    let local = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    loop {
        // it is never closed
        let Ok(place) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, peer)) => {
                let _ = socket.set_nodelay(true);
                let (routes, bench) = (routes.clone(), bench.clone());
                tokio::spawn(async move {
                    let clock = Clock::system();
                    // a browser may open a connection long before it sends a request, and the broker restart meanwhile
                    let mut first = [0];
                    let has_come = clock.timeout(LONGEST_HEAD, Box::pin(socket.peek(&mut first))).await;
                    if !matches!(has_come, Ok(Ok(1..))) {
                        return;
                    }
                    let socket = match bench.behind() {
                        Some(behind) => behind.take_mqtt(socket, (peer, local), &clock).await,
                        None => Some(socket),
                    };
                    if let Some(socket) = socket {
                        serve(Box::new(socket), Via::Tcp(peer), routes, clock, LONGEST_HEAD).await;
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                Clock::system().sleep(PAUSE).await;
            }
        }
    }
}

/// Number of concurrent requests.
#[derive(Default)]
struct UnderWay {
    waiting: AtomicUsize,
    others: AtomicUsize,
}

fn routes(bench: &Arc<Bench>) -> Router {
    let (test, under_way) = (bench.clone(), Arc::<UnderWay>::default());
    let handle = any(move |request: Request| {
        let (bench, under_way) = (test.clone(), under_way.clone());
        async move { answer(bench, &under_way, request).await.unwrap_or_else(IntoResponse::into_response) }
    });
    let behind = bench.clone();
    Router::new()
        .route(BELOW, handle.clone())
        .route("/test/v1/{*rest}", handle)
        .fallback(any(move |request: Request| {
            let routes = behind.behind().map(|behind| TowerToHyperService::new(behind.routes()));
            async move {
                match routes {
                    Some(routes) => routes.call(request).await,
                    None => Ok(StatusCode::SERVICE_UNAVAILABLE.into_response()),
                }
            }
        }))
        .layer(DefaultBodyLimit::disable())
}

async fn answer(bench: Arc<Bench>, under_way: &UnderWay, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    if !bench.any_address {
        Rules { open: true, ..Rules::default() }.check_open(&head.uri, &head.headers)?;
    }
    let path = head.uri.path().strip_prefix(BELOW).unwrap_or_default();
    let route = find(path, &head.method)?;
    let _one = OneOfMany::begin(under_way, route)?;
    let body = axum::body::to_bytes(body, LARGEST_BODY).await.map_err(|_| {
        let detail = format!("the body is larger than {LARGEST_BODY} bytes, or was not received");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    })?;
    let query = head.uri.query().unwrap_or_default().to_owned();
    let login = head.headers.get(header::AUTHORIZATION).and_then(basic_login);
    let answer = (route.run)(Call { bench, body, query, login }).await?;
    let kind = (header::CONTENT_TYPE, "application/json");
    Ok(([kind], Body::from(answer.to_string() + "\n")).into_response())
}

/// Finds the route of a path.
fn find(path: &str, method: &Method) -> Result<&'static Route, Problem> {
    let there = || ROUTES.iter().filter(|route| route.path == path);
    if let Some(route) = there().find(|route| route.method == *method) {
        return Ok(route);
    }
    let verbs: Vec<_> = there().map(|route| route.method.as_str()).collect();
    Err(match verbs.is_empty() {
        true => {
            let mut known: Vec<_> = ROUTES.iter().map(|route| route.path).collect();
            known.dedup();
            let detail = format!("there is nothing at {BELOW}{path}: known are {}", known.join(", "));
            Problem::new(StatusCode::NOT_FOUND, "not-found", detail)
        }
        false => {
            let detail = format!("{method} is not for {BELOW}{path}: known are {}", verbs.join(", "));
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail)
        }
    })
}

/// Counts a request.
struct OneOfMany<'a>(&'a AtomicUsize);

impl<'a> OneOfMany<'a> {
    fn begin(under_way: &'a UnderWay, route: &Route) -> Result<Self, Problem> {
        let (count, most) = if route.waits { (&under_way.waiting, MOST_WAITING) } else { (&under_way.others, MOST) };
        let others = count.fetch_add(1, Ordering::AcqRel);
        let one = Self(count);
        match others < most {
            true => Ok(one),
            false => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many requests")),
        }
    }
}

impl Drop for OneOfMany<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
