//! [`Options`]: the settings of a bridge, which the server makes from the configuration.

use std::{path::PathBuf, time::Duration};

use crate::{
    outbound::{Target, TlsOptions},
    session::Bound,
    types::{QoS, Secret},
};

/// The settings of a bridge.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// The other broker's addresses.
    pub targets: Vec<Target>,
    /// TLS settings.
    pub tls: TlsOptions,
    /// The topics, in order: the first that matches a message decides.
    pub topics: Vec<Topic>,
    /// Client Identifier at the other broker.
    pub client_id: String,
    /// User Name at the other broker.
    pub username: Option<String>,
    /// Password at the other broker.
    pub password: Option<Secret>,
    /// A file with the password.
    pub password_file: Option<PathBuf>,
    /// The versions of MQTT that are tried.
    pub versions: Versions,
    /// Clean Start.
    pub clean_session: bool,
    /// Session Expiry Interval of MQTT 5, in seconds.
    pub session_expiry: u32,
    /// Keep Alive in seconds.
    pub keep_alive: u16,
    /// The limits of the queue.
    pub queue: Bound,
    /// When it connects.
    pub start: Start,
    /// The shortest and the longest time before it reconnects.
    pub reconnect: (Duration, Duration),
    /// After a lost connection it tries the same address again, and not the first one.
    pub round_robin: bool,
    /// Where its connection state is published.
    pub notify: Notify,
    /// The topic of its connection state.
    pub notification_topic: String,
    /// Largest Message Expiry Interval of sent messages in seconds.
    pub expiry: Option<u32>,
    /// The largest number of messages that it sends in a second.
    pub rate: Option<u32>,
    /// Messages keep their RETAIN flag.
    pub outgoing_retain: bool,
    /// Retained messages that came from the other broker and are missing there are cleared here.
    pub clear_missing_retained: bool,
    /// Bytes of the largest packet that it sends.
    pub max_packet_size: Option<usize>,
    /// MQTT 3.1.1: CONNECT announces a bridge.
    pub try_private: bool,
}

/// Which versions of MQTT are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// 5, then 3.1.1.
    Both,
    /// 5.
    Five,
    /// 3.1.1.
    Four,
}

/// When a bridge connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Whenever it is not connected.
    Automatic,
    /// When this number of messages waits; it disconnects after this time without messages.
    Lazy(usize, Duration),
    /// Once.
    Once,
}

/// Where the state of a bridge is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// On both sides.
    Both,
    /// Here.
    Local,
    /// Nowhere.
    Off,
}

/// A topic of a bridge: which messages are sent, and their topics on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// A Topic Filter, to which the prefixes are added; empty: the prefixes are the topics.
    pub pattern: String,
    /// The direction.
    pub passes: Passes,
    /// The highest QoS.
    pub qos: QoS,
    /// The prefix at this broker.
    pub local: String,
    /// The prefix at the other broker.
    pub remote: String,
}

/// The direction of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passes {
    /// From here to the other broker.
    pub out: bool,
    /// From the other broker to here.
    pub into: bool,
}
