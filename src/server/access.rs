//! Users, rules and tokens of a [`Config`], plugged into the router's ports, and the log lines about them.

use std::sync::Arc;

use super::listeners::of_listener;
use crate::{
    auth::{
        self, Audience, Auth, AuthError, GoAuthAnswer, InMemory, OtherLogin, OwnFiles, Policy, ServiceFormat,
        ServiceSettings, Settings, TokenSettings,
    },
    clock::Clock,
    config::{
        AuthConfig, AuthHttpConfig, AuthHttpFormat, AuthHttpMethod, Config, DeniedPublish, GoAuthAnswers,
        ListenerConfig, OnServiceError, VariableUser,
    },
    router::Ports,
};

/// Reads the configured files and plugs them into the ports that the embedding program has not used. `None`: it has
/// used all of them.
pub(super) fn plug(
    config: &Config,
    ports: &mut Ports,
    in_memory: InMemory,
    listeners: &auth::Listeners,
    clock: Clock,
) -> Result<Option<Arc<Auth>>, AuthError> {
    if ports.authenticate.is_some() && ports.authorize.is_some() {
        return Ok(None);
    }
    let plugged_in = ports.authenticate.is_some();
    let auth = Arc::new(Auth::new(load_with(config, plugged_in, in_memory)?, listeners.clone(), clock));
    ports.authenticate.get_or_insert_with(|| auth.clone());
    ports.authorize.get_or_insert_with(|| auth.clone());
    Ok(Some(auth))
}

/// Reads the configured files. `plugged_in`: the embedding program authenticates clients.
pub(super) fn load(config: &Config, plugged_in: bool) -> Result<Policy, AuthError> {
    load_with(config, plugged_in, InMemory::default())
}

/// The same, with users and rules without a file.
pub(super) fn load_with(config: &Config, plugged_in: bool, in_memory: InMemory) -> Result<Policy, AuthError> {
    Policy::load(&whole_settings(config, plugged_in, in_memory))
}

/// The same, with `dynsec` instead of the content of `auth.dynsec_file`.
pub(super) fn load_dynsec(
    config: &Config,
    plugged_in: bool,
    in_memory: InMemory,
    dynsec: &[u8],
) -> Result<Policy, AuthError> {
    Policy::load_with(&whole_settings(config, plugged_in, in_memory), Some(dynsec))
}

fn whole_settings(config: &Config, plugged_in: bool, in_memory: InMemory) -> Settings {
    let other_login = match plugged_in {
        true => Some(OtherLogin::PlugIn),
        false => config.asks_for_certificates().then_some(OtherLogin::Certificates),
    };
    Settings { other_login, in_memory, ..settings(config) }
}

fn settings(config: &Config) -> Settings {
    let AuthConfig {
        password_file,
        scram_from_password_file,
        user,
        acl_file,
        dynsec_file,
        denied_publish,
        failed_login_delay,
        order,
        services,
        // the router uses these
        session_owner: _,
        client_id: _,
        client_id_prefixes: _,
        auto_id_prefix: _,
        allow_zero_length_client_id: _,
        check_retain_source: _,
        token_secret,
        token_secret_file,
        token_key_file,
        token_jwks_file,
        token_jwks_url,
        token_introspection_url,
        token_introspection_client_id,
        token_introspection_secret_file,
        token_ca_file,
        token_issuer,
        token_audience,
        token_leeway,
        token_user_claim,
    } = config.auth.clone();
    Settings {
        allow_anonymous: config.allow_anonymous,
        other_login: None,
        password_file,
        scram_from_password_file,
        variable_user: user.map(|VariableUser { name, password_file }| auth::VariableUser { name, password_file }),
        acl_file,
        in_memory: InMemory::default(),
        dynsec_file,
        own: own_files(config),
        denied_publish_disconnects: denied_publish == DeniedPublish::Disconnect,
        failed_login_delay,
        order,
        services: services.into_iter().map(service).collect(),
        certificate_names: config.listeners.iter().any(|listener| listener.identity.is_some()),
        tokens: TokenSettings {
            secret: token_secret,
            secret_file: token_secret_file,
            key_file: token_key_file,
            jwks_file: token_jwks_file,
            jwks_url: token_jwks_url,
            introspection_url: token_introspection_url,
            introspection_id: token_introspection_client_id,
            introspection_secret_file: token_introspection_secret_file,
            authorities: token_ca_file,
            issuer: token_issuer,
            audience: token_audience.map(Audience::written),
            leeway: token_leeway,
            user_claim: token_user_claim,
        },
    }
}

fn service(config: AuthHttpConfig) -> ServiceSettings {
    ServiceSettings {
        name: config.name,
        url: config.url,
        format: match config.format {
            AuthHttpFormat::Emqx => ServiceFormat::Emqx,
            AuthHttpFormat::GoAuth => ServiceFormat::GoAuth(match config.answers {
                GoAuthAnswers::Status => GoAuthAnswer::Status,
                GoAuthAnswers::Json => GoAuthAnswer::Json,
                GoAuthAnswers::Text => GoAuthAnswer::Text,
            }),
        },
        superuser_url: config.superuser_url,
        aclcheck_url: config.aclcheck_url,
        get: config.method == AuthHttpMethod::Get,
        headers: config.headers,
        body: config.body,
        timeout: config.timeout,
        max_requests: config.max_requests,
        cache_yes: config.cache_yes,
        cache_no: config.cache_no,
        stale_while_down: config.stale_while_down,
        next_if_down: config.on_error == OnServiceError::Next,
        authorities: config.ca_file,
    }
}

/// The files of listeners with their own, without repetition.
fn own_files(config: &Config) -> Vec<OwnFiles> {
    let mut all = Vec::new();
    for files in config.listeners.iter().map(|listener| of_listener(listener).files).filter(|files| !files.is_empty()) {
        if !all.contains(&files) {
            all.push(files);
        }
    }
    all
}

/// The log line about access: which clients may connect, and their rights.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// A warning about a file.
    OfFile(String),
    Warning(&'static str),
    Note(&'static str),
    /// Anonymous clients are refused because of this variable, although the configuration file accepts them.
    RefusedFor(String),
    /// Clients with a user name must prove it.
    Proofs {
        users: Option<usize>,
        tokens: bool,
        services: usize,
    },
    Rules(usize),
    /// Clients of this listener need a certificate.
    Certificates(String),
    /// The same, but clients with a certificate are refused too.
    CertificatesAlone(String),
    /// A listener whose setting for anonymous clients differs from the general one.
    Own {
        listener: String,
        served: bool,
    },
}

/// Warnings about the files, and about users of HTTP who cannot log in, one line each.
pub(super) fn warnings(policy: &Policy, config: &Config) -> Vec<String> {
    let unknown = config.http.users.iter().filter(|user| policy.is_unknown(&user.name));
    let of_http = unknown.map(|user| {
        let tip = match &config.auth.password_file {
            Some(file) => format!("; dunlin passwd {} {:?} adds it", file.display(), user.name),
            None => String::new(),
        };
        format!("http.users: user {:?} is not in auth.password_file and cannot log in{tip}", user.name)
    });
    policy.warnings().iter().cloned().chain(of_http).collect()
}

/// The lines that are logged at the start. A reload logs those that are new.
pub(super) fn lines(policy: &Policy, config: &Config) -> Vec<Line> {
    let mut lines: Vec<_> = warnings(policy, config).into_iter().map(Line::OfFile).collect();
    let (users, rules, tokens) = policy.summary();
    // a client with a certificate is not anonymous: allow_anonymous has no effect on such a listener
    let (certain, others): (Vec<_>, Vec<_>) = config.listeners.iter().partition(|l| l.demands_certificates());
    let allow_anonymous = config.allow_anonymous;
    // a listener's own setting is intended
    let open = others.iter().filter(|l| l.allow_anonymous.is_none()).any(|l| !l.is_loopback());
    let own = others.iter().any(|l| l.allow_anonymous == Some(true) && !l.is_loopback());
    if own {
        lines.push(Line::Warning(
            "any client that reaches a listener beyond loopback may connect: the listener has allow_anonymous = true",
        ));
    }
    if policy.other_login() == Some(OtherLogin::PlugIn) {
        lines.push(Line::Note("the embedding program decides which clients may connect"));
        lines.extend(rules.map(Line::Rules));
        return lines;
    }
    let proofs = (!policy.is_open()).then_some(Line::Proofs { users, tokens, services: policy.services() });
    let is_proved = proofs.is_some();
    lines.extend(proofs);
    if !others.is_empty() && (is_proved || !own || open) {
        let by_certificate = config.listeners.iter().any(|l| l.identity.is_some() || l.demands_certificates());
        lines.extend(match allow_anonymous {
            None if policy.has_login() => match config.refuses_anonymous_for() {
                Some(variable) => Some(Line::RefusedFor(variable.into())),
                None => refused_on_loopback(&others),
            },
            // another listener accepts them
            Some(false) if others.iter().any(|l| l.allow_anonymous == Some(true)) => None,
            _ => of_anonymous(is_proved, allow_anonymous, open, by_certificate),
        });
    }
    lines.extend(config.own_anonymous().map(|(listener, served)| Line::Own { listener: listener.name(), served }));
    for listener in certain {
        let name = listener.name();
        let anonymous = listener.allow_anonymous.or(allow_anonymous) == Some(true);
        lines.push(match anonymous || is_proved || listener.identity.is_some() {
            true => Line::Certificates(name),
            false => Line::CertificatesAlone(name),
        });
    }
    lines.extend(rules.map(Line::Rules));
    lines
}

/// `is_proved`: there are users or tokens. `open`: a listener that other machines can reach uses the general
/// `allow_anonymous`. `by_certificate`: a listener accepts certificates as proof.
fn of_anonymous(is_proved: bool, allow_anonymous: Option<bool>, open: bool, by_certificate: bool) -> Option<Line> {
    let warning = |text| Some(Line::Warning(text));
    match (is_proved, allow_anonymous) {
        (false, Some(true)) if open => {
            warning("any client that reaches a listener may connect: allow_anonymous = true")
        }
        (true, Some(true)) if open => warning("any client without a user name may connect: allow_anonymous = true"),
        (_, Some(true)) => Some(Line::Note("anonymous clients are served")),
        (false, None) if open => warning(
            "no users are configured: only clients on loopback may connect; write `allow_anonymous = true` (or \
             --allow-anonymous) to serve others",
        ),
        (false, None) => Some(Line::Note("anonymous clients are served, on loopback only")),
        (false, Some(false)) if by_certificate => {
            warning("no users are configured and allow_anonymous = false: only clients with a certificate may connect")
        }
        (false, Some(false)) => warning("no users are configured and allow_anonymous = false: no client may connect"),
        (true, _) => None,
    }
}

/// With a login, anonymous clients of these listeners are refused unless the configuration accepts them: advice for
/// listeners that accepted them before.
fn refused_on_loopback(listeners: &[&ListenerConfig]) -> Option<Line> {
    let mut inherit = listeners.iter().filter(|l| l.allow_anonymous.is_none());
    inherit.any(|l| l.is_loopback()).then(|| match listeners.iter().all(|l| l.is_loopback()) {
        true => Line::Note(
            "anonymous clients are refused, also on loopback, because a login is configured; write `allow_anonymous = \
             true` to serve them there",
        ),
        false => Line::Note(
            "anonymous clients are refused, also on loopback, because a login is configured; write `allow_anonymous = \
             true` in the [[listener]] tables of loopback to serve them there",
        ),
    })
}

impl Line {
    pub(super) fn log(&self) {
        match self {
            Self::OfFile(reason) => tracing::warn!(reason, "configuration warning"),
            Self::Warning(text) => tracing::warn!("{text}"),
            Self::Note(text) => tracing::info!("{text}"),
            Self::RefusedFor(variable) => tracing::info!(
                variable,
                "anonymous clients are refused although allow_anonymous = true: a variable configures a login \
                 (DUNLIN_ALLOW_ANONYMOUS=true serves them)"
            ),
            Self::Proofs { users, tokens, services: 0 } => tracing::info!(users, tokens, "login is on"),
            Self::Proofs { users, tokens, services } => tracing::info!(users, tokens, services, "login is on"),
            Self::Rules(rules) => tracing::info!(rules, "access rules are on (auth.acl_file)"),
            Self::Own { listener, served: true } => {
                tracing::info!(listener, "anonymous clients are served on this listener: its allow_anonymous = true");
            }
            Self::Own { listener, served: false } => {
                tracing::info!(listener, "anonymous clients are refused on this listener: its allow_anonymous = false");
            }
            Self::Certificates(listener) => tracing::info!(listener, "clients need a certificate"),
            Self::CertificatesAlone(listener) => tracing::warn!(
                listener,
                "every client is refused, also with a certificate: the listener has no identity, no users are configured, \
                 and anonymous clients are refused (allow_anonymous)"
            ),
        }
    }
}
