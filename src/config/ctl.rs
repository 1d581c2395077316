//! The command line of `dunlin ctl`: what it asks of a broker that runs. Asking is the business of `server`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `dunlin ctl clients`, `dunlin ctl kick lamp`, …
///
/// Asks a broker that runs, over HTTP: at --url, or else where http.listen of the configuration says, a Unix socket
/// first. Exits with 0 where it is done, with 1 where it is not or the answer is no.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(after_help = EXAMPLES)]
pub struct Ctl {
    /// The configuration of the broker that is meant.
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Ask there, whatever the configuration says: http://HOST:PORT, https://HOST:PORT or unix:PATH.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// Authorities that sign the broker's certificate (PEM), for https. Without it, the certificate in
    /// http.certificate_file of the configuration is believed, and no other.
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

    /// Print what the broker answers, as JSON.
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub action: CtlAction,
}

/// What is asked of a broker. A parameter is one of the API, such as user=alice or limit=20.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum CtlAction {
    /// Show what runs, and what it counted.
    Broker,
    /// Show the bridges to other brokers, or pause one, or let it go on.
    Bridges {
        /// The bridge that is paused.
        #[arg(long, value_name = "NAME", conflicts_with = "resume")]
        pause: Option<String>,
        /// The bridge that goes on.
        #[arg(long, value_name = "NAME")]
        resume: Option<String>,
    },
    /// List clients and sessions.
    Clients {
        /// Filters such as user=alice, queued_min=100 or idle_min=10m, and sort=, limit=, fields=, cursor=. The table
        /// has the columns that matter most; fields= or --json show the others.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
    },
    /// Show one client.
    Client {
        /// Client Identifier.
        id: String,
    },
    /// List the clients that went, the latest first.
    Closed {
        /// limit=, cursor=.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
    },
    /// Disconnect a client, or all that filters select.
    Kick {
        /// Client Identifier.
        #[arg(required_unless_present = "filter")]
        id: Option<String>,
        /// A filter, in place of an identifier; may be repeated.
        #[arg(long, value_name = "NAME=VALUE", conflicts_with = "id")]
        filter: Vec<String>,
        /// Why: for the log, and for a client of MQTT 5.
        #[arg(long, default_value = "")]
        reason: String,
        /// Only count the clients that filters select.
        #[arg(long, conflicts_with = "id")]
        dry_run: bool,
    },
    /// End sessions that filters select.
    Sessions {
        /// Filters, such as state=away.
        #[arg(value_name = "NAME=VALUE", required = true)]
        filters: Vec<String>,
        /// Only count them.
        #[arg(long)]
        dry_run: bool,
    },
    /// List the subscriptions of one client, or of all.
    Subscriptions {
        /// client_id=, filter=, limit=, cursor=.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
    },
    /// Subscribe a client, which is not told.
    Subscribe {
        /// Client Identifier.
        id: String,
        /// Topic Filter.
        filter: String,
        /// QoS.
        #[arg(short, long, default_value = "0", value_parser = clap::value_parser!(u8).range(0..=2))]
        qos: u8,
    },
    /// End a subscription of a client, which is not told.
    Unsubscribe {
        /// Client Identifier.
        id: String,
        /// Topic Filter.
        filter: String,
    },
    /// List messages that wait for a client, or remove them.
    Queue {
        /// Client Identifier.
        id: String,
        /// Remove them.
        #[arg(long)]
        remove: bool,
    },
    /// List messages that were sent to a client and are not completed.
    Inflight {
        /// Client Identifier.
        id: String,
    },
    /// Say who would get a message.
    Routes {
        /// Its topic.
        topic: String,
    },
    /// List retained messages, or remove them.
    Retained {
        /// Of the topics that this filter matches.
        #[arg(default_value = "#")]
        filter: String,
        /// Remove them.
        #[arg(long)]
        remove: bool,
        /// Only count those that would be removed.
        #[arg(long, requires = "remove")]
        dry_run: bool,
    },
    /// List the busiest topics. They are counted from the first request on, while somebody asks every ten minutes.
    Topics {
        /// by=messages or by=bytes, limit=, and sys=true to see those below $SYS, too.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
    },
    /// List the subscribers that take longest to acknowledge messages, of which some are timed.
    Slow {
        /// limit=.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
    },
    /// Publish a message.
    Pub {
        /// Topic Name.
        topic: String,
        /// The payload; without one it is empty.
        #[arg(default_value = "")]
        payload: String,
        /// QoS.
        #[arg(short, long, default_value = "0", value_parser = clap::value_parser!(u8).range(0..=2))]
        qos: u8,
        /// Retain it.
        #[arg(short, long)]
        retain: bool,
    },
    /// Print messages as they are published, a line each.
    Sub {
        /// Topic Filter.
        filter: String,
        /// End after so many.
        #[arg(short = 'n', long, value_name = "N")]
        count: Option<u64>,
    },
    /// Print what happens, a line each.
    Events {
        /// types=, client_id=, payload=.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
        /// End after so many.
        #[arg(short = 'n', long, value_name = "N")]
        count: Option<u64>,
    },
    /// List users, or change them.
    Users {
        /// What to do; without it, list them.
        #[command(subcommand)]
        action: Option<UsersAction>,
    },
    /// Show the rules, or change them.
    Rules {
        /// What to do; without it, show them.
        #[command(subcommand)]
        action: Option<RulesAction>,
    },
    /// List bans.
    Bans {
        /// limit=, cursor=.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
    },
    /// Refuse a client, a user or a network, and disconnect the clients that it concerns.
    Ban {
        #[command(flatten)]
        target: Target,
        /// How long: 90 or 90s, 10m, 25h, 7d, 1h 30m; without it, until the ban is ended.
        #[arg(long = "for", value_name = "DURATION")]
        lasts: Option<String>,
        /// Why: for the log, and for clients of MQTT 5.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// End a ban: that of exactly this.
    Unban {
        #[command(flatten)]
        target: Target,
    },
    /// List requests that wrote, the latest first: when, who, from where, what, and how it ended.
    Audit {
        /// limit=, cursor=.
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
    },
    /// Print what is stored and the users, as lines of JSON, from one moment.
    Export,
    /// Bring in what `export` printed and is not there. All of it is checked first.
    Import {
        /// A file; `-` is standard input.
        file: PathBuf,
        /// These parts: retained, sessions, users; all of them without it.
        #[arg(long, value_name = "PART", value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Have the broker read its configuration again.
    Reload,
    /// Show the configuration in force.
    Config,
}

/// What to do with the users of auth.password_file.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum UsersAction {
    /// Add a user, or change the password of one.
    Set {
        /// The user name.
        name: String,
        /// A file whose first line is the password; without it, it is asked for.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Store keys for SCRAM, made with so many iterations.
        #[arg(long, value_name = "ITERATIONS")]
        scram: Option<u32>,
    },
    /// Delete a user; its clients are disconnected.
    Delete {
        /// The user name.
        name: String,
    },
}

/// What to do with the rules of auth.acl_file.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum RulesAction {
    /// Allow or deny something, in place of what a rule for the same filter says.
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
        /// Topic Filter, as the file has it.
        filter: String,
    },
}

/// Whom a rule is for.
#[derive(Args, Clone, Debug, PartialEq)]
#[group(required = true, multiple = false)]
pub struct RuleFor {
    /// A user.
    #[arg(long = "user", value_name = "NAME")]
    pub of_user: Option<String>,
    /// Clients without a user name.
    #[arg(long)]
    pub anonymous: bool,
    /// Everybody: a pattern.
    #[arg(long)]
    pub everybody: bool,
}

/// What a ban concerns: a client to whom all of it applies.
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

  dunlin ctl clients sort=-queued limit=10        whose queues are the longest
  dunlin ctl clients idle_min=1h                  who has been silent for an hour
  dunlin ctl kick lamp --reason 'new firmware'    disconnect one client
  dunlin ctl kick --filter user=alice --dry-run   how many clients has alice?
  dunlin ctl sessions state=away queued_min=1000  end sessions of clients that are away
  dunlin ctl ban lamp --for 1h --reason noise     refuse a client for an hour
  dunlin ctl rules set --user ann read 'home/#'   ann may read this from now on
  dunlin ctl pub home/door open --qos 1           ends when it is kept
  dunlin ctl --url unix:/run/dunlin/admin.sock broker";
