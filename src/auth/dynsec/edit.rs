//! [`Edit`]: commands of clients, done to the file that `auth.dynsec_file` names.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{
    commands::{Answered, Outcome, perform},
    file::{self, File},
};
use crate::auth::replace::{lock, read_replaceable, replace};

/// A message with commands, done to the file; nothing is written before [`write`](Self::write).
pub struct Edit {
    target: PathBuf,
    /// Of the file as it is to be; `None`: it stays.
    text: Option<Vec<u8>>,
    answered: Answered,
    /// While this exists, no other process edits the file.
    _turn: Option<fs::File>,
}

impl Edit {
    /// Applies the commands of a message to the current content of the file.
    pub fn of(path: &Path, message: &[u8]) -> Self {
        let read = || {
            // a symbolic link stays one
            let (turn, target) = (lock(path)?, fs::canonicalize(path)?);
            let text = read_replaceable(&target)?;
            let file = file::read(&text).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
            Ok::<_, io::Error>((turn, target, file))
        };
        let (turn, target, mut file, unreadable) = match read() {
            Ok((turn, target, file)) => (turn, target, file, None),
            Err(why) => (None, path.into(), File::default(), Some(why)),
        };
        file.sort();
        let answered = perform(&mut file, message);
        let mut edit = Self { target, text: None, answered, _turn: turn };
        if let Some(why) = unreadable {
            edit.fail(|_| true, &why.to_string());
        } else if edit.answered.responses.iter().any(|response| matches!(response.result, Ok(Outcome::Changed))) {
            match file.text() {
                Ok(text) => edit.text = Some(text),
                Err(why) => edit.fail_changes(&why),
            }
        }
        edit
    }

    /// The text of the file as it is to be; `None`: it stays.
    pub fn text(&self) -> Option<&[u8]> {
        self.text.as_deref()
    }

    /// Writes the file: it is on the disk, under its name, when this returns.
    pub fn write(&self) -> io::Result<()> {
        match &self.text {
            Some(text) => replace(&self.target, Some(&self.target), text),
            None => Ok(()),
        }
    }

    /// The file is not written, for this reason: its changes are answered with that.
    pub fn fail_changes(&mut self, why: &str) {
        self.fail(|outcome| matches!(outcome, Outcome::Changed), why);
        self.text = None;
        self.answered.closed.clear();
    }

    fn fail(&mut self, fails: impl Fn(&Outcome) -> bool, why: &str) {
        tracing::error!(file = %self.target.display(), reason = why, "a command of dynamic security failed");
        for response in &mut self.answered.responses {
            if response.result.as_ref().is_ok_and(&fails) {
                response.result = Err("Internal error".into());
            }
        }
    }

    /// Are the connections of clients with this user name closed, or of those without one?
    pub fn closes(&self, user: Option<&str>) -> bool {
        self.answered.closed.contains(&user.map(str::to_owned))
    }

    /// Does it close connections?
    pub fn closes_some(&self) -> bool {
        !self.answered.closed.is_empty()
    }

    /// The payload of the message that answers.
    pub fn reply(&self) -> Vec<u8> {
        let responses: Vec<_> = self.answered.responses.iter().map(|response| response.json()).collect();
        json!({ "responses": responses }).to_string().into_bytes()
    }

    /// Logs a line for each command, with the client.
    pub fn log(&self, client: &str, user: Option<&str>) {
        for response in &self.answered.responses {
            let (command, name) = (response.command.as_str(), response.name.as_deref());
            let error = response.result.as_ref().err().map(String::as_str);
            tracing::info!(client, user, command, name, error, "command of dynamic security");
        }
    }
}
