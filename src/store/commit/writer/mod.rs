//! [`Writer`]: owns the index and the tail of the log. It does one step for each call and knows no threads, so that a
//! test can stop it anywhere. `driver` calls it.

mod clean;

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use super::{
    super::{
        index::{Cursor, Emitted, Index, SegmentId},
        log::{
            About, DATA_DIR, End, Failure, File, Files, HEADER, Header, Key, Last, Pool, READY, RESERVE, RecoveryError,
            SegmentBytes, Sizes, Spare, Time, VERSION, format, is_full, names, pool, write_all_at, zero_fill,
        },
        recovery::Recovered,
    },
    contents::Contents,
    statistics::Statistics,
    unsynced::{Unsynced, end_at},
};

/// How a [`Writer`] writes.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) segment_bytes: SegmentBytes,
    /// Added to each fsync.
    pub(crate) sync_delay: Duration,
    /// For a log that begins: any number that nobody knows.
    pub(crate) salt: u64,
    /// For a repair: segments stay as they are, those that nothing needs too.
    pub(crate) keep_freed: bool,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All that was handed over is written; [`Writer::sync`] is for the rest.
    Done,
    /// There is no room for it: [`Writer::retry`].
    Stuck,
}

/// The tail of the log.
#[derive(Debug)]
pub(crate) struct Writer<F: Files> {
    files: Arc<F>,
    pool: Arc<Pool<F>>,
    settings: Settings,
    index: Index,
    segments: VecDeque<Segment>,
    current: Option<Current<F::File>>,
    /// The frame that is being made; or the one that has its place and could not be written there.
    frame: Vec<u8>,
    unwritten: Option<Unwritten>,
    now: Time,
    salt: u64,
    next_segment: u64,
    next_frame: u64,
    /// The last frame that is known to be on the disk.
    synced: u64,
    /// The first segment that the last frame that was written needs.
    oldest: u64,
    cleaning: Option<(SegmentId, Cursor)>,
    /// `None`: there was no room for it.
    last_begun: Option<Last<F::File>>,
    sizes: Sizes,
    /// The disk has room for a few segments more, and is full soon unless the log is cleaned.
    short: bool,
    full: bool,
    failed: Arc<OnceLock<Failure>>,
    statistics: Arc<Statistics>,
}

#[derive(Debug)]
struct Segment {
    id: u64,
    len: u64,
}

/// The segment that is written to.
#[derive(Debug)]
struct Current<F> {
    id: u64,
    file: Arc<F>,
    len: u64,
    end: u64,
    /// When it began: the age of the log.
    began: u64,
    /// It was the reserve: half of it is for what makes room.
    reserve: bool,
}

#[derive(Clone, Copy, Debug)]
struct Unwritten {
    start: usize,
    emitted: Emitted,
    /// The first segment that is needed once it is on the disk.
    oldest: u64,
}

/// Why a segment cannot begin.
enum Roll {
    Full,
    Failed(Failure),
}

impl<F: Files> Writer<F> {
    /// Goes on where `recovered` ends, which has no damage: what is torn is cut off, so that nothing of it is ever read
    /// again, and files that nothing needs are removed.
    pub(crate) fn open(
        files: Arc<F>,
        recovered: Recovered,
        settings: Settings,
        statistics: Arc<Statistics>,
    ) -> Result<Self, RecoveryError> {
        End::remove(&*files).map_err(RecoveryError::io(names::END, "cannot remove it"))?;
        let last_begun = Last::open(&*files).and_then(|mut last| {
            last.note(recovered.segments.last().map_or(0, |found| found.id))?;
            Ok(last)
        });
        let last_begun = match last_begun {
            Ok(last) => Some(last),
            // a full disk keeps nobody from starting
            Err(error) if is_full(&error) => None,
            Err(error) => return Err(RecoveryError::io(names::LAST, "cannot write it")(error)),
        };
        if let Some(last) = recovered.segments.last().filter(|_| !settings.keep_freed) {
            let name = names::segment(last.id);
            let ended = files.open(&name).and_then(|file| end_at(&file, last));
            ended.map_err(RecoveryError::io(&name, "cannot bring its last frames to the disk"))?;
        }
        let segments: VecDeque<_> = recovered
            .segments
            .iter()
            .map(|found| Segment {
                id: found.id,
                len: if found.id + 1 == recovered.next_segment { found.end } else { found.len },
            })
            .collect();
        let found = pool::found(&*files, recovered.spares)?;
        let takes: u64 = segments.iter().map(|segment| segment.len).chain(found.iter().map(|spare| spare.len)).sum();
        let disk = files.room().map_or(u64::MAX, |room| room.saturating_add(takes));
        let sizes = Sizes::new(settings.segment_bytes, recovered.index.live_bytes, disk);
        // larger ones are of a busier time
        let (spares, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|spare| spare.len == sizes.next());
        let mut obsolete = recovered.obsolete;
        obsolete.extend(others.into_iter().map(|spare| spare.name));
        if settings.keep_freed {
            obsolete.retain(|name| names::segment_id(name).is_none());
        }
        for name in &obsolete {
            files.remove(name).map_err(RecoveryError::io(name, "cannot remove it"))?;
        }
        files.sync_dir().map_err(RecoveryError::io("", "cannot sync the data directory"))?;
        let mut writer = Self {
            pool: Arc::new(Pool::new(files.clone(), sizes.next(), spares)),
            files,
            salt: recovered.salt.unwrap_or(settings.salt),
            settings,
            index: recovered.index,
            segments,
            current: None,
            frame: Vec::new(),
            unwritten: None,
            now: recovered.last,
            next_segment: recovered.next_segment,
            next_frame: recovered.next_frame,
            synced: recovered.next_frame - 1,
            oldest: recovered.oldest,
            cleaning: None,
            last_begun,
            sizes,
            short: false,
            full: false,
            failed: Arc::default(),
            statistics,
        };
        writer.look_for_room();
        writer.count();
        Ok(writer)
    }

    /// The log is so old, in milliseconds, at this time.
    pub(crate) fn begins(&mut self, now: Instant, age: u64) {
        self.index.began = Some((now, age));
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn files(&self) -> &Arc<F> {
        &self.files
    }

    pub(crate) fn pool(&self) -> &Arc<Pool<F>> {
        &self.pool
    }

    /// A frame has its place and could not be written there.
    #[cfg(test)]
    pub(crate) fn is_stuck(&self) -> bool {
        self.unwritten.is_some()
    }

    /// The disk has no room but the reserve.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Writes what the records leave to be written, all of it or nothing.
    pub(crate) fn commit(&mut self, contents: &mut Contents, now: Time) -> Result<Progress, Failure> {
        self.alive()?;
        self.join(contents, now);
        self.write()
    }

    /// Notes what the records leave to be written: the next [`retry`](Self::retry) writes it with what is stuck.
    pub(crate) fn join(&mut self, contents: &mut Contents, now: Time) {
        self.now = now;
        contents.drain(|record, others| self.index.apply(record, others, now));
        self.statistics.batches.add(1);
    }

    /// Tries again to write what is stuck, and to have a reserve.
    pub(crate) fn retry(&mut self) -> Result<Progress, Failure> {
        self.alive()?;
        let progress = self.write()?;
        if progress == Progress::Done && self.full {
            // what nothing needs by now is room
            self.sync()?;
            self.look_for_room();
            match self.pool.fill_reserve() {
                Ok(()) => {}
                Err(error) if is_full(&error) => return Ok(progress),
                Err(error) => return Err(self.fail(DATA_DIR, "cannot make a segment", &error)),
            }
            self.full = false;
        }
        self.count();
        Ok(progress)
    }

    /// Brings all that was written to the disk.
    pub(crate) fn sync(&mut self) -> Result<(), Failure> {
        self.alive()?;
        if let Some(unsynced) = self.unsynced() {
            unsynced.sync()?;
            self.synced = self.last_frame();
        }
        self.free()
    }

    /// What is not known to be on the disk.
    pub(crate) fn unsynced(&self) -> Option<Unsynced<F::File>> {
        let current = self.current.as_ref().filter(|_| self.synced < self.last_frame())?;
        Some(Unsynced {
            file: current.file.clone(),
            segment: current.id,
            delay: self.settings.sync_delay,
            failed: self.failed.clone(),
            statistics: self.statistics.clone(),
        })
    }

    /// All frames up to this one are on the disk.
    pub(crate) fn note_synced(&mut self, frame: u64) -> Result<(), Failure> {
        if frame <= self.synced {
            return Ok(());
        }
        self.synced = frame;
        // what is not needed is what the last frame says that it is
        if self.synced == self.last_frame() { self.free() } else { Ok(()) }
    }

    /// The last one that was written.
    pub(crate) fn last_frame(&self) -> u64 {
        self.next_frame - 1
    }

    /// See [`File::syncs_overlap`], for what is written next.
    pub(crate) fn syncs_overlap(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.file.syncs_overlap())
    }

    /// A frame that says no more than that all before it is on the disk, and when that was.
    pub(crate) fn mark(&mut self, now: Time) -> Result<(), Failure> {
        self.alive()?;
        self.now = now;
        if self.current.is_some() && self.unwritten.is_none() && self.index.dirty.is_empty() {
            self.write_frame()?;
        }
        Ok(())
    }

    /// This segment began: that is on the disk when this returns. What finds no room is not worth an end.
    fn note_begun(&mut self, id: u64) -> io::Result<()> {
        let noted = match &mut self.last_begun {
            Some(last) => last.note(id),
            place => Last::open(&*self.files).and_then(|last| place.insert(last).note(id)),
        };
        noted.or_else(|error| if is_full(&error) { Ok(()) } else { Err(error) })
    }

    /// All is written and on the disk, and nothing more is: says so beside the log.
    pub(crate) fn end(&self) {
        let Some(last) = self.segments.back() else { return };
        let length = self.current.as_ref().map_or(last.len, |current| current.end);
        let end = End { segment: last.id, frame: self.last_frame(), length };
        if let Err(error) = end.write(&*self.files) {
            tracing::warn!(%error, "cannot write the file END in data_dir: the next start cannot tell whether the log is complete");
        }
    }

    /// Segments of the log, and spares.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.log_bytes() + self.pool.bytes()
    }

    /// What the log may take of its disk, with what it takes. `None`: nobody knows.
    pub(crate) fn disk(&self) -> Option<u64> {
        Some(self.files.room()?.saturating_add(self.disk_bytes()))
    }

    fn log_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Writes the frame that is stuck, if there is one, and then what is noted.
    fn write(&mut self) -> Result<Progress, Failure> {
        if self.unwritten.is_some() && self.write_placed()? == Progress::Stuck {
            return Ok(Progress::Stuck);
        }
        if self.index.dirty.is_empty() {
            // what began and ended between leaves no trace
            self.index.settle(0);
            return Ok(Progress::Done);
        }
        self.write_frame()
    }

    /// Writes what is noted as one frame, while none is stuck.
    fn write_frame(&mut self) -> Result<Progress, Failure> {
        debug_assert!(self.unwritten.is_none(), "its bytes are in the buffer");
        format::begin(&mut self.frame);
        let emitted = self.index.encode(&mut self.frame);
        if emitted.records == 0 && !self.index.dirty.is_empty() {
            self.index.settle(0);
            return Ok(Progress::Done);
        }
        match self.place(emitted.grows) {
            Ok(()) => {}
            Err(Roll::Full) => {
                self.full = true;
                return Ok(Progress::Stuck);
            }
            Err(Roll::Failed(failure)) => return Err(failure),
        }
        let Some(current) = &self.current else { return Ok(Progress::Stuck) };
        let id = current.id;
        self.index.settle(id as SegmentId);
        let oldest = self.index.segment_use.oldest().into();
        let about = About { number: self.next_frame, synced: self.synced, oldest, time: self.now };
        let Some(start) = format::finish(&mut self.frame, about, Key::new(self.salt, id, VERSION)) else {
            let error = io::Error::new(io::ErrorKind::FileTooLarge, "4 GiB in one batch");
            return Err(self.fail(&names::segment(id), "cannot write", &error));
        };
        self.unwritten = Some(Unwritten { start, emitted, oldest });
        self.write_placed()
    }

    /// Writes the frame that has its place.
    fn write_placed(&mut self) -> Result<Progress, Failure> {
        let (Some(Unwritten { start, emitted, oldest }), Some(current)) = (self.unwritten, &mut self.current) else {
            return Ok(Progress::Done);
        };
        let bytes = &self.frame[start..];
        if let Err(error) = write_all_at(&*current.file, bytes, current.end) {
            // file systems that copy on write need room even in files that are full of zeros
            if is_full(&error) {
                self.full = true;
                return Ok(Progress::Stuck);
            }
            let name = names::segment(current.id);
            return Err(self.fail(&name, "cannot write", &error));
        }
        current.end += bytes.len() as u64;
        self.statistics.frames.add(1);
        self.statistics.records.add(emitted.records);
        self.statistics.batch_sizes.add(emitted.records);
        self.statistics.bytes_written.add(bytes.len() as u64);
        self.unwritten = None;
        self.oldest = oldest;
        self.next_frame += 1;
        if self.frame.capacity() > MOST_KEPT {
            self.frame = Vec::new();
        }
        if self.pool.len() >= RESERVE {
            self.full = false;
        }
        self.count();
        Ok(Progress::Done)
    }

    /// Sees to it that the frame has room behind the last one.
    fn place(&mut self, grows: bool) -> Result<(), Roll> {
        let needed = self.frame.len() as u64;
        if let Some(current) = &self.current {
            let kept = if current.reserve && grows { current.len / 2 } else { 0 };
            if current.end + needed + kept <= current.len {
                return Ok(());
            }
            // only the last segment may end in a frame that is not whole
            self.sync().map_err(Roll::Failed)?;
        }
        self.choose_size();
        let id = self.next_segment;
        let (from, reserve) = self.file_for(HEADER as u64 + needed, grows)?;
        match self.begin_segment(id, &from.name) {
            Ok(file) => {
                // before anything in it is acknowledged; what finds no room is not worth a stop
                if let Err(error) = self.note_begun(id) {
                    return Err(Roll::Failed(self.fail(names::LAST, "cannot write", &error)));
                }
                self.next_segment += 1;
                self.full |= reserve;
                self.segments.push_back(Segment { id, len: from.len });
                self.index.segment_use.push(id as SegmentId);
                let (file, end, began) = (Arc::new(file), HEADER as u64, self.now.age);
                self.current = Some(Current { id, file, len: from.len, end, began, reserve });
                self.look_for_room();
                Ok(())
            }
            Err(error) if is_full(&error) => {
                if names::spare_number(&from.name).is_some() {
                    self.pool.put(from);
                } else if let Err(error) = self.files.remove(&from.name)
                    && !is_full(&error)
                {
                    return Err(Roll::Failed(self.fail(&from.name, "cannot remove it", &error)));
                }
                Err(Roll::Full)
            }
            Err(error) => Err(Roll::Failed(self.fail(&names::segment(id), "cannot begin a segment", &error))),
        }
    }

    /// The last segment is filled: how large are the next ones?
    fn choose_size(&mut self) {
        let (Some(current), disk) = (&self.current, self.disk().unwrap_or(u64::MAX)) else { return };
        let took = Duration::from_millis(self.now.age.saturating_sub(current.began));
        self.sizes.filled(current.len, took, self.index.live_bytes, disk);
        self.pool.set_segment_bytes(self.sizes.next());
    }

    /// Is the disk full soon?
    fn look_for_room(&mut self) {
        let enough = (READY as u64 + SLACK_SEGMENTS) * self.sizes.next();
        self.short = self.files.room().is_some_and(|room| room.saturating_add(self.pool.bytes()) < enough);
    }

    /// A file that can be a segment, and whether it was the reserve.
    fn file_for(&mut self, needed: u64, grows: bool) -> Result<(Spare, bool), Roll> {
        if needed > self.pool.segment_bytes() {
            // a segment for this frame alone
            let name = names::unfinished(&names::segment(self.next_segment));
            // one for which there was no room may not have been removed, for the same reason
            let _ = self.files.remove(&name);
            let made = self.files.create(&name).and_then(|file| zero_fill(&file, needed, |_, _| Ok(())));
            return match made {
                Ok(()) => Ok((Spare { name, len: needed }, false)),
                Err(error) => {
                    let _ = self.files.remove(&name);
                    if is_full(&error) {
                        return self.reserve_for(needed, grows);
                    }
                    Err(Roll::Failed(self.fail(&name, "cannot make a segment", &error)))
                }
            };
        }
        match self.pool.take(needed) {
            Ok(spare) => Ok((spare, false)),
            Err(error) if is_full(&error) => self.reserve_for(needed, grows),
            Err(error) => Err(Roll::Failed(self.fail(DATA_DIR, "cannot make a segment", &error))),
        }
    }

    fn reserve_for(&self, needed: u64, grows: bool) -> Result<(Spare, bool), Roll> {
        let len = if grows { 2 * needed } else { needed };
        self.pool.take_reserve(len, grows).map(|spare| (spare, true)).ok_or(Roll::Full)
    }

    /// Its header and its name are on the disk before anything in it is acknowledged. Where there is no room for that,
    /// the file has its old name.
    fn begin_segment(&self, id: u64, from: &str) -> io::Result<F::File> {
        let header = Header {
            version: VERSION,
            id,
            first_frame: self.next_frame,
            oldest: self.oldest,
            next_session: self.index.next_session,
            next_message: self.index.next_message,
            salt: self.salt,
        };
        let file = self.files.open_to_append(from)?;
        write_all_at(&file, &header.encode(), 0)?;
        file.sync_data()?;
        let name = names::segment(id);
        self.files.rename(from, &name)?;
        if let Err(error) = self.files.sync_dir() {
            // one that has no room either leaves it unclear where the file is: that is no want of room any more
            self.files.rename(&name, from).map_err(io::Error::other)?;
            return Err(error);
        }
        Ok(file)
    }

    fn fail(&mut self, file: &str, what: &'static str, error: &io::Error) -> Failure {
        self.failed.get_or_init(|| Failure::new(file, what, error)).clone()
    }

    /// After a failure it does nothing more: after a failed fsync the contents of the disk are unknown.
    fn alive(&self) -> Result<(), Failure> {
        self.failed.get().cloned().map_or(Ok(()), Err)
    }

    fn count(&self) {
        self.statistics.live_bytes.set(self.index.live_bytes);
        self.statistics.disk_bytes.set(self.disk_bytes());
        self.pool.set_used(self.current.as_ref().map_or(1000, |current| current.end * 1000 / current.len));
    }
}

/// Segments that the log may have beyond twice what is live.
const SLACK_SEGMENTS: u64 = 4;
/// A frame's buffer that is kept from one batch to the next.
const MOST_KEPT: usize = 4 << 20;

/// A number that nobody can guess.
pub(crate) fn random() -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(std::process::id())
}
