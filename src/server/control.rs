//! [`Control`]: the commands of mosquitto's dynamic security, which clients publish to
//! `$CONTROL/dynamic-security/v1`. A thread of its own does one after the other: it writes the file, puts users and
//! roles in force, closes connections, and publishes the answer, in this order.

use std::{
    ops::ControlFlow,
    pin::pin,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    task::{Context, Waker},
};

use super::access;
use crate::{
    auth::{Auth, DynsecEdit, OtherLogin},
    config::Config,
    inside::{Inside, Publication},
    router::{
        Command, Router,
        inspect::{ByAdministrator, Cursor, SESSIONS_A_STEP, Wanted},
    },
    session::Outgoing,
    types::ClientId,
};

/// Where commands are published to.
const TOPIC: &str = "$CONTROL/dynamic-security/v1";
/// Where they are answered.
const ANSWERS: &str = "$CONTROL/dynamic-security/v1/response";
/// Messages that wait for the thread.
const MOST: usize = 1_000;
/// Their bytes.
const MOST_BYTES: usize = 16 << 20;

/// Takes commands from clients, for the thread that does them.
pub(super) struct Control {
    auth: Arc<Auth>,
    /// Set when the server runs.
    server: OnceLock<Serving>,
    /// To the thread, which begins with the first command.
    thread: OnceLock<Option<SyncSender<Asked>>>,
    waiting: Arc<AtomicUsize>,
}

/// The thread's view of the server.
#[derive(Clone)]
pub(super) struct Serving {
    pub config: Arc<tokio::sync::Mutex<Config>>,
    pub auth: Arc<Auth>,
    pub router: Weak<Router>,
    pub inside: Weak<Inside>,
}

/// A message with commands.
struct Asked {
    client: ClientId,
    user: Option<Box<str>>,
    message: Box<[u8]>,
}

impl Control {
    pub(super) fn new(auth: Arc<Auth>) -> Self {
        Self { auth, server: OnceLock::new(), thread: OnceLock::new(), waiting: Arc::default() }
    }

    /// Commands are done from now on.
    pub(super) fn serve(&self, server: Serving) {
        // it is served once
        let _ = self.server.set(server);
    }

    /// `None`: the server does not run yet, or there is no thread to be had.
    fn thread(&self) -> Option<&SyncSender<Asked>> {
        let server = self.server.get()?;
        let begin = || {
            let (sender, receiver) = sync_channel(MOST);
            let (server, waiting) = (server.clone(), self.waiting.clone());
            let thread = std::thread::Builder::new().name("dunlin-control".into());
            let began = thread.spawn(move || serve(&server, &receiver, &waiting));
            began.inspect_err(|error| tracing::error!(reason = %error, "no thread for commands")).ok()?;
            Some(sender)
        };
        self.thread.get_or_init(begin).as_ref()
    }
}

impl Command for Control {
    fn take(&self, message: &Outgoing<'_>) -> bool {
        let Some(client) = message.from else { return false };
        if !self.auth.policy().has_dynsec() {
            return false;
        }
        // mosquitto too withholds unhandled commands from subscribers
        if message.topic.as_str() != TOPIC {
            return true;
        }
        let (user, size) = (message.user.map(|user| user.as_str().into()), message.payload.len());
        let asked = Asked { client: client.clone(), user, message: message.payload.into() };
        let waiting = self.waiting.fetch_add(size, Ordering::Relaxed);
        let is_full = waiting > 0 && waiting.saturating_add(size) > MOST_BYTES;
        if is_full || self.thread().is_none_or(|thread| thread.try_send(asked).is_err()) {
            self.waiting.fetch_sub(size, Ordering::Relaxed);
            tracing::warn!(client = client.as_str(), "a command was dropped: too many wait");
        }
        true
    }
}

/// Until the server is gone.
fn serve(server: &Serving, asked: &Receiver<Asked>, waiting: &AtomicUsize) {
    while let Ok(asked) = asked.recv() {
        waiting.fetch_sub(asked.message.len(), Ordering::Relaxed);
        let (Some(router), Some(inside)) = (server.router.upgrade(), server.inside.upgrade()) else { return };
        if let Some(reply) = server.perform(&router, &asked) {
            // polling publishes it; an answer at QoS 0 does not wait for the store
            let publishing = pin!(inside.publish(Publication::new(ANSWERS, reply)));
            let _ = publishing.poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl Serving {
    /// Applies the commands and returns the answer. `None`: the file is no longer configured.
    fn perform(&self, router: &Router, asked: &Asked) -> Option<Vec<u8>> {
        // no reload meanwhile, which would restore the file's earlier content
        let config = self.config.blocking_lock();
        let mut edit = DynsecEdit::of(config.auth.dynsec_file.as_deref()?, &asked.message);
        if let Some(text) = edit.text() {
            let before = self.auth.policy();
            let (decides, own) = (before.other_login() == Some(OtherLogin::PlugIn), before.in_memory().clone());
            // what cannot be put in force is not written either
            let policy = access::load_dynsec(&config, decides, own, text);
            match policy.map_err(|error| error.to_string()).and_then(|policy| {
                edit.write().map_err(|error| error.to_string())?;
                Ok(policy)
            }) {
                Ok(policy) => {
                    self.auth.replace(policy);
                    close(router, &edit, &asked.client);
                    router.permissions_changed();
                }
                Err(why) => edit.fail_changes(&why),
            }
        }
        edit.log(asked.client.as_str(), asked.user.as_deref());
        Some(edit.reply())
    }
}

/// Closes the connections that mosquitto closes, but for the one that asked: it gets its answer.
fn close(router: &Router, edit: &DynsecEdit, asking: &ClientId) {
    if !edit.closes_some() {
        return;
    }
    let mut found = Vec::new();
    let mut cursor = Some(Cursor::default());
    while let Some(after) = cursor {
        cursor = router.clients(after, Wanted::Connected, SESSIONS_A_STEP, &mut |client| {
            if edit.closes(client.user) && client.client != asking {
                found.push(client.client.clone());
            }
            ControlFlow::Continue(())
        });
    }
    let mut closed = ByAdministrator::new("dynamic security", "what it may do has changed");
    closed.publishes_will = false;
    for client in &found {
        // a client that disconnected meanwhile returns with the new rights
        let _ = router.close(client, &closed);
    }
}
