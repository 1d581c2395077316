//! How logins are looked at: [`LoginWay`] and the variables of a login in the texts of services.

/// A way to decide about a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginWay {
    /// Users of this broker.
    Files,
    /// A token as the password.
    Token,
    /// Services that are asked over HTTP.
    Http,
}

/// Variables of a login: in `${…}`, in the URL, the headers and the body of a request to a service.
pub const LOGIN_VARIABLES: &[&str] = &["username", "clientid", "password", "peerhost", "protocol_version"];
