//! The environment variables of keys: they override the file, and flags override them; `--check` prints the origin of
//! each value, and an error about a value names its variable.

use std::{fs, path::Path};

use crate::support::command::{dunlin, text, told};

/// The output of `--check` for a valid configuration.
fn checked(dir: &Path, variables: &[(&str, &str)], flags: &[&str]) -> String {
    told(dir, variables, &[&["--check", "-c", "a.toml"], flags].concat())
}

#[test]
fn a_variable_overrides_the_file_and_a_flag_overrides_the_variable() {
    let dir = tempfile::tempdir().unwrap();
    let file = "workers = 2\nallow_anonymous = true\n[limits]\nmax_packet_size = 1000\nmax_sessions = 9\n";
    fs::write(dir.path().join("a.toml"), file).unwrap();
    let variables = [
        ("DUNLIN_LIMITS_MAX_PACKET_SIZE", "64 KiB"),
        ("DUNLIN_LIMITS_SESSION_EXPIRY", "7d"),
        ("DUNLIN_LIMITS_QUEUE_QOS0", "true"),
        ("DUNLIN_SYS_INTERVAL", "off"),
        ("DUNLIN_SHUTDOWN_GRACE", "0"),
        ("DUNLIN_WORKERS", "auto"),
        ("DUNLIN_ALLOW_ANONYMOUS", "loopback"),
        ("DUNLIN_LOG_FORMAT", "json"),
        ("DUNLIN_LIMITS_QUEUE_FULL", ""),
    ];
    let summary = checked(dir.path(), &variables, &["--log-format=text", "--log-level=debug"]);
    for line in [
        "anonymous:     served on loopback listeners alone; allow_anonymous = true or --allow-anonymous changes that",
        "changed:       limits.max_packet_size = \"64 KiB\" (by default 2000000)",
        "changed:       limits.max_sessions = 9 (by default 1000000)",
        "changed:       limits.session_expiry = \"7days\" (by default \"14days\")",
        "changed:       limits.queue_qos0 = true (by default false)",
        "changed:       sys.interval = \"off\" (by default \"10s\")",
        "changed:       shutdown_grace = \"0s\" (by default \"5s\")",
        "from:          a.toml: limits.max_sessions",
        "from:          DUNLIN_LIMITS_MAX_PACKET_SIZE: limits.max_packet_size",
        "from:          DUNLIN_SYS_INTERVAL: sys.interval",
        "from:          DUNLIN_WORKERS: workers",
        "from:          DUNLIN_ALLOW_ANONYMOUS: allow_anonymous",
        "from:          flags: log.format, log.level",
    ] {
        assert!(summary.lines().any(|l| l == line), "{line} is not in\n{summary}");
    }
    assert!(summary.contains("(auto") && !summary.contains("warning:"), "{summary}");
}

#[test]
fn every_invalid_variable_is_reported_with_the_allowed_values() {
    let dir = tempfile::tempdir().unwrap();
    let variables = [
        ("DUNLIN_LIMITS_MAX_PACKET_SIZE", "12"),
        ("DUNLIN_LIMITS_QUEUE_FULL", "drop"),
        ("DUNLIN_LIMITS_WRITE_TIMEOUT", "5"),
        ("DUNLIN_WATCH", "maybe"),
    ];
    let output = dunlin(dir.path(), &variables, &["--check"]);
    assert_eq!((text(&output.stdout), output.status.code()), (String::new(), Some(1)));
    let expected = "\
dunlin: DUNLIN_WATCH: expected true or false, found the text \"maybe\"
dunlin: DUNLIN_LIMITS_MAX_PACKET_SIZE: 12 is out of range; allowed: 128 to 268435460 bytes
dunlin: DUNLIN_LIMITS_QUEUE_FULL: expected \"drop-newest\", \"drop-oldest\" or \"keep-last\", found the text \"drop\"
dunlin: DUNLIN_LIMITS_WRITE_TIMEOUT: expected a duration such as \"500ms\", \"10s\" or \"1d\", found the whole number 5; \
                    allowed: \"1ms\" to \"1day\"
";
    assert_eq!(text(&output.stderr), expected);
}

#[test]
fn print_config_names_the_variable_of_each_key() {
    let dir = tempfile::tempdir().unwrap();
    let printed = text(&dunlin(dir.path(), &[], &["--print-config"]).stdout);
    for name in ["DATA_DIR", "SYNC_INTERVAL", "AUTH_PASSWORD_FILE", "LOG_LEVEL", "LIMITS_MAX_SESSIONS", "SYS_INTERVAL"]
    {
        assert!(printed.contains(&format!("# Variable: DUNLIN_{name}.\n")), "{name}");
    }
    assert!(!printed.contains("DUNLIN_LISTENER"));
    assert!(text(&dunlin(dir.path(), &[], &["--help"]).stdout).contains("DUNLIN_LIMITS_MAX_PACKET_SIZE"));
}
