//! Which files may name what only some operating systems have: without this rule, the next file that imports
//! `std::os::unix` would be noticed by the check for Windows alone.

use crate::{
    assert_none,
    rust::{paths, tokens, without_tests},
    sources,
};

/// The room that has a counterpart of each name for Windows, and files that Windows has others for.
const PLATFORM: &str = "src/platform/";
const OTHERS_ON_WINDOWS: &[&str] = &[
    "src/bin/dunlin/process.rs",
    "src/bin/dunlin/process_of_windows.rs",
    "src/bin/dunlin/service.rs",
    "src/server/starter_set.rs",
    "src/testing/parent.rs",
];

const OF_SOME_SYSTEMS: &[[&str; 2]] = &[
    ["os", "fd"],
    ["os", "linux"],
    ["os", "unix"],
    ["os", "windows"],
    ["io", "unix"],
    ["net", "UnixDatagram"],
    ["net", "UnixListener"],
    ["net", "UnixStream"],
    ["signal", "unix"],
    ["signal", "windows"],
    ["rustix", "fs"],
    ["rustix", "process"],
    ["rustix", "stdio"],
    ["rustix", "system"],
    ["rustix", "time"],
];

#[test]
fn one_room_knows_the_operating_system() {
    assert_none(sources("src").iter().flat_map(|s| systems(&s.name, &s.text)));
}

/// Names of some systems outside of tests, and outside of the files that are for them.
fn systems(name: &str, text: &str) -> Vec<String> {
    let is_test = name.ends_with("/tests.rs") || name.contains("/tests/");
    if is_test || name.starts_with(PLATFORM) || OTHERS_ON_WINDOWS.contains(&name) {
        return Vec::new();
    }
    let is_one = |path: &[String]| path.windows(2).any(|window| OF_SOME_SYSTEMS.iter().any(|name| window == *name));
    let found = paths(&without_tests(&tokens(text))).into_iter().filter(|path| is_one(&path.segments));
    found.map(|path| format!("{name}:{}: {} is not on every system", path.line, path.segments.join("::"))).collect()
}

#[test]
fn the_rule_finds_what_it_looks_for_and_nothing_else() {
    for (text, found) in [
        ("use std::{fs, os::unix::fs::OpenOptionsExt};", "std::os::unix::fs::OpenOptionsExt"),
        ("fn f() { rustix::process::geteuid(); }", "rustix::process::geteuid"),
        ("use tokio::net::{TcpStream, UnixStream};", "tokio::net::UnixStream"),
    ] {
        let expected = format!("src/net/a.rs:1: {found} is not on every system");
        assert_eq!(systems("src/net/a.rs", text), [expected]);
        assert!(systems("src/net/tests.rs", text).is_empty());
        assert!(systems("src/platform/unix.rs", text).is_empty());
    }
    for right in [
        "use crate::platform::OpenOptionsExt;",
        "use rustix::{fd::OwnedFd, net::sockopt};",
        "#[cfg(test)] mod tests { use std::os::unix::fs::symlink; }",
    ] {
        assert_eq!(systems("src/net/a.rs", right), [""; 0]);
    }
}
