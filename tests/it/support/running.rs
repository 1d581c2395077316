//! The binary in a process of its own, and its log. Tests read the log until the expected line, so that they never
//! sleep; the environment is empty.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use super::{
    GUARD,
    raw::{Client, Connect},
};

/// A broker on free ports, and its log line by line; killed when dropped.
pub struct Running {
    child: Child,
    log: mpsc::Receiver<String>,
    /// The lines read so far.
    pub read: Vec<String>,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
}

impl Running {
    /// On a free port of 127.0.0.1; ready when this returns.
    pub fn start(flags: &[&str]) -> Self {
        Self::listening(&["127.0.0.1:0"], flags)
    }

    /// On these addresses; ready when this returns.
    pub fn listening(on: &[&str], flags: &[&str]) -> Self {
        let mut running = Self::spawn(on, flags);
        running.wait_until_ready();
        running
    }

    /// Not waited for.
    pub fn spawn(on: &[&str], flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
        on.iter().for_each(|address| _ = command.args(["--listen", address]));
        command.env_clear().args(flags);
        Self::run(&mut command)
    }

    /// A command that runs the broker and has its log. Does not wait.
    pub fn run(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("dunlin runs");
        let stderr = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
        let (lines, log) = mpsc::channel();
        // ends with the process, which closes its end of the pipe
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        Self { child, log, read: Vec::new(), addresses: Vec::new() }
    }

    /// Reads the log until the line with the addresses.
    pub fn wait_until_ready(&mut self) {
        // in JSON too
        let ready = self.wait_for("listeners");
        let (_, told) = ready.split_once("listeners").unwrap();
        let told = told.trim_start_matches(['=', '"', ':']).split([' ', '"']).next().unwrap();
        self.addresses = told
            .split(',')
            .filter(|address| !address.starts_with("unix:"))
            .map(|address| address.rsplit('/').next().and_then(|address| address.parse().ok()).expect("an address"))
            .collect();
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory in bytes.
    pub fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the process runs");
        let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<usize>().ok()).expect("VmRSS in kB") << 10
    }

    /// A client that is accepted with this Session Present flag.
    #[track_caller]
    pub fn connect(&self, connect: &Connect, session_present: u8) -> Client {
        Client::accepted(self.addresses[0], connect, session_present)
    }

    /// A client with a clean session.
    #[track_caller]
    pub fn client(&self, id: &str) -> Client {
        self.connect(&Connect::new(id), 0)
    }

    /// A client whose session is new and stays.
    #[track_caller]
    pub fn begin(&self, id: &str) -> Client {
        self.connect(&Connect::new(id).persistent(), 0)
    }

    /// A client that finds its session.
    #[track_caller]
    pub fn resume(&self, id: &str) -> Client {
        self.connect(&Connect::new(id).persistent(), 1)
    }

    /// Sends the signal with this name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Reads the log until a line has `words` in it; that line.
    pub fn wait_for(&mut self, words: &str) -> String {
        loop {
            match self.log.recv_timeout(GUARD) {
                Ok(line) => self.read.push(line),
                Err(error) => panic!("the log did not say {words:?} ({error}), but\n{}", self.read.join("\n")),
            }
            let line = self.read.last().unwrap();
            if line.contains(words) {
                return line.clone();
            }
        }
    }

    /// Reads the log until the line about the end of the connection from `peer`; returns that line.
    pub fn reason(&mut self, peer: SocketAddr) -> String {
        let peer = format!("peer={peer} ");
        loop {
            let line = self.wait_for("disconnected");
            if line.contains(&peer) {
                return line;
            }
        }
    }

    /// Reads the log to its end, which is that of the process; its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        loop {
            match self.log.recv_timeout(GUARD) {
                Ok(line) => self.read.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => return self.child.wait().unwrap().code(),
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it still runs:\n{}", self.read.join("\n")),
            }
        }
    }

    /// Its process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of this process").is_some()
    }

    /// SIGKILL; it has ended when this returns.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// SIGTERM, and an end without a complaint.
    pub fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.exit_code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            self.read.extend(self.log.iter());
            eprintln!("what the broker said:\n{}", self.read.join("\n"));
        }
    }
}

/// A client with a clean session that was accepted.
pub fn accepted(address: SocketAddr, id: &str) -> Client {
    Client::accepted(address, &Connect::new(id), 0)
}
