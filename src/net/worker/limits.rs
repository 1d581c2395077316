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
    /// How often the `$SYS` topics are published.
    pub sys_interval: Option<Duration>,
}
