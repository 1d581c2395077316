//! The admin API: requests, answers and roles.

mod acting;
mod bans;
mod carry;
mod clients;
mod frame;
mod publishing;
pub mod streams;
mod traces;
mod users;

use std::net::SocketAddr;

use serde_json::Value;

pub use streams::Stream;

use super::{Answer, address, ask, broker, http, send};
use crate::support::{Broker, raw::Client};

/// Asks for something below `/api/v1/`.
pub fn api(at: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let path = format!("/api/v1/{path}");
    let Some(body) = body else { return ask(at, method, &path, &["Content-Length: 0"]) };
    let body = body.to_string();
    let head = format!("Host: {at}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    send(at, format!("{method} {path} HTTP/1.1\r\n{head}\r\n{body}").as_bytes())
}

/// The body of an answer with 200.
#[track_caller]
fn get(at: SocketAddr, path: &str) -> Value {
    done(&api(at, "GET", path, None))
}

#[track_caller]
pub fn done(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).expect("JSON")
}

/// One field of each entry of a list.
pub fn column<'a>(list: &'a Value, name: &str) -> Vec<&'a str> {
    list["data"].as_array().expect("a list").iter().map(|entry| entry[name].as_str().unwrap_or("-")).collect()
}

fn status_and_code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

pub fn client(broker: &Broker, id: &str) -> Client {
    broker.connect(&crate::support::raw::Connect::new(id), 0)
}
