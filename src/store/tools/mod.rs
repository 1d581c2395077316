//! `dunlin store check`, `dump`, `repair`, `backup`, `export` and `import`: tools for the operator of a data directory.
//! Each except `backup` locks the directory, so that it cannot run beside a broker, and writes its report to `out`.

mod backup;
mod export;
mod fresh;
mod import;
mod json;
mod mosquitto;
mod state;

pub use backup::backup;
pub(crate) use backup::copy_log;
pub use export::{export, export_format_1};
pub use import::import;
pub(crate) use import::import_in_memory;
pub use mosquitto::{DatabaseError, import_mosquitto};
pub(crate) use state::state_of;

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use thiserror::Error;

use super::{
    commit::{Progress, Settings, Statistics, Writer, milliseconds, random},
    index::Index,
    log::{Disk, End, Failure, File, Files, Last, LogRecord, OpenError, SegmentBytes, Time, data_dir, names},
    recovery::{Progress as Shown, Recovered, recover},
};
use crate::clock::Clock;

/// Why a tool failed.
#[derive(Debug, Error)]
pub enum ToolError {
    /// The directory cannot be read, or is in use.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The report cannot be written.
    #[error("cannot write the report: {0}")]
    Output(#[from] io::Error),
    /// The repaired log cannot be written.
    #[error("the repair is not complete, and can be repeated: {0}")]
    Repair(#[from] Failure),
    /// There is no room for the repaired log.
    #[error("{}: there is no room for the repaired log, {needed} bytes; make room and repeat the repair", path.display())]
    NoRoom {
        /// The directory.
        path: PathBuf,
        /// Approximate bytes.
        needed: u64,
    },
    /// The directory for the output is not empty.
    #[error("{}: exists and is not empty; choose another directory", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The lines to be imported cannot be read.
    #[error("cannot read the input: {0}")]
    Input(io::Error),
    /// A line is not valid.
    #[error("line {number}: {why}; nothing was imported")]
    Line {
        /// Its number, from 1.
        number: u64,
        /// What is wrong, as text.
        why: String,
    },
    /// The database of mosquitto cannot be read.
    #[error("{}: {why}; nothing was imported", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What is wrong, as text.
        why: String,
    },
    /// The damaged files cannot be kept in a directory of their own.
    #[error("{}: cannot keep the damaged files aside: {error}; nothing was changed", path.display())]
    Aside {
        /// The directory for them.
        path: PathBuf,
        /// The system's error; part of the text.
        error: io::Error,
    },
}

/// Reads the whole log and reports each segment, the stored state and all damage. `true`: there is no damage.
pub fn check(data_dir: &Path, out: &mut impl Write) -> Result<bool, ToolError> {
    let _lock = data_dir::lock_to_read(data_dir)?;
    let recovered = read(data_dir, "checking", &mut |_, _| {})?;
    for found in &recovered.segments {
        let live = recovered.index.segment_use.get(found.id as u32);
        writeln!(
            out,
            "{}: {} frames, {} records, {} of {} bytes used; {} records (at most {} bytes) are live",
            names::segment(found.id),
            found.frames,
            found.records,
            found.end,
            found.len,
            live.records,
            live.bytes
        )?;
    }
    writeln!(out, "kept: {}", kept(&recovered.index))?;
    if let Some(torn) = &recovered.torn {
        writeln!(
            out,
            "{}, byte {}: frame {} is incomplete, and the next start cuts it off; acknowledged of it: {}",
            torn.file,
            torn.offset,
            torn.frame,
            torn.acknowledged()
        )?;
    }
    for damage in &recovered.damage {
        writeln!(out, "{damage}")?;
    }
    match recovered.damage.len() {
        0 => writeln!(out, "no damage")?,
        places => writeln!(
            out,
            "damage in {places} place(s); `dunlin store repair --data-dir {}` continues without the lost records",
            data_dir.display()
        )?,
    }
    Ok(recovered.damage.is_empty())
}

/// Writes the stored state as JSON, one object a line; with `all` each record of the log in order, with its place.
/// Damage is an object too.
pub fn dump(data_dir: &Path, all: bool, out: &mut impl Write) -> Result<(), ToolError> {
    let _lock = data_dir::lock_to_read(data_dir)?;
    let mut failed = Ok(());
    let recovered = read(data_dir, "reading", &mut |position, record| {
        if !all || failed.is_err() {
            return;
        }
        let mut object = json::record(record);
        object.insert("file".into(), position.file.into());
        object.insert("offset".into(), position.offset.into());
        object.insert("frame".into(), position.about.number.into());
        object.insert("time_ms".into(), position.about.time.wall.into());
        object.insert("age_ms".into(), position.about.time.age.into());
        failed = line(out, object);
    })?;
    failed?;
    if !all {
        dump_live(&recovered.index, out)?;
    }
    for damage in &recovered.damage {
        let object = serde_json::json!({
            "record": "damage", "file": damage.file, "offset": damage.offset, "what": damage.what
        });
        writeln!(out, "{object}")?;
    }
    Ok(())
}

/// Writes a new log with everything that can be read, keeps the old files in `damaged-<seconds since 1970>/` within the
/// directory, and reports what is lost. It may be interrupted and repeated.
pub fn repair(data_dir: &Path, out: &mut impl Write) -> Result<(), ToolError> {
    let _lock = data_dir::lock(data_dir)?;
    let recovered = read(data_dir, "reading", &mut |_, _| {})?;
    if recovered.damage.is_empty() {
        writeln!(out, "no damage: nothing to repair")?;
        return Ok(());
    }
    for damage in &recovered.damage {
        writeln!(out, "lost: {damage}")?;
    }
    for dangling in &recovered.dangling {
        writeln!(out, "lost: {dangling}")?;
    }
    let time = Time { wall: milliseconds(Clock::system().wall()), age: recovered.last.age };
    let aside = data_dir.join(format!("damaged-{}", time.wall / 1000));
    let old = keep_aside(data_dir, &aside).map_err(|error| ToolError::Aside { path: aside.clone(), error })?;

    let live = recovered.index.live_bytes;
    let settings = Settings {
        segment_bytes: SegmentBytes::all((live / 4).clamp(1 << 20, 64 << 20)),
        sync_delay: Duration::ZERO,
        one_sync_at_a_time: false,
        salt: random(),
        keep_freed: true,
    };
    let files = Arc::new(Disk::new(data_dir, false));
    let opened = Writer::open(files, recovered, settings, Arc::new(Statistics::default()));
    let mut writer = opened.map_err(|error| error.within(data_dir))?;
    if writer.rewrite(time)? == Progress::Stuck {
        return Err(ToolError::NoRoom { path: data_dir.to_owned(), needed: live + live / 4 });
    }
    // the new log is durable and does not need the old one
    for name in old {
        fs::remove_file(data_dir.join(name))?;
    }
    writeln!(out, "kept: {}", kept(writer.index()))?;
    writeln!(
        out,
        "the log as it was is in {}; messages whose completion is lost with it are delivered again",
        aside.display()
    )?;
    Ok(())
}

/// Reads the log. `what` is shown in progress reports.
fn read(
    data_dir: &Path,
    what: &'static str,
    visit: &mut dyn FnMut(super::recovery::Position<'_>, &LogRecord<'_>),
) -> Result<Recovered, OpenError> {
    let files = Disk::to_read(data_dir);
    let mut progress = Shown::of_log(what, &files, |what, done| eprintln!("{what}: {done}"));
    let mut visit = |position: super::recovery::Position<'_>, record: &LogRecord<'_>| {
        progress.read(position.file, position.offset);
        visit(position, record);
    };
    recover(&files, &mut visit).map_err(|error| error.within(data_dir))
}

/// Returns an error if there is damage, because the state is then incomplete.
fn damaged(data_dir: &Path, recovered: &Recovered) -> Result<(), ToolError> {
    match recovered.damage.split_first() {
        None => Ok(()),
        Some((damage, more)) => {
            let (data_dir, damage) = (data_dir.to_owned(), damage.clone());
            Err(OpenError::Damaged { data_dir, damage, more: more.len() }.into())
        }
    }
}

/// Marks a new log as cleanly shut down.
fn finish(files: &Disk, recovered: &Recovered) -> io::Result<()> {
    if let Some(last) = recovered.segments.last() {
        let file = files.open(&names::segment(last.id))?;
        file.set_len(last.end)?;
        file.sync_data()?;
        Last::open(files)?.note(last.id)?;
        End { segment: last.id, frame: recovered.next_frame - 1, length: last.end }.write(files)?;
    }
    files.sync_dir()
}

/// Links each segment into `aside` and syncs that. Returns the names.
fn keep_aside(data_dir: &Path, aside: &Path) -> io::Result<Vec<String>> {
    fs::create_dir(aside)?;
    let mut kept = Vec::new();
    for entry in fs::read_dir(data_dir)? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if names::segment_id(&name).is_some() {
            let (from, to) = (data_dir.join(&name), aside.join(&name));
            // not every file system has hard links
            fs::hard_link(&from, &to)
                .or_else(|_| fs::copy(&from, &to).and_then(|_| fs::File::open(&to)?.sync_all()))?;
            kept.push(name);
        }
    }
    fs::File::open(aside)?.sync_all()?;
    fs::File::open(data_dir)?.sync_all()?;
    Ok(kept)
}

fn dump_live(index: &Index, out: &mut impl Write) -> io::Result<()> {
    export::each_record(index, &mut |record| line(out, json::record(record)))
}

fn line(out: &mut impl Write, object: serde_json::Map<String, serde_json::Value>) -> io::Result<()> {
    writeln!(out, "{}", serde_json::Value::from(object))
}

fn kept(index: &Index) -> String {
    let (mut sessions, mut subscriptions, mut messages, mut received) = (0, 0, 0, 0);
    for (_, session) in index.sessions.iter() {
        sessions += 1;
        subscriptions += session.subscriptions.len();
        messages += session.live_entries().count();
        received += session.received.len();
    }
    let retained = index.bodies.iter().filter(|(_, body)| body.flags.retained).count();
    format!(
        "{sessions} sessions, {subscriptions} subscriptions, {messages} messages to deliver, {received} messages to be \
         released, {retained} retained messages"
    )
}
