//! [`Settings`]: the options of authentication and authorization.

use std::{path::PathBuf, time::Duration};

use super::{
    http::ServiceSettings, in_memory::InMemory, own::OwnFiles, tokens::TokenSettings, variable_user::VariableUser,
};
use crate::types::LoginWay;

/// The configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `auth.order`.
    pub order: [LoginWay; 3],
    /// `[[auth.http]]`.
    pub services: Vec<ServiceSettings>,
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

impl Default for Settings {
    fn default() -> Self {
        Self {
            order: [LoginWay::Token, LoginWay::Files, LoginWay::Http],
            services: Vec::new(),
            allow_anonymous: None,
            other_login: None,
            password_file: None,
            scram_from_password_file: false,
            variable_user: None,
            acl_file: None,
            in_memory: InMemory::default(),
            dynsec_file: None,
            own: Vec::new(),
            denied_publish_disconnects: false,
            failed_login_delay: None,
            certificate_names: false,
            tokens: TokenSettings::default(),
        }
    }
}

/// A login other than by password file or token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherLogin {
    /// A listener requests certificates from its clients.
    Certificates,
    /// The embedding program authenticates clients.
    PlugIn,
}
