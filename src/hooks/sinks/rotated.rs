//! The rotated files of a sink: their names, their compression, and the removal of the oldest ones.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use flate2::{Compression, write::GzEncoder};

use crate::platform::{self, OpenOptionsExt};

/// Ends the name of a compressed file.
const GZ: &str = ".gz";
/// Ends the name of a file that is being compressed.
const UNFINISHED: &str = ".gz.new";
/// Bytes that are compressed before other tasks of the thread have a turn.
const STEP: usize = 64 << 10;

/// The path with more at its end.
pub(super) fn with(path: &Path, more: &str) -> PathBuf {
    let mut text = OsString::from(path);
    text.push(more);
    text.into()
}

/// The name of a file that is rotated now: names sort by time. No file has it.
pub(super) fn name(path: &Path, now: SystemTime) -> PathBuf {
    let time = humantime::format_rfc3339_micros(now).to_string().replace(['-', ':'], "");
    let mut name = with(path, &format!(".{time}"));
    while name.exists() || with(&name, GZ).exists() {
        name = with(&name, "a");
    }
    name
}

/// Makes new names in the directory of this file durable.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    platform::sync_directory(dir)
}

/// The rotated files, the oldest first. Removes what an earlier process did not finish to compress.
pub(super) fn all(path: &Path) -> io::Result<Vec<PathBuf>> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let begin = path.file_name().unwrap_or_default().as_encoded_bytes();
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(rest) = name.as_encoded_bytes().strip_prefix(begin).and_then(|rest| std::str::from_utf8(rest).ok())
        else {
            continue;
        };
        if let Some(stamp) = rest.strip_suffix(UNFINISHED).filter(|stamp| is_stamp(stamp)) {
            fs::remove_file(dir.join(&name))?;
            tracing::debug!(target: "dunlin::hooks", stamp, "compression of a rotated file begins again");
        } else if is_stamp(rest.strip_suffix(GZ).unwrap_or(rest)) {
            all.push(dir.join(name));
        }
    }
    all.sort();
    Ok(all)
}

/// `.20261130T132645.123456Z`, and letters that distinguish files of the same time.
fn is_stamp(text: &str) -> bool {
    let shape = b".dddddddd\0dddddd.ddddddZ";
    let text = text.trim_end_matches('a').as_bytes();
    text.len() == shape.len()
        && text.iter().zip(shape).all(|(byte, shape)| match shape {
            b'd' => byte.is_ascii_digit(),
            b'\0' => *byte == b'T',
            other => byte == other,
        })
}

/// Is it still to be compressed?
pub(super) fn is_plain(path: &Path) -> bool {
    !path.as_os_str().as_encoded_bytes().ends_with(GZ.as_bytes())
}

/// Compresses a rotated file. Other tasks of the thread have turns meanwhile. If it is dropped, the file stays as it
/// is.
pub(super) async fn compress(path: &Path) -> io::Result<()> {
    let unfinished = with(path, UNFINISHED);
    let mut from = File::open(path)?;
    let to = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    let mut to = GzEncoder::new(to, Compression::default());
    let mut bytes = vec![0; STEP];
    loop {
        let read = from.read(&mut bytes)?;
        if read == 0 {
            break;
        }
        to.write_all(&bytes[..read])?;
        tokio::task::yield_now().await;
    }
    to.finish()?.sync_all()?;
    fs::rename(&unfinished, with(path, GZ))?;
    sync_dir(path)?;
    fs::remove_file(path)
}

/// Removes the oldest rotated files, so that this many are left; 0: all.
pub(super) fn remove_oldest(path: &Path, keep: usize) -> io::Result<()> {
    if keep == 0 {
        return Ok(());
    }
    let all = all(path)?;
    all[..all.len().saturating_sub(keep)].iter().try_for_each(fs::remove_file)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use flate2::read::MultiGzDecoder;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn rotated_files_are_compressed_and_the_oldest_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let text = "line\n".repeat(100_000);
        let made: Vec<_> = [1, 2, 2, 3]
            .map(|second| {
                let name = name(&path, UNIX_EPOCH + Duration::from_secs(second));
                fs::write(&name, &text).unwrap();
                name
            })
            .into();
        // other files beside them
        for other in ["a", "a.1", "b.19700101T000100.000000Z", "a.19700101T000100.000000Z.txt"] {
            fs::write(dir.path().join(other), "").unwrap();
        }
        fs::write(with(&made[0], UNFINISHED), "x").unwrap();
        assert_eq!(all(&path).unwrap(), made);
        assert!(!with(&made[0], UNFINISHED).exists());
        block_on(compress(&made[0])).unwrap();
        assert!(!made[0].exists());
        let mut read = String::new();
        MultiGzDecoder::new(File::open(with(&made[0], GZ)).unwrap()).read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
        assert_eq!(all(&path).unwrap().len(), 4);
        remove_oldest(&path, 0).unwrap();
        assert_eq!(all(&path).unwrap().len(), 4);
        remove_oldest(&path, 2).unwrap();
        assert_eq!(all(&path).unwrap(), made[2..]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 6);
    }
}
