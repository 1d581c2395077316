//! The broker from outside and as a library: real sockets, real files, real processes. All that is not in here needs a
//! crate of its own: `tests/crash` kills brokers under load for as long as it is told to, `tests/tidy` reads the
//! sources and needs nothing of the broker.
//!
//! These tests run in one process, several at a time. So none changes what is the process' own: its directory,
//! environment, umask, limits, or the logger of all threads. A test that needs one of these changed runs a child
//! process (as `persistence/full_disk` does). One exception: `storm` raises the soft limit of open files, as it has
//! more of them than some machines allow; dunlin raises its own, so that no test sees the difference.
//!
//! | module | shows |
//! |---|---|
//! | `conformance` | each normative statement of MQTT 3.1.1 |
//! | `limits`, `backlog`, `storm` | each limit; clients that wait; many at once |
//! | `bad_input`, `fuzz_corpus` | bytes that are not MQTT |
//! | `access`, `access_commands`, `acl_against_mosquitto` | users, rules, tokens |
//! | `transports` | TLS, WebSocket, Unix sockets, the PROXY protocol |
//! | `persistence` | the data directory |
//! | `library` | the broker as a library |
//! | `command_line`, `variables`, `daemon`, `reload`, `log`, `sys`, `health` | the binary, and what it says |
//! | `http` | health checks, metrics and the admin API over HTTP |
//! | `ctl` | `dunlin ctl` |
//! | `init` | `dunlin init`, and that what it prints works |
//! | `mosquitto` | what mosquitto has is taken over |
//! | `manual` | manual pages and completions |
//! | `container` | the container's configuration, and what its image runs |
//! | `service` | the binary as a service of systemd |
//! | `testing` | `dunlin test`: the broker that clients are tested against |
//! | `config_reference`, `docs` | what is written for people |
//! | `rumqttc` | a client that others wrote |
//! | `support` | what they share |

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
mod reload;
mod rumqttc;
mod rumqttc_5;
mod service;
mod storm;
mod sys;
mod testing;
mod transports;
mod variables;
mod webhooks;
