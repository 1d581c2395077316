//! `dunlin test`, from its start until a signal or its parent ends it.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use dunlin::{
    config::{Cli, Strictness, TestArgs},
    testing::{Broker, Mode, Options, parent},
};

use crate::{log, signals};

/// Runs the broker that clients are tested against.
pub async fn run(cli: &Cli, args: &TestArgs) -> anyhow::Result<ExitCode> {
    let (mut stop, _hangup) = signals::listen().context("cannot listen for signals")?;
    let parent = match args.exit_with_parent {
        true => match parent().context("cannot watch the parent (--exit-with-parent)")? {
            Some(parent) => Some(parent),
            None => return Ok(ExitCode::SUCCESS),
        },
        false => None,
    };
    let config = cli.resolve_test(args)?;
    let (_level, config_format) = (log::init(&config.log, true)?, config.log.format);
    let (http, ready_file, any_address) = (args.http, args.ready_file.clone(), args.any_address);
    let (record, junit, seed_file) = (args.record.clone(), args.junit.clone(), args.seed_file.clone());
    let strict = args.strict.map(|strict| match strict {
        Strictness::Report => Mode::Report,
        Strictness::Fail => Mode::Fail,
    });
    let options = Options { config, http, ready_file, any_address, seed_file, strict, record, junit };
    let broker = Broker::with(options).await?;
    // the program that reads standard output may be gone
    let listeners = broker.listeners().iter().map(|one| one.endpoint.with(one.transport).to_string());
    let listeners = listeners.collect::<Vec<_>>().join(",");
    let _ = writeln!(io::stdout(), "ready listeners={listeners} http={}", broker.http_url());
    let parent_ended = async {
        match &parent {
            Some(parent) => parent.ended().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stop.asked() => {}
        () = parent_ended => {}
    }
    let violations: Vec<_> = broker.violations().into_iter().filter(|one| one.statement.is_some()).collect();
    broker.stop().await;
    if strict != Some(Mode::Fail) || violations.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let list: Vec<_> = violations.iter().map(ToString::to_string).collect();
    log::failure(&format!("clients broke normative statements:\n{}", list.join("\n")), config_format);
    Ok(ExitCode::from(4))
}
