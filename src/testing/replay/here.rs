//! [`Here`]: a replay at the bench itself. Its client connects to a listener, so that faults and strict mode apply to
//! it as to others.

use std::{
    io::Read,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Place, Plan, ReplayError, Replayed};
use crate::{
    config::{Rewrite, Speed},
    outbound::{Target, USER_TIMEOUT},
    server::Listening,
    testing::{
        bench::Bench,
        recording::{RecordingError, plain},
    },
    types::Transport,
};

/// Options of a replay at the bench.
pub(in super::super) struct Here {
    pub(in super::super) speed: Speed,
    pub(in super::super) filter: Vec<String>,
    pub(in super::super) rewrite: Vec<Rewrite>,
    /// User name and password.
    pub(in super::super) login: Option<(String, Vec<u8>)>,
}

/// Most bytes of a recording once it is decompressed: what is behind them is an incomplete line.
const LARGEST: u64 = 1 << 30;

impl Bench {
    /// Publishes the messages of a recording. Returns when the broker has acknowledged all of them.
    pub(in super::super) async fn replay(&self, recording: &[u8], options: &Here) -> Result<Replayed, ReplayError> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let name = Path::new("the body");
        let unread = |error| RecordingError::Read { path: name.to_owned(), error };
        let Here { speed, filter, rewrite, login } = options;
        // it takes long for a large recording; meanwhile others are answered
        let (recording, filter, rewrite) = (recording.to_vec(), filter.clone(), rewrite.clone());
        let read = move || Plan::read(name, plain(&*recording).map_err(unread)?.take(LARGEST), &filter, &rewrite);
        let plan = tokio::task::spawn_blocking(read)
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        let listening = self.listening().await;
        let target = listening.iter().find_map(target).ok_or_else(|| {
            let why = "no listener of this broker accepts TCP or WebSocket without TLS: see dunlin replay --to";
            ReplayError::Connect { to: "replay".into(), why: why.into() }
        })?;
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let place = Place {
            to: format!("{}:{}", target.host, target.port),
            target,
            tls: None,
            client_id: format!("dunlin-replay-here-{number}"),
            user: login.as_ref().map(|(user, _)| &**user),
            password: login.as_ref().map(|(_, password)| &**password),
        };
        plan.play(&place, *speed).await
    }
}

/// The way to a listener. `None`: it needs TLS, or is a Unix socket.
fn target(listening: &Listening) -> Option<Target> {
    let address = listening.endpoint.socket_addr()?;
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let is_plain = [Transport::Tcp, Transport::Ws].contains(&listening.transport);
    is_plain.then(|| Target {
        transport: listening.transport,
        host: host.to_string(),
        port: address.port(),
        path: listening.path.clone().unwrap_or_else(|| "/mqtt".into()),
        from: None,
        user_timeout: USER_TIMEOUT,
    })
}
