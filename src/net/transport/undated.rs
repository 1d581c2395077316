//! [`Undated`]: checks clients' certificates, but for the dates in them.

use std::{sync::Arc, time::Duration};

use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use x509_cert::{Certificate, der::Decode};

/// Checks as another verifier does, at a time at which the certificate is valid.
#[derive(Debug)]
pub(super) struct Undated(pub Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Undated {
    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let mut verified = self.0.verify_client_cert(certificate, others, now);
        // its authority may have ended before it, or begun after it
        for at in dates(certificate).into_iter().flatten() {
            if !verified.as_ref().is_err_and(is_about_dates) {
                break;
            }
            verified = self.0.verify_client_cert(certificate, others, at);
        }
        verified
    }

    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The last and the first second of a certificate.
fn dates(certificate: &[u8]) -> Option<[UnixTime; 2]> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let validity = certificate.tbs_certificate().validity();
    let at = |since: Duration| UnixTime::since_unix_epoch(since);
    Some([at(validity.not_after.to_unix_duration()), at(validity.not_before.to_unix_duration())])
}

fn is_about_dates(error: &Error) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    matches!(
        error,
        Error::InvalidCertificate(Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
    )
}
