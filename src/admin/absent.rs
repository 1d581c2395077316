//! Replaces HTTP in a build without it (the feature `http`). The configuration may not serve anything then.

#[path = "admission.rs"]
mod admission;
#[path = "bound.rs"]
mod bound;
#[path = "control.rs"]
mod control;
#[path = "secure.rs"]
mod secure;

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    clock::Clock,
    inside::Inside,
    router::{
        Observe, Router,
        inspect::{EventStreams, Operator},
    },
    trace::Traces,
    types::Endpoint,
};

pub use admission::{Delay, Key, Rules};
pub use bound::{Bound, Socket};
use control::TakeSocket;
pub use control::{
    AddedKey, Asked, BridgeState, Control, Doing, FileProblem, Imported, LoginServiceState, NewPassword, Reloading,
    RuleEdit, RuleShown, RulesShown, Setting, SinkState, TokenKeysState, UserShown, WebhookState, Whom,
};
pub use secure::{Accepting, Duplex, Secure};

/// Serves nothing.
pub struct Admin;

/// Is never written.
pub struct AuditFile;

impl AuditFile {
    /// Opens nothing, and succeeds.
    pub fn open(_: &Path) -> io::Result<Self> {
        Ok(Self)
    }
}

/// Has no state.
#[derive(Clone)]
pub struct Handle;

impl Handle {
    /// Does nothing.
    pub fn replace(&self, _: Rules) {}

    /// Does nothing.
    pub fn logins_changed(&self) {}
}

impl Admin {
    /// Serves nothing; an error if there is a socket to serve.
    pub fn start(bound: Vec<Bound>, _: Rules, _: Option<Arc<dyn Secure>>, _: Clock) -> io::Result<Self> {
        match bound.is_empty() {
            true => Ok(Self),
            false => Err(io::Error::other("this dunlin was built without HTTP (the feature `http`)")),
        }
    }

    /// Does nothing.
    pub(crate) fn serve_by_another(&mut self) {}

    /// Returns nothing.
    pub fn endpoints(&self) -> &[Endpoint] {
        &[]
    }

    /// Does nothing.
    pub fn restored(&self, _: Arc<Router>, _: Arc<dyn Fn(Duration) -> bool + Send + Sync>) {}

    /// Returns nothing.
    pub fn observers(&self) -> Vec<Arc<dyn Observe>> {
        Vec::new()
    }

    /// Does nothing.
    pub fn serves(&self, _: Arc<Operator>, _: Arc<Inside>, _: (Arc<EventStreams>, Arc<Traces>), _: Arc<dyn Control>) {}

    /// Does nothing.
    pub fn adopts(&self, _: TakeSocket) {}

    /// Does nothing.
    pub fn listening(&self) {}

    /// Does nothing.
    pub fn certificates(&self, _: Vec<(String, SystemTime)>) {}

    /// Does nothing.
    pub fn secure(&self, _: Option<Arc<dyn Secure>>) {}

    /// Does nothing.
    pub fn stopping(&self) {}

    /// Does nothing.
    pub fn replace(&self, _: Rules) -> Vec<String> {
        Vec::new()
    }

    /// Does nothing.
    pub fn audit_to(&self, _: Option<AuditFile>, _: bool) {}

    /// Does nothing.
    pub fn reopen_audit(&self) {}

    /// Returns an empty handle.
    pub fn handle(&self) -> Handle {
        Handle
    }

    /// Does nothing.
    pub fn reloaded(&self, _: bool) {}
}
