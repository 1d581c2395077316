//! The log in systemd's journal: priorities instead of time stamps.

use std::process::Command;

use crate::support::running::Running;

/// Runs the binary with the environment that systemd sets for a service with these standard streams; `stream` is what
/// JOURNAL_STREAM says.
fn with_stream(stream: &str, flags: &[&str]) -> Running {
    let script = format!("JOURNAL_STREAM={stream} exec \"$@\"");
    let mut command = Command::new("bash");
    command.args(["-c", &script, "bash", env!("CARGO_BIN_EXE_dunlin")]).args(flags);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    Running::run(&mut command)
}

/// Device and inode of standard error.
const OWN: &str = "$(stat -L -c %d:%i /dev/fd/2)";

#[test]
fn lines_have_a_priority_and_no_time_stamp() {
    let mut broker = with_stream(&format!("{OWN} DUNLIN_LISTNE=x"), &["--listen", "127.0.0.1:0"]);
    broker.wait_until_ready();
    let warning = "<4> WARN configuration warning reason=\"the environment variable DUNLIN_LISTNE";
    let begins = |line: &String| line.starts_with("<6> INFO ") || line.starts_with(warning);
    assert!(broker.read.iter().all(begins), "{:?}", broker.read);
    assert_eq!(broker.read.iter().filter(|line| line.starts_with(warning)).count(), 1, "{:?}", broker.read);
    broker.stop();
}

#[test]
fn the_error_that_ends_a_start_has_a_priority_too() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut broker = with_stream(OWN, &["--listen", &address]);
    assert_eq!(broker.exit_code(), Some(1));
    assert!(broker.read.last().unwrap().starts_with("<3>dunlin: cannot listen on "), "{:?}", broker.read);
}

#[test]
fn only_text_lines_to_the_journal_have_a_priority() {
    for (stream, format) in [("1:1", "text"), ("", "text"), (OWN, "json")] {
        let mut broker = with_stream(stream, &["--listen", "127.0.0.1:0", "--log-format", format]);
        broker.wait_for("listeners");
        let begin = if format == "json" { "{\"timestamp\":\"2" } else { "2" };
        assert!(broker.read.iter().all(|line| line.starts_with(begin)), "{stream}: {:?}", broker.read);
    }
}
