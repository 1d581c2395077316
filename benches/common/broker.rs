//! [`Broker`]: dunlin in a process of its own, and the load generator against it.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A broker; killed when the bench ends, however it does.
pub struct Broker {
    process: Child,
    address: String,
}

impl Broker {
    /// With this configuration, on a free port. `DUNLIN_BROKER` names another program than the one that was built with
    /// this bench.
    #[allow(dead_code)]
    pub fn start(config: &Path) -> Self {
        let program = env::var_os("DUNLIN_BROKER").unwrap_or_else(|| env!("CARGO_BIN_EXE_dunlin").into());
        let mut dunlin = Command::new(program);
        Self::run(dunlin.args(["--listen=127.0.0.1:0", "--log-level=info", "--config"]).arg(config))
    }

    /// A program that logs its address on standard error like dunlin.
    pub fn run(program: &mut Command) -> Self {
        let mut process = program.stderr(Stdio::piped()).spawn().expect("the broker runs");
        let address = address(&mut process);
        Self { process, address }
    }

    /// Runs a scenario of the load generator, and gives what it says, a line of JSON. A message that is lost, repeated
    /// or out of order ends the bench.
    #[allow(dead_code)]
    pub fn load(&self, program: &Path, scenario: &str) -> String {
        let pid = self.process.id().to_string();
        let mut load = Command::new(program);
        load.args(["--addr", &self.address, "--pid", &pid]).args(scenario.split(' '));
        let output = load.output().expect("loadgen runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{scenario}: {}", String::from_utf8_lossy(&output.stderr));
        for fault in ["missing", "gaps", "repeated", "unexpected"] {
            let found = text.split(&format!("\"{fault}\":")).nth(1);
            assert!(found.is_none_or(|f| f.starts_with('0')), "{scenario}: {text}");
        }
        text
    }

    /// Where it listens.
    #[allow(dead_code)]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Of its process.
    #[allow(dead_code)]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// KiB of memory.
    #[allow(dead_code)]
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("the broker runs");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("Linux says VmRSS");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number of KiB")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where the broker listens, as its log says. The log is read on, so that the broker never waits for it.
fn address(broker: &mut Child) -> String {
    let mut lines = BufReader::new(broker.stderr.take().expect("standard error is a pipe")).lines();
    let ready = lines.by_ref().map_while(Result::ok).find(|l| l.contains("listeners=")).expect("it gets ready");
    std::thread::spawn(move || lines.for_each(drop));
    let address = ready.split("listeners=").nth(1).and_then(|rest| rest.split([' ', ',']).next());
    let address = address.expect("the line names the address");
    address.strip_prefix("tls://").unwrap_or(address).to_owned()
}
