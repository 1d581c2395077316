//! [`NetLimits`]: the bounds that connections hold to.

use std::time::Duration;

/// The bounds that connections hold to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetLimits {
    /// Connections in all.
    pub max_connections: usize,
    /// Connections without a CONNECT yet.
    pub max_connecting: usize,
    /// From accept to CONNECT.
    pub connect_timeout: Duration,
    /// A whole packet, in bytes.
    pub max_packet_size: usize,
    /// A CONNECT, in bytes.
    pub max_connect_size: usize,
    /// A socket that takes nothing for this long ends its connection.
    pub write_timeout: Duration,
    /// Messages that a client may publish in a second.
    pub publish_rate: Option<u32>,
    /// Bytes of PUBLISH packets that it may send in a second.
    pub publish_bytes_rate: Option<usize>,
    /// What may come at once: that of so long a time.
    pub publish_burst: Duration,
    /// A client that publishes more is disconnected, not slowed.
    pub publish_disconnects: bool,
    /// Connections that may begin in a second, in all.
    pub connect_rate: Option<u32>,
    /// How often the `$SYS` topics are published.
    pub sys_interval: Option<Duration>,
}
