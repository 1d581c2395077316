//! How mosquitto is started: in the background, with its own command line, and what the first lines say.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use super::configurations::{free, wait_for};
use crate::support::{
    GUARD,
    command::{dunlin, refused, text, told},
    raw::{Client, Connect},
    running::Running,
};

fn write(dir: &Path, address: SocketAddr, more: &str) {
    let text = format!("listener {} 127.0.0.1\nallow_anonymous true\n{more}", address.port());
    fs::write(dir.join("mosquitto.conf"), text).unwrap();
}

/// The process with the id in this file, which ends with the value.
struct Background(String);

impl Background {
    fn signal(&self, name: &str) {
        // it may have ended
        let _ = Command::new("kill").args(["-s", name, &self.0]).stderr(Stdio::null()).status().unwrap();
    }

    fn is_there(&self) -> bool {
        // one that ended and of which nobody asked is there as a zombie
        let status = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        status.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.signal("KILL");
    }
}

#[test]
fn in_the_background_it_serves_when_the_command_ends_and_its_id_is_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let address = free();
    write(dir.path(), address, "pid_file pid\nlog_dest file log\n");
    // the output of the command is closed when it ends: its reader does not wait for the broker
    let output = dunlin(dir.path(), &[], &["mosquitto", "-c", "mosquitto.conf", "-d"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout), text(&output.stderr)),
        (Some(0), String::new(), String::new())
    );
    let pid = fs::read_to_string(dir.path().join("pid")).unwrap();
    let background = Background(pid.trim().to_owned());
    // it serves already, and has no terminal
    let mut client = Client::accepted(address, &Connect::new("c"), 0);
    client.subscribe(&[("a", 0)]);
    let stat = fs::read_to_string(format!("/proc/{}/stat", background.0)).unwrap();
    let session = stat.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap();
    assert_eq!(session, background.0, "{stat}");
    for stream in 0..3 {
        let to = fs::read_link(format!("/proc/{}/fd/{stream}", background.0)).unwrap();
        assert_eq!(to, Path::new("/dev/null"), "{stream}");
    }
    assert!(fs::read_to_string(dir.path().join("log")).unwrap().contains("ready"));
    background.signal("TERM");
    let begin = Instant::now();
    while background.is_there() {
        assert!(begin.elapsed() < GUARD, "it does not end");
        std::thread::yield_now();
    }
    assert!(!dir.path().join("pid").exists());
}

#[test]
fn what_does_not_start_in_the_background_is_told_with_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    write(dir.path(), taken.local_addr().unwrap(), "pid_file pid\n");
    let line = refused(dir.path(), &[], &["-c", "mosquitto.conf", "-d"], 1);
    assert!(line.contains("another program, perhaps another broker, listens there"), "{line}");
    assert!(!dir.path().join("pid").exists());
}

#[test]
fn a_file_for_the_id_that_cannot_be_written_ends_no_start() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), free(), "pid_file nowhere/pid\n");
    let mut running = Running::run(
        Command::new(env!("CARGO_BIN_EXE_dunlin")).env_clear().current_dir(&dir).args(["-c", "mosquitto.conf"]),
    );
    let line = running.wait_for("cannot write pid_file");
    assert!(line.contains("WARN") && line.contains("nowhere/pid"), "{line}");
    running.stop();
}

#[test]
fn the_log_says_how_to_turn_http_on() {
    let dir = tempfile::tempdir().unwrap();
    let address = free();
    write(dir.path(), address, "");
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
        Running::run(command.env_clear().current_dir(&dir).args(["-c", "mosquitto.conf"]))
    };
    let mut running = start();
    running.wait_until_ready();
    let lines = |running: &Running| running.read.iter().filter(|line| line.contains("dunlin.d/http.toml")).count();
    assert_eq!(lines(&running), 1, "{:#?}", running.read);
    running.stop();
    fs::create_dir(dir.path().join("dunlin.d")).unwrap();
    fs::write(dir.path().join("dunlin.d/http.toml"), "[http]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let mut running = start();
    running.wait_until_ready();
    assert_eq!(lines(&running), 0, "{:#?}", running.read);
    assert!(running.read.iter().any(|line| line.contains("web console, admin API and metrics urls=")));
    running.stop();
}

#[test]
fn mosquittos_command_line_is_understood_and_explained() {
    let dir = tempfile::tempdir().unwrap();
    let address = free();
    write(dir.path(), address, "");
    let help = told(dir.path(), &[], &["mosquitto", "--help"]);
    assert!(help.contains("dunlin mosquitto -c FILE") && help.contains("--test-config"), "{help}");
    assert_eq!(told(dir.path(), &[], &["/usr/sbin/mosquitto", "-h"]), help);
    let summary = told(dir.path(), &[], &["mosquitto", "-c", "mosquitto.conf", "--test-config"]);
    assert!(summary.contains(&format!("127.0.0.1:{}", address.port())), "{summary}");
    assert!(TcpStream::connect(address).is_err(), "nothing was started");
    // slips of those who try it
    for (args, hint) in [
        (&["mosquito"][..], "a similar subcommand exists: 'mosquitto'"),
        (&["mosquitto.conf"], "a configuration is read with -c: dunlin -c mosquitto.conf"),
        (&["mosquitto", "mosquitto.conf"], "a configuration is read with -c: dunlin -c mosquitto.conf"),
    ] {
        let output = dunlin(dir.path(), &[], args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains(hint), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn it_is_waited_for_as_any_other() {
    // a start in the foreground says nothing on standard output
    let dir = tempfile::tempdir().unwrap();
    let address = free();
    write(dir.path(), address, "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.env_clear().current_dir(&dir).args(["mosquitto", "-c", "mosquitto.conf", "-q"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(address, || child.try_wait().unwrap().is_some(), "dunlin -q");
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((text(&output.stdout), text(&output.stderr)), (String::new(), String::new()));
}
