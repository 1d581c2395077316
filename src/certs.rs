//! Certificates for trying out TLS: [`make`] creates a certificate authority, and signs certificates for a server and a
//! client. They are for development only: the key of the authority is stored beside them.

use std::{
    fmt, fs,
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use thiserror::Error;

use crate::{clock::Clock, platform::OpenOptionsExt};

/// The result; its text describes its use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    dir: PathBuf,
    host: String,
}

/// The reason why nothing, or not everything, was made.
#[derive(Debug, Error)]
pub enum CertsError {
    /// A file exists already.
    #[error("{} already exists; give another --dir, or --force to replace the files", .0.display())]
    Exists(PathBuf),
    /// A name that a certificate cannot have.
    #[error("{0:?} is not a host name or address for a certificate; write one such as \"localhost\" or \"192.0.2.7\"")]
    Host(String),
    /// No host is given.
    #[error("no host is named; write --host NAME with the name or address that clients connect to")]
    NoHost,
    /// A file cannot be written.
    #[error("cannot write {}: {error}", .path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// The system's error, which is part of the text.
        error: io::Error,
    },
    /// The certificates cannot be made.
    #[error("cannot make the certificates: {0}")]
    Make(#[from] rcgen::Error),
}

/// Makes `ca.pem`, `server.pem` for these host names and addresses, `client.pem` with the Common Name `client`, and a
/// key for each (`….key`, mode 0600) in `dir`. Existing files are replaced only if `force` is set; otherwise nothing is
/// written.
pub fn make(dir: &Path, hosts: &[String], client: &str, force: bool) -> Result<Made, CertsError> {
    let host = hosts.first().ok_or(CertsError::NoHost)?.clone();
    let there = FILES.iter().map(|name| dir.join(name)).find(|path| fs::symlink_metadata(path).is_ok());
    if let (Some(path), false) = (there, force) {
        return Err(CertsError::Exists(path));
    }

    let mut params = named("dunlin development CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let mut server = named(&host);
    server.subject_alt_names = hosts.iter().map(|host| alternative_name(host)).collect::<Result<_, _>>()?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut client = named(client);
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];

    fs::create_dir_all(dir).map_err(|error| CertsError::Write { path: dir.into(), error })?;
    write(dir, "ca", &authority.pem(), authority.key())?;
    for (name, mut params) in [("server", server), ("client", client)] {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        write(dir, name, &params.signed_by(&key, &authority)?.pem(), &key)?;
    }
    Ok(Made { dir: dir.into(), host })
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = Clock::system().wall();
    // tolerates a clock that is a little slow
    params.not_before = (now - Duration::from_secs(60 * 60)).into();
    params.not_after = (now + VALIDITY).into();
    params
}

fn alternative_name(host: &str) -> Result<SanType, CertsError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let fits = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._*".contains(&b));
    match host.try_into() {
        Ok(name) if fits => Ok(SanType::DnsName(name)),
        _ => Err(CertsError::Host(host.into())),
    }
}

fn write(dir: &Path, name: &str, certificate: &str, key: &KeyPair) -> Result<(), CertsError> {
    write_file(&dir.join(format!("{name}.pem")), certificate, 0o644)?;
    write_file(&dir.join(format!("{name}.key")), &key.serialize_pem(), 0o600)
}

/// Creates a new file; an existing one could have another mode, or be a symbolic link.
fn write_file(path: &Path, text: &str, mode: u32) -> Result<(), CertsError> {
    let fresh = || {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    fresh().map_err(|error| CertsError::Write { path: path.into(), error })
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dir, host) = (self.dir.display(), &self.host);
        writeln!(f, "dunlin --listen tls://localhost --certificate {dir}/server.pem --key {dir}/server.key")?;
        writeln!(f, "mosquitto_sub -h {host} -p 8883 --cafile {dir}/ca.pem -t '#' -v")?;
        writeln!(f, "mosquitto_pub -h {host} -p 8883 --cafile {dir}/ca.pem -t bench/lamp -m on")
    }
}

/// The files that [`make`] creates.
pub const FILES: [&str; 6] = ["ca.pem", "ca.key", "server.pem", "server.key", "client.pem", "client.key"];
/// A little less than the longest validity that browsers and operating systems accept.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_private_and_existing_files_are_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let certs = dir.path().join("certs");
        let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = make(&certs, &hosts, "lamp", false).unwrap().to_string();
        assert_eq!(made.lines().count(), 3);
        assert!(made.lines().all(|line| line.contains(&*certs.display().to_string())), "{made}");
        for name in FILES {
            let mode = fs::metadata(certs.join(name)).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, if name.ends_with("key") { 0o600 } else { 0o644 }, "{name}");
        }
        let before = fs::read(certs.join("server.key")).unwrap();
        fs::remove_file(certs.join("ca.pem")).unwrap();
        assert!(matches!(make(&certs, &hosts, "lamp", false), Err(CertsError::Exists(p)) if p.ends_with("ca.key")));
        assert!(!certs.join("ca.pem").exists(), "nothing was written");
        fs::set_permissions(certs.join("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
        make(&certs, &hosts, "lamp", true).unwrap();
        assert_ne!(fs::read(certs.join("server.key")).unwrap(), before);
        let mode = fs::metadata(certs.join("server.key")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "that of the file before is not inherited");
    }

    #[test]
    fn names_that_a_certificate_cannot_have_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for host in ["", "a b", "mqtt://a", "bücher"] {
            assert!(matches!(make(dir.path(), &[host.into()], "c", false), Err(CertsError::Host(_))), "{host}");
        }
        assert!(matches!(make(dir.path(), &[], "c", false), Err(CertsError::NoHost)));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
