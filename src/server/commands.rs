//! The subcommands: `dunlin init`, `passwd`, `key`, `explain`, `certs`, `health`, `store`, `import`, `completions`,
//! `man`.

use std::{
    io::{self, Write},
    num::NonZeroU32,
};

use super::{
    access,
    command_error::CommandError,
    ctl, health, health_http, import, init, key, manual,
    passwords::{asked_twice, fits, fits_scram},
};
use crate::{
    auth::{self, Edited, FirstLine, PasswordChange, Question},
    certs,
    config::{Action, CertsArgs, Cli, Command, Explain, Passwd, StoreAction, StoreArgs, SysPublish},
    store::tools::{self, ToolError},
};

/// Runs `command`, a part of `cli`. Returns the exit code: 1 for a negative answer.
pub fn command(cli: &Cli, command: &Command) -> Result<u8, CommandError> {
    let done = match command {
        Command::Import(args) => return import::import(args),
        Command::Init(args) => init::set_up(args).map(|()| true),
        Command::Passwd(passwd) => change_password(passwd).map(|()| true),
        Command::Key(args) => key::edit(cli, args)?.iter().try_for_each(|line| say(line)).map(|()| true),
        Command::Explain(explain) => answer(cli, explain),
        Command::Certs(CertsArgs { dir, host, client, force }) => {
            say(certs::make(dir, host, client, *force)?.to_string().trim_end()).map(|()| true)
        }
        Command::Health(args) => match &args.http {
            Some(check) => say(&health_http::ask(cli, args, check)?.to_string()),
            None => say(&health::ask(cli, args)?.to_string()),
        }
        .map(|()| true),
        Command::Store(StoreArgs { action }) => store(action),
        Command::Ctl(args) => Ok(ctl::ask(cli, args).map(|()| true)?),
        // the binary runs these; of the command line of mosquitto, only its help is left here
        Command::Mosquitto { .. } | Command::Test(_) | Command::Diff { .. } | Command::Replay(_) => Ok(true),
        Command::Completions { shell } => manual::completions(*shell).map(|()| true),
        Command::Man { dir } => manual::man(dir.as_deref()).map(|()| true),
    };
    Ok(if done? { 0 } else { import::NO })
}

fn store(action: &StoreAction) -> Result<bool, CommandError> {
    let mut out = io::stdout().lock();
    let done = match action {
        StoreAction::Check { data_dir } => tools::check(data_dir, &mut out),
        StoreAction::Dump { data_dir, all } => tools::dump(data_dir, *all, &mut out).map(|()| true),
        StoreAction::Backup { data_dir, dir } => tools::backup(data_dir, dir, &mut out).map(|()| true),
        StoreAction::Export { data_dir, dir: Some(dir), .. } => {
            tools::export_format_1(data_dir, dir, &mut out).map(|()| true)
        }
        StoreAction::Export { data_dir, .. } => tools::export(data_dir, &mut out).map(|()| true),
        StoreAction::Import { data_dir } => tools::import(data_dir, io::stdin().lock(), &mut out).map(|()| true),
        StoreAction::Repair { data_dir } => tools::repair(data_dir, &mut out).map(|()| true),
    };
    match done {
        Err(ToolError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        done => Ok(done?),
    }
}

fn change_password(passwd: &Passwd) -> Result<(), CommandError> {
    let Passwd { file, user, .. } = passwd;
    let edited = if passwd.delete {
        auth::edit(file, user, PasswordChange::Delete)?
    } else {
        let password = if passwd.batch {
            FirstLine::read(io::stdin().lock()).map_err(CommandError::Password)?.password
        } else {
            asked_twice(&format!("Password for {user}: "))?.into_bytes()
        };
        fits(&password, "the password")?;
        let change = match NonZeroU32::new(passwd.iterations).filter(|_| passwd.scram) {
            Some(iterations) => {
                for (text, name) in [(user.as_bytes(), "the user name"), (&password[..], "the password")] {
                    fits_scram(text, name)?;
                }
                PasswordChange::SetScram { password: &password, iterations }
            }
            None => PasswordChange::Set(&password),
        };
        auth::edit(file, user, change)?
    };
    let done = match edited {
        Edited::Added => "added",
        Edited::Changed => "has a new password",
        Edited::Deleted => "deleted",
    };
    say(&format!("{}: user {user:?} {done}; a broker that runs reads it at SIGHUP", file.display()))
}

fn answer(cli: &Cli, explain: &Explain) -> Result<bool, CommandError> {
    let config = cli.with_config(explain.config.as_deref()).resolve()?;
    let policy = access::load(&config, false)?;
    let publish = explain.action == Action::Publish;
    if publish && explain.topic.starts_with("$SYS/") && config.sys.client_publish != SysPublish::Allow {
        say("denied: sys.client_publish: clients may not publish to $SYS")?;
        return Ok(false);
    }
    if publish && explain.topic.starts_with("$events/") {
        say("denied: clients may not publish to $events")?;
        return Ok(false);
    }
    if let (None, Some(rule)) = (&explain.client, policy.needs_client()) {
        return Err(CommandError::NoClient(rule));
    }
    let explanation = policy.explain(&Question {
        user: explain.user.as_deref(),
        client: explain.client.as_deref().unwrap_or_default(),
        publish,
        topic: &explain.topic,
    });
    say(&explanation.to_string())?;
    if let Some(name) = explain.user.as_deref().filter(|name| policy.is_unknown(name)) {
        eprintln!("warning: user {name:?} is not in auth.password_file and cannot log in");
    }
    Ok(explanation.allowed)
}

/// Prints a line. The reader of standard output may have ended already.
fn say(text: &str) -> Result<(), CommandError> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Write(error)),
        _ => Ok(()),
    }
}
