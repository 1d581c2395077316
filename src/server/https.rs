//! [`Https`]: TLS of the HTTP side, read from its files.

use std::{sync::Arc, time::SystemTime};

use thiserror::Error;
#[cfg(feature = "tls")]
use tokio::net::TcpStream;
#[cfg(feature = "tls")]
use tokio_rustls::TlsAcceptor;

use crate::{admin::Secure, config::HttpConfig, net::TlsError, types::Contents};
#[cfg(feature = "tls")]
use crate::{
    admin::{Accepting, Duplex},
    net::{TlsFiles, TlsSettings},
};

/// Why TLS cannot be spoken.
#[derive(Debug, Error)]
pub enum HttpsError {
    /// A certificate without a key, or the reverse.
    #[error("http.{there} is there without http.{missing}: TLS needs both; write the other one below [http], too")]
    OnlyOneFile {
        /// The current key.
        there: &'static str,
        /// The key that is not.
        missing: &'static str,
    },
    /// Its files are not as they should be.
    #[error("http.certificate_file: {0}")]
    Files(#[from] TlsError),
}

/// TLS of the HTTP side.
#[derive(Clone, Default)]
pub(super) struct Https {
    /// `None`: it speaks no TLS.
    pub(super) secure: Option<Arc<dyn Secure>>,
    pub(super) contents: Contents,
    /// When its certificate ends.
    pub(super) expires: Option<SystemTime>,
    /// What works and is not as it should be.
    pub(super) warnings: Vec<String>,
}

impl Https {
    /// Reads the files that the configuration names.
    pub(super) fn read(http: &HttpConfig) -> Result<Self, HttpsError> {
        match (&http.certificate_file, &http.key_file) {
            (None, None) => Ok(Self::default()),
            (Some(_), None) => Err(HttpsError::OnlyOneFile { there: "certificate_file", missing: "key_file" }),
            (None, Some(_)) => Err(HttpsError::OnlyOneFile { there: "key_file", missing: "certificate_file" }),
            #[cfg(not(feature = "tls"))]
            (Some(_), Some(_)) => Err(TlsError.into()),
            #[cfg(feature = "tls")]
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (certificate.clone(), key.clone());
                let files = TlsFiles { certificate, key, clients: None, http: true, only_1_3: false, key_log: None };
                let (settings, warnings) = TlsSettings::load(&files)?;
                let (contents, expires) = (settings.contents().clone(), Some(settings.expires()));
                let secure: Arc<dyn Secure> = Arc::new(Acceptor(TlsAcceptor::from(settings.config)));
                Ok(Self { secure: Some(secure), contents, expires, warnings })
            }
        }
    }
}

#[cfg(feature = "tls")]
struct Acceptor(TlsAcceptor);

#[cfg(feature = "tls")]
impl Secure for Acceptor {
    fn accept(&self, socket: TcpStream) -> Accepting {
        let accepting = self.0.accept(socket);
        Box::pin(async { Ok(Box::new(accepting.await?) as Box<dyn Duplex>) })
    }
}
