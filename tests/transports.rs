//! Transports, as clients see them: TLS, WebSocket, Unix sockets, the PROXY protocol; and listeners that open and close.

mod support;

#[path = "transports/forwarded.rs"]
mod forwarded;
#[path = "transports/listeners.rs"]
mod listeners;
#[path = "transports/process.rs"]
mod process;
#[path = "transports/proxy.rs"]
mod proxy;
#[path = "transports/records.rs"]
mod records;
#[path = "transports/secure.rs"]
mod secure;
#[path = "transports/tls.rs"]
mod tls;
#[path = "transports/websocket.rs"]
mod websocket;
