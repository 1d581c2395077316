//! The connections of `dunlin health`, which a container's runtime makes every few seconds: they leave no line in the
//! log above debug, and meet no other client.

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
    /// Is this the CONNECT of a health check? It comes from this machine and says nothing else than its identifier.
    pub(crate) fn is_health_check(&self, worker: &Worker, connect: &Connect<'_>) -> bool {
        connect.client_id == HEALTH_CHECK
            && connect.clean_session
            && connect.will.is_none()
            && connect.username.is_none()
            && connect.password.is_none()
            && self.socket.certificate_name().is_none()
            && worker.shared.lines.is_from_here(&self.peer())
    }

    /// A Client Identifier that no other connection has: a check takes over neither another check nor a client's
    /// session.
    pub(crate) fn health_check_id(worker: &Worker) -> ClientId {
        worker.shared.router.generated_client_id(HEALTH_CHECK)
    }

    /// A client that began as a health check does sends something more: it may leave, and do nothing else.
    #[cold]
    pub(crate) fn is_no_health_check(&self, begins: Option<&u8>) -> Result<(), CloseReason> {
        match begins {
            Some(first) if first >> 4 == PacketType::Disconnect as u8 => Ok(()),
            _ => Err(ProtocolError::HealthCheck.into()),
        }
    }
}
