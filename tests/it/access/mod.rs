//! Users, rules and tokens in the broker's own files: logins, rights, and the effect of changed files on connected
//! clients.

mod introspection;
mod oauth;
mod ownership;
mod provider;
mod reload;
mod rules;
mod scram;
mod services;
pub mod tokens;
mod topics;

use std::{fs, path::PathBuf};

use dunlin::{Config, auth, config::AuthConfig};
use tempfile::TempDir;

/// A folder for the files of a broker.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Sets users' passwords: their names backwards.
    fn users(&self, users: &[&str]) -> PathBuf {
        for user in users {
            auth::edit(&self.path("passwords"), user, auth::PasswordChange::Set(password(user).as_bytes())).unwrap();
        }
        self.path("passwords")
    }

    /// A broker with these users and rules; anonymous clients are let in.
    fn config(&self, users: &[&str], rules: &str) -> Config {
        let auth = AuthConfig {
            password_file: (!users.is_empty()).then(|| self.users(users)),
            acl_file: Some(self.write("acl", rules)),
            ..AuthConfig::default()
        };
        Config { auth, allow_anonymous: Some(true), ..crate::support::config() }
    }
}

fn password(user: &str) -> String {
    user.chars().rev().collect()
}
