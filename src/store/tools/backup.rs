//! `dunlin store backup`: a copy of a data directory, also of one that a broker uses.
//!
//! Tool and broker need no coordination. Segments are copied in order. A segment that the broker freed and overwrote
//! meanwhile is not needed: an earlier frame says so, and that frame is in the copy of the last segment. Of the last
//! segment the first frames are copied; any prefix of a log is consistent.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    thread,
    time::Duration,
};

use super::{
    super::{
        log::{Disk, Files, HEADER, Header, Key, OpenError, format, names},
        recovery::{Progress, recover},
    },
    ToolError, damaged, finish, kept,
};
use crate::platform::{DirBuilderExt, OpenOptionsExt};

/// Files of other parts of the broker in `data_dir`: bans, the names of the store for webhooks and of the broker for
/// bridges, and messages that a webhook's service refused, which are in no queue any more.
const OTHERS: [&str; 4] = ["bans.json", "BRIDGE", "ORIGIN", "rejected.jsonl"];

/// Copies all of `data_dir` to the directory `to`, which is created or must be empty.
pub fn backup(data_dir: &Path, to: &Path, out: &mut impl Write) -> Result<(), ToolError> {
    copy(data_dir, to, &OTHERS, out)
}

/// Copies the log alone, as [`backup`] does.
pub(crate) fn copy_log(data_dir: &Path, to: &Path) -> Result<(), ToolError> {
    copy(data_dir, to, &[], &mut io::sink())
}

fn copy(data_dir: &Path, to: &Path, others: &[&str], out: &mut impl Write) -> Result<(), ToolError> {
    if !data_dir.is_dir() {
        return Err(OpenError::NotADirectory { path: data_dir.to_owned() }.into());
    }
    make(to)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| ToolError::Open(OpenError::Io { path, what: "cannot copy it", error })
    };
    let (incomplete, files) = (to.join(names::INCOMPLETE), Disk::new(to, false));
    fs::File::create(&incomplete).and_then(|file| file.sync_all()).map_err(failed(to))?;
    files.sync_dir().map_err(failed(to))?;
    copy_segments(data_dir, to).map_err(failed(data_dir))?;
    // after the log: a message that is refused meanwhile is in both, and not in neither
    for name in others {
        copy_if_there(&data_dir.join(name), &to.join(name)).map_err(failed(&data_dir.join(name)))?;
    }
    let recovered = recover(&files, &mut |_, _| {}).map_err(|error| error.within(to))?;
    damaged(data_dir, &recovered)?;
    for name in &recovered.obsolete {
        files.remove(name).map_err(failed(to))?;
    }
    finish(&files, &recovered).map_err(failed(to))?;
    fs::remove_file(&incomplete).and_then(|()| files.sync_dir()).map_err(failed(to))?;
    writeln!(out, "kept: {}", kept(&recovered.index))?;
    writeln!(out, "{} is a data directory with all that was acknowledged before this began", to.display())?;
    Ok(())
}

/// Creates a directory for a copy. An existing one must be empty.
pub(super) fn make(to: &Path) -> Result<(), ToolError> {
    match fs::DirBuilder::new().mode(0o700).create(to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let empty = fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_none());
            if empty { Ok(()) } else { Err(ToolError::NotEmpty { path: to.to_owned() }) }
        }
        Err(error) => Err(OpenError::Create { path: to.to_owned(), error }.into()),
    }
}

/// The broker replaces such a file as a whole, or appends lines to it.
fn copy_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::copy(from, to) {
        Ok(_) => fs::File::open(to)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn copy_segments(data_dir: &Path, to: &Path) -> io::Result<()> {
    let files = Disk::to_read(data_dir);
    let mut progress = Progress::of_log("copying", &files, |what, done| eprintln!("{what}: {done}"));
    let (mut from, mut done) = (0, 0);
    loop {
        let mut segments: Vec<u64> = files.list()?.iter().filter_map(|name| names::segment_id(name)).collect();
        segments.retain(|&id| id >= from);
        segments.sort_unstable();
        let Some(last) = segments.pop() else { return Ok(()) };
        for id in segments {
            let name = names::segment(id);
            match fs::copy(data_dir.join(&name), to.join(&name)) {
                Ok(bytes) => {
                    fs::File::open(to.join(&name))?.sync_all()?;
                    done += bytes;
                }
                // the broker removed it meanwhile
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            progress.at(done);
        }
        let name = names::segment(last);
        match read_last(&data_dir.join(&name)) {
            Ok(bytes) => {
                let mut options = fs::File::options();
                let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(to.join(&name))?;
                file.write_all(&bytes)?;
                file.sync_all()?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // again, if the broker has begun another segment meanwhile
        if files.list()?.iter().filter_map(|name| names::segment_id(name)).max() <= Some(last) {
            return Ok(());
        }
        from = last;
    }
}

/// Reads the whole frames of the segment that the broker writes to. A whole frame behind an incomplete one means that
/// some were written during the read, which is then repeated.
fn read_last(path: &Path) -> io::Result<Vec<u8>> {
    let mut tries = 0;
    loop {
        let mut bytes = fs::read(path)?;
        let Ok(header) = Header::decode(&bytes) else { return Ok(bytes) };
        // two segments of one log differ only in their number
        let key = Key::new(header.salt, header.id, header.version);
        let (mut at, mut number) = (HEADER, header.first_frame);
        while let Some(frame) = format::frame_at(&bytes, at, key).filter(|frame| frame.about.number == number) {
            (at, number) = (frame.end, number + 1);
        }
        tries += 1;
        if format::find_frame(&bytes, at, key, number + 1..=u64::MAX).is_none() {
            bytes.truncate(at);
            return Ok(bytes);
        }
        if tries == TRIES {
            // damage: the reader of the copy reports it
            return Ok(bytes);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// How often a segment is read until no frame is missing.
const TRIES: u32 = 100;
