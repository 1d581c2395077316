//! [`HttpClient`]: an HTTP/1.1 client of one service. One time limit covers a whole request, from the look-up of the
//! name to the end of the answer; the answer's body is bounded. Redirects are not followed, proxies are not used,
//! connections are reused.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body, Bytes, Frame, SizeHint},
    client::conn::http1::{Builder, SendRequest},
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::task::JoinHandle;

use super::{ClientTls, ConnectError, Target, USER_TIMEOUT, connect};
use crate::{
    clock::Clock,
    types::{HttpUrl, Transport},
};

/// A client of one service. Several tasks may send requests at the same time.
pub(crate) struct HttpClient {
    url: HttpUrl,
    target: Target,
    /// For `https`.
    tls: Option<ClientTls>,
    clock: Clock,
    bounds: HttpBounds,
    /// Idle connections; the last one was used last.
    idle: Mutex<Vec<Open>>,
}

/// Bounds of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HttpBounds {
    /// Time limit from the start of a request to the end of its answer.
    pub within: Duration,
    /// Bytes of an answer's body that are kept; the rest is discarded.
    pub body: usize,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct HttpRequest {
    pub method: Method,
    /// Path and query; `None`: those of the client's URL.
    pub path: Option<String>,
    /// In addition to `Host`, `Content-Length` and `User-Agent`.
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct HttpAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The start of the body, as far as it is kept.
    pub body: Bytes,
    /// The whole body was kept.
    pub is_whole: bool,
}

/// Why a request has no answer.
#[derive(Debug, Error)]
pub(crate) enum HttpError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("the connection ended before the answer did")]
    Lost,
    #[error("not an answer of HTTP/1.1: {0}")]
    Garbage(hyper::Error),
    #[error("not a request: {0}")]
    Request(hyper::http::Error),
}

/// A connection.
struct Open {
    sender: SendRequest<Once>,
    _driver: Driver,
}

/// The task that reads and writes a connection. It ends when this is dropped.
struct Driver(JoinHandle<()>);

/// A complete body.
struct Once(Bytes);

/// Largest number of idle connections.
const MOST_IDLE: usize = 32;
/// Largest head of an answer in bytes.
const LONGEST_HEAD: usize = 64 << 10;

impl HttpClient {
    /// Connects at the first request. `tls` is required for `https`.
    pub(crate) fn new(url: HttpUrl, tls: Option<ClientTls>, clock: Clock, bounds: HttpBounds) -> Self {
        let transport = if url.https { Transport::Tls } else { Transport::Tcp };
        let (host, port) = (url.host.clone(), url.port);
        let target = Target { transport, host, port, path: String::new(), from: None, user_timeout: USER_TIMEOUT };
        Self { url, target, tls, clock, bounds, idle: Mutex::default() }
    }

    /// Sends a request and waits for its answer. If the service had closed an idle connection, the request is sent once
    /// more on a new connection, and so may arrive twice.
    pub(crate) async fn send(&self, request: &HttpRequest) -> Result<HttpAnswer, HttpError> {
        let within = self.bounds.within;
        let sent = self.clock.timeout(within, pin!(self.send_now(request))).await;
        sent.unwrap_or(Err(HttpError::TimedOut(within)))
    }

    async fn send_now(&self, request: &HttpRequest) -> Result<HttpAnswer, HttpError> {
        if let Some(open) = self.take_idle() {
            match self.exchange(open, request).await {
                Err(HttpError::Lost) => {}
                answered => return answered,
            }
        }
        let open = self.open().await?;
        self.exchange(open, request).await
    }

    fn take_idle(&self) -> Option<Open> {
        let mut idle = self.idle.lock();
        idle.retain(|open| !open.sender.is_closed());
        idle.pop()
    }

    async fn open(&self) -> Result<Open, HttpError> {
        let line = connect(&self.target, self.tls.as_ref(), &self.clock, (self.bounds.within, &[])).await?;
        let made = Builder::new().max_buf_size(LONGEST_HEAD).handshake(TokioIo::new(line)).await;
        let (sender, connection) = made.map_err(why)?;
        let driver = tokio::spawn(async move {
            // the request that uses the connection gets the error
            let _ = connection.await;
        });
        Ok(Open { sender, _driver: Driver(driver) })
    }

    async fn exchange(&self, mut open: Open, request: &HttpRequest) -> Result<HttpAnswer, HttpError> {
        let request = self.request(request)?;
        open.sender.ready().await.map_err(|_| HttpError::Lost)?;
        let (head, mut body) = open.sender.send_request(request).await.map(Response::into_parts).map_err(why)?;
        let mut kept = Vec::new();
        let mut is_whole = true;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let Ok(bytes) = frame.map_err(why)?.into_data() else { continue };
            let room = self.bounds.body - kept.len();
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if bytes.len() > room {
                is_whole = false;
                break;
            }
        }
        if is_whole {
            self.put_back(open);
        }
        Ok(HttpAnswer { status: head.status, headers: head.headers, body: kept.into(), is_whole })
    }

    fn request(&self, request: &HttpRequest) -> Result<Request<Once>, HttpError> {
        let path = request.path.as_deref().unwrap_or(&self.url.path);
        let made = Request::builder().method(&request.method).uri(path).body(Once(request.body.clone()));
        let mut made = made.map_err(HttpError::Request)?;
        *made.headers_mut() = request.headers.clone();
        let host = HeaderValue::try_from(self.url.authority()).map_err(|error| HttpError::Request(error.into()))?;
        let headers = made.headers_mut();
        headers.insert(header::HOST, host);
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        if request.body.is_empty() && !matches!(request.method, Method::GET | Method::HEAD) {
            // without a body, hyper sends no Content-Length
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(made)
    }

    /// Keeps the connection for the next request.
    fn put_back(&self, open: Open) {
        let mut idle = self.idle.lock();
        if !open.sender.is_closed() && idle.len() < MOST_IDLE {
            idle.push(open);
        }
    }
}

const AGENT: &str = concat!("dunlin/", env!("CARGO_PKG_VERSION"));

fn why(error: hyper::Error) -> HttpError {
    match error.is_parse() || error.is_parse_too_large() {
        true => HttpError::Garbage(error),
        false => HttpError::Lost,
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Body for Once {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let all = std::mem::take(&mut self.0);
        Poll::Ready((!all.is_empty()).then(|| Ok(Frame::data(all))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

#[cfg(test)]
mod tests;
