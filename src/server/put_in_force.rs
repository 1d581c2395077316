//! Reload: reads, checks and binds everything of another configuration, then puts all of it in force, or nothing.

use super::{
    Server, ServerError, access,
    limits::{net_limits, router_limits},
    outward::Outward,
    ready_file::ReadyFile,
    relisten::Plan,
};
use crate::{
    auth::OtherLogin,
    config::{self, Config, HttpConfig, SysConfig},
};

impl Server {
    /// Applies `config` with the present contents of its files: listeners, certificates, keys, client CAs, revocation
    /// lists, users, rules, tokens, limits, `$SYS`. Everything is read and bound first; an error changes nothing.
    /// Returns the changes, one line each, including those that need a restart. The caller applies the level of the
    /// log.
    ///
    /// Connected clients stay connected, also if their listener closes or changes. Clients of removed users are
    /// disconnected; the new rules apply to the others from their next packet on. Listeners that the program
    /// [opened](Server::open_listener) stay open, and their files are read again.
    ///
    /// When this returns, the addresses of closed listeners are free. Files are read on the calling thread.
    pub async fn reload(&self, config: &Config) -> Result<Vec<String>, ServerError> {
        let mut running = self.config.lock().await;
        let put = self.put_in_force(&mut running, config);
        self.http.reloaded(put.is_ok());
        let (lines, closing) = put?;
        for closed in closing {
            closed.await;
        }
        Ok(lines)
    }

    fn put_in_force(
        &self,
        running: &mut Config,
        config: &Config,
    ) -> Result<(Vec<String>, Vec<impl Future<Output = ()> + Send + use<>>), ServerError> {
        if config.listeners.is_empty() {
            return Err(ServerError::NoListener);
        }
        // the steps that may fail
        let prepared = self.http.prepare(config)?;
        // the store is the one that is open: another data_dir needs a restart
        let outward = Config { data_dir: running.data_dir.clone(), ..config.clone() };
        Outward::check(&outward)?;
        let policy = match &self.policies.auth {
            Some(auth) => {
                let plugged_in = auth.policy().other_login() == Some(OtherLogin::PlugIn);
                let in_memory = auth.policy().in_memory().clone();
                Some((auth, access::load_with(config, plugged_in, in_memory)?))
            }
            None => None,
        };
        let plan = Plan::make(&self.listeners, config, running)?;
        self.replace_ready_file(running, config, &plan)?;

        // the steps that cannot fail
        let mut lines = changes(running, config);
        if let Some((auth, policy)) = policy {
            lines.extend(self.policies.replace(running, config, auth, policy));
        }
        let new_warnings = config.warnings.iter().filter(|warning| !running.warnings.contains(warning));
        new_warnings.for_each(|reason| tracing::warn!(reason, "configuration warning"));
        let (of_listeners, closing) = plan.apply(&self.workers);
        lines.extend(of_listeners);
        self.outward.replace(&outward);
        replace_running(running, config);
        self.desk.replace(running);
        lines.extend(self.http.replace(prepared));
        self.http.certificates(self.listeners.certificates());
        self.router.set_limits(router_limits(running));
        self.workers.set_limits(net_limits(running));
        Ok((lines, closing))
    }

    /// Writes the ready file for the listeners of the plan. It is the last step that may fail.
    fn replace_ready_file(&self, running: &Config, config: &Config, plan: &Plan<'_>) -> Result<(), ServerError> {
        let mut ready_file = self.ready_file.lock();
        let listening = plan.listening();
        if listening.is_none() && running.ready_file == config.ready_file {
            return Ok(plan.set_modes()?);
        }
        let listening = listening.unwrap_or_else(|| plan.open());
        let prepared = config
            .ready_file
            .as_deref()
            .map(|path| ReadyFile::prepare(path, &listening, &self.http.urls()))
            .transpose()?;
        plan.set_modes()?;
        Ok(ReadyFile::replace(&mut ready_file, prepared)?)
    }
}

/// Updates the configuration in force, except keys that need a restart.
fn replace_running(running: &mut Config, config: &Config) {
    let Config {
        listeners,
        allow_anonymous,
        shutdown_grace,
        ready_file,
        watch,
        server_reference,
        response_information,
        log,
        limits,
        sys,
        auth,
        http,
        bridges,
        webhooks,
        sinks,
        warnings,
        ..
    } = config.clone();
    (running.log.level, running.log.connections) = (log.level, log.connections);
    *running = Config {
        listeners,
        allow_anonymous,
        shutdown_grace,
        ready_file,
        watch,
        server_reference,
        response_information,
        limits,
        // changing sys.events needs a restart
        sys: SysConfig { events: running.sys.events, ..sys },
        auth,
        // changing the address needs a restart
        http: HttpConfig { listen: running.http.listen.clone(), health: running.http.health.clone(), ..http },
        bridges,
        webhooks,
        sinks,
        warnings,
        ..running.clone()
    };
    let mut origins = config.origins.clone();
    // a key that needs a restart still has its earlier value
    config::changes(running, config).iter().for_each(|change| origins.keep(&change.key, &running.origins));
    running.origins = origins;
}

/// All changed keys, except those of listeners.
fn changes(running: &Config, config: &Config) -> Vec<String> {
    let all = config::changes(running, config).into_iter().filter(|change| change.key != "listener");
    let lines = all.map(|change| {
        let restart = if AT_ONCE.iter().any(|key| change.key.starts_with(key)) { "" } else { " (after a restart)" };
        format!("{change}{restart}")
    });
    lines.collect()
}

/// The keys and tables that apply without a restart.
const AT_ONCE: [&str; 26] = [
    "bridge.",
    "webhook.",
    "sink.",
    "allow_anonymous",
    "shutdown_grace",
    "ready_file",
    "watch",
    "server_reference",
    "response_information",
    "auth.",
    "http.certificate_file",
    "http.key_file",
    "http.users",
    "http.keys_file",
    "http.audit_file",
    "http.metrics_open",
    "http.allowed_hosts",
    "http.console",
    "http.mqtt",
    "http.slow_threshold",
    "http.drain_delay",
    "log.level",
    "log.connections",
    "limits.",
    "sys.interval",
    "sys.client_publish",
];
