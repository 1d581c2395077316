//! The `[[bridge]]` tables: the settings of a bridge to another broker ([`BridgeConfig`]), the forms of its addresses
//! and topics, and their consistency ([`check`]).

use std::{fmt, marker::PhantomData, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use toml::de::DeValue;

use super::{
    forms::{Form, Misfit, quoted},
    lists::{Text, texts},
};
use crate::types::{QoS, QueueFull, Secret, Transport};

/// A bridge to another broker.
#[derive(Clone, Debug, PartialEq)]
pub struct BridgeConfig {
    /// Its name, which is unique.
    pub name: String,
    /// Addresses of the other broker, in the order in which they are tried.
    pub addresses: Vec<RemoteAddress>,
    /// The topics that it forwards.
    pub topics: Vec<BridgeTopic>,
    /// Client Identifier at the other broker; `None`: made from the machine's name and the bridge's name.
    pub client_id: Option<String>,
    /// User Name at the other broker.
    pub username: Option<String>,
    /// Password at the other broker.
    pub password: Option<Secret>,
    /// A file with that password, which is read at each connect.
    pub password_file: Option<PathBuf>,
    /// MQTT version.
    pub protocol: BridgeProtocol,
    /// Does each connection begin without Session State?
    pub clean_session: bool,
    /// Session Expiry Interval at the other broker (MQTT 5); `None`: never.
    pub session_expiry: Option<Duration>,
    /// TLS: the authorities that sign the other broker's certificate, PEM.
    pub ca_file: Option<PathBuf>,
    /// TLS: the client's certificate, PEM.
    pub certificate_file: Option<PathBuf>,
    /// TLS: its private key, PEM.
    pub key_file: Option<PathBuf>,
    /// TLS: the protocol that is offered by Application-Layer Protocol Negotiation.
    pub alpn: Option<String>,
    /// TLS: is the host name not compared with the certificate?
    pub insecure: bool,
    /// Time without traffic after which PINGREQ is sent.
    pub keep_alive: Duration,
    /// Largest number of queued messages.
    pub queue_messages: usize,
    /// Largest size of the queued messages in bytes.
    pub queue_bytes: usize,
    /// The message that is dropped when the queue is full.
    pub queue_full: QueueFull,
    /// When it connects.
    pub start: BridgeStart,
    /// With [`BridgeStart::Lazy`]: the number of queued messages at which it connects.
    pub threshold: usize,
    /// With [`BridgeStart::Lazy`]: the time without traffic after which it disconnects.
    pub idle_timeout: Duration,
    /// The shortest wait before a reconnect.
    pub reconnect_min: Duration,
    /// The longest wait before a reconnect.
    pub reconnect_max: Duration,
    /// Does it stay with an address that works, instead of returning to the first?
    pub round_robin: bool,
    /// Where the state of the connection is published.
    pub notifications: Notifications,
    /// Topic of that message.
    pub notification_topic: Option<String>,
    /// Largest Message Expiry Interval of messages that it sends.
    pub expiry: Option<Duration>,
    /// Most messages that it sends in a second.
    pub rate: Option<u32>,
    /// Do messages that it sends keep RETAIN?
    pub outgoing_retain: bool,
    /// Are retained messages cleared here that came from the other broker and are missing there?
    pub clear_missing_retained: bool,
    /// Largest packet that it sends, in bytes.
    pub max_packet_size: Option<usize>,
    /// The local address of its connections.
    pub bind_address: Option<IpAddr>,
    /// Does it announce itself as a bridge (MQTT 3.1.1)?
    pub try_private: bool,
    /// Where it is written, for errors that only its files or other settings show.
    pub written: WrittenAt,
}

/// The places of a table's keys in a file. All places are equal: they are not settings.
#[derive(Clone, Debug, Default)]
pub struct WrittenAt {
    /// File, line and key of each; of a `mosquitto.conf`, file, line and option.
    keys: Vec<(String, String)>,
}

impl WrittenAt {
    pub(super) fn new(keys: Vec<(String, String)>) -> Self {
        Self { keys }
    }

    /// The beginning of an error about a key of a `[[bridge]]`: file, line and key. Empty if it is in no file.
    pub fn of(&self, key: &str) -> String {
        let at = self.keys.iter().find(|(name, _)| name == key);
        at.map_or_else(String::new, |(_, at)| format!("{at}: "))
    }
}

impl PartialEq for WrittenAt {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// MQTT version of a bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BridgeProtocol {
    /// 5, or 3.1.1 if the other broker refuses 5.
    #[default]
    Auto,
    /// 5.
    V5,
    /// 3.1.1.
    V311,
}

/// When a bridge connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BridgeStart {
    /// At the start, and after each lost connection.
    #[default]
    Automatic,
    /// When enough messages are queued.
    Lazy,
    /// At the start, and not again after a lost connection.
    Once,
}

/// Where the state of a bridge is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notifications {
    /// At both brokers.
    #[default]
    Both,
    /// Only here.
    Local,
    /// Nowhere.
    Off,
}

/// Direction of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the other broker.
    Out,
    /// From the other broker.
    In,
    /// In both directions.
    Both,
}

/// A topic of a bridge in mosquitto's syntax: `pattern [out|in|both [qos [local-prefix [remote-prefix]]]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeTopic {
    /// Follows the prefixes; if empty, the prefixes are the topics themselves.
    pub pattern: String,
    /// Direction.
    pub direction: Direction,
    /// The highest QoS.
    pub qos: QoS,
    /// The local prefix.
    pub local: String,
    /// The remote prefix.
    pub remote: String,
}

/// An address of the other broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteAddress {
    /// The protocol below MQTT.
    pub transport: Transport,
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// WebSocket: the path.
    pub path: String,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            addresses: Vec::new(),
            topics: Vec::new(),
            client_id: None,
            username: None,
            password: None,
            password_file: None,
            protocol: BridgeProtocol::default(),
            clean_session: false,
            session_expiry: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            alpn: None,
            insecure: false,
            keep_alive: Duration::from_secs(60),
            queue_messages: 100_000,
            queue_bytes: 256 << 20,
            queue_full: QueueFull::DropNewest,
            start: BridgeStart::default(),
            threshold: 10,
            idle_timeout: Duration::from_secs(60),
            reconnect_min: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(60),
            round_robin: false,
            notifications: Notifications::default(),
            notification_topic: None,
            expiry: None,
            rate: None,
            outgoing_retain: true,
            clear_missing_retained: false,
            max_packet_size: None,
            bind_address: None,
            try_private: true,
            written: WrittenAt::default(),
        }
    }
}

impl BridgeTopic {
    /// The filter of outgoing messages, or the topics of incoming ones.
    pub fn local_filter(&self) -> String {
        format!("{}{}", self.local, self.pattern)
    }

    /// The same at the other broker.
    pub fn remote_filter(&self) -> String {
        format!("{}{}", self.remote, self.pattern)
    }
}

impl Direction {
    /// Does it include messages to the other broker?
    pub fn is_out(self) -> bool {
        self != Self::In
    }

    /// Does it include messages from the other broker?
    pub fn is_in(self) -> bool {
        self != Self::Out
    }
}

/// As mosquitto parses it, except that a sixth word is an error.
impl FromStr for BridgeTopic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = words(text)?;
        let unquoted = |word: &str| if word == "\"\"" { String::new() } else { word.to_owned() };
        let at = |n: usize| words.get(n).copied();
        let pattern = unquoted(at(0).ok_or("a topic has a pattern such as \"sensors/#\"; write one")?);
        let direction = match at(1).map(str::to_ascii_lowercase).as_deref() {
            None | Some("out") => Direction::Out,
            Some("in") => Direction::In,
            Some("both") => Direction::Both,
            Some(other) => return Err(format!("{} is not a direction; write out, in or both", quoted(other))),
        };
        let qos = match at(2) {
            None => QoS::AtMostOnce,
            Some(word) => word
                .parse()
                .ok()
                .and_then(QoS::from_bits)
                .ok_or_else(|| format!("{} is not a QoS; write 0, 1 or 2", quoted(word)))?,
        };
        let topic = Self {
            pattern,
            direction,
            qos,
            local: at(3).map(unquoted).unwrap_or_default(),
            remote: at(4).map(unquoted).unwrap_or_default(),
        };
        if let Some(more) = at(5) {
            return Err(format!(
                "{} is one word too many; write pattern, direction, QoS, local prefix and remote prefix",
                quoted(more)
            ));
        }
        topic.check().map(|()| topic)
    }
}

/// The words of a topic; a word in quotation marks may contain blanks.
fn words(text: &str) -> Result<Vec<&str>, String> {
    let (mut words, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            None => rest.split_once(' ').unwrap_or((rest, "")),
            Some("") => return Err("a closing quotation mark is missing".into()),
            Some(quoted) if quoted.starts_with('"') => ("\"\"", &quoted[1..]),
            Some(quoted) => quoted.split_once('"').ok_or("a quotation mark is missing at the end of a word")?,
        };
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

impl BridgeTopic {
    /// Checks the eight combinations of a pattern and two prefixes, three of which are invalid, and whether the results
    /// are Topic Filters, or Topic Names for prefixes.
    fn check(&self) -> Result<(), String> {
        let Self { pattern, local, remote, .. } = self;
        for (prefix, which) in [(local, "local"), (remote, "remote")] {
            if prefix.contains(['#', '+']) {
                return Err(format!("the {which} prefix {} has a wildcard in it; take it out", quoted(prefix)));
            }
        }
        if pattern.is_empty() {
            return match (local.is_empty(), remote.is_empty()) {
                (false, false) => Ok(()),
                (true, true) => Err("an empty pattern needs both prefixes: write the topics as prefixes".into()),
                (true, false) => Err("an empty pattern needs the local prefix: write the topic at this broker".into()),
                (false, true) => {
                    Err("an empty pattern needs the remote prefix: write the topic at the other broker".into())
                }
            };
        }
        for filter in [self.local_filter(), self.remote_filter()] {
            check_filter(&filter)?;
        }
        Ok(())
    }
}

fn check_filter(filter: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{} {what}", quoted(filter)));
    if filter.len() > usize::from(u16::MAX) || filter.contains('\0') {
        return wrong("is not a Topic Filter: it is too long, or has a NUL character in it");
    }
    if filter.starts_with("$share/") {
        return wrong("is a shared subscription, which a bridge cannot have; write the filter alone");
    }
    let levels: Vec<_> = filter.split('/').collect();
    for (at, level) in levels.iter().enumerate() {
        if level.contains('#') && (*level != "#" || at + 1 < levels.len()) {
            return wrong("has a # that is not the whole last level");
        }
        if level.contains('+') && *level != "+" {
            return wrong("has a + that is not a whole level");
        }
    }
    Ok(())
}

impl fmt::Display for BridgeTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |text: &str| match text.is_empty() || text.contains(' ') {
            true => format!("\"{text}\""),
            false => text.into(),
        };
        let direction = match self.direction {
            Direction::Out => "out",
            Direction::In => "in",
            Direction::Both => "both",
        };
        write!(f, "{} {direction} {}", word(&self.pattern), self.qos as u8)?;
        match (self.local.as_str(), self.remote.as_str()) {
            ("", "") => Ok(()),
            (local, "") => write!(f, " {}", word(local)),
            (local, remote) => write!(f, " {} {}", word(local), word(remote)),
        }
    }
}

impl FromStr for RemoteAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{} is not an address; write one such as \"broker.example.org:1883\"", quoted(text));
        let (transport, rest) = match text.split_once("://") {
            None => (Transport::Tcp, text),
            Some(("mqtt" | "tcp", rest)) => (Transport::Tcp, rest),
            Some(("mqtts" | "tls" | "ssl", rest)) => (Transport::Tls, rest),
            Some(("ws", rest)) => (Transport::Ws, rest),
            Some(("wss", rest)) => (Transport::Wss, rest),
            Some(_) => {
                let known = "mqtt://, mqtts://, ws:// or wss://";
                return Err(format!("{} does not begin with a known transport; write {known}", quoted(text)));
            }
        };
        let (place, path) = match rest.find('/') {
            Some(at) if transport.has_websocket() => rest.split_at(at),
            _ => (rest, if transport.has_websocket() { "/mqtt" } else { "" }),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(v6) => {
                let (host, after) = v6.split_once(']').ok_or_else(wrong)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
                (
                    host,
                    after
                        .strip_prefix(':')
                        .map_or(if after.is_empty() { Ok(None) } else { Err(wrong()) }, |p| Ok(Some(p)))?,
                )
            }
            None => match place.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => {
                    return Err(format!("{} has an IPv6 address without brackets; write [::1]:1883", quoted(text)));
                }
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control() || "/#?@".contains(c)) {
            return Err(wrong());
        }
        let port = match port {
            None => transport.default_port(),
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| format!("{} has no valid port; allowed: 1 to 65535", quoted(text)))?,
        };
        Ok(Self { transport, host: host.into(), port, path: path.into() })
    }
}

impl fmt::Display for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transport, host, port, path } = self;
        let scheme = match transport {
            Transport::Tls => "mqtts://",
            Transport::Ws => "ws://",
            Transport::Wss => "wss://",
            Transport::Tcp | Transport::Unix => "",
        };
        match host.contains(':') {
            true => write!(f, "{scheme}[{host}]:{port}{path}"),
            false => write!(f, "{scheme}{host}:{port}{path}"),
        }
    }
}

/// A list of values that are each parsed from a text.
pub(super) struct Parsed<T> {
    example: &'static str,
    of: PhantomData<T>,
}

impl<T> Parsed<T> {
    /// With an example for messages.
    pub const fn of(example: &'static str) -> Self {
        Self { example, of: PhantomData }
    }
}

impl<T: FromStr<Err = String> + fmt::Display> Form for Parsed<T> {
    type Value = Vec<T>;

    fn expected(&self) -> String {
        format!("a list, in brackets, of texts such as {:?}", self.example)
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Vec<T>, Misfit> {
        let texts = match written.as_str() {
            Some(one) => vec![one],
            None => texts(written)?,
        };
        texts.into_iter().map(|text| text.parse().map_err(Misfit::Said)).collect()
    }

    fn write(&self, value: &Vec<T>) -> String {
        format!("[{}]", value.iter().map(|one| Text("").write(&one.to_string())).collect::<Vec<_>>().join(", "))
    }
}

/// The name of a bridge: it becomes a level of topics and a part of a Client Identifier.
pub(super) struct Name;

impl Form for Name {
    type Value = String;

    fn expected(&self) -> String {
        "a name such as \"centre\"".into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<String, Misfit> {
        let name = written.as_str().ok_or(Misfit::Kind)?;
        let is_odd = |c: char| c.is_control() || c.is_whitespace() || "/#+$\"".contains(c);
        match name.len() > 200 || name.contains(is_odd) {
            true => Err(Misfit::Said(format!(
                "{} is not a name; write one without blanks and the characters / # + $, of 200 bytes at most",
                quoted(name)
            ))),
            false => Ok(name.into()),
        }
    }

    fn write(&self, value: &String) -> String {
        Text("").write(value)
    }
}

/// A local address; the empty text means none.
pub(super) struct OwnAddress;

impl Form for OwnAddress {
    type Value = Option<IpAddr>;

    fn expected(&self) -> String {
        "an IP address such as \"192.0.2.7\", or \"\" for any".into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Self::Value, Misfit> {
        match written.as_str().ok_or(Misfit::Kind)? {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| Misfit::Said(format!("{} is not an IP address", quoted(text)))),
        }
    }

    fn write(&self, value: &Self::Value) -> String {
        Text("").write(&value.map(|address| address.to_string()).unwrap_or_default())
    }
}

/// Checks the settings for conflicts. Returns the first key and what to do.
pub(super) fn check(bridge: &BridgeConfig) -> Result<(), (&'static str, &'static str)> {
    let tls = bridge.addresses.iter().any(|address| address.transport.has_tls());
    let of_tls = [
        ("ca_file", bridge.ca_file.is_some()),
        ("certificate_file", bridge.certificate_file.is_some()),
        ("key_file", bridge.key_file.is_some()),
        ("alpn", bridge.alpn.is_some()),
        ("insecure", bridge.insecure),
    ];
    let without_tls = of_tls.iter().find(|(_, set)| *set && !tls);
    let local = bridge.topics.iter().any(|topic| topic.direction.is_out());
    let checks = [
        (bridge.name.is_empty(), "name", "a bridge needs a name; write one such as name = \"centre\""),
        (
            bridge.addresses.is_empty(),
            "addresses",
            "the address of the other broker is missing; write addresses = [\"broker.example.org:1883\"]",
        ),
        (bridge.topics.is_empty(), "topics", "no topic is forwarded; write topics = [\"sensors/# out 1\"]"),
        (
            bridge.certificate_file.is_some() && bridge.key_file.is_none(),
            "certificate_file",
            "its key is missing; write key_file = \"FILE\" too",
        ),
        (
            bridge.key_file.is_some() && bridge.certificate_file.is_none(),
            "key_file",
            "its certificate is missing; write certificate_file = \"FILE\" too",
        ),
        (
            bridge.password.is_some() && bridge.password_file.is_some(),
            "password",
            "password_file is set too; remove one",
        ),
        (
            (bridge.password.is_some() || bridge.password_file.is_some()) && bridge.username.is_none(),
            if bridge.password.is_some() { "password" } else { "password_file" },
            "a password needs a user name; write username = \"NAME\" too",
        ),
        (
            bridge.reconnect_max < bridge.reconnect_min,
            "reconnect_max",
            "it is shorter than reconnect_min; write a longer time",
        ),
        (
            bridge.start == BridgeStart::Lazy && !local,
            "start",
            "a lazy bridge connects when messages wait to go out, and no topic goes out; write \"automatic\"",
        ),
    ];
    if let Some((key, _)) = without_tls {
        return Err((key, "it is for TLS; write the address with mqtts:// (or wss://) in front"));
    }
    checks.into_iter().find(|(wrong, ..)| *wrong).map_or(Ok(()), |(_, key, problem)| Err((key, problem)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(text: &str) -> Result<BridgeTopic, String> {
        text.parse()
    }

    /// The eight combinations of pattern and prefixes.
    #[test]
    fn the_combinations_of_pattern_and_prefixes_of_a_bridge_topic() {
        let table = [
            ("a out 0 l/ r/", Some(("l/a", "r/a"))),
            ("a out 0 l/", Some(("l/a", "a"))),
            ("a out 0 \"\" r/", Some(("a", "r/a"))),
            ("a", Some(("a", "a"))),
            ("\"\" out 0 l r", Some(("l", "r"))),
            ("\"\" out 0 l", None),
            ("\"\" out 0 \"\" r", None),
            ("\"\"", None),
        ];
        for (text, expected) in table {
            let read = topic(text).ok();
            let filters = read.as_ref().map(|topic| (topic.local_filter(), topic.remote_filter()));
            assert_eq!(filters.as_ref().map(|(l, r)| (l.as_str(), r.as_str())), expected, "{text}");
            if let Some(read) = read {
                assert_eq!(topic(&read.to_string()), Ok(read), "{text}");
            }
        }
    }

    #[test]
    fn a_quoted_word_of_a_bridge_topic_may_contain_blanks() {
        let read = topic("\"a b/#\" BOTH 2 \"l \" r/").unwrap();
        assert_eq!((read.pattern.as_str(), read.local.as_str(), read.remote.as_str()), ("a b/#", "l ", "r/"));
        assert_eq!((read.direction, read.qos), (Direction::Both, QoS::ExactlyOnce));
        assert_eq!(topic(&read.to_string()), Ok(read));
    }

    #[test]
    fn an_invalid_bridge_topic_is_refused_with_an_instruction() {
        let table = [
            ("", "write one"),
            ("a sideways", "write out, in or both"),
            ("a out 3", "write 0, 1 or 2"),
            ("a out 1 l/ r/ x", "one word too many"),
            ("a out 1 l/# r/", "has a wildcard in it"),
            ("a/#/b", "that is not the whole last level"),
            ("a+ in", "not a whole level"),
            ("# out 1 a", "not the whole last level"),
            ("$share/g/a in", "shared subscription"),
            ("\"a out", "quotation mark is missing"),
        ];
        for (text, expected) in table {
            let error = topic(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn addresses() {
        let table = [
            ("broker", "broker:1883"),
            ("broker:1884", "broker:1884"),
            ("mqtts://broker", "mqtts://broker:8883"),
            ("tls://[::1]:8884", "mqtts://[::1]:8884"),
            ("ws://broker", "ws://broker:8083/mqtt"),
            ("wss://broker:443/ws/v1", "wss://broker:443/ws/v1"),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<RemoteAddress>().unwrap().to_string(), expected);
        }
        for wrong in ["", ":1883", "::1", "::1:1883", "a b", "broker:0", "broker:x", "http://a", "[::1", "[x]:1", "a/b"]
        {
            assert!(wrong.parse::<RemoteAddress>().is_err(), "{wrong}");
        }
    }
}
