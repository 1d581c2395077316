//! Debian's mosquitto, on a free port of the loopback; dropping the value ends it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// One that runs.
pub struct Mosquitto {
    child: Child,
    pub address: SocketAddr,
}

impl Mosquitto {
    /// With these lines in addition to those of its listener; `None` if mosquitto is not installed.
    pub fn start(dir: &Path, text: &str) -> Option<Self> {
        // another program may take the port in between
        for _ in 0..5 {
            match Self::try_start(dir, text)? {
                Ok(running) => return Some(running),
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("mosquitto did not start:\n{log}"),
            }
        }
        panic!("no port stays free for mosquitto");
    }

    /// Does it start with these lines?
    pub fn starts(dir: &Path, text: &str) -> Option<bool> {
        Self::try_start(dir, text).map(|started| started.is_ok())
    }

    /// With this configuration as it is, which has a listener at `address`. Not waited for: a configuration may say
    /// nothing in its log.
    pub fn with_file(file: &Path, address: SocketAddr) -> Option<Self> {
        let mut command = Command::new(program()?);
        let child = command.arg("-c").arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Some(Self { child, address })
    }

    /// Where it keeps its configuration.
    pub fn file(dir: &Path) -> PathBuf {
        dir.join("mosquitto.conf")
    }

    /// SIGTERM: it writes its data and ends.
    pub fn stop(mut self) {
        let status = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success() && self.child.wait().unwrap().success());
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Has it ended?
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    fn try_start(dir: &Path, text: &str) -> Option<Result<Self, String>> {
        let program = program()?;
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let file = Self::file(dir);
        // not another user than the one that made the files
        let own = format!("listener {} 127.0.0.1\nuser root\nset_tcp_nodelay true\nlog_dest stderr\n", address.port());
        fs::write(&file, own + text).unwrap();
        let mut child = Command::new(program).arg("-c").arg(&file).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        // its log ends with it
        while !said.contains(" running") && log.read_line(&mut said).unwrap() > 0 {}
        if said.contains(" running") {
            // its later output has no reader, but must not block it
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return Some(Ok(Self { child, address }));
        }
        child.wait().unwrap();
        Some(Err(said))
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `.ci/run` requires that no test is skipped.
pub fn is_needed() -> bool {
    std::env::var_os("DUNLIN_NEEDS_MOSQUITTO").is_some_and(|needed| needed == "1")
}

/// Where it is: Debian's is where not everybody looks for programs.
fn program() -> Option<&'static str> {
    let found = ["mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
        .into_iter()
        .find(|program| Command::new(program).arg("-h").output().is_ok());
    assert!(found.is_some() || !is_needed(), "mosquitto is not installed (Debian: apt-get install mosquitto)");
    if found.is_none() {
        eprintln!("SKIPPED: mosquitto is not installed, nothing is compared with it");
    }
    found
}
