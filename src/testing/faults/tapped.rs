//! [`Tapped`]: puts a wire into every connection.

use std::sync::Arc;

use super::{set::Faults, wire::Wire};
use crate::{
    net::{Stream, Tap},
    router::Peer,
};

/// Puts a wire into every connection.
pub(in super::super) struct Tapped(pub(in super::super) Arc<Faults>);

impl Tap for Tapped {
    fn tap(&self, mut socket: Box<dyn Stream + Send>, _: &Peer) -> Option<Box<dyn Stream + Send>> {
        if self.0.refuses() {
            socket.reset_at_close();
            return None;
        }
        Some(Box::new(Wire::new(socket, self.0.clone())))
    }
}
