//! What is there in place of HTTP where it is left out (the feature `http`): nothing is served.

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
    types::Endpoint,
};

pub use admission::{Delay, Key, Rules};
pub use bound::{Bound, Socket};
use control::TakeSocket;
pub use control::{
    AddedKey, Asked, BridgeState, Control, Doing, FileProblem, Imported, LoginServiceState, NewPassword, Reloading,
    RuleEdit, RuleShown, RulesShown, Setting, UserShown, WebhookState, Whom,
};
pub use secure::{Accepting, Duplex, Secure};

/// Nothing.
pub struct Admin;

/// A file in which nothing is noted.
pub struct AuditFile;

impl AuditFile {
    /// Nothing is opened.
    pub fn open(_: &Path) -> io::Result<Self> {
        Ok(Self)
    }
}

/// To nothing.
#[derive(Clone)]
pub struct Handle;

impl Handle {
    /// Nobody is let in.
    pub fn replace(&self, _: Rules) {}

    /// Nobody is let in.
    pub fn logins_changed(&self) {}
}

impl Admin {
    /// Nothing is served; an error if something should be.
    pub fn start(bound: Vec<Bound>, _: Rules, _: Option<Arc<dyn Secure>>, _: Clock) -> io::Result<Self> {
        match bound.is_empty() {
            true => Ok(Self),
            false => Err(io::Error::other("this dunlin was built without HTTP (the feature `http`)")),
        }
    }

    /// There is nothing to serve.
    pub(crate) fn serve_by_another(&mut self) {}

    /// Nowhere.
    pub fn endpoints(&self) -> &[Endpoint] {
        &[]
    }

    /// Nobody is told.
    pub fn restored(&self, _: Arc<Router>, _: Arc<dyn Fn(Duration) -> bool + Send + Sync>) {}

    /// Nobody looks.
    pub fn observers(&self) -> Vec<Arc<dyn Observe>> {
        Vec::new()
    }

    /// Nobody acts.
    pub fn serves(&self, _: Arc<Operator>, _: Arc<Inside>, _: Arc<EventStreams>, _: Arc<dyn Control>) {}

    /// Nobody asks for it.
    pub fn adopts(&self, _: TakeSocket) {}

    /// Nobody is told.
    pub fn listening(&self) {}

    /// Nobody is told.
    pub fn certificates(&self, _: Vec<(String, SystemTime)>) {}

    /// Nothing is spoken.
    pub fn secure(&self, _: Option<Arc<dyn Secure>>) {}

    /// Nobody is told.
    pub fn stopping(&self) {}

    /// Nobody is let in.
    pub fn replace(&self, _: Rules) -> Vec<String> {
        Vec::new()
    }

    /// Nothing is noted.
    pub fn audit_to(&self, _: Option<AuditFile>, _: bool) {}

    /// Nothing is noted.
    pub fn reopen_audit(&self) {}

    /// To nothing.
    pub fn handle(&self) -> Handle {
        Handle
    }

    /// Nobody is told.
    pub fn reloaded(&self, _: bool) {}
}
