//! A data directory, and brokers that use it one after the other.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::support::running::Running;

/// A directory with a configuration and room for a data directory; removed with the value.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        // on the disk that is built on: /tmp may be none
        Self::within(Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    /// In this directory.
    pub fn within(dir: &Path) -> Self {
        Self(tempfile::tempdir_in(dir).expect("a directory"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    /// A broker on the data directory.
    pub fn start(&self) -> Running {
        self.configured("")
    }

    /// With more in its configuration.
    pub fn configured(&self, text: &str) -> Running {
        let config = self.path().join("dunlin.toml");
        fs::write(&config, text).expect("the configuration can be written");
        let data_dir = self.data_dir();
        Running::start(&["--config", text_of(&config), "--data-dir", text_of(&data_dir)])
    }

    /// Runs dunlin on the data directory to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let data_dir = self.data_dir();
        run(&[arguments, &["--data-dir", text_of(&data_dir)]].concat())
    }

    /// The one line with which a broker on the data directory refuses to start.
    #[track_caller]
    pub fn refused(&self) -> String {
        refused(&self.data_dir())
    }

    /// The segments of the log, the oldest first.
    pub fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.data_dir()).expect("the data directory").map(|entry| entry.unwrap().path());
        let mut segments: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
        segments.sort();
        segments
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dunlin")).env_clear().args(arguments).output().expect("dunlin runs")
}

/// The one line with which a broker on this data directory refuses to start.
#[track_caller]
pub fn refused(data_dir: &Path) -> String {
    let output = run(&["--listen", "127.0.0.1:0", "--data-dir", text_of(data_dir)]);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    said
}

pub fn text_of(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A client that is away, with a session and this subscription.
#[track_caller]
pub fn away(broker: &Running, id: &str, filter: &str, qos: u8) {
    let mut client = broker.begin(id);
    client.subscribe(&[(filter, qos)]);
    client.disconnect();
}
