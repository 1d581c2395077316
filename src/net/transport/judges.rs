//! [`Judges`]: after a reload with other authorities or revocation lists, the certificates of connected clients are
//! verified again.

use std::{collections::HashMap, sync::Arc};

use tokio_rustls::rustls::{ServerConnection, server::danger::ClientCertVerifier};

use super::tls::TlsSettings;

/// How clients' certificates are judged by now, as far as that changed.
#[derive(Default)]
pub(crate) struct Judges {
    /// How often it changed.
    changes: u32,
    /// By the listener's number.
    settings: HashMap<u16, TlsSettings>,
}

/// By what a client's certificate was found good.
pub(crate) struct Judged {
    /// Of the client's listener.
    listener: u16,
    changes: u32,
    by: Option<Arc<dyn ClientCertVerifier>>,
}

impl Judges {
    /// A listener's clients are judged by these settings from now on.
    pub(crate) fn change(&mut self, listener: u16, settings: TlsSettings) {
        self.changes = self.changes.wrapping_add(1);
        self.settings.insert(listener, settings);
    }
}

impl Judged {
    /// In a handshake by these settings.
    pub(crate) fn by(settings: &TlsSettings, listener: u16) -> Self {
        Self { listener, changes: 0, by: settings.verifier.clone() }
    }

    /// Would the certificate still be good? The error says why not. Costs nothing while nothing changes.
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
