//! The address and the kind of a listener: [`Endpoint`], [`Transport`] and [`TlsRecords`].

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The address of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An address and port of TCP.
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// The name of sockets that systemd opened and passes (`FileDescriptorName=` of a socket unit). Their addresses
    /// are known when they are taken over.
    Passed(String),
}

/// The protocol below MQTT on a listener's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP.
    #[default]
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket over TCP.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// A Unix socket.
    Unix,
}

/// How MQTT packets are put into TLS records (and, with WebSocket over TLS, into frames).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsRecords {
    /// A record has one packet, or a part of one. Clients that read one packet each time their socket becomes
    /// readable need this: OpenSSL reads a whole record, and poll does not report the rest of it.
    #[default]
    Packet,
    /// A record has as many packets as fit: fewer bytes, and less work for both sides.
    Batch,
}

impl Endpoint {
    /// Can only this machine reach it? `false` for a socket that systemd passes: its address is unknown.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
            Self::Passed(_) => false,
        }
    }

    /// The address, if it is one of TCP.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) | Self::Passed(_) => None,
        }
    }

    /// The path, if it is that of a Unix socket.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Ip(_) | Self::Passed(_) => None,
            Self::Unix(path) => Some(path),
        }
    }

    /// The form of `--listen`: `127.0.0.1:1883`, `tls://0.0.0.0:8883`, `unix:/run/dunlin.sock`, `systemd:mqtt`.
    pub fn with(&self, transport: Transport) -> impl fmt::Display {
        let scheme = match transport {
            Transport::Tcp => "",
            Transport::Unix => "unix:",
            Transport::Tls => "tls://",
            Transport::Ws => "ws://",
            Transport::Wss => "wss://",
        };
        format!("{scheme}{self}")
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
            Self::Passed(name) => write!(f, "systemd:{name}"),
        }
    }
}

impl Transport {
    /// The name in the configuration: `tcp`, `tls`, `ws`, `wss` or `unix`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Unix => "unix",
        }
    }

    /// The default port: IANA's for MQTT, and the one that brokers conventionally use for WebSocket.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Tcp | Self::Unix => 1883,
            Self::Tls => 8883,
            Self::Ws => 8083,
            Self::Wss => 8084,
        }
    }

    /// Is it encrypted?
    pub const fn has_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Does it begin with HTTP?
    pub const fn has_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}
