//! The command line of mosquitto, for start scripts and container files that use it: `mosquitto -c FILE -p PORT -v`.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

/// Translates the flags to those of dunlin. Drops the word `mosquitto` if it is the first argument (an image's entry
/// point turns `mosquitto -c FILE` into `dunlin mosquitto -c FILE`), unless its help is asked for.
pub fn arguments(mut args: Vec<OsString>) -> Vec<OsString> {
    let is_mosquitto = args.get(1).is_some_and(|first| Path::new(first).file_name() == Some(OsStr::new("mosquitto")));
    if !is_mosquitto {
        return args;
    }
    if args[2..].iter().any(|arg| arg == "-h" || arg == "--help") {
        return [args[0].clone(), "mosquitto".into(), "--help".into()].into();
    }
    args.remove(1);
    for arg in &mut args[1..] {
        match arg.to_str() {
            Some("--test-config") => *arg = "--check".into(),
            Some("-q" | "--quiet") => *arg = "--log-level=error".into(),
            Some("--verbose") => *arg = "-v".into(),
            _ => {}
        }
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_mosquitto_is_left_out_where_a_command_stands() {
        let of = |args: &[&str]| arguments(args.iter().map(OsString::from).collect());
        for (args, expected) in [
            (&["dunlin", "mosquitto", "-c", "a"][..], &["dunlin", "-c", "a"][..]),
            (&["dunlin", "/usr/sbin/mosquitto", "-v"], &["dunlin", "-v"]),
            (&["dunlin", "mosquitto"], &["dunlin"]),
            (&["dunlin", "mosquitto", "-c", "a", "-d"], &["dunlin", "-c", "a", "-d"]),
            (&["dunlin", "mosquitto", "-c", "a", "--test-config"], &["dunlin", "-c", "a", "--check"]),
            (&["dunlin", "mosquitto", "-q"], &["dunlin", "--log-level=error"]),
            (&["dunlin", "/usr/sbin/mosquitto", "-h"], &["dunlin", "mosquitto", "--help"]),
            (&["dunlin", "-c", "mosquitto"], &["dunlin", "-c", "mosquitto"]),
            (&["dunlin", "mosquitto.conf"], &["dunlin", "mosquitto.conf"]),
            (&["mosquitto", "-c", "a"], &["mosquitto", "-c", "a"]),
            (&[], &[]),
        ] {
            assert_eq!(of(args), expected, "{args:?}");
        }
    }
}
