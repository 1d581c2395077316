//! The output bytes of a session: collected until its connection takes and writes them.

use super::{Attached, BufPool, OutBuf, Session};

impl Session {
    /// Appends answers to packets of the connected client to the output.
    #[inline]
    pub fn append(&mut self, answers: &mut Vec<u8>, pool: &mut BufPool) {
        debug_assert!(self.is_connected(), "answers are for a client that is there");
        match &mut self.attached {
            Some(attached) => attached.out(pool).append(answers),
            None => answers.clear(),
        }
    }

    /// Marks this place: the next answers that are [appended](Self::append) go here, in front of later output.
    pub fn keep_place(&mut self, pool: &mut BufPool) {
        if let Some(attached) = &mut self.attached {
            attached.out(pool).keep_place();
        }
    }

    /// Takes the output behind the marked place, if there is any, and removes the mark. [Put it back](Self::join_out)
    /// after the answer was appended.
    pub fn split_out(&mut self, pool: &mut BufPool) -> Option<OutBuf> {
        let attached = self.attached.as_mut()?;
        let behind = attached.out.as_mut()?.split_at_place();
        if let Some(empty) = attached.out.take_if(|out| out.is_empty()) {
            pool.put(empty);
        }
        behind
    }

    /// Appends output that was [taken](Self::split_out).
    pub fn join_out(&mut self, behind: OutBuf, pool: &mut BufPool) {
        if let Some(attached) = &mut self.attached {
            attached.out(pool).join(behind);
        }
    }

    /// Bytes of output: collected, or taken and not written yet.
    #[inline]
    pub fn pending(&self) -> usize {
        self.attached.as_ref().map_or(0, Attached::pending)
    }

    /// Takes the output to be written now. Then report the bytes that the socket did not take by
    /// [`set_writing`](Self::set_writing).
    pub fn take_out(&mut self) -> Option<Box<OutBuf>> {
        let attached = self.attached.as_mut()?;
        let out = attached.out.take()?;
        attached.writing = out.len();
        Some(out)
    }

    /// The bytes of taken output that the driver could not write yet.
    pub fn set_writing(&mut self, bytes: usize) {
        if let Some(attached) = &mut self.attached {
            attached.writing = bytes;
        }
    }
}

impl Attached {
    /// The buffer that collects output.
    #[inline]
    pub(super) fn out(&mut self, pool: &mut BufPool) -> &mut OutBuf {
        self.out.get_or_insert_with(|| pool.take())
    }

    /// Bytes of output that the driver has not taken.
    #[inline]
    pub(super) fn collected(&self) -> usize {
        match &self.out {
            Some(out) => out.len(),
            None => 0,
        }
    }

    #[inline]
    pub(super) fn pending(&self) -> usize {
        self.writing + self.collected()
    }
}
