//! [`Desk`]: the HTTP side's access to a server: its configuration and rules, and requests for a reload.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::{
    access, edits,
    http::{self, Admits},
    listeners::Listeners,
};
use crate::{
    admin::{AddedKey, Asked, Control, Doing, Reloading, Setting},
    auth::{ApiKey, Auth, Question},
    config::{self, Config, SysPublish},
    types::Role,
};

/// The HTTP side's access to a server.
pub(super) struct Desk {
    /// The configuration in force.
    config: ArcSwap<Config>,
    /// The same; held while a file is edited, as by a reload.
    running: Arc<tokio::sync::Mutex<Config>>,
    admits: Admits,
    auth: Option<Arc<Auth>>,
    listeners: Arc<Listeners>,
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
        auth: Option<Arc<Auth>>,
        listeners: Arc<Listeners>,
        admits: Admits,
    ) -> (Arc<Self>, ReloadsAsked) {
        let (sender, receiver) = mpsc::channel(1);
        let is_heard = Arc::<AtomicBool>::default();
        let config = ArcSwap::from_pointee(config.clone());
        let desk = Self { config, running, admits, auth, listeners, asked: sender, is_heard: is_heard.clone() };
        (Arc::new(desk), ReloadsAsked { asked: Mutex::new(receiver), is_heard })
    }

    /// Sets the configuration in force.
    pub(super) fn replace(&self, config: &Config) {
        self.config.store(Arc::new(config.clone()));
    }
}

impl Control for Desk {
    fn listeners(&self) -> Vec<(u16, String)> {
        let all = self.listeners.all();
        let all = all.into_iter().map(|one| (one.number, one.endpoint.with(one.transport).to_string()));
        all.chain(self.listeners.http().map(|number| (number, "http".to_owned()))).collect()
    }

    fn settings(&self) -> Vec<Setting> {
        let config = self.config.load();
        let all = config::settings(&config).into_iter();
        all.map(|(key, value)| Setting { from: config.origins.of(&key).map(str::to_owned), key, value }).collect()
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
        let plugged_in = self.auth.is_none();
        access::load(&checked, plugged_in).map_err(|error| error.to_string())?;
        http::check(&checked, plugged_in).map_err(|error| error.to_string())?;
        Ok(config::changes(&self.config.load(), &checked).iter().map(ToString::to_string).collect())
    }

    fn explain(&self, asked: &Asked<'_>) -> Option<(bool, String)> {
        let policy = self.auth.as_ref()?.policy();
        let Asked { user, client, publish, topic } = *asked;
        if publish && topic.starts_with("$SYS/") && self.config.load().sys.client_publish != SysPublish::Allow {
            return Some((false, "sys.client_publish: clients may not publish to $SYS".into()));
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
        let admits = self.admits.clone();
        edits::with_file(
            &self.running,
            "http.keys_file",
            |config| &config.http.keys_file,
            move |config, path| {
                let (key, added) = ApiKey::add(path, &name, role, expires)?;
                admits.replace(config)?;
                Ok(AddedKey { key, expires: added.expires })
            },
        )
    }

    fn delete_key(&self, name: String) -> Doing<()> {
        let admits = self.admits.clone();
        edits::with_file(
            &self.running,
            "http.keys_file",
            |config| &config.http.keys_file,
            move |config, path| {
                ApiKey::delete(path, &name)?;
                Ok(admits.replace(config)?)
            },
        )
    }
}
