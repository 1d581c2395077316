//! The output bytes of a session: collected until its connection takes and writes them.

use super::{Attached, BufPool, OutBuf, Session};

impl Session {
    /// Answers to packets of the connected client: they go out behind what is there already.
    #[inline]
    pub fn append(&mut self, answers: &mut Vec<u8>, pool: &mut BufPool) {
        debug_assert!(self.is_connected(), "answers are for a client that is there");
        match &mut self.attached {
            Some(attached) => attached.out(pool).append(answers),
            None => answers.clear(),
        }
    }

    /// The next answers that are [appended](Self::append) go in front of all that comes from now on.
    pub fn keep_place(&mut self, pool: &mut BufPool) {
        if let Some(attached) = &mut self.attached {
            attached.out(pool).keep_place();
        }
    }

    /// Takes what came behind the place that was kept, if anything did: it is to be given
    /// [back](Self::join_out) when the answer was appended. No place is kept any more.
    pub fn split_out(&mut self, pool: &mut BufPool) -> Option<OutBuf> {
        let attached = self.attached.as_mut()?;
        let behind = attached.out.as_mut()?.split_at_place();
        if let Some(empty) = attached.out.take_if(|out| out.is_empty()) {
            pool.put(empty);
        }
        behind
    }

    /// Appends what was [taken](Self::split_out).
    pub fn join_out(&mut self, behind: OutBuf, pool: &mut BufPool) {
        if let Some(attached) = &mut self.attached {
            attached.out(pool).join(behind);
        }
    }

    /// Bytes on their way: collected, and taken but not written.
    #[inline]
    pub fn pending(&self) -> usize {
        self.attached.as_ref().map_or(0, Attached::pending)
    }

    /// Takes what is to be written now. Tell [`set_writing`](Self::set_writing) what the socket left of it.
    pub fn take_out(&mut self) -> Option<Box<OutBuf>> {
        let attached = self.attached.as_mut()?;
        let out = attached.out.take()?;
        attached.writing = out.len();
        Some(out)
    }

    /// What the driver holds and could not write yet.
    pub fn set_writing(&mut self, bytes: usize) {
        if let Some(attached) = &mut self.attached {
            attached.writing = bytes;
        }
    }
}

impl Attached {
    /// The buffer that collects what goes out.
    #[inline]
    pub(super) fn out(&mut self, pool: &mut BufPool) -> &mut OutBuf {
        self.out.get_or_insert_with(|| pool.take())
    }

    /// Bytes that the driver has not taken.
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
