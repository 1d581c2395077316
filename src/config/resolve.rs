//! From a [`Cli`] to a [`Config`]: a flag overrides an environment variable, which overrides the file, which overrides
//! the default.

use std::path::Path;

use super::{
    cli::Cli,
    environment,
    error::ConfigError,
    file::{self, Loaded},
    listen::{self, ListenAddress},
    listener::{self, ListenerConfig},
    origins::Origins,
    settings::{Config, LogLevel},
    testing::TestArgs,
};

impl Cli {
    /// A copy with another configuration file, if `config` names one: a `--config` after the subcommand replaces the
    /// one before it.
    pub fn with_config(&self, config: Option<&Path>) -> Self {
        let config = config.map(Into::into).or_else(|| self.config.clone());
        Self { config, ..self.clone() }
    }

    /// The settings. Each call reads the file, so that a reload is another call.
    pub fn resolve(&self) -> Result<Config, ConfigError> {
        let (config, errors) = self.resolve_all();
        errors.into_iter().next().map_or(Ok(config), Err)
    }

    /// The configuration of `dunlin test`: the flags before the subcommand, the file and the environment, with the
    /// listeners of `test`: its own flag, or --listen and -p before it. Only warnings and errors are logged, unless
    /// another level is set.
    pub fn resolve_test(&self, args: &TestArgs) -> Result<Config, ConfigError> {
        // a variable is for the broker of a container
        let is_flag = self.origin("listener") == Origins::FLAGS && !(self.listen.is_empty() && self.port.is_empty());
        let of_test = Self { listen: args.listen.clone().unwrap_or_default(), port: Vec::new(), ..self.clone() };
        let cli = match (&args.listen, is_flag) {
            (None, true) => self.clone(),
            (None, false) => Self { listen: "127.0.0.1:0".parse().into_iter().collect(), ..of_test },
            (Some(_), _) => of_test,
        };
        let mut config = cli.resolve()?;
        if let Some(file) = self.config.as_deref().filter(|_| args.listen.is_none() && !is_flag)
            && file::load_all(file).config.origins.of("listener").is_some()
        {
            config.warnings.push(format!(
                "the listeners of {} are not opened: dunlin test listens on a free port, or on those of --listen",
                file.display()
            ));
        }
        if is_flag && args.listen.is_some() {
            config
                .warnings
                .push("--listen and -p before \"test\" are ignored: --listen behind it replaces them".into());
        }
        if let Some(path) = config.data_dir {
            let problem = format!("{} is not used by dunlin test, which keeps everything in memory", path.display());
            return Err(ConfigError::Argument { argument: "data_dir", problem });
        }
        if config.log.level == LogLevel::default() && self.log_level.is_none() && !self.verbose {
            config.log.level = LogLevel::Warn;
        }
        Ok(config)
    }

    /// The valid part of the settings, and every error.
    pub fn resolve_all(&self) -> (Config, Vec<ConfigError>) {
        let Loaded { mut config, mut errors, variables } =
            self.config.as_deref().map(file::load_all).unwrap_or_default();
        config.warnings.extend(environment::warnings(&variables));
        errors.extend(environment::apply(&mut config));
        errors.extend(self.check_certificate().err());
        let mut set = Vec::new();
        if !(self.listen.is_empty() && self.port.is_empty()) {
            match self.listeners() {
                Ok(listeners) => config.listeners = listeners,
                Err(error) => errors.push(error),
            }
            set.push("listener");
        }
        if self.ready_file.is_some() {
            config.ready_file.clone_from(&self.ready_file);
            set.push("ready_file");
        }
        if self.data_dir.is_some() {
            config.data_dir.clone_from(&self.data_dir);
            set.push("data_dir");
        }
        if self.console_dir.is_some() {
            config.http.console_dir.clone_from(&self.console_dir);
            set.push("http.console_dir");
        }
        if let Some(file) = &self.tls_keylog {
            let with_tls = config.listeners.iter_mut().filter(|listener| listener.transport.has_tls());
            if with_tls.map(|listener| listener.tls_key_log = Some(file.clone())).count() == 0 {
                config.warnings.push("--tls-keylog (DUNLIN_TLS_KEYLOG): no listener has TLS".into());
            }
        }
        config.allow_anonymous = self.allow_anonymous.unwrap_or(config.allow_anonymous);
        config.workers = self.workers.unwrap_or(config.workers);
        config.log.level = self.log_level.unwrap_or(config.log.level);
        if self.verbose && config.log.level != LogLevel::Trace {
            config.log.level = LogLevel::Debug;
        }
        config.log.format = self.log_format.unwrap_or(config.log.format);
        let others = [
            ("allow_anonymous", self.allow_anonymous.is_some()),
            ("workers", self.workers.is_some()),
            ("log.level", self.log_level.is_some() || self.verbose),
            ("log.format", self.log_format.is_some()),
        ];
        set.extend(others.iter().filter(|(_, is_set)| *is_set).map(|(key, _)| *key));
        set.into_iter().for_each(|key| config.origins.set(key, self.origin(key)));
        (config, errors)
    }

    /// The name of the variable or the flags that set this key.
    fn origin(&self, key: &str) -> &str {
        let is_short = key == "listener" && !self.port.is_empty() || key == "log.level" && self.verbose;
        let name = match key {
            "listener" => "listen".into(),
            "http.console_dir" => "console_dir".into(),
            key => key.replace('.', "_"),
        };
        let variable = format!("DUNLIN_{}", name.to_uppercase());
        let set = self.variables.iter().find(|name| **name == variable && !is_short);
        set.map_or(Origins::FLAGS, String::as_str)
    }

    fn listeners(&self) -> Result<Vec<ListenerConfig>, ConfigError> {
        let wrong = |problem| ConfigError::Argument { argument: "--listen (DUNLIN_LISTEN)", problem };
        let mut listeners = Vec::new();
        for address in self.listen.iter().cloned().chain(self.port.iter().map(|port| ListenAddress::local(*port))) {
            let transport = address.transport().unwrap_or_default();
            for endpoint in address.endpoints(transport).map_err(|problem| wrong(problem.to_string()))? {
                let mut listener = ListenerConfig::new(endpoint, transport);
                if transport.has_tls() {
                    listener.certificate_file.clone_from(&self.certificate);
                    listener.key_file.clone_from(&self.key);
                    if self.certificate.is_none() {
                        return Err(wrong(format!(
                            "{address} needs --certificate FILE and --key FILE (`dunlin certs` makes them to try things \
                             with)"
                        )));
                    }
                }
                listener::check(&listener).map_err(|(key, problem)| wrong(format!("{address}: {key}: {problem}")))?;
                listeners.push(listener);
            }
        }
        if let Some(twice) = listen::twice(listeners.iter().map(|listener| &listener.address)) {
            return Err(wrong(format!("{twice} appears twice; remove one of them")));
        }
        Ok(listeners)
    }

    /// An error for TLS files that no listener would read.
    fn check_certificate(&self) -> Result<(), ConfigError> {
        let has_tls = |address: &ListenAddress| address.transport().unwrap_or_default().has_tls();
        match self.certificate.is_some() && !self.listen.iter().any(has_tls) {
            true => Err(ConfigError::Argument {
                argument: "--certificate (DUNLIN_CERTIFICATE)",
                problem:
                    "it is for --listen tls://… or wss://…, and there is none; a listener of the file has its own \
                          certificate_file"
                        .into(),
            }),
            false => Ok(()),
        }
    }
}
