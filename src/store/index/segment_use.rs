//! [`SegmentUse`]: the live bytes of each segment: records that are the latest of their item.

use std::collections::VecDeque;

/// The number of a segment, in four bytes: enough for 2^32 segments of 64 MiB.
pub(crate) type SegmentId = u32;

/// The item has no record in the log.
pub(crate) const UNWRITTEN: SegmentId = 0;

#[derive(Debug, Default)]
pub(crate) struct SegmentUse {
    first: SegmentId,
    segments: VecDeque<Live>,
}

/// The live records of one segment, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl SegmentUse {
    /// Adds the next segment. Segments are consecutive.
    pub(crate) fn push(&mut self, id: SegmentId) {
        if self.segments.is_empty() {
            self.first = id;
        }
        self.segments.push_back(Live::default());
    }

    /// Removes the segments up to this one.
    pub(crate) fn pop_through(&mut self, id: SegmentId) {
        while self.first <= id && self.segments.pop_front().is_some() {
            self.first += 1;
        }
    }

    pub(crate) fn get(&self, id: SegmentId) -> Live {
        let at = id.checked_sub(self.first).map(|at| at as usize);
        at.and_then(|at| self.segments.get(at)).copied().unwrap_or_default()
    }

    #[inline]
    fn get_mut(&mut self, id: SegmentId) -> Option<&mut Live> {
        self.segments.get_mut(id.checked_sub(self.first)? as usize)
    }

    #[inline]
    pub(crate) fn enter(&mut self, id: SegmentId, bytes: u64) {
        if let Some(live) = self.get_mut(id) {
            live.records += 1;
            live.bytes += bytes;
        }
    }

    #[inline]
    pub(crate) fn leave(&mut self, id: SegmentId, bytes: u64) {
        if id != UNWRITTEN
            && let Some(live) = self.get_mut(id)
        {
            live.records -= 1;
            live.bytes -= bytes;
        }
    }

    /// The first segment with live records; if there is none, the last segment.
    pub(crate) fn oldest(&self) -> SegmentId {
        let dead = self.segments.iter().take_while(|live| live.records == 0).count();
        self.first + dead.min(self.segments.len().saturating_sub(1)) as SegmentId
    }
}
