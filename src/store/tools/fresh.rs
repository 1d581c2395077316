//! [`FreshLog`]: writes a new log with given records, in one segment.

use std::{io, mem};

use super::super::{
    commit::random,
    log::{About, Encoder, File, Files, HEADER, Header, Key, LogRecord, Time, format, names, write_all_at},
};

/// A new log that is being written.
#[derive(Debug)]
pub(super) struct FreshLog<F: File> {
    file: F,
    version: u32,
    salt: u64,
    time: Time,
    /// Encoded records of the next frame.
    records: Vec<u8>,
    frame: Vec<u8>,
    at: u64,
    next_frame: u64,
}

impl<F: File> FreshLog<F> {
    /// `version`: the format. There is no valid log until [`finish`](Self::finish).
    pub(super) fn new(files: &impl Files<File = F>, version: u32, time: Time) -> io::Result<Self> {
        let file = files.create(&names::segment(SEGMENT))?;
        let (records, frame) = (Vec::new(), Vec::new());
        Ok(Self { file, version, salt: random(), time, records, frame, at: HEADER as u64, next_frame: 1 })
    }

    pub(super) fn put(&mut self, record: &LogRecord<'_>) -> io::Result<()> {
        Encoder::new(&mut self.records).put(record);
        if self.records.len() >= FRAME { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> io::Result<()> {
        format::begin(&mut self.frame);
        self.frame.extend_from_slice(&mem::take(&mut self.records));
        let about = About { number: self.next_frame, synced: self.next_frame - 1, oldest: SEGMENT, time: self.time };
        let key = Key::new(self.salt, SEGMENT, self.version);
        let start = format::finish(&mut self.frame, about, key).ok_or(io::ErrorKind::FileTooLarge)?;
        write_all_at(&self.file, &self.frame[start..], self.at)?;
        self.at += (self.frame.len() - start) as u64;
        self.next_frame += 1;
        Ok(())
    }

    /// Writes and syncs the rest.
    pub(super) fn finish(mut self, next_session: u64, next_message: u64) -> io::Result<()> {
        self.write()?;
        let Self { version, salt, .. } = self;
        let header = Header { version, id: SEGMENT, first_frame: 1, oldest: SEGMENT, next_session, next_message, salt };
        write_all_at(&self.file, &header.encode(), 0)?;
        self.file.sync_data()
    }
}

const SEGMENT: u64 = 1;
/// Approximate bytes of a frame.
const FRAME: usize = 1 << 20;
