//! The end of the log, stored outside of the log, so that a lost end is noticed. [`End`] exists after a clean shutdown;
//! [`Last`] has the number of the last segment at all times.

use std::io;

use super::{
    files::{File, Files, read_all, write_all_at},
    names,
};

/// The end of a log after a clean shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The last segment.
    pub(crate) segment: u64,
    /// The number of the last frame.
    pub(crate) frame: u64,
    /// Where this frame ends in the segment, in bytes.
    pub(crate) length: u64,
}

impl End {
    /// Reads the file. `None`: there is no file, because the shutdown was not clean. `Err(())`: the contents are not
    /// valid.
    pub(crate) fn read(files: &impl Files) -> io::Result<Option<Result<Self, ()>>> {
        let file = match files.open(names::END) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        read_all(&file, &mut bytes)?;
        Ok(Some(std::str::from_utf8(&bytes).ok().and_then(Self::parse).ok_or(())))
    }

    /// Writes and syncs the file: as a whole, or not at all.
    pub(crate) fn write(&self, files: &impl Files) -> io::Result<()> {
        let unfinished = names::unfinished(names::END);
        let written = files.create(&unfinished).and_then(|file| {
            write_all_at(&file, self.to_text().as_bytes(), 0)?;
            file.sync_data()
        });
        if let Err(error) = written {
            let _ = files.remove(&unfinished);
            return Err(error);
        }
        files.rename(&unfinished, names::END)?;
        files.sync_dir()
    }

    /// Removes the file before the log is written to, and syncs the removal.
    pub(crate) fn remove(files: &impl Files) -> io::Result<()> {
        match files.remove(names::END) {
            Ok(()) => files.sync_dir(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn to_text(self) -> String {
        let text = format!("segment {:016x} frame {} length {}", self.segment, self.frame, self.length);
        format!("{text} crc32 {:08x}\n", crc32fast::hash(text.as_bytes()))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace().skip(1).step_by(2);
        let segment = u64::from_str_radix(words.next()?, 16).ok()?;
        let end = Self { segment, frame: words.next()?.parse().ok()?, length: words.next()?.parse().ok()? };
        (end.to_text() == text).then_some(end)
    }
}

/// The file with the number of the last segment.
#[derive(Debug)]
pub(crate) struct Last<F> {
    file: F,
    segment: u64,
}

impl<F: File> Last<F> {
    /// The number in the file; 0 if there is no file.
    pub(crate) fn read(files: &impl Files<File = F>) -> io::Result<u64> {
        match files.open(names::LAST) {
            Ok(file) => Self::latest(&file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Opens the file. A missing file is created with space for both slots.
    pub(crate) fn open(files: &impl Files<File = F>) -> io::Result<Self> {
        let file = match files.open(names::LAST) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = files.create(names::LAST)?;
                write_all_at(&file, &[0; 2 * SLOT], 0)?;
                file.sync_data()?;
                files.sync_dir()?;
                file
            }
            Err(error) => return Err(error),
        };
        let segment = Self::latest(&file)?;
        Ok(Self { file, segment })
    }

    /// Stores that this segment began. It is durable when this returns.
    pub(crate) fn note(&mut self, segment: u64) -> io::Result<()> {
        if segment <= self.segment {
            return Ok(());
        }
        // the two slots are written in turn, so that a torn write leaves the other one intact
        let at = segment % 2 * SLOT as u64;
        write_all_at(&self.file, &slot(segment), at)?;
        self.file.sync_data()?;
        self.segment = segment;
        Ok(())
    }

    fn latest(file: &F) -> io::Result<u64> {
        let mut bytes = Vec::new();
        read_all(file, &mut bytes)?;
        let whole = |slot_bytes: &&[u8]| {
            let number: [u8; 8] = *slot_bytes.first_chunk()?;
            let number = u64::from_le_bytes(number);
            (number > 0 && **slot_bytes == slot(number)).then_some(number)
        };
        Ok(bytes.chunks(SLOT).filter_map(|bytes| whole(&bytes)).max().unwrap_or(0))
    }
}

/// A segment's number with a checksum. Its length divides that of a disk block, so it is never split between two.
fn slot(segment: u64) -> [u8; SLOT] {
    let mut bytes = [0; SLOT];
    bytes[..8].copy_from_slice(&segment.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..8]);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    bytes
}

const SLOT: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_of_a_session_is_read_back_from_its_text() {
        let end = End { segment: 0x1F, frame: 17, length: 4160 };
        let text = end.to_text();
        assert_eq!(End::parse(&text), Some(end));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(End::parse(&String::from_utf8(bytes).unwrap()), None, "byte {at}");
            assert_eq!(End::parse(&text[..at]), None, "cut at {at}");
        }
    }
}
