//! Recognizes MQTT over WebSocket: peeks at the head of a connection's first request, so that the worker thread of MQTT
//! can read it. A browser opens a new connection for each WebSocket.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
};

use super::{problem::Problem, rules::is_own_origin, serving::LONGEST_HEAD, state::State};
use crate::clock::Clock;

/// The path of MQTT over WebSocket.
const PATH: &str = "/mqtt";

/// Longest head in bytes.
const LONGEST: usize = 8 << 10;

/// Pause between two peeks at an incomplete head.
const AGAIN: Duration = Duration::from_millis(20);
const LOOKS: u32 = 50;

/// Does this connection ask for MQTT over WebSocket, and may it?
pub(super) async fn asks_for_mqtt(socket: &TcpStream, state: &State, clock: &Clock) -> bool {
    let mut head = vec![0; LONGEST];
    for _ in 0..LOOKS {
        let length = match clock.timeout(LONGEST_HEAD, pin!(socket.peek(&mut head))).await {
            Ok(Ok(length)) => length,
            _ => return false,
        };
        match parse(&head[..length]) {
            Head::Other => return false,
            Head::Part if length == 0 || length == LONGEST => return false,
            Head::Part => clock.sleep(AGAIN).await,
            Head::Whole(uri, headers) => return check(&uri, &headers, state).is_ok(),
        }
    }
    false
}

/// Reads the head of the first request of a stream that cannot be peeked. Returns the bytes read, and whether the
/// request is for MQTT and allowed. `None`: the stream ended.
pub(super) async fn begins(stream: &mut (impl AsyncRead + Unpin + ?Sized), state: &State) -> Option<(Vec<u8>, bool)> {
    let due = state.clock.now() + LONGEST_HEAD;
    let mut head = Vec::with_capacity(1 << 10);
    loop {
        let read = state.clock.timeout_at(due, pin!(stream.read_buf(&mut head))).await;
        // the HTTP server answers 408
        let Ok(read) = read else { return Some((head, false)) };
        if read.ok()? == 0 {
            return None;
        }
        match parse(&head) {
            Head::Other => return Some((head, false)),
            Head::Part if head.len() >= LONGEST => return Some((head, false)),
            Head::Part => {}
            Head::Whole(uri, headers) => return Some((head, check(&uri, &headers, state).is_ok())),
        }
    }
}

/// Answers requests to the path that were not handed over.
pub(super) fn routes(state: &Arc<State>) -> Router {
    Router::new().route(PATH, get(refuse)).with_state(state.clone())
}

async fn refuse(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    match check(request.uri(), request.headers(), &state) {
        Err(problem) => problem.into_response(),
        Ok(()) => {
            let detail = "a WebSocket request must be the first one of its connection";
            Problem::new(StatusCode::CONFLICT, "websocket", detail).into_response()
        }
    }
}

/// Is this a request for MQTT from a page of this server?
fn check(uri: &Uri, headers: &HeaderMap, state: &State) -> Result<(), Problem> {
    let rules = state.rules.load_full();
    let refused = |code, detail: &str| Err(Problem::new(StatusCode::FORBIDDEN, code, detail));
    if !rules.mqtt {
        return refused("mqtt", "MQTT over WebSocket is not served here: see mqtt below [http]");
    }
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !upgrade.eq_ignore_ascii_case("websocket") {
        let detail = "this path serves MQTT over WebSocket (subprotocol \"mqtt\")";
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "websocket", detail));
    }
    if rules.open || !rules.allowed_hosts.is_empty() {
        rules.check_host(uri, headers)?;
    }
    match headers.contains_key(header::ORIGIN) {
        true if is_own_origin(headers) => Ok(()),
        true => refused("origin", "a page of another server sent this (Origin)"),
        false => refused("origin", "Origin is missing: this path is for web pages; programs use the listeners of MQTT"),
    }
}

/// The peeked part of a request.
enum Head {
    /// It does not ask for MQTT.
    Other,
    /// Incomplete; it may ask for MQTT.
    Part,
    Whole(Uri, HeaderMap),
}

fn parse(seen: &[u8]) -> Head {
    let line: &[u8] = b"GET /mqtt";
    let common = seen.len().min(line.len());
    if seen[..common] != line[..common] {
        return Head::Other;
    }
    let Some(end) = memchr::memmem::find(seen, b"\r\n\r\n") else { return Head::Part };
    let whole = || {
        let mut lines = std::str::from_utf8(&seen[..end]).ok()?.split("\r\n");
        let uri: Uri = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':')?;
            headers.append(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value.trim()).ok()?);
        }
        (uri.path().trim_end_matches('/') == PATH).then_some((uri, headers))
    };
    whole().map_or(Head::Other, |(uri, headers)| Head::Whole(uri, headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_head_is_told_from_other_requests() {
        let head = b"GET /mqtt?a=b HTTP/1.1\r\nHost: a:1\r\nOrigin: http://a:1\r\n\r\n";
        for length in 0..head.len() {
            assert!(matches!(parse(&head[..length]), Head::Part), "{length} bytes");
        }
        let Head::Whole(uri, headers) = parse(head) else { panic!("it is whole") };
        assert_eq!((uri.path(), headers.len()), ("/mqtt", 2));
        let others: [&[u8]; 5] = [
            b"POST",
            b"GET /app.js HTTP/1.1\r\n\r\n",
            b"GET /mqttx HTTP/1.1\r\n\r\n",
            b"GET /mqtt HTTP/1.1\r\nno header\r\n\r\n",
            b"GET /mqtt HTTP/1.1\r\nA: \xff\r\n\r\n",
        ];
        for other in others {
            assert!(matches!(parse(other), Head::Other), "{other:?}");
        }
    }
}
