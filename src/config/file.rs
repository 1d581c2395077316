//! From a TOML file to a [`Config`]: reads the keys in the order of their lines and sets what the table of keys
//! (`keys`) says. `forms` defines the values that a key accepts.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{
    auth_http::{self, AuthHttpConfig},
    auth_http_keys::AUTH_HTTP,
    bridge::{self, BridgeConfig, WrittenAt},
    bridge_keys::BRIDGE,
    error::ConfigError,
    foreign,
    forms::shortened,
    hints::{hint, place},
    keys::{LISTENER, LOG_FORMAT, Listener, TOP, Table},
    listen,
    listener::{self, ListenerConfig},
    mosquitto::{self, Import, Origin},
    settings::{Config, LogFormat},
    sink::{self, SinkConfig},
    sink_keys::SINK,
    tables::TABLES,
    variables,
    webhook::{self, WebhookConfig},
    webhook_keys::WEBHOOK,
};
use crate::{platform::PermissionsExt, types::LOGIN_VARIABLES};

/// Reads the configuration file at `path`. Missing keys have their values of [`Config::default`]. A secret in a file
/// that other users may read causes a warning.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let Loaded { config, errors, .. } = load_all(path);
    errors.into_iter().next().map_or(Ok(config), Err)
}

/// The readable part of a configuration, and all errors.
#[derive(Default)]
pub(super) struct Loaded {
    pub config: Config,
    /// The errors, in the order of their lines.
    pub errors: Vec<ConfigError>,
    /// The environment variables that it names.
    pub variables: BTreeSet<String>,
}

/// The same as [`load`], with every error.
pub(super) fn load_all(path: &Path) -> Loaded {
    let mut loaded = Loaded::default();
    for path in all_files(path) {
        let file = path.display().to_string();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(reason) => {
                let reason = if path.is_dir() { std::io::Error::other(of_directory(&path)) } else { reason };
                loaded.errors.push(ConfigError::Unreadable { file, reason });
                continue;
            }
        };
        let (text, lines) = match mosquitto::is_one(&path, &text) {
            true => loaded.import(&path, &text),
            false => (text, Vec::new()),
        };
        let source = Source { directory: path.parent(), lines: &lines, ..Source::new(&text, &file) };
        source.read_into(&mut loaded.config);
        let secrets = source.secrets.into_inner();
        loaded.config.warnings.extend(secrets.iter().filter_map(WrittenSecret::warning));
        loaded.errors.extend(source.errors.into_inner());
        loaded.variables.extend(source.variables.into_inner());
    }
    loaded.config.origins.file = fs::canonicalize(path).ok();
    let directory = drop_in_directory(path);
    // a file that does not exist yet is named too, so that its directory is watched
    loaded.config.origins.drop_ins = [directory.clone(), directory.join("new")].into();
    loaded.config.origins.drop_ins.extend(all_files(path).into_iter().skip(1));
    loaded
}

impl Loaded {
    /// A `mosquitto.conf` as TOML, and the origins of its lines. A line that cannot be imported is an error.
    fn import(&mut self, path: &Path, text: &str) -> (String, Vec<Origin>) {
        if let Some(what) = mosquitto::what_it_is(path, text) {
            self.errors.push(ConfigError::Foreign { file: path.display().to_string(), what });
            return Default::default();
        }
        let import = Import::of_file(path);
        self.errors.extend(import.errors());
        self.config.warnings.extend(import.lost().map(ToString::to_string));
        self.config.mosquitto_conf = Some(path.into());
        self.config.mosquitto_db = import.database;
        if self.errors.is_empty() { (import.toml, import.origins) } else { Default::default() }
    }
}

/// A directory that is given as a configuration file: the file that may be meant.
fn of_directory(path: &Path) -> String {
    let found = ["dunlin.toml", "mosquitto.conf"].map(|name| path.join(name)).into_iter().find(|file| file.is_file());
    let tip = found.map_or_else(String::new, |file| format!("; did you mean {}?", file.display()));
    format!("it is a directory{tip}")
}

/// The configuration file, and its drop-in files `dunlin.d/*.toml` in the order of their names.
fn all_files(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(drop_in_directory(path)).into_iter().flatten().flatten();
    let mut drop_ins: Vec<_> = entries.map(|entry| entry.path()).collect();
    let is_hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    drop_ins.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !is_hidden(path));
    drop_ins.sort();
    drop_ins.insert(0, path.to_owned());
    drop_ins
}

fn drop_in_directory(path: &Path) -> PathBuf {
    path.with_file_name("dunlin.d")
}

/// Reads a configuration from its text; errors call it `file_name`. It never panics. Host names are not looked up: a
/// listener whose address is a host name is an error here; [`load`] looks it up.
pub fn parse(text: &str, file_name: &str) -> Result<Config, ConfigError> {
    let (source, mut config) = (Source::new(text, file_name), Config::default());
    source.read_into(&mut config);
    source.errors.into_inner().into_iter().next().map_or(Ok(config), Err)
}

/// The log settings of a file, as far as it can be read.
pub(super) fn log_format(path: &Path) -> Option<LogFormat> {
    let text = fs::read_to_string(path).ok()?;
    let (document, _) = DeTable::parse_recoverable(&text);
    let format = document.get_ref().get("log")?.get_ref().get("format")?;
    LOG_FORMAT.meaning(format.get_ref().as_str()?)
}

/// The path of the ready file, as far as the configuration file can be read.
pub(super) fn ready_file(path: &Path) -> Option<PathBuf> {
    let of = |path: &PathBuf| {
        let text = fs::read_to_string(path).ok()?;
        let (document, _) = DeTable::parse_recoverable(&text);
        let written = document.get_ref().get("ready_file")?.get_ref().as_str()?;
        let filled = variables::fill(written, false).ok()?.unwrap_or_else(|| written.into());
        (!filled.is_empty()).then(|| path.with_file_name(filled))
    };
    all_files(path).iter().rev().find_map(of)
}

/// The number of TOML syntax errors that are reported for one file.
const MOST_ERRORS: usize = 50;

/// A text, and its name in errors.
struct Source<'a> {
    text: &'a str,
    file: &'a str,
    /// The lines of a `mosquitto.conf` that those of the text are from; empty: the text is the file's own.
    lines: &'a [Origin],
    /// The directory of the file, for relative paths. `None`: there is only a text, and host names are not looked up.
    directory: Option<&'a Path>,
    /// The relative paths in the text, as written.
    relative: RefCell<Vec<(String, String)>>,
    errors: RefCell<Vec<ConfigError>>,
    /// The secrets in the text.
    secrets: RefCell<Vec<WrittenSecret>>,
    /// The environment variables that it names.
    variables: RefCell<BTreeSet<String>>,
}

/// The place of a secret in a file.
struct WrittenSecret {
    key: String,
    file: String,
    line: usize,
    /// The file is a `mosquitto.conf`, which has no variables.
    is_mosquittos: bool,
    /// The key of a file with such a secret.
    file_key: Option<String>,
}

type Key<'a> = Spanned<DeString<'a>>;
type Value<'a> = Spanned<DeValue<'a>>;

impl<'a> Source<'a> {
    fn new(text: &'a str, file: &'a str) -> Self {
        let (directory, relative, errors, secrets, variables) = Default::default();
        Self { text, file, lines: &[], directory, relative, errors, secrets, variables }
    }

    /// Sets in `config` what can be read, and adds the rest to `errors`.
    fn read_into(&self, config: &mut Config) {
        let (document, mut errors) = DeTable::parse_recoverable(self.text);
        if let Some(what) = foreign::recognised(self.text).filter(|_| !errors.is_empty()) {
            return self.errors.borrow_mut().push(ConfigError::Foreign { file: self.file.into(), what });
        }
        if !errors.is_empty() {
            // later errors of a line have the same cause
            crate::types::sort_by_key(&mut errors, |error| error.span().map_or(0, |span| span.start));
            errors.truncate(MOST_ERRORS);
            errors.dedup_by_key(|error| self.line(error.span().unwrap_or(0..0)));
            self.errors.borrow_mut().extend(errors.iter().map(|error| self.syntax(error)));
            return;
        }
        for (key, value) in in_order(document.get_ref()) {
            let name = key.get_ref().as_ref();
            if name == LISTENER.name {
                // a drop-in file adds listeners
                let before = config.origins.of(name).map(|_| config.listeners.clone()).unwrap_or_default();
                if let Some(listeners) = self.told(self.listeners(value, before)).filter(|all| !all.is_empty()) {
                    config.listeners = listeners;
                    config.origins.set(name, self.file);
                }
            } else if name == BRIDGE.name {
                let before = config.origins.of(name).map(|_| config.bridges.clone()).unwrap_or_default();
                if let Some(bridges) = self.told(self.tables(&BRIDGE, value, before, Self::bridge)) {
                    config.bridges = bridges;
                    config.origins.set(name, self.file);
                }
            } else if name == WEBHOOK.name {
                let before = config.origins.of(name).map(|_| config.webhooks.clone()).unwrap_or_default();
                if let Some(webhooks) = self.told(self.tables(&WEBHOOK, value, before, Self::webhook)) {
                    config.webhooks = webhooks;
                    config.origins.set(name, self.file);
                }
            } else if name == SINK.name {
                let before = config.origins.of(name).map(|_| config.sinks.clone()).unwrap_or_default();
                if let Some(sinks) = self.told(self.tables(&SINK, value, before, Self::sink)) {
                    config.sinks = sinks;
                    config.origins.set(name, self.file);
                }
            } else if let Some(table) = TABLES.iter().find(|table| table.name == name && !name.is_empty()) {
                let Some(keys) = value.as_ref().as_table() else {
                    let problem = format!("expected a table; write its keys below a line [{name}]");
                    self.errors.borrow_mut().push(self.value(value, name, problem));
                    continue;
                };
                self.keys(table, keys, config);
                if let Some(value) = keys.get(SERVICES).filter(|_| name == AUTH) {
                    let before = config.origins.of(AUTH_HTTP.name).map(|_| config.auth.services.clone());
                    if let Some(services) = self.told(self.services(value, before.unwrap_or_default())) {
                        config.auth.services = services;
                    }
                }
                if let Some(directory) = self.directory.filter(|_| name == "http") {
                    let http = &mut config.http;
                    let addresses = [("listen", &mut http.listen), ("health", &mut http.health)];
                    let written = addresses.into_iter().filter(|(key, _)| keys.contains_key(*key));
                    written.for_each(|(_, addresses)| addresses.relative_to(directory));
                }
                keys.keys().for_each(|key| config.origins.set(&table.full(key.get_ref()), self.file));
            } else {
                self.told(self.key(&TOP, key, value, config));
                config.origins.set(name, self.file);
            }
        }
        self.relative.borrow().iter().for_each(|(key, written)| config.origins.set_relative(key, written));
    }

    /// Adds the error of a failed result.
    fn told<T>(&self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.errors.borrow_mut().push(error)).ok()
    }

    /// Are all these keys valid?
    fn keys<T>(&self, table: &Table<T>, written: &DeTable<'_>, target: &mut T) -> bool {
        let mut all = in_order(written);
        all.retain(|(key, _)| table.name != AUTH || key.get_ref() != SERVICES);
        let all = all.into_iter().map(|(key, value)| self.key(table, key, value, target));
        all.filter_map(|read| self.told(read).is_none().then_some(())).count() == 0
    }

    fn key<T>(&self, table: &Table<T>, key: &Key<'_>, value: &Value<'_>, target: &mut T) -> Result<(), ConfigError> {
        let known = table.key(key.get_ref()).ok_or_else(|| self.unknown(table.name, key, value))?;
        let wrong = |problem| self.value(value, &table.full(known.name), problem);
        let stay = if (known.template)() { LOGIN_VARIABLES } else { &[] };
        let fill = |text| variables::fill_around(text, (known.secret)(), stay);
        if let Some(text) = value.get_ref().as_str() {
            let names = variables::names(text).filter(|name| !stay.contains(&name.as_str()));
            self.variables.borrow_mut().extend(names);
        }
        let filled = value.get_ref().as_str().map(fill).transpose().map_err(wrong)?.flatten();
        if filled.as_deref() == Some("") {
            // ignoring the key would open what it protects
            return Err(wrong(EMPTY.into()));
        }
        if (known.secret)() && filled.is_none() && value.get_ref().as_str().is_some_and(|text| !text.is_empty()) {
            let file_key = format!("{}_file", known.name);
            let line = self.line(value.span());
            let written = match self.origin(line) {
                Some(origin) => (origin.option.clone(), origin.place.file.to_string(), origin.place.line),
                None => (table.full(known.name), self.file.to_owned(), line),
            };
            self.secrets.borrow_mut().push(WrittenSecret {
                key: written.0,
                file: written.1,
                line: written.2,
                is_mosquittos: !self.lines.is_empty(),
                file_key: table.key(&file_key).map(|key| table.full(key.name)),
            });
        }
        let written = filled.as_deref().or(value.get_ref().as_str()).filter(|text| !text.is_empty());
        let joined = match (self.directory, written) {
            (Some(directory), Some(written)) if (known.path)() && Path::new(written).is_relative() => {
                self.relative.borrow_mut().push((table.full(known.name), written.into()));
                let joined = directory.join(written).into_os_string().into_string();
                Some(joined.map_err(|_| wrong("the name of this file's directory is not UTF-8".into()))?)
            }
            _ => None,
        };
        let filled = joined.or(filled).map(|text| DeValue::String(text.into()));
        (known.read)(target, filled.as_ref().unwrap_or(value.get_ref())).map_err(wrong)
    }

    /// The valid `[[listener]]` tables.
    fn listeners(&self, value: &Value<'_>, before: Vec<ListenerConfig>) -> Result<Vec<ListenerConfig>, ConfigError> {
        let wrong = |at: &Value<'_>, problem: &str| self.value(at, LISTENER.name, problem.into());
        const BRACKETS: &str = "write each listener below a line [[listener]], with two brackets";
        let all = value.get_ref().as_array().ok_or_else(|| wrong(value, BRACKETS))?;
        if all.is_empty() {
            return Err(wrong(value, "without listeners no client could connect; remove the key for the default ones"));
        }
        let mut listeners = before;
        for one in all.iter() {
            let read = match one.get_ref().as_table() {
                Some(written) => self.listener(one, written, &listeners),
                None => Err(wrong(one, BRACKETS)),
            };
            listeners.extend(self.told(read).unwrap_or_default());
        }
        Ok(listeners)
    }

    /// The listeners of one table, one for each of its addresses; none if one of its keys is invalid.
    fn listener(
        &self,
        one: &Value<'_>,
        written: &DeTable<'_>,
        before: &[ListenerConfig],
    ) -> Result<Vec<ListenerConfig>, ConfigError> {
        let mut listener = Listener::default();
        if !self.keys(&LISTENER, written, &mut listener) {
            return Ok(Vec::new());
        }
        let (Some(mut address), Some(at)) = (listener.address, written.get("address")) else {
            let problem = "address is missing; write one such as address = \"127.0.0.1:1883\"";
            return Err(self.value(one, LISTENER.name, problem.into()));
        };
        let wrong = |problem| self.value(at, "listener.address", problem);
        let mut rest = listener.rest;
        if let Some(transport) = address.transport() {
            if written.get("transport").is_some() && rest.transport != transport {
                return Err(wrong(format!("{address} has another transport than the key transport; take one away")));
            }
            rest.transport = transport;
        }
        if let Some(directory) = self.directory {
            address.relative_to(directory);
        } else if address.is_host_name() {
            return Err(wrong(format!("{address} is a host name, which is only looked up when a file is read")));
        }
        let endpoints = address.endpoints(rest.transport).map_err(|problem| wrong(problem.to_string()))?;
        let listeners: Vec<_> =
            endpoints.into_iter().map(|address| ListenerConfig { address, ..rest.clone() }).collect();
        if let Some(Err((key, problem))) = listeners.last().map(listener::check) {
            let at = written.get(key).unwrap_or(one);
            return Err(self.value(at, &LISTENER.full(key), problem.into()));
        }
        let all = before.iter().chain(&listeners).map(|listener| &listener.address);
        match listen::twice(all) {
            Some(twice) => {
                Err(wrong(format!("{twice} is already the address of a listener above; remove one of them")))
            }
            None => Ok(listeners),
        }
    }

    /// The valid tables of a list, after those of earlier files.
    fn tables<T>(
        &self,
        table: &Table<T>,
        value: &Value<'_>,
        before: Vec<T>,
        read: impl Fn(&Self, &Value<'_>, &DeTable<'_>, &[T]) -> Result<Option<T>, ConfigError>,
    ) -> Result<Vec<T>, ConfigError> {
        let name = table.name;
        let brackets = || format!("write each {name} below a line [[{name}]], with two brackets");
        let wrong = |at: &Value<'_>| self.value(at, name, brackets());
        let written = value.get_ref().as_array().ok_or_else(|| wrong(value))?;
        let mut all = before;
        for one in written.iter() {
            let read = match one.get_ref().as_table() {
                Some(written) => read(self, one, written, &all),
                None => Err(wrong(one)),
            };
            all.extend(self.told(read).flatten());
        }
        Ok(all)
    }

    /// One table; `None`: one of its keys is invalid.
    fn webhook(
        &self,
        one: &Value<'_>,
        written: &DeTable<'_>,
        before: &[WebhookConfig],
    ) -> Result<Option<WebhookConfig>, ConfigError> {
        let mut webhook = WebhookConfig::default();
        if !self.keys(&WEBHOOK, written, &mut webhook) {
            return Ok(None);
        }
        let wrong =
            |key: &str, problem: String| self.value(written.get(key).unwrap_or(one), &WEBHOOK.full(key), problem);
        webhook::check(&webhook).map_err(|(key, problem)| wrong(key, problem.into()))?;
        if before.iter().any(|other| other.name == webhook.name) {
            let problem = format!("{:?} is already the name of a webhook above; write another one", webhook.name);
            return Err(wrong("name", problem));
        }
        Ok(Some(webhook))
    }

    /// One table; `None`: one of its keys is invalid.
    fn sink(
        &self,
        one: &Value<'_>,
        written: &DeTable<'_>,
        before: &[SinkConfig],
    ) -> Result<Option<SinkConfig>, ConfigError> {
        let mut sink = SinkConfig::default();
        if !self.keys(&SINK, written, &mut sink) {
            return Ok(None);
        }
        let wrong =
            |(key, problem): (&str, String)| self.value(written.get(key).unwrap_or(one), &SINK.full(key), problem);
        sink::check(&sink, before).map_err(wrong)?;
        Ok(Some(sink))
    }

    /// One table; `None`: one of its keys is invalid.
    fn bridge(
        &self,
        one: &Value<'_>,
        written: &DeTable<'_>,
        before: &[BridgeConfig],
    ) -> Result<Option<BridgeConfig>, ConfigError> {
        let mut bridge = BridgeConfig::default();
        if !self.keys(&BRIDGE, written, &mut bridge) {
            return Ok(None);
        }
        let wrong =
            |key: &str, problem: String| self.value(written.get(key).unwrap_or(one), &BRIDGE.full(key), problem);
        bridge::check(&bridge).map_err(|(key, problem)| wrong(key, problem.into()))?;
        if before.iter().any(|other| other.name == bridge.name) {
            let problem = format!("{:?} is already the name of a bridge above; write another one", bridge.name);
            return Err(wrong("name", problem));
        }
        let keys = written.iter().map(|(key, value)| {
            let line = self.line(value.span());
            let at = match self.origin(line) {
                Some(Origin { place, option, .. }) => format!("{place}: {option}"),
                None => format!("{}:{line}: {}", self.file, BRIDGE.full(key.get_ref())),
            };
            (key.get_ref().to_string(), at)
        });
        bridge.written = WrittenAt::new(keys.collect());
        Ok(Some(bridge))
    }

    /// The valid `[[auth.http]]` tables.
    fn services(&self, value: &Value<'_>, before: Vec<AuthHttpConfig>) -> Result<Vec<AuthHttpConfig>, ConfigError> {
        const BRACKETS: &str = "write each service below a line [[auth.http]], with two brackets";
        let wrong = |at: &Value<'_>| self.value(at, AUTH_HTTP.name, BRACKETS.into());
        let all = value.get_ref().as_array().ok_or_else(|| wrong(value))?;
        let mut services = before;
        for one in all.iter() {
            let read = match one.get_ref().as_table() {
                Some(written) => self.service(one, written, &services),
                None => Err(wrong(one)),
            };
            services.extend(self.told(read).flatten());
        }
        Ok(services)
    }

    /// One table; `None`: one of its keys is invalid.
    fn service(
        &self,
        one: &Value<'_>,
        written: &DeTable<'_>,
        before: &[AuthHttpConfig],
    ) -> Result<Option<AuthHttpConfig>, ConfigError> {
        let mut service = AuthHttpConfig::default();
        if !self.keys(&AUTH_HTTP, written, &mut service) {
            return Ok(None);
        }
        let wrong = |key: &str, problem: String| match written.get(key) {
            Some(at) => self.value(at, &AUTH_HTTP.full(key), problem),
            None => self.value(one, &AUTH_HTTP.full(key), problem),
        };
        auth_http::check(&service).map_err(|(key, problem)| wrong(key, problem.into()))?;
        if before.iter().any(|other| other.name == service.name) {
            let problem = format!("{:?} is already the name of a service above; write another one", service.name);
            return Err(wrong("name", problem));
        }
        Ok(Some(service))
    }

    fn value(&self, at: &Value<'_>, key: &str, problem: String) -> ConfigError {
        let line = self.line(at.span());
        match self.origin(line) {
            Some(Origin { place, option, .. }) => {
                let problem = mosquitto::in_words_of_mosquitto(key, problem);
                ConfigError::Mosquitto { what: format!("{place}: {option}: {problem}") }
            }
            None => ConfigError::Value { file: self.file.into(), line, key: key.into(), problem },
        }
    }

    /// The line of a `mosquitto.conf` that a line of the text is from.
    fn origin(&self, line: usize) -> Option<&Origin> {
        self.lines.iter().find(|origin| origin.toml >= line).or(self.lines.last())
    }

    fn unknown(&self, table: &str, key: &Key<'_>, value: &Value<'_>) -> ConfigError {
        ConfigError::UnknownKey {
            file: self.file.into(),
            line: self.line(key.span()),
            key: shortened(key.get_ref()),
            place: if table.is_empty() { String::new() } else { format!(" {}", place(table)) },
            hint: hint(table, key.get_ref(), value.get_ref()),
        }
    }

    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let at = error.span().unwrap_or(0..0);
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let column = 1 + before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        let reason = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        ConfigError::Syntax { file: self.file.into(), line: self.line(at), column, reason }
    }

    fn line(&self, span: Range<usize>) -> usize {
        1 + self.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
    }
}

impl WrittenSecret {
    /// A warning if others may read the file.
    fn warning(&self) -> Option<String> {
        const OTHERS_READ: u32 = 0o044;
        let Self { key, file, line, is_mosquittos, file_key } = self;
        let mode = fs::metadata(file).map_or(0, |about| about.permissions().mode() & 0o7777);
        let or = match (is_mosquittos, file_key) {
            (true, _) => String::new(),
            (false, None) => VARIABLE.into(),
            (false, Some(file_key)) => format!("{VARIABLE}, or use {file_key}"),
        };
        let text = format!("{file}:{line}: {key}: others may read this secret (mode {mode:04o}); chmod 600 {file}{or}");
        (mode & OTHERS_READ != 0).then_some(text)
    }
}

const VARIABLE: &str = ", or write \"${NAME}\" and set that environment variable";

/// The entries in the order of their lines, so that errors come in that order.
fn in_order<'t, 'a>(table: &'t DeTable<'a>) -> Vec<(&'t Key<'a>, &'t Value<'a>)> {
    let mut entries: Vec<_> = table.iter().collect();
    crate::types::sort_by_key(&mut entries, |(key, _)| key.span().start);
    entries
}

/// The key of `[auth]` that is a list of tables.
const SERVICES: &str = "http";
const AUTH: &str = "auth";

/// The error for a text that is empty because its variables are.
const EMPTY: &str = "the text is empty, because its variables are; set them, or write \"\" to mean an empty text";

#[cfg(test)]
mod tests {
    use super::super::hints::names;
    use std::{net::SocketAddr, time::Duration};

    use proptest::prelude::*;

    use super::super::{listener::*, settings::*};
    use super::*;
    use crate::types::{Endpoint, QueueFull, Transport};

    #[test]
    fn valid_files_are_read() {
        type Change = fn(&mut Config);
        let table: &[(&str, Change)] = &[
            ("", |_| {}),
            ("\u{feff}# a byte order mark, as some editors write\r\nworkers = 2\r\n", |c| c.workers = Some(2)),
            ("[limits]\n[sys]\n[log]", |_| {}),
            ("allow_anonymous = true", |c| c.allow_anonymous = Some(true)),
            ("allow_anonymous = false", |c| c.allow_anonymous = Some(false)),
            ("workers = 0x10", |c| c.workers = Some(16)),
            ("shutdown_grace = 0", |c| c.shutdown_grace = Duration::ZERO),
            ("shutdown_grace = '1m 30s'", |c| c.shutdown_grace = Duration::from_secs(90)),
            ("ready_file = '/run/dunlin/ready'", |c| c.ready_file = Some("/run/dunlin/ready".into())),
            ("log = { level = 'trace', format = 'json' }", |c| {
                c.log = LogConfig { level: LogLevel::Trace, format: LogFormat::Json, ..LogConfig::default() };
            }),
            ("limits.max_connections = 1_000", |c| c.limits.max_connections = 1000),
            ("[limits]\nmax_packet_size = 128", |c| c.limits.max_packet_size = 128),
            ("[limits]\nmax_packet_size = 268435460", |c| c.limits.max_packet_size = 268_435_460),
            ("[limits]\nmax_packet_size = '64KiB'", |c| c.limits.max_packet_size = 65_536),
            ("[limits]\nmax_packet_size = '1.5 MiB'", |c| c.limits.max_packet_size = 3 << 19),
            ("[limits]\nmax_packet_size = '1 MB'", |c| c.limits.max_packet_size = 1_000_000),
            ("[limits]\nmax_inflight_out = 65535", |c| c.limits.max_inflight_out = u16::MAX),
            ("[limits]\nqueue_full = 'drop-oldest'", |c| c.limits.queue_full = QueueFull::DropOldest),
            ("[limits]\nqueue_full = 'keep-last'", |c| c.limits.queue_full = QueueFull::KeepLast),
            ("[limits]\npublish_rate = 5\npublish_bytes_rate = '1 MiB'\npublish_rate_action = 'disconnect'", |c| {
                (c.limits.publish_rate, c.limits.publish_bytes_rate) = (Some(5), Some(1 << 20));
                c.limits.publish_rate_action = PublishRateAction::Disconnect;
            }),
            ("[limits]\nreconnects = '20/1m'", |c| {
                c.limits.reconnects = Some(crate::types::Frequency { most: 20, within: Duration::from_secs(60) });
            }),
            ("[[listener]]\naddress = '[::]:0'\npublish_rate = 'off'\npublish_bytes_rate = 7", |c| {
                c.listeners = listeners(&["[::]:0"]);
                (c.listeners[0].publish_rate, c.listeners[0].publish_bytes_rate) = (Some(None), Some(Some(7)));
            }),
            ("[[listener]]\naddress = '[::]:0'\npublish_rate = 'limits'", |c| c.listeners = listeners(&["[::]:0"])),
            ("[[listener]]\naddress = '[::]:0'\nmax_connections = 7\nmax_qos = 1", |c| {
                c.listeners = listeners(&["[::]:0"]);
                (c.listeners[0].max_connections, c.listeners[0].max_qos) = (Some(7), Some(1));
            }),
            ("[limits]\nqueue_qos0 = true", |c| c.limits.queue_qos0 = true),
            ("[limits]\nconnect_timeout = '500ms'", |c| c.limits.connect_timeout = Duration::from_millis(500)),
            ("[limits]\nsession_expiry = 'never'", |c| c.limits.session_expiry = None),
            ("[limits]\nsession_expiry = '7d'", |c| c.limits.session_expiry = Some(Duration::from_secs(604_800))),
            ("[limits]\nmax_retained_bytes = 0", |c| c.limits.max_retained_bytes = 0),
            ("[sys]\ninterval = 'off'", |c| c.sys.interval = None),
            ("[sys]\ninterval = '0s'", |c| c.sys.interval = None),
            ("[sys]\ninterval = 0", |c| c.sys.interval = None),
            ("[sys]\nclient_publish = 'disconnect'", |c| c.sys.client_publish = SysPublish::Disconnect),
            ("[[listener]]\naddress = '0.0.0.0:1884'", |c| c.listeners = listeners(&["0.0.0.0:1884"])),
            ("[[listener]]\naddress = 'localhost:1'\n[[listener]]\naddress = '[::]:0'", |c| {
                c.listeners = listeners(&["127.0.0.1:1", "[::1]:1", "[::]:0"]);
            }),
            ("listener = [{ address = '127.0.0.1:0' }, { address = '127.0.0.1:0' }]", |c| {
                c.listeners = listeners(&["127.0.0.1:0", "127.0.0.1:0"]);
            }),
            ("[[listener]]\naddress = 'ws://localhost'\npath = '/x'\nallowed_origins = ['https://a', 'null']", |c| {
                c.listeners = ["127.0.0.1:8083", "[::1]:8083"]
                    .map(|a| a.parse::<SocketAddr>().unwrap())
                    .map(|a| {
                        let allowed_origins = vec!["https://a".into(), "null".into()];
                        ListenerConfig {
                            path: Some("/x".into()),
                            allowed_origins,
                            ..ListenerConfig::new(a, Transport::Ws)
                        }
                    })
                    .to_vec();
            }),
            (
                "[[listener]]\naddress = 'ws://[::1]'\npath = 'any'\ntrusted_proxies = ['::1']\nwebsocket_ping = '0s'",
                |c| {
                    let listener = ListenerConfig::new("[::1]:8083".parse::<SocketAddr>().unwrap(), Transport::Ws);
                    let trusted_proxies = vec!["::1/128".parse().unwrap()];
                    c.listeners = vec![ListenerConfig { trusted_proxies, websocket_ping: None, ..listener }];
                },
            ),
            (
                "[[listener]]\naddress = '[::]'\ntransport = 'tls'\ncertificate_file = 'c'\nkey_file = 'k'\n\
              client_ca_file = 'ca'\nclient_certificates = 'optional'\nrevocation_list_file = 'l'\n\
              identity = 'subject'\nallow_anonymous = false\nproxy_protocol = true\n\
              trusted_proxies = ['10.0.0.0/8', '::1']",
                |c| {
                    c.listeners = vec![ListenerConfig {
                        allow_anonymous: Some(false),
                        certificate_file: Some("c".into()),
                        key_file: Some("k".into()),
                        client_ca_file: Some("ca".into()),
                        client_certificates: ClientCertificates::Optional,
                        revocation_list_file: Some("l".into()),
                        identity: Some(CertificateIdentity::Subject),
                        proxy_protocol: true,
                        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
                        ..ListenerConfig::new("[::]:8883".parse::<SocketAddr>().unwrap(), Transport::Tls)
                    }];
                },
            ),
            (
                "[[listener]]\naddress = '127.0.0.1'\nproxy_protocol = true\ntrusted_proxies = ['127.0.0.1']\n\
              identity = 'common-name'\nclient_certificates = 'required'",
                |c| {
                    c.listeners = vec![ListenerConfig {
                        identity: Some(CertificateIdentity::CommonName),
                        client_certificates: ClientCertificates::Required,
                        proxy_protocol: true,
                        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
                        ..ListenerConfig::tcp("127.0.0.1:1883".parse().unwrap())
                    }];
                },
            ),
            ("[[listener]]\naddress = '192.0.2.1'\nfreebind = true", |c| {
                let later = ListenerConfig::tcp("192.0.2.1:1883".parse().unwrap());
                c.listeners = vec![ListenerConfig { freebind: true, ..later }];
            }),
            ("[[listener]]\naddress = 'unix:/run/d.sock'\nmode = '0600'", |c| {
                let unix = ListenerConfig::new(Endpoint::Unix("/run/d.sock".into()), Transport::Unix);
                c.listeners = vec![ListenerConfig { mode: 0o600, ..unix }];
            }),
        ];
        for (text, change) in table {
            let mut expected = Config::default();
            change(&mut expected);
            assert_eq!(parse(text, "f").unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn every_file_that_a_key_names_is_listed() {
        // the broker writes these files and reads none of them
        const WRITTEN: [&str; 3] = ["ready_file", "pid_file", "http.audit_file"];
        let named =
            |name: &str| name.ends_with("_file") && !WRITTEN.contains(&name) && name != "auth.scram_from_password_file";
        let of_tables = TABLES.iter().flat_map(|table| table.keys.iter().map(|key| table.full(key.name)));
        let of_tables = of_tables.filter(|key| named(key)).map(|key| (format!("{key} = 'x'"), key));
        let both = "certificate_file = 'a'\nkey_file = 'b'\nclient_ca_file = 'c'\nclient_certificates = 'required'\n";
        let of_listeners = LISTENER.keys.iter().map(|key| key.name).filter(|name| named(name)).map(|name| {
            let others: String =
                both.lines().filter(|line| !line.starts_with(name)).map(|l| format!("{l}\n")).collect();
            (format!("[[listener]]\naddress = 'tls://127.0.0.1'\n{others}{name} = 'x'"), name.to_owned())
        });
        for (text, key) in of_tables.chain(of_listeners) {
            let config = parse(&text, "f").unwrap();
            assert!(config.files().any(|file| file == Path::new("x")), "{key} is not among Config::files");
        }
    }

    fn listeners(addresses: &[&str]) -> Vec<ListenerConfig> {
        addresses.iter().map(|address| ListenerConfig::tcp(address.parse().unwrap())).collect()
    }

    /// `bad_files.txt`: files, each followed by its error line.
    #[test]
    fn each_invalid_file_has_its_error_line() {
        let (mut text, mut cases) = (String::new(), 0);
        for line in include_str!("bad_files.txt").lines() {
            match line.strip_prefix("=> ") {
                Some(expected) => {
                    let error = parse(&std::mem::take(&mut text), "f").map_err(|error| error.to_string());
                    assert_eq!(error, Err(expected.into()));
                    cases += 1;
                }
                None => text += &format!("{line}\n"),
            }
        }
        assert!(cases > 40 && text.is_empty(), "{cases} cases, then {text:?}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = load("/nonexistent/dunlin.toml".as_ref()).unwrap_err().to_string();
        let expected =
            "/nonexistent/dunlin.toml: cannot read the configuration: No such file or directory (os error 2)";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_directory_in_place_of_a_file_is_named_with_the_file_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let shown = dir.path().display().to_string();
        let error = || load(dir.path()).unwrap_err().to_string();
        assert_eq!(error(), format!("{shown}: cannot read the configuration: it is a directory"));
        fs::write(dir.path().join("dunlin.toml"), "").unwrap();
        let expected = "it is a directory; did you mean";
        assert_eq!(error(), format!("{shown}: cannot read the configuration: {expected} {shown}/dunlin.toml?"));
    }

    fn assert_answered(text: &str) {
        if let Err(error) = parse(text, "f") {
            let line = error.to_string();
            assert!(!line.contains(['\n', '\r']) && line.starts_with("f:"), "{line}");
        }
    }

    #[test]
    fn deeply_nested_toml_is_an_error() {
        for deep in ["[", "a.", "{a=", "[[a."] {
            assert_answered(&deep.repeat(100_000));
            assert_answered(&format!("a = {}", deep.repeat(100_000)));
        }
        assert_answered(&"[a.a]\n[[a.a.b]]\n".repeat(10_000));
        assert_answered(&(0..60).map(|n| format!("[{}x]\n", "a.".repeat(n))).collect::<String>());
    }

    /// Lines of known words, most of which pass the TOML parser.
    fn lines() -> impl Strategy<Value = String> {
        let keys: Vec<_> = names().map(|(_, name)| name.to_owned()).chain(["x".into(), "'é'".into()]).collect();
        let values = prop_oneof![
            any::<i64>().prop_map(|n| n.to_string()),
            "[0-9]{1,50}",
            "'[0-9.]{0,4} ?(ms|s|d|KiB|EiB|y)?'",
            "'[\\[\\]0-9a-z:.]{0,12}'",
            prop::sample::select(vec!["true", "nan", "[{}]", "{ address = 'localhost:0' }", "1979-05-27"])
                .prop_map(Into::into),
        ];
        let table = "(\\[(limits|log|sys|x)\\]|\\[\\[(listener|limits|x)\\]\\])";
        let key = (prop::sample::select(keys), values).prop_map(|(key, value)| format!("{key} = {value}"));
        prop::collection::vec(prop_oneof![1 => table, 3 => key], 0..6).prop_map(|lines| lines.join("\n"))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            assert_answered(&text);
        }

        #[test]
        fn no_lines_make_the_parser_panic(text in lines()) {
            assert_answered(&text);
        }
    }
}
