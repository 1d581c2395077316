//! [`Guess`]: a login that a service does not know. Whether it counts as a wrong guess is decided at the end of
//! `auth.order`: not if a later service or method accepts it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::super::throttle::Whose;

/// Counts the guesses at one service.
pub(super) trait CountGuesses: Send + Sync {
    /// A login was refused. Returns the delay of the refusal.
    fn wrong(&self, whose: Whose, first: Duration) -> Duration;

    /// A login was not a wrong guess.
    fn right(&self, whose: Whose, first: Duration);
}

/// One guess, shared by the equal logins that wait for its answer. Until its end, and if it is dropped before, it
/// counts as wrong: a client that leaves early does not avoid the throttle.
pub(in super::super) struct Guess {
    desk: Arc<dyn CountGuesses>,
    whose: Whose,
    /// `auth.failed_login_delay`
    first: Option<Duration>,
    /// The delay of the refusal, once the end is known.
    end: OnceLock<Duration>,
}

/// The guesses of one login, at one service after another.
#[derive(Default)]
pub(in super::super) struct Open {
    guesses: Vec<Arc<Guess>>,
    /// The least delay of a refusal.
    delay: Duration,
}

impl Guess {
    pub(super) fn new(desk: Arc<dyn CountGuesses>, whose: Whose, first: Option<Duration>) -> Self {
        Self { desk, whose, first, end: OnceLock::new() }
    }

    /// The login was refused. Returns the delay of the refusal.
    fn wrong(&self) -> Duration {
        let Self { desk, whose, first, end } = self;
        *end.get_or_init(|| first.map_or(Duration::ZERO, |first| desk.wrong(*whose, first)))
    }

    /// The login was accepted, or nobody could decide about it.
    fn right(&self) {
        let Self { desk, whose, first, end } = self;
        end.get_or_init(|| {
            first.inspect(|first| desk.right(*whose, *first));
            Duration::ZERO
        });
    }
}

impl Drop for Guess {
    fn drop(&mut self) {
        self.wrong();
    }
}

impl Open {
    /// A service does not know the login. `None`: that was cached; its refusal is delayed by `first`.
    pub(in super::super) fn add(&mut self, guess: Option<Arc<Guess>>, first: Option<Duration>) {
        match guess {
            Some(guess) => self.guesses.push(guess),
            None => self.delay = first.unwrap_or_default(),
        }
    }

    /// The login was refused. Returns the delay of the refusal.
    pub(in super::super) fn wrong(self) -> Duration {
        self.guesses.iter().map(|guess| guess.wrong()).fold(self.delay, Duration::max)
    }

    /// The login was accepted, or nobody could decide about it.
    pub(in super::super) fn right(self) {
        self.guesses.iter().for_each(|guess| guess.right());
    }
}
