//! A message of which it is measured how long it takes, while it waits.

use std::time::Instant;

use super::Outbound;

impl Outbound {
    /// The last message that came `began` its way then.
    pub(in super::super) fn mark(&mut self, began: Instant) {
        let last = self.last_number;
        self.marked.get_or_insert_with(|| Box::new((last, began)));
    }

    /// The message with this number is sent: is it marked, or was one that did not have to wait?
    #[inline]
    pub(in super::super) fn take_mark(&mut self, number: u64) -> Option<Instant> {
        self.marked.take_if(|marked| number >= marked.0).map(|marked| marked.1)
    }
}
