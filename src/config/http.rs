//! The `[http]` table: addresses, logins and features of HTTP, and the forms of its values.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::DeValue;

use super::{
    forms::{Form, Misfit, quoted},
    listen::ListenAddress,
    lists::{Text, texts},
};
use crate::types::{Endpoint, Role, Transport};

/// Health checks, metrics, the admin API and the console over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpConfig {
    /// Addresses; for the default see [`Config::http_addresses`](super::Config::http_addresses).
    pub listen: HttpAddresses,
    /// The permission bits of the files of Unix sockets.
    pub mode: u32,
    /// TLS: the certificate chain, PEM, the broker's own first.
    pub certificate_file: Option<PathBuf>,
    /// TLS: the private key of that certificate, PEM.
    pub key_file: Option<PathBuf>,
    /// Keys of programs.
    pub keys_file: Option<PathBuf>,
    /// Users that may log in.
    pub users: Vec<HttpUser>,
    /// File of the audit log, which records writing requests.
    pub audit_file: Option<PathBuf>,
    /// Are metrics read without a login?
    pub metrics_open: bool,
    /// Hosts of requests that are answered, besides those of loopback.
    pub allowed_hosts: Vec<String>,
    /// Is the web console served?
    pub console: bool,
    /// May WebSocket clients connect to MQTT there? `None`: see
    /// [`Config::http_takes_mqtt`](super::Config::http_takes_mqtt).
    pub mqtt: Option<bool>,
    /// A directory from which the console's files are read at each request, instead of the binary.
    pub console_dir: Option<PathBuf>,
    /// Messages that take longer from publication to acknowledgement are slow.
    pub slow_threshold: Duration,
    /// Addresses with health checks only.
    pub health: HttpAddresses,
    /// Time between the first negative readiness check and the close of the listeners.
    pub drain_delay: Duration,
}

/// Addresses and Unix sockets; none means "off".
#[derive(Clone, Default, PartialEq)]
pub struct HttpAddresses(pub Vec<ListenAddress>);

/// A user of the password file, with a role for HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUser {
    /// The user name.
    pub name: String,
    /// The role.
    pub role: Role,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: HttpAddresses(vec![(&Endpoint::Ip(([127, 0, 0, 1], 9883).into())).into()]),
            mode: 0o600,
            certificate_file: None,
            key_file: None,
            keys_file: None,
            users: Vec::new(),
            audit_file: None,
            metrics_open: false,
            allowed_hosts: Vec::new(),
            console: true,
            mqtt: None,
            console_dir: None,
            slow_threshold: Duration::from_millis(500),
            health: HttpAddresses::default(),
            drain_delay: Duration::ZERO,
        }
    }
}

impl HttpAddresses {
    /// Makes relative paths of Unix sockets relative to `directory`.
    pub(super) fn relative_to(&mut self, directory: &Path) {
        self.0.iter_mut().for_each(|address| address.relative_to(directory));
    }
}

impl fmt::Debug for HttpAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Addresses.write(self))
    }
}

impl fmt::Debug for HttpUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&user_text(self))
    }
}

/// One address or several, or "off".
pub(super) struct Addresses;

impl Form for Addresses {
    type Value = HttpAddresses;

    fn expected(&self) -> String {
        "an address and a port such as \"127.0.0.1:9883\", or \"off\"".into()
    }

    fn allowed(&self) -> String {
        "an IP address and a port, or \"localhost:9883\" for the loopback of IPv4 and IPv6; \"unix:/path\" for a Unix \
         socket; a list of these; \"off\""
            .into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<HttpAddresses, Misfit> {
        let texts = texts(written)?;
        let off = matches!(texts[..], [off] if off.eq_ignore_ascii_case("off"));
        let texts = if off { &[][..] } else { &texts[..] };
        texts.iter().map(|text| address(text)).collect::<Result<_, _>>().map(HttpAddresses)
    }

    fn write(&self, value: &HttpAddresses) -> String {
        match &value.0[..] {
            [] => "\"off\"".into(),
            [one] => Text("").write(&one.to_string()),
            several => {
                let all: Vec<_> = several.iter().map(|one| Text("").write(&one.to_string())).collect();
                format!("[{}]", all.join(", "))
            }
        }
    }
}

fn address(text: &str) -> Result<ListenAddress, Misfit> {
    let said = |problem: String| Misfit::Said(problem);
    let address: ListenAddress = text.parse().map_err(|error: super::ListenAddressError| said(error.to_string()))?;
    let is_passed = text.contains("systemd:");
    match address.transport() {
        _ if is_passed => Err(said(format!("{} is for listeners of MQTT alone; write an address", quoted(text)))),
        None if !address.has_port() => Err(said(format!("{} has no port; write one, such as \":9883\"", quoted(text)))),
        None | Some(Transport::Unix) => Ok(address),
        Some(_) => Err(said(format!("{} names a transport of MQTT; write the address and the port", quoted(text)))),
    }
}

/// Users with their roles.
pub(super) struct Users;

impl Form for Users {
    type Value = Vec<HttpUser>;

    fn expected(&self) -> String {
        "a list, in brackets, of users with their roles, such as \"alice:admin\"".into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Vec<HttpUser>, Misfit> {
        let mut users = Vec::<HttpUser>::new();
        for text in texts(written)? {
            let role = |word: &str| Role::ALL.into_iter().find(|role| role.name() == word);
            // a user name may contain colons
            let user = text.rsplit_once(':').and_then(|(name, word)| Some((name, role(word)?)));
            let (name, role) = user.filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                Misfit::Said(format!(
                    "{} is not a user and a role; write NAME:viewer, NAME:operator or NAME:admin",
                    quoted(text)
                ))
            })?;
            if users.iter().any(|user| user.name == name) {
                return Err(Misfit::Said(format!("user {} appears twice; remove one", quoted(name))));
            }
            users.push(HttpUser { name: name.into(), role });
        }
        Ok(users)
    }

    fn write(&self, value: &Vec<HttpUser>) -> String {
        list(value.iter().map(user_text))
    }
}

fn user_text(user: &HttpUser) -> String {
    format!("{}:{}", user.name, user.role.name())
}

/// Hosts, without ports.
pub(super) struct Hosts;

impl Form for Hosts {
    type Value = Vec<String>;

    fn expected(&self) -> String {
        "a list, in brackets, of names such as \"broker.example.org\"".into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Vec<String>, Misfit> {
        let host = |text: &str| match text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == '/') {
            true => Err(Misfit::Said(format!("{} is not a host name; write one without http://", quoted(text)))),
            false => Ok(text.to_ascii_lowercase()),
        };
        texts(written)?.into_iter().map(host).collect()
    }

    fn write(&self, value: &Vec<String>) -> String {
        list(value.iter().cloned())
    }
}

fn list(texts: impl Iterator<Item = String>) -> String {
    format!("[{}]", texts.map(|text| Text("").write(&text)).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, parse};
    use super::*;

    fn http(text: &str) -> Result<HttpConfig, String> {
        parse(&format!("[http]\n{text}"), "test").map(|config| config.http).map_err(|error| error.to_string())
    }

    #[test]
    fn http_addresses_are_parsed() {
        let listens = |text: &str| Addresses.write(&http(&format!("listen = {text}")).unwrap().listen);
        let table = [
            ("\"off\"", "\"off\""),
            ("[]", "\"off\""),
            ("\"127.0.0.1:0\"", "\"127.0.0.1:0\""),
            ("\"unix:/run/a.sock\"", "\"unix:/run/a.sock\""),
            ("[\"localhost:9\", \"[::1]:8\"]", "[\"localhost:9\", \"[::1]:8\"]"),
            ("\"localhost:9, [::1]:8\"", "[\"localhost:9\", \"[::1]:8\"]"),
        ];
        for (written, expected) in table {
            assert_eq!(listens(written), expected, "{written}");
        }
    }

    #[test]
    fn an_invalid_http_setting_is_refused_with_an_instruction() {
        let table = [
            ("listen = 5", "or \"off\", found"),
            ("listen = \"tls://127.0.0.1:1\"", "write the address and the port"),
            ("listen = \"127.0.0.1\"", "has no port"),
            ("listen = \"systemd:http\"", "for listeners of MQTT alone"),
            ("users = [\"alice\"]", "write NAME:viewer"),
            ("users = [\"alice:root\"]", "write NAME:viewer"),
            ("users = [\"a:viewer\", \"a:admin\"]", "appears twice"),
            ("allowed_hosts = [\"http://a\"]", "not a host name"),
            ("keys_file = 5", "found"),
        ];
        for (text, expected) in table {
            let error = http(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        for users in ["[\"a:b:viewer\", \"c:admin\"]", "\"a:b:viewer, c:admin\"", "'[\"a:b:viewer\", \"c:admin\"]'"] {
            let users = http(&format!("users = {users}")).unwrap().users;
            assert_eq!(format!("{users:?}"), "[a:b:viewer, c:admin]");
        }
    }

    #[test]
    fn port_0_of_a_listener_turns_only_the_default_http_address_off() {
        assert_eq!(Config::default().http_addresses().len(), 1);
        assert_eq!(Config::ephemeral().http_addresses(), []);
        let written = parse("[http]\nlisten = \"127.0.0.1:9883\"\n[[listener]]\naddress = \"127.0.0.1:0\"", "a");
        assert_eq!(written.unwrap().http_addresses().len(), 1);
    }
}
