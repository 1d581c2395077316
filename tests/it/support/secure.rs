//! Clients over TLS, and certificates for both sides.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
};

use dunlin::{
    config::ListenerConfig,
    types::{Endpoint, Transport},
};
use tempfile::TempDir;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};

use crate::support::{
    GUARD,
    raw::{Connect, PINGREQ, PINGRESP, connack},
};

/// What `dunlin certs` makes, for localhost and a client whose name is `lamp`.
pub struct Certs(TempDir);

impl Certs {
    pub fn new() -> Self {
        let certs = Self(tempfile::tempdir().unwrap());
        certs.renew();
        certs
    }

    /// Others, in the same files.
    pub fn renew(&self) {
        dunlin::certs::make(self.0.path(), &["localhost".into()], "lamp", true).unwrap();
    }

    /// Another certificate for `lamp`, which has this DNS name too.
    pub fn name_lamp(&self, dns: &str) {
        let key = rcgen::KeyPair::from_pem(&fs::read_to_string(self.path("client.key")).unwrap()).unwrap();
        let params = rcgen::CertificateParams::new([dns.to_owned()]).unwrap();
        fs::write(self.path("client.pem"), params.signed_by(&key, &authority(self)).unwrap().pem()).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    /// A listener with the server's certificate.
    pub fn listener(&self, transport: Transport) -> ListenerConfig {
        ListenerConfig {
            certificate_file: Some(self.path("server.pem")),
            key_file: Some(self.path("server.key")),
            ..ListenerConfig::new(Endpoint::Ip(([127, 0, 0, 1], 0).into()), transport)
        }
    }

    /// A client that believes this authority.
    pub fn client(&self) -> Arc<ClientConfig> {
        self.config(false)
    }

    /// One that shows its certificate too.
    pub fn lamp(&self) -> Arc<ClientConfig> {
        self.config(true)
    }

    fn config(&self, shows: bool) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(default_provider().into())
            .with_protocol_versions(&[&TLS12, &TLS13])
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match shows {
            false => builder.with_no_client_auth(),
            true => {
                let key = PrivateKeyDer::from_pem_slice(&fs::read(self.path("client.key")).unwrap()).unwrap();
                let certificate = CertificateDer::from_pem_file(self.path("client.pem")).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        })
    }
}

/// A blocking stream over TLS.
pub type Secure = StreamOwned<ClientConnection, TcpStream>;

pub fn tcp(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(GUARD)).unwrap();
    socket.set_write_timeout(Some(GUARD)).unwrap();
    socket
}

pub fn secure(address: SocketAddr, config: &Arc<ClientConfig>) -> Secure {
    let connection = ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
    StreamOwned::new(connection, tcp(address))
}

/// Sends a CONNECT and reads its answer.
#[track_caller]
pub fn connect(stream: &mut (impl Read + Write), id: &str) {
    stream.write_all(&Connect::new(id).frame()).unwrap();
    expect(stream, &connack(0, 0));
}

#[track_caller]
pub fn ping(stream: &mut (impl Read + Write)) {
    stream.write_all(PINGREQ).unwrap();
    expect(stream, PINGRESP);
}

#[track_caller]
pub fn expect(stream: &mut impl Read, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got, bytes);
}

/// All that comes until the end, however that comes.
pub fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
            panic!("the broker does not close the connection; {bytes:?} until now")
        }
        _ => bytes,
    }
}

/// The serial number of a certificate.
pub fn serial(certificate: &Path) -> Vec<u8> {
    use x509_cert::{Certificate, der::DecodePem};
    let certificate = Certificate::from_pem(fs::read(certificate).unwrap()).unwrap();
    certificate.tbs_certificate().serial_number().as_bytes().to_vec()
}

/// What signs certificates and lists.
fn authority(certs: &Certs) -> rcgen::Issuer<'static, rcgen::KeyPair> {
    let key = rcgen::KeyPair::from_pem(&fs::read_to_string(certs.path("ca.key")).unwrap()).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "dunlin development CA");
    params.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign];
    rcgen::Issuer::new(params, key)
}

/// A revocation list of the authority, with these serial numbers on it, good until a year begins.
pub fn revocation_list(certs: &Certs, serials: &[&[u8]], until: i32) -> String {
    use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber, date_time_ymd};
    let revoked = |serial: &&[u8]| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&authority(certs)).unwrap().pem().unwrap()
}
