//! [`Options`]: what a bridge is asked to do, as the server makes it of the configuration.

use std::{path::PathBuf, time::Duration};

use crate::{
    outbound::{Target, TlsOptions},
    session::Bound,
    types::{QoS, Secret},
};

/// What a bridge is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// The other broker's addresses.
    pub targets: Vec<Target>,
    /// How TLS is spoken with it.
    pub tls: TlsOptions,
    /// What passes, in the order in which it is looked for.
    pub topics: Vec<Topic>,
    /// Client Identifier there.
    pub client_id: String,
    /// User Name there.
    pub username: Option<String>,
    /// The password there.
    pub password: Option<Secret>,
    /// A file with that.
    pub password_file: Option<PathBuf>,
    /// Which versions of MQTT are tried.
    pub versions: Versions,
    /// A connection begins without Session State.
    pub clean_session: bool,
    /// Session Expiry Interval of MQTT 5, in seconds.
    pub session_expiry: u32,
    /// Keep Alive in seconds.
    pub keep_alive: u16,
    /// How much waits for it.
    pub queue: Bound,
    /// When it connects.
    pub start: Start,
    /// The shortest and the longest wait before it connects again.
    pub reconnect: (Duration, Duration),
    /// It stays with an address that works.
    pub round_robin: bool,
    /// Where its state is published.
    pub notify: Notify,
    /// To which topic.
    pub notification_topic: String,
    /// Message Expiry Interval of what it sends, in seconds, at most.
    pub expiry: Option<u32>,
    /// Messages that it sends in a second, at most.
    pub rate: Option<u32>,
    /// What it sends keeps RETAIN.
    pub outgoing_retain: bool,
    /// Bytes of a packet that it sends, at most.
    pub max_packet_size: Option<usize>,
    /// It says that it is a bridge.
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
    /// When so many messages wait, until nothing passes for so long.
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

/// What passes, and how it is called on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Behind the prefixes; empty: these are the topics themselves.
    pub pattern: String,
    /// Which way.
    pub passes: Passes,
    /// The highest QoS.
    pub qos: QoS,
    /// In front of it here.
    pub local: String,
    /// In front of it there.
    pub remote: String,
}

/// Which way a topic passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passes {
    /// From here to the other broker.
    pub out: bool,
    /// From the other broker to here.
    pub into: bool,
}
