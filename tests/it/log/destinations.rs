//! The destinations of the log: a file that is reopened at SIGHUP, and standard error.

use std::{fs, path::Path};

use crate::support::{command::refused, running::Running};

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_log_file_is_reopened_at_sighup_without_loss() {
    let dir = tempfile::tempdir().unwrap();
    let (config, log, old) = (dir.path().join("dunlin.toml"), dir.path().join("log"), dir.path().join("log.old"));
    // the file is beside the configuration; standard error is what this test waits for
    fs::write(&config, "[log]\nfile = 'log'\nstderr = true\n").unwrap();
    let mut running = Running::start(&["-c", config.to_str().unwrap()]);
    fs::rename(&log, &old).unwrap();
    running.signal("HUP");
    running.wait_for("the configuration was read again");
    running.stop();
    assert!(read(&old).contains(" ready ") && !read(&old).contains("read again"), "{}", read(&old));
    assert!(read(&log).contains("the configuration was read again"), "{}", read(&log));
    assert!(!read(&log).contains(" ready "), "{}", read(&log));
}

#[test]
fn with_a_log_file_standard_error_has_only_start_errors() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.toml"), "log.file = 'log'\n[[listener]]\naddress = '192.0.2.1:1'\n").unwrap();
    let said = refused(dir.path(), &[], &["-c", "a.toml"], 1);
    assert!(said.lines().count() == 1 && said.contains("cannot listen on 192.0.2.1:1"), "{said}");
    fs::write(dir.path().join("b.toml"), "log.file = 'none/log'\n").unwrap();
    let said = refused(dir.path(), &[], &["-c", "b.toml"], 1);
    assert!(said.contains("cannot open the log none/log (log.file): No such file or directory"), "{said}");
    let said = refused(dir.path(), &[], &["-c", "b.toml", "--check"], 1);
    assert!(said.contains("cannot write the log none/log"), "{said}");
}

#[test]
fn lines_about_connections_can_be_enabled_by_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("dunlin.toml");
    fs::write(&config, "log.connections = false\n").unwrap();
    let mut running = Running::start(&["-c", config.to_str().unwrap()]);
    running.client("silent").disconnect();
    fs::write(&config, "").unwrap();
    running.signal("HUP");
    running.wait_for("the configuration was read again");
    running.client("loud").disconnect();
    running.wait_for("client=loud");
    assert!(!running.read.iter().any(|line| line.contains("client=silent")), "{:#?}", running.read);
    running.stop();
}
