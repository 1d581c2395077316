//! The broker from outside and as a library: real sockets, real files, real processes. Other crates: `tests/crash`
//! kills brokers under load for a configured time, `tests/tidy` reads only the sources.
//!
//! These tests run in one process, several at a time, so none changes state of the process: its directory, environment,
//! umask, limits, or the global logger. A test that needs such a change runs a child process (as
//! `persistence/full_disk` does). One exception: `storm` raises the soft limit of open files, because it opens more
//! than some machines allow; dunlin raises its own limit, so no test is affected.
//!
//! | module | shows |
//! |---|---|
//! | `conformance` | each normative statement of MQTT 3.1.1 |
//! | `limits`, `backlog`, `storm` | each limit; queued messages; many clients at once |
//! | `bad_input`, `fuzz_corpus` | bytes that are not MQTT |
//! | `access`, `access_commands`, `acl_against_mosquitto` | users, rules, tokens |
//! | `transports` | TLS, WebSocket, Unix sockets, the PROXY protocol |
//! | `persistence` | the data directory |
//! | `library` | the broker as a library |
//! | `command_line`, `variables`, `daemon`, `reload`, `log`, `sys`, `health` | the binary, its output and its log |
//! | `http` | health checks, metrics and the admin API over HTTP |
//! | `bridge`, `webhooks`, `sinks` | bridges, webhooks, file sinks |
//! | `ctl` | `dunlin ctl` |
//! | `init` | `dunlin init`, and the commands that it prints |
//! | `mosquitto` | imports from mosquitto |
//! | `manual` | manual pages and completions |
//! | `container` | the container's configuration and its image |
//! | `service` | the binary as a service of systemd |
//! | `release` | the release workflow, as far as it can be read |
//! | `testing` | `dunlin test`: the broker to test clients against |
//! | `config_reference`, `docs` | documents for users |
//! | `rumqttc` | an independent client |
//! | `support` | shared helpers |

mod support;

mod access;
mod access_commands;
mod acl_against_mosquitto;
mod backlog;
mod bad_input;
mod bridge;
mod command_line;
mod config_reference;
mod conformance;
mod container;
mod ctl;
mod daemon;
mod docs;
mod fuzz_corpus;
mod health;
mod http;
mod init;
mod library;
mod limits;
mod log;
mod manual;
mod mosquitto;
mod persistence;
mod release;
mod reload;
mod rumqttc;
mod rumqttc_5;
mod service;
mod sinks;
mod storm;
mod sys;
mod testing;
mod transports;
mod variables;
mod webhooks;
