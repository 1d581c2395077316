//! The connections of `dunlin health`, which a container's runtime makes every few seconds: they leave no line in the
//! log above debug, and meet no other client.

use super::{
    super::{
        transport::Stream,
        worker::{Beginning, Worker},
    },
    task::{Connection, Phase},
};
use crate::{codec::Connect, types::ClientId};

/// The Client Identifier of a health check.
pub const HEALTH_CHECK: &str = "$health";

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

    /// A client that began as a health check does sent something more: it is logged as any other from now on.
    #[cold]
    pub(crate) fn is_no_health_check(&self, worker: &Worker) {
        let peer = self.peer();
        let Phase::Open(open) = &self.phase else { return };
        let beginning = Beginning { clean_session: true, session_present: false, keep_alive: open.keep_alive };
        worker.shared.lines.connected(&peer, &(&open.client).into(), &beginning);
    }
}
