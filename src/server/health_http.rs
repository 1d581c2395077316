//! `dunlin health --http`: requests a health check from the HTTP side, on a thread that is abandoned after the timeout.

use std::{
    fmt,
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    sync::mpsc,
};

use super::health::{HealthError, is_unread, reachable};
use crate::{
    config::{Cli, Health, HttpAddresses, ListenAddress},
    types::{Endpoint, Transport},
};

/// A positive result.
#[derive(Debug, PartialEq, Eq)]
pub struct Passed(String);

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "healthy: {} answers 200", self.0)
    }
}

/// Requests this check from the broker of this command line.
pub(super) fn ask(cli: &Cli, health: &Health, check: &str) -> Result<Passed, HealthError> {
    let endpoint = reachable(&endpoint(cli, health)?);
    let at = match &endpoint {
        Endpoint::Unix(path) => format!("unix:{}", path.display()),
        endpoint => format!("http://{endpoint}"),
    };
    let address = format!("{at}/{check}");
    let (sender, answered) = mpsc::channel();
    let request = format!("GET /{check} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    std::thread::spawn(move || _ = sender.send(answer(&endpoint, request.as_bytes())));
    let dead = |problem| HealthError::Dead { address: address.clone(), problem };
    match answered.recv_timeout(health.timeout) {
        Ok(Ok(answer)) if answer.starts_with("HTTP/1.1 200 ") => Ok(Passed(address)),
        Ok(Ok(answer)) => {
            let line = answer.lines().next().unwrap_or("what answers there is not HTTP");
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim());
            Err(dead(format!("{line} {body}")))
        }
        Ok(Err(error)) => Err(dead(error.to_string())),
        Err(_) => {
            let timeout = humantime::format_duration(health.timeout);
            Err(dead(format!("no answer within {timeout} (--timeout)")))
        }
    }
}

/// The address of HTTP, or of the health checks alone.
fn endpoint(cli: &Cli, health: &Health) -> Result<Endpoint, HealthError> {
    let addresses = match &health.listen {
        Some(address) => vec![address.clone()],
        None => {
            let (config, errors) = cli.with_config(health.config.as_deref()).resolve_all();
            if let Some(error) = errors.into_iter().find(is_unread) {
                return Err(error.into());
            }
            let HttpAddresses(checks) = &config.http.health;
            config.http_addresses().iter().chain(checks).cloned().collect::<Vec<_>>()
        }
    };
    let endpoints = addresses.iter().filter_map(|address: &ListenAddress| address.endpoints(Transport::Tcp).ok());
    let known = |endpoint: &Endpoint| endpoint.socket_addr().is_none_or(|address| address.port() != 0);
    endpoints.flatten().find(known).ok_or(HealthError::NoHttp)
}

fn answer(endpoint: &Endpoint, request: &[u8]) -> io::Result<String> {
    match endpoint {
        Endpoint::Ip(address) => exchange(TcpStream::connect(address)?, request),
        Endpoint::Unix(path) => exchange(UnixStream::connect(path)?, request),
        Endpoint::Passed(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn exchange(mut socket: impl Read + Write, request: &[u8]) -> io::Result<String> {
    socket.write_all(request)?;
    let mut answer = Vec::new();
    socket.take(64 << 10).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
