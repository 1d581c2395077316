//! `dunlin man` and `dunlin completions`: manual pages and completions for shells, generated from the command line's
//! definition.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use clap::CommandFactory;
use clap_mangen::{Man, generate_to};

use super::{command_error::CommandError, completions};
use crate::config::{Cli, Shell};

/// Writes the manual pages of dunlin and of each subcommand to a directory, or the first to standard output. The page
/// of `dunlin store check` is `dunlin-store-check.1`.
pub(super) fn man(dir: Option<&Path>) -> Result<(), CommandError> {
    // "help" needs no page
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(dir) = dir else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page).map_err(CommandError::Write)?;
        return print(&page);
    };
    let written = fs::create_dir_all(dir).and_then(|()| generate_to(command, dir));
    written.map_err(|error| CommandError::Pages { dir: dir.into(), error })
}

/// Prints the completions of a shell.
pub(super) fn completions(shell: Shell) -> Result<(), CommandError> {
    print(&completions::script(shell))
}

/// Prints bytes. The reader of standard output may have ended already.
fn print(bytes: &[u8]) -> Result<(), CommandError> {
    match io::stdout().write_all(bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Write(error)),
        _ => Ok(()),
    }
}
