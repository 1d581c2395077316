//! The command line → a [`Config`] → a [`Server`] → an exit code. Everything else is the library's.

mod log;
mod open_files;
mod reload;
mod signals;

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use dunlin::{
    Config, Server,
    config::{Cli, LogFormat, reference},
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
    if let Some(command) = &cli.command {
        return Ok(if server::command(cli, command)? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if cli.print_config {
        return print(&reference::toml());
    }
    cli.ready_file().as_deref().map(server::remove_ready_file).transpose()?;
    if cli.check {
        return server::check(cli)
            .map_or_else(|wrong| Ok(log::failures(&wrong, cli.error_format())), |text| print(&text));
    }
    let config = cli.resolve()?;
    let level = log::init(&config.log)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(cli, config, &level))
}

/// Whoever reads standard output may have seen enough and be gone.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Runs the server until a signal ends it.
async fn serve(cli: &Cli, mut config: Config, level: &log::LevelHandle) -> anyhow::Result<ExitCode> {
    let (mut stop, hangup) = signals::listen().context("cannot listen for signals")?;
    // before the files are read, so that no change of them is missed
    let mut reloads = reload::Reloads::new(cli, &mut config, hangup);

    let server = tokio::select! {
        started = Server::start(config) => started?,
        () = stop.asked() => return Ok(ExitCode::SUCCESS),
    };
    reloads.started();
    loop {
        tokio::select! {
            () = stop.asked() => break,
            _logged = server.failed() => {
                // nothing more can be acknowledged: better none than one that acknowledges nothing
                tokio::select! {
                    _ = server.shutdown() => {}
                    () = stop.asked() => {}
                }
                return Ok(ExitCode::FAILURE);
            }
            () = reloads.asked() => reloads.run(&server, level).await,
        }
    }
    tokio::select! {
        closed = server.shutdown() => Ok(closed.map_or_else(|_logged| ExitCode::FAILURE, |()| ExitCode::SUCCESS)),
        () = stop.asked() => anyhow::bail!("second stop signal: ended without sending what was queued to the clients"),
    }
}
