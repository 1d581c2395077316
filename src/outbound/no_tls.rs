//! Replaces [`ClientTls`] in a build without TLS (the feature `tls`).

/// Has no values.
#[derive(Clone, Copy)]
pub enum ClientTls {}
