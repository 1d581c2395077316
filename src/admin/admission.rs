//! [`Rules`]: who may do what, as the configuration says.

use std::path::PathBuf;

use crate::types::Role;

/// Who may do what.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// No login is configured anywhere: programs on this machine are let in without one.
    pub open: bool,
    /// Users who may log in, with their roles.
    pub users: Vec<(String, Role)>,
    /// Are metrics read without a login?
    pub metrics_open: bool,
    /// Names of this server, in small letters, beside those of loopback.
    pub allowed_hosts: Vec<String>,
    /// Is the web console served?
    pub console: bool,
    /// Are clients of MQTT served that ask for a WebSocket?
    pub mqtt: bool,
    /// Where its files are, unless in the binary.
    pub console_dir: Option<PathBuf>,
}
