//! The effect of a new configuration on open listeners: read and bound first ([`Plan::make`]), then applied
//! ([`Plan::apply`]), which cannot fail.

use std::io;

use parking_lot::MutexGuard;

use super::listeners::{self, Bound, By, ListenError, Listeners, Listening, OfListeners, Open, Read};
use crate::{
    config::{self, Config, ListenerConfig},
    net::{self, ListenerOptions, Workers},
    platform,
    types::Endpoint,
};

/// Everything is read and bound, and nothing is changed yet.
pub(super) struct Plan<'a> {
    open: MutexGuard<'a, Vec<Open>>,
    of: &'a OfListeners,
    next: Vec<Next>,
    gone: Vec<Open>,
    /// The changes as text for the operator.
    lines: Vec<String>,
    warnings: Vec<String>,
}

/// A listener after the reload.
struct Next {
    open: Open,
    change: ListenerChange,
}

enum ListenerChange {
    None,
    ListenerOptions(ListenerOptions),
    Opens(net::Listener, ListenerOptions),
}

impl<'a> Plan<'a> {
    /// Reads the files of all listeners, including those that the embedding program opened, and binds new ones. An
    /// error changes nothing. `running`: the configuration in force.
    pub(super) fn make(listeners: &'a Listeners, config: &Config, running: &Config) -> Result<Self, ListenError> {
        listeners::check_passed(config, listeners.passed())?;
        let (open, of) = listeners.hold();
        let mut before = open.clone();
        let mut wanted = Vec::new();
        for one in &config.listeners {
            let read = Read::of(one)?;
            // all sockets with one name are for the same listener, and there may be none
            let most = if matches!(one.address, Endpoint::Passed(_)) { usize::MAX } else { 1 };
            let mut found = 0;
            let is_its = |open: &mut Open| {
                let is_its = found < most && open.by == By::Config && is_same(open, one);
                found += usize::from(is_its);
                is_its
            };
            let same: Vec<_> = before.extract_if(.., is_its).collect();
            if same.is_empty() {
                wanted.push((None, one.clone(), read));
            } else {
                wanted.extend(same.into_iter().map(|open| (Some(open), one.clone(), read.clone())));
            }
        }
        let (own, gone): (Vec<_>, Vec<_>) = before.into_iter().partition(|open| open.by == By::Program);
        for one in own {
            let config = one.config.clone();
            let read = Read::of(&config)?;
            wanted.push((Some(one), config, read));
        }
        let mut plan = Self { open, of, next: Vec::new(), gone, lines: Vec::new(), warnings: Vec::new() };
        let mut numbered = of.numbered();
        for (before, wanted, read) in wanted {
            match before {
                Some(before) => plan.keep(before, wanted, read),
                None => {
                    let bound = read.bind(&wanted, listeners.passed()).map_err(|error| plan.explain(error));
                    let is_new = running.listeners != config.listeners;
                    for bound in listeners::tolerate(config, bound, is_new)?.into_iter().flatten() {
                        plan.warnings.extend_from_slice(&bound.warnings);
                        plan.add(bound, numbered)?;
                        numbered += 1;
                    }
                }
            }
        }
        plan.lines.extend(plan.gone.iter().map(|open| format!("{} is closed", name(open))));
        Ok(plan)
    }

    /// A listener that stays open, possibly with other settings.
    fn keep(&mut self, before: Open, config: ListenerConfig, read: Read) {
        let open = Open {
            listening: Listening::new(before.listening.number, before.listening.endpoint, &config),
            config,
            contents: read.contents,
            expires: listeners::expires(&read.listener_options),
            warnings: read.warnings,
            by: before.by,
        };
        let is_new = |warning: &&String| !before.warnings.contains(warning);
        self.warnings.extend(open.warnings.iter().filter(is_new).cloned());
        let settings = config::listener_changes(&before.config, &open.config);
        let files = open.contents.changed_since(&before.contents);
        // unchanged settings keep the keys for tickets, so that clients can resume their sessions
        let change = match settings.is_empty() && open.contents == before.contents {
            true => ListenerChange::None,
            false => ListenerChange::ListenerOptions(read.listener_options),
        };
        let name = name(&open);
        self.lines.extend(settings.iter().map(|change| format!("{name}: {change}")));
        self.lines.extend(files.iter().map(|file| format!("{file} of {name}")));
        self.next.push(Next { open, change });
    }

    /// A new listener.
    fn add(&mut self, bound: Bound, numbered: usize) -> Result<(), ListenError> {
        let Bound { socket, listener_options, contents, warnings, config } = bound;
        let (endpoint, expires) = (socket.endpoint().clone(), listeners::expires(&listener_options));
        let number = listeners::number(numbered, &endpoint)?;
        let listening = Listening::new(number, endpoint, &config);
        let open = Open { listening, config, contents, expires, warnings, by: By::Config };
        self.lines.push(format!("{} is open", name(&open)));
        self.next.push(Next { open, change: ListenerChange::Opens(socket, listener_options) });
        Ok(())
    }

    /// The address may be in use by a listener that this reload closes.
    fn explain(&self, error: ListenError) -> ListenError {
        let ListenError::Bind { address: Endpoint::Ip(address), error } = error else { return error };
        let port = |open: &&Open| open.listening.endpoint.socket_addr().is_some_and(|a| a.port() == address.port());
        match self.gone.iter().find(port) {
            Some(open) if error.kind() == io::ErrorKind::AddrInUse => {
                ListenError::Overlap { address: address.into(), before: open.listening.endpoint.clone() }
            }
            _ => ListenError::Bind { address: address.into(), error },
        }
    }

    /// The open listeners.
    pub(super) fn open(&self) -> Vec<Listening> {
        self.open.iter().map(|open| open.listening.clone()).collect()
    }

    /// The listeners after the reload; `None`: unchanged.
    pub(super) fn listening(&self) -> Option<Vec<Listening>> {
        let next: Vec<_> = self.next.iter().map(|next| next.open.listening.clone()).collect();
        (next != self.open()).then_some(next)
    }

    /// Sets the modes of Unix sockets' files. It is done early because it may fail.
    pub(super) fn set_modes(&self) -> Result<(), ListenError> {
        let unix = self.next.iter().filter(|next| matches!(next.change, ListenerChange::ListenerOptions(_)));
        for open in unix.map(|next| &next.open) {
            // the mode of a passed socket is in its unit
            if let Some(path) = open.config.address.path() {
                platform::set_mode(path, open.config.mode)
                    .map_err(|error| ListenError::Mode { path: path.into(), error })?;
            }
        }
        Ok(())
    }

    /// Applies the plan. Returns the changes, one line each, and futures that complete when removed listeners are
    /// closed.
    pub(super) fn apply(mut self, workers: &Workers) -> (Vec<String>, Vec<impl Future<Output = ()> + Send + use<>>) {
        self.warnings.iter().for_each(|reason| tracing::warn!(reason, "certificate warning"));
        self.of.put(self.next.iter().map(|Next { open, .. }| (open.listening.number, &open.config)));
        self.open.clear();
        for Next { open, change } in self.next {
            match change {
                ListenerChange::None => {}
                ListenerChange::ListenerOptions(listener_options) => {
                    workers.replace(open.listening.number, listener_options)
                }
                ListenerChange::Opens(socket, listener_options) => {
                    workers.listen(open.listening.number, socket, listener_options)
                }
            }
            self.open.push(open);
        }
        let closing = self.gone.iter().filter_map(|open| workers.close(open.listening.number)).collect();
        (self.lines, closing)
    }
}

/// Is this the wanted listener, possibly with other settings? A listener on a port that the system chose also matches
/// that port. Port 0 with another transport is another listener.
fn is_same(open: &Open, wanted: &ListenerConfig) -> bool {
    let any_port = wanted.address.socket_addr().is_some_and(|address| address.port() == 0);
    let same_transport = open.config.transport == wanted.transport;
    open.listening.endpoint == wanted.address || open.config.address == wanted.address && (same_transport || !any_port)
}

fn name(open: &Open) -> String {
    let Listening { transport, endpoint, .. } = &open.listening;
    format!("listener {}", endpoint.with(*transport))
}
