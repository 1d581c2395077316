//! The command lines of what dunlin does beside being a broker: `dunlin init`, `passwd`, `explain`, `certs`,
//! `health`, `store`, `import`, `ctl`, `key`, `test`, `completions`, `man`. Doing it is the business of `server`.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::{ctl::Ctl, listen::ListenAddress, testing::TestArgs};
use crate::types::Role;

/// Something else than to run.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Set up a broker for a house: a configuration, a user with a password, certificates.
    Init(Init),
    /// Set or delete a user's password in a password file.
    Passwd(Passwd),
    /// Make, list or delete keys by which programs use the admin API.
    Key(KeyArgs),
    /// Say whether a client may publish or subscribe, and which line of the ACL file says so.
    Explain(Explain),
    /// Make certificates to try TLS with: an authority, a server and a client.
    Certs(CertsArgs),
    /// Say whether a broker on this machine answers.
    Health(Health),
    /// Look at, repair, copy or convert a data directory.
    Store(StoreArgs),
    /// Take over what mosquitto has: its configuration, or its data.
    Import(ImportArgs),
    /// Ask a broker that runs: its clients, sessions, messages, events.
    Ctl(Ctl),
    /// Run a broker to test clients against: in memory, with a clock to turn.
    Test(TestArgs),
    /// Compare two recordings of "dunlin test --record": which packets each client sends and gets, not when.
    Diff {
        /// A recording.
        one: PathBuf,
        /// Another one.
        other: PathBuf,
    },
    /// Print the script by which a shell completes command lines of dunlin.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page of dunlin, or write it and those of all commands to a directory.
    Man {
        /// Where the pages are written, such as /usr/share/man/man1; made if it is missing.
        dir: Option<PathBuf>,
    },
}

/// `dunlin init [DIR]`
///
/// Writes dunlin.toml, a password file and certificates, and prints the command lines of the broker and of a client.
/// The broker serves this machine on port 1883 and others over TLS on port 8883, and asks all of them for the password.
/// Files that are there are never replaced.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Init {
    /// Where to put them; made if it is not there.
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,

    /// The user.
    #[arg(long, value_name = "NAME", default_value = "dunlin")]
    pub user: String,

    /// A file whose first line is the password. Without one it is asked for on a terminal, or made.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// A further name or address that clients connect to; may be repeated. Those that this machine knows of itself are
    /// in the certificate anyway.
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
}

/// `dunlin store check|dump|repair|backup|export|import --data-dir DIR`
///
/// No broker may use the directory at the time, but for backup.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct StoreArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: StoreAction,
}

/// What to do with a data directory.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum StoreAction {
    /// Read all of it: what each segment holds, what is kept, what is damaged. Exits with 1 where anything is.
    Check {
        /// The data directory.
        #[arg(long, env = "DUNLIN_DATA_DIR", value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Print what is kept, a JSON object a line.
    Dump {
        /// The data directory.
        #[arg(long, env = "DUNLIN_DATA_DIR", value_name = "DIR")]
        data_dir: PathBuf,
        /// Print every record of the log instead, in its order.
        #[arg(long)]
        all: bool,
    },
    /// Copy it, also while a broker uses it: all that was acknowledged before, as a data directory.
    Backup {
        /// The data directory.
        #[arg(long, env = "DUNLIN_DATA_DIR", value_name = "DIR")]
        data_dir: PathBuf,
        /// Where the copy is made: a directory that is not there, or empty.
        dir: PathBuf,
    },
    /// Print what is kept, a JSON object a line, for `import`; or write it as a data directory for an earlier dunlin.
    Export {
        /// The data directory.
        #[arg(long, env = "DUNLIN_DATA_DIR", value_name = "DIR")]
        data_dir: PathBuf,
        /// Write a data directory of this format: 1, of dunlin 0.1. What it cannot have is said.
        #[arg(long, value_name = "FORMAT", value_parser = clap::value_parser!(u32).range(1..=1), requires = "dir")]
        format: Option<u32>,
        /// Where that is made: a directory that is not there, or empty.
        #[arg(requires = "format")]
        dir: Option<PathBuf>,
    },
    /// Make a data directory of what `export` printed, on standard input.
    Import {
        /// The data directory, in which nothing is stored yet.
        #[arg(long, env = "DUNLIN_DATA_DIR", value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Put files that are damaged aside, keep what of them is readable, and say what is lost.
    Repair {
        /// The data directory.
        #[arg(long, env = "DUNLIN_DATA_DIR", value_name = "DIR")]
        data_dir: PathBuf,
    },
}

/// `dunlin passwd FILE USER`
///
/// The password is asked for twice and not shown. The file is made where it is not there (mode 0600), otherwise
/// replaced as one, with its mode and owner.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(group = ArgGroup::new("how").args(["batch", "delete"]))]
#[command(group = ArgGroup::new("what").args(["scram", "delete"]))]
pub struct Passwd {
    /// The password file.
    pub file: PathBuf,

    /// The user.
    pub user: String,

    /// Take the password from standard input: its first line.
    #[arg(long)]
    pub batch: bool,

    /// Write keys for SCRAM-SHA-256 and SCRAM-SHA-512, with which clients of MQTT 5 prove that they know the password
    /// without sending it. Other clients log in by the password as before.
    #[arg(long)]
    pub scram: bool,

    /// How often a client hashes the password at each login by SCRAM: more make guesses slower for who reads the file,
    /// and logins for the client.
    #[arg(long, value_name = "N", default_value = "4096", requires = "scram", value_parser = clap::value_parser!(u32).range(4096..=10_000_000))]
    pub iterations: u32,

    /// Delete the user.
    #[arg(long)]
    pub delete: bool,
}

/// `dunlin explain --user U --client C publish TOPIC`
///
/// Exits with 0 where it is allowed, with 1 where it is not.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Explain {
    /// The configuration of the broker that is meant.
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The client's user name; without it, the client is anonymous.
    #[arg(long)]
    pub user: Option<String>,

    /// The client's identifier.
    #[arg(long)]
    pub client: String,

    /// What it wants to do.
    pub action: Action,

    /// A topic; with subscribe, it may have wildcards.
    pub topic: String,
}

/// `dunlin key add|list|delete`
///
/// The keys are in the file that http.keys_file of the configuration names. A broker that runs reads it at SIGHUP.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(after_help = KEY_EXAMPLES)]
pub struct KeyArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: KeyAction,

    /// The configuration of the broker that is meant.
    #[arg(short = 'c', long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// The file of keys, whatever the configuration says.
    #[arg(long, value_name = "FILE", global = true)]
    pub file: Option<PathBuf>,
}

/// What to do with keys.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum KeyAction {
    /// Make a key and print it. It is stored nowhere: only its SHA-256 is.
    Add {
        /// The name of the key.
        name: String,
        /// What a program that has it may do.
        #[arg(long, value_name = "viewer|operator|admin", value_parser = role)]
        role: Role,
        /// How long it lasts, such as 90d; without this, until it is deleted.
        #[arg(long, value_name = "DURATION", value_parser = lasting)]
        expires: Option<Duration>,
    },
    /// List the names, roles and ends of keys.
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

/// What `dunlin certs` is to make.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct CertsArgs {
    /// Where to put them; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    pub dir: PathBuf,

    /// A name or address that clients connect to; may be repeated.
    #[arg(long, value_name = "NAME", required = true, num_args = 1..)]
    pub host: Vec<String>,

    /// The Common Name in the client's certificate.
    #[arg(long, value_name = "NAME", default_value = "client")]
    pub client: String,

    /// Replace files that are there.
    #[arg(long)]
    pub force: bool,
}

/// `dunlin health`
///
/// Connects as $health, without a user name, to the first listener of the broker's configuration that lets it: a Unix
/// socket, TCP, TLS that asks for no certificate, WebSocket. Any CONNACK means that the broker is alive; of a broker
/// that has no such listener, an accepted connection. A certificate is not verified. Exits with 0 or 1.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Health {
    /// The configuration of the broker that is meant.
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Ask there, whatever the configuration says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<ListenAddress>,

    /// Ask a health check of HTTP instead, at http.listen: healthz (the threads answer), readyz (clients may
    /// come) or startupz.
    #[arg(
        long,
        value_name = "CHECK",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "healthz",
        value_parser = ["healthz", "readyz", "startupz"]
    )]
    pub http: Option<String>,

    /// Ask HTTP over TLS, and believe the authorities in this file (PEM) alone. Without it, what http.certificate_file
    /// says decides, and any certificate is believed.
    #[arg(long, value_name = "FILE", requires = "http")]
    pub ca: Option<PathBuf>,

    /// How long it may take altogether.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// `dunlin import mosquitto.conf`, `dunlin import --db mosquitto.db --data-dir DIR`, `dunlin import --dynsec FILE`
///
/// Of a mosquitto.conf, prints a configuration of dunlin that does what mosquitto does with that file, and on standard
/// error file, line, option and what became of it. Exits with 0; with 1 where a line is refused, and nothing is
/// written; with 3 where lines have no effect here. "dunlin -c mosquitto.conf" runs with the file as it is.
///
/// Of a mosquitto.db, makes a data directory of its sessions, subscriptions, retained and queued messages.
///
/// Of a dynamic-security.json, makes a password file and an ACL file. What they cannot say is printed on standard
/// error, and they allow less then: exit code 3. "auth.dynsec_file" reads it as it is.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(group = ArgGroup::new("what").required(true).args(["config", "db", "dynsec"]))]
pub struct ImportArgs {
    /// The configuration of mosquitto. Relative paths in it are relative to the working directory.
    #[arg(value_name = "CONF")]
    pub config: Option<PathBuf>,

    /// The data of mosquitto, as 2.0 and 2.1 write it. End mosquitto before.
    #[arg(long, value_name = "FILE", requires = "data_dir")]
    pub db: Option<PathBuf>,

    /// The data directory that is made of it; nothing may be stored there yet.
    #[arg(long, env = "DUNLIN_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// The dynamic security of mosquitto.
    #[arg(long, value_name = "FILE", requires = "password_file", requires = "acl_file")]
    pub dynsec: Option<PathBuf>,

    /// The password file that is made of it, which must not be there yet.
    #[arg(long, value_name = "FILE", requires = "dynsec")]
    pub password_file: Option<PathBuf>,

    /// The ACL file that is made of it, which must not be there yet.
    #[arg(long, value_name = "FILE", requires = "dynsec")]
    pub acl_file: Option<PathBuf>,

    /// Write the configuration to this file, which must not be there yet, and not to standard output.
    #[arg(short = 'o', long, value_name = "FILE", requires = "config")]
    pub output: Option<PathBuf>,

    /// Write what became of each line, or what cannot be said, to this file, and not to standard error.
    #[arg(long, value_name = "FILE", conflicts_with = "db")]
    pub report: Option<PathBuf>,
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// To send messages.
    Publish,
    /// To receive them.
    Subscribe,
}

/// A shell that completes command lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}
