//! [`Meant`]: whether the broker that answers is the one of the configuration file that was given. Several brokers on
//! one machine have the same default address of HTTP, and only the first of them serves it.

use std::{collections::BTreeSet, path::PathBuf};

use serde_json::Value;

use super::CtlError;
use crate::{config::Config, types::Endpoint};

/// The broker of a configuration file.
pub(super) struct Meant {
    /// The file, absolute.
    file: PathBuf,
    /// Its listeners. `None`: it names none, or some have no fixed address.
    listeners: Option<BTreeSet<String>>,
}

impl Meant {
    /// `None`: there is no file.
    pub fn of(config: &Config) -> Option<Self> {
        let file = config.origins.file()?.to_owned();
        let is_fixed = |endpoint: &Endpoint| match endpoint {
            Endpoint::Ip(address) => address.port() != 0,
            Endpoint::Unix(_) => true,
            Endpoint::Passed(_) => false,
        };
        let is_set = config.origins.of("listener").is_some();
        let all_fixed = is_set && config.listeners.iter().all(|listener| is_fixed(&listener.address));
        let listeners = all_fixed.then(|| config.listeners.iter().map(|listener| listener.name()).collect());
        Some(Self { file, listeners })
    }

    /// An error if `answer`, that of the route `broker`, is of a broker with another file and other listeners. Either
    /// may differ: a container has its own paths, and a flag adds listeners.
    pub fn check(&self, answer: &Value, url: String) -> Result<(), CtlError> {
        let file = answer["config_file"].as_str();
        let all = answer["listeners"].as_array().into_iter().flatten();
        let listeners: BTreeSet<_> = all.filter_map(|one| one["address"].as_str()).filter(|one| *one != HTTP).collect();
        let same_file = file.is_some_and(|file| self.file.as_os_str() == file);
        let is_same = |ours: &BTreeSet<String>| ours.iter().map(String::as_str).eq(listeners.iter().copied());
        if same_file || self.listeners.as_ref().is_none_or(is_same) {
            return Ok(());
        }
        let joined = |all: Vec<&str>| if all.is_empty() { "nothing".into() } else { all.join(", ") };
        Err(CtlError::Another {
            url,
            file: self.file.clone(),
            theirs: joined(listeners.into_iter().collect()),
            of: file.map_or_else(String::new, |file| format!(", with the configuration {file}")),
            ours: joined(self.listeners.iter().flatten().map(String::as_str).collect()),
        })
    }
}

/// The address of MQTT over WebSocket at the addresses of HTTP.
const HTTP: &str = "http";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_broker_with_another_file_and_other_listeners_is_refused() {
        let of = |file: &str, listeners: Option<&[&str]>| Meant {
            file: file.into(),
            listeners: listeners.map(|all| all.iter().map(|one| (*one).into()).collect()),
        };
        let answer = json!({
            "config_file": "/etc/one.toml",
            "listeners": [{ "address": "127.0.0.1:1883" }, { "address": "http" }],
        });
        let passes = |meant: Meant, answer: &Value| meant.check(answer, String::new()).is_ok();
        assert!(passes(of("/etc/one.toml", Some(&["127.0.0.1:1884"])), &answer), "flags may replace listeners");
        assert!(passes(of("/host/one.toml", Some(&["127.0.0.1:1883"])), &answer), "a container has its own paths");
        assert!(passes(of("/etc/two.toml", None), &answer), "nothing can be compared");
        let error = of("/etc/two.toml", Some(&["127.0.0.1:1884"])).check(&answer, "http://a".into()).unwrap_err();
        let text = error.to_string();
        for part in ["http://a: another broker answers", "127.0.0.1:1883", "/etc/one.toml", "/etc/two.toml", "--url"] {
            assert!(text.contains(part), "{text} lacks {part}");
        }
        let embedded = json!({ "config_file": null, "listeners": [{ "address": "127.0.0.1:1883" }] });
        assert!(!passes(of("/etc/two.toml", Some(&["127.0.0.1:1884"])), &embedded));
    }
}
