//! Passwords that somebody types, or that are the first line of something.

use std::io::{self, BufRead};

use super::command_error::CommandError;

pub(super) fn first_line(mut input: impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

pub(super) fn asked_twice(prompt: &str) -> Result<String, CommandError> {
    let ask = |prompt: &str| rpassword::prompt_password(prompt).map_err(CommandError::Password);
    let first = ask(prompt)?;
    match ask("The same again: ")? == first {
        true => Ok(first),
        false => Err(CommandError::NoPassword("these are two passwords")),
    }
}
