//! `dunlin import`: converts mosquitto's files.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
};

use super::command_error::CommandError;
use crate::{
    auth::{AuthError, Converted, convert_dynsec},
    config::{
        ImportArgs,
        mosquitto::{Import, what_it_is},
    },
    platform::OpenOptionsExt,
    store::tools,
};

/// The exit code for a negative answer or a refusal.
pub(super) const NO: u8 = 1;
/// The exit code of an import with losses.
const LOSSES: u8 = 3;

/// Imports the files in `args`. Returns the exit code.
pub(super) fn import(args: &ImportArgs) -> Result<u8, CommandError> {
    match (&args.db, &args.data_dir, &args.config) {
        (Some(database), Some(data_dir), _) => {
            tools::import_mosquitto(database, data_dir, &mut io::stdout().lock())?;
            Ok(0)
        }
        (_, _, Some(config)) => configuration(config, args),
        _ => match (&args.dynsec, &args.password_file, &args.acl_file) {
            (Some(file), Some(passwords), Some(rules)) => dynsec(file, passwords, rules, args.report.as_deref()),
            // the command line ensures this
            _ => Ok(NO),
        },
    }
}

fn dynsec(file: &Path, passwords: &Path, rules: &Path, report: Option<&Path>) -> Result<u8, CommandError> {
    let text = std::fs::read(file);
    let unreadable = |reason| AuthError::Unreadable { key: "--dynsec", file: file.display().to_string(), reason };
    let problem = |problem| AuthError::Setting { key: "--dynsec", problem: format!("{}: {problem}", file.display()) };
    let converted = convert_dynsec(&text.map_err(unreadable)?).map_err(problem)?;
    [passwords, rules].into_iter().try_for_each(is_new)?;
    let Converted { passwords: users, rules: lines, notes } = converted;
    // an empty file is being written by another process
    let head = format!("# of {}\n", file.display());
    write_secret(passwords, &(head.clone() + &users))?;
    write_secret(rules, &(head + &lines))?;
    let told: String = notes.iter().map(|note| format!("{}: {note}\n", file.display())).collect();
    match report {
        Some(report) => write(report, true, &told)?,
        None => io::stderr().write_all(told.as_bytes()).map_err(CommandError::Write)?,
    }
    Ok(if notes.is_empty() { 0 } else { LOSSES })
}

/// An error if the file exists: nothing is replaced.
fn is_new(file: &Path) -> Result<(), CommandError> {
    match file.symlink_metadata() {
        Ok(_) => Err(CommandError::Exists(file.into())),
        Err(_) => Ok(()),
    }
}

/// Creates a private file.
fn write_secret(file: &Path, text: &str) -> Result<(), CommandError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| CommandError::File { path: file.into(), error })
}

fn configuration(config: &Path, args: &ImportArgs) -> Result<u8, CommandError> {
    let ImportArgs { output, report, .. } = args;
    let read = std::fs::read(config).map_err(|error| CommandError::Read { path: config.into(), error })?;
    if let Some(what) = what_it_is(config, &String::from_utf8_lossy(&read)) {
        return Err(CommandError::NotMosquitto { path: config.into(), what });
    }
    output.iter().try_for_each(|file| is_new(file))?;
    let import = Import::of_file(config);
    let text = import.report();
    match report {
        Some(file) => write(file, true, &text)?,
        None => io::stderr().write_all(text.as_bytes()).map_err(CommandError::Write)?,
    }
    let refused = import.refused().count();
    if refused > 0 {
        // the report may be in a file
        let lines = if refused == 1 { "a line is" } else { "lines are" };
        let first = import.refused().next().map(ToString::to_string).unwrap_or_default();
        say(&format!("nothing is imported, as {lines} refused, the first: {first}"))?;
        return Ok(NO);
    }
    match output {
        Some(file) => write(file, false, &import.toml)?,
        None => io::stdout().write_all(import.toml.as_bytes()).map_err(CommandError::Write)?,
    }
    Ok(if import.lost().next().is_some() { LOSSES } else { 0 })
}

/// Prints to standard error: there is no log yet.
fn say(text: &str) -> Result<(), CommandError> {
    writeln!(io::stderr(), "dunlin: {text}").map_err(CommandError::Write)
}

/// Writes a configuration. An existing one is kept.
fn write(file: &Path, replace: bool, text: &str) -> Result<(), CommandError> {
    let mut options = OpenOptions::new();
    options.write(true).truncate(replace).create(replace).create_new(!replace);
    let written = options.open(file).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| CommandError::File { path: file.into(), error })
}
