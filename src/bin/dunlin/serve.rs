//! The life of a broker: from its start until a signal or a failed store ends it.

use std::{
    process::ExitCode,
    sync::{Arc, atomic::AtomicU64},
};

use anyhow::Context;
use dunlin::{Builder, config::Cli};
use rustix::fd::OwnedFd;

use crate::{daemon, log, pid_file::PidFile, reload, service, signals};

/// Runs the server until a signal ends it.
pub async fn serve(cli: &Cli, sockets: Vec<(String, OwnedFd)>) -> anyhow::Result<ExitCode> {
    // before the configuration is read, so that a SIGHUP meanwhile causes a reload
    let (mut stop, hangup) = signals::listen().context("cannot listen for signals")?;
    let mut config = cli.resolve()?;
    let background = daemon::Background::enter(&mut config.log)?;
    let level = log::init(&config.log, !config.http.listen.0.is_empty())?;
    // before the files are read, so that no change of them is missed
    let mut reloads = reload::Reloads::new(cli, &mut config, hangup);

    let progress = Arc::<AtomicU64>::default();
    let manager = service::Manager::starting(progress.clone())?;
    let pid_file = config.pid_file.clone();
    let builder = Builder::new(config).passed_sockets(sockets).progress(progress);
    let server = tokio::select! {
        started = builder.start() => started?,
        () = stop.asked() => return Ok(ExitCode::SUCCESS),
    };
    reloads.started();
    let _pid_file = pid_file.as_deref().and_then(PidFile::write);
    background.map(daemon::Background::serves).transpose()?;
    manager.serving(server.pulse(), None);
    let has_failed = loop {
        tokio::select! {
            () = stop.asked() => break false,
            // nothing can be acknowledged any more: a broker that ends is better than one that never acknowledges
            _logged = server.failed() => break true,
            asked = reloads.asked(&server) => {
                manager.reloading();
                let result = reloads.run(&server, &level).await;
                manager.serving(server.pulse(), result.as_ref().err().cloned());
                asked.into_iter().for_each(|asked| asked.done(result.clone()));
            }
        }
    };
    manager.stopping(server.shutdown_grace().await);
    tokio::select! {
        closed = server.shutdown() => {
            Ok(if has_failed || closed.is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        () = stop.asked() => match has_failed {
            true => Ok(ExitCode::FAILURE),
            false => anyhow::bail!("second stop signal: exited without sending queued messages"),
        },
    }
}
