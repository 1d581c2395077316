//! Who is let in: a request is judged by where it comes from, by its headers and by its login. A health check is not
//! judged at all.

use std::net::SocketAddr;

use axum::http::{HeaderMap, Method, StatusCode, Uri, header::AUTHORIZATION};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use super::{
    admission::Rules,
    problem::Problem,
    rules::{METRICS, Via, check_origin_of_write},
    state::{Caller, State},
};
use crate::{
    codec::Properties,
    router::{Admitted, Credentials, Identity, Peer, PeerAddress, Router, Verdict},
    types::{ProtocolVersion, Role},
};

/// Who sends a request, and with which role it is answered.
pub(super) async fn admit(
    state: &State,
    via: Via,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    let called = |role, name: &str| Caller { role, name: name.to_owned() };
    let Via::Tcp(peer) = via else { return Ok(called(Role::Admin, "unix socket")) };
    let rules = state.rules.load_full();
    if let Some(caller) = login(state, &rules, peer, headers).await? {
        if !rules.allowed_hosts.is_empty() {
            rules.check_host(uri, headers)?;
        }
        check_origin_of_write(method, headers)?;
        return Ok(caller);
    }
    if rules.metrics_open && uri.path() == METRICS && !rules.open {
        return Ok(called(Role::Viewer, "nobody"));
    }
    if rules.open && peer.ip().to_canonical().is_loopback() {
        rules.check_open(uri, headers)?;
        return Ok(called(Role::Operator, "local program"));
    }
    Err(match rules.users.is_empty() {
        true => Problem::new(
            StatusCode::FORBIDDEN,
            "no-users",
            "a login is configured, and nobody may log in here: write users = [\"NAME:admin\"] below [http]",
        ),
        false => Problem::new(StatusCode::UNAUTHORIZED, "login", "log in with a user name and a password (Basic)"),
    })
}

/// The user who logs in with this request; `None`: nobody does.
async fn login(state: &State, rules: &Rules, peer: SocketAddr, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
    let Some(value) = headers.get(AUTHORIZATION).filter(|_| !rules.users.is_empty()) else { return Ok(None) };
    let refused = || Problem::new(StatusCode::UNAUTHORIZED, "login", "the user name or the password is wrong");
    let (user, password) = basic(value.as_bytes()).ok_or_else(refused)?;
    let Some(broker) = state.broker.get() else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", "the broker is starting"));
    };
    let proven = prove(&broker.router, peer, &user, &password).await;
    let role = rules.users.iter().find(|(name, _)| *name == user).map(|(_, role)| *role);
    match (proven, role) {
        (true, Some(role)) => Ok(Some(Caller { role, name: user })),
        (true, None) => {
            let detail = format!("user {user:?} has no role here: write it below [http] in users");
            Err(Problem::new(StatusCode::FORBIDDEN, "no-role", detail))
        }
        (false, _) => {
            tracing::info!(%peer, user, "HTTP login refused");
            Err(refused())
        }
    }
}

/// Asks what clients of MQTT are asked, with the same delays.
async fn prove(router: &Router, peer: SocketAddr, user: &str, password: &[u8]) -> bool {
    let Some(authenticate) = router.plugged_authenticate() else { return false };
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
        properties: Properties::default(),
    });
    let admitted = loop {
        verdict = match verdict {
            Verdict::Decided(decided) => break decided,
            Verdict::Later(pending) | Verdict::Queued(pending) => pending.await,
            // no method was named that would need more
            Verdict::Continue { .. } => return false,
        };
    };
    // a name that nobody had to prove is nobody's
    let is_user =
        |identity: &Identity| identity.user.as_deref() == Some(user) && authenticate.login(identity).is_some();
    admitted.is_ok_and(|Admitted { identity, .. }| is_user(&identity))
}

/// User name and password of `Basic …` (RFC 7617).
fn basic(value: &[u8]) -> Option<(String, Vec<u8>)> {
    let (scheme, rest) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| BASE64.decode(rest.trim()).ok())??;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some((String::from_utf8(decoded[..colon].to_vec()).ok()?, decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_has_a_user_and_a_password() {
        assert_eq!(basic(b"Basic YTpiOmM="), Some(("a".into(), b"b:c".to_vec())));
        assert_eq!(basic(b"basic YTo="), Some(("a".into(), Vec::new())));
        for wrong in [&b"Basic"[..], b"Basic YQ==", b"Bearer YTpi", b"Basic \xff", b"Basic !", b""] {
            assert_eq!(basic(wrong), None, "{wrong:?}");
        }
    }
}
