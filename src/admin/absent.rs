//! What is there in place of HTTP where it is left out (the feature `http`): nothing is served.

#[path = "control.rs"]
mod control;

use std::{any::Any, io, net::TcpListener, os::unix::net::UnixListener, sync::Arc, time::Duration, time::SystemTime};

use crate::{
    clock::Clock,
    inside::Inside,
    router::{
        Observe, Router,
        inspect::{EventStreams, Operator},
    },
    types::{Endpoint, Role},
};

pub use control::{Asked, Control, Reloading, Setting};

/// Nothing.
pub struct Admin;

/// A socket that listens.
pub struct Bound {
    /// The socket.
    pub socket: Socket,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// What is kept for as long as it listens.
    pub kept: Option<Box<dyn Any + Send>>,
    /// Are the health checks alone served on it?
    pub checks_alone: bool,
}

/// One of either kind.
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// Who would be let in.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Everybody on this machine.
    pub open: bool,
    /// Users, with their roles.
    pub users: Vec<(String, Role)>,
    /// Are metrics read without a login?
    pub metrics_open: bool,
    /// Names of this server.
    pub allowed_hosts: Vec<String>,
}

impl Admin {
    /// Nothing is served; an error if something should be.
    pub fn start(bound: Vec<Bound>, _: Rules, _: Clock) -> io::Result<Self> {
        match bound.is_empty() {
            true => Ok(Self),
            false => Err(io::Error::other("this dunlin was built without HTTP (the feature `http`)")),
        }
    }

    /// Nowhere.
    pub fn endpoints(&self) -> &[Endpoint] {
        &[]
    }

    /// Nobody is told.
    pub fn restored(&self, _: Arc<Router>, _: Arc<dyn Fn(Duration) -> bool + Send + Sync>) {}

    /// Nobody looks.
    pub fn observer(&self) -> Option<Arc<dyn Observe>> {
        None
    }

    /// Nobody acts.
    pub fn serves(&self, _: Arc<Operator>, _: Arc<Inside>, _: Arc<EventStreams>, _: Arc<dyn Control>) {}

    /// Nobody is told.
    pub fn listening(&self) {}

    /// Nobody is told.
    pub fn certificates(&self, _: Vec<(String, SystemTime)>) {}

    /// Nobody is told.
    pub fn stopping(&self) {}

    /// Nobody is let in.
    pub fn replace(&self, _: Rules) {}

    /// Nobody is told.
    pub fn reloaded(&self, _: bool) {}
}
