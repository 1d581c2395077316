//! [`Judges`]: after a reload with other authorities or revocation lists, the certificates of connected clients are
//! verified again.

use std::{collections::HashMap, sync::Arc};

use tokio_rustls::rustls::{ServerConnection, server::danger::ClientCertVerifier};

use super::tls::TlsSettings;

/// The current settings for client certificates, as far as they changed.
#[derive(Default)]
pub(crate) struct Judges {
    /// Number of changes.
    changes: u32,
    /// By the listener's number.
    settings: HashMap<u16, TlsSettings>,
}

/// The settings that a client's certificate was verified with.
pub(crate) struct Judged {
    /// The client's listener.
    listener: u16,
    changes: u32,
    by: Option<Arc<dyn ClientCertVerifier>>,
}

impl Judges {
    /// Sets the settings for the clients of a listener.
    pub(crate) fn change(&mut self, listener: u16, settings: TlsSettings) {
        self.changes = self.changes.wrapping_add(1);
        self.settings.insert(listener, settings);
    }
}

impl Judged {
    /// For a handshake with these settings.
    pub(crate) fn by(settings: &TlsSettings, listener: u16) -> Self {
        Self { listener, changes: 0, by: settings.verifier.clone() }
    }

    /// Is the certificate still valid? The error has the reason. Costs nothing while nothing changes.
    #[inline]
    pub(crate) fn again(&mut self, judges: &Judges, connection: &ServerConnection) -> Result<(), Box<str>> {
        if judges.changes == self.changes {
            return Ok(());
        }
        self.changes = judges.changes;
        self.judge(judges, connection)
    }

    #[cold]
    fn judge(&mut self, judges: &Judges, connection: &ServerConnection) -> Result<(), Box<str>> {
        let Some(settings) = judges.settings.get(&self.listener) else { return Ok(()) };
        let before = std::mem::replace(&mut self.by, settings.verifier.clone());
        let Some(verifier) = &settings.verifier else { return Ok(()) };
        if before.is_some_and(|before| Arc::ptr_eq(&before, verifier)) {
            return Ok(());
        }
        let Some((shown, others)) = connection.peer_certificates().and_then(<[_]>::split_first) else { return Ok(()) };
        let now = settings.config.time_provider.current_time().ok_or("the time is not known")?;
        verifier.verify_client_cert(shown, others, now).map(drop).map_err(|error| error.to_string().into())
    }
}
