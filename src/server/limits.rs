//! Converts the configured limits to those of the rooms `router` and `net`.

use super::machine;
use crate::{
    config::{Config, Limits, PublishRateAction, SysPublish},
    net::NetLimits,
    router::{self, RouterLimits},
    session::SessionLimits,
    types::QoS,
};

/// The limits of the router.
pub(super) fn router_limits(config: &Config) -> RouterLimits {
    let Limits {
        max_client_id_length,
        max_topic_length,
        max_topic_levels,
        max_inflight_out,
        max_inflight_in,
        receive_maximum,
        topic_alias_maximum,
        shared_subscriptions,
        shared_requeue_after,
        max_packet_size,
        max_message_size,
        max_queued_messages,
        max_queued_bytes,
        queue_full,
        queue_qos0,
        upgrade_outgoing_qos,
        max_outbound_bytes,
        message_expiry,
        retained_expiry,
        max_retained_messages,
        max_retained_bytes,
        max_subscriptions,
        max_subscription_bytes,
        max_sessions,
        session_expiry,
        max_queued_bytes_total,
        max_memory,
        ..
    } = config.limits;
    let memory = machine::memory();
    RouterLimits {
        session: SessionLimits {
            // an empty window would block all messages
            max_inflight_out: usize::from(max_inflight_out.max(1)),
            max_inflight_in: usize::from(max_inflight_in.max(1)),
            max_queued_messages,
            max_queued_bytes,
            queue_full,
            queue_qos0,
            max_outbound_bytes,
        },
        max_client_id_length,
        max_topic_length,
        max_topic_levels,
        max_queued_bytes_total: machine::bound(max_queued_bytes_total, 1, memory).unwrap_or(usize::MAX),
        max_memory: machine::bound(max_memory, 3, memory).map(|bytes| bytes as u64),
        message_expiry,
        retained_expiry,
        max_retained_messages,
        max_retained_bytes,
        max_subscriptions,
        max_subscription_bytes,
        max_sessions,
        session_expiry,
        session_owner: config.auth.session_owner,
        client_id: config.auth.client_id,
        client_ids: router::ClientIdRules {
            prefixes: config.auth.client_id_prefixes.as_slice().into(),
            auto_prefix: config.auth.auto_id_prefix.as_deref().unwrap_or_default().into(),
            allow_empty: config.auth.allow_zero_length_client_id,
        },
        receive_maximum,
        topic_alias_maximum,
        check_retain_source: config.auth.check_retain_source,
        upgrade_outgoing_qos,
        says: server_says(config),
        shared_subscriptions,
        shared_requeue_after,
        reconnects: config.limits.reconnects,
        max_packet_size,
        max_message_size,
        sys_publish: sys_publish(config),
        has_events: config.sys.events,
    }
}

fn sys_publish(config: &Config) -> router::SysPublish {
    match config.sys.client_publish {
        SysPublish::Drop => router::SysPublish::Drop,
        SysPublish::Disconnect => router::SysPublish::Disconnect,
        SysPublish::Allow => router::SysPublish::Allow,
    }
}

fn server_says(config: &Config) -> router::ServerSays {
    let Limits { max_qos, retain_available, max_keep_alive, .. } = config.limits;
    router::ServerSays {
        max_qos: QoS::from_bits(max_qos).unwrap_or(QoS::ExactlyOnce),
        retain_available,
        // the configuration limits the key
        max_keep_alive: max_keep_alive.map(|most| u16::try_from(most.as_secs()).unwrap_or(u16::MAX)),
        server_reference: config.server_reference.as_deref().map(Into::into),
        response_information: config.response_information.as_deref().map(Into::into),
    }
}

/// The limits of connections.
pub(super) fn net_limits(config: &Config) -> NetLimits {
    let limits = &config.limits;
    NetLimits {
        max_connections: limits.max_connections,
        max_connecting: limits.max_connecting,
        max_connecting_bytes: limits.max_connecting_bytes,
        connect_timeout: limits.connect_timeout,
        max_packet_size: limits.max_packet_size,
        max_connect_size: limits.max_connect_size.min(limits.max_packet_size),
        write_timeout: limits.write_timeout,
        publish_rate: limits.publish_rate,
        publish_bytes_rate: limits.publish_bytes_rate,
        publish_burst: limits.publish_burst,
        publish_disconnects: limits.publish_rate_action == PublishRateAction::Disconnect,
        connect_rate: limits.connect_rate,
        sys_interval: config.sys.interval,
    }
}
