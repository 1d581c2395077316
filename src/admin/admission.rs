//! [`Rules`]: logins, roles and further settings of HTTP, as configured.

use std::{
    fmt,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::types::Role;

/// Logins, roles and further settings of HTTP.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// No login is configured anywhere: programs on this machine need none.
    pub open: bool,
    /// Users that may log in, with their roles.
    pub users: Vec<(String, Role)>,
    /// Keys of programs; `None`: `keys_file` is not configured.
    pub keys: Option<Vec<Key>>,
    /// How long a refusal is delayed.
    pub delay: Delay,
    /// Are metrics served without a login?
    pub metrics_open: bool,
    /// Names of this server in lower case, besides those of loopback.
    pub allowed_hosts: Vec<String>,
    /// Messages that are acknowledged within this time are not slow.
    pub slow_threshold: Duration,
    /// Is the web console served?
    pub console: bool,
    /// May WebSocket clients connect to MQTT here?
    pub mqtt: bool,
    /// The folder of its files, unless they are in the binary.
    pub console_dir: Option<PathBuf>,
}

/// A key of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Name of the key.
    pub name: String,
    /// Role of a program that has the key.
    pub role: Role,
    /// SHA-256 of the key.
    pub digest: [u8; 32],
    /// When it expires; `None`: never.
    pub expires: Option<SystemTime>,
}

/// How long the answer to a wrong key from an address is delayed; `None`: too many answers are delayed already.
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
