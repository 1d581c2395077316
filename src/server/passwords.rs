//! Passwords that an operator types, and the error for a password that no client can send.

use super::command_error::CommandError;
use crate::auth::{check_password, check_scram};

pub(super) fn asked_twice(prompt: &str) -> Result<String, CommandError> {
    let ask = |prompt: &str| rpassword::prompt_password(prompt).map_err(CommandError::Password);
    let first = ask(prompt)?;
    match ask("The same again: ")? == first {
        true => Ok(first),
        false => Err(CommandError::NoPassword("these are two passwords".into())),
    }
}

/// Checks a password. The error calls it `name` and has the reason.
pub(super) fn fits(password: &[u8], name: &str) -> Result<(), CommandError> {
    check_password(password).map_err(|problem| CommandError::NoPassword(format!("{name} {problem}")))
}

/// The same for SCRAM.
pub(super) fn fits_scram(text: &[u8], name: &str) -> Result<(), CommandError> {
    check_scram(text).map_err(|problem| CommandError::NoPassword(format!("{name} {problem}")))
}
