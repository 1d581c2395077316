//! `dunlin health --http`: requests a health check from the HTTP side, on a thread that is abandoned after the timeout.

use std::{
    fmt,
    io::{self, Read, Write},
    net::TcpStream,
    sync::mpsc,
};

use super::{
    health::{HealthError, is_unread, reachable},
    tls_client::{Trust, secured},
};
use crate::{
    config::{Cli, Health, HttpAddresses},
    platform::UnixStream,
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
    let (endpoint, trust) = place(cli, health)?;
    let endpoint = reachable(&endpoint);
    let at = match (&endpoint, &trust) {
        (Endpoint::Unix(path), _) => format!("unix:{}", path.display()),
        (endpoint, None) => format!("http://{endpoint}"),
        (endpoint, Some(_)) => format!("https://{endpoint}"),
    };
    let address = format!("{at}/{check}");
    let (sender, answered) = mpsc::channel();
    let request = format!("GET /{check} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    std::thread::spawn(move || _ = sender.send(answer(&endpoint, trust.as_ref(), request.as_bytes())));
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

/// The address of all routes or else of the health checks, and the trusted certificates if it uses TLS.
fn place(cli: &Cli, health: &Health) -> Result<(Endpoint, Option<Trust>), HealthError> {
    let believed = |speaks_tls: bool| match &health.ca {
        Some(file) => Some(Trust::Authorities(file.clone())),
        None => speaks_tls.then_some(Trust::Any),
    };
    let (addresses, trust) = match &health.listen {
        Some(address) => (vec![(address.clone(), true)], believed(address.transport() == Some(Transport::Tls))),
        None => {
            let (config, errors) = cli.with_config(health.config.as_deref()).resolve_all();
            if let Some(error) = errors.into_iter().find(is_unread) {
                return Err(error.into());
            }
            let HttpAddresses(checks) = &config.http.health;
            let all = config.http_addresses().iter().map(|address| (address.clone(), true));
            let all = all.chain(checks.iter().map(|address| (address.clone(), false)));
            (all.collect::<Vec<_>>(), believed(config.http.certificate_file.is_some()))
        }
    };
    let endpoints = addresses.iter().flat_map(|(address, speaks_tls)| {
        let endpoints = address.endpoints(Transport::Tcp).unwrap_or_default();
        endpoints.into_iter().map(|endpoint| (endpoint, *speaks_tls))
    });
    let known = |(endpoint, _): &(Endpoint, bool)| endpoint.socket_addr().is_none_or(|address| address.port() != 0);
    let (endpoint, speaks_tls) = { endpoints }.find(known).ok_or(HealthError::NoHttp)?;
    Ok((endpoint, trust.filter(|_| speaks_tls)))
}

fn answer(endpoint: &Endpoint, trust: Option<&Trust>, request: &[u8]) -> io::Result<String> {
    match endpoint {
        Endpoint::Ip(address) => {
            let socket = TcpStream::connect(address)?;
            match trust {
                None => exchange(socket, request),
                Some(trust) => exchange(secured(socket, &address.ip().to_string(), trust)?, request),
            }
        }
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
