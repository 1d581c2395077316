//! The writer waits until a batch is due.

use std::{task::Waker, time::Instant};

use parking_lot::MutexGuard;

use super::{
    batches::{Batches, WriterIs},
    handover::{Handover, LINGER},
};

/// A wait of the writer.
#[derive(Debug)]
pub(crate) struct Wait {
    now: Instant,
    linger: Option<Instant>,
    /// The number of the batch that collected at the last look.
    number: u64,
    /// Held messages were acknowledged and others were added between the last two looks.
    flows: bool,
    /// When there is other work to do.
    until: Option<Instant>,
}

impl Wait {
    fn begin(pending: &Batches, now: Instant, until: Option<Instant>) -> Self {
        // while batches follow one another, records in between need not wake the writer
        Self { now, linger: Some(now + LINGER), number: pending.number, flows: false, until }
    }

    /// When the writer looks again unless it is woken.
    fn next_look(&self, pending: &mut Batches) -> Option<Instant> {
        // while messages are held without a pause, none of them needs to wake the writer
        let patrol = pending.held_until().or(self.flows.then(|| self.now + pending.hold_time()));
        // other work can wait until the group-commit wait is over
        let gathers = pending.gathers_until();
        let until = self.until.filter(|_| gathers.is_none());
        let patrol = [patrol, gathers].into_iter().flatten().min();
        pending.writer = match (patrol, self.linger) {
            (Some(_), _) => WriterIs::Patrolling,
            (None, Some(_)) => WriterIs::Waiting,
            (None, None) => WriterIs::Idle,
        };
        [patrol, self.linger, until].into_iter().flatten().min()
    }
}

impl Handover {
    /// Waits until a batch is due, or until `until`. `false`: the store has failed.
    pub(crate) fn wait_for_batch(&self, until: Option<Instant>) -> bool {
        let mut pending = self.pending.lock();
        let mut wait = Wait::begin(&pending, self.clock.now(), until);
        while !self.has_failed() && !pending.is_due() {
            match wait.next_look(&mut pending) {
                Some(next) => self.wake.wait_until(&self.clock, &mut pending, next),
                None => self.wake.wait(&mut pending),
            }
            if self.look(&mut wait, &mut pending) {
                break;
            }
        }
        !self.has_failed()
    }

    /// The writer was woken, or the time is up. `true`: the wait ends.
    fn look(&self, wait: &mut Wait, pending: &mut MutexGuard<'_, Batches>) -> bool {
        pending.writer = WriterIs::Busy;
        let now = self.clock.now();
        (wait.now, wait.flows) = (now, pending.number != wait.number);
        wait.number = pending.number;
        // complete held messages that were acknowledged meanwhile; the rest is now due
        if let Some(done) = self.settle_pending(pending) {
            MutexGuard::unlocked(pending, || self.ready(done).into_iter().for_each(Waker::wake));
        }
        pending.end_hold(now);
        pending.end_gather(now);
        let lingers = !pending.contents.list.is_empty() && pending.none_on_the_way();
        let lingered = wait.linger.is_some_and(|it| it <= now) && lingers;
        if lingered {
            pending.end_linger();
        }
        if lingered || wait.until.is_some_and(|until| until <= now) {
            return true;
        }
        wait.linger = match wait.linger {
            Some(linger) => Some(linger).filter(|&linger| now < linger),
            None => Some(now + LINGER).filter(|_| lingers),
        };
        false
    }

    /// [`wait_for_batch`](Self::wait_for_batch) in single looks: begins or continues the wait in `waits`. `None`: the
    /// wait goes on; `waits` has the time until which, unless the writer is woken.
    #[cfg(test)]
    pub(crate) fn step_wait(
        &self,
        waits: &mut Option<(Wait, Option<Instant>)>,
        until: Option<Instant>,
    ) -> Option<bool> {
        let mut pending = self.pending.lock();
        let (wait, is_over) = match waits.take() {
            None => (Wait::begin(&pending, self.clock.now(), until), false),
            Some((wait, at)) if !self.wake.take_rung() && at.is_none_or(|at| at > self.clock.now()) => {
                *waits = Some((wait, at));
                return None;
            }
            Some((mut wait, _)) => {
                let is_over = self.look(&mut wait, &mut pending);
                (wait, is_over)
            }
        };
        if is_over || self.has_failed() || pending.is_due() {
            return Some(!self.has_failed());
        }
        let at = wait.next_look(&mut pending);
        *waits = Some((wait, at));
        None
    }
}
