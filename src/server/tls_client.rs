//! TLS of the commands that ask a broker: `dunlin health` and `dunlin ctl`.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_rustls::rustls::{
    self, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

/// Which certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Any: the program that asks tells no secret, and only wants to know whether something answers.
    Any,
    /// Those that the authorities in this file have signed (PEM), for the name that is asked.
    Authorities(PathBuf),
    /// The first one in this file, which is the broker's own.
    This(PathBuf),
}

/// TLS with what listens there. The handshake is done with the first bytes.
pub(super) fn secured(socket: TcpStream, host: &str, trust: &Trust) -> io::Result<impl Read + Write + use<>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(io::Error::other)?;
    let believed = match trust {
        Trust::Any => Believed::Any,
        Trust::This(file) => Believed::This(certificates(file)?.swap_remove(0)),
        Trust::Authorities(file) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(file)? {
                roots.add(authority).map_err(|error| about(file, &error))?;
            }
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            Believed::Signed(builder.build().map_err(|error| about(file, &error))?)
        }
    };
    let verifier = Arc::new(Verifier { believed, provider });
    let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, socket))
}

/// At least one.
fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|error| about(file, &error))?;
    if all.is_empty() { Err(about(file, &"it has no certificate in it")) } else { Ok(all) }
}

fn about(file: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", file.display()))
}

/// Judges a broker's certificate.
#[derive(Debug)]
struct Verifier {
    believed: Believed,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Believed {
    Any,
    /// Accepts any name and any dates.
    This(CertificateDer<'static>),
    Signed(Arc<WebPkiServerVerifier>),
}

const ANOTHER: &str =
    "its certificate is not the one in http.certificate_file; reload the broker, or give --ca with its authority";

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.believed {
            Believed::Any => Ok(ServerCertVerified::assertion()),
            Believed::This(known) if known == shown => Ok(ServerCertVerified::assertion()),
            Believed::This(_) => Err(rustls::Error::General(ANOTHER.into())),
            Believed::Signed(verifier) => {
                let verify = |name: &ServerName<'_>| verifier.verify_server_cert(shown, others, name, ocsp, now);
                let is_this_machine =
                    matches!(name, ServerName::IpAddress(ip) if IpAddr::from(*ip).to_canonical().is_loopback());
                match (verify(name), ServerName::try_from("localhost")) {
                    // the configured address may differ from the names in the certificate
                    (Err(_), Ok(localhost)) if is_this_machine => verify(&localhost),
                    (verified, _) => verified,
                }
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
