//! The HTTP client against a service with scripted answers.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use super::*;

/// Time limit of a test.
const GUARD: Duration = Duration::from_secs(30);

/// What the service does with a request.
#[derive(Clone)]
enum Does {
    /// Sends these bytes.
    Sends(Vec<u8>),
    /// Sends these bytes and closes the connection.
    Ends(Vec<u8>),
    /// Sends nothing.
    Sleeps,
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Starts a service that treats its requests as listed. It reports the number of the connection and the request.
fn service(all: Vec<Does>) -> (SocketAddr, Receiver<(usize, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = channel();
    thread::spawn(move || {
        let mut all = all.into_iter();
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            if serve(number, stream, &mut all, &told).is_none() {
                return;
            }
        }
    });
    (address, heard)
}

/// Serves one connection; `None`: all steps are done.
fn serve(
    number: usize,
    mut stream: TcpStream,
    all: &mut impl Iterator<Item = Does>,
    told: &Sender<(usize, String)>,
) -> Option<()> {
    loop {
        let Some(request) = read_request(&mut stream) else { return Some(()) };
        told.send((number, request)).ok()?;
        match all.next()? {
            Does::Sends(bytes) => stream.write_all(&bytes).ok()?,
            Does::Ends(bytes) => return stream.write_all(&bytes).ok(),
            // until the client closes the connection
            Does::Sleeps => _ = stream.read(&mut [0; 64]),
        }
    }
}

/// Reads a complete request with its body.
fn read_request(stream: &mut TcpStream) -> Option<String> {
    let (mut text, mut bytes) = (String::new(), [0; 4096]);
    loop {
        if let Some(end) = text.find("\r\n\r\n") {
            let length =
                text.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if text.len() >= end + 4 + length.unwrap_or(0) {
                return Some(text);
            }
        }
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return None,
            Ok(read) => text += std::str::from_utf8(&bytes[..read]).unwrap(),
        }
    }
}

fn client(address: SocketAddr, within: Duration) -> HttpClient {
    let url = format!("http://{address}/hook?a=b").parse().unwrap();
    HttpClient::new(url, None, Clock::system(), HttpBounds { within, body: 16 })
}

fn post(body: &'static str) -> HttpRequest {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/plain"));
    HttpRequest { method: Method::POST, path: None, headers, body: Bytes::from_static(body.as_bytes()) }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn requests_share_one_connection() {
    let (address, heard) = service(vec![
        Does::Sends(answer("200 OK\r\nX-A: b", "hello")),
        Does::Sends(answer("429 Too Many Requests\r\nRetry-After: 7", "")),
        Does::Sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_vec()),
        Does::Sends(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
    ]);
    let client = client(address, GUARD);
    run(async {
        let first = client.send(&post("some body")).await.unwrap();
        assert_eq!((first.status.as_u16(), &*first.body, first.is_whole), (200, &b"hello"[..], true));
        assert_eq!(first.headers["x-a"], "b");
        let second = client.send(&HttpRequest { path: Some("/other".into()), ..post("") }).await.unwrap();
        assert_eq!((second.status.as_u16(), &second.headers["retry-after"]), (429, &HeaderValue::from_static("7")));
        let get = HttpRequest { method: Method::GET, ..post("") };
        assert_eq!(&*client.send(&get).await.unwrap().body, b"abcde");
        assert_eq!(client.send(&get).await.unwrap().status, 204);
    });
    let all: Vec<_> = (0..4).map(|_| heard.recv_timeout(GUARD).unwrap()).collect();
    assert!(all.iter().all(|(connection, _)| *connection == 0), "{all:?}");
    let first = all[0].1.to_lowercase();
    assert!(first.starts_with("post /hook?a=b http/1.1\r\n") && first.ends_with("\r\n\r\nsome body"), "{first}");
    let expected = [format!("host: {address}"), "content-type: text/plain".into(), "content-length: 9".into()];
    assert!(expected.iter().all(|line| first.lines().any(|l| l == line)), "{first}");
    assert!(first.contains(&format!("user-agent: {AGENT}")), "{first}");
    let second = &all[1].1;
    assert!(second.starts_with("POST /other HTTP/1.1\r\n") && second.contains("content-length: 0\r\n"), "{second}");
}

#[test]
fn a_redirect_is_returned_and_not_followed() {
    let (address, heard) = service(vec![Does::Sends(answer("302 Found\r\nLocation: http://127.0.0.1:1/", ""))]);
    assert_eq!(run(client(address, GUARD).send(&post("x"))).unwrap().status, 302);
    heard.recv_timeout(GUARD).unwrap();
    assert!(heard.try_recv().is_err());
}

#[test]
fn a_request_is_repeated_if_its_idle_connection_was_closed() {
    let ok = || Does::Ends(answer("200 OK", ""));
    let (address, heard) = service(vec![ok(), ok(), ok()]);
    let client = client(address, GUARD);
    run(async {
        for _ in 0..3 {
            assert_eq!(client.send(&post("x")).await.unwrap().status, 200);
        }
    });
    let connections: Vec<_> = heard.try_iter().map(|(connection, _)| connection).collect();
    assert_eq!(connections, [0, 1, 2]);
}

#[test]
fn a_long_body_is_cut_and_its_connection_is_not_reused() {
    let long = || Does::Sends(answer("200 OK", &"x".repeat(100_000)));
    let (address, heard) = service(vec![long(), long()]);
    let client = client(address, GUARD);
    run(async {
        for _ in 0..2 {
            let answer = client.send(&post("x")).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.body.len(), answer.is_whole), (200, 16, false));
        }
    });
    assert_eq!(heard.try_iter().map(|(connection, _)| connection).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn an_invalid_answer_is_an_error_with_a_reason() {
    let table = [
        (Does::Ends(b"220 smtp.example ESMTP\r\n".to_vec()), "not an answer of HTTP/1.1"),
        (Does::Ends(Vec::new()), "ended before the answer"),
        (Does::Ends(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec()), "ended before the answer"),
        (Does::Ends(b"HTTP/1.1 200 OK\r\nX: ".iter().copied().chain([b'x'; 200_000]).collect()), "not an answer"),
    ];
    for (does, expected) in table {
        let (address, _heard) = service(vec![does]);
        let error = run(client(address, GUARD).send(&post("x"))).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let (address, _heard) = service(vec![Does::Sleeps]);
    let error = run(client(address, Duration::from_millis(50)).send(&post("x"))).unwrap_err();
    assert!(matches!(error, HttpError::TimedOut(_)), "{error}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = run(client(free, GUARD).send(&post("x"))).unwrap_err();
    assert!(matches!(error, HttpError::Connect(_)), "{error}");
}
