//! [`Farewell`]: how far a client is served while the server shuts down.

use crate::codec::PacketType;

/// The state of a client while the server shuts down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// As far as known, nothing is in flight in either direction.
    Idle,
    /// Something was in flight since the shutdown began.
    Busy,
    /// More can be sent only after the client acknowledges or reads. Wait for that until `Open::until`.
    Waiting,
    /// Everything was written, including the end. Wait for the client's end, also until `Open::until`: closing a socket
    /// that still receives bytes resets it, and the client could lose output.
    Written,
}

impl Farewell {
    /// Handles the arrival of a packet during shutdown. `true`: it belongs to an exchange that began before, or is a
    /// DISCONNECT, and is handled.
    pub(crate) fn heard(&mut self, packet: PacketType) -> bool {
        use PacketType::{Disconnect, Pingreq, Puback, Pubcomp, Pubrec, Pubrel};
        if let (Self::Waiting, Puback | Pubrec | Pubcomp) = (*self, packet) {
            *self = Self::Busy;
        }
        matches!(packet, Puback | Pubrec | Pubrel | Pubcomp | Pingreq | Disconnect)
    }
}
