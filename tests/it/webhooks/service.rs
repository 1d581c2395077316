//! [`Service`]: an HTTP server that treats each request as the test says, and records it.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use parking_lot::{Condvar, Mutex};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::support::secure::Certs;

/// An answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Answers this status.
    Answers(u16),
    /// The same, with these seconds in `Retry-After`.
    RetryAfter(u16, u64),
    /// Sends the client elsewhere.
    Redirects,
    /// Answers with bytes that are not HTTP.
    Garbage,
    /// Closes the connection.
    Ends,
    /// Answers 200 after [`Service::go_on`].
    Waits,
    /// Answers nothing, until the client closes the connection.
    Sleeps,
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
    /// Keeps the port while nothing listens there.
    port: Socket,
    /// `None`: it is dead.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The answer to a request, by its number.
type Decide = Box<dyn Fn(usize, &Request) -> Does + Send + Sync>;

struct Shared {
    does: Decide,
    number: AtomicUsize,
    requests: Mutex<Vec<Request>>,
    goes_on: (Mutex<bool>, Condvar),
    /// `None`: without TLS.
    tls: Option<Arc<ServerConfig>>,
    is_dead: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Service {
    /// `does` is asked for each request, by its number.
    pub fn new(does: impl Fn(usize) -> Does + Send + Sync + 'static) -> Self {
        Self::run(Box::new(move |number, _| does(number)), None)
    }

    /// Over TLS, with the certificate for localhost.
    pub fn secured(certs: &Certs, does: impl Fn(usize) -> Does + Send + Sync + 'static) -> Self {
        let key = PrivateKeyDer::from_pem_file(certs.path("server.key")).unwrap();
        let chain = CertificateDer::pem_file_iter(certs.path("server.pem")).unwrap().map(Result::unwrap).collect();
        let config = ServerConfig::builder_with_provider(default_provider().into());
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = config.with_single_cert(chain, key).unwrap();
        Self::run(Box::new(move |number, _| does(number)), Some(Arc::new(config)))
    }

    /// `does` is asked for each request.
    pub fn judging(does: impl Fn(&Request) -> Does + Send + Sync + 'static) -> Self {
        Self::run(Box::new(move |_, request| does(request)), None)
    }

    fn run(does: Decide, tls: Option<Arc<ServerConfig>>) -> Self {
        let port = socket(([127, 0, 0, 1], 0).into());
        let address = port.local_addr().unwrap().as_socket().unwrap();
        let (number, requests, goes_on, is_dead, open) = Default::default();
        let shared = Arc::new(Shared { does, number, requests, goes_on, tls, is_dead, open });
        let service = Self { address, shared, port, thread: Mutex::default() };
        service.lives();
        service
    }

    /// Listens again.
    pub fn lives(&self) {
        self.shared.is_dead.store(false, Ordering::SeqCst);
        let listener = socket(self.port.local_addr().unwrap().as_socket().unwrap());
        listener.listen(128).unwrap();
        let (listener, service) = (TcpListener::from(listener), Arc::downgrade(&self.shared));
        let accept = move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(shared) = service.upgrade().filter(|shared| !shared.is_dead.load(Ordering::SeqCst)) else {
                    return;
                };
                shared.open.lock().push(stream.try_clone().unwrap());
                thread::spawn(move || shared.accept(stream));
            }
        };
        *self.thread.lock() = Some(thread::spawn(accept));
    }

    /// Ends all connections, and refuses others at its port, as if its process had ended.
    pub fn dies(&self) {
        self.shared.is_dead.store(true, Ordering::SeqCst);
        let thread = self.thread.lock().take().expect("it lives");
        // wakes it
        drop(TcpStream::connect(self.address));
        thread.join().unwrap();
        self.shared.open.lock().drain(..).for_each(|stream| _ = stream.shutdown(Shutdown::Both));
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

/// A socket at this address, which others may have too.
fn socket(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

impl Shared {
    fn accept(&self, stream: TcpStream) {
        let kept = stream.try_clone().unwrap();
        match &self.tls {
            None => self.serve(stream),
            Some(tls) => self.serve(StreamOwned::new(ServerConnection::new(tls.clone()).unwrap(), stream)),
        }
        // `open` has it, too
        let _ = kept.shutdown(Shutdown::Both);
    }

    fn serve(&self, mut stream: impl Read + Write) {
        let mut read = Vec::new();
        while let Some(request) = next(&mut stream, &mut read) {
            let does = {
                let mut requests = self.requests.lock();
                let does = (self.does)(self.number.fetch_add(1, Ordering::SeqCst), &request);
                requests.push(request);
                does
            };
            let answer = match does {
                Does::RetryAfter(status, seconds) => {
                    format!("HTTP/1.1 {status} X\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n")
                }
                Does::Sleeps => {
                    while stream.read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0) {}
                    return;
                }
                Does::Answers(status) => format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"),
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
fn next(stream: &mut impl Read, read: &mut Vec<u8>) -> Option<Request> {
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
