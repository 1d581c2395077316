//! [`HeldAcks`]: acknowledgements of a client's packets that wait until what they acknowledge is kept.
//!
//! "Acknowledged means kept": with a store that answers later, a PUBACK, PUBREC, SUBACK or UNSUBACK leaves when the
//! store says so, not before; with the memory store it never comes here.

use std::collections::VecDeque;

/// The number of a store's commit; what was handed over before it is kept once it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitSeq(pub u64);

/// When something handed to the store is kept.
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

/// Acknowledgements that wait for the store, in the order in which they are due.
#[derive(Debug, Default)]
pub struct HeldAcks {
    /// The commit that each run of bytes waits for, ascending, and the end of that run in `bytes`.
    runs: VecDeque<(CommitSeq, usize)>,
    bytes: Vec<u8>,
}

impl HeldAcks {
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Bytes of memory, about.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.runs.len() * size_of::<(CommitSeq, usize)>()
    }

    /// Hands over an acknowledgement's bytes, written by `write`: to `out` at once where it is kept and nothing older
    /// waits (acknowledgements leave in order [MQTT-4.6.0-2]), else held.
    pub fn push(&mut self, stored: Stored, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let commit = match (stored, self.runs.back()) {
            (Stored::Done, None) => return write(out),
            (Stored::Done, Some(&(last, _))) => last,
            (Stored::By(commit), last) => last.map_or(commit, |&(last, _)| last.max(commit)),
        };
        write(&mut self.bytes);
        let end = self.bytes.len();
        match self.runs.back_mut() {
            Some((last, run_end)) if *last == commit => *run_end = end,
            _ => self.runs.push_back((commit, end)),
        }
    }

    /// The commit that the oldest of them waits for.
    pub fn waits_for(&self) -> Option<CommitSeq> {
        self.runs.front().map(|&(commit, _)| commit)
    }

    /// Everything up to `done` is kept: moves what may leave now to `out`.
    pub fn release(&mut self, done: CommitSeq, out: &mut Vec<u8>) {
        let mut end = 0;
        while let Some(&(_, run_end)) = self.runs.front().filter(|(commit, _)| *commit <= done) {
            end = run_end;
            self.runs.pop_front();
        }
        out.extend(self.bytes.drain(..end));
        for (_, run_end) in &mut self.runs {
            *run_end -= end;
        }
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
        held.release(CommitSeq(4), &mut out);
        assert_eq!(out, [1]);
        held.release(CommitSeq(5), &mut out);
        assert_eq!(out, [1, 2, 3]);
        held.release(CommitSeq(9), &mut out);
        assert_eq!(out, [1, 2, 3, 4]);
        assert!(held.is_empty());
    }
}
