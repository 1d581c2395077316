//! Transports, as clients see them: TLS, WebSocket, Unix sockets, the PROXY protocol; and listeners that open and close.

#[path = "../support/mod.rs"]
mod support;

mod forwarded;
mod listeners;
mod process;
mod proxy;
mod records;
#[path = "../support/secure.rs"]
mod secure;
mod tls;
mod websocket;
