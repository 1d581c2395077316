//! The log lines about the configuration: at the start, and the changes at a reload.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, process::Command};

use serde_json::Value;

use super::connections::{configured, has};
use crate::support::{running::Running, secure::Certs};

const WITH_CERTIFICATE: &str = "[[listener]]\naddress = 'tls://0.0.0.0:0'\ncertificate_file = 'DIR/server.pem'\n\
                                key_file = 'DIR/server.key'\nclient_certificates = 'required'\nclient_ca_file = 'DIR/ca.pem'\n";

/// The output of `--check`.
fn checked(certs: &Certs) -> String {
    let mut check = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    check.env_clear().args(["--check", "--config", certs.path("dunlin.toml").to_str().unwrap()]);
    String::from_utf8(check.output().unwrap().stdout).unwrap()
}

#[test]
fn a_listener_that_demands_certificates_is_not_called_anonymous() {
    for (more, said, whom) in [
        ("identity = 'common-name'\n", "INFO", ", for clients with a certificate alone"),
        ("allow_anonymous = true\n", "INFO", ", for clients with a certificate alone"),
        ("", "WARN", ", which refuses all clients: a certificate is not a user name (identity), there are no users"),
    ] {
        let (certs, running) = configured(&format!("{WITH_CERTIFICATE}{more}"), &[]);
        let lines: Vec<_> = running.read.iter().filter(|line| line.contains("certificate")).collect();
        assert!(lines.len() == 1 && lines[0].contains(said), "{:#?}", running.read);
        has(lines[0], &[("listener", "tls://0.0.0.0:0")]);
        let of_others = ["anonymous clients are served", "any client", "no users are configured: "];
        assert!(
            !running.read.iter().any(|line| of_others.iter().any(|words| line.contains(words))),
            "{:#?}",
            running.read
        );
        let check = checked(&certs);
        assert!(check.contains(&format!("tls://0.0.0.0:0 (a free port){whom}")), "{check}");
        running.stop();
    }
    // beside others
    let (_certs, running) = configured(&format!("{WITH_CERTIFICATE}[[listener]]\naddress = '127.0.0.1:0'\n"), &[]);
    assert!(running.read.iter().any(|line| line.contains("anonymous clients are refused, also on loopback")));
    assert!(!running.read.iter().any(|line| line.contains("only clients on loopback may connect")));
    running.stop();
}

/// Reloads the configuration; returns the log lines of that.
fn reload(running: &mut Running) -> Vec<String> {
    let before = running.read.len();
    running.signal("HUP");
    running.wait_for("the configuration was read again");
    running.read[before..].to_vec()
}

#[test]
fn a_reload_logs_only_what_changed() {
    let text = |more: &str| {
        format!(
            "allow_anonymous = true\n{more}[[listener]]\naddress = '0.0.0.0:0'\n\
             [[listener]]\naddress = 'tls://127.0.0.1:0'\ncertificate_file = 'DIR/server.pem'\nkey_file = 'DIR/server.key'\n\
             [auth]\npassword_file = 'DIR/passwords'\nacl_file = 'DIR/acl'\n\
             # with a number of its own, the limit of open files is no news\n[limits]\nmax_connections = 100\n"
        )
    };
    let (certs, mut running) = configured(&text(""), &[("acl", "topic a\n")]);
    assert_eq!(running.read.iter().filter(|line| line.contains("WARN")).count(), 1, "{:#?}", running.read);
    let mode = |mode| fs::set_permissions(certs.path("server.key"), fs::Permissions::from_mode(mode)).unwrap();
    let write = |name: &str, text: &str| {
        fs::write(certs.path(name), text.replace("DIR", certs.dir().to_str().unwrap())).unwrap();
    };
    let mut expect = |expected: &[&str]| {
        let lines = reload(&mut running);
        assert_eq!(lines.len(), expected.len(), "{lines:#?}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.contains(expected), "{expected} is not in {line}");
        }
    };
    expect(&["changed=nothing"]);
    write("acl", "topic a\ntopic b\n");
    expect(&["access rules are on (auth.acl_file) rules=2", "changed=\"rules (auth.acl_file)\""]);
    write("dunlin.toml", &text("shutdown_grace = '1s'\n"));
    expect(&["changed=\"shutdown_grace"]);
    // a warning is repeated only after it went away meanwhile
    for _ in 0..2 {
        mode(0o644);
        expect(&["every user of this machine can read or write the private key", "changed=nothing"]);
        expect(&["changed=nothing"]);
        mode(0o600);
        expect(&["changed=nothing"]);
    }
    write("dunlin.toml", &text("").replace("allow_anonymous = true", "allow_anonymous = false"));
    expect(&["changed=\"allow_anonymous = false (was true), shutdown_grace"]);
    running.stop();
}

#[test]
fn a_secret_is_hidden_wherever_values_are_shown() {
    const SECRETS: [&str; 2] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];
    let text = |secret: &str| format!("[[listener]]\naddress = '127.0.0.1:0'\n[auth]\ntoken_secret = '{secret}'\n");
    let (certs, mut running) = configured(&text(SECRETS[0]), &[]);
    let check = checked(&certs);
    assert!(check.contains("auth.token_secret = \"(hidden)\" (by default \"\")"), "{check}");
    fs::write(certs.path("dunlin.toml"), text(SECRETS[1])).unwrap();
    let lines = reload(&mut running).concat();
    assert!(lines.contains(r#"changed="auth.token_secret = \"(hidden)\" (was \"(hidden)\")"#), "{lines}");
    for (written, said) in [
        ("'short-secret'", "a secret of 12 bytes"),
        ("1234567890123", "found the whole number (hidden)"),
        ("[1234567890123]", "found a list"),
        ("'${1234567890123}'", "(hidden) is not a name"),
        ("1234567890123.short-secret", "not valid TOML"),
        ("short-secret", "not valid TOML"),
        ("'short-secret", "not valid TOML"),
    ] {
        fs::write(certs.path("dunlin.toml"), text("").replace("''", written)).unwrap();
        running.signal("HUP");
        let line = running.wait_for("the configuration stays as it is");
        assert!(line.contains(said) && !line.contains("short-secret") && !line.contains("1234567890123"), "{line}");
    }
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
    let said = check + &running.read.concat();
    assert!(SECRETS.iter().all(|secret| !said.contains(secret)));
}

/// The one line that a broker with these flags and this variable ends with, as JSON.
fn ended(dir: &std::path::Path, flags: &[&str], variable: &str, code: i32) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    let done = command.env_clear().env("DUNLIN_LOG_FORMAT", variable).current_dir(dir).args(flags).output().unwrap();
    let text = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(code), "{text}");
    // a line of the log may be before it
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let last = lines.last().expect("a line");
    assert_eq!((&last["level"], &last["target"]), (&"ERROR".into(), &serde_json::Value::Null), "{last}");
    humantime::parse_rfc3339(last["timestamp"].as_str().unwrap()).unwrap();
    last.clone()
}

#[test]
fn start_errors_are_json_if_the_log_is() {
    const JSON: &str = "--log-format=json";
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("--listen={}", taken.local_addr().unwrap());
    fs::write(dir.path().join("key.toml"), "[log]\nformat = 'json'\n[limits]\nmax_conections = 1\n").unwrap();
    fs::write(dir.path().join("text.toml"), "[log]\nformat = 'text'\nwokers = 1\n").unwrap();
    fs::write(dir.path().join("toml.toml"), "[log]\nformat = 'json'\n]\n").unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let table: &[(&[&str], &str, i32, &str)] = &[
        (&[JSON, "--config=none.toml"], "", 1, "none.toml: cannot read the configuration: No such file"),
        (&["--config=none.toml"], "json", 1, "none.toml: cannot read the configuration: No such file"),
        (&["--config=key.toml"], "", 1, "key.toml:4: unknown key \"max_conections\" in [limits]; did you mean"),
        (&["--config=toml.toml"], "", 1, "toml.toml:3:"),
        (&["--config=text.toml", JSON], "", 1, "text.toml:3: unknown key \"wokers\""),
        (&[JSON, &listen], "", 1, "Address already in use (os error 98)"),
        (&[JSON, "--listen=127.0.0.1:0", "--data-dir=file"], "", 1, "file: is not a directory"),
        (&[JSON, "--check", "--config=none.toml"], "", 1, "none.toml: cannot read"),
        (&["--workers=x", "--log-format", "json"], "", 2, "invalid value 'x' for '--workers <N>'"),
        (&[JSON, "--lissen=1"], "text", 2, "unexpected argument '--lissen' found tip: a similar argument exists"),
        (&["extra"], "json", 2, "'extra'"),
    ];
    for (flags, variable, code, said) in table {
        let line = ended(dir.path(), flags, variable, *code);
        assert!(line["message"].as_str().is_some_and(|text| text.contains(said)), "{flags:?}: {line}");
    }
    // what else dunlin does has no log
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.env_clear().env("DUNLIN_LOG_FORMAT", "json").args(["passwd", "--delete", "/nonexistent/passwords", "eve"]);
    let text = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(text.starts_with("dunlin: /nonexistent/passwords"), "{text}");
}
