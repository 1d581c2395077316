//! [`Control`]: the server's operations for HTTP.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    num::NonZeroU32,
    pin::Pin,
    time::{Instant, SystemTime},
};

use bytes::Bytes;

use crate::{
    router::{
        Restored,
        inspect::{Ban, BanTarget},
    },
    types::Role,
};

/// Serves MQTT on a socket from which nothing was read. Arguments: the socket, the peer, and whether it connected to a
/// loopback address.
pub type TakeSocket = Box<dyn Fn(TcpStream, SocketAddr, bool) + Send + Sync>;

/// The server's operations for HTTP.
pub trait Control: Send + Sync {
    /// The open listeners: number and address.
    fn listeners(&self) -> Vec<(u16, String)>;

    /// The bridges to other brokers.
    fn bridges(&self) -> Vec<BridgeState>;

    /// The login services.
    fn login_services(&self) -> Vec<LoginServiceState>;

    /// The keys of tokens that are fetched. `None`: there are none.
    fn token_keys(&self) -> Option<TokenKeysState>;

    /// Pauses or resumes a bridge. `false`: no bridge has this name.
    fn pause_bridge(&self, name: &str, paused: bool) -> bool;

    /// The webhooks.
    fn webhooks(&self) -> Vec<WebhookState>;

    /// The file sinks.
    fn sinks(&self) -> Vec<SinkState>;

    /// The configuration in force, without secrets.
    fn settings(&self) -> Vec<Setting>;

    /// The path of the configuration file, if there is one.
    fn config_file(&self) -> Option<String>;

    /// A digest of the configuration in force.
    fn digest(&self) -> String;

    /// Checks a configuration. Returns what it would change, one line each, or what is wrong.
    fn check(&self, text: &str) -> Result<Vec<String>, String>;

    /// Whether the rules in force allow an action, and why. `None`: there are no rules to look at.
    fn explain(&self, asked: &Asked<'_>) -> Option<(bool, String)>;

    /// Reloads the configuration. Returns what changed, one line each, or the error. `None`: the program does not
    /// support it.
    fn reload(&self) -> Reloading;

    /// Creates a key and accepts it from now on.
    fn add_key(&self, name: String, role: Role, expires: Option<SystemTime>) -> Doing<AddedKey>;

    /// Deletes a key and refuses it from now on.
    fn delete_key(&self, name: String) -> Doing<()>;

    /// The users in the password file, and the file's version.
    fn users(&self) -> Doing<(Vec<UserShown>, String)>;

    /// Sets a user's password. Returns whether the user is new, and the new version.
    fn set_user(&self, name: String, password: NewPassword, expected: Option<String>) -> Doing<(bool, String)>;

    /// Deletes a user. Returns the new version, and the number of its rules in the ACL file.
    fn delete_user(&self, name: String, expected: Option<String>) -> Doing<(String, usize)>;

    /// The content of the ACL file.
    fn rules(&self) -> Doing<RulesShown>;

    /// Edits the ACL file. Returns its new version, and a warning about a rule that is hardly meant.
    fn edit_rules(&self, edit: RuleEdit, expected: Option<String>) -> Doing<(String, Option<String>)>;

    /// Writes stored state and users at one moment to `out`, as lines of JSON. The first line is written when nothing
    /// can fail before the others; the last line marks the export as complete.
    fn export(&self, out: Box<dyn Write + Send>) -> Doing<()>;

    /// Parses and checks the lines of an export.
    fn read_export(&self, text: Bytes, now: Instant) -> Doing<Imported>;

    /// Adds users that do not exist, by lines of a password file. Returns their number.
    fn add_users(&self, lines: Vec<String>) -> Doing<usize>;

    /// Adds a ban and closes the connections that it applies to. Returns their number.
    fn ban(&self, ban: Ban) -> Doing<usize>;

    /// Ends a ban. `false`: there was none.
    fn unban(&self, target: BanTarget) -> Doing<bool>;
}

/// A parsed export.
pub struct Imported {
    /// Stored state.
    pub state: Restored,
    /// Lines of a password file.
    pub users: Vec<String>,
}

/// The result of an operation that may edit a file.
pub type Doing<T> = Pin<Box<dyn Future<Output = Result<T, FileProblem>> + Send>>;

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileProblem {
    /// No file is configured. Contains the configuration key.
    NotConfigured(&'static str),
    /// The file cannot be written. Contains its path and the system's error.
    ReadOnly(String),
    /// The request is not possible.
    Invalid(String),
    /// The name does not exist.
    Unknown(String),
    /// The name exists already.
    Exists(String),
    /// Another writer changed the file. Contains its version.
    Changed(String),
    /// A plug-in of the embedding program decides instead of the file.
    PluggedIn,
    /// The largest number is reached.
    Full(String),
    /// The file cannot be read, or its content cannot be put in force.
    Broken(String),
}

/// A user of the password file.
#[derive(Clone, Debug)]
pub struct UserShown {
    /// The user name.
    pub name: String,
    /// Form in which its password is stored.
    pub stored: &'static str,
}

/// A new password.
pub struct NewPassword {
    /// The password.
    pub password: Vec<u8>,
    /// Store SCRAM keys, with this number of iterations.
    pub scram_iterations: Option<NonZeroU32>,
}

/// The content of the ACL file.
#[derive(Clone, Debug)]
pub struct RulesShown {
    /// Its text.
    pub text: String,
    /// Its rules.
    pub rules: Vec<RuleShown>,
    /// Its version.
    pub version: String,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct RuleShown {
    /// Number of its line, from 1.
    pub line: usize,
    /// The clients that it applies to.
    pub of: Whom,
    /// The access that it allows.
    pub access: &'static str,
    /// Its filter.
    pub filter: String,
}

/// The clients that a rule applies to.
#[derive(Clone, Debug)]
pub enum Whom {
    /// Clients without a user name.
    Anonymous,
    /// A user.
    User(String),
    /// All clients.
    Everybody,
}

/// An edit of the ACL file.
#[derive(Clone, Debug)]
pub enum RuleEdit {
    /// Replaces the whole text.
    Text(String),
    /// Sets a rule, which replaces those for the same clients and filter.
    Set {
        /// The clients that it applies to.
        of: Whom,
        /// The access that it allows.
        access: String,
        /// Its filter.
        filter: String,
    },
    /// Deletes the rules for a filter.
    Delete {
        /// The clients that they apply to.
        of: Whom,
        /// The filter, as written in the file.
        filter: String,
    },
}

/// A new key.
#[derive(Clone, Debug)]
pub struct AddedKey {
    /// The secret; no file contains it.
    pub key: String,
    /// Expiry in whole seconds.
    pub expires: Option<SystemTime>,
}

/// A reload in progress.
pub type Reloading = Pin<Box<dyn Future<Output = Option<Result<Vec<String>, String>>> + Send>>;

/// State of a login service.
#[derive(Clone, Debug)]
pub struct LoginServiceState {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// It is the provider that is asked about tokens.
    pub is_introspection: bool,
    /// Number of requests by answer.
    pub requests: [(&'static str, u64); 4],
    /// Logins that a cached answer decided.
    pub cache_hits: u64,
    /// Logins that an expired answer accepted while the service was down.
    pub stale: u64,
    /// Number of answers about topics, by answer; an empty name: it is not asked about topics.
    pub checks: [(&'static str, u64); 4],
    /// Logins that wait for an answer.
    pub waiting: usize,
    /// The last request was answered.
    pub up: bool,
    /// Why the last failed request failed, and when.
    pub error: Option<(String, SystemTime)>,
}

/// The keys of tokens that are fetched.
#[derive(Clone, Debug)]
pub struct TokenKeysState {
    /// Where they are fetched.
    pub url: String,
    /// Requests that were answered with keys.
    pub fetched: u64,
    /// Requests that were not.
    pub failed: u64,
    /// Keys that are known.
    pub keys: usize,
    /// Logins that wait for keys.
    pub waiting: usize,
    /// The last request was answered with keys.
    pub up: bool,
    /// Why the last request that was not failed, and when.
    pub error: Option<(String, SystemTime)>,
}

/// State of a bridge to another broker.
#[derive(Clone, Debug)]
pub struct BridgeState {
    /// Its name.
    pub name: String,
    /// Its state in a word.
    pub state: &'static str,
    /// It is connected.
    pub connected: bool,
    /// The address of the connection, or of the last attempt.
    pub address: Option<String>,
    /// Its MQTT version.
    pub protocol: Option<String>,
    /// Time of the last change of state.
    pub since: Option<SystemTime>,
    /// Why the last connection failed or was lost, and when.
    pub error: Option<(String, SystemTime)>,
    /// Counters: name, description, value. The last one is the number of queued messages.
    pub counts: Vec<(&'static str, &'static str, u64)>,
}

/// State of a webhook.
#[derive(Clone, Debug)]
pub struct WebhookState {
    /// Its name.
    pub name: String,
    /// Where events are sent.
    pub url: String,
    /// The last request failed.
    pub fails: bool,
    /// Nothing is sent, because messages that the service refused cannot be kept.
    pub is_stopped: bool,
    /// The error and the time of the last failed request.
    pub error: Option<(String, SystemTime)>,
    /// Counters: name, description, value. The last one is the number of queued events.
    pub counts: Vec<(&'static str, &'static str, u64)>,
}

/// State of a file sink.
#[derive(Clone, Debug)]
pub struct SinkState {
    /// Its name.
    pub name: String,
    /// The file.
    pub file: String,
    /// The last write failed.
    pub fails: bool,
    /// The error and the time of the last failed write.
    pub error: Option<(String, SystemTime)>,
    /// Counters: name, description, value. The last one is the number of queued messages.
    pub counts: Vec<(&'static str, &'static str, u64)>,
}

/// A key of the configuration.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Name with its table.
    pub key: String,
    /// As TOML.
    pub value: String,
    /// Its source: a file, a variable or flags; `None`: the default.
    pub from: Option<String>,
}

/// A question about rights.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `None`: an anonymous client.
    pub user: Option<&'a str>,
    /// Client Identifier.
    pub client: &'a str,
    /// To publish; otherwise to subscribe.
    pub publish: bool,
    /// Topic Name, or Topic Filter.
    pub topic: &'a str,
}
