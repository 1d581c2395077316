//! `dunlin test`: the broker to test clients against.

mod clock;
mod command;
mod conformance;
mod expect;
mod fault_table;
mod faults;
mod junit;
mod presets;
mod recording;
mod replay;
mod reset;
mod restart;
mod retries;
mod rumqttc;
mod seed;
mod strict;
mod strict_statements;

use std::net::SocketAddr;

use dunlin::testing::{Broker, Options};
use serde_json::Value;

use crate::{http::send, support::raw};

/// A bench of the test's own, in its process, which is asked over HTTP.
pub struct Bench {
    pub broker: Broker,
    /// HTTP.
    pub http: SocketAddr,
}

/// Runs a future to its result.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

impl Bench {
    pub fn start() -> Self {
        Self::with(Options {
            config: dunlin::Config { workers: Some(2), ..dunlin::Config::ephemeral() },
            ..Options::default()
        })
    }

    pub fn with(options: Options) -> Self {
        let broker = run(Broker::with(options)).expect("a bench on free ports");
        let http = broker.http_url().strip_prefix("http://").unwrap().parse().unwrap();
        Self { broker, http }
    }

    /// Where clients connect to.
    pub fn mqtt(&self) -> SocketAddr {
        self.broker.address()
    }

    /// An MQTT 3.1.1 client without a session before and after.
    #[track_caller]
    pub fn client(&self, name: &str) -> raw::Client {
        raw::Client::accepted(self.mqtt(), &raw::Connect::new(name), 0)
    }

    /// The status, and the answer.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        ask(self.http, method, path, body)
    }

    /// The answer of a successful POST.
    #[track_caller]
    pub fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask("POST", path, &body);
        assert_eq!(status, 200, "{path} {body}: {answer}");
        answer
    }

    /// The answer of a POST whose expectation is not met.
    #[track_caller]
    pub fn unmet(&self, body: Value) -> Value {
        let (status, answer) = self.ask("POST", "expect", &body);
        assert_eq!((status, answer["code"].as_str()), (409, Some("unmet")), "{body}: {answer}");
        answer
    }
}

/// Asks `/test/v1/` at this address.
pub fn ask(http: SocketAddr, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let head = format!("{method} /test/v1/{path} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n");
    let answer = send(http, format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    let value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("no JSON: {answer:?}"));
    (answer.status, value)
}
