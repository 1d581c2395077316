//! [`TlsSettings`]: the TLS settings of a listener, read from files. Errors in the files are found before a listener is
//! opened or changed.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use thiserror::Error;
use tokio_rustls::rustls::{
    self, RootCertStore, ServerConfig,
    pki_types::{CertificateRevocationListDer, UnixTime, pem::PemObject},
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
    time_provider::TimeProvider,
    version::{TLS12, TLS13},
};
use x509_cert::{
    Certificate,
    certificate::Rfc5280,
    crl::CertificateList,
    der::Decode,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use super::{key_log::KeyLogFile, subject, undated::Undated};
pub use crate::pem::TlsError;
use crate::{
    clock::Clock,
    pem::{authorities, certificates, missing, mode_warning, not_pem, private_key, read, unusable, validity},
    types::Contents,
};

/// The TLS files of a listener, and its requirements for clients.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate chain, beginning with the broker's certificate; PEM.
    pub certificate: PathBuf,
    /// The private key of the certificate; PEM.
    pub key: PathBuf,
    /// Are clients asked for certificates?
    pub clients: Option<ClientFiles>,
    /// For WebSocket: clients negotiate HTTP.
    pub http: bool,
    /// Without TLS 1.2.
    pub only_1_3: bool,
    /// A file to which the secrets of connections are written.
    pub key_log: Option<PathBuf>,
}

/// How clients' certificates are checked.
#[derive(Clone, Debug)]
pub struct ClientFiles {
    /// The certificates of the authorities that sign them; PEM, or a directory of such files.
    pub authorities: PathBuf,
    /// Clients without a certificate are not served.
    pub required: bool,
    /// Revocation lists; PEM.
    pub revoked: Option<PathBuf>,
    /// The part of the certificate that is the user name.
    pub name: Option<CertificateName>,
    /// Are those accepted that are not valid yet, or not any more?
    pub undated: bool,
}

/// The part of a certificate that is a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// The Common Name of its subject.
    CommonName,
    /// The whole subject, as OpenSSL and mosquitto write it (RFC 2253).
    Subject,
    /// The first DNS name among its Subject Alternative Names.
    Dns,
    /// The first URI among them.
    Uri,
}

/// Why a certificate has no user name.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum NameError {
    #[error("the client's certificate has no name that could be its user name (identity)")]
    None,
    #[error("the name in the client's certificate has a NUL character in it, which no user name may have (identity)")]
    Nul,
}

/// Complete settings: everything is read and consistent.
#[derive(Clone)]
pub struct TlsSettings {
    pub(crate) config: Arc<ServerConfig>,
    /// For client certificates, if they are requested.
    pub(crate) verifier: Option<Arc<dyn ClientCertVerifier>>,
    pub(crate) name: Option<CertificateName>,
    pub(crate) contents: Contents,
    /// When the broker's certificate expires.
    pub(crate) expires: SystemTime,
}

impl TlsSettings {
    /// Reads all files. Problems that are not errors are returned as warnings: a certificate that is not valid now, a
    /// key that others may read, a revocation list that is out of date.
    pub fn load(files: &TlsFiles) -> Result<(Self, Vec<String>), TlsError> {
        let mut contents = Contents::default();
        let chain = certificates(&files.certificate, "certificate", &mut contents)?;
        let key = private_key(&files.key, &mut contents)?;
        let mut warnings = Vec::new();
        let (expires, warning) = validity(&files.certificate, &chain[0])?;
        warnings.extend(warning);
        warnings.extend(mode_warning(&files.key));

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = [&TLS13, &TLS12];
        let versions = if files.only_1_3 { &versions[..1] } else { &versions };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| unusable(&files.certificate, &error))?;
        let verifier =
            files.clients.as_ref().map(|clients| verifier(clients, &mut warnings, &mut contents)).transpose()?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Mismatch { key: files.key.clone(), certificate: files.certificate.clone() }
            }
            rustls::Error::General(_) => unusable(&files.key, &error),
            error => unusable(&files.certificate, &error),
        })?;
        if let Some(file) = &files.key_log {
            let opened = KeyLogFile::open(file);
            config.key_log = Arc::new(opened.map_err(|error| TlsError::Unwritable { file: file.clone(), error })?);
            let file = file.display();
            warnings.push(format!(
                "the secrets of TLS connections are written to {file} (--tls-keylog): who can read it can \
                                   read what was recorded of them; leave the flag out when you are done"
            ));
        }
        config.alpn_protocols = vec![if files.http { b"http/1.1".to_vec() } else { b"mqtt".to_vec() }];
        // sessions are resumed by tickets, which need no memory here; new settings have new keys for them, so that a
        // resumed session cannot avoid a new revocation list
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer =
            rustls::crypto::ring::Ticketer::new().map_err(|error| unusable(&files.certificate, &error))?;
        config.time_provider = Arc::new(JudgingTime { written: newest(files) });
        let name = files.clients.as_ref().and_then(|clients| clients.name);
        Ok((Self { config: Arc::new(config), verifier, name, contents, expires }, warnings))
    }

    /// Are clients asked for certificates?
    pub(crate) fn asks_clients(&self) -> bool {
        self.verifier.is_some()
    }

    /// The contents of the files.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// When the certificate expires.
    pub fn expires(&self) -> SystemTime {
        self.expires
    }
}

impl CertificateName {
    /// The name in a certificate (DER).
    pub(crate) fn of(self, certificate: &[u8]) -> Result<Box<str>, NameError> {
        match self.read(certificate) {
            // the only character that no MQTT user name can have [MQTT-1.5.3-2]; others could not be written in a rule
            Some(name) if name.contains('\0') => Err(NameError::Nul),
            Some(name) if !name.is_empty() => Ok(name.into()),
            _ => Err(NameError::None),
        }
    }

    fn read(self, certificate: &[u8]) -> Option<String> {
        let certificate = Certificate::from_der(certificate).ok()?;
        let certificate = certificate.tbs_certificate();
        let names = || Some(certificate.get_extension::<SubjectAltName>().ok()??.1.0);
        match self {
            Self::CommonName => Some(certificate.subject().common_name().ok()??.value().into_owned()),
            Self::Subject => subject::text(certificate.subject()),
            Self::Dns => names()?.into_iter().find_map(|name| match name {
                GeneralName::DnsName(name) => Some(name.as_str().into()),
                _ => None,
            }),
            Self::Uri => names()?.into_iter().find_map(|name| match name {
                GeneralName::UniformResourceIdentifier(name) => Some(name.as_str().into()),
                _ => None,
            }),
        }
    }
}

/// The time for verifying client certificates. If the machine's clock is not set yet, it is the time at which the
/// newest of the listener's files was written.
#[derive(Debug)]
struct JudgingTime {
    written: SystemTime,
}

impl TimeProvider for JudgingTime {
    fn current_time(&self) -> Option<UnixTime> {
        let clock = Clock::system();
        let now = self.at(clock.wall(), clock.is_set());
        now.duration_since(UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}

impl JudgingTime {
    fn at(&self, wall: SystemTime, is_set: bool) -> SystemTime {
        if is_set { wall } else { wall.max(self.written) }
    }
}

/// When the newest of these files was written.
fn newest(files: &TlsFiles) -> SystemTime {
    let clients = files.clients.iter().flat_map(|clients| [Some(&clients.authorities), clients.revoked.as_ref()]);
    let all = [Some(&files.certificate), Some(&files.key)].into_iter().chain(clients).flatten();
    all.filter_map(|file| fs::metadata(file).ok()?.modified().ok()).max().unwrap_or(UNIX_EPOCH)
}

fn verifier(
    clients: &ClientFiles,
    warnings: &mut Vec<String>,
    contents: &mut Contents,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities(&clients.authorities, "client CA", contents)? {
        roots.add(authority).map_err(|error| unusable(&clients.authorities, &error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(file) = &clients.revoked {
        const WHAT: &str = "revocation list";
        let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(&read(file, WHAT, contents)?)
            .collect::<Result<_, _>>()
            .map_err(|error| not_pem(file, WHAT, &error))?;
        if lists.is_empty() {
            return Err(missing(file, WHAT, "it is made by `openssl ca -gencrl`, and begins with BEGIN X509 CRL"));
        }
        if lists.iter().any(is_version_1) {
            return Err(TlsError::OldList { file: file.clone() });
        }
        warnings.extend(lists.iter().filter_map(|list| stale_warning(file, list)));
        // as with OpenSSL's X509_V_FLAG_CRL_CHECK: the client's own certificate, not those of the authorities
        builder = builder.with_crls(lists).only_check_end_entity_revocation();
    }
    if !clients.required {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder.build().map_err(|error| match (&error, &clients.revoked) {
        (VerifierBuilderError::InvalidCrl(_), Some(file)) => unusable(file, &error),
        _ => unusable(&clients.authorities, &error),
    })?;
    Ok(if clients.undated { Arc::new(Undated(verifier)) } else { verifier })
}

/// A revocation list after its next-update time is still used: refusing every client would be worse.
fn stale_warning(file: &Path, list: &CertificateRevocationListDer<'_>) -> Option<String> {
    let list = CertificateList::<Rfc5280>::from_der(list).ok()?.tbs_cert_list;
    let due = list.next_update.filter(|due| due.to_system_time() < Clock::system().wall())?;
    let (file, issuer) = (file.display(), list.issuer);
    Some(format!(
        "the revocation list of {issuer} in {file} was to be replaced by {due}: clients whose certificates were revoked \
         since are served; fetch the new list"
    ))
}

/// A list of version 2 begins with its version, one of version 1 with the algorithm (RFC 5280 section 5.1).
fn is_version_1(list: &CertificateRevocationListDer<'_>) -> bool {
    const SEQUENCE: u8 = 0x30;
    let within = |der: &'_ [u8]| -> Option<usize> {
        match der {
            [SEQUENCE, length, ..] if *length < 0x80 => Some(2),
            [SEQUENCE, length, ..] if *length <= 0x84 => Some(2 + usize::from(length & 0x7f)),
            _ => None,
        }
    };
    let content = within(list).and_then(|list_at| {
        let to_sign = list.get(list_at..)?;
        to_sign.get(within(to_sign)?..)
    });
    content.is_some_and(|content| content.first() == Some(&SEQUENCE))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_not_set_is_as_late_as_the_files() {
        let [boot, written, later] = [100, 1_800_000_000, 1_900_000_000].map(|s| UNIX_EPOCH + Duration::from_secs(s));
        let time = JudgingTime { written };
        assert_eq!(time.at(boot, false), written);
        // a configured setting overrides the files
        assert_eq!((time.at(later, true), time.at(boot, true)), (later, boot));
        assert_eq!(JudgingTime { written: UNIX_EPOCH }.at(boot, false), boot);
    }

    #[test]
    fn names_are_read_from_the_alternative_names_and_a_nul_is_none() {
        use rcgen::{CertificateParams, DnType, KeyPair, SanType};
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "la\0mp");
        params.subject_alt_names = vec![
            SanType::IpAddress([127, 0, 0, 1].into()),
            SanType::URI("spiffe://example.org/lamp".try_into().unwrap()),
            SanType::DnsName("lamp.example.org".try_into().unwrap()),
            SanType::DnsName("other.example.org".try_into().unwrap()),
        ];
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let name = |of: CertificateName| of.of(certificate.der());
        assert_eq!(name(CertificateName::Dns), Ok("lamp.example.org".into()));
        assert_eq!(name(CertificateName::Uri), Ok("spiffe://example.org/lamp".into()));
        assert_eq!(name(CertificateName::CommonName), Err(NameError::Nul));
        let bare = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
        for of in [CertificateName::Dns, CertificateName::Uri] {
            assert_eq!(of.of(bare.der()), Err(NameError::None));
        }
    }
}
