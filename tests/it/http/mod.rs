//! HTTP: access, health checks, metrics, the admin API, and the shipped dashboard and rules.

mod access;
pub mod api;
mod checks;
mod console;
mod keys;
mod metrics;
pub mod mqtt;
mod secure;
mod sessions;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use dunlin::{
    Config,
    config::{HttpConfig, parse},
};

use crate::support::{Broker, GUARD, config};

/// An answer of a server.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// In small letters, with the values.
    pub headers: String,
    /// As they were sent.
    pub head: String,
    pub body: String,
}

impl Answer {
    /// Of a whole response.
    pub fn of(response: &str) -> Self {
        let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {response:?}"));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Self { status, headers: head.to_lowercase(), head: head.into(), body: body.into() }
    }

    /// The code of a problem.
    pub fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(body["status"], self.status);
        body["code"].as_str().expect("a code").into()
    }
}

/// Sends these bytes and reads until the server closes.
pub fn send(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(GUARD)).unwrap();
    socket.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // the server may close before it has read everything
    let _ = socket.read_to_end(&mut answer);
    Answer::of(&String::from_utf8(answer).unwrap())
}

/// A request without a body; `headers` are whole lines; a Host is added if there is none.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str]) -> Answer {
    let has_host = headers.iter().any(|line| line.to_lowercase().starts_with("host:"));
    let host = if has_host { String::new() } else { format!("Host: {address}\r\n") };
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    send(address, format!("{method} {path} HTTP/1.1\r\n{host}{lines}Connection: close\r\n\r\n").as_bytes())
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, &[])
}

/// `[http]` with these lines, on a free port by default.
pub fn http(lines: &str) -> HttpConfig {
    let listen = if lines.contains("listen") { "" } else { "listen = \"127.0.0.1:0\"\n" };
    parse(&format!("[http]\n{listen}{lines}"), "test").unwrap().http
}

/// A broker with that.
pub fn broker(lines: &str) -> Broker {
    Broker::new(Config { http: http(lines), ..config() })
}

/// Where it serves everything.
pub fn address(broker: &Broker) -> SocketAddr {
    let urls = broker.server.http_urls();
    urls[0].strip_prefix("http://").expect("HTTP over TCP").parse().unwrap()
}
