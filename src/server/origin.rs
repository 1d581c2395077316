//! The file `ORIGIN` in `data_dir`: the name of this store in the events of durable webhooks, and the number of its
//! starts. By both, an event has the same source and identifier after a restart, and no other event has them.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

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

impl Origin {
    fn read(data_dir: &Path) -> Option<Self> {
        let text = fs::read_to_string(data_dir.join(FILE)).ok()?;
        let (name, start) = text.trim_end().split_once(' ')?;
        let is_name = name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_name.then(|| Some(Self { name: name.into(), start: start.parse().ok()? })).flatten()
    }

    fn write(&self, data_dir: &Path) -> io::Result<()> {
        replace_file(&data_dir.join(FILE), format!("{} {}\n", self.name, self.start).as_bytes())
    }
}

/// A start begins. Returns the number above which messages of this process are numbered. `None`: there was no durable
/// webhook before.
pub(super) fn begin(data_dir: &Path, now: SystemTime) -> Option<u64> {
    let before = Origin::read(data_dir)?;
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
pub(super) fn name(data_dir: &Path) -> String {
    if let Some(origin) = Origin::read(data_dir) {
        return origin.name;
    }
    let name = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    let new = Origin { name, start: 0 };
    if let Err(error) = new.write(data_dir) {
        let file = data_dir.join(FILE);
        tracing::warn!(%error, file = %file.display(), "events of durable webhooks have another source after a restart");
    }
    new.name
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
        let first = name(dir.path());
        assert_eq!(name(dir.path()), first);
        let starts = [1_000, 2_000, 2_000, 3, 5_000].map(|now| begin(dir.path(), at(now)).unwrap() >> NUMBERS);
        assert_eq!(starts, [1_000, 2_000, 2_001, 2_002, 5_000]);
        assert_eq!(name(dir.path()), first);
        // another store
        fs::remove_file(dir.path().join(FILE)).unwrap();
        assert_ne!(name(dir.path()), first);
    }
}
