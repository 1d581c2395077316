//! The command line of `dunlin test`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};

use super::listen::ListenAddress;

/// `dunlin test`
///
/// Runs a broker that keeps everything in memory, on a free port of 127.0.0.1 unless --listen says otherwise, with
/// routes below /test/v1/ over HTTP by which a test turns the clock, waits for what happens, and more: docs/testing.md.
/// Flags of the broker, such as --config and --log-level, are written before "test".
#[derive(Args, Clone, Debug, PartialEq)]
pub struct TestArgs {
    /// Listen there; may be repeated. Port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT", value_delimiter = ',', default_value = "127.0.0.1:0")]
    pub listen: Vec<ListenAddress>,

    /// Serve HTTP there.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub http: SocketAddr,

    /// Write this file once everything accepts: JSON with "listeners" and "http". It is removed on exit.
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,

    /// End when the process that started this one ends, or when standard input closes, if that is a pipe.
    #[arg(long)]
    pub exit_with_parent: bool,

    /// Tell what clients do that no client may do, with the normative statement; with =fail, also end their
    /// connections, and exit with code 4.
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true, default_missing_value = "report")]
    pub strict: Option<Strictness>,

    /// Record all packets in this file, as JSON lines, for "dunlin diff". Passwords are never in it.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// Allow addresses that are not on loopback, as a container needs them. Everybody who reaches them controls the
    /// broker.
    #[arg(long)]
    pub any_address: bool,
}

/// What becomes of a client that breaks a normative statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Strictness {
    /// It is told.
    Report,
    /// Its connection ends, too.
    Fail,
}
