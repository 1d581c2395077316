//! Metrics of the router and the store, with names and descriptions. Every [`Count`] is here.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::{
    super::{
        control::{BridgeState, LoginServiceState, SinkState, TokenKeysState, WebhookState},
        state::State,
    },
    connections,
    numbers::Numbers,
    traffic,
};
use crate::router::{Condition, Count, LongestTurn, Router, Store};

/// The broker's metrics, read at each scrape.
pub(super) struct Collected(pub Arc<State>);

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collected")
    }
}

/// Counters without a label: name, description, count.
const COUNTERS: [(&str, &str, Count); 10] = [
    ("sockets_accepted", "Connections accepted, before anything was read", Count::SocketsOpened),
    ("received_bytes", "Bytes from clients", Count::BytesReceived),
    ("sent_bytes", "Bytes to clients", Count::BytesSent),
    ("message_bytes_dropped", "Payload bytes of messages that were dropped", Count::PublishBytesDropped),
    ("sessions_expired", "Sessions that expired while their clients were away", Count::SessionsExpired),
    ("retained_messages_expired", "Retained messages that expired", Count::RetainedExpired),
    ("subscribes", "Subscriptions granted", Count::Subscribes),
    ("unsubscribes", "Subscriptions given up", Count::Unsubscribes),
    ("pings", "PINGREQ packets", Count::Pings),
    ("wills_published", "Wills published", Count::Wills),
];

/// `connections_refused`, by reason.
const REFUSED: [(&str, Count); 11] = [
    ("max_connections", Count::RefusedConnections),
    ("connecting", Count::RefusedConnecting),
    ("connecting_bytes", Count::RefusedConnectingBytes),
    ("timeout", Count::ConnectTimeouts),
    ("login", Count::RefusedLogins),
    ("banned", Count::RefusedBanned),
    ("session_limit", Count::RefusedSessions),
    ("client_id_too_long", Count::ClientIdsTooLong),
    ("keep_alive", Count::RefusedKeepAlive),
    ("packet_too_large", Count::PacketsTooLarge),
    ("protocol", Count::ProtocolErrors),
];

/// `messages_dropped`, by reason; "memory" is the rest.
const DROPPED: [(&str, Count); 10] = [
    ("queue_full", Count::DroppedQueueFull),
    ("queues_full", Count::DroppedQueuesFull),
    ("outbound_full", Count::DroppedOutboundFull),
    ("retained_full", Count::DroppedRetainedFull),
    ("store_full", Count::DroppedStoreFull),
    ("sys_topic", Count::DroppedSysTopic),
    ("not_authorized", Count::DroppedNotAuthorized),
    ("expired", Count::DroppedExpired),
    ("too_large", Count::DroppedTooLarge),
    ("bridge_loop", Count::DroppedBridgeLoop),
];

/// `limit_reached`, by limit: limits that neither refuse a connection nor drop a message.
const LIMITS: [(&str, Count); 10] = [
    ("write_timeout", Count::WriteTimeouts),
    ("max_topic", Count::TopicsTooLarge),
    ("max_subscriptions", Count::RefusedSubscriptions),
    ("max_inflight_in", Count::DeferredInflight),
    ("max_memory", Count::RefusedMemory),
    ("denied_deliveries", Count::DeniedDeliveries),
    ("publish_rate", Count::PublishRate),
    ("connect_rate", Count::ConnectRate),
    ("max_qos", Count::RefusedQos),
    ("retain_available", Count::RefusedRetain),
];

/// Counters of a store: its name there, its name here, its description.
const STORE_COUNTERS: [(&str, &str, &str); 5] = [
    ("batches", "store_batches", "Commits of the store"),
    ("frames", "store_frames", "Frames written, including those of cleaning"),
    ("records", "store_records", "Records in them"),
    ("bytes written", "store_written_bytes", "Bytes of them"),
    ("fsyncs", "store_fsyncs", "Calls of fsync for frames"),
];

/// Gauges of a store.
const STORE_GAUGES: [(&str, &str, &str); 2] = [
    ("bytes kept", "store_live_bytes", "Approximate size of the live records in bytes"),
    ("bytes on disk", "store_disk_bytes", "Size of the store's files in bytes"),
];

impl Collector for Collected {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(state) = self;
        let Some(broker) = state.broker.get() else { return Ok(()) };
        let router = &broker.router;
        let mut out = Numbers(encoder);
        let version = [(env!("CARGO_PKG_VERSION"), 1)];
        out.gauges("build_info", "The version that runs", "version", version.into_iter())?;
        out.gauge("start_time_seconds", "Start of the broker, in Unix time", unix(state.started))?;
        let reload = **state.reload.load();
        let succeeded = i64::from(reload.succeeded);
        out.gauge("config_last_reload_success", "Whether the last reload succeeded (1, 0)", succeeded)?;
        let at = unix(reload.at);
        out.gauge("config_last_reload_timestamp_seconds", "Time of the last reload, in Unix time", at)?;
        let certificates = state.certificates.load();
        if !certificates.is_empty() {
            let ends = certificates.iter().map(|(listener, ends)| (listener.as_str(), unix(*ends)));
            let help = "Expiry of a listener's certificate, in Unix time";
            out.gauges("certificate_expiry_timestamp_seconds", help, "listener", ends)?;
        }
        if let Some(desk) = state.desk.get() {
            bridges(&mut out, &desk.control.bridges())?;
            login_services(&mut out, &desk.control.login_services())?;
            token_keys(&mut out, desk.control.token_keys())?;
            webhooks(&mut out, &desk.control.webhooks())?;
            sinks(&mut out, &desk.control.sinks())?;
        }
        counters(&mut out, router)?;
        connections::collect(&mut out, state, router)?;
        traffic::collect(&mut out, router)?;
        gauges(&mut out, router)?;
        if let Some(found) = state.depths.get(router, state.clock.now()) {
            let help = "Messages in flight in all sessions, as of the last walk over them";
            out.gauge("inflight_messages", help, found.in_flight)?;
            let help = "Queued messages in each session, as of the last walk over all sessions";
            out.histogram("queue_depth", help, &found.queues)?;
        }
        match router.plugged_store() {
            Some(store) => of_store(&mut out, store),
            None => Ok(()),
        }
    }
}

/// Numbers of a bridge that also fall.
const GAUGES_OF_BRIDGES: [&str; 2] = ["queued", "retained_due"];

/// Of each bridge: whether it is connected, and its counters and gauges.
fn bridges(out: &mut Numbers<'_>, bridges: &[BridgeState]) -> fmt::Result {
    let Some(first) = bridges.first() else { return Ok(()) };
    let connected = bridges.iter().map(|bridge| (bridge.name.as_str(), i64::from(bridge.connected)));
    out.gauges("bridge_connected", "Is the bridge connected? (1, 0)", "bridge", connected)?;
    for (at, (name, help, _)) in first.counts.iter().enumerate() {
        let values = bridges.iter().filter_map(|bridge| Some((bridge.name.as_str(), bridge.counts.get(at)?.2)));
        let metric = format!("bridge_{name}");
        match GAUGES_OF_BRIDGES.contains(name) {
            true => out.gauges(&metric, help, "bridge", values.map(|(bridge, n)| (bridge, n as i64)))?,
            false => out.counters(&metric, help, "bridge", values)?,
        }
    }
    Ok(())
}

/// Of each login service.
fn login_services(out: &mut Numbers<'_>, services: &[LoginServiceState]) -> fmt::Result {
    if services.is_empty() {
        return Ok(());
    }
    let requests = services.iter().flat_map(|service| {
        service.requests.into_iter().map(|(answer, count)| ([service.name.as_str(), answer], count))
    });
    let help = "Requests to login services, by answer";
    out.counters_by_two("auth_http_requests", help, ["service", "answer"], requests)?;
    let of = |number: fn(&LoginServiceState) -> u64| services.iter().map(move |one| (one.name.as_str(), number(one)));
    let help = "Logins that a cached answer decided";
    out.counters("auth_http_cache_hits", help, "service", of(|one| one.cache_hits))?;
    let help = "Logins that an expired answer accepted while the service was down";
    out.counters("auth_http_stale", help, "service", of(|one| one.stale))?;
    let checks = services.iter().flat_map(|service| {
        let asked = service.checks.into_iter().filter(|(answer, _)| !answer.is_empty());
        asked.map(|(answer, count)| ([service.name.as_str(), answer], count))
    });
    if checks.clone().next().is_some() {
        let help = "Questions to login services about topics, by answer; cached: without a request";
        out.counters_by_two("auth_http_checks", help, ["service", "answer"], checks)?;
    }
    let waiting = services.iter().map(|one| (one.name.as_str(), one.waiting as i64));
    out.gauges("auth_http_waiting", "Logins that wait for a login service", "service", waiting)?;
    let up = services.iter().map(|one| (one.name.as_str(), i64::from(one.up)));
    out.gauges("auth_http_up", "Whether the last request to a login service was answered (1, 0)", "service", up)
}

/// Of the keys of tokens that are fetched.
fn token_keys(out: &mut Numbers<'_>, keys: Option<TokenKeysState>) -> fmt::Result {
    let Some(TokenKeysState { fetched, failed, keys, waiting, up, .. }) = keys else { return Ok(()) };
    let requests = [("keys", fetched), ("error", failed)].into_iter();
    out.counters("auth_token_keys_requests", "Requests for keys of tokens, by the answer", "answer", requests)?;
    out.gauge("auth_token_keys", "Keys of tokens that were fetched and are known", keys as i64)?;
    out.gauge("auth_token_keys_waiting", "Logins that wait for keys of tokens", waiting as i64)?;
    out.gauge("auth_token_keys_up", "Was the last request answered with keys? (1, 0)", i64::from(up))
}

/// Of each webhook: whether its last request failed, and its counters, of which the last is a gauge.
fn webhooks(out: &mut Numbers<'_>, webhooks: &[WebhookState]) -> fmt::Result {
    let Some(first) = webhooks.first() else { return Ok(()) };
    let fails = webhooks.iter().map(|webhook| (webhook.name.as_str(), i64::from(webhook.fails)));
    out.gauges("webhook_failing", "Whether the last request of the webhook failed (1, 0)", "webhook", fails)?;
    let stopped = webhooks.iter().map(|webhook| (webhook.name.as_str(), i64::from(webhook.is_stopped)));
    let help = "Whether nothing is sent because refused messages cannot be kept (1, 0)";
    out.gauges("webhook_stopped", help, "webhook", stopped)?;
    for (at, (name, help, _)) in first.counts.iter().enumerate() {
        let values = webhooks.iter().filter_map(|webhook| Some((webhook.name.as_str(), webhook.counts.get(at)?.2)));
        match *name == "queued" {
            true => out.gauges("webhook_queued", help, "webhook", values.map(|(webhook, n)| (webhook, n as i64)))?,
            false => out.counters(&format!("webhook_{name}"), help, "webhook", values)?,
        }
    }
    Ok(())
}

/// Of each file sink: whether its last write failed, and its counters, of which the last is a gauge.
fn sinks(out: &mut Numbers<'_>, sinks: &[SinkState]) -> fmt::Result {
    let Some(first) = sinks.first() else { return Ok(()) };
    let fails = sinks.iter().map(|sink| (sink.name.as_str(), i64::from(sink.fails)));
    out.gauges("sink_failing", "Whether the last write of the sink failed (1, 0)", "sink", fails)?;
    for (at, (name, help, _)) in first.counts.iter().enumerate() {
        let values = sinks.iter().filter_map(|sink| Some((sink.name.as_str(), sink.counts.get(at)?.2)));
        match *name == "queued" {
            true => out.gauges("sink_queued", help, "sink", values.map(|(sink, n)| (sink, n as i64)))?,
            false => out.counters(&format!("sink_{name}"), help, "sink", values)?,
        }
    }
    Ok(())
}

fn counters(out: &mut Numbers<'_>, router: &Router) -> fmt::Result {
    let get = |count| router.counters().get(count);
    for (name, help, count) in COUNTERS {
        out.counter(name, help, get(count))?;
    }
    let all = get(Count::PublishDropped);
    let dropped = DROPPED.map(|(reason, count)| (reason, get(count)));
    let known = dropped.iter().map(|(_, count)| count).sum();
    let dropped = dropped.into_iter().chain([("memory", all.saturating_sub(known))]);
    out.counters("messages_dropped", "Messages dropped, or delivered and not retained", "reason", dropped)?;
    let refused = REFUSED.iter().map(|(reason, count)| (*reason, get(*count)));
    let help = "Connections refused, or closed because of a packet of the client";
    out.counters("connections_refused", help, "reason", refused)?;
    let limits = LIMITS.iter().map(|(limit, count)| (*limit, get(*count)));
    out.counters("limit_reached", "Refusals and delays by other limits", "limit", limits)
}

fn gauges(out: &mut Numbers<'_>, router: &Router) -> fmt::Result {
    let (sessions, connected) = (router.session_count(), router.connected());
    let away = sessions.saturating_sub(connected);
    let backlog = router.backlog();
    let (retained, retained_bytes) = router.retained_size();
    let logins = router.plugged_authenticate().map_or(0, |authenticate| authenticate.waiting());
    let states = [("connected", connected), ("away", away)];
    out.gauges("sessions", "Sessions, by state of their client", "state", states.into_iter())?;
    let numbers = [
        ("connections_maximum", "Largest number of connected clients at a time", router.connected_maximum()),
        ("subscriptions", "Subscriptions of all sessions", router.subscription_count()),
        ("shared_subscriptions", "Shared subscriptions", router.shared_subscription_count()),
        ("retained_messages", "Retained messages", retained),
        ("retained_bytes", "Bytes of their payloads", retained_bytes),
        ("queued_messages", "Messages queued or in flight in all sessions", backlog.messages),
        ("queued_bytes", "Bytes of topics and payloads of queued messages", backlog.bytes),
        ("queued_memory_bytes", "Approximate memory of queued messages", backlog.cost),
        ("subscriptions_memory_bytes", "Approximate memory of subscriptions", router.subscription_memory()),
        ("retained_memory_bytes", "Approximate memory of retained messages", router.retained_memory()),
        ("logins_waiting", "Logins that wait for a comparison of their password", logins),
    ];
    for (name, help, number) in numbers {
        out.gauge(name, help, number)?;
    }
    let LongestTurn { nodes, deliveries, took } = router.counters().longest_turn();
    out.gauge("longest_turn_seconds", "The longest turn of a connection since the start", took.as_secs_f64())?;
    out.gauge("longest_turn_nodes", "Largest number of nodes visited in a turn", nodes)?;
    out.gauge("longest_turn_deliveries", "Largest number of deliveries in a turn", deliveries)
}

fn of_store(out: &mut Numbers<'_>, store: &dyn Store) -> fmt::Result {
    let figures = store.figures();
    let of = |name: &str| figures.iter().find(|(known, _)| *known == name).map(|(_, figure)| *figure);
    for (figure, name, help) in STORE_COUNTERS {
        if let Some(figure) = of(figure) {
            out.counter(name, help, figure)?;
        }
    }
    for (figure, name, help) in STORE_GAUGES {
        if let Some(figure) = of(figure) {
            out.gauge(name, help, figure)?;
        }
    }
    let word = match store.condition() {
        // a busy store that delays clients works as intended
        Condition::Ready | Condition::Busy => "ok",
        Condition::Full => "full",
        Condition::Stuck => "stuck",
        Condition::Failed => "failed",
    };
    let conditions = ["ok", "full", "stuck", "failed"].map(|one| (one, i64::from(one == word)));
    out.gauges("store_condition", "1 for the condition of the store", "condition", conditions.into_iter())?;
    if let Some(sizes) = store.batch_sizes() {
        out.histogram("batch_records", "Records in each frame", &sizes)?;
    }
    match store.fsync_times() {
        Some(times) => out.histogram("fsync_seconds", "Time of each fsync", &times),
        None => Ok(()),
    }
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_has_exactly_one_metric() {
        // those by type, QoS, version, listener and reason have tests of their own
        let elsewhere = [
            Count::MessagesReceived,
            Count::MessagesSent,
            Count::PublishReceived,
            Count::PublishSent,
            Count::PublishBytesReceived,
            Count::PublishBytesSent,
            Count::Connects,
            Count::Disconnects,
        ];
        let alone = COUNTERS.iter().map(|(_, _, count)| *count);
        let labelled = REFUSED.iter().chain(&DROPPED).chain(&LIMITS).map(|(_, count)| *count);
        let mut shown: Vec<_> =
            alone.chain(labelled).chain(elsewhere).chain([Count::PublishDropped]).map(|count| count as usize).collect();
        shown.sort_unstable();
        let all: Vec<_> = (0..Count::ALL).collect();
        assert_eq!(shown, all);
    }
}
