//! Recordings: packets as JSON lines after a first line that describes them; and differences between two recordings.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    io::{BufRead, BufReader, LineWriter, Write},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use flate2::bufread::MultiGzDecoder;
use serde_json::{Value, json};
use thiserror::Error;

use super::{
    journal::{Entry, What},
    shown::entry,
};
use crate::{
    clock::{Clock, Stopwatch},
    trace::first_line,
};

/// Writes a recording on a thread of its own. Passwords and Authentication Data are left out.
pub(super) struct Recorder {
    lines: Option<mpsc::Sender<String>>,
    writer: Option<thread::JoinHandle<()>>,
    begun: Stopwatch,
}

impl Recorder {
    /// Creates the file, or replaces that of an earlier run.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut out = LineWriter::new(fs::File::create(path)?);
        writeln!(out, "{}", first_line(Clock::system().wall()))?;
        let (lines, noted) = mpsc::channel::<String>();
        let writer = thread::Builder::new().name("dunlin-record".into()).spawn(move || {
            if let Some(error) = noted.iter().find_map(|line| writeln!(out, "{line}").err()) {
                tracing::error!(%error, "cannot write the recording");
            }
        })?;
        Ok(Self { lines: Some(lines), writer: Some(writer), begun: Stopwatch::start() })
    }

    /// Records a packet; other events are ignored.
    pub(super) fn note(&self, noted: &Entry) {
        let Some(lines) = self.lines.as_ref().filter(|_| matches!(noted.what, What::Packet { .. })) else { return };
        let mut line = entry(noted);
        line["mono_us"] = json!(u64::try_from(self.begun.took().as_micros()).unwrap_or(u64::MAX));
        // the thread has logged its error
        let _ = lines.send(line.to_string());
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        drop(self.lines.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Why recordings cannot be compared.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// A file that cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error, which the text contains.
        error: io::Error,
    },
    /// A file is not a recording.
    #[error("{}:{line}: {problem}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

/// Differences between the flows of two recordings, for each client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences(Vec<String>);

impl Differences {
    /// Are there no differences?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The packets of each client in their order, without times and identifiers.
type Flows = BTreeMap<String, Vec<String>>;

/// Compares two recordings: the packets that each client sends and receives, in their order. Times, Packet Identifiers
/// and pings are ignored.
pub fn diff(one: &Path, other: &Path) -> Result<Differences, RecordingError> {
    let (one, other) = (flows(one)?, flows(other)?);
    let clients: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
    let none = Vec::new();
    let mut differences = Vec::new();
    for client in clients {
        let (a, b) = (one.get(client).unwrap_or(&none), other.get(client).unwrap_or(&none));
        let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        let shown = |flow: &[String]| flow.get(same).cloned().unwrap_or_else(|| "nothing more".into());
        if same < a.len().max(b.len()) {
            let at = same + 1;
            differences.push(format!("client {client:?}, packet {at}: {} / {}", shown(a), shown(b)));
        }
    }
    Ok(Differences(differences))
}

/// Is this the first line of a recording?
pub(super) fn is_first_line(value: &Value) -> bool {
    value["dunlin"] == "recording" && value["version"] == 1
}

/// Opens a recording; one that is compressed (gzip) is read as if it were not.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    plain(BufReader::new(fs::File::open(path)?))
}

/// The same for a recording that is not in a file.
pub(super) fn plain<'a>(mut recording: impl BufRead + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    match recording.fill_buf()?.starts_with(&GZIP) {
        true => Ok(Box::new(BufReader::new(MultiGzDecoder::new(recording)))),
        false => Ok(Box::new(recording)),
    }
}

/// The first bytes of a compressed file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

fn flows(path: &Path) -> Result<Flows, RecordingError> {
    let read = |error| RecordingError::Read { path: path.to_owned(), error };
    let wrong = |line, problem: &str| RecordingError::Line { path: path.to_owned(), line, problem: problem.into() };
    let mut flows = Flows::new();
    for (number, line) in (1..).zip(open(path).map_err(read)?.lines()) {
        let line = line.map_err(read)?;
        let value: Value = serde_json::from_str(&line).map_err(|error| wrong(number, &error.to_string()))?;
        if number == 1 {
            match is_first_line(&value) {
                true => continue,
                false => return Err(wrong(1, "not the first line of a recording")),
            }
        }
        if let Some(packet) = value["packet"].as_str().filter(|packet| !packet.starts_with("PING")) {
            let client = value["client"].as_str().unwrap_or_default().to_owned();
            flows.entry(client).or_default().push(told(packet, &value));
        }
    }
    Ok(flows)
}

/// A packet as text, without times and identifiers.
fn told(packet: &str, value: &Value) -> String {
    const MATTERS: [&str; 9] =
        ["topic", "qos", "dup", "retain", "payload", "payload_base64", "reason_code", "reason_codes", "fault"];
    let arrow = if value["direction"] == "to_client" { "←" } else { "→" };
    let there = MATTERS.iter().filter(|name| !value[**name].is_null());
    let fields: Vec<_> = there.map(|name| format!("{name}={}", value[*name])).collect();
    format!("{arrow} {packet} {}", fields.join(" ")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path, name: &str, lines: &[Value]) -> PathBuf {
        let path = dir.join(name);
        let all: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(&path, all).unwrap();
        path
    }

    fn packet(packet: &str, at: u64, more: Value) -> Value {
        let mut line =
            json!({ "packet": packet, "direction": "to_server", "client": "c", "mono_us": at, "packet_id": at });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    }

    #[test]
    fn recordings_are_compared_without_times_and_identifiers() {
        let dir = tempfile::tempdir().unwrap();
        let head = json!({ "dunlin": "recording", "version": 1 });
        let connect = |at| packet("CONNECT", at, json!({}));
        let publish = |at, payload| packet("PUBLISH", at, json!({ "topic": "a", "payload": payload }));
        let ping = packet("PINGREQ", 5, json!({}));
        let one = file(dir.path(), "1", &[head.clone(), connect(1), publish(2, "x")]);
        let other = file(dir.path(), "2", &[head.clone(), connect(7), ping, publish(8, "x")]);
        assert!(diff(&one, &other).unwrap().is_empty());
        let longer = file(dir.path(), "3", &[head.clone(), connect(1), publish(2, "x"), publish(3, "y")]);
        let told = diff(&one, &longer).unwrap().to_string();
        assert_eq!(told, "client \"c\", packet 3: nothing more / → PUBLISH topic=\"a\" payload=\"y\"\n");
        let empty = file(dir.path(), "4", &[head]);
        assert!(
            diff(&empty, &one).unwrap().to_string().starts_with("client \"c\", packet 1: nothing more / → CONNECT")
        );
        let none = file(dir.path(), "5", &[json!({})]);
        assert!(diff(&none, &one).unwrap_err().to_string().ends_with("5:1: not the first line of a recording"));
    }
}
