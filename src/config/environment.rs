//! The environment variables of keys, which override the file; a warning about unknown variables. Variables that also
//! have a flag are read with the flags.

use std::{collections::BTreeSet, ffi::OsString};

use clap::CommandFactory;

use super::{
    cli::Cli,
    error::ConfigError,
    keys::Key,
    likeness::nearest,
    origins::PREFIX,
    plain::read_plain_by,
    settings::{Config, VariableUser},
    tables::TABLES,
};

/// Applies the variables of keys over the file. An empty one counts as unset.
pub(super) fn apply(config: &mut Config) -> Vec<ConfigError> {
    apply_from(config, |name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

fn apply_from(config: &mut Config, look_up: impl Fn(&str) -> Option<OsString>) -> Vec<ConfigError> {
    let (of_flags, mut errors) = (of_flags(), Vec::new());
    for (variable, full, key) in of_keys().filter(|(variable, ..)| !of_flags.contains(variable)) {
        let Some(value) = look_up(&variable) else { continue };
        match set(key, config, value) {
            Ok(()) => config.origins.set(&full, &variable),
            Err(problem) => errors.push(ConfigError::Variable { variable, problem }),
        }
    }
    match user(&look_up) {
        Ok(user) => config.auth.user = user,
        Err((variable, problem)) => errors.push(ConfigError::Variable { variable: variable.into(), problem }),
    }
    refuse_anonymous(config);
    errors
}

/// A user in memory: a name, and a file with its password.
fn user(look_up: impl Fn(&str) -> Option<OsString>) -> Result<Option<VariableUser>, (&'static str, String)> {
    match (look_up(USER), look_up(USER_PASSWORD_FILE)) {
        (None, None) => Ok(None),
        (Some(name), Some(file)) => {
            let name = name.into_string().map_err(|_| (USER, "its value is not UTF-8".to_owned()))?;
            Ok(Some(VariableUser { name, password_file: file.into() }))
        }
        (Some(_), None) => {
            Err((USER, format!("{USER_PASSWORD_FILE} is missing: a file whose first line is the password")))
        }
        (None, Some(_)) => Err((USER_PASSWORD_FILE, format!("{USER} is missing: the name of the user"))),
    }
}

/// Refuses anonymous clients once a variable sets up a login, even if the file serves everybody, as that of the
/// container image does. The flag and the variable of `allow_anonymous` override this.
fn refuse_anonymous(config: &mut Config) {
    let by_variable = |key: &&str| config.origins.of(key).is_some_and(|origin| origin.starts_with(PREFIX));
    let variable = match &config.auth.user {
        Some(_) => Some(USER.to_owned()),
        None => LOGINS.iter().find(|key| by_variable(key)).and_then(|key| config.origins.of(key)).map(Into::into),
    };
    if let (Some(variable), Some(true)) = (variable, config.allow_anonymous) {
        config.allow_anonymous = None;
        config.origins.set("allow_anonymous", &variable);
    }
}

fn set(key: &Key<Config>, config: &mut Config, value: OsString) -> Result<(), String> {
    let text = value.into_string().map_err(|_| "its value is not UTF-8".to_owned())?;
    read_plain_by(&text, &(key.allowed)(), |written| (key.read)(config, written))
}

/// For each key that has a variable: the variable, the key with its table, and the key.
fn of_keys() -> impl Iterator<Item = (String, String, &'static Key<Config>)> {
    TABLES.into_iter().flat_map(|table| {
        let of = |key: &'static Key<Config>| Some((table.variable(key.name)?, table.full(key.name), key));
        table.keys.iter().filter_map(of)
    })
}

fn of_flags() -> Vec<String> {
    Cli::command().get_arguments().filter_map(|arg| Some(arg.get_env()?.to_str()?.to_owned())).collect()
}

/// A line for each variable that begins with `DUNLIN_` and is not known. `used`: those that the configuration names.
pub(super) fn warnings(used: &BTreeSet<String>) -> Vec<String> {
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut set: Vec<_> = set.filter(|name| !used.contains(name)).collect();
    set.sort();
    unknown(set.iter().map(String::as_str))
}

fn unknown<'a>(set: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut known = of_flags();
    known.extend(of_keys().map(|(variable, ..)| variable).chain([USER, USER_PASSWORD_FILE].map(Into::into)));
    let is_known = |name: &str| known.iter().any(|known| known == name);
    let of_dunlin = set.filter(|name| name.starts_with(PREFIX) && !is_known(name) && !is_of_kubernetes(name));
    let bare: Vec<_> = known.iter().map(|name| name.trim_start_matches(PREFIX).to_ascii_lowercase()).collect();
    let line = |name: &str| {
        let hint = match nearest(name.trim_start_matches(PREFIX), bare.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {PREFIX}{}?", near.to_ascii_uppercase()),
            None => "\"dunlin --help\" and \"dunlin --print-config\" name those that are".into(),
        };
        format!("the environment variable {name} is not read; {hint}")
    };
    of_dunlin.map(line).collect()
}

/// Kubernetes sets these in every container of a namespace that has a service named dunlin, or dunlin-…:
/// `DUNLIN_SERVICE_HOST`, `DUNLIN_PORT_1883_TCP_ADDR`, `DUNLIN_WS_PORT`.
fn is_of_kubernetes(name: &str) -> bool {
    name.contains("_SERVICE_") || name.ends_with("_PORT") || name.contains("_PORT_")
}

const USER: &str = "DUNLIN_USER";
const USER_PASSWORD_FILE: &str = "DUNLIN_USER_PASSWORD_FILE";
/// The keys that set up a login.
const LOGINS: [&str; 7] = [
    "auth.password_file",
    "auth.token_secret",
    "auth.token_secret_file",
    "auth.token_key_file",
    "auth.token_jwks_file",
    "auth.token_jwks_url",
    "auth.token_introspection_url",
];

#[cfg(test)]
mod tests {
    use super::super::reference;
    use super::*;

    #[test]
    fn an_unknown_variable_is_reported_with_the_nearest_name() {
        let set = [
            "PATH",
            "DUNLIN_LISTEN",
            "DUNLIN_LOG_LEVLE",
            "DUNLIN_LIMITS_MAX_CONNECTING",
            "DUNLIN_LIMITS_MAX_SESSION",
            "DUNLIN_PORT",
            "DUNLIN_PORT_1883_TCP_ADDR",
            "DUNLIN_QQ",
        ];
        let kubernetes =
            ["DUNLIN_SERVICE_HOST", "DUNLIN_SERVICE_PORT_MQTT", "DUNLIN_WS_PORT", "DUNLIN_WS_SERVICE_PORT"];
        let expected = [
            "the environment variable DUNLIN_LOG_LEVLE is not read; did you mean DUNLIN_LOG_LEVEL?",
            "the environment variable DUNLIN_LIMITS_MAX_SESSION is not read; did you mean DUNLIN_LIMITS_MAX_SESSIONS?",
            "the environment variable DUNLIN_QQ is not read; \"dunlin --help\" and \"dunlin --print-config\" name those that \
             are",
        ];
        assert_eq!(unknown(set.into_iter().chain(kubernetes)), expected);
    }

    /// The default of each key, without TOML's quotation marks, is a valid value of its variable.
    #[test]
    fn every_key_has_a_variable_that_accepts_its_default() {
        let defaults = Config::default();
        for (variable, full, key) in of_keys() {
            assert!(!is_of_kubernetes(&variable), "{variable}");
            assert!(reference::toml().contains(&format!("Variable: {variable}.")), "{variable}");
            let value = (key.write)(&defaults);
            if of_flags().contains(&variable) || value == "\"\"" {
                continue;
            }
            let mut config = Config::default();
            let errors = apply_from(&mut config, |name| (name == variable).then(|| value.trim_matches('"').into()));
            assert!(errors.is_empty() && config == defaults, "{variable}: {errors:?}");
            assert_eq!(config.origins.of(&full), Some(&*variable));
            let [error] = &apply_from(&mut config, |name| (name == variable).then(|| "no such".into()))[..] else {
                const TEXTS: [&str; 3] = ["auth.token_user_claim", "auth.client_id_prefixes", "auth.auto_id_prefix"];
                assert!(TEXTS.contains(&&*full), "{full}: of the texts only {TEXTS:?} have a default");
                continue;
            };
            let (error, allowed) = (error.to_string(), (key.allowed)());
            assert!(error.starts_with(&format!("{variable}: ")) && error.contains(&allowed), "{error}");
        }
    }

    #[test]
    fn a_variable_s_text_is_used_unchanged_and_a_secret_is_not_shown() {
        let mut config = Config::default();
        let errors = apply_from(&mut config, |name| match name {
            "DUNLIN_AUTH_TOKEN_ISSUER" => Some("true".into()),
            "DUNLIN_AUTH_TOKEN_SECRET" => Some("${hush".into()),
            "DUNLIN_AUTH_ACL_FILE" => Some("relative/acl".into()),
            _ => None,
        });
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(config.auth.token_issuer.as_deref(), Some("true"));
        assert_eq!(config.auth.token_secret.as_ref().map(|secret| secret.0.as_str()), Some("${hush"));
        assert_eq!(config.auth.acl_file.as_deref(), Some("relative/acl".as_ref()));
        assert_eq!(config.origins.relative("auth.acl_file"), None);
    }
}
