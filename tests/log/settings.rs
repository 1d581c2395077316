//! What the log says of the configuration: at the start, and at a reload what of it is new.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use crate::{
    connections::{configured, has},
    running::Running,
    secure::Certs,
};

const WITH_CERTIFICATE: &str = "[[listener]]\naddress = 'tls://0.0.0.0:0'\ncertificate_file = 'DIR/server.pem'\n\
                                key_file = 'DIR/server.key'\nclient_certificates = 'required'\nclient_ca_file = 'DIR/ca.pem'\n";

/// What `--check` says of it.
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
        ("", "WARN", ", where nobody is let in: a certificate is not a user name (identity), there are no users"),
    ] {
        let (certs, running) = configured(&format!("{WITH_CERTIFICATE}{more}"), &[]);
        let lines: Vec<_> = running.read.iter().filter(|line| line.contains("certificate")).collect();
        assert!(lines.len() == 1 && lines[0].contains(said), "{:#?}", running.read);
        has(lines[0], &[("listener", "tls://0.0.0.0:0")]);
        let of_others = ["anonymous clients are served", "everybody", "no users are configured: "];
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
    assert!(running.read.iter().any(|line| line.contains("anonymous clients are served, on loopback only")));
    assert!(
        !running.read.iter().any(|line| line.contains("clients of listeners that are not on loopback are refused"))
    );
    running.stop();
}

/// Reads the configuration again; what is logged of that.
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
             [auth]\npassword_file = 'DIR/passwords'\nacl_file = 'DIR/acl'\n"
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
    expect(&["changed: nothing"]);
    write("acl", "topic a\ntopic b\n");
    expect(&["clients may do what auth.acl_file allows rules=2", "changed: rules (auth.acl_file)"]);
    write("dunlin.toml", &text("shutdown_grace = '1s'\n"));
    expect(&["changed: shutdown_grace"]);
    // what is warned of once more was not so in between
    for _ in 0..2 {
        mode(0o644);
        expect(&["every user of this machine can get at the private key", "changed: nothing"]);
        expect(&["changed: nothing"]);
        mode(0o600);
        expect(&["changed: nothing"]);
    }
    write("dunlin.toml", &text("").replace("allow_anonymous = true", "allow_anonymous = false"));
    expect(&["changed: allow_anonymous = false (was true), shutdown_grace"]);
    running.stop();
}
