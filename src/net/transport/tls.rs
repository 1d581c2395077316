//! TLS of a listener: [`TlsSettings`], read from files. What may be wrong with them is found here, before anything is
//! listened on or swapped.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;
use tokio_rustls::rustls::{
    self, RootCertStore, ServerConfig,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_cert::{Certificate, certificate::Rfc5280, crl::CertificateList, der::Decode};

use super::subject;

use crate::{
    clock::Clock,
    types::{Contents, without_mark},
};

/// The files of a listener's TLS, and what is asked of clients.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, the broker's own certificate first; PEM.
    pub certificate: PathBuf,
    /// The private key of that; PEM.
    pub key: PathBuf,
    /// Are clients asked for certificates?
    pub clients: Option<ClientFiles>,
    /// It is for WebSocket: what clients negotiate is HTTP.
    pub http: bool,
}

/// How clients' certificates are checked.
#[derive(Clone, Debug)]
pub struct ClientFiles {
    /// Who signs them; PEM.
    pub authorities: PathBuf,
    /// A client without one is not served.
    pub required: bool,
    /// Which are revoked; PEM.
    pub revoked: Option<PathBuf>,
    /// What of them is the user name.
    pub name: Option<CertificateName>,
}

/// What of a certificate is a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// The Common Name of its subject.
    CommonName,
    /// The whole subject, as OpenSSL and mosquitto write it (RFC 2253).
    Subject,
}

/// TLS as it is to be spoken: everything is read and fits together.
#[derive(Clone)]
pub struct TlsSettings {
    pub(crate) config: Arc<ServerConfig>,
    /// Of clients' certificates, where they are asked for.
    pub(crate) verifier: Option<Arc<dyn ClientCertVerifier>>,
    pub(crate) name: Option<CertificateName>,
    pub(crate) contents: Contents,
}

/// Why there are no [`TlsSettings`].
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", .file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What the system says, and part of the text.
        error: io::Error,
    },
    /// A file is not PEM, or its parts are not what they say.
    #[error("{} is not PEM: {why}; write the {what} between its BEGIN and END lines", .file.display())]
    NotPem {
        /// Which.
        file: PathBuf,
        /// What should be in it.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A file is PEM of something else.
    #[error("{} has no {what} in it; {hint}", .file.display())]
    Missing {
        /// Which.
        file: PathBuf,
        /// What should be in it.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The key belongs to another certificate.
    #[error(
        "the key in {} is not that of the certificate in {} (the first one in it); name the two files that were made \
         together", .key.display(), .certificate.display()
    )]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// TLS cannot be spoken with what is in a file.
    #[error("{} cannot be used: {why}; make another one", .file.display())]
    Unusable {
        /// Which.
        file: PathBuf,
        /// Why.
        why: String,
    },
}

impl TlsSettings {
    /// Reads all files. What is not as it should be, but works, is given as warnings: a certificate that is not valid
    /// now, a key that others may read, a revocation list that is out of date.
    pub fn load(files: &TlsFiles) -> Result<(Self, Vec<String>), TlsError> {
        let mut contents = Contents::default();
        let chain = certificates(&files.certificate, "certificate", &mut contents)?;
        let key = private_key(&files.key, &mut contents)?;
        let mut warnings = Vec::new();
        warnings.extend(validity_warning(&files.certificate, &chain[0])?);
        warnings.extend(mode_warning(&files.key));

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
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
        config.alpn_protocols = vec![if files.http { b"http/1.1".to_vec() } else { b"mqtt".to_vec() }];
        // sessions are resumed by tickets, which cost this side no memory; new settings have new keys for them, so that
        // nobody resumes past a list of revoked certificates that has become longer
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer =
            rustls::crypto::ring::Ticketer::new().map_err(|error| unusable(&files.certificate, &error))?;
        let name = files.clients.as_ref().and_then(|clients| clients.name);
        Ok((Self { config: Arc::new(config), verifier, name, contents }, warnings))
    }

    /// What the files had in them.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }
}

impl CertificateName {
    /// The name in a certificate (DER); `None` where it has none.
    pub(crate) fn of(self, certificate: &[u8]) -> Option<Box<str>> {
        let certificate = Certificate::from_der(certificate).ok()?;
        let subject = certificate.tbs_certificate().subject();
        let name = match self {
            Self::CommonName => subject.common_name().ok()??.value().into_owned(),
            Self::Subject => subject::text(subject)?,
        };
        (!name.is_empty()).then(|| name.into())
    }
}

fn verifier(
    clients: &ClientFiles,
    warnings: &mut Vec<String>,
    contents: &mut Contents,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(&clients.authorities, "client CA", contents)? {
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
        warnings.extend(lists.iter().filter_map(|list| stale_warning(file, list)));
        // as with OpenSSL's X509_V_FLAG_CRL_CHECK: the client's own certificate, not those of the authorities
        builder = builder.with_crls(lists).only_check_end_entity_revocation();
    }
    if !clients.required {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| match (&error, &clients.revoked) {
        (VerifierBuilderError::InvalidCrl(_), Some(file)) => unusable(file, &error),
        _ => unusable(&clients.authorities, &error),
    })
}

fn certificates(
    file: &Path,
    what: &'static str,
    contents: &mut Contents,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const WHAT: &str = "certificate";
    let found: Vec<_> = CertificateDer::pem_slice_iter(&read(file, what, contents)?)
        .collect::<Result<_, _>>()
        .map_err(|error| not_pem(file, WHAT, &error))?;
    if found.is_empty() {
        return Err(missing(file, WHAT, "it should have a line -----BEGIN CERTIFICATE-----; is it the right file?"));
    }
    Ok(found)
}

fn private_key(file: &Path, contents: &mut Contents) -> Result<PrivateKeyDer<'static>, TlsError> {
    const WHAT: &str = "private key";
    let text = read(file, WHAT, contents)?;
    // BEGIN ENCRYPTED PRIVATE KEY, or a header below BEGIN RSA PRIVATE KEY (RFC 1421 section 4.6.1.1)
    if contains(&text, b"BEGIN ENCRYPTED") || contains(&text, b"Proc-Type: 4,ENCRYPTED") {
        return Err(missing(file, "private key that is not encrypted", "decrypt it: openssl pkey -in OLD -out NEW"));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            missing(file, WHAT, "it should have a line -----BEGIN PRIVATE KEY-----; is it the right file?")
        }
        error => not_pem(file, WHAT, &error),
    })
}

/// By the clock by which rustls looks at certificates, which no test turns.
fn validity_warning(file: &Path, certificate: &CertificateDer<'_>) -> Result<Option<String>, TlsError> {
    let certificate = Certificate::from_der(certificate).map_err(|error| unusable(file, &error))?;
    let validity = certificate.tbs_certificate().validity();
    let now = Clock::system().wall();
    let file = file.display();
    Ok(if validity.not_after.to_system_time() < now {
        let since = validity.not_after;
        Some(format!("the certificate in {file} expired at {since}: clients that check it do not connect; renew it"))
    } else if validity.not_before.to_system_time() > now {
        let from = validity.not_before;
        Some(format!("the certificate in {file} is not valid before {from}; is the clock of this machine right?"))
    } else {
        None
    })
}

/// A list that is older than its authority meant it to be is used all the same: refusing everybody would be worse.
fn stale_warning(file: &Path, list: &CertificateRevocationListDer<'_>) -> Option<String> {
    let list = CertificateList::<Rfc5280>::from_der(list).ok()?.tbs_cert_list;
    let due = list.next_update.filter(|due| due.to_system_time() < Clock::system().wall())?;
    let (file, issuer) = (file.display(), list.issuer);
    Some(format!(
        "the revocation list of {issuer} in {file} was to be replaced by {due}: clients whose certificates were revoked \
         since are served; fetch the new list"
    ))
}

fn mode_warning(file: &Path) -> Option<String> {
    const BY_OTHERS: u32 = 0o007;
    let mode = fs::metadata(file).ok()?.permissions().mode();
    (mode & BY_OTHERS != 0).then(|| {
        let file = file.display();
        format!("every user of this machine can get at the private key in {file}; change that: chmod o= {file}")
    })
}

fn read(file: &Path, what: &'static str, contents: &mut Contents) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { file: file.into(), error };
    // a pipe or a device would keep whoever reloads waiting
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "it is no file")));
    }
    let bytes = fs::read(file).map_err(unreadable)?;
    contents.add(what, &bytes);
    Ok(without_mark(&bytes).to_vec())
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(text, word).is_some()
}

fn not_pem(file: &Path, what: &'static str, error: &pem::Error) -> TlsError {
    TlsError::NotPem { file: file.into(), what, why: error.to_string() }
}

fn missing(file: &Path, what: &'static str, hint: &'static str) -> TlsError {
    TlsError::Missing { file: file.into(), what, hint }
}

fn unusable(file: &Path, why: &impl ToString) -> TlsError {
    TlsError::Unusable { file: file.into(), why: why.to_string() }
}
