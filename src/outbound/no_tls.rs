//! What is there in place of TLS where it is left out (the feature `tls`): there are no settings for it.

/// There are none.
#[derive(Clone, Copy)]
pub enum ClientTls {}
