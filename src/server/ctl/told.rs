//! The output of `dunlin ctl`: sentences about results, tables with the most important columns, a sentence for an empty
//! list.

use serde_json::Value;

use super::shown;
use crate::config::{CtlAction, Target, TraceAction, UsersAction};

/// A sentence about a list without an entry; `None`: it has some, or is not a list.
pub(super) fn nothing(action: &CtlAction, value: &Value) -> Option<&'static str> {
    let is_empty = value.get("data")?.as_array()?.is_empty() && value.get("next").is_none_or(Value::is_null);
    is_empty.then_some(match action {
        CtlAction::Clients { .. } => "No clients.",
        CtlAction::Closed { .. } => "No clients went.",
        CtlAction::Subscriptions { .. } => "No subscriptions.",
        CtlAction::Queue { .. } => "No messages wait.",
        CtlAction::Inflight { .. } => "No messages are in flight.",
        CtlAction::Trace { .. } => "No traces.",
        CtlAction::Topics { .. } => "No topics: they are counted from the first request on.",
        CtlAction::Slow { .. } => "No slow subscribers.",
        CtlAction::Retained { .. } => "No retained messages.",
        CtlAction::Users { .. } => "No users.",
        CtlAction::Bans { .. } => "No bans.",
        CtlAction::Audit { .. } => "No requests that write.",
        _ => "None.",
    })
}

/// The answer for people.
pub(super) fn people(action: &CtlAction, value: &Value) -> String {
    let number = |name: &str| value[name].as_u64().unwrap_or_default();
    match action {
        // the file as it is
        CtlAction::Rules { action: None } if value["text"].is_string() => {
            value["text"].as_str().unwrap_or_default().to_owned()
        }
        CtlAction::Clients { parameters } => {
            let asked = |name: &str| parameters.iter().find_map(|one| one.strip_prefix(name)?.strip_prefix('='));
            let mut columns = CLIENT_COLUMNS.to_vec();
            let sort = asked("sort").map(|key| key.trim_start_matches('-'));
            columns.extend(sort.filter(|key| !CLIENT_COLUMNS.contains(key)));
            shown::people(value, asked("fields").is_none().then_some(&columns[..]))
        }
        CtlAction::Reload => reloaded(value),
        CtlAction::Trace { action: Some(TraceAction::Start { .. }) } => {
            let id = &value["id"];
            format!("Trace {id} runs. dunlin ctl trace show {id} prints its packets.\n")
        }
        CtlAction::Trace { action: Some(TraceAction::Stop { id }) } => {
            format!("Trace {id} is stopped, with {} packets.\n", number("packets"))
        }
        CtlAction::Trace { action: Some(TraceAction::Remove { id }) } => format!("Trace {id} is removed.\n"),
        CtlAction::Trace { .. } => shown::people(value, Some(&TRACE_COLUMNS)),
        CtlAction::Ban { target, lasts, .. } => {
            let until = lasts.as_ref().map_or_else(String::new, |lasts| format!(" for {lasts}"));
            format!("Banned {}{until}. {} closed.\n", named(target), connections(number("closed")))
        }
        CtlAction::Unban { target } => format!("The ban of {} is ended.\n", named(target)),
        CtlAction::Import { .. } => imported(value),
        CtlAction::Users { action: Some(UsersAction::Delete { name }) } => {
            let left = match number("rules_left") {
                0 => String::new(),
                left => format!(
                    " The ACL file still has {left} {} for it: dunlin ctl rules shows them, and dunlin ctl rules delete \
                     --user NAME FILTER deletes one.",
                    if left == 1 { "rule" } else { "rules" }
                ),
            };
            format!("The user {name} is deleted.{left}\n")
        }
        _ => shown::people(value, None),
    }
}

/// The columns of a table of clients without `fields=`: it fits a terminal.
const CLIENT_COLUMNS: [&str; 8] =
    ["client_id", "user", "connected", "peer", "subscriptions", "queued", "inflight", "dropped"];

/// The columns of a table of traces.
const TRACE_COLUMNS: [&str; 8] = ["id", "client_id", "filter", "network", "packets", "lost", "until", "ended"];

fn reloaded(value: &Value) -> String {
    let changes: Vec<_> = value["changes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match changes[..] {
        [] => "The configuration was read again. Nothing changed.\n".into(),
        _ => format!("The configuration was read again. Changed:\n  {}\n", changes.join("\n  ")),
    }
}

fn imported(value: &Value) -> String {
    let mut text = String::new();
    for (part, words) in [("retained", "retained messages"), ("sessions", "sessions"), ("users", "users")] {
        let number = |name: &str| value[part][name].as_u64().unwrap_or_default();
        text += &format!("{words}: {} imported, {} were there", number("imported"), number("existed"));
        text += &match number("refused") {
            0 => "\n".to_owned(),
            refused => format!(", {refused} refused\n"),
        };
    }
    match value["refusal"].as_str() {
        Some(why) => text + "refused, because: " + why + "\n",
        None => text,
    }
}

fn connections(count: u64) -> String {
    if count == 1 { "1 connection was".into() } else { format!("{count} connections were") }
}

/// The conditions of a ban.
fn named(target: &Target) -> String {
    let Target { id, of_user, network } = target;
    let all = [("the client", id), ("the user", of_user), ("the network", network)];
    let all = all.into_iter().filter_map(|(what, value)| Some(format!("{what} {}", value.as_deref()?)));
    all.collect::<Vec<_>>().join(" with ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_result_is_printed_as_a_sentence() {
        let target = |id: Option<&str>, network: Option<&str>| Target {
            id: id.map(Into::into),
            of_user: None,
            network: network.map(Into::into),
        };
        let ban = |target, lasts: Option<&str>| CtlAction::Ban {
            target,
            lasts: lasts.map(Into::into),
            reason: String::new(),
        };
        let one = people(&ban(target(Some("lamp"), None), Some("1h")), &json!({ "closed": 1 }));
        assert_eq!(one, "Banned the client lamp for 1h. 1 connection was closed.\n");
        let both = people(&ban(target(Some("lamp"), Some("192.0.2.0/24")), None), &json!({ "closed": 0 }));
        assert_eq!(both, "Banned the client lamp with the network 192.0.2.0/24. 0 connections were closed.\n");
        let nothing = people(&CtlAction::Reload, &json!({ "changes": [] }));
        assert_eq!(nothing, "The configuration was read again. Nothing changed.\n");
        let some = people(&CtlAction::Reload, &json!({ "changes": ["a = 1 (was 2)", "b"] }));
        assert_eq!(some, "The configuration was read again. Changed:\n  a = 1 (was 2)\n  b\n");
    }

    #[test]
    fn a_table_of_clients_includes_the_column_of_its_order() {
        let list = json!({ "data": [{
            "client_id": "lamp", "connected": true, "queued": 3, "sent_bytes": 70, "session_expiry": 100,
        }], "next": null });
        let table = |parameters: &[&str]| {
            let parameters = parameters.iter().map(|one| (*one).to_owned()).collect();
            people(&CtlAction::Clients { parameters }, &list).lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(table(&[]), "CLIENT_ID  CONNECTED  QUEUED");
        assert_eq!(table(&["sort=-sent_bytes"]), "CLIENT_ID  CONNECTED  QUEUED  SENT_BYTES");
        assert!(table(&["fields=client_id,session_expiry"]).contains("SESSION_EXPIRY"));
    }
}
