//! [`ServiceSettings`]: the options of a login service.

use std::{path::PathBuf, time::Duration};

use crate::types::Secret;

/// A service that decides logins over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Name of the service.
    pub name: String,
    /// Its URL, with variables in path and query.
    pub url: String,
    /// Format of its answers.
    pub format: ServiceFormat,
    /// With [`ServiceFormat::GoAuth`]: the URL that is asked whether a user is a superuser; `None`: no user is.
    pub superuser_url: Option<String>,
    /// URL that is asked about topics, by mosquitto-go-auth; `None`: the rules of the broker decide.
    pub aclcheck_url: Option<String>,
    /// Sends GET instead of POST.
    pub get: bool,
    /// Headers as `Name: value`, with variables in the values.
    pub headers: Vec<Secret>,
    /// The body of a POST, with variables; `None`: names, password and address.
    pub body: Option<String>,
    /// Time limit for an answer.
    pub timeout: Duration,
    /// Largest number of concurrent requests.
    pub max_requests: usize,
    /// How long an accepted login is cached.
    pub cache_yes: Duration,
    /// How long a refused login is cached.
    pub cache_no: Duration,
    /// How much longer an accepted login is cached while the service is down.
    pub stale_while_down: Duration,
    /// While the service is down, the next login method decides.
    pub next_if_down: bool,
    /// The authorities that sign its certificate; `None`: those of this machine.
    pub authorities: Option<PathBuf>,
}

/// Format of a service's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceFormat {
    /// EMQX.
    Emqx,
    /// mosquitto-go-auth.
    GoAuth(GoAuthAnswer),
    /// Token introspection (RFC 7662).
    Introspection,
}

/// How a service for mosquitto-go-auth accepts a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoAuthAnswer {
    /// With a status 2xx.
    Status,
    /// With `{"ok": true}`.
    Json,
    /// With the text `ok`.
    Text,
}
