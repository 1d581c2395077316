//! Users, rules and tokens of a [`Config`], plugged into the router's ports, and what the log says of them.

use std::sync::Arc;

use super::listeners::Anonymity;
use crate::{
    auth::{Auth, AuthError, Policy, Settings, TokenSettings},
    config::{AuthConfig, Config, DeniedPublish, ListenerConfig},
    router::Ports,
};

/// Reads what the configuration names, and plugs it in where the embedding program has plugged in nothing of its own.
/// `None`: it has, everywhere.
pub(super) fn plug(config: &Config, ports: &mut Ports, anonymity: &Anonymity) -> Result<Option<Arc<Auth>>, AuthError> {
    if ports.authenticate.is_some() && ports.authorize.is_some() {
        return Ok(None);
    }
    let auth = Arc::new(Auth::new(load(config)?, anonymity.clone()));
    ports.authenticate.get_or_insert_with(|| auth.clone());
    ports.authorize.get_or_insert_with(|| auth.clone());
    Ok(Some(auth))
}

/// Reads what the configuration names.
pub(super) fn load(config: &Config) -> Result<Policy, AuthError> {
    Policy::load(&settings(config))
}

fn settings(config: &Config) -> Settings {
    let AuthConfig {
        password_file,
        acl_file,
        denied_publish,
        failed_login_delay,
        token_secret,
        token_secret_file,
        token_key_file,
        token_jwks_file,
        token_issuer,
        token_audience,
        token_leeway,
        token_user_claim,
    } = config.auth.clone();
    Settings {
        allow_anonymous: config.allow_anonymous,
        password_file,
        acl_file,
        denied_publish_disconnects: denied_publish == DeniedPublish::Disconnect,
        failed_login_delay,
        tokens: TokenSettings {
            secret: token_secret.map(|secret| secret.0),
            secret_file: token_secret_file,
            key_file: token_key_file,
            jwks_file: token_jwks_file,
            issuer: token_issuer,
            audience: token_audience,
            leeway: token_leeway,
            user_claim: token_user_claim,
        },
    }
}

/// What the log says of who may come in and what they may do.
pub(super) fn announce(policy: &Policy, config: &Config) {
    let allow_anonymous = config.allow_anonymous;
    // what a listener says of its own is meant as it says
    let inherits = |l: &&ListenerConfig| l.allow_anonymous.is_none();
    let open = config.listeners.iter().filter(inherits).any(|listener| !listener.is_loopback());
    let own = config.listeners.iter().any(|l| l.allow_anonymous == Some(true) && !l.is_loopback());
    policy.warnings().iter().for_each(|warning| tracing::warn!(target: LOG, "{warning}"));
    let (users, rules, tokens) = policy.summary();
    if own {
        tracing::warn!(
            target: LOG,
            "allow_anonymous = true of a listener that is not on loopback: everybody who reaches it may connect"
        );
    }
    match (policy.is_open(), allow_anonymous) {
        (true, _) if own && !open => {}
        (true, Some(true)) if open => {
            tracing::warn!(target: LOG, "allow_anonymous = true: everybody who reaches a listener may connect");
        }
        (true, Some(true)) => tracing::info!(target: LOG, "anonymous clients are served"),
        (true, None) if open => {
            tracing::warn!(target: LOG, "no users are configured: clients of listeners that are not on loopback are refused; write `allow_anonymous = true` (or --allow-anonymous) to let everybody in"
            )
        }
        (true, None) => tracing::info!(target: LOG, "anonymous clients are served, on loopback only"),
        (true, Some(false)) => {
            tracing::warn!(target: LOG, "no users are configured and allow_anonymous = false: nobody may connect")
        }
        (false, allow) => {
            tracing::info!(target: LOG, users, tokens, "a client that gives a user name has to prove it");
            match allow {
                Some(true) if open => {
                    tracing::warn!(target: LOG, "allow_anonymous = true: without a user name, everybody may connect")
                }
                Some(true) => tracing::info!(target: LOG, "anonymous clients are served"),
                None => {
                    tracing::info!(target: LOG, "anonymous clients are served, on loopback only; `allow_anonymous = false` refuses them there too"
                    )
                }
                Some(false) => {}
            }
        }
    }
    if let Some(rules) = rules {
        tracing::info!(target: LOG, rules, "clients may do what auth.acl_file allows");
    }
}

/// What the log calls the one who speaks.
const LOG: &str = "dunlin::server";
