//! The process's limit of open files: raised as far as the system allows, and the number of connections for which it
//! suffices. The library does not do this, because an embedding program has its own limit.

use dunlin::{Config, platform};

use crate::process;

/// The limit of open files, and the state of its log lines.
pub struct OpenFiles {
    /// `None`: unlimited.
    limit: Option<u64>,
    /// Open files other than those of connections, at the start of the process.
    others: Option<usize>,
    found: Option<TooLow>,
    logged: Option<TooLow>,
}

/// The limit of open files is too low for `limits.max_connections`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct TooLow {
    max_connections: usize,
    is_configured: bool,
    open_files: usize,
    needed: usize,
    /// Number of connections that fit.
    possible: usize,
}

impl OpenFiles {
    /// Raises the soft limit of open files to the hard limit.
    pub fn raise() -> Self {
        process::raise_open_files();
        Self { limit: platform::most_open_files(), others: None, found: None, logged: None }
    }

    /// Lowers `limits.max_connections` to the number that fits, unless it is configured.
    pub fn fit(&mut self, config: &mut Config) {
        let others = *self.others.get_or_insert_with(|| others(config));
        self.found = self.limit.and_then(|limit| fit(config, usize::try_from(limit).unwrap_or(usize::MAX), others));
    }

    /// Logs the result of `fit`, unless it was logged before.
    pub fn log(&mut self) {
        if self.found != self.logged {
            self.found.iter().for_each(TooLow::log);
            self.logged = self.found;
        }
    }
}

impl TooLow {
    fn log(&self) {
        let Self { max_connections, is_configured, open_files, needed, possible } = *self;
        match is_configured {
            true => tracing::warn!(
                max_connections,
                needed,
                open_files,
                possible,
                "limits.max_connections needs more open files than this process may have: raise the hard limit (ulimit -Hn, \
                 LimitNOFILE= of systemd, --ulimit nofile= of docker), or lower limits.max_connections"
            ),
            false => tracing::info!(
                max_connections = possible,
                open_files,
                "limits.max_connections was lowered to fit the limit of open files: for more, raise the hard limit \
                 (ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of docker)"
            ),
        }
    }
}

fn fit(config: &mut Config, open_files: usize, others: usize) -> Option<TooLow> {
    let max_connections = config.limits.max_connections;
    let needed = max_connections.saturating_add(others);
    if open_files >= needed {
        return None;
    }
    // with a very low limit, half of it is for connections
    let possible = open_files.saturating_sub(others).max(open_files / 2).max(1);
    let is_configured = config.origins.of("limits.max_connections").is_some();
    if !is_configured {
        config.limits.max_connections = possible;
    }
    Some(TooLow { max_connections, is_configured, open_files, needed, possible })
}

/// A generous estimate of open files other than those of connections: listeners, logs, threads, and the store.
fn others(config: &Config) -> usize {
    const ALWAYS: usize = 128;
    const OF_A_WORKER: usize = 4;
    const OF_THE_STORE: usize = 192;
    let store = if config.data_dir.is_some() { OF_THE_STORE } else { 0 };
    ALWAYS + OF_A_WORKER * config.worker_threads() + store
}
