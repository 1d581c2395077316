//! One connection: HTTP/1.1 by hyper, with bounds of its head in bytes and in time. A client that is too slow is told
//! so.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{Router, extract::Request};
use hyper::{
    body::Incoming,
    rt::{Sleep, Timer},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::rules::Via;
use crate::clock::Clock;

/// Serves a connection until its end; the head of its first request is there within a time.
pub(crate) async fn serve<S>(socket: S, via: Via, routes: Router, clock: Clock, within: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(via);
        routes.call(request)
    });
    let mut connection = http1::Builder::new()
        .timer(Turning(clock.clone()))
        .header_read_timeout(within)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(socket), service);
    let Err(error) = (&mut connection).await else { return };
    tracing::debug!(?via, %error, "HTTP connection ended");
    if error.is_timeout() {
        let mut socket = connection.into_parts().io.into_inner();
        let _ = clock.timeout(FAREWELL, pin!(socket.write_all(TOO_SLOW))).await;
        let _ = clock.timeout(FAREWELL, pin!(socket.shutdown())).await;
    }
}

/// From the end of a request, or the beginning of the connection, until the head of the next one is there.
pub(crate) const LONGEST_HEAD: Duration = Duration::from_secs(30);

/// Bytes of a request line with all headers; twice as many, at the latest, are answered with 431.
const LARGEST_HEAD: usize = 32 << 10;

const FAREWELL: Duration = Duration::from_secs(1);

const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The clock of the broker, as hyper asks for it.
struct Turning(Clock);

impl Timer for Turning {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.0.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let clock = self.0.clone();
        Box::pin(Sleeping(Box::pin(async move { clock.sleep_until(deadline).await })))
    }

    fn now(&self) -> Instant {
        self.0.now()
    }
}

/// A wait for a moment.
struct Sleeping(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl Future for Sleeping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl Sleep for Sleeping {}
