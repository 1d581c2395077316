//! `dunlin import mosquitto.conf` and `dunlin -c mosquitto.conf`, as commands.

use std::fs;

use tempfile::TempDir;

use crate::support::command::{dunlin, refused, text, told};

fn dir_with(text: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mosquitto.conf"), text).unwrap();
    dir
}

#[test]
fn an_imported_configuration_equals_the_mosquitto_conf() {
    let dir = dir_with("listener 0 m.sock\nacl_file acl\nmax_keepalive 60\npersistence true\nlog_type warning\n");
    fs::write(dir.path().join("acl"), "topic #\n").unwrap();
    fs::create_dir(dir.path().join("etc")).unwrap();
    let run = dunlin(dir.path(), &[], &["import", "mosquitto.conf", "-o", "etc/dunlin.toml", "--report", "report"]);
    assert_eq!((run.status.code(), text(&run.stdout), text(&run.stderr)), (Some(0), String::new(), String::new()));
    let report = fs::read_to_string(dir.path().join("report")).unwrap();
    for line in ["mosquitto.conf:2: acl_file: same: ", "  limits.session_expiry = \"never\" (persistent_client_"] {
        assert!(report.contains(line), "{line} is not in\n{report}");
    }
    // the file is in another directory: its paths are those of the original all the same
    let of = |file: &str| {
        let summary = told(dir.path(), &[], &["-c", file, "--check"]);
        let lines = summary.lines().filter(|line| !line.starts_with("configuration:") && !line.starts_with("from:"));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    assert_eq!(of("etc/dunlin.toml"), of("mosquitto.conf"));
    assert!(of("mosquitto.conf").contains(&format!("listen:        unix:{}", dir.path().join("m.sock").display())));
    // existing files are never replaced
    let line = refused(dir.path(), &[], &["import", "mosquitto.conf", "-o", "etc/dunlin.toml", "--report", "r"], 1);
    assert!(line.contains("etc/dunlin.toml already exists, and nothing was written"), "{line}");
    assert!(!dir.path().join("r").exists(), "nothing else is said or written");
}

#[test]
fn another_file_than_a_mosquitto_conf_is_one_line() {
    let dir = dir_with("");
    for (file, content, expected) in [
        ("dunlin.toml", "allow_anonymous = true\n[limits]\nmax_connections = 5\n", "dunlin.toml: this is TOML"),
        ("acl", "user bob\ntopic write b/#\n", "acl: this looks like an ACL file"),
        ("users", "bob:$7$101$abc$def\n", "users: this looks like a password file"),
        ("d.json", "{\"clients\": []}", "d.json: this is JSON"),
    ] {
        fs::write(dir.path().join(file), content).unwrap();
        let line = refused(dir.path(), &[], &["import", file], 1);
        assert!(line.contains(expected) && line.lines().count() == 1, "{line}");
    }
    let line = refused(dir.path(), &[], &["import", "none.conf"], 1);
    assert!(line.contains("cannot read none.conf: No such file") && line.lines().count() == 1, "{line}");
    fs::write(dir.path().join("m.conf"), "listener 1883\ninclude_dir conf.d\n").unwrap();
    let line = refused(dir.path(), &[], &["import", "m.conf"], 1);
    let expected =
        format!("\"conf.d\" (relative to the working directory {}", dir.path().canonicalize().unwrap().display());
    assert!(line.contains(&expected), "{line}");
}

#[test]
fn lines_that_are_lost_and_lines_that_are_refused_have_their_exit_codes() {
    let dir = dir_with("listener 1883 127.0.0.1\nciphers HIGH\n");
    let run = dunlin(dir.path(), &[], &["import", "mosquitto.conf"]);
    let lost = "mosquitto.conf:2: ciphers: not there: ";
    assert_eq!(run.status.code(), Some(3));
    assert!(text(&run.stderr).contains(lost) && text(&run.stdout).contains("address = \"127.0.0.1:1883\""));
    let summary = told(dir.path(), &[], &["-c", "mosquitto.conf", "--check"]);
    assert!(summary.contains(&format!("warning:       {lost}")), "{summary}");

    fs::write(dir.path().join("mosquitto.conf"), "listener 1883\npsk_hint x\nlisten 2\n").unwrap();
    let told = refused(dir.path(), &[], &["import", "mosquitto.conf", "-o", "a.toml"], 1);
    assert!(told.contains("mosquitto.conf:2: psk_hint: refused: TLS with pre-shared keys is not supported"), "{told}");
    assert!(!dir.path().join("a.toml").exists());
    let told = refused(dir.path(), &[], &["-c", "mosquitto.conf", "--check"], 1);
    let lines: Vec<_> = told.lines().collect();
    assert!(
        lines.len() == 2 && lines[1].contains("mosquitto.conf:3: listen: refused: mosquitto has no such option; did")
    );
}

#[test]
fn dynamic_security_becomes_a_password_file_and_an_acl_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy("tests/data/dynsec_admin.json", dir.path().join("d.json")).unwrap();
    let flags = ["import", "--dynsec", "d.json", "--password-file", "users", "--acl-file", "acl"];
    let run = dunlin(dir.path(), &[], &flags);
    let lost = "d.json: client \"admin\": it cannot administer by $CONTROL any more\n";
    assert_eq!((run.status.code(), text(&run.stdout), text(&run.stderr)), (Some(3), String::new(), lost.into()));
    let acl = fs::read_to_string(dir.path().join("acl")).unwrap();
    assert_eq!(acl, "# of d.json\nuser admin\ntopic read #\ntopic read $SYS/#\n");
    // both are accepted
    let conf = "[auth]\npassword_file = \"users\"\nacl_file = \"acl\"\n";
    fs::write(dir.path().join("dunlin.toml"), conf).unwrap();
    let summary = told(dir.path(), &[], &["-c", "dunlin.toml", "--check"]);
    assert!(!summary.contains("warning:"), "{summary}");
    // existing files are never replaced
    let line = refused(dir.path(), &[], &flags, 1);
    assert!(line.contains("users already exists, and nothing was written"), "{line}");
    ["users", "acl"].iter().for_each(|file| fs::remove_file(dir.path().join(file)).unwrap());
    fs::write(dir.path().join("d.json"), "{\"clients\": 7}").unwrap();
    let line = refused(dir.path(), &[], &flags, 1);
    assert!(line.contains("--dynsec: d.json: "), "{line}");
}
