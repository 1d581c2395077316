//! The settings of a broker: as written (the TOML file, the command line) and as resolved ([`Config`]).
//!
//! ```text
//! cli ──────────► Config          flags and variables override the file, which overrides the defaults
//!  ├► environment              the variables of keys, which override the file; unknown variables
//!  │   └► plain               a value outside TOML
//!  └► file ─────► Config          reads TOML in the order of its lines; each error is one line
//!      ├► tables                  the list of tables
//!      └► keys                    the tables of keys: name, description, form, field of Config
//!          ├► forms               how one value is written: a size, a duration, a choice, …
//!          │   ├► lists           the forms of a listener's keys
//!          │   └► words           the words that keys take
//!          │       └► listen      a listen address as text
//!          ├► bridge_keys         the keys of [[bridge]]
//!          ├► auth_keys           the keys of [auth]
//!          ├► auth_http_keys      the keys of [[auth.http]]
//!          ├► webhook_keys        the keys of [[webhook]]
//!          ├► sink_keys           the keys of [[sink]]
//!          └► settings            Config itself and its defaults
//!              ├► listener        one listener, and the consistency of its settings
//!              ├► auth_http       one login service
//!              ├► bridge          one bridge, its topics and addresses, and their consistency
//!              ├► webhook         one webhook, and the consistency of its settings
//!              ├► sink            one file sink, and the consistency of its settings
//!              └► http            the [http] table and its forms
//! reference ────► text            keys × defaults: config/dunlin.toml and the table in docs/configuration.md
//! starter ──────► text            the file of dunlin init: the reference with a few keys set
//! changes ──────► KeyChange          keys × two Configs: the differences, for the summary and a reload's log line
//! summary ──────► text            what would run, for --check
//! urls                            the forms of URLs
//! variables ────► text            ${NAME} in a value
//! hints                           the known name that is nearest to an unknown one
//! foreign                         configurations of other programs
//! mosquitto ────► Import          a mosquitto.conf: its translation to TOML, and a report
//! origins                         the file, variable or flag that set each key
//! commands                        the command lines of the subcommands
//! ctl, testing, replay            those of dunlin ctl, dunlin test and dunlin replay
//! error                           the errors, one line each
//! ```
//!
//! A new setting is a field with its default in `settings` and a line in `keys`; `tests/it/config_reference.rs` then
//! asks for the rest.

mod auth_http;
mod auth_http_keys;
mod auth_keys;
mod bridge;
mod bridge_keys;
mod changes;
mod cli;
mod commands;
mod ctl;
mod environment;
mod error;
mod file;
mod foreign;
mod forms;
mod hints;
mod http;
mod keys;
mod likeness;
mod listen;
mod listener;
mod lists;
mod memory_bound;
pub mod mosquitto;
mod origins;
mod plain;
pub mod reference;
mod replay;
mod resolve;
mod settings;
mod sink;
mod sink_keys;
pub mod starter;
mod summary;
mod tables;
mod testing;
mod urls;
mod variables;
mod webhook;
mod webhook_keys;
mod words;

pub use crate::types::{LoginWay, QueueFull, Secret, SharedSubscriptions};
pub use auth_http::{AuthHttpConfig, AuthHttpFormat, AuthHttpMethod, GoAuthAnswers, OnServiceError};
pub use bridge::{
    BridgeConfig, BridgeProtocol, BridgeStart, BridgeTopic, Direction, Notifications, RemoteAddress, WrittenAt,
};
pub use changes::{KeyChange, changes, listener_changes, settings};
pub use cli::Cli;
pub use commands::{
    Action, CertsArgs, Command, Explain, Health, ImportArgs, Init, KeyAction, KeyArgs, Passwd, Shell, StoreAction,
    StoreArgs,
};
pub use ctl::{Ctl, CtlAction, RuleFor, RulesAction, Target, TraceAction, TraceTarget, UsersAction};
pub use error::ConfigError;
pub use file::{load, parse};
pub use http::{HttpAddresses, HttpConfig, HttpUser};
pub use listen::{ListenAddress, ListenAddressError};
pub use listener::{CertificateIdentity, ClientCertificates, ListenerConfig, TlsVersion};
pub use memory_bound::MemoryBound;
pub use origins::Origins;
pub use replay::{ReplayArgs, Rewrite, Speed};
pub use settings::*;
pub use sink::SinkConfig;
pub use summary::{persistence_text, summary};
pub use testing::{Strictness, TestArgs};
pub use webhook::WebhookConfig;
