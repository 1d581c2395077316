//! Warnings about users and rules that are valid and hardly meant.

use std::{sync::Arc, time::Duration};

use super::{Rules, Users, password::Hash};
use crate::clock::Stopwatch;

/// The longest search of a password file for empty passwords.
const LOOKING: Duration = Duration::from_millis(500);

/// Warns about users with the hash of an empty password. Hashing is slow, so this stops after [`LOOKING`]; a login with
/// an empty password is refused in any case.
pub(super) fn warn_of_empty_passwords(file: &str, lines: &[(usize, Box<str>, Arc<Hash>)], warnings: &mut Vec<String>) {
    let looking = Stopwatch::start();
    for (number, name, hash) in lines {
        if looking.took() >= LOOKING {
            return;
        }
        if hash.is_of(b"") {
            warnings.push(format!(
                "{file}:{number}: user {name:?} has the hash of an empty password and cannot log in: an empty password is \
                 refused, as by mosquitto; set another one: dunlin passwd {file} {name:?}"
            ));
        }
    }
}

/// Warns about SCRAM from so many `$7$` lines; `least`: the fewest iterations of one.
pub(super) fn warn_of_scram_from_passwords(lines: usize, least: u32, warnings: &mut Vec<String>) {
    warnings.push(format!(
        "auth.scram_from_password_file = true: SCRAM-SHA-512 is served from {lines} $7$ lines (the fewest iterations are \
         {least}; RFC 7677 asks for 4096): a person who reads such a line can log in with it, without knowing the password; \
         better is: dunlin passwd --scram"
    ));
}

/// Warns about users whose names are not exactly one level of a topic in a pattern; names the first few.
pub(super) fn warn_of_names_in_patterns(users: &Users, rules: &Rules, warnings: &mut Vec<String>) {
    const NAMED: usize = 10;
    let Some(line) = rules.patterns().iter().find(|rule| rule.filter.contains("%u")).map(|rule| rule.line) else {
        return;
    };
    let mut names: Vec<_> = users.names().filter(|name| name.contains(['/', '+', '#'])).collect();
    names.sort_unstable();
    let file = rules.file();
    for name in names.iter().take(NAMED) {
        let what = match name.contains(['+', '#']) {
            true => "has + or # in it, and no pattern holds for such a user",
            false => "has / in it, which parts levels: such a user may reach topics that are meant for others",
        };
        warnings.push(format!("{file}:{line}: %u stands in a pattern, and the user name {name:?} {what}"));
    }
    if names.len() > NAMED {
        warnings.push(format!("{file}:{line}: the same of {} more users", names.len() - NAMED));
    }
}

/// Warns about rules for users that the password file lacks; names the first few.
pub(super) fn warn_of_unknown_users(users: &Users, rules: &Rules, warnings: &mut Vec<String>) {
    const NAMED: usize = 10;
    let file = rules.file();
    let mut unknown = rules.named().iter().filter(|(_, name)| !users.contains(name));
    for (line, name) in unknown.by_ref().take(NAMED) {
        warnings.push(format!(
            "{file}:{line}: rules for user {name:?}, who is not in auth.password_file and cannot log in"
        ));
    }
    match unknown.count() {
        0 => {}
        more => warnings.push(format!("{file}: rules for {more} more users who are not in auth.password_file")),
    }
}
