//! The ready file: exists while all listeners accept, and has their addresses.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf, absolute},
};

use thiserror::Error;

use super::Listening;
use crate::types::Transport;

/// The ready file cannot be written, or that of an earlier run cannot be removed.
#[derive(Debug, Error)]
#[error("cannot {what} the ready file {}: {error}", .path.display())]
pub struct ReadyFileError {
    /// The operation: to write it, or to remove it.
    pub what: &'static str,
    /// Its path.
    pub path: PathBuf,
    /// The system's error; part of the text.
    pub error: io::Error,
}

/// Removes the file of an earlier run, which a reader would take for that of the broker that starts now.
pub fn remove_ready_file(path: &Path) -> Result<(), ReadyFileError> {
    match fs::remove_file(path) {
        // without its directory there is no such file
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(ReadyFileError { what: "remove", path: path.to_owned(), error })
        }
        _ => Ok(()),
    }
}

/// The file, which is removed with this value.
pub(crate) struct ReadyFile(PathBuf);

/// A file under a temporary name, so that no reader sees an incomplete one.
pub(super) struct Prepared {
    path: PathBuf,
    unfinished: PathBuf,
}

impl ReadyFile {
    /// Writes the file.
    pub(crate) fn write(path: &Path, listening: &[Listening], http: &[String]) -> Result<Self, ReadyFileError> {
        Self::prepare(path, listening, http)?.publish()
    }

    /// Writes it completely, beside its final place.
    pub(super) fn prepare(path: &Path, listening: &[Listening], http: &[String]) -> Result<Prepared, ReadyFileError> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let prepared = Prepared { path: path.to_owned(), unfinished: unfinished.into() };
        match fs::write(&prepared.unfinished, text(listening, http)) {
            Ok(()) => Ok(prepared),
            Err(error) => Err(ReadyFileError { what: "write", path: path.to_owned(), error }),
        }
    }

    /// Replaces the file by another one, possibly at another path, or by none. An error changes nothing.
    pub(super) fn replace(current: &mut Option<Self>, prepared: Option<Prepared>) -> Result<(), ReadyFileError> {
        let next = prepared.map(Prepared::publish).transpose()?;
        let before = std::mem::replace(current, next);
        match (before, current) {
            // it was overwritten, so it must not be removed
            (Some(before), Some(next)) if before.0 == next.0 => std::mem::forget(before),
            (before, _) => drop(before),
        }
        Ok(())
    }
}

impl Prepared {
    fn publish(self) -> Result<ReadyFile, ReadyFileError> {
        match fs::rename(&self.unfinished, &self.path) {
            Ok(()) => Ok(ReadyFile(self.path.clone())),
            Err(error) => Err(ReadyFileError { what: "write", path: self.path.clone(), error }),
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // after publication there is no such file
        let _ = fs::remove_file(&self.unfinished);
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // the program that waited for it may have removed it
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.0.display(), %error, "cannot remove the ready file");
        }
    }
}

fn text(listening: &[Listening], http: &[String]) -> String {
    let listeners: Vec<_> = listening.iter().map(listener).collect();
    let (pid, version) = (std::process::id(), env!("CARGO_PKG_VERSION"));
    serde_json::json!({ "pid": pid, "version": version, "listeners": listeners, "http": http }).to_string() + "\n"
}

fn listener(listening: &Listening) -> serde_json::Value {
    let (transport, url) = (listening.transport.name(), url(listening));
    match listening.endpoint.socket_addr() {
        Some(address) => serde_json::json!({
            "transport": transport,
            "url": url,
            "address": address.to_string(),
            "port": address.port(),
        }),
        None => serde_json::json!({ "transport": transport, "url": url, "path": listening.endpoint.path() }),
    }
}

/// The URL for clients on this machine: for all interfaces, loopback.
fn url(listening: &Listening) -> String {
    let Listening { transport, endpoint, path, .. } = listening;
    let scheme = match transport {
        Transport::Tcp => "mqtt",
        Transport::Tls => "mqtts",
        Transport::Ws | Transport::Wss => transport.name(),
        Transport::Unix => "unix",
    };
    match endpoint.socket_addr() {
        Some(address) => {
            let ip = match address.ip() {
                ip if !ip.is_unspecified() => ip,
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            format!("{scheme}://{}{}", SocketAddr::new(ip, address.port()), path.as_deref().unwrap_or_default())
        }
        // a reader may have another working directory
        None => {
            let path = endpoint.path().unwrap_or(Path::new(""));
            format!("{scheme}:{}", absolute(path).unwrap_or_else(|_| path.into()).display())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Endpoint;

    #[test]
    fn a_url_for_each_listener() {
        let table = [
            (Transport::Tcp, "127.0.0.1:1", None, "mqtt://127.0.0.1:1"),
            (Transport::Tls, "[::]:2", None, "mqtts://[::1]:2"),
            (Transport::Ws, "0.0.0.0:3", None, "ws://127.0.0.1:3"),
            (Transport::Wss, "192.0.2.1:4", Some("/mqtt"), "wss://192.0.2.1:4/mqtt"),
        ];
        for (transport, address, path, expected) in table {
            let endpoint = Endpoint::Ip(address.parse().unwrap());
            assert_eq!(url(&Listening { number: 0, transport, endpoint, path: path.map(Into::into) }), expected);
        }
        let endpoint = Endpoint::Unix("/run/d.sock".into());
        let unix = Listening { number: 0, transport: Transport::Unix, endpoint, path: None };
        assert_eq!(url(&unix), "unix:/run/d.sock");
    }
}
