//! Files that are given in place of a `mosquitto.conf`, and files that one names and that do not exist.

use std::path::Path;

use toml::de::DeTable;

use super::{
    is_one,
    lines::Found,
    table,
    told::{Outcome, Told, of_working_directory},
};

/// What a text is instead of a `mosquitto.conf`, and what to do with it. `None`: it may be one.
pub fn what_it_is(path: &Path, text: &str) -> Option<&'static str> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines().next()?;
    if first.starts_with('{') {
        return Some("this is JSON, not a mosquitto.conf; dunlin import --dynsec takes a dynamic-security.json");
    }
    let word = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let begins_toml = first.starts_with('[') || first.contains('=') && table::row(&word(first)).is_none();
    if begins_toml && !is_one(path, text) || DeTable::parse(text).is_ok() {
        return Some("this is TOML, as a configuration of dunlin is, and needs no import: dunlin -c reads it");
    }
    let of_acl = |line: &str| ["user", "topic", "pattern"].contains(&word(line).as_str());
    if lines().all(of_acl) && lines().any(|line| word(line) != "user") {
        return Some(
            "this looks like an ACL file, not like a mosquitto.conf; it needs no import: name it with acl_file below [auth]",
        );
    }
    let of_passwords = |line: &str| line.split_once(':').is_some_and(|(_, hash)| hash.starts_with('$'));
    lines().all(of_passwords).then_some(
        "this looks like a password file, not like a mosquitto.conf; it needs no import: name it with password_file below \
         [auth]",
    )
}

/// The options whose value is a file without which the broker does not start.
const READ: [&str; 2] = ["acl_file", "password_file"];

/// An error for a line with a relative path, if there is no such file in the working directory.
pub(super) fn missing(found: &Found) -> Option<Told> {
    let path = Path::new(found.text());
    if !READ.contains(&found.row.name) || path.is_absolute() || path.exists() {
        return None;
    }
    Some(found.told(Outcome::Refused, format!("there is no file {:?}{}", found.text(), of_working_directory(path))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_than_a_mosquitto_conf_are_recognised() {
        for (text, expected) in [
            ("listener 1883\n", None),
            ("", None),
            ("# nothing\n", None),
            ("user mosquitto\n", None),
            ("connection a\naddress b\ntopic # out\n", None),
            ("xyzzy 1\n", None),
            ("[[listener]]\naddress = \"127.0.0.1:1883\"\n", Some("this is TOML")),
            ("allow_anonymous = true\n", Some("this is TOML")),
            ("[limits\nmax = 1", Some("this is TOML")),
            ("topic read a/#\n", Some("this looks like an ACL file")),
            ("# of the house\nuser bob\ntopic write b/#\npattern read c/%u\n", Some("this looks like an ACL file")),
            ("bob:$7$101$abc$def\n", Some("this looks like a password file")),
            ("{ \"clients\": [] }", Some("this is JSON")),
        ] {
            let found = what_it_is(Path::new("m.conf"), text);
            assert_eq!(found.is_some(), expected.is_some(), "{text}: {found:?}");
            assert!(found.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{text}: {found:?}");
        }
    }
}
