//! Transports, as clients see them: TLS, WebSocket, Unix sockets, the PROXY protocol; and listeners that open and
//! close.

mod forwarded;
mod listeners;
mod process;
mod proxy;
mod records;
mod tls;
pub mod websocket;
