//! [`Fate`]: what must and must not become of a Will.

use std::time::{Duration, Instant};

use super::{
    client::Client,
    promises::{Number, Promises, Tick, WILLS, fault},
    session::Lasts,
};
use crate::types::QoS;

/// What is known of a Will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Whether it is published or not, both are right.
    Open,
    /// Its client is connected.
    Armed,
    /// Its client is gone, and its delay runs: until between these.
    Waits { lost: Tick, delay: Duration, earliest: Instant, latest: Option<Instant> },
    /// Its client asks for its session meanwhile, and has no answer.
    Resuming { lost: Tick, earliest: Instant },
    /// Its client said that it is not to be published. That is kept a moment later.
    Goodbye,
    /// It has to come to those that had subscribed by then.
    Due { lost: Tick },
    /// They are told.
    Owed,
    /// It is not published.
    Never,
}

impl Promises {
    /// A Will came to somebody.
    pub(super) fn will_came(&self, number: Number, now: Instant) {
        match self.messages[number].fate {
            Some(fate @ (Fate::Armed | Fate::Goodbye | Fate::Never)) => {
                fault!("the Will {number} came, and is {fate:?}")
            }
            Some(Fate::Waits { earliest, .. }) if now < earliest => {
                fault!("the Will {number} came {:?} before its delay is over", earliest - now)
            }
            _ => {}
        }
    }

    /// A connection is lost, with its Will. `delay`: that of the Will.
    pub(super) fn lose_will(&mut self, number: Number, delay: Duration, lasts: Lasts, now: Instant) {
        let lost = self.tick();
        let delay = match lasts {
            Lasts::WithConnection => Duration::ZERO,
            Lasts::Seconds(seconds) => delay.min(Duration::from_secs(seconds.into())),
            Lasts::Forever => delay,
        };
        self.messages[number].fate = Some(match delay {
            Duration::ZERO => Fate::Due { lost },
            delay => Fate::Waits { lost, delay, earliest: now + delay, latest: None },
        });
    }

    /// The broker has noticed by now that the client is gone.
    pub(super) fn noticed(&mut self, number: Number, now: Instant) {
        if let Some(Fate::Waits { delay, latest: latest @ None, .. }) = &mut self.messages[number].fate {
            *latest = Some(now + *delay);
        }
    }

    /// Does something with the fates of a client's Wills.
    fn change(&mut self, who: usize, change: impl Fn(Fate) -> Fate) {
        for message in self.messages.iter_mut().filter(|message| message.from == who) {
            if let Some(fate) = &mut message.fate {
                *fate = change(*fate);
            }
        }
    }

    /// The client asks for its session.
    pub(super) fn resuming(&mut self, who: usize) {
        self.change(who, |fate| match fate {
            Fate::Waits { lost, earliest, .. } => Fate::Resuming { lost, earliest },
            other => other,
        });
    }

    /// Its connection was lost before it had an answer.
    pub(super) fn not_answered(&mut self, who: usize) {
        self.change(who, |fate| if matches!(fate, Fate::Resuming { .. }) { Fate::Open } else { fate });
    }

    /// The client has its session again, or a new one.
    pub(super) fn answered(&mut self, who: usize, is_resumed: bool, now: Instant) {
        self.change(who, |fate| match fate {
            Fate::Resuming { lost, .. } if !is_resumed => Fate::Due { lost },
            Fate::Resuming { earliest, .. } if now < earliest => Fate::Never,
            // it may have been heard before that
            Fate::Resuming { .. } => Fate::Open,
            other => other,
        });
    }

    /// The broker last looked for Wills whose delay is over at `looked`.
    pub(super) fn wills_due(&mut self, looked: Instant) {
        for fate in self.messages.iter_mut().filter_map(|message| message.fate.as_mut()) {
            if let Fate::Waits { lost, latest: Some(latest), .. } = *fate
                && looked >= latest
            {
                *fate = Fate::Due { lost };
            }
        }
    }

    /// All is on the disk.
    pub(super) fn goodbyes_are_kept(&mut self) {
        for fate in self.messages.iter_mut().filter_map(|message| message.fate.as_mut()) {
            if *fate == Fate::Goodbye {
                *fate = Fate::Never;
            }
        }
    }

    /// The broker is no more: it knows that the client was there until `known`, or later. Where its Will waits for the
    /// end of its session, it is published so early.
    pub(super) fn wills_of_session(&mut self, who: usize, known: Instant) {
        self.change(who, |fate| match fate {
            Fate::Waits { lost, delay, earliest, latest } => {
                Fate::Waits { lost, delay, earliest: earliest.min(known + delay), latest }
            }
            other => other,
        });
    }

    /// The broker was started again, after a crash.
    pub(super) fn wills_restart(&mut self, now: Instant) {
        for fate in self.messages.iter_mut().filter_map(|message| message.fate.as_mut()) {
            match fate {
                // that the client left may not have been kept: it has the whole delay then
                Fate::Waits { delay, latest, .. } => {
                    *latest = Some(latest.map_or(now + *delay, |at| at.max(now + *delay)))
                }
                Fate::Goodbye | Fate::Resuming { .. } => *fate = Fate::Open,
                _ => {}
            }
        }
    }

    /// Those who had subscribed when a Will became due have to get it.
    pub(super) fn owe_wills(&mut self, clients: &mut [Client], now: Instant) {
        for (number, message) in self.messages.iter_mut().enumerate() {
            let Some(Fate::Due { lost }) = message.fate else { continue };
            message.fate = Some(Fate::Owed);
            message.acknowledged = Some(now);
            for client in clients.iter_mut().filter(|client| client.qos[WILLS] != QoS::AtMostOnce) {
                let session = &mut client.session;
                let had_subscribed = session.subscriptions[WILLS].there.is_some_and(|there| there < lost);
                if session.exists && had_subscribed && !session.has(number) {
                    session.due.insert(number);
                }
            }
        }
    }
}
