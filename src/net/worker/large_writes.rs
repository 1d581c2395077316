//! [`LargeWrites`]: connections with much output take turns, so that hundreds of them do not delay the answer to a
//! small packet.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use tokio::sync::Notify;

use super::super::deadlines::Key;

/// A connection with at least this many bytes to write takes turns with others. Less is written at once.
pub(crate) const LARGE: usize = 16 << 10;
/// Most bytes that a connection passes to its socket in one call and, if others wait, in one turn.
pub(crate) const A_TURN: usize = 128 << 10;
/// Number of connections that have a turn between two checks for ready sockets.
const TURNS: usize = 16;
/// Bytes of large writes between two checks for ready sockets: about a millisecond.
const BETWEEN_LOOKS: usize = TURNS * A_TURN;

/// The large writes of one thread's connections.
pub(crate) struct LargeWrites {
    /// Bytes that may be written until the next check for ready sockets.
    left: usize,
    /// Connections that wait for their turn, in order. May contain connections that have ended.
    queue: VecDeque<Key>,
    waiting: HashSet<Key>,
    /// Notified when a connection begins to wait.
    pub(crate) awaited: Arc<Notify>,
}

impl Default for LargeWrites {
    fn default() -> Self {
        let (queue, waiting) = (VecDeque::new(), HashSet::new());
        Self { left: BETWEEN_LOOKS, queue, waiting, awaited: Arc::new(Notify::new()) }
    }
}

impl LargeWrites {
    /// Must a connection that wrote this much in its turn, and has more, wait for the next?
    #[inline]
    pub(crate) fn is_over(&self, written: usize) -> bool {
        self.left == 0 || (written >= A_TURN && self.are_many())
    }

    /// Counts bytes that were written in one call.
    #[inline]
    pub(crate) fn note(&mut self, bytes: usize) {
        if bytes >= LARGE {
            self.left = self.left.saturating_sub(bytes);
        }
    }

    /// Do more connections wait than have a turn between two checks?
    pub(crate) fn are_many(&self) -> bool {
        self.waiting.len() > TURNS
    }

    /// Adds a connection, which is woken when it is its turn.
    pub(crate) fn wait(&mut self, key: Key) {
        if self.waiting.insert(key) {
            self.queue.push_back(key);
            self.awaited.notify_one();
        }
    }

    /// Removes a connection that ended.
    pub(crate) fn forget(&mut self, key: Key) {
        self.waiting.remove(&key);
    }

    /// The thread has checked its sockets: returns the connections that have a turn.
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
    fn waiting_writers_have_turns_in_their_order() {
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
    fn writes_between_two_polls_of_sockets_are_bounded() {
        let mut writes = LargeWrites::default();
        (0..1_000).for_each(|_| writes.note(LARGE - 1));
        assert!(!writes.is_over(0), "small ones do not count");
        (0..TURNS).for_each(|_| writes.note(A_TURN));
        assert!(writes.is_over(0));
        assert_eq!(writes.next(), []);
        assert!(!writes.is_over(0));
    }
}
