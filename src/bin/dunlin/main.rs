//! The command line → a [`Config`] → a [`Server`] → an exit code. Everything else is the library's.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod bench;
mod daemon;
mod destinations;
mod log;
mod open_files;
mod pid_file;
#[cfg_attr(windows, path = "process_of_windows.rs")]
mod process;
mod reload;
mod serve;
#[cfg_attr(windows, path = "no_service.rs")]
mod service;
mod signals;

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use dunlin::{
    config::{Cli, Command, LogFormat, reference},
    server,
};

fn main() -> ExitCode {
    let cli = match Cli::try_from_args(env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    run(&cli).unwrap_or_else(|error| {
        log::failure(&log::told(&error), cli.error_format());
        ExitCode::FAILURE
    })
}

/// Wrong usage ends the process with a message and exit code 2, `--help` and `--version` with 0.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        Cli::ready_file_of(env::args_os()).iter().for_each(|path| _ = server::remove_ready_file(path));
    }
    if error.use_stderr() && Cli::error_format_of(env::args_os()) == LogFormat::Json {
        let text = error.to_string();
        let words: Vec<_> = text.split_whitespace().skip_while(|word| *word == "error:").collect();
        log::failure(&words.join(" "), LogFormat::Json);
        return ExitCode::from(2);
    }
    error.exit()
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    if let Some(Command::Test(args)) = &cli.command {
        return tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(bench::run(cli, args));
    }
    if let Some(Command::Diff { one, other }) = &cli.command {
        let differences = dunlin::testing::diff(one, other)?;
        print(&differences.to_string())?;
        return Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let Some(Command::Replay(args)) = &cli.command {
        let replayed = dunlin::testing::replay(args);
        let replayed = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(replayed)?;
        print(&format!("{replayed}\n"))?;
        return Ok(if replayed.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let Some(command) = &cli.command {
        return Ok(server::command(cli, command)?.into());
    }
    if cli.print_config {
        return print(&reference::toml());
    }
    cli.ready_file().as_deref().map(server::remove_ready_file).transpose()?;
    if cli.check {
        return server::check(cli)
            .map_or_else(|wrong| Ok(log::failures(&wrong, cli.error_format())), |text| print(&text));
    }
    if cli.detach && !daemon::is_within() {
        return daemon::detach();
    }
    // before the process opens anything, so that no other file has the number of a passed socket
    let sockets = service::passed_sockets()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve::serve(cli, sockets))
}

/// Prints a text. A closed standard output is not an error: the reader may have stopped early.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write"),
        _ => Ok(ExitCode::SUCCESS),
    }
}
