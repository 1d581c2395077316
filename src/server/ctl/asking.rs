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
    meant::Meant,
};
use crate::{
    config::{Cli, Config, Ctl},
    platform::UnixStream,
    types::{Endpoint, Transport, percent_encode},
};

/// The broker to be asked.
pub(super) struct Asking {
    place: Place,
    login: Option<String>,
    from: From,
    /// The broker of the configuration file.
    meant: Option<Meant>,
}

/// Where the address comes from.
#[derive(Clone, Debug, PartialEq)]
enum From {
    /// `--url`.
    Url,
    /// This configuration.
    File(PathBuf),
    /// The default.
    Default,
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
        if let Some(url) = &ctl.url {
            return Ok(Self { place: Place::of(url, ctl.ca.as_deref())?, login, from: From::Url, meant: None });
        }
        let cli = cli.with_config(ctl.config.as_deref());
        let (config, errors) = cli.resolve_all();
        if let Some(error) = errors.into_iter().find(is_unread) {
            return Err(error.into());
        }
        let (meant, from) = (Meant::of(&config), cli.config.clone().map_or(From::Default, From::File));
        Ok(Self { place: configured(&config, ctl, cli.config)?, login, from, meant })
    }

    /// An error if another broker answers than that of the configuration file.
    pub fn check(&self) -> Result<(), CtlError> {
        match &self.meant {
            Some(meant) => meant.check(&self.ask("GET", "broker", None)?.value, self.url()),
            None => Ok(()),
        }
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
        let value = serde_json::from_str(&text).map_err(|_| self.not_dunlin())?;
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
            let read = (&mut answer).take(LONGEST_LINE).read_line(&mut line).map_err(|error| self.unread(error))?;
            match line.trim_end() {
                "" if read == 0 => {
                    return Err(self.unread(written.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())));
                }
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines[0].split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
        match status {
            Some(200) => Ok(answer),
            Some(status) => Err(refused(status, answer).unwrap_or_else(|| self.not_dunlin())),
            None => Err(self.not_http()),
        }
    }

    fn url(&self) -> String {
        match &self.place {
            Place::Tcp(address) => format!("http://{address}"),
            Place::Tls(address, _) => format!("https://{address}"),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    fn silent(&self, error: io::Error) -> CtlError {
        let tip = tip(error.kind(), &self.from, matches!(self.place, Place::Unix(_)));
        CtlError::Silent { url: self.url(), error, tip }
    }

    /// A connection that ends before the answer: a listener of MQTT or TLS closes it, or answers with other bytes.
    fn unread(&self, error: io::Error) -> CtlError {
        let kinds = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::InvalidData];
        match kinds.contains(&error.kind()) && matches!(self.place, Place::Tcp(_)) {
            true => self.not_http(),
            false => self.silent(error),
        }
    }

    fn not_http(&self) -> CtlError {
        CtlError::NotHttp(self.url())
    }

    fn not_dunlin(&self) -> CtlError {
        CtlError::NotDunlin(self.url())
    }
}

/// The common operations of both kinds of sockets.
trait Socket: Read + Write {}

impl<S: Read + Write> Socket for S {}

const NO_BODY: (&str, &[u8]) = ("", b"");

const LONGEST_LINE: u64 = 64 << 10;

/// What the operator can do about a failed connection; empty: nothing is known.
fn tip(error: io::ErrorKind, from: &From, is_unix: bool) -> String {
    const LOG: &str = "its log names the address of HTTP, or why it serves none";
    match (error, from) {
        (io::ErrorKind::PermissionDenied, _) if is_unix => {
            "; the permission bits of the socket decide who may use it: run this as the user of the broker, or set http.mode,              such as mode = \"0660\" below [http]"
                .into()
        }
        (io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound, From::Url) => {
            format!("; is a broker running there? {LOG}")
        }
        (io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound, From::File(file)) => {
            format!("; is the broker of {} running? {LOG}", file.display())
        }
        (io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound, From::Default) => {
            "; is the broker running? -c FILE takes the address of HTTP from its configuration, --url URL gives it".into()
        }
        _ => String::new(),
    }
}

/// The refusal in an answer. `None`: dunlin did not send it.
fn refused(status: u16, mut answer: impl Read) -> Option<CtlError> {
    let mut text = String::new();
    // only the operator reads it
    let _cut_off = answer.read_to_string(&mut text);
    let value: Value = serde_json::from_str(&text).ok()?;
    let word = |name: &str| value[name].as_str().map(str::to_owned);
    Some(CtlError::Refused { status, code: word("code")?, detail: word("detail").unwrap_or_default() })
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
fn configured(config: &Config, ctl: &Ctl, file: Option<PathBuf>) -> Result<Place, CtlError> {
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
    place.ok_or_else(|| match (config.http_addresses().is_empty(), &config.mosquitto_conf) {
        // port 0
        (false, _) => CtlError::UnknownPort,
        (true, Some(file)) => {
            CtlError::Nowhere(format!(" in {}", file.with_file_name("dunlin.d").join("http.toml").display()))
        }
        (true, None) => CtlError::Nowhere(file.map_or_else(String::new, |file| format!(" in {}", file.display()))),
    })
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

    #[test]
    fn a_failed_connection_has_a_tip() {
        let table = [
            (io::ErrorKind::ConnectionRefused, From::Default, false, "-c FILE"),
            (
                io::ErrorKind::ConnectionRefused,
                From::File("two.toml".into()),
                false,
                "is the broker of two.toml running?",
            ),
            (io::ErrorKind::NotFound, From::Url, true, "is a broker running there?"),
            (io::ErrorKind::PermissionDenied, From::Url, true, "http.mode"),
        ];
        for (error, from, is_unix, expected) in table {
            let tip = tip(error, &from, is_unix);
            assert!(tip.contains(expected), "{error} {from:?}: {tip}");
        }
        assert_eq!(tip(io::ErrorKind::TimedOut, &From::Url, false), "");
    }
}
