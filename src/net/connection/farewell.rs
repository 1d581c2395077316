//! [`Farewell`]: how far a client is served while the server shuts down.

use crate::codec::PacketType;

/// How far a client is served while the server shuts down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Nothing is on its way in either direction, as far as is known.
    Idle,
    /// Something was, since the shutdown began.
    Busy,
    /// The client has to acknowledge or to read, so that more can be sent: it is waited for until `Open::until`.
    Waiting,
    /// All was written, and the end of it too: the client's own end is awaited, until then as well. To close before it
    /// has come could undo what was written, for a close while bytes arrive resets the connection.
    Written,
}

impl Farewell {
    /// A packet came while the server shuts down. `true`: it is handled, as it says how far an exchange that began
    /// before is, or that the client leaves.
    pub(crate) fn heard(&mut self, packet: PacketType) -> bool {
        use PacketType::{Disconnect, Pingreq, Puback, Pubcomp, Pubrec, Pubrel};
        if let (Self::Waiting, Puback | Pubrec | Pubcomp) = (*self, packet) {
            *self = Self::Busy;
        }
        matches!(packet, Puback | Pubrec | Pubrel | Pubcomp | Pingreq | Disconnect)
    }
}
