//! [`Asking`]: requests to the HTTP side of a broker, over TCP or a Unix socket, with HTTP/1.0: the answer ends with
//! the connection.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    super::{
        health::{is_unread, reachable},
        tls_client::{Trust, secured},
    },
    CtlError,
};
use crate::{
    config::{Cli, Ctl},
    platform::UnixStream,
    types::{Endpoint, Transport, percent_encode},
};

/// The broker to be asked.
pub(super) struct Asking {
    place: Place,
    login: Option<String>,
}

enum Place {
    /// A host name or address with a port.
    Tcp(String),
    /// The same over TLS, with the trusted certificates.
    Tls(String, Trust),
    Unix(PathBuf),
}

/// The broker's answer.
pub(super) struct Answered {
    pub value: Value,
}

impl Asking {
    pub fn new(cli: &Cli, ctl: &Ctl, login: Option<String>) -> Result<Self, CtlError> {
        let place = match &ctl.url {
            Some(url) => Place::of(url, ctl.ca.as_deref())?,
            None => configured(cli, ctl)?,
        };
        Ok(Self { place, login })
    }

    /// Is a login not looked at there?
    pub fn needs_no_login(&self) -> bool {
        matches!(self.place, Place::Unix(_))
    }

    /// Sends a request for a path below `/api/v1/`.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answered, CtlError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(method, path, ("application/json", body.as_bytes()))
    }

    /// The same with a body of a type.
    pub fn send(&self, method: &str, path: &str, body: (&str, &[u8])) -> Result<Answered, CtlError> {
        let mut answer = self.begin(method, path, body)?;
        let mut text = String::new();
        answer.read_to_string(&mut text).map_err(|error| self.silent(error))?;
        let value = serde_json::from_str(&text).map_err(|error| self.silent(error.into()))?;
        Ok(Answered { value })
    }

    /// Copies the lines of an answer, and gives the last one.
    pub fn copy(
        &self,
        path: &str,
        mut each: impl FnMut(&str) -> Result<(), CtlError>,
    ) -> Result<Option<Value>, CtlError> {
        let mut last = String::new();
        self.lines(path, |line| {
            line.clone_into(&mut last);
            each(line).map(ControlFlow::Continue)
        })?;
        Ok(serde_json::from_str(&last).ok())
    }

    /// Reads the lines of an answer until there are no more, or `each` says that it is enough.
    pub fn lines(
        &self,
        path: &str,
        mut each: impl FnMut(&str) -> Result<ControlFlow<()>, CtlError>,
    ) -> Result<(), CtlError> {
        for line in self.begin("GET", path, NO_BODY)?.lines() {
            if each(&line.map_err(|error| self.silent(error))?)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Reads server-sent events until there are no more, or the wanted number has arrived.
    pub fn stream(
        &self,
        path: &str,
        count: Option<u64>,
        mut each: impl FnMut(&str, &Value) -> Result<(), CtlError>,
    ) -> Result<(), CtlError> {
        let (mut name, mut left) = (String::new(), count.unwrap_or(u64::MAX));
        for line in self.begin("GET", path, NO_BODY)?.lines() {
            if left == 0 {
                break;
            }
            let line = line.map_err(|error| self.silent(error))?;
            if let Some(word) = line.strip_prefix("event: ") {
                word.clone_into(&mut name);
            }
            if let Some(data) = line.strip_prefix("data: ") {
                let value = serde_json::from_str(data).map_err(|error| self.silent(error.into()))?;
                each(&name, &value)?;
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Sends a request. Returns the rest of the answer after its head, if the status is 200.
    fn begin(
        &self,
        method: &str,
        path: &str,
        (kind, body): (&str, &[u8]),
    ) -> Result<BufReader<Box<dyn Read>>, CtlError> {
        let (host, mut socket): (_, Box<dyn Socket>) = match &self.place {
            Place::Tcp(address) => {
                let socket = TcpStream::connect(address.as_str()).map_err(|error| self.silent(error))?;
                (address.as_str(), Box::new(socket))
            }
            Place::Tls(address, trust) => {
                let socket = TcpStream::connect(address.as_str()).map_err(|error| self.silent(error))?;
                let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
                let socket = secured(socket, host, trust).map_err(|error| self.silent(error))?;
                (address.as_str(), Box::new(socket))
            }
            Place::Unix(path) => {
                ("localhost", Box::new(UnixStream::connect(path).map_err(|error| self.silent(error))?))
            }
        };
        let login = self.login.as_ref().map(|login| format!("Authorization: {login}\r\n")).unwrap_or_default();
        let length = match method {
            "GET" => String::new(),
            _ => format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len()),
        };
        let head = format!("{method} /api/v1/{path} HTTP/1.0\r\nHost: {host}\r\n{login}{length}\r\n");
        let request = [head.as_bytes(), body].concat();
        // a broker that refuses a large body answers before it has read it
        let written = socket.write_all(&request);
        let mut answer = BufReader::new(Box::new(socket) as Box<dyn Read>);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = (&mut answer).take(LONGEST_LINE).read_line(&mut line).map_err(|error| self.silent(error))?;
            match line.trim_end() {
                "" if read == 0 => {
                    let error = written.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                    return Err(self.silent(error));
                }
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines[0].split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
        match status {
            Some(200) => Ok(answer),
            Some(status) => Err(refused(status, answer)),
            None => Err(self.silent(io::Error::other("what answers there is not HTTP"))),
        }
    }

    fn silent(&self, error: io::Error) -> CtlError {
        let url = match &self.place {
            Place::Tcp(address) => format!("http://{address}"),
            Place::Tls(address, _) => format!("https://{address}"),
            Place::Unix(path) => format!("unix:{}", path.display()),
        };
        CtlError::Silent { url, error }
    }
}

/// The common operations of both kinds of sockets.
trait Socket: Read + Write {}

impl<S: Read + Write> Socket for S {}

const NO_BODY: (&str, &[u8]) = ("", b"");

const LONGEST_LINE: u64 = 64 << 10;

fn refused(status: u16, mut answer: impl Read) -> CtlError {
    let mut text = String::new();
    // only the operator reads it
    let _cut_off = answer.read_to_string(&mut text);
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let word = |name: &str| value[name].as_str().map(str::to_owned);
    let detail = word("detail").unwrap_or_else(|| text.trim().to_owned());
    CtlError::Refused { status, code: word("code").unwrap_or_default(), detail }
}

impl Place {
    fn of(url: &str, ca: Option<&Path>) -> Result<Self, CtlError> {
        let wrong = || CtlError::Url(url.to_owned());
        if let Some(path) = url.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        let (scheme, address) = url.split_once("://").ok_or_else(wrong)?;
        let address = address.trim_end_matches('/');
        if address.contains('/') {
            return Err(wrong());
        }
        let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let at = |port: u16| if has_port { address.to_owned() } else { format!("{address}:{port}") };
        match (scheme, ca) {
            ("http", _) => Ok(Self::Tcp(at(80))),
            ("https", Some(file)) => Ok(Self::Tls(at(443), Trust::Authorities(file.to_owned()))),
            ("https", None) => Err(CtlError::NoAuthority(url.to_owned())),
            _ => Err(wrong()),
        }
    }
}

/// The configured address, a Unix socket first.
fn configured(cli: &Cli, ctl: &Ctl) -> Result<Place, CtlError> {
    let (config, errors) = cli.with_config(ctl.config.as_deref()).resolve_all();
    if let Some(error) = errors.into_iter().find(is_unread) {
        return Err(error.into());
    }
    let all = config.http_addresses().iter().filter_map(|address| address.endpoints(Transport::Tcp).ok());
    let mut all: Vec<_> = all.flatten().collect();
    crate::types::sort_by_key(&mut all, |endpoint| !matches!(endpoint, Endpoint::Unix(_)));
    let trust = config.http.certificate_file.as_ref().map(|own| match &ctl.ca {
        Some(file) => Trust::Authorities(file.clone()),
        None => Trust::This(own.clone()),
    });
    let place = all.iter().map(reachable).find_map(|endpoint| match endpoint {
        Endpoint::Unix(path) => Some(Place::Unix(path)),
        Endpoint::Ip(address) if address.port() != 0 => Some(match &trust {
            None => Place::Tcp(address.to_string()),
            Some(trust) => Place::Tls(address.to_string(), trust.clone()),
        }),
        _ => None,
    });
    place.ok_or(CtlError::Nowhere)
}

/// Percent-encoding (RFC 3986) of all characters except those that are never special.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    percent_encode(text.as_bytes(), &mut encoded);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let tcp = |url| match Place::of(url, None) {
            Ok(Place::Tcp(address)) => Some(address),
            _ => None,
        };
        assert_eq!(tcp("http://localhost:9883/").as_deref(), Some("localhost:9883"));
        assert_eq!(tcp("http://[::1]:9883").as_deref(), Some("[::1]:9883"));
        assert_eq!(tcp("http://broker.lan").as_deref(), Some("broker.lan:80"));
        for wrong in ["ftp://a", "a:1", "http://a/b", ""] {
            assert!(matches!(Place::of(wrong, None), Err(CtlError::Url(_))), "{wrong}");
        }
        assert!(matches!(Place::of("unix:/run/a.sock", None), Ok(Place::Unix(path)) if path.ends_with("a.sock")));
        assert!(matches!(Place::of("https://a", None), Err(CtlError::NoAuthority(_))));
        let secure = Place::of("https://a", Some(Path::new("ca.pem")));
        assert!(matches!(secure, Ok(Place::Tls(address, Trust::Authorities(_))) if address == "a:443"));
        assert_eq!(encode("a/b +%ä"), "a%2Fb%20%2B%25%C3%A4");
    }
}
