//! The TLS handshake of a connection: limits how many run at once, and checks the client's certificate.

use std::io;

use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
};
use tokio_rustls::{
    LazyConfigAcceptor, StartHandshake,
    rustls::{
        self, HandshakeKind, ServerConfig, ServerConnection,
        server::{Acceptor, ClientHello},
    },
    server::TlsStream,
};

use super::{
    spoken::{FirstBytes, TLS, spoken},
    tls::{NameError, TlsSettings},
};

/// Number of ClientHellos that a thread answers before other ready tasks have a turn: an answer is a key exchange and a
/// signature, which cost as much as thousands of messages.
pub(crate) const ANSWERS_A_TURN: usize = 8;

/// Why a handshake failed.
#[derive(Debug, Error)]
pub(crate) enum HandshakeError {
    #[error("the TLS handshake failed: {0}")]
    Failed(#[from] io::Error),
    #[error("it ended without a byte")]
    Empty,
    #[error("the TLS handshake failed: wrong protocol: the client speaks {0}, and this listener takes TLS")]
    WrongProtocol(&'static str),
    #[error(
        "the TLS handshake failed: no common ALPN protocol: the client offers {offered}, and this listener speaks {spoken}"
    )]
    Alpn { offered: String, spoken: String },
    #[error("the client resumed a TLS session whose certificate is not valid any more: {0}")]
    NoLongerGood(rustls::Error),
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Does the handshake. Returns the stream, and the client's name if it is in its certificate. `places`: the thread's
/// semaphore with [`ANSWERS_A_TURN`] permits, which is not held while waiting for the client.
pub(crate) async fn handshake<IO: AsyncRead + AsyncWrite + Unpin>(
    socket: IO,
    settings: &TlsSettings,
    places: &Semaphore,
) -> Result<(TlsStream<IO>, Option<Box<str>>), HandshakeError> {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), FirstBytes::new(socket));
    let hello = (&mut acceptor).await.map_err(|error| no_hello(error, acceptor.take_io()))?;
    let alpn = no_common_protocol(&hello.client_hello(), &settings.config);
    let StartHandshake { accepted, io, .. } = hello;
    let hello = StartHandshake::from_parts(accepted, io.into_inner());
    let place = places.acquire().await.expect("a thread's places are never closed");
    // computes the answer
    let answered = hello.into_stream(settings.config.clone());
    tokio::task::yield_now().await;
    drop(place);
    // the client gets an alert first
    let stream = answered.await.map_err(|error| alpn.unwrap_or(error.into()))?;
    let name = judge(settings, stream.get_ref().1)?;
    Ok((stream, name))
}

/// Why there is no ClientHello.
fn no_hello<IO>(error: io::Error, socket: Option<FirstBytes<IO>>) -> HandshakeError {
    match socket.as_ref().map(FirstBytes::first) {
        Some([]) => HandshakeError::Empty,
        Some(first) => match spoken(first).filter(|spoken| *spoken != TLS) {
            Some(spoken) => HandshakeError::WrongProtocol(spoken),
            None => error.into(),
        },
        None => error.into(),
    }
}

/// The client offers application protocols, and none of them is supported (RFC 7301 section 3.2).
fn no_common_protocol(hello: &ClientHello<'_>, config: &ServerConfig) -> Option<HandshakeError> {
    /// Most names in the error.
    const MOST: usize = 8;
    let spoken = &config.alpn_protocols;
    if hello.alpn()?.any(|offer| spoken.iter().any(|ours| ours == offer)) {
        return None;
    }
    let names = |protocols: Vec<&[u8]>| {
        let names: Vec<_> = protocols.into_iter().map(String::from_utf8_lossy).collect();
        names.join(", ")
    };
    Some(HandshakeError::Alpn {
        offered: names(hello.alpn()?.take(MOST).collect()),
        spoken: names(spoken.iter().map(Vec::as_slice).collect()),
    })
}

/// Verifies the client's certificate, if there is one. Returns the name in it, if names are configured.
fn judge(settings: &TlsSettings, connection: &ServerConnection) -> Result<Option<Box<str>>, HandshakeError> {
    let Some((shown, others)) = connection.peer_certificates().and_then(<[_]>::split_first) else { return Ok(None) };
    if let Some(verifier) = &settings.verifier
        && connection.handshake_kind() == Some(HandshakeKind::Resumed)
    {
        // with a resumed session rustls does not verify the certificate again
        let now = settings.config.time_provider.current_time().ok_or(rustls::Error::FailedToGetCurrentTime);
        now.and_then(|now| verifier.verify_client_cert(shown, others, now)).map_err(HandshakeError::NoLongerGood)?;
    }
    Ok(settings.name.map(|name| name.of(shown)).transpose()?)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::{
            Arc,
            atomic::{AtomicU64, AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_rustls::{
        TlsConnector,
        rustls::{
            ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedProtocolVersion,
            crypto::ring::default_provider,
            pki_types::{PrivateKeyDer, ServerName, UnixTime},
            server::{ClientHello, ResolvesServerCert},
            sign::CertifiedKey,
            time_provider::TimeProvider,
            version::{TLS12, TLS13},
        },
    };

    use super::{
        super::tls::{CertificateName, ClientFiles, TlsFiles},
        *,
    };

    /// Those of a server; and a client's certificate, which ends with the year 2099, its key and its authority.
    fn settings() -> (TlsSettings, [Vec<u8>; 3]) {
        settings_with(false)
    }

    /// The same; `undated`: dates of clients' certificates do not matter.
    fn settings_with(undated: bool) -> (TlsSettings, [Vec<u8>; 3]) {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name)
        };
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let (server_key, client_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let server =
            CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&server_key, &authority).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "lamp");
        params.not_after = date_time_ymd(2100, 1, 1);
        let client = params.signed_by(&client_key, &authority).unwrap();
        let (settings, _) = TlsSettings::load(&TlsFiles {
            certificate: write("server.pem", server.pem()),
            key: write("server.key", server_key.serialize_pem()),
            clients: Some(ClientFiles {
                authorities: write("ca.pem", authority.pem()),
                required: false,
                revoked: None,
                name: Some(CertificateName::CommonName),
                undated,
            }),
            http: false,
            only_1_3: false,
            key_log: None,
        })
        .unwrap();
        let client = [client.der().to_vec(), client_key.serialize_der(), authority.der().to_vec()];
        (settings, client)
    }

    /// A client that speaks this version alone.
    fn client(
        [certificate, key, authority]: [Vec<u8>; 3],
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.into()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate.into()], PrivateKeyDer::try_from(key).unwrap());
        Arc::new(config.unwrap())
    }

    fn changed(settings: TlsSettings, change: impl FnOnce(&mut ServerConfig)) -> TlsSettings {
        let mut config = ServerConfig::clone(&settings.config);
        change(&mut config);
        TlsSettings { config: Arc::new(config), ..settings }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), future).await.expect("it ends") })
    }

    #[derive(Debug)]
    struct Clock(AtomicU64);

    impl TimeProvider for Clock {
        fn current_time(&self) -> Option<UnixTime> {
            Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
        }
    }

    /// A connection's result: how the client was authenticated, and by which name.
    async fn visit(settings: &TlsSettings, client: &TlsConnector) -> Result<(HandshakeKind, String), HandshakeError> {
        let (ours, theirs) = duplex(1 << 16);
        let places = Semaphore::new(ANSWERS_A_TURN);
        let client = client.connect(ServerName::try_from("localhost").unwrap(), theirs);
        let (served, client) = tokio::join!(handshake(ours, settings, &places), client);
        let (mut served, name) = served?;
        let mut client = client.unwrap();
        // the session ticket precedes this byte
        served.write_all(b"!").await.unwrap();
        served.flush().await.unwrap();
        client.read_exact(&mut [0]).await.unwrap();
        Ok((served.get_ref().1.handshake_kind().unwrap(), name.unwrap().into()))
    }

    #[test]
    fn a_tls_session_is_not_resumed_after_its_certificate_expired() {
        let end = date_time_ymd(2100, 1, 1).unix_timestamp() as u64;
        for version in [&TLS12, &TLS13] {
            let clock = Arc::new(Clock(AtomicU64::new(end - 60)));
            let (settings, files) = settings();
            let settings = changed(settings, |config| config.time_provider = clock.clone());
            let client = TlsConnector::from(client(files, version));
            run(async {
                let lamp = |kind| (kind, "lamp".to_owned());
                assert_eq!(visit(&settings, &client).await.unwrap(), lamp(HandshakeKind::Full));
                assert_eq!(visit(&settings, &client).await.unwrap(), lamp(HandshakeKind::Resumed));
                clock.0.store(end + 60, Ordering::Relaxed);
                let refused = visit(&settings, &client).await.unwrap_err().to_string();
                assert!(
                    refused.contains("not valid any more") && refused.contains("expired"),
                    "{version:?}: {refused}"
                );
            });
        }
    }

    #[test]
    fn an_expired_certificate_is_accepted_if_dates_are_ignored() {
        let end = date_time_ymd(2100, 1, 1).unix_timestamp() as u64;
        for version in [&TLS12, &TLS13] {
            for at in [end + 60, 60] {
                let clock = Arc::new(Clock(AtomicU64::new(at)));
                let (settings, files) = settings_with(true);
                let settings = changed(settings, |config| config.time_provider = clock.clone());
                // one of another authority is refused at any time
                let (_, [certificate, key, _]) = settings_with(true);
                let other = TlsConnector::from(client([certificate, key, files[2].clone()], version));
                let client = TlsConnector::from(client(files, version));
                run(async {
                    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
                        assert_eq!(visit(&settings, &client).await.unwrap(), (kind, "lamp".to_owned()));
                    }
                    assert!(visit(&settings, &other).await.is_err());
                });
            }
        }
    }

    /// Counts the answers: for each, the server's certificate is asked for.
    #[derive(Debug)]
    struct Counting {
        of: Arc<dyn ResolvesServerCert>,
        answers: AtomicUsize,
    }

    impl ResolvesServerCert for Counting {
        fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            self.answers.fetch_add(1, Ordering::Relaxed);
            self.of.resolve(hello)
        }
    }

    #[test]
    fn other_tasks_have_turns_between_tls_handshakes() {
        const MANY: usize = 5 * ANSWERS_A_TURN;
        let (settings, files) = settings();
        let answers = Arc::new(Counting { of: settings.config.cert_resolver.clone(), answers: AtomicUsize::new(0) });
        let settings = changed(settings, |config| config.cert_resolver = answers.clone());
        let client = client(files, &TLS13);
        let places = Arc::new(Semaphore::new(ANSWERS_A_TURN));
        run(async {
            let mut clients = Vec::<DuplexStream>::new();
            for _ in 0..MANY {
                let (ours, mut theirs) = duplex(1 << 16);
                let mut hello = Vec::new();
                let name = ServerName::try_from("localhost").unwrap();
                ClientConnection::new(client.clone(), name).unwrap().write_tls(&mut hello).unwrap();
                theirs.write_all(&hello).await.unwrap();
                // the log line has no more
                clients.push(theirs);
                let (settings, places) = (settings.clone(), places.clone());
                tokio::spawn(async move { handshake(ours, &settings, &places).await.map(|_| ()) });
            }
            let mut answered = 0;
            while answered < MANY {
                tokio::task::yield_now().await;
                let now = answers.answers.load(Ordering::Relaxed);
                assert!(now - answered <= ANSWERS_A_TURN, "{} answers in one turn", now - answered);
                answered = now;
            }
            assert_eq!(answered, MANY, "those who say nothing keep nobody from being answered");
        });
    }
}
