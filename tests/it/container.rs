//! The container: what its own configuration, `config/container/dunlin.toml`, and variables over it do, and what the
//! Dockerfile's image runs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::support::{
    raw::{self, Client, Connect},
    running::Running,
};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The broker with the image's own configuration and these variables, on a free port, with a `data_dir` in `dir`.
fn run(dir: &TempDir, variables: &[(&str, &str)]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.env_clear().args(["--config", repository().join("config/container/dunlin.toml").to_str().unwrap()]);
    command.env("DUNLIN_LISTEN", "0.0.0.0:0").env("DUNLIN_DATA_DIR", dir.path().join("data"));
    Running::run(command.envs(variables.iter().copied()))
}

fn started(dir: &TempDir, variables: &[(&str, &str)]) -> Running {
    let mut running = run(dir, variables);
    running.wait_until_ready();
    running
}

/// The code of the CONNACK; `login` is a user name and a password.
fn connack(running: &Running, login: Option<(&str, &str)>) -> u8 {
    let mut client = Client::open(([127, 0, 0, 1], running.addresses[0].port()).into());
    let connect = Connect::new("c");
    client.send(
        &login.map_or_else(|| connect.frame(), |(user, password)| Connect::new("c").user(user, password).frame()),
    );
    client.expect_any().bytes()[3]
}

fn secret(dir: &TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("secret");
    fs::write(&path, text).unwrap();
    path
}

// ---- logins ----

#[test]
fn without_a_login_anonymous_clients_are_served_and_with_one_by_variables_they_are_not() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(connack(&started(&dir, &[]), None), 0);

    let path = secret(&dir, "correct horse\n");
    let alice = [("DUNLIN_USER", "alice"), ("DUNLIN_USER_PASSWORD_FILE", path.to_str().unwrap())];
    let mut running = started(&dir, &alice);
    assert_eq!(connack(&running, None), 5);
    assert_eq!(connack(&running, Some(("alice", "correct horse"))), 0);
    assert_eq!(connack(&running, Some(("alice", "correct horse\n"))), 4);
    assert_eq!(connack(&running, Some(("bob", "correct horse"))), 4);
    let line = "anonymous clients are refused, as DUNLIN_USER is set, although the configuration has allow_anonymous = true; \
                DUNLIN_ALLOW_ANONYMOUS=true serves them";
    assert!(running.read.iter().any(|read| read.contains("INFO") && read.ends_with(line)), "{:#?}", running.read);
    for line in ["wrong password (DUNLIN_USER_PASSWORD_FILE)", "no such user (DUNLIN_USER)"] {
        running.wait_for(line);
    }
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
    assert!(!running.read.iter().any(|read| read.contains("horse") || read.contains("WARN")), "{:#?}", running.read);

    let running = started(&dir, &[&alice[..], &[("DUNLIN_ALLOW_ANONYMOUS", "true")]].concat());
    assert_eq!(connack(&running, None), 0);
    assert_eq!(connack(&running, Some(("alice", "correct horse"))), 0);
    assert_eq!(connack(&running, Some(("alice", "wrong"))), 4);
}

#[test]
fn every_other_login_by_a_variable_refuses_anonymous_clients_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = secret(&dir, "0123456789abcdef0123456789abcdef");
    let users = dir.path().join("users");
    dunlin::auth::edit(&users, "bob", dunlin::auth::Change::Set(b"his")).unwrap();
    for (variable, value) in [
        ("DUNLIN_AUTH_PASSWORD_FILE", users.to_str().unwrap()),
        ("DUNLIN_AUTH_TOKEN_SECRET", "0123456789abcdef0123456789abcdef"),
        ("DUNLIN_AUTH_TOKEN_SECRET_FILE", path.to_str().unwrap()),
    ] {
        let running = started(&dir, &[(variable, value)]);
        let said = format!("anonymous clients are refused, as {variable} is set");
        assert!(running.read.iter().any(|read| read.contains(&said)), "{:#?}", running.read);
        assert_eq!(connack(&running, None), 5, "{variable}");
        drop(running);
        let running = started(&dir, &[(variable, value), ("DUNLIN_ALLOW_ANONYMOUS", "true")]);
        assert_eq!(connack(&running, None), 0, "{variable}");
    }
    // rules alone are no login
    fs::write(&path, "topic #\n").unwrap();
    assert_eq!(connack(&started(&dir, &[("DUNLIN_AUTH_ACL_FILE", path.to_str().unwrap())]), None), 0);
}

#[test]
fn the_user_is_one_beside_those_of_a_password_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, users) = (secret(&dir, "hers"), dir.path().join("users"));
    dunlin::auth::edit(&users, "bob", dunlin::auth::Change::Set(b"his")).unwrap();
    let running = started(
        &dir,
        &[
            ("DUNLIN_AUTH_PASSWORD_FILE", users.to_str().unwrap()),
            ("DUNLIN_USER", "alice"),
            ("DUNLIN_USER_PASSWORD_FILE", path.to_str().unwrap()),
        ],
    );
    let codes = [("alice", "hers"), ("bob", "his"), ("bob", "hers")].map(|login| connack(&running, Some(login)));
    assert_eq!(codes, [0, 0, 4]);
}

#[test]
fn a_reload_reads_the_password_again_and_disconnects_nobody_whose_password_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (path, acl) = (secret(&dir, "first"), dir.path().join("acl"));
    fs::write(&acl, "user alice\ntopic #\n").unwrap();
    let mut running = started(
        &dir,
        &[
            ("DUNLIN_AUTH_ACL_FILE", acl.to_str().unwrap()),
            ("DUNLIN_USER", "alice"),
            ("DUNLIN_USER_PASSWORD_FILE", path.to_str().unwrap()),
        ],
    );
    let mut client = Client::open(([127, 0, 0, 1], running.addresses[0].port()).into());
    client.send(&Connect::new("kept").user("alice", "first").frame());
    client.expect(&raw::connack(0, 0));
    // other rules are another policy, in which she has the same password
    fs::write(&acl, "user alice\ntopic a/#\n").unwrap();
    running.signal("HUP");
    running.wait_for("read again; changed: rules (auth.acl_file)");
    client.expect_nothing_pending();

    fs::write(&path, "second").unwrap();
    running.signal("HUP");
    running.wait_for("read again; changed: users (DUNLIN_USER_PASSWORD_FILE)");
    client.expect_closed();
    assert_eq!(connack(&running, Some(("alice", "first"))), 4);
    assert_eq!(connack(&running, Some(("alice", "second"))), 0);
}

#[test]
fn what_is_wrong_with_the_variables_of_a_user_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = secret(&dir, "\nsecond line");
    let (file, none) = (path.to_str().unwrap(), dir.path().join("none"));
    for (variables, said) in [
        (&[("DUNLIN_USER", "alice")][..], "DUNLIN_USER: it needs DUNLIN_USER_PASSWORD_FILE too, a file whose first"),
        (&[("DUNLIN_USER_PASSWORD_FILE", file)], "DUNLIN_USER_PASSWORD_FILE: it needs DUNLIN_USER too"),
        (&[("DUNLIN_USER", "a"), ("DUNLIN_USER_PASSWORD_FILE", file)], "is empty; write the password there"),
        (
            &[("DUNLIN_USER", "a:b"), ("DUNLIN_USER_PASSWORD_FILE", file)],
            "DUNLIN_USER: the user name \"a:b\" has a colon",
        ),
        (
            &[("DUNLIN_USER", "a"), ("DUNLIN_USER_PASSWORD_FILE", none.to_str().unwrap())],
            "DUNLIN_USER_PASSWORD_FILE = ",
        ),
    ] {
        let mut running = run(&dir, variables);
        assert_eq!(running.exit_code(), Some(1));
        assert!(running.read.len() == 1 && running.read[0].contains(said), "{:?}", running.read);
    }
}
