//! The request of a WebSocket (RFC 6455 section 4.2), its answer, and a short page for browsers.

use std::{borrow::Cow, io, net::SocketAddr};

use ipnet::IpNet;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tungstenite::{
    Error as WsError,
    error::ProtocolError as WsProtocolError,
    handshake::{
        machine::TryParse,
        server::{Request, Response, create_response, write_response},
    },
    http::{HeaderValue, StatusCode, header, request},
};

use super::{
    super::{proxy::is_among, spoken::spoken, stream::Stream, websocket_options::WebSocketOptions},
    sender,
    stream::WebSocket,
};
use crate::router::Peer;

/// Why an upgrade failed.
#[derive(Debug, Error)]
pub(crate) enum UpgradeError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it ended within its HTTP request")]
    Ended,
    #[error("it is a plain HTTP request: a page that says what this port is was the answer")]
    Page,
    #[error("its HTTP request is refused: {0}")]
    Refused(Refusal),
    #[error("wrong protocol: the client speaks {0}, and this listener takes MQTT over WebSocket")]
    WrongProtocol(&'static str),
}

/// Why a request is refused. The client gets this text too.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    #[error("its head is longer than {LONGEST_HEAD} bytes")]
    TooLong,
    #[error("it is not HTTP")]
    NotHttp,
    #[error("its method is not GET")]
    Method,
    #[error("it is HTTP/1.0, and WebSocket needs HTTP/1.1 (nginx: proxy_http_version 1.1)")]
    HttpVersion,
    #[error("MQTT is at the path {0}")]
    Path(String),
    #[error("the origin {0:?} is not among the listener's allowed_origins")]
    Origin(String),
    #[error("Sec-WebSocket-Protocol offers neither mqtt nor mqttv3.1 [MQTT-6.0.0-3]")]
    Protocol,
    #[error("{0}")]
    Handshake(String),
    #[error("Sec-WebSocket-Version is not 13")]
    Version,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::TooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Path(_) => StatusCode::NOT_FOUND,
            Self::Origin(_) => StatusCode::FORBIDDEN,
            Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::HttpVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::NotHttp | Self::Protocol | Self::Handshake(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads the request and answers it. Updates `peer` from it. The caller limits the time. `longest`: bytes of the
/// longest frame that is accepted later.
pub(crate) async fn upgrade<S: Stream>(
    mut socket: S,
    options: &WebSocketOptions,
    peer: &mut Peer,
    longest: usize,
) -> Result<WebSocket<S>, UpgradeError> {
    let mut head = Vec::new();
    let parsed = loop {
        if socket.read_buf(&mut head).await? == 0 {
            return Err(UpgradeError::Ended);
        }
        match Request::try_parse(&head) {
            Ok(None) if head.len() < LONGEST_HEAD => {}
            Ok(None) => break Err(Refusal::TooLong),
            Ok(Some((length, _))) if length > LONGEST_HEAD => break Err(Refusal::TooLong),
            Ok(Some(parsed)) => break Ok(parsed),
            Err(WsError::Protocol(WsProtocolError::WrongHttpMethod)) if head.starts_with(b"HEAD ") => {
                return show_page(&mut socket, options, Body::Left).await;
            }
            Err(WsError::Protocol(WsProtocolError::WrongHttpMethod)) => break Err(Refusal::Method),
            Err(WsError::Protocol(WsProtocolError::WrongHttpVersion)) => break Err(Refusal::HttpVersion),
            Err(_) => break Err(Refusal::NotHttp),
        }
    };
    if let Ok((_, request)) = &parsed {
        place(request, &options.trusted_proxies, peer);
    }
    let answer = match parsed {
        Ok((_, request)) if !asks_for_websocket(&request) => return show_page(&mut socket, options, Body::Sent).await,
        Ok((length, request)) => response(&request, options).map(|response| (length, response)),
        Err(refusal) => Err(refusal),
    };
    match answer {
        Ok((length, response)) => {
            let mut bytes = Vec::new();
            write_response(&mut bytes, &response).map_err(io::Error::other)?;
            socket.write_all(&bytes).await?;
            socket.flush().await?;
            Ok(WebSocket::new(socket, head.split_off(length), longest, options.ping))
        }
        Err(refusal) => {
            let text = format!("This port is for MQTT over WebSocket, and refuses this request: {refusal}.\n");
            say(&mut socket, refusal.status(), &text, Body::Sent).await?;
            Err(match spoken(&head).filter(|_| refusal == Refusal::NotHttp) {
                Some(spoken) => UpgradeError::WrongProtocol(spoken),
                None => UpgradeError::Refused(refusal),
            })
        }
    }
}

/// Is the client local, and what is its address?
fn place(request: &Request, trusted: &[IpNet], peer: &mut Peer) {
    let by_proxy = is_among(peer.address.ip(), trusted);
    let why = sender::remote_by(request).or(by_proxy.then_some("its connection comes from a trusted proxy"));
    if by_proxy && let Some((ip, port)) = sender::client(request.headers(), trusted) {
        // the port of the proxy's connection distinguishes connections of one address
        peer.address = SocketAddr::new(ip, port.unwrap_or(peer.address.port())).into();
    }
    if let Some(why) = why {
        if peer.loopback_listener {
            tracing::debug!(%peer, reason = why, "not a local client");
        }
        peer.loopback_listener = false;
    }
}

fn asks_for_websocket(request: &Request) -> bool {
    request.headers().contains_key(header::UPGRADE) || request.headers().contains_key(header::SEC_WEBSOCKET_KEY)
}

/// The answer that accepts the request.
fn response(request: &Request, options: &WebSocketOptions) -> Result<Response, Refusal> {
    if let Some(path) = &options.path
        && without_slash(request.uri().path()) != without_slash(path)
    {
        return Err(Refusal::Path(path.clone()));
    }
    if let Some(origin) = request.headers().get(header::ORIGIN) {
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let allowed = &options.allowed_origins;
        if !allowed.is_empty() && !allowed.iter().any(|one| one.eq_ignore_ascii_case(&origin)) {
            return Err(Refusal::Origin(origin.into_owned()));
        }
    }
    let mut response = create_response(request).map_err(|error| match error {
        WsError::Protocol(WsProtocolError::MissingSecWebSocketVersionHeader) => Refusal::Version,
        error => Refusal::Handshake(error.to_string()),
    })?;
    let protocol = protocol(request).ok_or(Refusal::Protocol)?;
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    Ok(response)
}

/// Clients and proxies add or remove a slash at the end of a path.
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// The first offered subprotocol that is supported [MQTT-6.0.0-4].
fn protocol(request: &request::Request<()>) -> Option<&'static str> {
    let headers = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let offered = headers.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    offered.map(str::trim).find_map(|offer| PROTOCOLS.into_iter().find(|ours| *ours == offer))
}

/// Is the text sent, or only its length (RFC 9110 section 9.3.2)?
#[derive(Clone, Copy)]
enum Body {
    Sent,
    Left,
}

async fn show_page<T>(socket: &mut impl Stream, options: &WebSocketOptions, body: Body) -> Result<T, UpgradeError> {
    say(socket, StatusCode::OK, &page(options), body).await?;
    Err(UpgradeError::Page)
}

async fn say(socket: &mut impl Stream, status: StatusCode, text: &str, body: Body) -> io::Result<()> {
    let extra: Cow<'_, str> = match status {
        StatusCode::METHOD_NOT_ALLOWED => "Allow: GET, HEAD\r\n".into(),
        StatusCode::UPGRADE_REQUIRED => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n".into(),
        _ => "".into(),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: \
         no-store\r\nX-Content-Type-Options: nosniff\r\n{extra}Connection: close\r\n\r\n",
        text.len()
    );
    let text = if let Body::Sent = body { text } else { "" };
    socket.write_all(format!("{head}{text}").as_bytes()).await?;
    socket.flush().await?;
    socket.shutdown().await
}

fn page(options: &WebSocketOptions) -> String {
    let place = options.path.as_ref().map_or_else(|| "every path".into(), |path| format!("the path {path}"));
    format!(
        "This is dunlin, an MQTT broker. This port is for MQTT over WebSocket (subprotocol \"mqtt\") at {place}, and has \
         no pages.\n"
    )
}

const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];
/// Most bytes of a request line and its headers.
const LONGEST_HEAD: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(path: &str, headers: &str) -> Result<String, Refusal> {
        answer_at(Some("/mqtt"), path, headers)
    }

    fn answer_at(served: Option<&str>, path: &str, headers: &str) -> Result<String, Refusal> {
        let allowed_origins = vec!["https://a.example".into()];
        let options =
            WebSocketOptions { path: served.map(Into::into), allowed_origins, trusted_proxies: Vec::new(), ping: None };
        let text = format!("GET {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
        let (_, request) = Request::try_parse(text.as_bytes()).unwrap().unwrap();
        response(&request, &options).map(|response| {
            let mut bytes = Vec::new();
            write_response(&mut bytes, &response).unwrap();
            String::from_utf8(bytes).unwrap().to_lowercase()
        })
    }

    /// The handshake of RFC 6455 section 1.3.
    const KEY: &str = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    #[test]
    fn requests_that_become_websockets() {
        for (offer, chosen) in
            [("mqtt", "mqtt"), ("x, mqttv3.1,mqtt", "mqttv3.1"), ("x\r\nsec-websocket-protocol: mqtt", "mqtt")]
        {
            let headers = format!("{KEY}Sec-WebSocket-Protocol: {offer}\r\nOrigin: HTTPS://a.example\r\n");
            let answer = answer("/mqtt?x=1", &headers).unwrap();
            assert!(answer.starts_with("http/1.1 101 "), "{answer}");
            assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{answer}");
            assert!(answer.contains(&format!("sec-websocket-protocol: {chosen}\r\n")), "{answer}");
        }
    }

    #[test]
    fn a_path_matches_with_or_without_a_trailing_slash() {
        let headers = format!("{KEY}Sec-WebSocket-Protocol: mqtt\r\n");
        for path in ["/", "/mqtt", "/ws/", "/a/b?token=c", "//", "http://h", "http://h/mqtt"] {
            assert!(answer_at(None, path, &headers).is_ok(), "{path}");
        }
        let table = [
            ("/mqtt", "/mqtt", true),
            ("/mqtt", "/mqtt/", true),
            ("/mqtt/", "/mqtt", true),
            ("/mqtt", "http://h/mqtt/?x=1", true),
            ("/", "/", true),
            ("/", "http://h", true),
            ("/mqtt", "/", false),
            ("/mqtt", "/mqtt//", false),
            ("/mqtt", "/MQTT", false),
            ("/mqtt", "/mqtt2", false),
            ("/", "/mqtt", false),
        ];
        for (served, path, accepted) in table {
            let refused = answer_at(Some(served), path, &headers).err();
            assert_eq!(refused, (!accepted).then(|| Refusal::Path(served.into())), "{served} {path}");
        }
    }

    #[test]
    fn invalid_upgrade_requests_are_refused() {
        let with = |headers: &str| format!("{KEY}{headers}\r\n");
        let mqtt = "Sec-WebSocket-Protocol: mqtt";
        let origin = with(&format!("{mqtt}\r\nOrigin: https://b.example"));
        let table: &[(&str, String, Refusal)] = &[
            ("/", with(mqtt), Refusal::Path("/mqtt".into())),
            ("/mqtt", with("X: mqtt"), Refusal::Protocol),
            ("/mqtt", with("Sec-WebSocket-Protocol: MQTT, amqp"), Refusal::Protocol),
            ("/mqtt", origin, Refusal::Origin("https://b.example".into())),
            ("/mqtt", with(mqtt).replace("13", "8"), Refusal::Version),
        ];
        for (path, headers, refusal) in table {
            assert_eq!(answer(path, headers).as_ref(), Err(refusal), "{headers}");
        }
        let no_key = with(mqtt).replace("dGhl", "");
        assert!(matches!(answer("/mqtt", &no_key), Err(Refusal::Handshake(_))));
    }
}
