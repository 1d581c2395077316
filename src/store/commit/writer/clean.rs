//! Compaction: moves the live records of the oldest segment to the tail, and frees segments without live records.

use super::{
    super::super::{
        index::{Cursor, SegmentId},
        log::{Failure, Files, Time, is_full, names},
    },
    Progress, SLACK_SEGMENTS, Writer,
};

impl<F: Files> Writer<F> {
    /// One step of compaction: moves about `most` live bytes of the oldest segment to the tail. They are durable after
    /// the next [`sync`](Self::sync). `true`: there is more to do.
    pub(crate) fn clean(&mut self, most: u64) -> Result<bool, Failure> {
        self.alive()?;
        let Some(first) = self.segments.front().map(|segment| segment.id as SegmentId) else { return Ok(false) };
        if !self.wants_cleaning(first) {
            self.cleaning = None;
            return Ok(false);
        }
        let (segment, mut cursor) =
            self.cleaning.filter(|(segment, _)| *segment == first).unwrap_or((first, Cursor::default()));
        let more = self.index.collect(segment, &mut cursor, most, LOOKS);
        self.cleaning = Some((segment, cursor));
        if self.write()? == Progress::Stuck {
            return Ok(false);
        }
        let left = self.index.segment_use.get(segment).records;
        debug_assert!(more || left == 0, "one walk finds all that lives in a segment");
        if left == 0 {
            if self.oldest <= segment.into() && self.write_frame()? == Progress::Stuck {
                return Ok(false);
            }
            self.sync()?;
            // if the disk has no space even to remove it, the next batch tries again
            return Ok(self.segments.front().is_none_or(|segment| segment.id as SegmentId != first));
        }
        Ok(true)
    }

    /// Moves all live records to the tail, so that the earlier segments can be freed.
    pub(crate) fn rewrite(&mut self, now: Time) -> Result<Progress, Failure> {
        self.now = now;
        for segment in self.segments.iter().map(|segment| segment.id as SegmentId).collect::<Vec<_>>() {
            let mut cursor = Cursor::default();
            while self.index.segment_use.get(segment).records > 0 {
                self.index.collect(segment, &mut cursor, 1 << 20, usize::MAX);
                if self.write()? == Progress::Stuck {
                    return Ok(Progress::Stuck);
                }
            }
        }
        if self.write_frame()? == Progress::Stuck {
            return Ok(Progress::Stuck);
        }
        self.sync()?;
        Ok(Progress::Done)
    }

    fn wants_cleaning(&self, first: SegmentId) -> bool {
        let Some(current) = &self.current else { return false };
        // records that end items are not durable yet while a frame is stuck
        if self.unwritten.is_some() || !self.index.dirty.is_empty() || current.id as SegmentId == first {
            return false;
        }
        let (live, segment) = (self.index.live_bytes, self.pool.segment_bytes());
        let needed = self.index.segment_use.get(first).bytes;
        // with less garbage, compaction would mostly copy live records
        let gains = self.log_bytes() > live + live / 4 + 3 * segment;
        if self.full {
            // only a step that certainly frees a segment
            let room = (current.len - current.end + self.pool.bytes()).saturating_sub(current.len / 16);
            return gains && needed + needed / 4 + 512 <= room;
        }
        // few live records block a whole segment: moving them is cheap, and a reused file needs no zeros
        let len = self.segments.front().map_or(0, |segment| segment.len);
        let cheap = self.segments.len() > 2 && needed <= len / 32;
        cheap || self.short && gains || self.log_bytes() > 2 * live + SLACK_SEGMENTS * segment
    }

    /// Frees the segments that the durable log does not need.
    pub(super) fn free(&mut self) -> Result<(), Failure> {
        self.alive()?;
        while self.segments.len() > 1
            && let Some(first) = self.segments.front().filter(|segment| segment.id < self.oldest)
        {
            let name = names::segment(first.id);
            if !self.settings.keep_freed
                && let Err(error) = self.pool.recycle(&name, first.len)
            {
                // copy-on-write file systems need space for that too: try again later
                if is_full(&error) {
                    return Ok(());
                }
                return Err(self.fail(&name, "cannot remove a segment", &error));
            }
            let id = first.id as SegmentId;
            self.segments.pop_front();
            self.index.segment_use.pop_through(id);
        }
        Ok(())
    }
}

/// Items that one step of compaction looks at.
const LOOKS: usize = 100_000;
