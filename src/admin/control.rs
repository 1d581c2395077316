//! [`Control`]: what the HTTP side asks the server to do, or to tell.

use std::{
    net::{SocketAddr, TcpStream},
    pin::Pin,
    time::SystemTime,
};

use crate::types::Role;

/// Serves MQTT on a socket from which nothing was read: with its peer, and whether it came on an address of loopback.
pub type TakeSocket = Box<dyn Fn(TcpStream, SocketAddr, bool) + Send + Sync>;

/// What the server tells and does for the HTTP side.
pub trait Control: Send + Sync {
    /// The listeners that are open: number, and address.
    fn listeners(&self) -> Vec<(u16, String)>;

    /// The configuration in force, but for secrets.
    fn settings(&self) -> Vec<Setting>;

    /// Tells one configuration from another.
    fn digest(&self) -> String;

    /// Is this text a configuration? What it would change, a line each; or what is wrong.
    fn check(&self, text: &str) -> Result<Vec<String>, String>;

    /// May this client do this, by the rules in force, and why? `None`: there are none to look at.
    fn explain(&self, asked: &Asked<'_>) -> Option<(bool, String)>;

    /// Has the configuration read again: what changed, a line each, or why it stays. `None`: nobody reads it.
    fn reload(&self) -> Reloading;

    /// Makes a key, and has it let programs in from now on.
    fn add_key(&self, name: String, role: Role, expires: Option<SystemTime>) -> Doing<AddedKey>;

    /// Deletes a key: it lets no program in any more.
    fn delete_key(&self, name: String) -> Doing<()>;
}

/// A file is edited.
pub type Doing<T> = Pin<Box<dyn Future<Output = Result<T, FileProblem>> + Send>>;

/// Why a file stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileProblem {
    /// The configuration names none: the key that would.
    NotConfigured(&'static str),
    /// It may not be written: its path, and what the system says.
    ReadOnly(String),
    /// What is asked for is not possible.
    Invalid(String),
    /// There is none of that name.
    Unknown(String),
    /// There is one of that name.
    Exists(String),
    /// What is configured cannot be read, or not be put in force.
    Broken(String),
}

/// A key that was made.
#[derive(Clone, Debug)]
pub struct AddedKey {
    /// What lets a program in; it is in no file.
    pub key: String,
    /// When it expires, to the second.
    pub expires: Option<SystemTime>,
}

/// A configuration is read again.
pub type Reloading = Pin<Box<dyn Future<Output = Option<Result<Vec<String>, String>>> + Send>>;

/// One key of the configuration.
#[derive(Clone, Debug)]
pub struct Setting {
    /// With its table.
    pub key: String,
    /// As TOML.
    pub value: String,
    /// The file, the variable or the flags; `None`: the default.
    pub from: Option<String>,
}

/// What is asked of rules.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `None`: an anonymous client.
    pub user: Option<&'a str>,
    /// Client Identifier.
    pub client: &'a str,
    /// Otherwise to subscribe.
    pub publish: bool,
    /// Topic Name, or Topic Filter.
    pub topic: &'a str,
}
