//! [`Writer`]: owns the index and the tail of the log. Each call does one step, without threads, so that a test can
//! stop it anywhere. `driver` calls it.

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

/// The settings of a [`Writer`].
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) segment_bytes: SegmentBytes,
    /// Is added to each fsync.
    pub(crate) sync_delay: Duration,
    /// Batches do not overlap.
    pub(crate) one_sync_at_a_time: bool,
    /// For a new log: a random number.
    pub(crate) salt: u64,
    /// For a repair: no segment is freed or reused.
    pub(crate) keep_freed: bool,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Everything is written; [`Writer::sync`] makes it durable.
    Done,
    /// The disk is full: call [`Writer::retry`].
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
    /// The buffer of the next frame, or the frame that could not be written because the disk is full.
    frame: Vec<u8>,
    unwritten: Option<Unwritten>,
    now: Time,
    salt: u64,
    next_segment: u64,
    next_frame: u64,
    /// The last frame that is known to be durable.
    synced: u64,
    /// The oldest segment that is needed, according to the last frame.
    oldest: u64,
    cleaning: Option<(SegmentId, Cursor)>,
    /// `None`: there was no space for the file.
    last_begun: Option<Last<F::File>>,
    sizes: Sizes,
    /// The disk has space for a few segments only: clean more.
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
    /// The age of the log when it began.
    began: u64,
    /// It is from the reserve: half of it is for records that free space.
    reserve: bool,
}

#[derive(Clone, Copy, Debug)]
struct Unwritten {
    start: usize,
    emitted: Emitted,
    /// The oldest segment that is needed once the frame is durable.
    oldest: u64,
}

/// Why a new segment cannot begin.
enum Roll {
    Full,
    Failed(Failure),
}

impl<F: Files> Writer<F> {
    /// Continues the log in `recovered`, which has no damage. Cuts off an incomplete frame, so that it is never read
    /// again, and removes files that are not needed.
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
            // the broker also starts on a full disk
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
        // larger files are from a time with more load
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

    /// Sets the age of the log, in milliseconds, at the time `now`.
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

    /// Is there a frame that could not be written?
    #[cfg(test)]
    pub(crate) fn is_stuck(&self) -> bool {
        self.unwritten.is_some()
    }

    /// Is the reserve all that is left?
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Applies the records and writes the changes: all of them or none.
    pub(crate) fn commit(&mut self, contents: &mut Contents, now: Time) -> Result<Progress, Failure> {
        self.alive()?;
        self.join(contents, now);
        self.write()
    }

    /// Applies the records. The next [`retry`](Self::retry) writes their changes together with the frame that is stuck.
    pub(crate) fn join(&mut self, contents: &mut Contents, now: Time) {
        self.now = now;
        contents.drain(|record, others| self.index.apply(record, others, now));
        self.statistics.batches.add(1);
    }

    /// Tries again to write the frame that is stuck, and to fill the reserve.
    pub(crate) fn retry(&mut self) -> Result<Progress, Failure> {
        self.alive()?;
        let progress = self.write()?;
        if progress == Progress::Done && self.full {
            // segments that are not needed any more are free space
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

    /// Makes everything that was written durable.
    pub(crate) fn sync(&mut self) -> Result<(), Failure> {
        self.alive()?;
        if let Some(unsynced) = self.unsynced() {
            unsynced.sync()?;
            self.synced = self.last_frame();
        }
        self.free()
    }

    /// The frames that are not known to be durable.
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

    /// All frames up to this one are durable.
    pub(crate) fn note_synced(&mut self, frame: u64) -> Result<(), Failure> {
        if frame <= self.synced {
            return Ok(());
        }
        self.synced = frame;
        // the last frame determines which segments are needed
        if self.synced == self.last_frame() { self.free() } else { Ok(()) }
    }

    /// The last frame that was written.
    pub(crate) fn last_frame(&self) -> u64 {
        self.next_frame - 1
    }

    /// See [`File::syncs_overlap`], for the current segment and the settings.
    pub(crate) fn syncs_overlap(&self) -> bool {
        let current = self.current.as_ref().filter(|_| !self.settings.one_sync_at_a_time);
        current.is_some_and(|current| current.file.syncs_overlap())
    }

    /// Writes an empty frame, which notes that all frames before it are durable, and the time.
    pub(crate) fn mark(&mut self, now: Time) -> Result<(), Failure> {
        self.alive()?;
        self.now = now;
        if self.current.is_some() && self.unwritten.is_none() && self.index.dirty.is_empty() {
            self.write_frame()?;
        }
        Ok(())
    }

    /// Notes durably that this segment began. A full disk is not an error.
    fn note_begun(&mut self, id: u64) -> io::Result<()> {
        let noted = match &mut self.last_begun {
            Some(last) => last.note(id),
            place => Last::open(&*self.files).and_then(|last| place.insert(last).note(id)),
        };
        noted.or_else(|error| if is_full(&error) { Ok(()) } else { Err(error) })
    }

    /// Writes the file `END`, after everything is durable.
    pub(crate) fn end(&self) {
        let Some(last) = self.segments.back() else { return };
        let length = self.current.as_ref().map_or(last.len, |current| current.end);
        let end = End { segment: last.id, frame: self.last_frame(), length };
        if let Err(error) = end.write(&*self.files) {
            tracing::warn!(%error, "cannot write the file END in data_dir: the next start cannot tell whether the log is complete");
        }
    }

    /// Bytes of the segments and spares.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.log_bytes() + self.pool.bytes()
    }

    /// Bytes that the log may use, including those that it uses. `None`: unknown.
    pub(crate) fn disk(&self) -> Option<u64> {
        Some(self.files.room()?.saturating_add(self.disk_bytes()))
    }

    fn log_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Writes the frame that is stuck, if there is one, then the changes.
    fn write(&mut self) -> Result<Progress, Failure> {
        if self.unwritten.is_some() && self.write_placed()? == Progress::Stuck {
            return Ok(Progress::Stuck);
        }
        if self.index.dirty.is_empty() {
            // items that began and ended since the last frame need no record
            self.index.settle(0);
            return Ok(Progress::Done);
        }
        self.write_frame()
    }

    /// Writes the changes as one frame. No frame may be stuck.
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

    /// Writes the frame in the buffer to its place.
    fn write_placed(&mut self) -> Result<Progress, Failure> {
        let (Some(Unwritten { start, emitted, oldest }), Some(current)) = (self.unwritten, &mut self.current) else {
            return Ok(Progress::Done);
        };
        let bytes = &self.frame[start..];
        if let Err(error) = write_all_at(&*current.file, bytes, current.end) {
            // copy-on-write file systems need space even to overwrite zeros
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

    /// Makes sure that the current segment has space for the frame; begins another one if not.
    fn place(&mut self, grows: bool) -> Result<(), Roll> {
        let needed = self.frame.len() as u64;
        if let Some(current) = &self.current {
            let kept = if current.reserve && grows { current.len / 2 } else { 0 };
            if current.end + needed + kept <= current.len {
                return Ok(());
            }
            // only the last segment may end in an incomplete frame
            self.sync().map_err(Roll::Failed)?;
        }
        self.choose_size();
        let id = self.next_segment;
        let (from, reserve) = self.file_for(HEADER as u64 + needed, grows)?;
        match self.begin_segment(id, &from.name) {
            Ok(file) => {
                // before anything in the segment is acknowledged
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

    /// Chooses the size of the next segments after the last one was filled.
    fn choose_size(&mut self) {
        let (Some(current), disk) = (&self.current, self.disk().unwrap_or(u64::MAX)) else { return };
        let took = Duration::from_millis(self.now.age.saturating_sub(current.began));
        self.sizes.filled(current.len, took, self.index.live_bytes, disk);
        self.pool.set_segment_bytes(self.sizes.next());
    }

    /// Is the disk nearly full?
    fn look_for_room(&mut self) {
        let enough = (READY as u64 + SLACK_SEGMENTS) * self.sizes.next();
        self.short = self.files.room().is_some_and(|room| room.saturating_add(self.pool.bytes()) < enough);
    }

    /// A file for the next segment, and whether it is from the reserve.
    fn file_for(&mut self, needed: u64, grows: bool) -> Result<(Spare, bool), Roll> {
        if needed > self.pool.segment_bytes() {
            // a large frame has a segment to itself
            let name = names::unfinished(&names::segment(self.next_segment));
            // removing an earlier one may have failed for lack of space
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

    /// Writes and syncs the header and the name of a segment, before anything in it is acknowledged. If there is no
    /// space for that, the file keeps its old name.
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
            // if this fails too, the name of the file is unknown: not a lack of space any more
            self.files.rename(&name, from).map_err(io::Error::other)?;
            return Err(error);
        }
        Ok(file)
    }

    fn fail(&mut self, file: &str, what: &'static str, error: &io::Error) -> Failure {
        self.failed.get_or_init(|| Failure::new(file, what, error)).clone()
    }

    /// After a failure the writer does nothing: after a failed fsync the contents of the disk are unknown.
    fn alive(&self) -> Result<(), Failure> {
        self.failed.get().cloned().map_or(Ok(()), Err)
    }

    fn count(&self) {
        self.statistics.live_bytes.set(self.index.live_bytes);
        self.statistics.disk_bytes.set(self.disk_bytes());
        self.pool.set_used(self.current.as_ref().map_or(1000, |current| current.end * 1000 / current.len));
    }
}

/// Segments that the log may have beyond twice its live bytes.
const SLACK_SEGMENTS: u64 = 4;
/// Capacity of the frame buffer that is kept from one batch to the next.
const MOST_KEPT: usize = 4 << 20;

/// An unpredictable number.
pub(crate) fn random() -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(std::process::id())
}
