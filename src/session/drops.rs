//! [`Drops`]: how many messages for one client were dropped, by reason.

use super::Gone;

/// Messages for one client that were dropped since its session began or the broker started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Its queue, all queues together, or the memory of the process was full.
    pub queue_full: u64,
    /// QoS 0 messages: the client reads too slowly.
    pub outbound_full: u64,
    /// The message was larger than the client accepts.
    pub too_large: u64,
    /// The Message Expiry Interval passed.
    pub expired: u64,
}

impl Drops {
    /// All dropped messages.
    pub fn all(&self) -> u64 {
        let Self { queue_full, outbound_full, too_large, expired } = self;
        queue_full + outbound_full + too_large + expired
    }
}

/// The same inside a session: most sessions drop nothing and need no memory for it.
#[derive(Debug, Default)]
pub(super) struct Dropped(Option<Box<Since>>);

#[derive(Debug, Default)]
struct Since {
    drops: Drops,
    /// Number of them that [`take`](Self::take) has returned.
    told: u64,
}

impl Dropped {
    /// Counts one.
    #[cold]
    pub(super) fn add(&mut self, why: Gone) {
        let drops = self.drops();
        match why {
            Gone::QueueFull => drops.queue_full += 1,
            Gone::TooLarge => drops.too_large += 1,
            Gone::Expired => drops.expired += 1,
        }
    }

    /// Counts one of a client that reads too slowly.
    #[cold]
    pub(super) fn add_outbound_full(&mut self) {
        self.drops().outbound_full += 1;
    }

    fn drops(&mut self) -> &mut Drops {
        &mut self.0.get_or_insert_default().drops
    }

    /// The counts.
    pub(super) fn get(&self) -> Drops {
        self.0.as_ref().map_or(Drops::default(), |since| since.drops)
    }

    /// How many were dropped since the last call.
    pub(super) fn take(&mut self) -> u32 {
        let Some(since) = &mut self.0 else { return 0 };
        let all = since.drops.all();
        let new = all - since.told;
        since.told = all;
        u32::try_from(new).unwrap_or(u32::MAX)
    }
}
