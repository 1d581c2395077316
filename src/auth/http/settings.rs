//! [`ServiceSettings`]: the options of a service that is asked about logins.

use std::{path::PathBuf, time::Duration};

use crate::types::Secret;

/// A service that is asked about logins over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSettings {
    /// What it is called.
    pub name: String,
    /// Where it is, with variables of the login in path and query.
    pub url: String,
    /// What its answers look like.
    pub format: ServiceFormat,
    /// With [`ServiceFormat::GoAuth`]: where it is asked whether a user is a superuser; `None`: nobody is.
    pub superuser_url: Option<String>,
    /// Its requests are GET; otherwise POST.
    pub get: bool,
    /// Headers as `Name: value`, with variables in the values.
    pub headers: Vec<Secret>,
    /// The body of a POST, with variables; `None`: names, password and address.
    pub body: Option<String>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Requests at the same time, at most.
    pub max_requests: usize,
    /// How long an accepted login is known.
    pub cache_yes: Duration,
    /// How long a refused one is.
    pub cache_no: Duration,
    /// How much longer an accepted login is known while the service is down.
    pub stale_while_down: Duration,
    /// While it is down, the ways behind it decide.
    pub next_if_down: bool,
    /// The authorities of its certificate; `None`: those of this machine.
    pub authorities: Option<PathBuf>,
}

/// What the answers of a service look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceFormat {
    /// As EMQX understands them.
    Emqx,
    /// As mosquitto-go-auth understands them.
    GoAuth(GoAuthAnswer),
}

/// How a service for mosquitto-go-auth says yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoAuthAnswer {
    /// By the status 2xx.
    Status,
    /// By `{"ok": true}`.
    Json,
    /// By the text `ok`.
    Text,
}
