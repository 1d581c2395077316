//! [`DropReason`]: why a message was dropped.

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// `limits.max_queued_messages` or `limits.max_queued_bytes` of a session.
    QueueFull,
    /// `limits.max_queued_bytes_total`: all queues together are full.
    QueuesFull,
    /// `limits.max_memory`: not queued, or delivered but not retained.
    MemoryFull,
    /// `limits.max_outbound_bytes`: the client reads too slowly.
    OutboundFull,
    /// The disk is full: delivered, but not retained.
    StoreFull,
    /// `limits.max_retained_messages` or `limits.max_retained_bytes`: delivered, but not retained.
    RetainedFull,
    /// A Will that needs disk space, while too many others wait for space: not published.
    WillsFull,
    /// A client's PUBLISH to `$SYS/…` (`sys.client_publish`).
    SysTopic,
    /// The client may not publish to this topic.
    NotAuthorized,
    /// Its Message Expiry Interval passed before it could be sent, or while a QoS 2 message from the client waited for
    /// `limits.max_inflight_in`.
    Expired,
    /// It is larger than the client accepts (MQTT 5 section 3.1.2.11.4).
    PacketTooLarge,
    /// Its payload is larger than clients may publish (`limits.max_message_size`): not published.
    MessageTooLarge,
    /// A bridge of this broker had sent it to another broker, and it returned: not published.
    BridgeLoop,
}

impl DropReason {
    /// For the log: the full thing, and the key of its limit.
    pub fn why(self) -> &'static str {
        match self {
            Self::QueueFull => "its client's queue is full (limits.max_queued_messages, limits.max_queued_bytes)",
            Self::QueuesFull => "all queues together are full (limits.max_queued_bytes_total)",
            Self::MemoryFull => {
                "the process has as much memory as it may (limits.max_memory): not queued, or delivered and not retained"
            }
            Self::OutboundFull => "its client reads too slowly (limits.max_outbound_bytes)",
            Self::RetainedFull => {
                "not retained, but delivered: the store is full (limits.max_retained_messages, \
                 limits.max_retained_bytes)"
            }
            Self::StoreFull => "not retained, but delivered: there is no room in data_dir",
            Self::WillsFull => {
                "a Will, not published: there is no room in data_dir, and as many Wills wait for it as may \
                 (limits.max_queued_bytes)"
            }
            Self::SysTopic => "its client may not publish to $SYS or $events (sys.client_publish)",
            Self::NotAuthorized => "its client may not publish to this topic (auth.acl_file, auth.denied_publish)",
            Self::Expired => "its Message Expiry Interval passed before its client could be sent it",
            Self::MessageTooLarge => "its payload is larger than limits.max_message_size",
            Self::BridgeLoop => "a bridge of this broker sent it to another broker before (User Property dunlin-via)",
            Self::PacketTooLarge => "it is larger than the Maximum Packet Size that its client takes",
        }
    }
}
