//! [`NetLimits`]: the limits of connections.

use std::time::Duration;

/// The limits of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetLimits {
    /// Connections in all.
    pub max_connections: usize,
    /// Connections whose CONNECT is not answered yet.
    pub max_connecting: usize,
    /// Bytes of these connections.
    pub max_connecting_bytes: usize,
    /// From accept to CONNECT.
    pub connect_timeout: Duration,
    /// A whole packet, in bytes.
    pub max_packet_size: usize,
    /// A CONNECT, in bytes.
    pub max_connect_size: usize,
    /// A connection ends if its socket accepts nothing for this long.
    pub write_timeout: Duration,
    /// Messages that a client may publish in a second.
    pub publish_rate: Option<u32>,
    /// Bytes of PUBLISH packets that it may send in a second.
    pub publish_bytes_rate: Option<usize>,
    /// Largest burst, as the time in which the rates allow that much.
    pub publish_burst: Duration,
    /// Disconnect clients that exceed the rates instead of slowing them down.
    pub publish_disconnects: bool,
    /// Connections that may begin in a second, in all.
    pub connect_rate: Option<u32>,
    /// How often the `$SYS` topics are published.
    pub sys_interval: Option<Duration>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Small limits.
    pub(in super::super) fn limits() -> NetLimits {
        NetLimits {
            max_connections: 1,
            max_connecting: 1_000_000,
            max_connecting_bytes: 1 << 20,
            connect_timeout: Duration::from_millis(1),
            max_packet_size: 1,
            max_connect_size: 1,
            write_timeout: Duration::from_millis(1),
            publish_rate: None,
            publish_bytes_rate: None,
            publish_burst: Duration::from_secs(1),
            publish_disconnects: false,
            connect_rate: None,
            sys_interval: None,
        }
    }
}
