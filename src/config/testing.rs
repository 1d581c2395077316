//! The command line of `dunlin test`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};

use super::listen::ListenAddress;

/// `dunlin test`
///
/// Runs a broker that keeps everything in memory, on a free port of 127.0.0.1 unless --listen is given, with HTTP
/// routes below /test/v1/ by which a test turns the clock, waits for events, and more: docs/testing.md.
/// Flags of the broker, such as --config and --log-level, are written before "test".
#[derive(Args, Clone, Debug, PartialEq)]
pub struct TestArgs {
    /// Listen on this address; may be repeated. Port 0 picks a free port. Default: --listen or -p before "test", or
    /// 127.0.0.1:0. The listeners of a configuration file are not opened.
    #[arg(long, value_name = "ADDRESS:PORT", value_delimiter = ',')]
    pub listen: Option<Vec<ListenAddress>>,

    /// Serve HTTP on this address.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub http: SocketAddr,

    /// Write this file once all listeners accept: JSON with "listeners" and "http". It is removed on exit.
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,

    /// Exit when the process that started this one ends, or when standard input closes, if that is a pipe or a socket.
    #[arg(long)]
    pub exit_with_parent: bool,

    /// Start with the state of this file: retained messages, sessions and users, as "dunlin ctl export" and "dunlin
    /// store export" write them.
    #[arg(long, value_name = "FILE")]
    pub seed_file: Option<PathBuf>,

    /// Report violations of the specification by clients, with the normative statement; with =fail, also close their
    /// connections, and exit with code 4.
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true, default_missing_value = "report")]
    pub strict: Option<Strictness>,

    /// Record all packets in this file, as JSON lines, for "dunlin diff". Passwords are left out.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// Write this report on exit, in the XML of JUnit: one test case for each expectation, and for each client that
    /// violated the specification.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,

    /// Allow addresses that are not on loopback, as a container needs them. Anyone who reaches them controls the
    /// broker.
    #[arg(long)]
    pub any_address: bool,
}

/// What happens to a client that violates a normative statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Strictness {
    /// It is reported.
    Report,
    /// It is reported, and its connection closes.
    Fail,
}
