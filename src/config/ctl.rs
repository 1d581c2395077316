//! The command line of `dunlin ctl`, which controls a running broker. `server` runs it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `dunlin ctl clients`, `dunlin ctl kick lamp`, …
///
/// Controls a running broker over HTTP: at --url, or at http.listen of the configuration, Unix sockets first. Exits
/// with 0 on success, with 1 if the request fails or the answer is no.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(after_help = EXAMPLES)]
pub struct Ctl {
    /// The configuration of the broker.
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Connect to this URL instead: http://HOST:PORT, https://HOST:PORT or unix:PATH.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// Authorities that sign the broker's certificate (PEM), for https. Without it, only the certificate in
    /// http.certificate_file of the configuration is trusted.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Log in as this user of http.users.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub user: Option<String>,

    /// A file whose first line is the password.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,

    /// A file whose first line is a key. A Unix socket needs none.
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    pub key_file: Option<PathBuf>,

    /// Print the broker's answer as JSON.
    #[arg(long, global = true)]
    pub json: bool,

    /// The operation.
    #[command(subcommand)]
    pub action: CtlAction,
}

/// An operation on a broker. Parameters are those of the API, such as user=alice or limit=20.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum CtlAction {
    /// Show version, uptime and counters.
    Broker,
    /// List the services that are asked about logins.
    Logins,
    /// List the bridges to other brokers, or pause or resume one.
    Bridges {
        /// Pause this bridge.
        #[arg(long, value_name = "NAME", conflicts_with = "resume")]
        pause: Option<String>,
        /// Resume this bridge.
        #[arg(long, value_name = "NAME")]
        resume: Option<String>,
    },
    /// List the webhooks.
    Webhooks,
    /// List the file sinks.
    Sinks,
    /// List clients and sessions.
    Clients {
        /// Filters such as user=alice, queued_min=100 or idle_min=10m, and sort=, limit=, fields=, cursor=. The table
        /// has the most important columns; fields= or --json show the others.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
    },
    /// Show one client.
    Client {
        /// Client Identifier.
        id: String,
    },
    /// List the clients that disconnected, the latest first.
    Closed {
        /// limit=, cursor=.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
    },
    /// Disconnect a client, or all clients that filters select.
    Kick {
        /// Client Identifier.
        #[arg(required_unless_present = "filter")]
        id: Option<String>,
        /// A filter instead of an identifier; may be repeated.
        #[arg(long, value_name = "NAME=VALUE", conflicts_with = "id")]
        filter: Vec<String>,
        /// Why: for the log, and for a client of MQTT 5.
        #[arg(long, default_value = "")]
        reason: String,
        /// Only count the selected clients.
        #[arg(long, conflicts_with = "id")]
        dry_run: bool,
    },
    /// End the sessions that filters select.
    Sessions {
        /// Filters, such as state=away.
        #[arg(value_name = "NAME=VALUE", required = true)]
        filters: Vec<String>,
        /// Only count the sessions.
        #[arg(long)]
        dry_run: bool,
    },
    /// List the subscriptions of one client, or of all.
    Subscriptions {
        /// client_id=, filter=, limit=, cursor=.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
    },
    /// Subscribe a client, without telling it.
    Subscribe {
        /// Client Identifier.
        id: String,
        /// Topic Filter.
        filter: String,
        /// QoS.
        #[arg(short, long, default_value = "0", value_parser = clap::value_parser!(u8).range(0..=2))]
        qos: u8,
    },
    /// End a subscription of a client, without telling it.
    Unsubscribe {
        /// Client Identifier.
        id: String,
        /// Topic Filter.
        filter: String,
    },
    /// List the queued messages of a client, or remove them.
    Queue {
        /// Client Identifier.
        id: String,
        /// Remove the messages.
        #[arg(long)]
        remove: bool,
    },
    /// List the messages in flight to a client.
    Inflight {
        /// Client Identifier.
        id: String,
    },
    /// List the subscribers that would receive a message.
    Routes {
        /// Topic of the message.
        topic: String,
    },
    /// List retained messages, or remove them.
    Retained {
        /// Messages whose topic this filter matches.
        #[arg(default_value = "#")]
        filter: String,
        /// Remove the messages.
        #[arg(long)]
        remove: bool,
        /// Only count the messages that would be removed.
        #[arg(long, requires = "remove")]
        dry_run: bool,
    },
    /// List the busiest topics. Counting starts with the first request and stops ten minutes after the last one.
    Topics {
        /// by=messages or by=bytes, limit=, and sys=true to include those below $SYS.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
    },
    /// List the slowest subscribers, by a sample of timed messages.
    Slow {
        /// limit=.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
    },
    /// Print the packets of a client, of a network or about topics as they pass, or list the traces.
    Trace {
        /// The operation; without it, list the traces.
        #[command(subcommand)]
        action: Option<TraceAction>,
    },
    /// Publish a message.
    Pub {
        /// Topic Name.
        topic: String,
        /// The payload; empty by default.
        #[arg(default_value = "")]
        payload: String,
        /// QoS.
        #[arg(short, long, default_value = "0", value_parser = clap::value_parser!(u8).range(0..=2))]
        qos: u8,
        /// Set RETAIN.
        #[arg(short, long)]
        retain: bool,
    },
    /// Print messages as they are published, a line each.
    Sub {
        /// Topic Filter.
        filter: String,
        /// Exit after this number of messages.
        #[arg(short = 'n', long, value_name = "N")]
        count: Option<u64>,
    },
    /// Print events, a line each.
    Events {
        /// types=, client_id=, payload=.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
        /// Exit after this number of events.
        #[arg(short = 'n', long, value_name = "N")]
        count: Option<u64>,
    },
    /// List users, or change them.
    Users {
        /// The operation; by default, list the users.
        #[command(subcommand)]
        action: Option<UsersAction>,
    },
    /// Show the rules, or change them.
    Rules {
        /// The operation; by default, show the rules.
        #[command(subcommand)]
        action: Option<RulesAction>,
    },
    /// List bans.
    Bans {
        /// limit=, cursor=.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
    },
    /// Ban a client, a user or a network, and disconnect the clients to which the ban applies.
    Ban {
        #[command(flatten)]
        target: Target,
        /// Duration: 90 or 90s, 10m, 25h, 7d, 1h 30m; by default the ban has no end.
        #[arg(long = "for", value_name = "DURATION")]
        lasts: Option<String>,
        /// Why: for the log, and for clients of MQTT 5.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// End a ban: the one with exactly these conditions.
    Unban {
        #[command(flatten)]
        target: Target,
    },
    /// List writing requests, the latest first: time, caller, address, request and result.
    Audit {
        /// limit=, cursor=.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
    },
    /// Print stored state and users at one moment, as lines of JSON.
    Export,
    /// Import what is missing from the output of `export`. All lines are checked first.
    Import {
        /// The file; `-` is standard input.
        file: PathBuf,
        /// Import only these parts: retained, sessions, users; by default all.
        #[arg(long, value_name = "PART", value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Reload the configuration.
    Reload,
    /// Show the configuration in force.
    Config,
}

/// Operations on traces.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum TraceAction {
    /// Start a trace and print a line for each packet, until its duration has passed or this program ends; then the
    /// trace is stopped. With --json, the lines are a recording, as `dunlin diff` reads it.
    Start {
        #[command(flatten)]
        target: TraceTarget,
        /// Include payloads.
        #[arg(long)]
        payload: bool,
        /// Duration: 90 or 90s, 10m, at most 24h.
        #[arg(long = "for", value_name = "DURATION", default_value = "10m")]
        lasts: String,
        /// Exit after this number of packets.
        #[arg(short = 'n', long, value_name = "N", conflicts_with = "detach")]
        count: Option<u64>,
        /// Only start the trace, which runs until its duration has passed; `show` prints its packets.
        #[arg(long)]
        detach: bool,
    },
    /// List the traces.
    List,
    /// Print the packets of a trace.
    Show {
        /// Its number.
        id: u64,
        /// Wait for further packets until the trace has ended.
        #[arg(short, long)]
        follow: bool,
    },
    /// Stop a trace and keep its packets.
    Stop {
        /// Its number.
        id: u64,
    },
    /// Remove a trace and its packets.
    Remove {
        /// Its number.
        id: u64,
    },
}

/// Selects the packets of a trace.
#[derive(Args, Clone, Debug, PartialEq)]
#[group(required = true, multiple = false)]
pub struct TraceTarget {
    /// All packets of this client: a Client Identifier.
    #[arg(long, value_name = "ID")]
    pub client: Option<String>,
    /// Packets about topics that match this filter.
    #[arg(long, value_name = "FILTER")]
    pub topic: Option<String>,
    /// All packets of clients in a network such as 192.0.2.0/24, or of one address.
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,
}

/// Operations on the users of auth.password_file.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum UsersAction {
    /// Add a user, or change the password of one.
    Set {
        /// The user name.
        name: String,
        /// A file whose first line is the password; by default it is read from the terminal.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Store SCRAM keys, with this number of iterations.
        #[arg(long, value_name = "ITERATIONS")]
        scram: Option<u32>,
    },
    /// Delete a user; its clients are disconnected.
    Delete {
        /// The user name.
        name: String,
    },
}

/// Operations on the rules of auth.acl_file.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum RulesAction {
    /// Allow or deny an action, replacing the rules for the same filter.
    Set {
        #[command(flatten)]
        of: RuleFor,
        /// read, write, readwrite or deny.
        access: String,
        /// Topic Filter; with --everybody, %u and %c are the user name and the Client Identifier.
        filter: String,
    },
    /// Delete the rules for a filter.
    Delete {
        #[command(flatten)]
        of: RuleFor,
        /// Topic Filter, as written in the file.
        filter: String,
    },
}

/// The clients that a rule applies to.
#[derive(Args, Clone, Debug, PartialEq)]
#[group(required = true, multiple = false)]
pub struct RuleFor {
    /// A user.
    #[arg(long = "user", value_name = "NAME")]
    pub of_user: Option<String>,
    /// Clients without a user name.
    #[arg(long)]
    pub anonymous: bool,
    /// All clients: a pattern.
    #[arg(long)]
    pub everybody: bool,
}

/// The conditions of a ban, which applies to a client that meets all of them.
#[derive(Args, Clone, Debug, PartialEq)]
#[group(required = true, multiple = true)]
pub struct Target {
    /// Client Identifier.
    pub id: Option<String>,
    /// A user name.
    #[arg(long = "user", value_name = "NAME")]
    pub of_user: Option<String>,
    /// An address, or a network such as 192.0.2.0/24.
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,
}

const EXAMPLES: &str = "\
Durations are seconds, or a number with a unit: 90s, 10m, 25h, 7d, 1h 30m.

  dunlin ctl clients sort=-queued limit=10        the longest queues
  dunlin ctl clients idle_min=1h                  clients without a packet for an hour
  dunlin ctl kick lamp --reason 'new firmware'    disconnect one client
  dunlin ctl kick --filter user=alice --dry-run   count the clients of alice
  dunlin ctl sessions state=away queued_min=1000  end sessions of away clients
  dunlin ctl ban lamp --for 1h --reason noise     refuse a client for an hour
  dunlin ctl rules set --user ann read 'home/#'   allow ann to read this
  dunlin ctl trace start --client lamp            print its packets as they come
  dunlin ctl pub home/door open --qos 1           exits when it is stored
  dunlin ctl --url unix:/run/dunlin/admin.sock broker";
