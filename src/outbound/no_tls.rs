//! Replaces [`ClientTls`] in a build without TLS (the feature `tls`).

use super::target::{Target, TlsOptions};

/// Has no values.
#[derive(Clone, Copy)]
pub enum ClientTls {}

/// `None`: the transport of this target has no TLS.
pub(crate) fn load_tls(target: &Target, _: &TlsOptions) -> Result<Option<ClientTls>, String> {
    match target.transport.has_tls() {
        true => Err("this dunlin was built without TLS (the feature `tls`)".into()),
        false => Ok(None),
    }
}
