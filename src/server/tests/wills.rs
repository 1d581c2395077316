//! [`Fate`]: the expectations about a Will.

use std::time::{Duration, Instant};

use super::{
    client::Client,
    promises::{Number, Promises, Tick, WILLS, fault},
    session::Lasts,
};
use crate::types::QoS;

/// The state of a Will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It may be published or not.
    Open,
    /// Its client is connected.
    Armed,
    /// Its client is gone, and its delay runs, until a time between these.
    Waits { lost: Tick, delay: Duration, earliest: Instant, latest: Option<Instant> },
    /// Its client asks for the session meanwhile, and has no CONNACK.
    Resuming { lost: Tick, earliest: Instant },
    /// Its client sent DISCONNECT. Its removal is durable a moment later.
    Goodbye,
    /// It must arrive at the clients that had subscribed by then.
    Due { lost: Tick },
    /// It is among the messages that these clients must receive.
    Owed,
    /// It must not be published.
    Never,
}

impl Promises {
    /// A Will arrived at a client.
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

    /// A connection with a Will is lost. `delay`: that of the Will.
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

    /// Changes the fates of a client's Wills.
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

    /// The connection was lost before its CONNACK.
    pub(super) fn not_answered(&mut self, who: usize) {
        self.change(who, |fate| if matches!(fate, Fate::Resuming { .. }) { Fate::Open } else { fate });
    }

    /// The client has its session again, or a new one.
    pub(super) fn answered(&mut self, who: usize, is_resumed: bool, now: Instant) {
        self.change(who, |fate| match fate {
            Fate::Resuming { lost, .. } if !is_resumed => Fate::Due { lost },
            Fate::Resuming { earliest, .. } if now < earliest => Fate::Never,
            // the Will may have arrived before that
            Fate::Resuming { .. } => Fate::Open,
            other => other,
        });
    }

    /// The broker last looked for Wills with an ended delay at `looked`.
    pub(super) fn wills_due(&mut self, looked: Instant) {
        for fate in self.messages.iter_mut().filter_map(|message| message.fate.as_mut()) {
            if let Fate::Waits { lost, latest: Some(latest), .. } = *fate
                && looked >= latest
            {
                *fate = Fate::Due { lost };
            }
        }
    }

    /// Everything is durable.
    pub(super) fn goodbyes_are_kept(&mut self) {
        for fate in self.messages.iter_mut().filter_map(|message| message.fate.as_mut()) {
            if *fate == Fate::Goodbye {
                *fate = Fate::Never;
            }
        }
    }

    /// The broker has ended: it knows that the client was connected until `known`, or later. If the Will waits for the
    /// end of its session, that is the earliest time of its publication.
    pub(super) fn wills_of_session(&mut self, who: usize, known: Instant) {
        self.change(who, |fate| match fate {
            Fate::Waits { lost, delay, earliest, latest } => {
                Fate::Waits { lost, delay, earliest: earliest.min(known + delay), latest }
            }
            other => other,
        });
    }

    /// The broker was restarted after a crash.
    pub(super) fn wills_restart(&mut self, now: Instant) {
        for fate in self.messages.iter_mut().filter_map(|message| message.fate.as_mut()) {
            match fate {
                // the disconnect may not be durable: then the delay begins anew
                Fate::Waits { delay, latest, .. } => {
                    *latest = Some(latest.map_or(now + *delay, |at| at.max(now + *delay)))
                }
                Fate::Goodbye | Fate::Resuming { .. } => *fate = Fate::Open,
                _ => {}
            }
        }
    }

    /// Clients that had subscribed when a Will became due must receive it.
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
