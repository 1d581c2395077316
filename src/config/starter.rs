//! The configuration that `dunlin init` writes: the reference, with the settings of a small installation.

use super::reference;

/// The data directory, beside the configuration.
pub const DATA: &str = "data";
/// The password file.
pub const PASSWORDS: &str = "passwords";
/// The directory of certificates.
pub const CERTS: &str = "certs";

/// Every key with its description; set are a store, users, listeners for this machine and, over TLS, for others, and
/// the user as administrator over HTTP.
pub fn starter(user: &str) -> String {
    let listeners = format!(
        "# This machine.\n[[listener]]\naddress = \"localhost:1883\"\n\n# Everybody who reaches this machine and has a \
         password.\n[[listener]]\naddress = \"tls://0.0.0.0:8883\"\ncertificate_file = \"{CERTS}/server.pem\"\nkey_file = \
         \"{CERTS}/server.key\"\n\n# The default listeners, with every key.\n#[[listener]]\n"
    );
    let text = reference::toml();
    // a listener may have its own users
    let (listener, mut auth) = text.split_at(text.find("\n[auth]\n").unwrap_or(text.len()));
    let users = auth.replacen("\n#password_file = \"\"\n", &format!("\npassword_file = \"{PASSWORDS}\"\n"), 1);
    auth = &users;
    let administrators = format!("\nusers = [{}]\n", toml::Value::from(format!("{user}:admin")));
    let mut text = listener.to_owned();
    for (default, set) in [
        ("# The configuration of dunlin: every key, with its default.\n", INTRODUCTION),
        ("\n#data_dir = \"\"\n", &format!("\ndata_dir = \"{DATA}\"\n")),
        ("#[[listener]]\n", &listeners),
    ] {
        text = text.replacen(default, set, 1);
    }
    let (rest, http) = auth.split_at(auth.find("\n[http]\n").unwrap_or(auth.len()));
    text + rest + &http.replacen("\n#users = []\n", &administrators, 1)
}

const INTRODUCTION: &str = "\
# A configuration of dunlin, as \"dunlin init\" wrote it: every key, and without \"#\" what it set.
#
# With a password file, clients without a user name are refused. \"dunlin passwd FILE USER\" adds a user.
";

#[cfg(test)]
mod tests {
    use super::super::{Config, HttpUser, ListenerConfig, parse};
    use super::*;
    use crate::types::{Role, Transport};

    #[test]
    fn the_starter_sets_only_these_keys() {
        let config = parse(&starter("al\"ice"), "dunlin.toml").unwrap();
        let mut expected = Config { data_dir: Some(DATA.into()), ..Config::default() };
        expected.auth.password_file = Some(PASSWORDS.into());
        let address: std::net::SocketAddr = ([0, 0, 0, 0], 8883).into();
        expected.listeners.push(ListenerConfig {
            certificate_file: Some("certs/server.pem".into()),
            key_file: Some("certs/server.key".into()),
            ..ListenerConfig::new(address, Transport::Tls)
        });
        expected.http.users = vec![HttpUser { name: "al\"ice".into(), role: Role::Admin }];
        assert_eq!(config, expected);
        assert!(starter("alice").lines().all(|line| line.chars().count() <= 120));
    }
}
