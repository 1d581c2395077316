//! [`LargeWrites`]: connections with much output take turns, so that hundreds of them do not delay the answer to a
//! small packet.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use tokio::sync::Notify;

use super::super::deadlines::Key;

/// A connection that has as many bytes to write takes turns with others. What is smaller is written at once.
pub(crate) const LARGE: usize = 16 << 10;
/// Bytes that a connection hands to its socket in one call; if others wait, also in one turn.
pub(crate) const A_TURN: usize = 128 << 10;
/// Connections that have their turn between two looks at which sockets have something.
const TURNS: usize = 16;
/// Bytes of large writes between two looks at which sockets have something: about a millisecond.
const BETWEEN_LOOKS: usize = TURNS * A_TURN;

/// The large writes of one thread's connections.
pub(crate) struct LargeWrites {
    /// Bytes that may be written until the thread has looked at its sockets.
    left: usize,
    /// Connections that wait for their turn, the first one first. May still name one that has ended.
    queue: VecDeque<Key>,
    waiting: HashSet<Key>,
    /// Told when a connection begins to wait.
    pub(crate) awaited: Arc<Notify>,
}

impl Default for LargeWrites {
    fn default() -> Self {
        let (queue, waiting) = (VecDeque::new(), HashSet::new());
        Self { left: BETWEEN_LOOKS, queue, waiting, awaited: Arc::new(Notify::new()) }
    }
}

impl LargeWrites {
    /// Has a connection that wrote so much in its turn, and has more to write, to wait for its next?
    #[inline]
    pub(crate) fn is_over(&self, written: usize) -> bool {
        self.left == 0 || (written >= A_TURN && self.are_many())
    }

    /// So many bytes were written in one call.
    #[inline]
    pub(crate) fn note(&mut self, bytes: usize) {
        if bytes >= LARGE {
            self.left = self.left.saturating_sub(bytes);
        }
    }

    /// Do more wait than have their turn between two looks?
    pub(crate) fn are_many(&self) -> bool {
        self.waiting.len() > TURNS
    }

    /// The connection is woken when its turn comes.
    pub(crate) fn wait(&mut self, key: Key) {
        if self.waiting.insert(key) {
            self.queue.push_back(key);
            self.awaited.notify_one();
        }
    }

    /// The connection ended.
    pub(crate) fn forget(&mut self, key: Key) {
        self.waiting.remove(&key);
    }

    /// The thread has looked at its sockets: those whose turn it is.
    pub(crate) fn next(&mut self) -> Vec<Key> {
        self.left = BETWEEN_LOOKS;
        let mut next = Vec::new();
        while next.len() < TURNS
            && let Some(key) = self.queue.pop_front()
        {
            if self.waiting.remove(&key) {
                next.push(key);
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::{task::Waker, time::Instant};

    use super::{super::super::deadlines::Deadlines, *};

    #[test]
    fn those_that_wait_have_their_turn_in_order_and_once() {
        let mut deadlines = Deadlines::new(Instant::now());
        let keys: Vec<Key> = (0..20).map(|_| deadlines.insert(Waker::noop().clone())).collect();
        let mut writes = LargeWrites::default();
        assert!(!writes.is_over(10 * A_TURN), "nobody else waits");
        keys.iter().chain(&keys).for_each(|key| writes.wait(*key));
        assert!(!writes.is_over(A_TURN - 1));
        assert!(writes.is_over(A_TURN));
        writes.forget(keys[1]);
        assert_eq!(writes.next(), [&keys[..1], &keys[2..17]].concat());
        assert!(!writes.is_over(10 * A_TURN), "so few have theirs soon");
        writes.wait(keys[0]);
        assert_eq!(writes.next(), [&keys[17..], &keys[..1]].concat());
        assert_eq!(writes.next(), []);
    }

    #[test]
    fn what_is_written_until_the_sockets_are_looked_at_is_bounded() {
        let mut writes = LargeWrites::default();
        (0..1_000).for_each(|_| writes.note(LARGE - 1));
        assert!(!writes.is_over(0), "small ones do not count");
        (0..TURNS).for_each(|_| writes.note(A_TURN));
        assert!(writes.is_over(0));
        assert_eq!(writes.next(), []);
        assert!(!writes.is_over(0));
    }
}
