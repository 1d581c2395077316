//! The variables of the environment that dunlin reads, and those that only look as if it did.

use std::collections::BTreeSet;

use clap::CommandFactory;

use super::{cli::Cli, hints::nearest};

/// A line for each variable that begins with `DUNLIN_` and that nothing reads. `used` are those that the configuration
/// names.
pub(super) fn warnings(used: &BTreeSet<String>) -> Vec<String> {
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut set: Vec<_> = set.filter(|name| !used.contains(name)).collect();
    set.sort();
    unknown(set.iter().map(String::as_str))
}

fn unknown<'a>(set: impl Iterator<Item = &'a str>) -> Vec<String> {
    let command = Cli::command();
    let known: Vec<_> = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str()).collect();
    let of_dunlin = set.filter(|name| name.starts_with(PREFIX) && !known.contains(name) && !is_of_kubernetes(name));
    let bare: Vec<_> = known.iter().map(|name| name.trim_start_matches(PREFIX).to_ascii_lowercase()).collect();
    let line = |name: &str| {
        let hint = match nearest(name.trim_start_matches(PREFIX), bare.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {PREFIX}{}?", near.to_ascii_uppercase()),
            None => "\"dunlin --help\" names those that are".into(),
        };
        format!("the environment variable {name} is not read; {hint}")
    };
    of_dunlin.map(line).collect()
}

/// Kubernetes sets these in every container of a namespace that has a service named dunlin, or dunlin-…:
/// `DUNLIN_SERVICE_HOST`, `DUNLIN_PORT_1883_TCP_ADDR`, `DUNLIN_WS_PORT`.
fn is_of_kubernetes(name: &str) -> bool {
    name.contains("_SERVICE_") || name.ends_with("_PORT") || name.contains("_PORT_")
}

const PREFIX: &str = "DUNLIN_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_nothing_reads_is_told_with_the_nearest_name() {
        let set =
            ["PATH", "DUNLIN_LISTEN", "DUNLIN_LOG_LEVLE", "DUNLIN_PORT", "DUNLIN_PORT_1883_TCP_ADDR", "DUNLIN_QQ"];
        let kubernetes =
            ["DUNLIN_SERVICE_HOST", "DUNLIN_SERVICE_PORT_MQTT", "DUNLIN_WS_PORT", "DUNLIN_WS_SERVICE_PORT"];
        let expected = [
            "the environment variable DUNLIN_LOG_LEVLE is not read; did you mean DUNLIN_LOG_LEVEL?",
            "the environment variable DUNLIN_QQ is not read; \"dunlin --help\" names those that are",
        ];
        assert_eq!(unknown(set.into_iter().chain(kubernetes)), expected);
    }
}
