//! [`Service`]: an HTTP server that treats each request as the test says, and records it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use parking_lot::{Condvar, Mutex};
use serde_json::Value;

/// An answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Answers this status.
    Answers(u16),
    /// Answers 503, and asks for the next request after these seconds.
    Later(u32),
    /// Sends the client elsewhere.
    Redirects,
    /// Answers with bytes that are not HTTP.
    Garbage,
    /// Closes the connection.
    Ends,
    /// Answers 200 after [`Service::go_on`].
    Waits,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its first line.
    pub first: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    /// The value of a header, whose name is in small letters.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// The server.
pub struct Service {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// The answer to a request, by its number.
type Decide = Box<dyn Fn(usize, &Request) -> Does + Send + Sync>;

struct Shared {
    does: Decide,
    number: AtomicUsize,
    requests: Mutex<Vec<Request>>,
    goes_on: (Mutex<bool>, Condvar),
}

impl Service {
    /// `does` is asked for each request, by its number.
    pub fn new(does: impl Fn(usize) -> Does + Send + Sync + 'static) -> Self {
        Self::run(Box::new(move |number, _| does(number)))
    }

    /// `does` is asked for each request.
    pub fn judging(does: impl Fn(&Request) -> Does + Send + Sync + 'static) -> Self {
        Self::run(Box::new(move |_, request| does(request)))
    }

    fn run(does: Decide) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (number, requests, goes_on) = Default::default();
        let shared = Arc::new(Shared { does, number, requests, goes_on });
        let service = Arc::downgrade(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(shared) = service.upgrade() else { return };
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().clone()
    }

    /// All events of them, in their order.
    pub fn events(&self) -> Vec<Value> {
        let batch = |request: &Request| -> Vec<Value> { serde_json::from_str(&request.body).expect("a list") };
        self.requests().iter().flat_map(batch).collect()
    }

    /// Answers those that wait.
    pub fn go_on(&self) {
        *self.shared.goes_on.0.lock() = true;
        self.shared.goes_on.1.notify_all();
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let mut read = Vec::new();
        while let Some(request) = next(&mut stream, &mut read) {
            let does = {
                let mut requests = self.requests.lock();
                let does = (self.does)(self.number.fetch_add(1, Ordering::SeqCst), &request);
                requests.push(request);
                does
            };
            let answer = match does {
                Does::Answers(status) => format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"),
                Does::Later(seconds) => {
                    format!("HTTP/1.1 503 X\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n")
                }
                Does::Redirects => {
                    "HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".into()
                }
                Does::Garbage => "SSH-2.0-x\r\n\r\n".into(),
                Does::Ends => return,
                Does::Waits => {
                    let mut goes_on = self.goes_on.0.lock();
                    while !*goes_on {
                        self.goes_on.1.wait(&mut goes_on);
                    }
                    "HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n".into()
                }
            };
            if stream.write_all(answer.as_bytes()).is_err() || does == Does::Garbage {
                return;
            }
        }
    }
}

/// The next request on a connection; `None`: it ended.
fn next(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Request> {
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(read[..end].to_vec()).unwrap();
            let (first, headers) = head.split_once("\r\n").unwrap();
            let headers: Vec<_> = headers.lines().filter_map(|line| line.split_once(": ")).collect();
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.to_lowercase(), (*value).to_owned())).collect();
            let length = headers.iter().find(|(name, _)| name == "content-length").map_or("0", |(_, value)| value);
            let whole = end + 4 + length.parse::<usize>().unwrap();
            if read.len() >= whole {
                let body = String::from_utf8(read[end + 4..whole].to_vec()).unwrap();
                let request = Request { first: first.to_owned(), headers, body };
                read.drain(..whole);
                return Some(request);
            }
        }
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return None,
            Ok(more) => read.extend_from_slice(&bytes[..more]),
        }
    }
}
