//! [`Expiry`]: how long a session outlives its connections.

use std::time::Duration;

/// How long a session outlives its connections, as the client requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It ends with its connection: Clean Session 1 (MQTT 3.1.1 section 3.1.2.4).
    WithConnection,
    /// After this number of seconds.
    After(u32),
    /// Never: Clean Session 0.
    Never,
}

impl Expiry {
    /// From a Session Expiry Interval (MQTT 5 section 3.1.2.11.2).
    pub fn of_seconds(interval: Option<u32>) -> Self {
        match interval {
            None | Some(0) => Self::WithConnection,
            Some(u32::MAX) => Self::Never,
            Some(seconds) => Self::After(seconds),
        }
    }

    /// The interval in seconds, for a store; `None`: the session does not expire.
    pub fn lasts(self) -> Option<u32> {
        match self {
            Self::WithConnection => Some(0),
            Self::After(seconds) => Some(seconds),
            Self::Never => None,
        }
    }

    /// Is the session kept while its client is away?
    #[inline]
    pub fn outlives_connection(self) -> bool {
        !matches!(self, Self::WithConnection | Self::After(0))
    }

    /// How long the session is kept while its client is away, if the server keeps sessions for at most `most`. `None`:
    /// without limit.
    pub fn within(self, most: Option<Duration>) -> Option<Duration> {
        let asked = match self {
            Self::WithConnection => Duration::ZERO,
            Self::After(seconds) => Duration::from_secs(seconds.into()),
            Self::Never => return most,
        };
        Some(most.map_or(asked, |most| asked.min(most)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_expires_by_the_shorter_of_both_intervals() {
        let seconds = |n| Some(Duration::from_secs(n));
        for (expiry, most, kept) in [
            (Expiry::WithConnection, None, seconds(0)),
            (Expiry::WithConnection, seconds(60), seconds(0)),
            (Expiry::After(0), None, seconds(0)),
            (Expiry::After(30), None, seconds(30)),
            (Expiry::After(30), seconds(60), seconds(30)),
            (Expiry::After(90), seconds(60), seconds(60)),
            (Expiry::Never, seconds(60), seconds(60)),
            (Expiry::Never, None, None),
        ] {
            assert_eq!(expiry.within(most), kept, "{expiry:?}, at most {most:?}");
            assert_eq!(expiry.outlives_connection(), kept != seconds(0), "{expiry:?}");
        }
    }
}
