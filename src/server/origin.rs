//! The file `ORIGIN` in `data_dir`: the name of this store in the events of durable webhooks, and the number of its
//! starts. By both, an event has the same source and identifier after a restart, and no other event has them.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use thiserror::Error;

use crate::auth::replace_file;

/// Its name in `data_dir`.
const FILE: &str = "ORIGIN";
/// Numbers of messages for each start.
const NUMBERS: u32 = 32;

/// What the file has.
struct Origin {
    name: String,
    /// Rises with each start.
    start: u64,
}

/// The file is there, and has no name. With another one, services would take events that are sent again for new ones.
#[derive(Debug, Error)]
#[error(
    "{}: {problem}; mend the file, or move it away: then events of durable webhooks have another source, and services take those \
     that are sent again for new ones", .path.display()
)]
pub struct OriginError {
    path: PathBuf,
    problem: String,
}

impl Origin {
    /// `None`: there is no such file.
    fn read(data_dir: &Path) -> Result<Option<Self>, OriginError> {
        let path = data_dir.join(FILE);
        let problem = match fs::read(&path) {
            Ok(bytes) => match Self::parse(&bytes) {
                Some(origin) => return Ok(Some(origin)),
                None => "is damaged".into(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => format!("cannot be read: {error}"),
        };
        Err(OriginError { path, problem })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (name, start) = str::from_utf8(bytes).ok()?.trim_end().split_once(' ')?;
        let is_name = name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let start = start.parse().ok()?;
        is_name.then(|| Self { name: name.into(), start })
    }

    fn write(&self, data_dir: &Path) -> io::Result<()> {
        replace_file(&data_dir.join(FILE), format!("{} {}\n", self.name, self.start).as_bytes())
    }
}

/// Can the file be used, if there is one?
pub(super) fn check(data_dir: &Path) -> Result<(), OriginError> {
    Origin::read(data_dir).map(|_| ())
}

/// A start begins. Returns the number above which messages of this process are numbered. `None`: there was no durable
/// webhook before.
pub(super) fn begin(data_dir: &Path, now: SystemTime) -> Option<u64> {
    // no durable webhook is configured: otherwise it was checked
    let warn = |error: &OriginError| tracing::warn!(%error, "no durable webhook can begin until it is mended");
    let before = Origin::read(data_dir).inspect_err(warn).ok().flatten()?;
    // The time is for a directory that was restored from a backup, which has an earlier number. It fits in 32 bits
    // until 2106. The file is for a clock that was turned back.
    let time = now.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()).min(u32::MAX.into());
    let next = Origin { start: time.max(before.start + 1).min(u32::MAX.into()), ..before };
    if let Err(error) = next.write(data_dir) {
        tracing::warn!(%error, file = %data_dir.join(FILE).display(), "cannot write the number of this start");
    }
    Some(next.start << NUMBERS)
}

/// The name of the store in `data_dir`; a new one if it has none.
pub(super) fn name(data_dir: &Path) -> Result<String, OriginError> {
    if let Some(origin) = Origin::read(data_dir)? {
        return Ok(origin.name);
    }
    let name = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    let new = Origin { name, start: 0 };
    if let Err(error) = new.write(data_dir) {
        let file = data_dir.join(FILE);
        tracing::warn!(%error, file = %file.display(), "events of durable webhooks have another source after a restart");
    }
    Ok(new.name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn numbers_of_a_start_are_above_those_of_all_before_whatever_the_clock_shows() {
        let dir = tempfile::tempdir().unwrap();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(begin(dir.path(), at(5)), None);
        let first = name(dir.path()).unwrap();
        assert_eq!(name(dir.path()).unwrap(), first);
        let starts = [1_000, 2_000, 2_000, 3, 5_000].map(|now| begin(dir.path(), at(now)).unwrap() >> NUMBERS);
        assert_eq!(starts, [1_000, 2_000, 2_001, 2_002, 5_000]);
        assert_eq!(name(dir.path()).unwrap(), first);
        // another store
        fs::remove_file(dir.path().join(FILE)).unwrap();
        assert_ne!(name(dir.path()).unwrap(), first);
    }

    #[test]
    fn a_file_that_cannot_be_used_stays_and_is_an_error() {
        let (dir, now) = (tempfile::tempdir().unwrap(), UNIX_EPOCH + Duration::from_secs(1_000));
        let file = dir.path().join(FILE);
        check(dir.path()).unwrap();
        let first = name(dir.path()).unwrap();
        let whole = fs::read_to_string(&file).unwrap();
        let damaged: [&[u8]; 6] =
            [b"", b"\0\0\0\0", b"\xff\xfe", &whole.as_bytes()[..9], b"0123456789abcdeg 7\n", b"0123456789abcdef x"];
        for bytes in damaged {
            fs::write(&file, bytes).unwrap();
            for error in [check(dir.path()).unwrap_err(), name(dir.path()).unwrap_err()] {
                let expected = format!("{}: is damaged; mend the file, or move it away", file.display());
                assert!(error.to_string().starts_with(&expected), "{error}");
            }
            assert_eq!(begin(dir.path(), now), None);
            assert_eq!(fs::read(&file).unwrap(), bytes);
        }
        fs::write(&file, &whole).unwrap();
        assert_eq!(name(dir.path()).unwrap(), first);
        // no file, but something is there
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        let error = check(dir.path()).unwrap_err().to_string();
        assert!(error.contains("cannot be read: "), "{error}");
        assert!(name(dir.path()).is_err());
    }
}
