//! `--check`: finds all errors that a start would find, without binding, locking or writing anything. A broker may run
//! with the same configuration meanwhile.

use std::{
    fs, io,
    net::UdpSocket,
    path::{Path, PathBuf},
};

use super::{Server, ServerError, access, bridges, http, listeners::Read, persistence, sinks, webhooks};
use super::{http::HttpError, https::Https};
use crate::{
    config::{AuthConfig, Cli, Config, ListenerConfig, summary},
    platform::{self, Access, FileTypeExt},
    store,
    types::Endpoint,
};

/// The resulting broker as text for the operator. The error has one line for each problem.
pub fn check(cli: &Cli) -> Result<String, Vec<String>> {
    let (config, errors) = cli.resolve_all();
    let mut found = Found {
        errors: errors.iter().map(ToString::to_string).collect(),
        warnings: config.warnings.clone(),
        user: platform::user(),
    };
    config.listeners.iter().for_each(|listener| found.listener(listener));
    found.overlaps(&config.listeners);
    found.users_rules_tokens(&config);
    http::check(&config, false).unwrap_or_else(|error| found.wrong(error));
    match bridges::check(&config) {
        Ok(warnings) => found.warnings.extend(warnings),
        Err(error) => found.wrong(error),
    }
    match webhooks::check(&config) {
        Ok(warnings) => found.warnings.extend(warnings),
        Err(error) => found.wrong(error),
    }
    webhooks::check_origin(&config).unwrap_or_else(|error| found.wrong(error));
    match sinks::check(&config) {
        Ok(warnings) => found.warnings.extend(warnings),
        Err(error) => found.wrong(error),
    }
    for file in config.sinks.iter().filter_map(|sink| sink.file.as_ref()) {
        found.file_to_write("the file of a sink,", file);
    }
    match Https::read(&config.http) {
        Ok(https) => found.warnings.extend(https.warnings),
        Err(error) => found.wrong(error),
    }
    if let Some(path) = &config.ready_file {
        found.file_to_write("the ready file", path);
    }
    if let Some(path) = &config.log.file {
        found.file_to_write("the log", path);
    }
    if let Some(path) = &config.data_dir {
        found.data_dir(path);
        persistence::check_place(&config).unwrap_or_else(|error| found.wrong(error));
    }
    if !found.errors.is_empty() {
        return Err(found.errors);
    }
    let warnings: String = found.warnings.iter().map(|line| format!("warning:       {line}\n")).collect();
    let checked = format!("checked as:    {}; a broker of another user may be allowed more or less\n", found.user);
    Ok(summary(&config, cli.config.as_deref()) + &checked + &warnings)
}

/// Reads all files of `config`, as a start does. Returns warnings, one line each. The error is the first problem.
pub fn check_files(config: &Config) -> Result<String, ServerError> {
    let of_listeners = Server::check(config)?;
    let policy = access::load(config, false)?;
    http::check(config, false)?;
    let of_http = Https::read(&config.http).map_err(HttpError::from)?.warnings;
    let of_bridges = bridges::check(config)?;
    let of_webhooks = webhooks::check(config)?;
    let of_sinks = sinks::check(config)?;
    Ok(of_listeners
        .iter()
        .chain(&access::warnings(&policy, config))
        .chain(&of_http)
        .chain(&of_bridges)
        .chain(&of_webhooks)
        .chain(&of_sinks)
        .map(|line| format!("warning:       {line}\n"))
        .collect())
}

/// The problems so far.
struct Found {
    errors: Vec<String>,
    warnings: Vec<String>,
    /// The user whose permissions were checked.
    user: String,
}

impl Found {
    fn wrong(&mut self, error: impl ToString) {
        let error = error.to_string();
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn listener(&mut self, listener: &ListenerConfig) {
        match Read::of(listener) {
            Ok(read) => self.warnings.extend(read.warnings),
            Err(error) => self.wrong(error),
        }
        let address = listener.name();
        match &listener.address {
            Endpoint::Ip(ip) => {
                // a UDP socket on any port does not block a listener
                let lacks = UdpSocket::bind((ip.ip(), 0));
                if let Err(error) = lacks.map_err(|error| error.kind())
                    && error == io::ErrorKind::AddrNotAvailable
                    && !listener.freebind
                {
                    self.warnings.push(format!(
                        "cannot listen on {address} as long as this machine does not have this address; if it gets it later, \
                         write freebind = true (Linux)"
                    ));
                }
            }
            // systemd passes them only to the service
            Endpoint::Passed(_) => {}
            Endpoint::Unix(path) => {
                let taken = fs::symlink_metadata(path).is_ok_and(|about| !about.file_type().is_socket());
                match taken {
                    true => self.wrong(format!("cannot listen on {address}: there is a file that is not a socket")),
                    false => self.parent(&format!("listen on {address}"), path),
                }
            }
        }
    }

    /// A listener on all interfaces includes the other addresses on its port.
    fn overlaps(&mut self, listeners: &[ListenerConfig]) {
        let addresses: Vec<_> = listeners.iter().filter_map(|listener| listener.address.socket_addr()).collect();
        for every in addresses.iter().filter(|address| address.ip().is_unspecified() && address.port() != 0) {
            let same =
                |other: &&_| every != *other && every.port() == other.port() && every.is_ipv4() == other.is_ipv4();
            for other in addresses.iter().filter(same) {
                self.wrong(format!(
                    "cannot listen on both {every} and {other}: the first has that address too; remove one"
                ));
            }
        }
    }

    fn users_rules_tokens(&mut self, config: &Config) {
        let error = match access::load(config, false) {
            Ok(policy) => return self.warnings.extend(access::warnings(&policy, config)),
            Err(error) => error,
        };
        // it reports the first error: for the others, the files are read one by one
        let AuthConfig {
            password_file,
            user,
            acl_file,
            dynsec_file,
            token_secret_file,
            token_key_file,
            token_jwks_file,
            token_jwks_url,
            token_introspection_url,
            token_ca_file,
            ..
        } = &config.auth;
        let none = AuthConfig {
            password_file: None,
            user: None,
            acl_file: None,
            dynsec_file: None,
            token_secret_file: None,
            token_key_file: None,
            token_jwks_file: None,
            token_jwks_url: None,
            token_introspection_url: None,
            token_ca_file: None,
            ..config.auth.clone()
        };
        let each = [
            AuthConfig { password_file: password_file.clone(), ..none.clone() },
            AuthConfig { user: user.clone(), ..none.clone() },
            AuthConfig { acl_file: acl_file.clone(), ..none.clone() },
            AuthConfig { dynsec_file: dynsec_file.clone(), ..none.clone() },
            AuthConfig { token_secret_file: token_secret_file.clone(), ..none.clone() },
            AuthConfig { token_key_file: token_key_file.clone(), ..none.clone() },
            AuthConfig { token_jwks_file: token_jwks_file.clone(), ..none.clone() },
            AuthConfig {
                token_jwks_url: token_jwks_url.clone(),
                token_introspection_url: token_introspection_url.clone(),
                token_ca_file: token_ca_file.clone(),
                ..none
            },
        ];
        for auth in each {
            if let Err(error) = access::load(&Config { auth, ..config.clone() }, false) {
                self.wrong(error);
            }
        }
        self.wrong(error);
    }

    /// A file that a start creates or replaces.
    fn file_to_write(&mut self, what: &str, path: &Path) {
        match path.is_dir() {
            true => self.wrong(format!("cannot write {what} {}: it is a directory", path.display())),
            false => self.parent(&format!("write {what} {}", path.display()), path),
        }
    }

    /// The directory of a file to be created.
    fn parent(&mut self, to: &str, path: &Path) {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        self.directory(to, parent, Access::WRITE_OK | Access::EXEC_OK, None);
    }

    /// `chown`: the owner, and the command that changes it.
    fn directory(&mut self, to: &str, path: &Path, access: Access, chown: Option<String>) {
        let shown = path.display();
        match fs::metadata(path) {
            Err(error) => self.wrong(format!("cannot {to}: {shown}: {error}")),
            Ok(about) if !about.is_dir() => self.wrong(format!("cannot {to}: {shown} is not a directory")),
            Ok(_) => {
                if let Err(error) = platform::access(path, access) {
                    let (error, user) = (io::Error::from(error), &self.user);
                    let chown = chown.map_or_else(String::new, |chown| format!("; {chown}"));
                    self.wrong(format!("cannot {to}: {shown}: {error}, as {user}{chown}"));
                }
            }
        }
    }

    /// A missing directory is created in the last existing one of its path.
    fn data_dir(&mut self, path: &Path) {
        let to = format!("keep anything in data_dir {}", path.display());
        if let Err(error) = platform::can_store() {
            return self.wrong(format!("cannot {to}: {error}"));
        }
        if fs::symlink_metadata(path).is_ok() {
            let access = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
            return self.directory(&to, path, access, store::chown(path));
        }
        let absolute = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        if let Some(there) = absolute.ancestors().skip(1).find(|above| fs::symlink_metadata(above).is_ok()) {
            self.directory(&to, there, Access::WRITE_OK | Access::EXEC_OK, None);
        }
    }
}
