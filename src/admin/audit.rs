//! [`Audit`]: writing requests with caller, address and result: the last ones in memory, all of them in a file if
//! configured, and a log line for each.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use axum::http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{last::Last, rules::Via};
use crate::platform::OpenOptionsExt;

/// Writing requests kept in memory.
const MOST: usize = 1_000;

/// Longest path or query that is kept, in bytes.
const LONGEST: usize = 1_024;

/// Bytes at the end of the file that a start reads.
const TAIL: u64 = 1 << 20;

/// The writing requests.
pub(super) struct Audit {
    last: Mutex<Last<Write>>,
    file: Mutex<Option<Arc<AuditFile>>>,
}

/// A file with a line of JSON for each request.
pub struct AuditFile {
    path: PathBuf,
    file: File,
}

/// A writing request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Write {
    pub at: SystemTime,
    pub by: String,
    pub from: String,
    pub method: Method,
    /// Encoded, with its query.
    pub what: String,
    pub status: StatusCode,
}

/// Records a request when its answer is known, even if the client is gone.
pub(super) struct UnderWay {
    audit: Arc<Audit>,
    write: Option<Write>,
}

impl Write {
    /// A request of a caller.
    pub fn new(at: SystemTime, by: &str, via: Option<&Via>, method: &Method, what: &str) -> Self {
        let from = match via {
            Some(Via::Tcp(peer)) => peer.to_string(),
            Some(Via::Unix) => "unix".to_owned(),
            None => String::new(),
        };
        let what = what.chars().take(LONGEST).collect();
        Self { at, by: by.to_owned(), from, method: method.clone(), what, status: StatusCode::OK }
    }

    /// As shown in answers and in the file.
    pub fn shown(&self) -> Value {
        json!({
            "at": humantime::format_rfc3339_micros(self.at).to_string(),
            "by": self.by,
            "from": self.from,
            "method": self.method.as_str(),
            "what": self.what,
            "status": self.status.as_u16(),
        })
    }

    fn of_line(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        Some(Self {
            at: humantime::parse_rfc3339(value["at"].as_str()?).ok()?,
            by: text("by")?,
            from: text("from")?,
            method: text("method")?.parse().ok()?,
            what: text("what")?,
            status: StatusCode::from_u16(u16::try_from(value["status"].as_u64()?).ok()?).ok()?,
        })
    }
}

impl AuditFile {
    /// Opens the file; creates a missing one, readable by its owner only.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        // starts a new line if the file ends within one, as after a full disk
        let mut end = [b'\n'];
        if file.metadata()?.len() > 0 {
            (&file).seek(SeekFrom::End(-1))?;
            (&file).read_exact(&mut end)?;
        }
        if end != [b'\n'] {
            (&file).write_all(b"\n")?;
        }
        Ok(Self { path: path.to_owned(), file })
    }

    fn append(&self, line: &str) {
        // one call, so that lines of several requests do not mix
        if let Err(error) = (&self.file).write_all(line.as_bytes()) {
            tracing::error!(file = %self.path.display(), %error, "cannot write to http.audit_file");
        }
    }

    /// The last lines of the file.
    fn tail(&self) -> io::Result<Vec<Write>> {
        let length = self.file.metadata()?.len();
        let from = length.saturating_sub(TAIL);
        (&self.file).seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        (&self.file).take(TAIL).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        // the first line may be incomplete
        let lines = text.lines().skip(usize::from(from > 0));
        Ok(lines.filter_map(Write::of_line).collect())
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self { last: Mutex::new(Last::new(MOST)), file: Mutex::default() }
    }
}

impl Audit {
    /// Replaces the file.
    pub fn write_to(&self, file: Option<AuditFile>) {
        *self.file.lock() = file.map(Arc::new);
    }

    /// Loads the last lines of the file at a start.
    pub fn remember(&self) {
        let Some(file) = self.file.lock().clone() else { return };
        match file.tail() {
            Ok(writes) => {
                let mut last = self.last.lock();
                writes.into_iter().for_each(|write| last.add(write));
            }
            Err(error) => tracing::warn!(file = %file.path.display(), %error, "cannot read http.audit_file"),
        }
    }

    /// Reopens the file, which may have been renamed.
    pub fn reopen(&self) {
        let Some(old) = self.file.lock().clone() else { return };
        match AuditFile::open(&old.path) {
            Ok(new) => self.write_to(Some(new)),
            Err(error) => tracing::error!(file = %old.path.display(), %error, "cannot open http.audit_file again"),
        }
    }

    /// Begins to record a request.
    pub fn begin(self: &Arc<Self>, write: Write) -> UnderWay {
        UnderWay { audit: self.clone(), write: Some(write) }
    }

    /// At most `limit` requests before a number, the latest first, and the next number.
    pub fn before(&self, before: u64, limit: usize) -> (Vec<Write>, Option<u64>) {
        self.last.lock().before(before, limit)
    }

    /// Adds a request. The handle ends when the file has its line, which a thread writes that may wait for the disk.
    fn add(&self, write: Write) -> Option<JoinHandle<()>> {
        let Write { by, from, method, what, status, .. } = &write;
        tracing::info!(by, from, %method, what, status = status.as_u16(), "HTTP write");
        let line = format!("{}\n", write.shown());
        self.last.lock().add(write);
        let file = self.file.lock().clone()?;
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        Some(runtime.spawn_blocking(move || file.append(&line)))
    }
}

impl UnderWay {
    /// Sets the caller, which was not known at the beginning.
    pub fn by(&mut self, name: &str) {
        if let Some(write) = &mut self.write {
            write.by = name.to_owned();
        }
    }

    /// Does not record the request.
    pub fn forget(mut self) {
        self.write = None;
    }

    /// Records the result. When this returns, the file has the line.
    pub async fn ended(mut self, status: StatusCode) {
        let Some(write) = self.write.take() else { return };
        if let Some(written) = self.audit.add(Write { status, ..write }) {
            let _panicked = written.await;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(write) = self.write.take() {
            let _written = self.audit.add(Write { status: gone(), ..write });
        }
    }
}

/// The status if the client disconnected, or the time limit passed, before the answer.
fn gone() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    fn write(what: &str) -> Write {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Write::new(at, "ada", Some(&Via::Unix), &Method::POST, what)
    }

    #[test]
    fn the_last_lines_of_an_audit_file_are_loaded_despite_an_incomplete_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit");
        let file = AuditFile::open(&path).unwrap();
        for what in ["a", "b\n\"c\""] {
            file.append(&format!("{}\n", write(what).shown()));
        }
        file.append("{\"at\": \"2027-");
        let file = AuditFile::open(&path).unwrap();
        file.append(&format!("{}\n", write("d").shown()));
        let audit = Audit::default();
        audit.write_to(Some(file));
        audit.remember();
        let (last, _) = audit.before(u64::MAX, 10);
        assert_eq!(last, [write("d"), write("b\n\"c\""), write("a")]);
        // reads only the end of a long file
        fs::write(&path, format!("{}\n", write(&"x".repeat(1_000)).shown()).repeat(2_000)).unwrap();
        let tail = AuditFile::open(&path).unwrap().tail().unwrap();
        assert!((900..1_000).contains(&tail.len()), "{}", tail.len());
    }

    #[test]
    fn a_write_whose_client_disconnected_is_recorded() {
        let audit = Arc::<Audit>::default();
        drop(audit.begin(write("a")));
        audit.begin(write("b")).forget();
        let (last, _) = audit.before(u64::MAX, 10);
        assert_eq!(last.len(), 1);
        assert_eq!((last[0].what.as_str(), last[0].status.as_u16()), ("a", 499));
    }
}
