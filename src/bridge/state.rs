//! [`Shared`]: the state of a running bridge, its last error and its counters.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use parking_lot::Mutex;

use super::options::Options;
use crate::{session::Missed, types::ProtocolVersion};

/// The state and counters of a running bridge.
pub(super) struct Shared {
    told: Mutex<Told>,
    counts: [AtomicU64; COUNTS],
    /// Messages that expired after they had left the queue, before they could be sent.
    expired_late: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct Told {
    phase: Phase,
    address: Option<String>,
    version: Option<ProtocolVersion>,
    since: Option<SystemTime>,
    error: Option<(String, SystemTime)>,
    is_subscribed: bool,
    /// The error is in the log, and no connection has worked since.
    is_logged: bool,
}

/// The state of a bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It waits before it connects, or for messages.
    #[default]
    Waiting,
    /// It connects.
    Connecting,
    /// It is connected.
    Connected,
    /// An operator paused it.
    Paused,
    /// It does not connect again (`start = "once"`).
    Ended,
}

impl Phase {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

macro_rules! counts {
    ($($variant:ident, $name:ident, $help:literal;)+) => {
        /// The counters.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum Count { $(#[doc = $help] $variant,)+ }

        /// Counters since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts { $(#[doc = $help] pub $name: u64,)+ }

        const COUNTS: usize = [$(Count::$variant),+].len();

        impl Counts {
            /// Each counter with its name and its description.
            pub fn all(&self) -> [(&'static str, &'static str, u64); COUNTS] {
                [$((stringify!($name), $help, self.$name)),+]
            }
        }

        impl Shared {
            fn counts(&self) -> Counts {
                Counts { $($name: self.get(Count::$variant)),+ }
            }
        }
    };
}

counts! {
    Connects, connects, "Connections that began.";
    Failures, failures, "Connections that failed or were lost.";
    Sent, sent, "Messages that were sent to the other broker and, at QoS 1 and 2, acknowledged by it.";
    Received, received, "Messages of the other broker that were published here.";
    TooLarge, too_large, "Messages that were dropped because they are too large.";
    Refused, refused, "Messages that the other broker refused.";
    Echoes, echoes, "Messages that the other broker sent back and that were dropped.";
    Loops, loops, "Messages that had passed this broker before and were dropped.";
    Unasked, unasked, "Messages of the other broker that match no topic of the bridge.";
    Outdated, outdated, "Retained messages of the other broker that were dropped because their topics had changed here meanwhile.";
    QueueFull, queue_full, "Messages that were dropped because the queue was full.";
    Expired, expired, "Messages that expired in the queue.";
    RetainedDue, retained_due, "Topics whose retained messages changed and are not known to have arrived at the other broker.";
    Queued, queued, "Messages that are queued or in flight.";
}

/// A bridge, as the API and metrics show it.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Its state.
    pub phase: Phase,
    /// The address that it is connected with, or tried last.
    pub address: Option<String>,
    /// The protocol version.
    pub version: Option<ProtocolVersion>,
    /// The time at which it entered its state.
    pub since: Option<SystemTime>,
    /// Why the last connection failed or was lost, and when.
    pub error: Option<(String, SystemTime)>,
    /// The other broker has answered its subscriptions.
    pub is_subscribed: bool,
    /// Its counters.
    pub counts: Counts,
    /// The topic of its connection state.
    pub notification_topic: String,
}

impl Shared {
    pub(super) fn new(_: &Options) -> Self {
        Self { told: Mutex::default(), counts: Default::default(), expired_late: AtomicU64::default() }
    }

    pub(super) fn add(&self, count: Count, by: u64) {
        self.counts[count as usize].fetch_add(by, Ordering::Relaxed);
    }

    /// There was a connection.
    pub(super) fn connected_before(&self) -> bool {
        self.get(Count::Connects) > 0
    }

    /// A gauge.
    pub(super) fn set(&self, count: Count, to: u64) {
        self.counts[count as usize].store(to, Ordering::Relaxed);
    }

    /// One more message expired after it had left the queue.
    pub(super) fn expired_late(&self) {
        self.expired_late.fetch_add(1, Ordering::Relaxed);
    }

    /// What its queue dropped since the start.
    pub(super) fn note_missed(&self, missed: Missed) {
        // of two threads that note it, one may come late: a counter never falls
        let raise = |count: Count, to: u64| _ = self.counts[count as usize].fetch_max(to, Ordering::Relaxed);
        raise(Count::QueueFull, missed.queue_full);
        raise(Count::Expired, missed.expired + self.expired_late.load(Ordering::Relaxed));
    }

    fn get(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Ordering::Relaxed)
    }

    /// Sets the state.
    pub(super) fn enter(&self, phase: Phase, now: SystemTime) {
        let mut told = self.told.lock();
        told.is_subscribed &= phase == Phase::Connected;
        if told.phase != phase || told.since.is_none() {
            (told.phase, told.since) = (phase, Some(now));
        }
    }

    pub(super) fn connects(&self, address: String) {
        self.told.lock().address = Some(address);
    }

    /// All its subscriptions are answered.
    pub(super) fn subscribed(&self) {
        self.told.lock().is_subscribed = true;
    }

    pub(super) fn speaks(&self, version: ProtocolVersion) {
        self.told.lock().version = Some(version);
    }

    /// A connection failed. `true`: the one before failed for another reason, or worked.
    pub(super) fn failed(&self, why: &str, now: SystemTime) -> bool {
        let mut told = self.told.lock();
        let is_new = told.error.as_ref().is_none_or(|(before, _)| before != why) || !told.is_logged;
        (told.error, told.is_logged) = (Some((why.into(), now)), true);
        is_new
    }

    /// A connection works.
    pub(super) fn works(&self) {
        self.told.lock().is_logged = false;
    }

    /// `queued`: the number of messages in its session; `missed`: what that dropped.
    pub(super) fn view(&self, options: &Options, queued: usize, missed: Missed) -> View {
        self.set(Count::Queued, queued as u64);
        self.note_missed(missed);
        let Told { phase, address, version, since, error, is_subscribed, .. } = self.told.lock().clone();
        let (name, notification_topic) = (options.name.clone(), options.notification_topic.clone());
        View { name, phase, address, version, since, error, is_subscribed, counts: self.counts(), notification_topic }
    }
}
