//! The limit of open files of the process: raised as far as the system lets it, and what that means for the number of
//! connections. An embedding program has limits of its own to think of, so this is the binary's.

use dunlin::Config;
use rustix::process::{Resource, getrlimit, setrlimit};

const LIMIT: &str = "limits.max_connections";

/// The limit that holds, and what was said of it.
pub struct OpenFiles {
    /// `None`: there is none.
    limit: Option<u64>,
    /// Those beside connections, as the process was started.
    others: Option<usize>,
    said: Option<Said>,
    logged: Option<Said>,
}

/// What the log says about a limit that is too low.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Warning(String),
    Note(String),
}

impl OpenFiles {
    /// Raises the soft limit of open files to the hard limit.
    pub fn raise() -> Self {
        let mut limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            limit.current = limit.maximum;
            // where the system refuses, what was in force still is
            let _ = setrlimit(Resource::Nofile, limit);
        }
        Self { limit: getrlimit(Resource::Nofile).current, others: None, said: None, logged: None }
    }

    /// Lowers `limits.max_connections` to what the limit suffices for, unless it is configured.
    pub fn fit(&mut self, config: &mut Config) {
        let others = *self.others.get_or_insert_with(|| others(config));
        self.said = self.limit.and_then(|limit| fit(config, usize::try_from(limit).unwrap_or(usize::MAX), others));
    }

    /// Logs what `fit` found, unless it is what was logged before.
    pub fn log(&mut self) {
        if self.said != self.logged {
            match &self.said {
                Some(Said::Warning(text)) => tracing::warn!("{text}"),
                Some(Said::Note(text)) => tracing::info!("{text}"),
                None => {}
            }
            self.logged.clone_from(&self.said);
        }
    }
}

fn fit(config: &mut Config, limit: usize, others: usize) -> Option<Said> {
    let wanted = config.limits.max_connections;
    if limit >= wanted.saturating_add(others) {
        return None;
    }
    // a very low limit is shared
    let possible = limit.saturating_sub(others).max(limit / 2).max(1);
    let mend = "raise the hard limit (ulimit -Hn; LimitNOFILE= of systemd; --ulimit nofile= of docker)";
    if config.origins.of(LIMIT).is_some() {
        return Some(Said::Warning(format!(
            "{LIMIT} = {wanted} needs {} open files, and this process may have {limit}, enough for about {possible} \
             connections; {mend}, or lower {LIMIT}",
            wanted.saturating_add(others)
        )));
    }
    config.limits.max_connections = possible;
    Some(Said::Note(format!("{LIMIT} is {possible}, as this process may have {limit} open files; for more, {mend}")))
}

/// Open files beside those of connections, generously: listeners, logs, what each thread has, and the store.
fn others(config: &Config) -> usize {
    const ALWAYS: usize = 128;
    const OF_A_WORKER: usize = 4;
    const OF_THE_STORE: usize = 192;
    let store = if config.data_dir.is_some() { OF_THE_STORE } else { 0 };
    ALWAYS + OF_A_WORKER * config.worker_threads() + store
}
