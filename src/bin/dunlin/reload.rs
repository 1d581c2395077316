//! Reloads the configuration at SIGHUP, and with `watch = true` when a file changes, and logs the result.
//! [`Server::reload`] applies it.

use std::path::PathBuf;

use dunlin::{
    Config, Server,
    config::Cli,
    server::{ReloadAsked, Watch},
};

use crate::{log, open_files::OpenFiles, process::Hangup};

/// The events that ask for a reload.
pub struct Reloads<'a> {
    cli: &'a Cli,
    hangup: Hangup,
    watch: Option<Watch>,
    open_files: OpenFiles,
}

impl<'a> Reloads<'a> {
    /// `config` is the configuration that was read with `cli`; the limit of open files may lower a limit in it.
    pub fn new(cli: &'a Cli, config: &mut Config, hangup: Hangup) -> Self {
        let mut reloads = Self { cli, hangup, watch: None, open_files: OpenFiles::raise() };
        reloads.open_files.fit(config);
        reloads.follow(config);
        reloads
    }

    /// Call it when the server runs with that configuration.
    pub fn started(&mut self) {
        self.open_files.log();
    }

    /// Completes when a reload is requested. A request over HTTP is returned, to be answered.
    pub async fn asked(&mut self, server: &Server) -> Option<ReloadAsked> {
        let changed = async {
            match &mut self.watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.hangup.recv() => None,
            () = changed => None,
            asked = server.reload_asked() => Some(asked),
        }
    }

    /// Reads the configuration again, with the same flags. If that fails, the error is logged and nothing changes.
    /// Returns the changes, a line each.
    pub async fn run(&mut self, server: &Server, level: &log::LevelHandle) -> Result<Vec<String>, String> {
        level.reopen();
        if let Some(watch) = &mut self.watch {
            watch.look();
        }
        let error = match self.cli.resolve() {
            Ok(mut config) => {
                self.open_files.fit(&mut config);
                // also if the new configuration is not applied: a change of one of its files may correct it
                self.follow(&config);
                match server.reload(&config).await {
                    Ok(changed) => {
                        self.open_files.log();
                        done(&config, &changed, level);
                        return Ok(changed);
                    }
                    Err(error) => error.to_string(),
                }
            }
            Err(error) => {
                server.reload_failed();
                error.to_string()
            }
        };
        tracing::error!(error, "the configuration stays as it is");
        Err(error)
    }

    /// Watches the files of `config` from now on, or none.
    fn follow(&mut self, config: &Config) {
        if !config.watch {
            self.watch = None;
            return;
        }
        let files: Vec<PathBuf> =
            self.cli.config.as_deref().into_iter().chain(config.files()).map(Into::into).collect();
        let files = [&files, config.origins.drop_ins()].concat();
        self.watch.get_or_insert_default().follow(&files);
    }
}

fn done(config: &Config, changed: &[String], level: &log::LevelHandle) {
    if let Err(error) = level.set(&config.log) {
        tracing::error!(error = format_args!("{error:#}"), "cannot change the log level");
    }
    let changed = if changed.is_empty() { "nothing".into() } else { changed.join(", ") };
    tracing::info!(changed, "the configuration was read again");
}
