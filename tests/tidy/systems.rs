//! Which files may name what only some operating systems have, or ask which system it is: without this rule, the next
//! file that imports `std::os::unix` would be noticed by the check for Windows alone.

use crate::{
    assert_none,
    rust::{Token, paths, tokens, without_tests},
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

/// What a condition asks the compiler about the system.
const CONDITIONS: &[&str] = &["unix", "windows", "target_os", "target_family", "target_env", "target_vendor"];

#[test]
fn one_room_knows_the_operating_system() {
    assert_none(sources("src").iter().flat_map(|s| systems(&s.name, &s.text)));
}

#[test]
fn one_room_asks_which_operating_system_it_is() {
    assert_none(sources("src").iter().flat_map(|s| conditions(&s.name, &s.text)));
}

/// It is a test, or for some systems.
fn is_exempt(name: &str) -> bool {
    let is_test = name.ends_with("/tests.rs") || name.contains("/tests/");
    is_test || name.starts_with(PLATFORM) || OTHERS_ON_WINDOWS.contains(&name)
}

/// Conditions on the system, except those that choose a file for it.
fn conditions(name: &str, text: &str) -> Vec<String> {
    if is_exempt(name) {
        return Vec::new();
    }
    let tokens = without_tests(&tokens(text));
    let begins = |i: &usize| matches!(tokens[*i].text.as_str(), "cfg" | "cfg_attr");
    let of_system = (0..tokens.len()).filter(begins).filter(|&i| {
        let has = |word: &str| condition(&tokens[i + 1..]).iter().any(|token| token.text == word);
        let chooses_file = tokens[i].text == "cfg_attr" && has("path");
        !chooses_file && CONDITIONS.iter().any(|word| has(word))
    });
    of_system.map(|i| format!("{name}:{}: a condition on the system outside of {PLATFORM}", tokens[i].line)).collect()
}

/// What is between the parentheses.
fn condition(behind: &[Token]) -> &[Token] {
    let from = usize::from(behind.first().is_some_and(|token| token.text == "!"));
    let mut depth = 0;
    let ends = behind[from..].iter().position(|token| {
        match token.text.as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        depth <= 0
    });
    &behind[from..from + ends.unwrap_or(0)]
}

/// Names of some systems outside of tests, and outside of the files that are for them.
fn systems(name: &str, text: &str) -> Vec<String> {
    if is_exempt(name) {
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

#[test]
fn the_rule_finds_conditions_on_the_system_and_no_others() {
    for text in [
        "#[cfg(target_os = \"linux\")] fn f() {}",
        "#[cfg(not(windows))] fn f() {}",
        "#[cfg(all(feature = \"tls\", unix))] fn f() {}",
        "#[cfg_attr(windows, allow(unused))] fn f() {}",
        "fn f() { if cfg!(target_env = \"gnu\") {} }",
    ] {
        let expected = "src/net/a.rs:1: a condition on the system outside of src/platform/";
        assert_eq!(conditions("src/net/a.rs", text), [expected], "{text}");
        assert!(conditions("src/platform/unix.rs", text).is_empty());
    }
    for right in [
        "#[cfg(feature = \"tls\")] fn windows() {}",
        "#[cfg_attr(not(target_os = \"linux\"), path = \"no_parent.rs\")] mod parent;",
        "#[cfg(test)] mod tests { #[cfg(unix)] fn f() {} }",
        "fn f() { x.windows(2); cfg!(debug_assertions); }",
    ] {
        assert_eq!(conditions("src/net/a.rs", right), [""; 0]);
    }
}
