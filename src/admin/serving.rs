//! One connection of HTTP/1.1 with hyper. The head of a request is bounded in bytes and in time; a client that is too
//! slow gets 408.

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
use tokio::io::AsyncWriteExt;

use super::{rules::Via, secure::Duplex};
use crate::clock::Clock;

/// Serves a connection. The head of its first request must arrive within a time.
pub(crate) async fn serve(socket: Box<dyn Duplex>, via: Via, routes: Router, clock: Clock, within: Duration) {
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

/// Time limit from the end of a request, or the start of the connection, to the end of the next head.
pub(crate) const LONGEST_HEAD: Duration = Duration::from_secs(30);

/// Bound of a request line with all headers, in bytes; at the latest twice as many are answered with 431.
const LARGEST_HEAD: usize = 32 << 10;

const FAREWELL: Duration = Duration::from_secs(1);

const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The broker's clock as hyper's timer.
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

/// A timer of hyper.
struct Sleeping(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl Future for Sleeping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl Sleep for Sleeping {}
