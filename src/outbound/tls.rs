//! [`ClientTls`]: the settings of TLS as a client, read from files.

use std::{fs, path::Path, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::{
    line::ConnectError,
    target::{Target, TlsOptions},
};
use crate::{
    pem::{TlsError, authorities, certificates, missing, mode_warning, private_key, unusable, validity},
    types::Contents,
};

/// Verified TLS settings for one server.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

impl ClientTls {
    /// Reads all files. Returns warnings about settings that work but are probably mistakes. `http`: WebSocket or HTTP
    /// is spoken above TLS.
    pub fn load(options: &TlsOptions, http: bool) -> Result<(Self, Vec<String>), TlsError> {
        let TlsOptions { authorities: given, own, alpn, any_name } = options;
        let (mut contents, mut warnings) = (Contents::default(), Vec::new());
        let file = match given {
            Some(file) => file.as_path(),
            None => of_this_machine()?,
        };
        let mut roots = RootCertStore::empty();
        let all = authorities(file, "CA", &mut contents)?;
        // a machine's list may contain unusable certificates
        match given {
            Some(_) => all.into_iter().try_for_each(|one| roots.add(one)).map_err(|error| unusable(file, &error))?,
            None => _ = roots.add_parsable_certificates(all),
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(file, &error))?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.map_err(|error| unusable(file, &error))?;
        let builder = match any_name {
            true => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName(verifier))),
            false => builder.with_webpki_verifier(verifier),
        };
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate, "certificate", &mut contents)?;
                warnings.extend(validity(certificate, &chain[0])?.1);
                warnings.extend(mode_warning(key));
                let private = private_key(key, &mut contents)?;
                builder.with_client_auth_cert(chain, private).map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => {
                        TlsError::Mismatch { key: key.clone(), certificate: certificate.clone() }
                    }
                    rustls::Error::General(_) => unusable(key, &error),
                    error => unusable(certificate, &error),
                })?
            }
        };
        let offered = alpn.as_deref().or(http.then_some("http/1.1"));
        config.alpn_protocols = offered.into_iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok((Self { config: Arc::new(config) }, warnings))
    }

    /// Does the handshake.
    pub(super) async fn connect(&self, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, ConnectError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Name(host.into()))?;
        TlsConnector::from(self.config.clone()).connect(name, tcp).await.map_err(ConnectError::Tls)
    }
}

/// TLS for connections to this target; `None`: its transport has none. The error says what is wrong with the files.
pub(crate) fn load_tls(target: &Target, options: &TlsOptions) -> Result<Option<ClientTls>, String> {
    if !target.transport.has_tls() {
        return Ok(None);
    }
    let loaded = ClientTls::load(options, target.transport.has_websocket());
    loaded.map(|(tls, _)| Some(tls)).map_err(|error| error.to_string())
}

/// Places where systems keep the authorities that they trust.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

fn of_this_machine() -> Result<&'static Path, TlsError> {
    let found = BUNDLES.iter().map(Path::new).find(|path| fs::metadata(path).is_ok_and(|about| about.is_file()));
    found.ok_or_else(|| {
        missing(Path::new(BUNDLES[0]), "list of authorities", "install ca-certificates, or write ca_file = \"FILE\"")
    })
}

/// Verifies everything but the host name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // the name is verified last
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
