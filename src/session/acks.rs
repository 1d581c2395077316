//! [`HeldAcks`]: acknowledgements of a client's packets that wait until the store has the packet's effect.
//!
//! "Acknowledged means kept": with a store, a PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK or UNSUBACK is sent after its
//! commit. Without one, none is held.

use std::collections::VecDeque;

/// The number of a store's commit. When it is done, all changes up to it are durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitSeq(pub u64);

/// When a change is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "an acknowledgement may leave only when this says so"]
pub enum Stored {
    /// Now.
    #[default]
    Done,
    /// When this commit is done.
    By(CommitSeq),
}

impl Stored {
    /// When both are kept.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::By(a), Self::By(b)) => Self::By(a.max(b)),
            (Self::Done, later) | (later, Self::Done) => later,
        }
    }
}

/// Acknowledgements that wait for the store, in order.
#[derive(Debug, Default)]
pub struct HeldAcks {
    runs: VecDeque<Run>,
    bytes: Vec<u8>,
}

/// Acknowledgements that are sent together.
#[derive(Debug)]
struct Run {
    /// The commit that they wait for; ascending.
    commit: CommitSeq,
    /// The end of their bytes.
    end: usize,
    /// Set if the last of them is a SUBACK, which retained messages may follow; see [`HeldAcks::push_suback`].
    suback: Option<Option<u64>>,
}

impl HeldAcks {
    /// Does no acknowledgement wait?
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Approximate number of acknowledgements that wait: an acknowledgement has at least four bytes.
    pub fn len(&self) -> usize {
        self.bytes.len() / 4
    }

    /// Approximate bytes of memory.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.runs.len() * size_of::<Run>()
    }

    /// Adds an acknowledgement, whose bytes `write` appends: to `out` at once if its effect is durable and no older one
    /// waits (acknowledgements are sent in order [MQTT-4.6.0-2]), otherwise to the held ones.
    pub fn push(&mut self, stored: Stored, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let commit = match (stored, self.runs.back()) {
            (Stored::Done, None) => return write(out),
            (Stored::Done, Some(last)) => last.commit,
            (Stored::By(commit), last) => last.map_or(commit, |last| last.commit.max(commit)),
        };
        write(&mut self.bytes);
        let end = self.bytes.len();
        match self.runs.back_mut() {
            Some(last) if last.commit == commit && last.suback.is_none() => last.end = end,
            _ => self.runs.push_back(Run { commit, end, suback: None }),
        }
    }

    /// The same for a SUBACK. Acknowledgements behind it are sent after its retained messages, so
    /// [`release`](Self::release) stops there and returns `suback`. `false`: it was written to `out`.
    pub fn push_suback(
        &mut self,
        stored: Stored,
        out: &mut Vec<u8>,
        suback: Option<u64>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        self.push(stored, out, write);
        match self.runs.back_mut() {
            Some(run) => {
                run.suback = Some(suback);
                true
            }
            None => false,
        }
    }

    /// When all of them may leave.
    pub fn all(&self) -> Stored {
        self.runs.back().map_or(Stored::Done, |last| Stored::By(last.commit))
    }

    /// Is one of them a SUBACK?
    pub fn has_suback(&self) -> bool {
        self.runs.iter().any(|run| run.suback.is_some())
    }

    /// The commit that the oldest of them waits for.
    pub fn waits_for(&self) -> Option<CommitSeq> {
        self.runs.front().map(|run| run.commit)
    }

    /// All commits up to `done` are durable: moves acknowledgements to `out`, up to and including the first SUBACK.
    /// Returns what [`push_suback`](Self::push_suback) was given with it; then call this again.
    pub fn release(&mut self, done: CommitSeq, out: &mut Vec<u8>) -> Option<Option<u64>> {
        let (mut end, mut suback) = (0, None);
        while suback.is_none()
            && let Some(run) = self.runs.front().filter(|run| run.commit <= done)
        {
            (end, suback) = (run.end, run.suback);
            self.runs.pop_front();
        }
        out.extend(self.bytes.drain(..end));
        for run in &mut self.runs {
            run.end -= end;
        }
        suback
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_waits_for_its_commit_and_never_overtakes_an_older_one() {
        let (mut held, mut out) = (HeldAcks::default(), Vec::new());
        held.push(Stored::Done, &mut out, |b| b.push(1));
        assert_eq!(out, [1]);
        held.push(Stored::By(CommitSeq(5)), &mut out, |b| b.push(2));
        held.push(Stored::Done, &mut out, |b| b.push(3));
        held.push(Stored::By(CommitSeq(7)), &mut out, |b| b.push(4));
        assert_eq!(out, [1]);
        assert_eq!(held.waits_for(), Some(CommitSeq(5)));
        assert_eq!(held.release(CommitSeq(4), &mut out), None);
        assert_eq!(out, [1]);
        assert_eq!(held.release(CommitSeq(5), &mut out), None);
        assert_eq!(out, [1, 2, 3]);
        assert_eq!(held.release(CommitSeq(9), &mut out), None);
        assert_eq!(out, [1, 2, 3, 4]);
        assert!(held.is_empty());
    }

    #[test]
    fn acknowledgements_after_a_suback_wait_for_its_retained_messages() {
        let (mut held, mut out) = (HeldAcks::default(), Vec::new());
        assert!(!held.push_suback(Stored::Done, &mut out, Some(7), |b| b.push(1)));
        held.push(Stored::By(CommitSeq(5)), &mut out, |b| b.push(2));
        assert!(held.push_suback(Stored::By(CommitSeq(5)), &mut out, Some(8), |b| b.push(3)));
        held.push(Stored::Done, &mut out, |b| b.push(4));
        assert!(held.push_suback(Stored::Done, &mut out, None, |b| b.push(5)));
        assert_eq!(out, [1]);
        assert!(held.has_suback());
        for (suback, expected) in
            [(Some(Some(8)), &[1, 2, 3][..]), (Some(None), &[1, 2, 3, 4, 5]), (None, &[1, 2, 3, 4, 5])]
        {
            assert_eq!(held.release(CommitSeq(5), &mut out), suback);
            assert_eq!(out, expected);
        }
        assert!(held.is_empty() && !held.has_suback());
    }
}
