//! [`Control`]: what the HTTP side asks the server to do, or to tell.

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

/// Serves MQTT on a socket from which nothing was read: with its peer, and whether it came on an address of loopback.
pub type TakeSocket = Box<dyn Fn(TcpStream, SocketAddr, bool) + Send + Sync>;

/// What the server tells and does for the HTTP side.
pub trait Control: Send + Sync {
    /// The listeners that are open: number, and address.
    fn listeners(&self) -> Vec<(u16, String)>;

    /// The bridges to other brokers.
    fn bridges(&self) -> Vec<BridgeState>;

    /// The services that are asked about logins.
    fn login_services(&self) -> Vec<LoginServiceState>;

    /// Pauses a bridge, or lets it go on. `false`: there is none of this name.
    fn pause_bridge(&self, name: &str, paused: bool) -> bool;

    /// The webhooks.
    fn webhooks(&self) -> Vec<WebhookState>;

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

    /// The users of the password file, and its version.
    fn users(&self) -> Doing<(Vec<UserShown>, String)>;

    /// Gives a user a password: was the user added? The new version.
    fn set_user(&self, name: String, password: NewPassword, expected: Option<String>) -> Doing<(bool, String)>;

    /// Deletes a user: the new version, and how many rules for the user are left in the ACL file.
    fn delete_user(&self, name: String, expected: Option<String>) -> Doing<(String, usize)>;

    /// The ACL file.
    fn rules(&self) -> Doing<RulesShown>;

    /// Edits the ACL file: its new version.
    fn edit_rules(&self, edit: RuleEdit, expected: Option<String>) -> Doing<String>;

    /// Writes what is stored and the users to `out`, as lines of JSON, from one moment. The first line is written when
    /// nothing is in the way of the others; the last one says that all are there.
    fn export(&self, out: Box<dyn Write + Send>) -> Doing<()>;

    /// Reads such lines, and checks them.
    fn read_export(&self, text: Bytes, now: Instant) -> Doing<Imported>;

    /// Adds users who are not there, by their lines: how many.
    fn add_users(&self, lines: Vec<String>) -> Doing<usize>;

    /// Bans, and closes the connections that it concerns: how many.
    fn ban(&self, ban: Ban) -> Doing<usize>;

    /// Ends a ban: was there one?
    fn unban(&self, target: BanTarget) -> Doing<bool>;
}

/// What an export has.
pub struct Imported {
    /// What is stored.
    pub state: Restored,
    /// Lines of a password file.
    pub users: Vec<String>,
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
    /// Another writer changed it: its version.
    Changed(String),
    /// The embedding program decides, and not the file.
    PluggedIn,
    /// There are as many as there may be.
    Full(String),
    /// What is configured cannot be read, or not be put in force.
    Broken(String),
}

/// A user of the password file.
#[derive(Clone, Debug)]
pub struct UserShown {
    /// The user name.
    pub name: String,
    /// How its password is stored.
    pub stored: &'static str,
}

/// A password that a user gets.
pub struct NewPassword {
    /// The password.
    pub password: Vec<u8>,
    /// As keys for SCRAM, made with so many iterations.
    pub scram_iterations: Option<NonZeroU32>,
}

/// The ACL file.
#[derive(Clone, Debug)]
pub struct RulesShown {
    /// All of it.
    pub text: String,
    /// The rules in it.
    pub rules: Vec<RuleShown>,
    /// Its version.
    pub version: String,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct RuleShown {
    /// Where it is, counted from 1.
    pub line: usize,
    /// Whom it is for.
    pub of: Whom,
    /// What is allowed.
    pub access: &'static str,
    /// Where.
    pub filter: String,
}

/// Whom a rule is for.
#[derive(Clone, Debug)]
pub enum Whom {
    /// Clients without a user name.
    Anonymous,
    /// A user.
    User(String),
    /// Everybody.
    Everybody,
}

/// What is to become of the ACL file.
#[derive(Clone, Debug)]
pub enum RuleEdit {
    /// All of its text.
    Text(String),
    /// A rule, in place of those for the same filter.
    Set {
        /// Whom it is for.
        of: Whom,
        /// What is allowed.
        access: String,
        /// Where.
        filter: String,
    },
    /// The rules for this filter are no more.
    Delete {
        /// Whom they are for.
        of: Whom,
        /// The filter, as the file has it.
        filter: String,
    },
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

/// A service that is asked about logins.
#[derive(Clone, Debug)]
pub struct LoginServiceState {
    /// Its name.
    pub name: String,
    /// Requests, by what was answered.
    pub requests: [(&'static str, u64); 4],
    /// Logins that were decided without a request.
    pub cache_hits: u64,
    /// Those of them that were accepted by an old answer.
    pub stale: u64,
    /// Logins that wait.
    pub waiting: usize,
    /// Its last request had an answer.
    pub up: bool,
}

/// A bridge to another broker.
#[derive(Clone, Debug)]
pub struct BridgeState {
    /// Its name.
    pub name: String,
    /// How it is, in a word.
    pub state: &'static str,
    /// It is connected.
    pub connected: bool,
    /// The address that it is connected with, or tried last.
    pub address: Option<String>,
    /// The version of MQTT that it speaks.
    pub protocol: Option<String>,
    /// Since when it is so.
    pub since: Option<SystemTime>,
    /// Why the last connection failed or was lost.
    pub error: Option<String>,
    /// What it counted: name, meaning, number. The last is what waits now.
    pub counts: Vec<(&'static str, &'static str, u64)>,
}

/// A webhook.
#[derive(Clone, Debug)]
pub struct WebhookState {
    /// Its name.
    pub name: String,
    /// Where events are sent.
    pub url: String,
    /// The last request failed.
    pub fails: bool,
    /// Why the last one that failed did so, and when.
    pub error: Option<(String, SystemTime)>,
    /// What it counted: name, meaning, number. The last is what waits now.
    pub counts: Vec<(&'static str, &'static str, u64)>,
}

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
