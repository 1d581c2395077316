//! [`Rules`]: who may do what, as the configuration says.

use std::{
    fmt,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::types::Role;

/// Who may do what.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// No login is configured anywhere: programs on this machine are let in without one.
    pub open: bool,
    /// Users who may log in, with their roles.
    pub users: Vec<(String, Role)>,
    /// Keys by which programs may log in; `None`: none are configured.
    pub keys: Option<Vec<Key>>,
    /// How long a refusal is delayed.
    pub delay: Delay,
    /// Are metrics read without a login?
    pub metrics_open: bool,
    /// Names of this server, in small letters, beside those of loopback.
    pub allowed_hosts: Vec<String>,
    /// Messages that take less time to their acknowledgement are not slow.
    pub slow_threshold: Duration,
    /// Is the web console served?
    pub console: bool,
    /// Are clients of MQTT served that ask for a WebSocket?
    pub mqtt: bool,
    /// Where its files are, unless in the binary.
    pub console_dir: Option<PathBuf>,
}

/// What is known of a key by which programs log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The name of the key.
    pub name: String,
    /// What a program that has it may do.
    pub role: Role,
    /// SHA-256 of the key.
    pub digest: [u8; 32],
    /// When it expires; `None`: never.
    pub expires: Option<SystemTime>,
}

/// How long the refusal of a wrong key is delayed, by where it came from; `None`: too many are delayed already.
#[derive(Clone)]
pub struct Delay(pub Arc<dyn Fn(IpAddr) -> Option<Duration> + Send + Sync>);

impl Default for Delay {
    fn default() -> Self {
        Self(Arc::new(|_| Some(Duration::ZERO)))
    }
}

impl fmt::Debug for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delay")
    }
}
