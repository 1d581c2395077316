//! Rules of the design that no compiler checks: which room may import which, what the pure rooms may not use, how long
//! a file may be, no unfinished code. The checkers are functions over text; a test of each shows that it finds
//! violations.

mod circles;
mod documents;
mod mutations;
mod rust;
mod systems;
mod texts;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use circles::{circles, reaches_behind_a_face};
use rust::{Token, functions, paths, tokens, without_tests};

/// Each room, and the rooms it may import from.
const ROOMS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("clock", &[]),
    ("platform", &[]),
    ("topic", &["types"]),
    ("codec", &["types", "topic"]),
    ("session", &["types", "topic", "codec"]),
    ("router", &["types", "topic", "codec", "session"]),
    ("inside", &["types", "clock", "topic", "codec", "session", "router"]),
    ("trace", &["types", "clock", "topic", "codec"]),
    ("pem", &["types", "clock", "platform"]),
    ("outbound", &["types", "clock", "platform", "topic", "codec", "pem"]),
    ("net", &["types", "clock", "platform", "topic", "codec", "session", "router", "pem", "trace"]),
    ("auth", &["types", "clock", "platform", "topic", "codec", "session", "router", "outbound"]),
    ("store", &["types", "clock", "platform", "topic", "codec", "session", "router"]),
    ("admin", &["types", "clock", "platform", "topic", "codec", "session", "router", "inside", "trace"]),
    ("bridge", &["types", "clock", "topic", "codec", "session", "router", "inside", "outbound"]),
    ("hooks", &["types", "clock", "platform", "topic", "codec", "session", "router", "inside", "outbound", "trace"]),
    ("config", &["types", "platform"]),
    ("certs", &["clock", "platform"]),
    (
        "server",
        &[
            "types", "clock", "platform", "topic", "codec", "session", "router", "net", "auth", "store", "inside",
            "admin", "config", "certs", "bridge", "hooks", "outbound", "trace",
        ],
    ),
    (
        "testing",
        &[
            "types", "clock", "platform", "topic", "codec", "session", "router", "net", "store", "admin", "config",
            "server", "outbound", "trace",
        ],
    ),
];

/// What `lib.rs` exports beside the rooms, and the room that it is from.
const REEXPORTS: &[(&str, &[&str])] = &[
    ("clock", &["Clock", "TestClock"]),
    ("codec", &["ReasonCode"]),
    ("config", &["Config", "ConfigError", "ListenerConfig"]),
    (
        "router",
        &[
            "Admitted",
            "Authenticate",
            "Authentication",
            "Authorize",
            "Counters",
            "Credentials",
            "DropReason",
            "Event",
            "Exchange",
            "Forward",
            "Identity",
            "Observe",
            "Origin",
            "PeerAddress",
            "Peer",
            "Pending",
            "Proof",
            "Refusal",
            "Rights",
            "Verdict",
        ],
    ),
    ("server", &["Builder", "Server", "ServerError"]),
    ("session", &["CloseReason", "Outgoing"]),
    ("topic", &["TopicFilter", "TopicName"]),
    ("types", &["ClientId", "QoS"]),
];

/// Where the files of the binary are; it uses the library as anybody else does.
const BINARY: &str = "src/bin/dunlin/";

/// Rooms without sockets, files, threads, clocks, locks and randomness, and the paths or parts of paths that would be.
const PURE: &[&str] = &["topic", "codec", "session"];
const IMPURE: &[&str] = &[
    "tokio",
    "std::net",
    "std::fs",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Mutex",
    "RwLock",
    "rand",
    "getrandom",
];

/// Where the system's clock is read and waited for, and what would be that elsewhere. clippy.toml has the same, which
/// knows types and not what stands under `cfg`.
const CLOCK: &str = "src/clock/system.rs";
const CLOCK_READS: &[[&str; 2]] = &[
    ["Instant", "now"],
    ["Instant", "elapsed"],
    ["SystemTime", "now"],
    ["SystemTime", "elapsed"],
    ["thread", "park_timeout"],
    ["time", "sleep"],
    ["time", "sleep_until"],
    ["time", "timeout"],
    ["time", "timeout_at"],
    ["time", "interval"],
    ["time", "interval_at"],
];

/// What installs something that a process has once.
const INSTALLERS: &[&str] = &[
    "set_global_default",
    "try_init",
    "set_boxed_logger",
    "set_logger",
    "install_default",
    "set_hook",
    "ctrl_c",
    "sigaction",
    "SignalKind",
];
/// `jsonwebtoken` knows no other way to be told what checks signatures.
const INSTALLS_FOR_TOKENS: &str = "src/auth/signatures.rs";

const MAIN: &str = "src/bin/dunlin/main.rs";

/// Of a file, without its tests.
const MAX_LINES: usize = 600;
const MAX_LINES_OF_A_FUNCTION: usize = 80;
const MAX_COLUMNS_OF_A_COMMENT: usize = 120;
const MAX_LINES_OF_MAIN: usize = 100;

#[test]
fn imports_go_one_way() {
    assert_none(sources("src").iter().flat_map(|s| imports(&s.name, &s.text)));
}

#[test]
fn folders_within_a_room_import_one_way_and_what_is_shown() {
    let sources = sources("src");
    assert_none(circles(&sources).into_iter().chain(reaches_behind_a_face(&sources)));
}

#[test]
fn pure_rooms_touch_nothing_outside() {
    assert_none(sources("src").iter().flat_map(|s| impurities(&s.name, &s.text)));
}

#[test]
fn one_file_reads_the_clock() {
    let is_test = |name: &str| name.ends_with("/tests.rs") || name.contains("/tests/");
    assert_none(sources("src").iter().filter(|s| !is_test(&s.name)).flat_map(|s| clock_reads(&s.name, &s.text)));
}

#[test]
fn the_library_changes_no_state_of_the_process() {
    assert_none(sources("src").iter().flat_map(|s| installs(&s.name, &s.text)));
}

#[test]
fn each_source_file_has_a_head_and_is_short() {
    assert_none(sources("src").iter().flat_map(|s| shape(&s.name, &s.text)));
}

#[test]
fn functions_and_comments_are_short() {
    let is_test = |name: &str| name.ends_with("/tests.rs") || name.contains("/tests/");
    assert_none(sources("src").iter().filter(|s| !is_test(&s.name)).flat_map(|s| long_functions(&s.name, &s.text)));
    assert_none(
        ["src", "tests", "benches"].into_iter().flat_map(sources).flat_map(|s| wide_comments(&s.name, &s.text)),
    );
}

#[test]
fn a_module_with_parts_is_mod_rs() {
    let sources = sources("src");
    let folders: BTreeSet<_> = sources.iter().filter_map(|s| s.name.rsplit_once('/')).map(|(f, _)| f).collect();
    let beside = sources.iter().filter(|s| s.name.strip_suffix(".rs").is_some_and(|name| folders.contains(name)));
    assert_none(beside.map(|s| format!("{}: stands beside the folder of its parts, not in it as mod.rs", s.name)));
}

#[test]
fn no_source_has_stubs_or_todos() {
    assert_none(["src", "tests"].into_iter().flat_map(sources).flat_map(|s| unfinished(&s.name, &s.text)));
}

#[test]
fn paths_driven_by_the_network_do_not_unwrap() {
    let sources = sources("src");
    let tests: BTreeSet<String> = sources.iter().flat_map(|s| test_modules(&s.name, &s.text)).collect();
    let is_test = |name: &str| tests.iter().any(|t| name == format!("{t}.rs") || name.starts_with(&format!("{t}/")));
    assert!(sources.iter().any(|s| is_test(&s.name)), "no file is recognised as a test");
    assert_none(sources.iter().filter(|s| !is_test(&s.name)).flat_map(|s| unwraps(&s.name, &s.text)));
}

/// Each of them is linked with the whole broker: a new file of tests is a module of `tests/it`.
#[test]
fn there_are_three_crates_of_tests() {
    let is_crate = |path: &PathBuf| path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").exists();
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")).expect("a folder of sources");
    let crates: BTreeSet<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).filter(is_crate).collect();
    let names: Vec<_> = crates.iter().map(|path| path.file_name().expect("a name").to_string_lossy()).collect();
    assert_eq!(names, ["crash", "it", "tidy"]);
}

#[test]
fn tests_wait_for_events_and_all_of_them_run() {
    assert_none(["src", "tests"].into_iter().flat_map(sources).flat_map(|s| ignored_tests(&s.name, &s.text)));
    assert_none(sources("tests").iter().flat_map(|s| sleeps(&s.name, &s.text)));
}

#[test]
fn the_release_has_no_debug_information_and_a_profile_of_its_own_has() {
    let manifest: toml::Table =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap().parse().unwrap();
    let [release, profiling] = ["release", "profiling"].map(|name| &manifest["profile"][name]);
    assert_eq!(release["strip"].as_str(), Some("debuginfo"));
    assert_eq!((profiling["inherits"].as_str(), profiling["strip"].as_str()), (Some("release"), Some("none")));
    assert!(profiling["debug"].as_integer().is_some_and(|level| level > 0));
}

// ---- the checkers: a file's name and its text → violations ----

fn imports(name: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let used = rooms_named(name, &tokens);
    if name.starts_with(BINARY) {
        // a room of the library is reached by its name there
        let is_room = |to: &str| ROOMS.iter().any(|(room, _)| *room == to);
        let foreign = used.iter().filter(|(to, _)| is_room(to));
        let mut wrong: Vec<_> = foreign
            .map(|(to, line)| format!("{name}:{line}: the binary names crate::{to}, not dunlin::{to}"))
            .collect();
        let modules = tokens.windows(2).filter(|w| w[0].text == "mod" && is_room(&w[1].text));
        wrong.extend(modules.map(|w| format!("{name}:{}: a module of its own: {}", w[1].line, w[1].text)));
        if name == MAIN && !paths(&tokens).iter().any(|p| p.segments[0] == "dunlin") {
            wrong.push(format!("{name}: does not use the library"));
        }
        return wrong;
    }
    if name == "src/lib.rs" {
        return Vec::new();
    }
    let from = room(name);
    let Some((_, allowed)) = ROOMS.iter().find(|(room, _)| *room == from) else {
        return vec![format!("{name}: a room that the design does not know: {from}")];
    };
    let mut wrong = Vec::new();
    for (to, line) in used {
        let exported = REEXPORTS.iter().find(|(_, names)| names.contains(&to.as_str()));
        let to = exported.map_or(to.as_str(), |(room, _)| room);
        if to != from && !allowed.contains(&to) {
            wrong.push(format!("{name}:{line}: {from} imports {to}"));
        }
    }
    wrong
}

fn impurities(name: &str, text: &str) -> Vec<String> {
    if !PURE.contains(&room(name)) {
        return Vec::new();
    }
    // there is no other way to an `Instant` that a test can hand over
    let is_test = name.ends_with("/tests.rs") || name.contains("/tests/");
    let found = paths(&tokens(text)).into_iter().flat_map(|path| {
        let hits = IMPURE.iter().filter(move |&&impure| !(is_test && impure == "Instant::now")).filter(move |impure| {
            let impure: Vec<&str> = impure.split("::").collect();
            path.segments.windows(impure.len()).any(|window| window == impure)
        });
        hits.map(move |impure| format!("{name}:{}: {impure} in a pure room", path.line)).collect::<Vec<_>>()
    });
    found.collect()
}

/// Outside of tests, functions that do not follow a clock that a test turns.
fn clock_reads(name: &str, text: &str) -> Vec<String> {
    if name == CLOCK {
        return Vec::new();
    }
    let tokens = without_tests(&tokens(text));
    let reads = |path: &[String]| path.windows(2).any(|window| CLOCK_READS.iter().any(|read| window == *read));
    let paths = paths(&tokens).into_iter().filter(|path| reads(&path.segments));
    let mut wrong: Vec<_> = paths.map(|path| (path.line, path.segments.join("::"))).collect();
    let calls = tokens.windows(3).filter(|w| w.iter().map(|t| t.text.as_str()).eq([".", "elapsed", "("]));
    wrong.extend(calls.map(|w| (w[1].line, ".elapsed()".to_owned())));
    wrong
        .into_iter()
        .map(|(line, what)| format!("{name}:{line}: {what} does not turn with the broker's clock"))
        .collect()
}

/// Loggers, signal handlers, hooks and providers: those belong to the program that the library is a part of.
fn installs(name: &str, text: &str) -> Vec<String> {
    if name.starts_with(BINARY) || name == INSTALLS_FOR_TOKENS {
        return Vec::new();
    }
    let tokens = without_tests(&tokens(text));
    let found = tokens.iter().filter(|token| INSTALLERS.contains(&token.text.as_str()));
    found.map(|token| format!("{name}:{}: {} is the process's", token.line, token.text)).collect()
}

fn shape(name: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !text.starts_with("//! ") {
        wrong.push(format!("{name}: does not begin with `//!` and what it is"));
    }
    let is_test = name.ends_with("/tests.rs") || name.contains("/tests/");
    let lines = if is_test { 0 } else { text.lines().count() - lines_of_tests(text) };
    let most = if name == MAIN { MAX_LINES_OF_MAIN } else { MAX_LINES };
    if lines > most {
        wrong.push(format!("{name}: {lines} lines, more than {most}"));
    }
    wrong
}

/// Lines of the items of a file that are for tests alone.
fn lines_of_tests(text: &str) -> usize {
    let (all, kept) = (tokens(text), without_tests(&tokens(text)));
    let lines = |tokens: &[Token]| tokens.iter().map(|t| t.line).collect::<BTreeSet<_>>();
    let (all, kept) = (lines(&all), lines(&kept));
    // comments and empty lines between are the tests' too
    let tests: Vec<_> = all.difference(&kept).copied().collect();
    tests.chunk_by(|a, b| kept.range(a..b).next().is_none()).map(|chunk| chunk[chunk.len() - 1] - chunk[0] + 1).sum()
}

fn long_functions(name: &str, text: &str) -> Vec<String> {
    let long = functions(&without_tests(&tokens(text))).into_iter().filter(|f| f.lines > MAX_LINES_OF_A_FUNCTION);
    let told = long
        .map(|f| format!("{name}:{}: {} has {} lines, more than {MAX_LINES_OF_A_FUNCTION}", f.line, f.name, f.lines));
    told.collect()
}

/// A row of a table cannot be broken.
fn wide_comments(name: &str, text: &str) -> Vec<String> {
    let comments = text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("//"));
    let wide = comments.filter(|(_, line)| !line.contains(" | ") && line.chars().count() > MAX_COLUMNS_OF_A_COMMENT);
    wide.map(|(at, _)| format!("{name}:{}: a comment wider than {MAX_COLUMNS_OF_A_COMMENT} columns", at + 1)).collect()
}

fn unfinished(name: &str, text: &str) -> Vec<String> {
    // put together, so that this file does not contain them
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let mut wrong = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let left = words.iter().filter(|word| line.contains(**word));
        wrong.extend(left.map(|word| format!("{name}:{}: {word}", at + 1)));
    }
    let macros = ["todo", "unimplemented"];
    for pair in tokens(text).windows(2) {
        if macros.contains(&pair[0].text.as_str()) && pair[1].text == "!" {
            wrong.push(format!("{name}:{}: {}!", pair[0].line, pair[0].text));
        }
    }
    wrong
}

fn unwraps(name: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let outside = without_tests(&tokens);
    let calls = outside.windows(4).filter(|w| w.iter().map(|t| t.text.as_str()).eq([".", "unwrap", "(", ")"]));
    calls.map(|w| format!("{name}:{}: .unwrap() outside of tests", w[1].line)).collect()
}

fn ignored_tests(name: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let ignored = tokens.windows(3).filter(|w| w.iter().map(|t| t.text.as_str()).eq(["#", "[", "ignore"]));
    ignored.map(|w| format!("{name}:{}: an ignored test", w[2].line)).collect()
}

fn sleeps(name: &str, text: &str) -> Vec<String> {
    let sleeping: [&[&str]; 3] = [&["thread", "sleep"], &["time", "sleep"], &["thread", "park_timeout"]];
    let paths = paths(&tokens(text));
    let found = paths.iter().filter(|p| sleeping.iter().any(|s| p.segments.windows(2).any(|window| window == *s)));
    found
        .map(|p| format!("{name}:{}: {}: a test waits for an event, never for a time", p.line, p.segments.join("::")))
        .collect()
}

/// The paths, without `.rs`, of the modules that a file declares for tests alone.
fn test_modules(name: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let folder = name.strip_suffix("/mod.rs").or(name.strip_suffix("/lib.rs")).or(name.strip_suffix(".rs"));
    let words = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let declared =
        tokens.windows(10).filter(|w| w.iter().zip(words).all(|(t, word)| t.text == word) && w[9].text == ";");
    declared.map(|w| format!("{}/{}", folder.unwrap_or(name), w[8].text)).collect()
}

/// The room that a file belongs to.
fn room(name: &str) -> &str {
    let inner = name.strip_prefix("src/").unwrap_or(name);
    inner.split('/').next().map_or(inner, |first| first.strip_suffix(".rs").unwrap_or(first))
}

/// The items that a file names directly under the crate's root, by `crate::` or by enough `super::`, with their places.
fn rooms_named(name: &str, tokens: &[Token]) -> Vec<(String, usize)> {
    let inner = name.strip_prefix(BINARY).or(name.strip_prefix("src/")).unwrap_or(name);
    let inner = inner.trim_end_matches(".rs").trim_end_matches("/mod");
    let depth = inner.split('/').count();
    let named = paths(tokens).into_iter().filter_map(|path| {
        let to_root = match path.segments[0].as_str() {
            "crate" => 1,
            "super" => depth + path.modules,
            _ => return None,
        };
        let climbs = path.segments.iter().take_while(|s| *s == "crate" || *s == "super").count();
        (climbs == to_root).then(|| Some((path.segments.get(to_root)?.clone(), path.line)))?
    });
    // once a line is enough
    named.collect::<BTreeSet<_>>().into_iter().collect()
}

// ---- reading ----

struct Source {
    /// From the root of the repository.
    name: String,
    text: String,
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join(folder), &mut files);
    assert!(files.len() > 5, "{folder} holds {} files", files.len());
    files.sort();
    let name = |file: &Path| file.strip_prefix(root).expect("below the root").display().to_string();
    files.iter().map(|f| Source { name: name(f), text: fs::read_to_string(f).expect("a source is UTF-8") }).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

#[track_caller]
fn assert_none(wrong: impl IntoIterator<Item = String>) {
    let wrong: Vec<String> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

// ---- each rule can fail ----

type Checker = fn(&str, &str) -> Vec<String>;

#[test]
fn each_rule_finds_what_it_looks_for() {
    let bad: &[(Checker, &str, &str, &str)] = &[
        (imports, "src/topic/a.rs", "use crate::codec::Packet;", "src/topic/a.rs:1: topic imports codec"),
        (imports, "src/codec/mod.rs", "\n\nuse crate::session::Session;", "src/codec/mod.rs:3: codec imports session"),
        (
            imports,
            "src/session/a.rs",
            "use crate::{\n types::QoS,\n router::{Local, Router},\n};",
            ":3: session imports router",
        ),
        (imports, "src/session/a.rs", "use crate::{codec::{self, Packet}, net};", "session imports net"),
        (imports, "src/net/a.rs", "fn f() -> crate::auth::Anonymous { todo() }", "net imports auth"),
        (imports, "src/auth/mod.rs", "pub(crate) use crate::store as s;", "auth imports store"),
        (imports, "src/admin/mod.rs", "use crate::net::*;", "admin imports net"),
        (imports, "src/config/a.rs", "use crate::topic::TopicName;", "config imports topic"),
        (imports, "src/router/mod.rs", "use crate::config::Limits;", "router imports config"),
        (imports, "src/router/mod.rs", "use crate::{Config, types::QoS};", "router imports config"),
        (imports, "src/net/a.rs", "fn f(s: &crate::Server) {}", "net imports server"),
        (imports, "src/types/mod.rs", "use crate::topic::TopicName;", "types imports topic"),
        (imports, "src/topic/a.rs", "use super::super::codec::Packet;", "topic imports codec"),
        (imports, "src/topic/a.rs", "mod tests { use super::super::super::{codec::Packet}; }", "topic imports codec"),
        (imports, "src/codec/mod.rs", "use super::session;", "codec imports session"),
        (imports, "src/codec/v5/mod.rs", "#[cfg(test)] mod tests { use crate::session; }", "codec imports session"),
        (imports, "src/rooom/mod.rs", "", "a room that the design does not know: rooom"),
        (
            imports,
            "src/bin/dunlin/main.rs",
            "use dunlin::Config; use crate::server::Server;",
            "the binary names crate::server",
        ),
        (imports, "src/bin/dunlin/main.rs", "use dunlin::Config; mod server;", "a module of its own: server"),
        (imports, "src/bin/dunlin/main.rs", "mod log;", "does not use the library"),
        (impurities, "src/topic/a.rs", "use tokio::sync::Notify;", "src/topic/a.rs:1: tokio in a pure room"),
        (impurities, "src/codec/a.rs", "use std::{fmt, net::TcpStream};", "std::net in a pure room"),
        (impurities, "src/codec/a.rs", "use std::{fmt,\n fs};", ":2: std::fs in a pure room"),
        (impurities, "src/session/a.rs", "fn f() { std::thread::yield_now() }", "std::thread in a pure room"),
        (impurities, "src/session/a.rs", "let now = SystemTime::now();", "SystemTime in a pure room"),
        (impurities, "src/session/a.rs", "let now = std::time::Instant::now();", "Instant::now in a pure room"),
        (impurities, "src/session/a.rs", "struct A { b: parking_lot::Mutex<u8> }", "Mutex in a pure room"),
        (impurities, "src/session/a.rs", "use std::sync::{Arc, RwLock};", "RwLock in a pure room"),
        (impurities, "src/session/tests.rs", "let a = rand::random();", "rand in a pure room"),
        (clock_reads, "src/net/a.rs", "\nfn f() { Instant::now() }", "src/net/a.rs:2: Instant::now does not turn"),
        (clock_reads, "src/net/a.rs", "fn f() { g(std::time::SystemTime::now) }", "SystemTime::now"),
        (clock_reads, "src/net/a.rs", "use tokio::{sync::Notify, time::timeout};", "tokio::time::timeout"),
        (clock_reads, "src/net/a.rs", "async fn f() { time::sleep_until(a).await }", "time::sleep_until"),
        (clock_reads, "src/store/a.rs", "fn f() { begins\n.elapsed() }", "src/store/a.rs:2: .elapsed()"),
        (clock_reads, "src/clock/mod.rs", "fn f() { std::thread::park_timeout(a) }", "std::thread::park_timeout"),
        (shape, "src/topic/a.rs", "// no\n", "does not begin with `//!`"),
        (shape, "src/topic/a.rs", "use std::fmt;\n//! Late.\n", "does not begin with `//!`"),
        (shape, "src/topic/a.rs", &"//! \n".repeat(601), "601 lines, more than 600"),
        (shape, "src/bin/dunlin/main.rs", &"//! \n".repeat(101), "101 lines, more than 100"),
        (shape, "src/a.rs", &format!("{}#[cfg(test)] mod tests {{\n}}", "//! \n".repeat(601)), "601 lines"),
        (installs, "src/net/a.rs", "fn f() { provider.install_default(); }", "src/net/a.rs:1: install_default"),
        (installs, "src/server/a.rs", "use tokio::signal::unix::SignalKind;", "SignalKind is the process's"),
        (long_functions, "src/a.rs", &format!("\nfn f() {{{}}}", "a();\n".repeat(80)), "src/a.rs:2: f has 81 lines"),
        (wide_comments, "src/a.rs", &format!("\n    // {}", "x ".repeat(57)), "src/a.rs:2: a comment wider"),
        (unfinished, "src/a.rs", concat!("\n// TO", "DO: later"), "src/a.rs:2: TO"),
        (unfinished, "src/a.rs", concat!("/* FIX", "ME */"), "src/a.rs:1: FIX"),
        (unfinished, "tests/a.rs", "fn f() { todo!() }", "tests/a.rs:1: todo!"),
        (unfinished, "src/a.rs", "fn f() { unimplemented! () }", "unimplemented!"),
        (unwraps, "src/a.rs", "fn f() { g()\n.unwrap(); }", "src/a.rs:2: .unwrap() outside of tests"),
        (unwraps, "src/a.rs", "#[cfg(test)]\nmod tests { fn f() { g() } }\nfn f() { g().unwrap() }", ":3: .unwrap()"),
        (unwraps, "src/a.rs", "#[cfg(test)] mod tests; fn f() { g().unwrap() }", ":1: .unwrap()"),
        (unwraps, "src/a.rs", "fn f() { g('\"').unwrap(); h(\"\") }", ":1: .unwrap()"),
        (unwraps, "src/a.rs", "fn f<'a>() { g('a', r#\"\"\"#, b\"\\\"\").unwrap(); }", ":1: .unwrap()"),
        (ignored_tests, "tests/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}", "tests/a.rs:2: an ignored test"),
        (ignored_tests, "tests/a.rs", "#[ignore] #[test] fn f() {}", "an ignored test"),
        (sleeps, "tests/a.rs", "fn f() { std::thread::sleep(SECOND) }", "tests/a.rs:1: std::thread::sleep"),
        (sleeps, "tests/a.rs", "use std::{thread::{self, sleep}};", "std::thread::sleep"),
        (sleeps, "tests/a.rs", "async fn f() { tokio::time::sleep(SECOND).await }", "tokio::time::sleep"),
    ];
    for (checker, name, text, expected) in bad {
        let found = checker(name, text);
        assert!(
            found.len() == 1 && found[0].contains(expected),
            "{text:?} in {name}: {expected:?} expected, not {found:?}"
        );
    }
}

#[test]
fn no_rule_finds_what_is_right() {
    let good: &[(Checker, &str, &str)] = &[
        (imports, "src/session/a.rs", "use crate::{codec::{self, Packet}, topic::TopicName, types};"),
        (
            imports,
            "src/session/a.rs",
            "//! [`Router`](crate::router::Router)\n/* use crate::net; */ const A: &str = \"crate::net\";",
        ),
        (
            imports,
            "src/session/a.rs",
            "use super::{close::ProtocolError, router}; mod tests { use super::super::net; }",
        ),
        (imports, "src/session/mod.rs", "mod tests { use super::net::*; }"),
        (imports, "src/server/mod.rs", "use crate::{auth, config::Config, net, router};"),
        (
            imports,
            "src/bin/dunlin/main.rs",
            "mod log; use dunlin::{Config, Server}; fn f() -> crate::log::A { crate::log::a() }",
        ),
        (imports, "src/bin/dunlin/log.rs", "mod tests { use super::told; }"),
        (impurities, "src/net/a.rs", "use std::{fs, net, thread}; use tokio::net::TcpStream;"),
        (impurities, "src/session/tests/a.rs", "let now = Instant::now();"),
        (
            impurities,
            "src/session/a.rs",
            "// no Mutex\nuse std::{io, time::{Duration, Instant}}; struct Brand; const A: &str = \"tokio\";",
        ),
        (
            clock_reads,
            "src/net/a.rs",
            "use std::time::Instant; fn f(c: &Clock) { c.now(); c.sleep(a); c.timeout(a, b) }",
        ),
        (clock_reads, "src/net/a.rs", "// Instant::now()\n#[cfg(test)] mod tests { fn f() { Instant::now() } }"),
        (clock_reads, "src/clock/system.rs", "fn now() -> Instant { Instant::now() }"),
        (shape, "src/a.rs", &"//! \n".repeat(600)),
        (shape, "src/a.rs", &format!("{}#[cfg(test)]\nmod tests {{\n{}}}", "//! \n".repeat(600), "a!();\n".repeat(9))),
        (installs, "src/bin/dunlin/log.rs", "fn f() { set_global_default(a) }"),
        (installs, "src/a.rs", "fn f() { install() } // set_hook"),
        (long_functions, "src/a.rs", &format!("fn f() {{\n{}}}\nfn g() {{}}", "a();\n".repeat(78))),
        (wide_comments, "src/a.rs", &format!("/// | {} |\nf(\"{}\");", "x |".repeat(99), "x".repeat(200))),
        (unfinished, "src/a.rs", "fn todo() {} const A: &str = \"todo!\";"),
        (unwraps, "src/a.rs", "#[cfg(test)]\nmod tests { fn f() { g().unwrap(); } }"),
        (unwraps, "src/a.rs", "/// a().unwrap()\nfn f() { g().unwrap_or(0); g().expect(\".unwrap()\") }"),
        (ignored_tests, "tests/a.rs", "// #[ignore]\n#[must_use] fn ignore() {}"),
        (
            sleeps,
            "tests/a.rs",
            "fn sleep() { std::thread::spawn(f); tokio::time::timeout(a, b) } const A: &str = \"thread::sleep(\";",
        ),
    ];
    for (checker, name, text) in good {
        assert_eq!(checker(name, text), [""; 0], "{text:?} in {name}");
    }
    assert_eq!(
        test_modules("src/a/mod.rs", "mod b;\n#[cfg(test)]\nmod tests;\n#[cfg(test)] mod inline {}"),
        ["src/a/tests"]
    );
    assert_eq!(test_modules("src/a/b.rs", "#[cfg(test)]\nmod tests;"), ["src/a/b/tests"]);
    assert_eq!(test_modules("src/lib.rs", "#[cfg(test)]\nmod c;"), ["src/c"]);
}
