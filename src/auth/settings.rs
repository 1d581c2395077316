//! [`Settings`]: the options of authentication and authorization.

use std::{path::PathBuf, time::Duration};

use super::{in_memory::InMemory, own::OwnFiles, tokens::TokenSettings, variable_user::VariableUser};

/// The configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Are clients without a user name accepted? `None`: on loopback listeners, and not even there once a login is
    /// configured.
    pub allow_anonymous: Option<bool>,
    /// A login that is checked elsewhere.
    pub other_login: Option<OtherLogin>,
    /// `auth.password_file`.
    pub password_file: Option<PathBuf>,
    /// `auth.scram_from_password_file`: lines of `mosquitto_passwd` also serve SCRAM-SHA-512.
    pub scram_from_password_file: bool,
    /// A user from environment variables.
    pub variable_user: Option<VariableUser>,
    /// `auth.acl_file`.
    pub acl_file: Option<PathBuf>,
    /// Users and rules without a file.
    pub in_memory: InMemory,
    /// `auth.dynsec_file`.
    pub dynsec_file: Option<PathBuf>,
    /// The files of listeners with their own, without repetition.
    pub own: Vec<OwnFiles>,
    /// A forbidden PUBLISH disconnects the client.
    pub denied_publish_disconnects: bool,
    /// The least delay of refusals after failed logins from one address; `None`: no delay.
    pub failed_login_delay: Option<Duration>,
    /// A listener takes user names from certificates.
    pub certificate_names: bool,
    /// `auth.token_…`.
    pub tokens: TokenSettings,
}

/// A login other than by password file or token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherLogin {
    /// A listener requests certificates from its clients.
    Certificates,
    /// The embedding program authenticates clients.
    PlugIn,
}
