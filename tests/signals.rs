//! What signals do to a running dunlin. The log is read until it says what is waited for, so that nothing sleeps.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

/// A broker on a free port whose log is read line by line; killed when dropped.
struct Running {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Running {
    /// Starts one with the configuration `file`, and waits until the log says that it is ready.
    fn start(file: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
        command.env_clear().args(["--listen=127.0.0.1:0", "--config"]).arg(file).stderr(Stdio::piped());
        let mut child = command.spawn().expect("dunlin runs");
        let log = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
        let mut running = Self { child, log };
        running.wait_for("ready");
        running
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Reads the log until a line has `words` in it; that line.
    fn wait_for(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "the log ended without {words:?}");
            if line.contains(words) {
                return line;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn terminate_and_interrupt_end_it_with_exit_code_0() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for name in ["TERM", "INT"] {
        let mut running = Running::start(file.path());
        running.signal(name);
        assert_eq!(running.child.wait().unwrap().code(), Some(0), "{name}");
    }
}

#[test]
fn hangup_reads_the_configuration_again() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut running = Running::start(file.path());

    running.signal("HUP");
    running.wait_for("the configuration was read again; changed: nothing");

    fs::write(file.path(), "[limits]\nmax_connections = 0\n").unwrap();
    running.signal("HUP");
    let line = running.wait_for("the configuration stays as it is");
    assert!(line.contains(":2: limits.max_connections: 0 is out of range"), "{line}");

    fs::write(file.path(), "[log]\nlevel = 'debug'\n").unwrap();
    running.signal("HUP");
    running.wait_for("the configuration was read again; changed: ");

    running.signal("TERM");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}
