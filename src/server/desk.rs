//! [`Desk`]: the HTTP side's access to a server: its configuration and rules, and requests for a reload.

use std::{
    future::poll_fn,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::{
    access,
    bans::BanDesk,
    carry,
    edits::{self, EditError},
    http,
    listeners::Listeners,
    outward::Outward,
    policies::Policies,
};
use crate::{
    admin::{
        AddedKey, Asked, BridgeState, Control, Doing, Imported, LoginServiceState, NewPassword, Reloading, RuleEdit,
        RuleShown, RulesShown, Setting, SinkState, TokenKeysState, UserShown, WebhookState, Whom,
    },
    auth::{self, ApiKey, AuthError, PasswordChange, Question},
    bridge::{Phase, View},
    config::{self, Config, SysPublish},
    hooks,
    router::inspect::{Ban, BanTarget},
    types::Role,
};

/// The HTTP side's access to a server.
pub(super) struct Desk {
    /// The configuration in force.
    config: ArcSwap<Config>,
    /// The same; held while a file is edited, as by a reload.
    running: Arc<tokio::sync::Mutex<Config>>,
    policies: Policies,
    bans: Arc<BanDesk>,
    listeners: Arc<Listeners>,
    outward: Arc<Outward>,
    asked: mpsc::Sender<ReloadAsked>,
    is_heard: Arc<AtomicBool>,
}

/// Requests for a reload that wait for the program that runs the server.
pub(super) struct ReloadsAsked {
    asked: Mutex<mpsc::Receiver<ReloadAsked>>,
    is_heard: Arc<AtomicBool>,
}

/// A request for a reload.
#[derive(Debug)]
pub struct ReloadAsked(oneshot::Sender<Result<Vec<String>, String>>);

impl ReloadAsked {
    /// Answers it: the changes, one line each, or why nothing changed.
    pub fn done(self, result: Result<Vec<String>, String>) {
        // the HTTP side may have given up
        let _ = self.0.send(result);
    }
}

impl ReloadsAsked {
    pub(super) async fn next(&self) -> ReloadAsked {
        self.is_heard.store(true, Ordering::Release);
        let next = poll_fn(|cx| self.asked.lock().poll_recv(cx)).await;
        match next {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }
}

impl Desk {
    pub(super) fn new(
        config: &Config,
        running: Arc<tokio::sync::Mutex<Config>>,
        policies: Policies,
        listeners: Arc<Listeners>,
        bans: Arc<BanDesk>,
        outward: Arc<Outward>,
    ) -> (Arc<Self>, ReloadsAsked) {
        let (sender, receiver) = mpsc::channel(1);
        let is_heard = Arc::<AtomicBool>::default();
        let config = ArcSwap::from_pointee(config.clone());
        let heard = is_heard.clone();
        let desk = Self { config, running, policies, bans, listeners, outward, asked: sender, is_heard: heard };
        (Arc::new(desk), ReloadsAsked { asked: Mutex::new(receiver), is_heard })
    }

    /// Sets the configuration in force.
    pub(super) fn replace(&self, config: &Config) {
        self.config.store(Arc::new(config.clone()));
    }
}

impl Desk {
    /// Edits a file of users or rules, and puts it in force.
    fn edit<T: Send + 'static>(
        &self,
        key: &'static str,
        file: fn(&Config) -> &Option<PathBuf>,
        edit: impl FnOnce(&Path) -> Result<T, AuthError> + Send + 'static,
    ) -> Doing<T> {
        let policies = self.policies.clone();
        edits::with_file(&self.running, key, file, move |config, path| {
            let auth = policies.auth.as_ref().ok_or(EditError::PluggedIn)?;
            let old = std::fs::read(path).unwrap_or_default();
            let done = edit(path)?;
            policies.edited(config, auth, path, &old).map_err(EditError::InForce)?;
            Ok(done)
        })
    }
}

const PASSWORDS: &str = "auth.password_file";
const KEYS: &str = "http.keys_file";
const RULES: &str = "auth.acl_file";

fn keys_file(config: &Config) -> &Option<PathBuf> {
    &config.http.keys_file
}

fn password_file(config: &Config) -> &Option<PathBuf> {
    &config.auth.password_file
}

fn acl_file(config: &Config) -> &Option<PathBuf> {
    &config.auth.acl_file
}

impl From<auth::RuleOf> for Whom {
    fn from(of: auth::RuleOf) -> Self {
        match of {
            auth::RuleOf::Anonymous => Self::Anonymous,
            auth::RuleOf::User(name) => Self::User(name),
            auth::RuleOf::Everybody => Self::Everybody,
        }
    }
}

impl From<Whom> for auth::RuleOf {
    fn from(of: Whom) -> Self {
        match of {
            Whom::Anonymous => Self::Anonymous,
            Whom::User(name) => Self::User(name),
            Whom::Everybody => Self::Everybody,
        }
    }
}

impl Control for Desk {
    fn listeners(&self) -> Vec<(u16, String)> {
        let all = self.listeners.all();
        let all = all.into_iter().map(|one| (one.number, one.endpoint.with(one.transport).to_string()));
        all.chain(self.listeners.http().map(|number| (number, "http".to_owned()))).collect()
    }

    fn bridges(&self) -> Vec<BridgeState> {
        self.outward.bridges.views().into_iter().map(state_of).collect()
    }

    fn login_services(&self) -> Vec<LoginServiceState> {
        let figures = self.policies.auth.as_ref().map(|auth| auth.service_figures()).unwrap_or_default();
        figures.into_iter().map(state_of_service).collect()
    }

    fn token_keys(&self) -> Option<TokenKeysState> {
        let auth::TokenKeyFigures { url, fetched, failed, keys, waiting, down, error } =
            self.policies.auth.as_ref()?.token_key_figures()?;
        Some(TokenKeysState { url, fetched, failed, keys, waiting, up: !down, error })
    }

    fn pause_bridge(&self, name: &str, paused: bool) -> bool {
        self.outward.bridges.pause(name, paused)
    }

    fn webhooks(&self) -> Vec<WebhookState> {
        self.outward.hooks.views().into_iter().map(state_of_hook).collect()
    }

    fn sinks(&self) -> Vec<SinkState> {
        self.outward.sinks.views().into_iter().map(state_of_sink).collect()
    }

    fn settings(&self) -> Vec<Setting> {
        let config = self.config.load();
        let all = config::settings(&config).into_iter();
        all.map(|(key, value)| Setting { from: config.origins.of(&key).map(str::to_owned), key, value }).collect()
    }

    fn config_file(&self) -> Option<String> {
        self.config.load().origins.file().map(|file| file.display().to_string())
    }

    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (key, value) in config::settings(&self.config.load()) {
            hash.update(format!("{key} = {value}\n"));
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    fn check(&self, text: &str) -> Result<Vec<String>, String> {
        let checked = config::parse(text, "the body").map_err(|error| error.to_string())?;
        let plugged_in = self.policies.auth.is_none();
        access::load(&checked, plugged_in).map_err(|error| error.to_string())?;
        http::check(&checked, plugged_in).map_err(|error| error.to_string())?;
        let running = self.config.load();
        let changes = config::changes(&running, &checked).into_iter();
        let by_file = changes.filter(|change| !running.origins.is_above_files(&change.key));
        Ok(by_file.map(|change| change.to_string()).collect())
    }

    fn explain(&self, asked: &Asked<'_>) -> Option<(bool, String)> {
        let policy = self.policies.auth.as_ref()?.policy();
        let Asked { user, client, publish, topic } = *asked;
        if publish && topic.starts_with("$SYS/") && self.config.load().sys.client_publish != SysPublish::Allow {
            return Some((false, "sys.client_publish: clients may not publish to $SYS".into()));
        }
        if publish && topic.starts_with("$events/") {
            return Some((false, "clients may not publish to $events".into()));
        }
        let explained = policy.explain(&Question { user, client, publish, topic });
        Some((explained.allowed, explained.because))
    }

    fn reload(&self) -> Reloading {
        let (asked, is_heard) = (self.asked.clone(), self.is_heard.load(Ordering::Acquire));
        Box::pin(async move {
            let (done, result) = oneshot::channel();
            if !is_heard || asked.send(ReloadAsked(done)).await.is_err() {
                return None;
            }
            result.await.ok()
        })
    }

    fn add_key(&self, name: String, role: Role, expires: Option<SystemTime>) -> Doing<AddedKey> {
        let admits = self.policies.admits.clone();
        edits::with_file(&self.running, KEYS, keys_file, move |config, path| {
            let (key, added) = ApiKey::add(path, &name, role, expires)?;
            admits.replace(config)?;
            Ok(AddedKey { key, expires: added.expires })
        })
    }

    fn delete_key(&self, name: String) -> Doing<()> {
        let admits = self.policies.admits.clone();
        edits::with_file(&self.running, KEYS, keys_file, move |config, path| {
            ApiKey::delete(path, &name)?;
            Ok(admits.replace(config)?)
        })
    }

    fn users(&self) -> Doing<(Vec<UserShown>, String)> {
        edits::with_file(&self.running, PASSWORDS, password_file, |_, path| {
            let (users, version) = auth::read_users(path)?;
            let shown = |auth::UserLine { name, stored }| UserShown { name, stored };
            Ok((users.into_iter().map(shown).collect(), version))
        })
    }

    fn set_user(&self, name: String, password: NewPassword, expected: Option<String>) -> Doing<(bool, String)> {
        self.edit(PASSWORDS, password_file, move |path| {
            let NewPassword { password, scram_iterations } = &password;
            let wrong = |problem: &str| AuthError::Rule { problem: format!("the password {problem}") };
            auth::check_password(password).map_err(wrong)?;
            let change = match scram_iterations {
                Some(iterations) => {
                    auth::check_scram(password).map_err(wrong)?;
                    let of_name = |problem: &str| AuthError::Rule { problem: format!("the user name {problem}") };
                    auth::check_scram(name.as_bytes()).map_err(of_name)?;
                    PasswordChange::SetScram { password, iterations: *iterations }
                }
                None => PasswordChange::Set(password),
            };
            let (edited, version) = auth::edit_user(path, &name, change, expected.as_deref())?;
            Ok((edited == auth::Edited::Added, version))
        })
    }

    fn delete_user(&self, name: String, expected: Option<String>) -> Doing<(String, usize)> {
        let config = self.config.load_full();
        self.edit(PASSWORDS, password_file, move |path| {
            let (_, version) = auth::edit_user(path, &name, PasswordChange::Delete, expected.as_deref())?;
            // the user is deleted, also if the rules cannot be read
            let rules = acl_file(&config).as_deref().and_then(|path| auth::read_rules(path).ok());
            let rules = rules.map_or_else(Vec::new, |(_, rules, _)| rules);
            let left = rules.iter().filter(|rule| matches!(&rule.of, auth::RuleOf::User(of) if *of == name)).count();
            Ok((version, left))
        })
    }

    fn rules(&self) -> Doing<RulesShown> {
        edits::with_file(&self.running, RULES, acl_file, |_, path| {
            let (text, rules, version) = auth::read_rules(path)?;
            let shown = |auth::RuleLine { of, access, filter, line }| RuleShown { line, of: of.into(), access, filter };
            Ok(RulesShown { text, rules: rules.into_iter().map(shown).collect(), version })
        })
    }

    fn edit_rules(&self, edit: RuleEdit, expected: Option<String>) -> Doing<(String, Option<String>)> {
        let policy = self.policies.auth.as_ref().map(|auth| auth.policy());
        let warning = match &edit {
            RuleEdit::Set { of: Whom::User(name), .. } if policy.is_some_and(|policy| policy.is_unknown(name)) => {
                Some(format!("user {name:?} is not in auth.password_file and cannot log in"))
            }
            _ => None,
        };
        let change = match edit {
            RuleEdit::Text(text) => auth::RulesChange::Text(text),
            RuleEdit::Set { of, access, filter } => auth::RulesChange::Set { of: of.into(), access, filter },
            RuleEdit::Delete { of, filter } => auth::RulesChange::Delete { of: of.into(), filter },
        };
        self.edit(RULES, acl_file, move |path| Ok((auth::edit_rules(path, &change, expected.as_deref())?, warning)))
    }

    fn export(&self, out: Box<dyn std::io::Write + Send>) -> Doing<()> {
        carry::export(&self.running, out)
    }

    fn read_export(&self, text: Bytes, now: Instant) -> Doing<Imported> {
        carry::read(&self.running, text, now)
    }

    fn add_users(&self, lines: Vec<String>) -> Doing<usize> {
        self.edit(PASSWORDS, password_file, move |path| auth::add_users(path, &lines))
    }

    fn ban(&self, ban: Ban) -> Doing<usize> {
        let bans = self.bans.clone();
        edits::apart(move || Ok(bans.ban(ban)?))
    }

    fn unban(&self, target: BanTarget) -> Doing<bool> {
        let bans = self.bans.clone();
        edits::apart(move || Ok(bans.unban(&target)?))
    }
}

fn state_of(view: View) -> BridgeState {
    let View { name, phase, address, version, since, error, counts, .. } = view;
    BridgeState {
        name,
        state: phase.name(),
        connected: phase == Phase::Connected,
        address,
        protocol: version.map(|version| version.to_string()),
        since,
        error,
        counts: counts.all().into(),
    }
}

fn state_of_service(figures: auth::ServiceFigures) -> LoginServiceState {
    let auth::ServiceFigures { name, url, is_introspection, requests, cache_hits, stale, checks, waiting, down, error } =
        figures;
    LoginServiceState { name, url, is_introspection, requests, cache_hits, stale, checks, waiting, up: !down, error }
}

fn state_of_sink(view: hooks::SinkView) -> SinkState {
    let hooks::SinkView { name, file, fails, error, counts } = view;
    SinkState { name, file: file.display().to_string(), fails, error, counts: counts.all().into() }
}

fn state_of_hook(view: hooks::View) -> WebhookState {
    let hooks::View { name, url, fails, is_stopped, error, counts } = view;
    WebhookState { name, url, fails, is_stopped, error, counts: counts.all().into() }
}
