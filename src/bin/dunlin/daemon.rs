//! `-d`: the broker in the background. The program is started again, without a terminal, and the first one ends when
//! the second one serves or has failed, so that its exit code says which.

use std::{
    env,
    io::{self, Read, Write},
    process::{Command, ExitCode, Stdio},
};

use anyhow::Context;
use dunlin::config::{LogConfig, SyslogFacility};

use crate::process;

/// Set for the broker in the background.
const WITHIN: &str = "_DUNLIN_IN_BACKGROUND";
/// What it writes when it serves.
const SERVES: &str = "serves";

/// The broker in the background, of which another process waits to hear that it serves.
pub struct Background(());

/// Is this process the broker in the background?
pub fn is_within() -> bool {
    env::var_os(WITHIN).is_some()
}

/// Starts the broker in the background, with the same arguments. Returns its exit code if it does not serve.
pub fn detach() -> anyhow::Result<ExitCode> {
    let (mut heard, told) = io::pipe().context("cannot make a pipe")?;
    let mut command = Command::new(env::current_exe().context("cannot find this program")?);
    command.args(env::args_os().skip(1)).env(WITHIN, "1").stdin(Stdio::null()).stdout(told);
    let mut child = command.spawn().context("cannot start the broker in the background")?;
    // the only one who writes is the child
    drop(command);
    let mut text = String::new();
    heard.read_to_string(&mut text).context("cannot hear from the broker in the background")?;
    if text.ends_with(SERVES) {
        return Ok(ExitCode::SUCCESS);
    }
    let code = child.wait().context("cannot wait for the broker in the background")?.code();
    Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

impl Background {
    /// Leaves the terminal, if this process is to. Nobody reads its standard error later: without a file, the log is in
    /// syslog, as mosquitto's.
    pub fn enter(log: &mut LogConfig) -> anyhow::Result<Option<Self>> {
        if !is_within() {
            return Ok(None);
        }
        process::leave_terminal().context("cannot leave the terminal")?;
        if log.file.is_none() && log.syslog.is_none() {
            (log.syslog, log.stderr) = (Some(SyslogFacility::Daemon), Some(false));
        }
        Ok(Some(Self(())))
    }

    /// The broker serves.
    pub fn serves(self) -> anyhow::Result<()> {
        // the first process may have been killed
        let _ = io::stdout().write_all(SERVES.as_bytes()).and_then(|()| io::stdout().flush());
        process::discard_output().context("cannot close standard output and standard error")
    }
}
