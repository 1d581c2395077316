//! [`SysTopics`]: the `$SYS/broker/…` topics, with mosquitto's names, and one for each limit.

use std::{
    collections::HashMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use super::{Count, LongestTurn, Router, RouterThread};
use crate::{session::Backlog, topic::TopicName};

/// Publishes the `$SYS` topics of a router, if their value has changed.
#[derive(Debug)]
pub struct SysTopics {
    started: Instant,
    previous: Option<Sample>,
    published: HashMap<String, String>,
    loads: [[f64; LOAD_MINUTES.len()]; LOADS.len()],
}

/// Bytes of memory of the process; `None`: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: Option<u64>,
    /// The highest resident size so far.
    pub peak: Option<u64>,
}

#[derive(Debug)]
struct Sample {
    at: Instant,
    counts: [u64; LOADS.len()],
}

/// `$SYS/broker/load/…`: moving averages for a minute.
const LOADS: [(&str, Count); 9] = [
    ("messages/received", Count::MessagesReceived),
    ("messages/sent", Count::MessagesSent),
    ("publish/received", Count::PublishReceived),
    ("publish/sent", Count::PublishSent),
    ("publish/dropped", Count::PublishDropped),
    ("bytes/received", Count::BytesReceived),
    ("bytes/sent", Count::BytesSent),
    ("sockets", Count::SocketsOpened),
    ("connections", Count::Connects),
];

const LOAD_MINUTES: [f64; 3] = [1.0, 5.0, 15.0];

/// Counters that are published unchanged.
const COUNTS: [(&str, Count); 43] = [
    ("clients/expired", Count::SessionsExpired),
    ("messages/received", Count::MessagesReceived),
    ("messages/sent", Count::MessagesSent),
    ("bytes/received", Count::BytesReceived),
    ("bytes/sent", Count::BytesSent),
    ("retained messages/expired", Count::RetainedExpired),
    ("publish/messages/received", Count::PublishReceived),
    ("publish/messages/sent", Count::PublishSent),
    ("publish/messages/dropped", Count::PublishDropped),
    ("publish/bytes/received", Count::PublishBytesReceived),
    ("publish/bytes/sent", Count::PublishBytesSent),
    ("publish/bytes/dropped", Count::PublishBytesDropped),
    ("limits/max_connections", Count::RefusedConnections),
    ("limits/max_connecting", Count::RefusedConnecting),
    ("limits/max_connecting_bytes", Count::RefusedConnectingBytes),
    ("limits/connect_timeout", Count::ConnectTimeouts),
    ("limits/write_timeout", Count::WriteTimeouts),
    ("limits/max_packet_size", Count::PacketsTooLarge),
    ("limits/max_topic", Count::TopicsTooLarge),
    ("limits/max_client_id_length", Count::ClientIdsTooLong),
    ("limits/max_inflight_in", Count::DeferredInflight),
    ("limits/max_queued", Count::DroppedQueueFull),
    ("limits/max_queued_bytes_total", Count::DroppedQueuesFull),
    ("limits/max_memory", Count::RefusedMemory),
    ("limits/max_outbound_bytes", Count::DroppedOutboundFull),
    ("limits/max_retained", Count::DroppedRetainedFull),
    ("limits/store_full", Count::DroppedStoreFull),
    ("limits/max_subscriptions", Count::RefusedSubscriptions),
    ("limits/max_sessions", Count::RefusedSessions),
    ("limits/sys_publish", Count::DroppedSysTopic),
    ("limits/not_authorized", Count::DroppedNotAuthorized),
    ("limits/denied_deliveries", Count::DeniedDeliveries),
    ("limits/expired", Count::DroppedExpired),
    ("limits/packet_too_large", Count::DroppedTooLarge),
    ("limits/bridge_loop", Count::DroppedBridgeLoop),
    ("limits/refused_logins", Count::RefusedLogins),
    ("limits/protocol_errors", Count::ProtocolErrors),
    ("limits/publish_rate", Count::PublishRate),
    ("limits/connect_rate", Count::ConnectRate),
    ("limits/max_qos", Count::RefusedQos),
    ("limits/retain_available", Count::RefusedRetain),
    ("limits/max_keep_alive", Count::RefusedKeepAlive),
    ("limits/banned", Count::RefusedBanned),
];

impl SysTopics {
    /// The uptime begins at `now`.
    pub fn new(now: Instant) -> Self {
        Self { started: now, previous: None, published: HashMap::new(), loads: Default::default() }
    }

    /// Publishes changed values. `memory`: that of the process now.
    pub fn publish(&mut self, router: &Router, local: &mut RouterThread, memory: Memory, now: Instant) {
        let mut set = |name: &str, value: String| {
            let topic = format!("$SYS/broker/{name}");
            if self.published.get(&topic) == Some(&value) {
                return;
            }
            let name = TopicName::new(&topic).expect("the names above are Topic Names");
            router.publish_own(local, name, value.as_bytes());
            self.published.insert(topic, value);
        };
        set("version", format!("dunlin version {}", env!("CARGO_PKG_VERSION")));
        set("uptime", format!("{} seconds", now.duration_since(self.started).as_secs()));
        for (name, value) in gauges(router) {
            set(name, value.to_string());
        }
        for (name, bytes) in [("heap/current", memory.resident), ("heap/maximum", memory.peak)] {
            if let Some(bytes) = bytes {
                set(name, bytes.to_string());
            }
        }
        if let Some(store) = &router.ports.store {
            for (name, figure) in store.figures() {
                set(&format!("store/disk/{name}"), figure.to_string());
            }
            set("store/disk/condition", store.condition().to_string());
        }
        for (name, count) in COUNTS {
            set(name, router.counters.get(count).to_string());
        }
        let LongestTurn { nodes, deliveries, took } = router.counters.longest_turn();
        set("turns/maximum/nodes", nodes.to_string());
        set("turns/maximum/deliveries", deliveries.to_string());
        set("turns/maximum/microseconds", took.as_micros().to_string());

        let counts = LOADS.map(|(_, count)| router.counters.get(count));
        let (elapsed, before) = match &self.previous {
            Some(previous) => (now.duration_since(previous.at), previous.counts),
            None => (now.duration_since(self.started), [0; LOADS.len()]),
        };
        let mut name = String::new();
        for (i, (load, _)) in LOADS.iter().enumerate() {
            for (j, minutes) in LOAD_MINUTES.iter().enumerate() {
                let average = &mut self.loads[i][j];
                *average = moving_average(*average, counts[i] - before[i], elapsed, *minutes);
                name.clear();
                // writing to a String cannot fail
                let _ = write!(name, "load/{load}/{minutes}min");
                set(&name, format!("{average:.2}"));
            }
        }
        self.previous = Some(Sample { at: now, counts });
    }
}

/// Values that are read at this moment.
fn gauges(router: &Router) -> [(&'static str, usize); 17] {
    let (sessions, connected) = (router.session_count(), router.connected());
    let away = sessions.saturating_sub(connected);
    let Backlog { messages: queued, bytes: queued_bytes, cost } = router.backlog();
    let (retained, retained_bytes) = router.retained.size();
    [
        ("clients/total", sessions),
        ("clients/maximum", router.connected_maximum()),
        ("clients/connected", connected),
        ("clients/active", connected),
        ("clients/disconnected", away),
        ("clients/inactive", away),
        ("logins/waiting", router.ports.authenticate.as_ref().map_or(0, |authenticate| authenticate.waiting())),
        ("messages/stored", queued + retained),
        ("store/messages/count", queued + retained),
        ("store/messages/bytes", queued_bytes + retained_bytes),
        ("store/queues/memory", cost),
        ("subscriptions/memory", router.subscriptions.memory()),
        ("retained messages/memory", router.retained.memory()),
        ("subscriptions/count", router.subscription_count()),
        ("shared_subscriptions/count", router.shared_subscription_count()),
        ("retained messages/count", retained),
        ("retained messages/bytes", retained_bytes),
    ]
}

/// An exponentially weighted average of events a minute, over about `minutes`.
fn moving_average(average: f64, events: u64, elapsed: Duration, minutes: f64) -> f64 {
    let elapsed = elapsed.as_secs_f64() / 60.0;
    if elapsed <= 0.0 {
        return average;
    }
    let keep = (-elapsed / minutes).exp();
    let now = events as f64 / elapsed;
    now + keep * (average - now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_average_converges_to_a_steady_rate() {
        for minutes in LOAD_MINUTES {
            let average = (0..10_000).fold(0.0, |a, _| moving_average(a, 20, Duration::from_secs(10), minutes));
            assert!((average - 120.0).abs() < 0.01, "{average} a minute over {minutes} min");
        }
    }

    #[test]
    fn a_shorter_average_follows_sooner() {
        let after_a_minute = LOAD_MINUTES.map(|m| moving_average(0.0, 60, Duration::from_secs(60), m));
        assert!(after_a_minute.is_sorted_by(|a, b| a > b), "{after_a_minute:?}");
        assert_eq!(moving_average(7.0, 60, Duration::ZERO, 1.0), 7.0);
    }
}
