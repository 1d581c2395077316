//! The units in `config/`, as systemd verifies them.

use std::{fs, path::Path, process::Command};

fn config(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)).unwrap()
}

/// The standard output and standard error of systemd-analyze; `None`: it is not installed.
fn analyze(arguments: &[&str]) -> Option<String> {
    match Command::new("systemd-analyze").args(arguments).output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).unwrap();
            assert!(output.status.success(), "{said}");
            Some(said)
        }
        Err(error) => {
            assert!(std::env::var_os("DUNLIN_NEEDS_SYSTEMD").is_none(), "systemd-analyze: {error}");
            eprintln!("left out: systemd-analyze: {error}");
            None
        }
    }
}

#[test]
fn systemd_analyze_accepts_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let service = config("dunlin.service");
    assert_eq!(service.matches("=/usr/bin/dunlin --config /etc/dunlin/dunlin.toml").count(), 3);
    // as if it were installed
    let [installed, socket] = ["dunlin.service", "dunlin.socket"].map(|name| dir.path().join(name));
    fs::write(&installed, service.replace("/usr/bin/dunlin", env!("CARGO_BIN_EXE_dunlin"))).unwrap();
    fs::write(&socket, config("dunlin.socket")).unwrap();
    if let Some(said) = analyze(&["verify", installed.to_str().unwrap(), socket.to_str().unwrap()]) {
        assert_eq!(said, "");
    }
}

#[test]
fn the_service_is_exposed_to_1_6_at_most() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/dunlin.service");
    let Some(said) = analyze(&["security", "--offline=true", "--no-pager", path.to_str().unwrap()]) else { return };
    let (_, level) = said.split_once("Overall exposure level for dunlin.service: ").expect("a result");
    let level: f32 = level.split_whitespace().next().unwrap().parse().unwrap();
    assert!(level <= 1.6, "{said}");
}

#[test]
fn the_packaged_unit_s_user_owns_the_configured_directories() {
    let service = config("dunlin.service");
    for line in
        ["Type=notify", "WatchdogSec=30", "User=dunlin", "StateDirectory=dunlin", "ExecReload=/bin/kill -HUP $MAINPID"]
    {
        assert!(service.lines().any(|other| other == line), "{line}");
    }
    assert!(!service.contains("DynamicUser"));
    assert!(config("dunlin.sysusers").lines().any(|line| line.starts_with("u dunlin - ")));
    let packaged = dunlin::config::parse(&config("packaged/dunlin.toml"), "dunlin.toml").unwrap();
    let named = [&packaged.data_dir, &packaged.auth.password_file, &packaged.auth.acl_file];
    let named = named.map(|path| path.as_deref().and_then(Path::to_str).unwrap_or_default());
    assert_eq!(named, ["/var/lib/dunlin/data", "/var/lib/dunlin/users", "/var/lib/dunlin/rules"]);
}
