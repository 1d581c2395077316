//! The command lines of the subcommands: `dunlin init`, `passwd`, `explain`, `certs`, `health`, `store`, `import`,
//! `mosquitto`, `ctl`, `key`, `test`, `completions`, `man`. `server` runs them.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::{ctl::Ctl, listen::ListenAddress, replay::ReplayArgs, testing::TestArgs};
use crate::types::Role;

/// A subcommand.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Set up a broker for a small site: a configuration, a user with a password, certificates.
    Init(Init),
    /// Set or delete a user's password in a password file.
    Passwd(Passwd),
    /// Create, list or delete keys by which programs use the admin API.
    Key(KeyArgs),
    /// Print whether a client may publish or subscribe, and which line of the ACL file decides.
    Explain(Explain),
    /// Create certificates to try TLS: an authority, a server and a client.
    Certs(CertsArgs),
    /// Check whether a broker on this machine responds.
    Health(Health),
    /// Check, repair, copy or convert a data directory.
    Store(StoreArgs),
    /// Import the configuration or the data of mosquitto.
    Import(ImportArgs),
    /// Serve with the command line of mosquitto: "dunlin mosquitto -c FILE" is "dunlin -c FILE".
    ///
    /// -c FILE: a mosquitto.conf, which is read as it is. -p PORT: listen on this port of the loopback interface. -d:
    /// in the background. -v: log at level debug. -q: log errors only. --tls-keylog FILE. --test-config: check the
    /// file and exit. "dunlin import FILE" converts a mosquitto.conf to a configuration of dunlin.
    Mosquitto {
        /// The flags above.
        #[arg(value_name = "FLAGS", trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<OsString>,
    },
    /// Inspect and control a running broker: clients, sessions, messages, events.
    Ctl(Ctl),
    /// Run a broker to test clients against: in memory, with a clock that tests turn.
    Test(TestArgs),
    /// Compare the packets of each client in two recordings of "dunlin test --record"; times are ignored.
    Diff {
        /// A recording.
        one: PathBuf,
        /// Another one.
        other: PathBuf,
    },
    /// Publish the messages of a recording again, at any broker.
    Replay(ReplayArgs),
    /// Print a script with which a shell completes command lines of dunlin.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page of dunlin, or write it and those of all commands to a directory.
    Man {
        /// The directory of the pages, such as /usr/share/man/man1; created if it is missing.
        dir: Option<PathBuf>,
    },
}

/// `dunlin init [DIR]`
///
/// Writes dunlin.toml, a password file and certificates, and prints the command lines of the broker and of a client.
/// The broker serves this machine on port 1883 and others over TLS on port 8883, and requires the password from all
/// clients. Existing files are never replaced.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Init {
    /// The directory of the files; created if it is missing.
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,

    /// The user.
    #[arg(long, value_name = "NAME", default_value = "dunlin")]
    pub user: String,

    /// A file whose first line is the password. Without it, the password is read from a terminal, or generated.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// A further name or address that clients connect to; may be repeated. The certificate has the names and addresses
    /// of this machine anyway.
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
}

/// `dunlin store check|dump|repair|backup|export|import --data-dir DIR`
///
/// No broker may use the directory at the time, except for backup.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct StoreArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: StoreAction,
}

/// Operations on a data directory.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum StoreAction {
    /// Read the whole log: the content of each segment, the stored state, damage. Exits with 1 if anything is damaged.
    Check {
        /// The data directory.
        #[arg(long, env = "DUNLIN_DATA_DIR", value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Print the stored state, a JSON object a line.
    Dump {
        /// The data directory.
        #[arg(long, env = "DUNLIN_DATA_DIR", value_name = "DIR")]
        data_dir: PathBuf,
        /// Print every record of the log in its order instead.
        #[arg(long)]
        all: bool,
    },
    /// Copy the directory, also while a broker uses it. The copy has everything that was acknowledged before.
    Backup {
        /// The data directory.
        #[arg(long, env = "DUNLIN_DATA_DIR", value_name = "DIR")]
        data_dir: PathBuf,
        /// The directory of the copy: missing or empty.
        dir: PathBuf,
    },
    /// Print the stored state, a JSON object a line, for `import`; or write it as a data directory of an earlier
    /// dunlin.
    Export {
        /// The data directory.
        #[arg(long, env = "DUNLIN_DATA_DIR", value_name = "DIR")]
        data_dir: PathBuf,
        /// Write a data directory of this format: 1, of dunlin 0.1. Reports what that format cannot contain.
        #[arg(long, value_name = "FORMAT", value_parser = clap::value_parser!(u32).range(1..=1), requires = "dir")]
        format: Option<u32>,
        /// The directory to write: missing or empty.
        #[arg(requires = "format")]
        dir: Option<PathBuf>,
    },
    /// Create a data directory from the output of `export` on standard input.
    Import {
        /// The data directory, which must not have a store yet.
        #[arg(long, env = "DUNLIN_DATA_DIR", value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Move damaged files aside, keep their readable part, and report what is lost.
    Repair {
        /// The data directory.
        #[arg(long, env = "DUNLIN_DATA_DIR", value_name = "DIR")]
        data_dir: PathBuf,
    },
}

/// `dunlin passwd FILE USER`
///
/// The password is read twice from the terminal without echo. A missing file is created (mode 0600); an existing one is
/// replaced atomically, with its mode and owner.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(group = ArgGroup::new("how").args(["batch", "delete"]))]
#[command(group = ArgGroup::new("what").args(["scram", "delete"]))]
pub struct Passwd {
    /// The password file.
    pub file: PathBuf,

    /// The user.
    pub user: String,

    /// Read the password from the first line of standard input.
    #[arg(long)]
    pub batch: bool,

    /// Store keys for SCRAM-SHA-256 and SCRAM-SHA-512, with which clients of MQTT 5 prove that they know the password
    /// without sending it. Other clients log in with the password as before.
    #[arg(long)]
    pub scram: bool,

    /// How often a client hashes the password at each login by SCRAM. A higher number makes guesses slower for a reader
    /// of the file, and logins slower for the client.
    #[arg(long, value_name = "N", default_value = "4096", requires = "scram", value_parser = clap::value_parser!(u32).range(4096..=10_000_000))]
    pub iterations: u32,

    /// Delete the user.
    #[arg(long)]
    pub delete: bool,
}

/// `dunlin explain --user U --client C publish TOPIC`
///
/// Exits with 0 if it is allowed, with 1 if it is not.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Explain {
    /// The configuration of the broker.
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The client's user name; without it, the client is anonymous.
    #[arg(long)]
    pub user: Option<String>,

    /// The client's identifier. It may be left out unless a rule has %c.
    #[arg(long)]
    pub client: Option<String>,

    /// The action.
    pub action: Action,

    /// A topic; with subscribe, it may have wildcards.
    pub topic: String,
}

/// `dunlin key add|list|delete`
///
/// The keys are in the file that http.keys_file of the configuration names. A running broker reads it at SIGHUP.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(after_help = KEY_EXAMPLES)]
pub struct KeyArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: KeyAction,

    /// The configuration of the broker.
    #[arg(short = 'c', long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// The file of keys, instead of the one in the configuration.
    #[arg(long, value_name = "FILE", global = true)]
    pub file: Option<PathBuf>,
}

/// Operations on keys.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum KeyAction {
    /// Create a key and print it. Only its SHA-256 is stored.
    Add {
        /// The name of the key.
        name: String,
        /// The role of a program that has the key.
        #[arg(long, value_name = "viewer|operator|admin", value_parser = role)]
        role: Role,
        /// Time until it expires, such as 90d; by default it never does.
        #[arg(long, value_name = "DURATION", value_parser = lasting)]
        expires: Option<Duration>,
    },
    /// List the names, roles and expiries of keys.
    List,
    /// Delete a key.
    Delete {
        /// The name of the key.
        name: String,
    },
}

const KEY_EXAMPLES: &str = "\
  dunlin key add ci --role viewer --expires 90d > ci.key
  dunlin ctl --key-file ci.key clients
  dunlin key list --file /etc/dunlin/keys
  dunlin key delete ci";

fn role(word: &str) -> Result<Role, &'static str> {
    Role::ALL.into_iter().find(|role| role.name() == word).ok_or("viewer, operator or admin is expected")
}

fn lasting(text: &str) -> Result<Duration, String> {
    const CENTURY: Duration = Duration::from_secs(100 * 31_557_600);
    match humantime::parse_duration(text) {
        Ok(lasts) if lasts.as_secs() > 0 && lasts <= CENTURY => Ok(lasts),
        Ok(_) => Err("a second to a century is expected".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// What `dunlin certs` creates.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct CertsArgs {
    /// The directory of the files; created if it is missing.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    pub dir: PathBuf,

    /// A name or address that clients connect to; may be repeated.
    #[arg(long, value_name = "NAME", required = true, num_args = 1..)]
    pub host: Vec<String>,

    /// The Common Name in the client's certificate.
    #[arg(long, value_name = "NAME", default_value = "client")]
    pub client: String,

    /// Replace existing files.
    #[arg(long)]
    pub force: bool,
}

/// `dunlin health`
///
/// Connects as $health, without a user name, to the first listener of the broker's configuration that allows it: a Unix
/// socket, TCP, TLS without client certificates, WebSocket. Any CONNACK means that the broker is alive; if there is no
/// such listener, an accepted connection does. Certificates are not verified. Exits with 0 or 1.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Health {
    /// The configuration of the broker.
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Check this address instead of those in the configuration.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<ListenAddress>,

    /// Ask a health check of HTTP at http.listen instead: healthz (the threads respond), readyz (clients are accepted)
    /// or startupz.
    #[arg(
        long,
        value_name = "CHECK",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "healthz",
        value_parser = ["healthz", "readyz", "startupz"]
    )]
    pub http: Option<String>,

    /// Use HTTPS, and trust only the authorities in this file (PEM). Without it, HTTPS is used if http.certificate_file
    /// is set, and any certificate is trusted.
    #[arg(long, value_name = "FILE", requires = "http")]
    pub ca: Option<PathBuf>,

    /// Time limit for the whole check.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// `dunlin import mosquitto.conf`, `dunlin import --db mosquitto.db --data-dir DIR`, `dunlin import --dynsec FILE`
///
/// With a mosquitto.conf: prints an equivalent configuration of dunlin, and on standard error each option with file,
/// line and result. Exits with 0; with 1 if a line is refused, and nothing is written; with 3 if lines have no effect
/// in dunlin. "dunlin -c mosquitto.conf" reads the file directly.
///
/// With a mosquitto.db: creates a data directory with its sessions, subscriptions, retained and queued messages.
///
/// With a dynamic-security.json: creates a password file and an ACL file. What they cannot express is printed on
/// standard error and is then not allowed: exit code 3. "auth.dynsec_file" reads the file directly.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(group = ArgGroup::new("what").required(true).args(["config", "db", "dynsec"]))]
pub struct ImportArgs {
    /// The configuration of mosquitto. Relative paths in it are relative to the working directory.
    #[arg(value_name = "CONF")]
    pub config: Option<PathBuf>,

    /// The data of mosquitto 2.0 or 2.1. Stop mosquitto first.
    #[arg(long, value_name = "FILE", requires = "data_dir")]
    pub db: Option<PathBuf>,

    /// The data directory to create, which must not have a store yet.
    #[arg(long, env = "DUNLIN_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// The file of mosquitto's dynamic security.
    #[arg(long, value_name = "FILE", requires = "password_file", requires = "acl_file")]
    pub dynsec: Option<PathBuf>,

    /// The password file to create, which must not exist.
    #[arg(long, value_name = "FILE", requires = "dynsec")]
    pub password_file: Option<PathBuf>,

    /// The ACL file to create, which must not exist.
    #[arg(long, value_name = "FILE", requires = "dynsec")]
    pub acl_file: Option<PathBuf>,

    /// Write the configuration to this file, which must not exist, instead of standard output.
    #[arg(short = 'o', long, value_name = "FILE", requires = "config")]
    pub output: Option<PathBuf>,

    /// Write the report to this file instead of standard error.
    #[arg(long, value_name = "FILE", conflicts_with = "db")]
    pub report: Option<PathBuf>,
}

/// An action of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// To publish.
    Publish,
    /// To subscribe.
    Subscribe,
}

/// A shell with completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}
