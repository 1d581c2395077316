//! Reads certificates and keys from files, for listeners and for connections to other servers, and checks them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use thiserror::Error;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use x509_cert::{Certificate, der::Decode};

use crate::{
    clock::Clock,
    platform::PermissionsExt,
    types::{Contents, without_mark},
};

/// Why a TLS file cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's error; part of the text.
        error: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {error}", .file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// The system's error; part of the text.
        error: io::Error,
    },
    /// A file is not valid PEM.
    #[error("{} is not PEM: {why}; write the {what} between its BEGIN and END lines", .file.display())]
    NotPem {
        /// The file.
        file: PathBuf,
        /// The expected contents.
        what: &'static str,
        /// What is wrong, as text.
        why: String,
    },
    /// A file is PEM with other contents.
    #[error("{} has no {what} in it; {hint}", .file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// The expected contents.
        what: &'static str,
        /// Advice for the operator.
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
    /// A revocation list is of the version that has no extensions (RFC 5280 section 5.1.2.1 asks for version 2).
    #[error(
        "{} has a revocation list of version 1 in it, and version 2 is asked for; give the authority a crlnumber file and \
         crl_extensions (openssl.cnf), and make the list again: openssl ca -gencrl", .file.display()
    )]
    OldList {
        /// The file.
        file: PathBuf,
    },
    /// A file has contents that TLS cannot use.
    #[error("{} cannot be used: {why}; make another one", .file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// The reason.
        why: String,
    },
}

/// All certificates of a file. `what`: their name in the log.
pub(crate) fn certificates(
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

/// All certificates of a file, or of the files of a directory: of those whose names are hashes, as `openssl rehash`
/// gives them and OpenSSL reads them; of `*.pem` and `*.crt` if there are no hashes. Each once.
pub(crate) fn authorities(
    path: &Path,
    what: &'static str,
    contents: &mut Contents,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { file: path.into(), error };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return certificates(path, what, contents);
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(unreadable)?;
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    let is_counted = if files.iter().any(|file| has_hash(file)) { has_hash } else { is_certificate };
    files.retain(|file| is_counted(file));
    files.sort();
    let mut found = Vec::<CertificateDer<'static>>::new();
    for file in files {
        // they are one thing to a reload
        match certificates(&file, what, &mut Contents::default()) {
            Ok(all) => {
                for one in all {
                    if !found.contains(&one) {
                        found.push(one);
                    }
                }
            }
            // a key beside them
            Err(TlsError::Missing { .. }) => {}
            Err(error @ TlsError::NotPem { .. }) => tracing::warn!(%error, "a file of the directory is left out"),
            Err(error) => return Err(error),
        }
    }
    contents.add(what, &found.iter().flat_map(|one| one.iter().copied()).collect::<Vec<u8>>());
    match found.is_empty() {
        true => {
            Err(missing(path, "certificate", "the files that count are named *.pem, *.crt, or by `openssl rehash`"))
        }
        false => Ok(found),
    }
}

/// Is its name eight hexadecimal digits and a number, as `openssl rehash` names certificates?
fn has_hash(file: &Path) -> bool {
    let (Some(stem), Some(extension)) = (file.file_stem(), file.extension()) else { return false };
    let (stem, number) = (stem.to_string_lossy(), extension.to_string_lossy());
    let is_hash = stem.len() == 8 && stem.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hash && !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
}

/// Is this the name of a certificate among others?
fn is_certificate(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "pem" || extension == "crt")
}

/// The private key in a file.
pub(crate) fn private_key(file: &Path, contents: &mut Contents) -> Result<PrivateKeyDer<'static>, TlsError> {
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

/// The expiry of a certificate, and a warning about its validity, by the clock that rustls uses, which tests do not
/// turn.
pub(crate) fn validity(
    file: &Path,
    certificate: &CertificateDer<'_>,
) -> Result<(SystemTime, Option<String>), TlsError> {
    let certificate = Certificate::from_der(certificate).map_err(|error| unusable(file, &error))?;
    let validity = certificate.tbs_certificate().validity();
    let now = Clock::system().wall();
    let file = file.display();
    let expires = validity.not_after.to_system_time();
    let warning = if expires < now {
        let since = validity.not_after;
        Some(format!("the certificate in {file} expired at {since}: clients that check it do not connect; renew it"))
    } else if validity.not_before.to_system_time() > now {
        let from = validity.not_before;
        Some(format!("the certificate in {file} is not valid before {from}; is the clock of this machine right?"))
    } else {
        None
    };
    Ok((expires, warning))
}

/// A warning if other users can read or write the key.
pub(crate) fn mode_warning(file: &Path) -> Option<String> {
    const BY_OTHERS: u32 = 0o007;
    let mode = fs::metadata(file).ok()?.permissions().mode();
    (mode & BY_OTHERS != 0).then(|| {
        let file = file.display();
        format!("every user of this machine can read or write the private key in {file}; run: chmod o= {file}")
    })
}

/// The contents of a file.
pub(crate) fn read(file: &Path, what: &'static str, contents: &mut Contents) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { file: file.into(), error };
    // reading a pipe or a device would block the reload
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "not a file")));
    }
    let bytes = fs::read(file).map_err(unreadable)?;
    contents.add(what, &bytes);
    Ok(without_mark(&bytes).to_vec())
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(text, word).is_some()
}

/// The error of a file that is not PEM.
pub(crate) fn not_pem(file: &Path, what: &'static str, error: &pem::Error) -> TlsError {
    TlsError::NotPem { file: file.into(), what, why: error.to_string() }
}

/// The error of a file with other contents.
pub(crate) fn missing(file: &Path, what: &'static str, hint: &'static str) -> TlsError {
    TlsError::Missing { file: file.into(), what, hint }
}

/// The error of a file that TLS cannot use.
pub(crate) fn unusable(file: &Path, why: &impl ToString) -> TlsError {
    TlsError::Unusable { file: file.into(), why: why.to_string() }
}
