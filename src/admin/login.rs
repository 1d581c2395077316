//! [`Login`]: a user or a key that was accepted, and whether it still would be; [`Shown`]: the login in a request.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::{HeaderValue, StatusCode};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest, Sha256};

use super::{
    admission::{Key, Rules},
    problem::Problem,
};
use crate::{
    clock::Clock,
    codec::Properties,
    router::{Admitted, Credentials, Identity, Peer, PeerAddress, Router, Verdict},
    types::{ProtocolVersion, Role},
};

/// An accepted login.
#[derive(Clone)]
pub(super) enum Login {
    User { name: String, identity: Arc<Identity> },
    Key { name: String, digest: [u8; 32] },
}

/// The rules and the router that decide about a login.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub rules: &'a Rules,
    /// `None`: the broker is starting.
    pub router: Option<&'a Router>,
    pub clock: &'a Clock,
}

/// The login in a request.
#[derive(Debug, PartialEq)]
pub(super) enum Shown {
    Password(String, Vec<u8>),
    Key(Vec<u8>),
}

impl Shown {
    /// Reads the header `Authorization`: `Basic …` (RFC 7617) or `Bearer …` (RFC 6750).
    pub fn of_header(value: &HeaderValue) -> Option<Self> {
        let (scheme, rest) = std::str::from_utf8(value.as_bytes()).ok()?.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Key(rest.into()));
        }
        let decoded = scheme.eq_ignore_ascii_case("basic").then(|| BASE64.decode(rest).ok())??;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let user = String::from_utf8(decoded[..colon].to_vec()).ok()?;
        Some(Self::Password(user, decoded[colon + 1..].to_vec()))
    }

    /// Checks the login and its role.
    pub async fn prove(&self, judge: Judge<'_>, peer: SocketAddr) -> Result<(Login, Role), Problem> {
        match self {
            Self::Password(user, password) => prove_user(judge, peer, user, password).await,
            Self::Key(key) => prove_key(judge, peer, key).await,
        }
    }
}

async fn prove_user(judge: Judge<'_>, peer: SocketAddr, user: &str, password: &[u8]) -> Result<(Login, Role), Problem> {
    let Some(router) = judge.router else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", "the broker is starting"));
    };
    let Some(identity) = prove(router, peer, user, password).await else {
        tracing::info!(%peer, user, "HTTP login refused");
        return Err(wrong_login());
    };
    let login = Login::User { name: user.to_owned(), identity: Arc::new(identity) };
    match judge.rules.users.iter().find(|(name, _)| name == user) {
        Some((_, role)) => Ok((login, *role)),
        None => {
            let detail = format!("user {user:?} has no role here: write it below [http] in users");
            Err(Problem::new(StatusCode::FORBIDDEN, "no-role", detail))
        }
    }
}

/// User name and password in the header `Authorization`.
pub(crate) fn basic_login(header: &HeaderValue) -> Option<(String, Vec<u8>)> {
    match Shown::of_header(header)? {
        Shown::Password(user, password) => Some((user, password)),
        Shown::Key(_) => None,
    }
}

/// The header is not a login.
pub(super) fn wrong_login() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "login", "the user name or the password is wrong")
}

async fn prove_key(judge: Judge<'_>, peer: SocketAddr, key: &[u8]) -> Result<(Login, Role), Problem> {
    let digest: [u8; 32] = Sha256::digest(key).into();
    let known = of_digest(judge.rules, &digest);
    let refused = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, "key", detail);
    if let Some(Key { name, role, .. }) = known {
        let login = Login::Key { name: name.clone(), digest };
        return match login.role(judge) {
            Some(_) => Ok((login, *role)),
            // the caller knows the key, so this is not counted as a guess
            None => Err(refused("the key has expired")),
        };
    }
    tracing::info!(%peer, "HTTP key refused");
    match (judge.rules.delay.0)(peer.ip()) {
        Some(delay) => judge.clock.sleep(delay).await,
        None => {
            let detail = "too many wrong keys came from this address (auth.failed_login_delay)";
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "guesses", detail));
        }
    }
    Err(refused("the key is not known"))
}

/// Authenticates like a client of MQTT, with the same delays.
async fn prove(router: &Router, peer: SocketAddr, user: &str, password: &[u8]) -> Option<Identity> {
    let authenticate = router.plugged_authenticate()?;
    let peer = Peer {
        address: PeerAddress::Ip(peer),
        loopback_listener: peer.ip().is_loopback(),
        listener: Peer::NO_LISTENER,
    };
    let mut verdict = authenticate.authenticate(&Credentials {
        client_id: "$http",
        username: Some(user),
        certificate_name: None,
        names_in_certificates: false,
        password: Some(password),
        authentication: None,
        peer,
        version: ProtocolVersion::V311,
        will: None,
        properties: Properties::default(),
    });
    let admitted = loop {
        verdict = match verdict {
            Verdict::Decided(decided) => break decided,
            Verdict::Later(pending) | Verdict::Queued(pending) => pending.await,
            // no method of MQTT 5 was named, so there is no exchange
            Verdict::Continue { .. } => return None,
        };
    };
    // a user name that was not checked is not a login
    let is_user =
        |identity: &Identity| identity.user.as_deref() == Some(user) && authenticate.login(identity).is_some();
    admitted.ok().map(|Admitted { identity, .. }| identity).filter(is_user)
}

impl Login {
    #[cfg(test)]
    pub fn key(name: &str, digest: [u8; 32]) -> Self {
        Self::Key { name: name.to_owned(), digest }
    }

    /// The name for log and console. User names contain no colon.
    pub fn name(&self) -> String {
        match self {
            Self::User { name, .. } => name.clone(),
            Self::Key { name, .. } => format!("key:{name}"),
        }
    }

    pub fn is_of_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::User { name, .. }, Self::User { name: other, .. }) => name == other,
            (Self::Key { digest, .. }, Self::Key { digest: other, .. }) => digest == other,
            _ => false,
        }
    }

    /// Its role; `None`: it would not be accepted any more.
    pub fn role(&self, judge: Judge<'_>) -> Option<Role> {
        if self.left(judge)?.is_zero() {
            return None;
        }
        match self {
            Self::User { name, identity } => {
                let authenticate = judge.router?.plugged_authenticate()?;
                let role = judge.rules.users.iter().find(|(known, _)| known == name).map(|(_, role)| *role);
                role.filter(|_| authenticate.knows(identity))
            }
            Self::Key { digest, .. } => of_digest(judge.rules, digest).map(|key| key.role),
        }
    }

    /// Time until it expires.
    fn left(&self, Judge { rules, clock, .. }: Judge<'_>) -> Option<Duration> {
        match self {
            Self::User { identity, .. } => {
                Some(identity.until.map_or(Duration::MAX, |until| until.saturating_duration_since(clock.now())))
            }
            Self::Key { digest, .. } => {
                let expires = of_digest(rules, digest)?.expires;
                Some(expires.map_or(Duration::MAX, |at| at.duration_since(clock.wall()).unwrap_or_default()))
            }
        }
    }

    /// Time of its expiry; `None`: it has none, or has expired.
    pub fn until(&self, judge: Judge<'_>) -> Option<Instant> {
        judge.clock.now().checked_add(self.left(judge)?)
    }
}

fn of_digest<'a>(rules: &'a Rules, digest: &[u8; 32]) -> Option<&'a Key> {
    rules.keys.iter().flatten().find(|key| key.digest == *digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_from_the_authorization_header() {
        let of = |text: &[u8]| Shown::of_header(&HeaderValue::from_bytes(text).unwrap());
        let password = |user: &str, password: &[u8]| Some(Shown::Password(user.into(), password.into()));
        assert_eq!(of(b"Basic YTpiOmM="), password("a", b"b:c"));
        assert_eq!(of(b"basic YTo="), password("a", b""));
        assert_eq!(of(b"Bearer  dunlin_x "), Some(Shown::Key(b"dunlin_x".to_vec())));
        for wrong in [&b"Basic"[..], b"Basic YQ==", b"Basic \xff", b"Basic !", b"Digest YTpi", b"Bearer", b""] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }
}
