//! Each row of the table: lines with that option, what is told of them, and the TOML that they become.

use std::{fs, path::Path};

use super::{
    super::{file, parse},
    Import, Outcome, is_one,
    lines::in_mosquittos_order,
    table::ROWS,
};

/// `cases.txt`: lines of a `mosquitto.conf`; below them, behind `=> `, a line of it and what becomes of it, and behind
/// `== ` an entry of the TOML.
struct Case {
    conf: String,
    told: Vec<String>,
    entries: Vec<String>,
}

fn cases() -> Vec<Case> {
    let (mut cases, mut is_done) = (Vec::<Case>::new(), true);
    for line in include_str!("cases.txt").lines().filter(|line| !line.starts_with("//")) {
        let expects = line.starts_with("=> ") || line.starts_with("== ");
        if is_done && !expects {
            cases.push(Case { conf: String::new(), told: Vec::new(), entries: Vec::new() });
        }
        is_done = expects;
        let case = cases.last_mut().unwrap();
        match (line.strip_prefix("=> "), line.strip_prefix("== ")) {
            (Some(told), _) => case.told.push(told.into()),
            (_, Some(entry)) => case.entries.push(entry.into()),
            _ => case.conf += &format!("{line}\n"),
        }
    }
    cases
}

fn import(conf: &str) -> Import {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.conf");
    fs::write(&path, conf).unwrap();
    Import::of_file(&path)
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Same => "same",
        Outcome::Translated => "translated",
        Outcome::Meaningless => "meaningless",
        Outcome::Lost => "lost",
        Outcome::Refused => "refused",
    }
}

#[test]
fn each_line_of_a_mosquitto_conf_is_translated_or_reported() {
    let mut wrong = Vec::new();
    for Case { conf, told, entries } in cases() {
        let import = import(&conf);
        let all: Vec<_> =
            import.told.iter().map(|told| format!("{} {}", told.place.line, outcome(told.outcome))).collect();
        // a line may be told with what is said of it
        let is_told = |expected: &String| {
            let (start, what) = expected.split_once(": ").unwrap_or((expected, ""));
            import.told.iter().zip(&all).any(|(told, told_start)| told_start == start && told.what.contains(what))
        };
        for expected in told.iter().filter(|expected| !is_told(expected)) {
            wrong.push(format!("{conf}=> {expected} is not told, but\n{}", import.report()));
        }
        for entry in entries.iter().filter(|entry| !import.toml.lines().any(|line| line == *entry)) {
            wrong.push(format!("{conf}== {entry} is not in\n{}", import.toml));
        }
        let refuses = told.iter().any(|told| told.contains(" refused"));
        if !refuses && import.refused().next().is_some() {
            wrong.push(format!("{conf}is refused:\n{}", import.report()));
        }
        if import.refused().next().is_none() {
            parse(&import.toml, "m.toml").map_err(|error| wrong.push(format!("{conf}{error}\n{}", import.toml))).ok();
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_row_has_a_case() {
    let text: String = cases().into_iter().map(|case| case.conf).collect();
    let has = |name: &str| {
        text.lines().any(|line| {
            line.split(' ').next().is_some_and(|word| match name.strip_suffix('*') {
                Some(start) => word.starts_with(start) && !ROWS.iter().any(|row| row.name == word),
                None => word == name,
            })
        })
    };
    let without: Vec<_> = ROWS.iter().filter(|row| !has(row.name)).map(|row| row.name).collect();
    assert_eq!(without, [""; 0]);
}

#[test]
fn every_value_of_a_mosquitto_conf_has_its_line() {
    let toml = import("# mine\nlistener 1883\nmax_keepalive 60\n").toml;
    let lines: Vec<_> = toml.lines().collect();
    let at = lines.iter().position(|line| *line == "max_keep_alive = \"60s\"").unwrap();
    assert!(lines[at - 1].ends_with("m.conf:3: max_keepalive"), "{}", lines[at - 1]);
}

#[test]
fn files_of_a_directory_are_read_in_mosquittos_order_and_without_a_section() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("d")).unwrap();
    for (name, text) in [
        ("b.conf", "max_keepalive 2\nmax_connections 7\n"),
        ("B.conf", "max_keepalive 1\n"),
        (".conf", "max_keepalive 9\n"),
        ("c.txt", "x\n"),
    ] {
        fs::write(at("d").join(name), text).unwrap();
    }
    let main = format!("listener 1884\ninclude_dir {}\nprotocol websockets\n", at("d").display());
    fs::write(at("m.conf"), main).unwrap();
    let import = Import::of_file(&at("m.conf"));
    assert!(import.toml.contains("max_keep_alive = \"2s\"") && import.refused().next().is_none(), "{}", import.toml);
    // its max_connections is that of the default listener, which it opens; the main file goes on in its section
    assert!(import.toml.contains("address = \"*:1883\"") && import.toml.contains("\"ws://*:1884\""), "{}", import.toml);
    let mut names = ["x9", "x10", "b", "B", "a", "A", "01", "aA", "Ab"].map(str::as_bytes);
    names.sort_by(|a, b| in_mosquittos_order(a, b));
    assert_eq!(names, ["01", "A", "Ab", "a", "aA", "B", "b", "x10", "x9"].map(str::as_bytes));
    fs::create_dir(at("d").join("e.conf")).unwrap();
    assert_eq!(Import::of_file(&at("m.conf")).refused().count(), 1);
}

#[test]
fn a_configuration_of_mosquitto_is_recognised() {
    for (name, text, expected) in [
        ("mosquitto.conf", "", true),
        ("mosquitto.conf", "# only\n", true),
        ("dunlin.conf", "# mine\n[limits]\n", false),
        ("dunlin.conf", "workers = 2\n", false),
        ("m.conf", "listner 1883\n", true),
        ("m", "# Debian's\n\npid_file /run/mosquitto.pid\n", true),
        ("m", "allow_anonymous true\n", true),
        ("dunlin.toml", "allow_anonymous = true\n", false),
        ("dunlin.toml", "allow_anonymous=true\n", false),
        ("dunlin.toml", "", false),
        ("dunlin.toml", "workers 3\n", false),
    ] {
        assert_eq!(is_one(Path::new(name), text), expected, "{name}: {text}");
    }
}

#[test]
fn a_broker_starts_with_a_mosquitto_conf() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.conf");
    fs::write(&path, "listener 1883 127.0.0.1\r\nciphers HIGH\r\npersistence true\r\n").unwrap();
    let config = file::load(&path).unwrap();
    assert_eq!(config.listeners[0].name(), "127.0.0.1:1883");
    assert!(config.warnings[0].contains("m.conf:2: ciphers: not there"), "{:?}", config.warnings);
    assert!(config.data_dir.unwrap().ends_with("dunlin") && config.mosquitto_db.unwrap().ends_with("mosquitto.db"));
    fs::write(&path, "listener 1883\nallow_anonymous TRUE\n").unwrap();
    let error = file::load(&path).unwrap_err().to_string();
    assert!(error.contains("m.conf:2: allow_anonymous: refused: \"TRUE\" is neither"), "{error}");
}

#[test]
fn errors_and_warnings_about_the_values_have_the_line_and_the_option_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.conf");
    let shown = path.display().to_string();
    let bridge = "listener 1883\n\nconnection a\naddress b.example:1883\ntopic # out 1\n";
    for (more, expected) in [
        (
            "remote_password x\n",
            "m.conf:6: remote_password: a password needs a user name; write \"remote_username NAME\" too",
        ),
        (
            "start_type lazy\nconnection a\naddress c.example:1883\ntopic # out 1\n",
            "m.conf:7: connection: \"a\" is already the name",
        ),
        (
            "bridge_cafile /ca\nbridge_certfile /c\n",
            "m.conf:7: bridge_certfile: its key is missing; write \"bridge_keyfile FILE\" too",
        ),
    ] {
        fs::write(&path, format!("{bridge}{more}")).unwrap();
        let error = file::load(&path).map(|_| ()).unwrap_err().to_string();
        let is_it = error.strip_prefix(&format!("{}/", dir.path().display())).unwrap_or(&error).starts_with(expected);
        assert!(is_it, "{error}");
    }
    fs::write(&path, format!("{bridge}remote_username n\nremote_password x\n")).unwrap();
    let mode = |mode: u32| {
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        file::load(&path).unwrap().warnings
    };
    let expected = format!("{shown}:7: remote_password: others may read this secret (mode 0644); chmod 600 {shown}");
    assert!(mode(0o644).contains(&expected), "{:?}", mode(0o644));
    assert!(!mode(0o600).iter().any(|warning| warning.contains("others may read")));
}

#[test]
fn a_relative_path_without_a_file_is_an_error_with_the_working_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.conf");
    fs::write(&path, "listener 1883\npassword_file no/such/users\n").unwrap();
    let error = file::load(&path).map(|_| ()).unwrap_err().to_string();
    let here = std::env::current_dir().unwrap();
    let expected = format!(
        "m.conf:2: password_file: refused: there is no file \"no/such/users\" (relative to the working directory {}",
        here.display()
    );
    assert!(error.contains(&expected), "{error}");
    fs::write(&path, "topic read a/#\n").unwrap();
    let error = file::load(&path).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("m.conf: this looks like an ACL file"), "{error}");
}
