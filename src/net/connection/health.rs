//! The connections of `dunlin health`, which a container's runtime makes every few seconds. They are logged only at
//! debug, and do not affect other clients.

use super::{
    super::{transport::Stream, worker::Worker},
    task::Connection,
};
pub use crate::router::HEALTH_CHECK;
use crate::{
    codec::{Connect, PacketType},
    session::{CloseReason, ProtocolError},
    types::ClientId,
};

impl<S: Stream> Connection<S> {
    /// Is this the CONNECT of a health check? It comes from this machine and has nothing but its Client Identifier.
    pub(crate) fn is_health_check(&self, worker: &Worker, connect: &Connect<'_>) -> bool {
        connect.client_id == HEALTH_CHECK
            && connect.clean_session
            && connect.will.is_none()
            && connect.username.is_none()
            && connect.password.is_none()
            && self.socket.certificate_name().is_none()
            && worker.shared.lines.is_from_here(&self.peer())
    }

    /// A unique Client Identifier, so that a check takes over neither another check nor a client's session.
    pub(crate) fn health_check_id(worker: &Worker) -> ClientId {
        worker.shared.router.generated_client_id(HEALTH_CHECK)
    }

    /// A connection that began as a health check sent another packet: only DISCONNECT is allowed.
    #[cold]
    pub(crate) fn is_no_health_check(&self, begins: Option<&u8>) -> Result<(), CloseReason> {
        match begins {
            Some(first) if first >> 4 == PacketType::Disconnect as u8 => Ok(()),
            _ => Err(ProtocolError::HealthCheck.into()),
        }
    }
}
