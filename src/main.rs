//! The command line → a [`Config`] → a [`Server`] → an exit code. Everything else is the library's.

mod log;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use dunlin::{
    Config, Server, certs,
    config::{CertsArgs, Cli, Command, reference, summary},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

fn main() -> ExitCode {
    run(&Cli::from_process()).unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "dunlin: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    if let Some(Command::Certs(CertsArgs { dir, host, client, force })) = &cli.command {
        return print(&certs::make(dir, host, client, *force)?.to_string());
    }
    if cli.print_config {
        return print(&reference::toml());
    }
    let config = cli.resolve()?;
    if cli.check {
        Server::check(&config)?;
        return print(&summary(&config, cli.config.as_deref()));
    }
    let level = log::init(&config.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(serve(cli, config, &level))
}

/// Whoever reads standard output may have seen enough and be gone.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Runs the server until a signal ends it.
async fn serve(cli: &Cli, config: Config, level: &log::LevelHandle) -> anyhow::Result<ExitCode> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut hangup = listen(SignalKind::hangup())?;
    let mut stop = Stop { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? };

    let server = tokio::select! {
        started = Server::start(config) => started?,
        () = stop.asked() => return Ok(ExitCode::SUCCESS),
    };
    loop {
        tokio::select! {
            () = stop.asked() => break,
            _ = hangup.recv() => reload(cli, &server, level),
        }
    }
    tokio::select! {
        () = server.shutdown() => Ok(ExitCode::SUCCESS),
        () = stop.asked() => anyhow::bail!("asked twice to stop: ended before all was said to the clients"),
    }
}

/// Reads the configuration again, with the same flags over it; if that fails, all stays as it is.
fn reload(cli: &Cli, server: &Server, level: &log::LevelHandle) {
    let config = match cli.resolve() {
        Ok(config) => config,
        Err(error) => return tracing::error!("the configuration stays as it is: {error}"),
    };
    if let Err(error) = level.set(config.log.level) {
        tracing::error!("{error:#}");
    }
    let changed = server.reload(&config);
    let changed = if changed.is_empty() { "nothing".into() } else { changed.join(", ") };
    tracing::info!("the configuration was read again; changed: {changed}");
}

/// The signals that end the process.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
