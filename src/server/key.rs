//! `dunlin key`: keys by which programs use the admin API.

use std::path::PathBuf;

use super::command_error::CommandError;
use crate::{
    auth::ApiKey,
    clock::Clock,
    config::{Cli, KeyAction, KeyArgs},
};

/// Runs the command in `args`, a part of `cli`. Returns its output.
pub(super) fn edit(cli: &Cli, args: &KeyArgs) -> Result<Vec<String>, CommandError> {
    let file = file(cli, args)?;
    match &args.action {
        KeyAction::Add { name, role, expires } => {
            let expires = expires.map(|lasts| Clock::default().wall() + lasts);
            let (key, _) = ApiKey::add(&file, name, *role, expires)?;
            Ok(vec![key])
        }
        KeyAction::List => {
            let line = |ApiKey { name, role, expires, .. }: &ApiKey| {
                let expires = expires.map(|at| humantime::format_rfc3339_seconds(at).to_string());
                format!("{name}  {}  expires {}", role.name(), expires.as_deref().unwrap_or("never"))
            };
            Ok(ApiKey::read(&file)?.iter().map(line).collect())
        }
        KeyAction::Delete { name } => {
            ApiKey::delete(&file, name)?;
            Ok(vec![format!("{}: key {name:?} deleted; a broker that runs reads it at SIGHUP", file.display())])
        }
    }
}

fn file(cli: &Cli, args: &KeyArgs) -> Result<PathBuf, CommandError> {
    if let Some(file) = &args.file {
        return Ok(file.clone());
    }
    let config = cli.with_config(args.config.as_deref()).resolve()?;
    config.http.keys_file.ok_or(CommandError::NoKeysFile)
}
