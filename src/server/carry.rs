//! Export and import of a running broker: stored state and the users of the password file, as lines of JSON. An export
//! is read from a copy of the data directory, an import is checked in a temporary store.

use std::{
    fs,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use serde_json::{Value, json};

use super::edits::{self, EditError};
use crate::{
    admin::{Doing, Imported},
    auth,
    config::Config,
    store::tools,
};

/// Writes everything to `out`. No reload and no edit of users happens until the copy is made.
pub(super) fn export(running: &Arc<tokio::sync::Mutex<Config>>, out: Box<dyn Write + Send>) -> Doing<()> {
    let running = running.clone();
    edits::apart(move || {
        let config = running.blocking_lock();
        let data_dir = config.data_dir.clone().ok_or(EditError::NotConfigured("data_dir"))?;
        let users = config.auth.password_file.as_deref().map(auth::user_lines).transpose()?.unwrap_or_default();
        let mut out = Lines { out, count: 0 };
        out.line(&json!({ "record": "begin", "version": env!("CARGO_PKG_VERSION") }))?;
        out.flush().map_err(tools::ToolError::Output)?;
        let scratch = Scratch::new(&data_dir)?;
        tools::copy_log(&data_dir, &scratch.0)?;
        drop(config);
        tools::export(&scratch.0, &mut out)?;
        for line in &users {
            out.line(&json!({ "record": "user", "line": line }))?;
        }
        let count = out.count;
        out.line(&json!({ "record": "end", "lines": count }))?;
        Ok(out.flush().map_err(tools::ToolError::Output)?)
    })
}

/// Parses and checks such lines.
pub(super) fn read(running: &Arc<tokio::sync::Mutex<Config>>, text: Bytes, now: Instant) -> Doing<Imported> {
    let running = running.clone();
    edits::apart(move || {
        let data_dir = running.blocking_lock().data_dir.clone();
        let scratch = Scratch::new(&data_dir.ok_or(EditError::NotConfigured("data_dir"))?)?;
        let state = tools::state_of(&scratch.0, &*text, now)?;
        Ok(Imported { state, users: users_of(&text)? })
    })
}

/// The lines of users in an export. The number in the last line, if present, must be the number of lines before it.
pub(crate) fn users_of(text: &[u8]) -> Result<Vec<String>, tools::ToolError> {
    let mut users = Vec::new();
    for (number, line) in (0_u64..).zip(text.lines()) {
        let wrong = |why: &str| tools::ToolError::Line { number: number + 1, why: why.into() };
        let line: Value = serde_json::from_str(&line.map_err(tools::ToolError::Input)?).unwrap_or_default();
        match line["record"].as_str() {
            Some("user") => users.push(line["line"].as_str().ok_or_else(|| wrong("\"line\" is missing"))?.to_owned()),
            Some("end") if line["lines"] != number => {
                return Err(wrong("the number of lines is another one: some are missing"));
            }
            _ => {}
        }
    }
    Ok(users)
}

/// Counts lines.
struct Lines {
    out: Box<dyn Write + Send>,
    count: u64,
}

impl Lines {
    fn line(&mut self, value: &Value) -> Result<(), EditError> {
        Ok(writeln!(self, "{value}").map_err(tools::ToolError::Output)?)
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.count += bytes[..written].iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A directory in the data directory, which is removed.
struct Scratch(PathBuf);

impl Scratch {
    /// One that an earlier process left behind is replaced.
    fn new(data_dir: &Path) -> Result<Self, EditError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let path = data_dir.join(format!("carried-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(EditError::Scratch { path, error }),
            _ => Ok(Self(path)),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // the next start of a broker numbers them anew
        let _left_behind = fs::remove_dir_all(&self.0);
    }
}
