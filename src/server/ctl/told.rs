//! The output of `dunlin ctl`: sentences about results, tables with the most important columns, a sentence for an empty
//! list.

use serde_json::{Value, json};

use super::shown;
use crate::config::{CtlAction, RuleFor, RulesAction, Target, TraceAction, UsersAction};

/// A sentence about a list without an entry; `None`: it has some, or is not a list.
pub(super) fn nothing(action: &CtlAction, value: &Value) -> Option<&'static str> {
    let is_empty = value.get("data")?.as_array()?.is_empty() && value.get("next").is_none_or(Value::is_null);
    is_empty.then_some(match action {
        CtlAction::Logins => "No login services.",
        CtlAction::Bridges { .. } => "No bridges.",
        CtlAction::Webhooks => "No webhooks.",
        CtlAction::Sinks => "No sinks.",
        CtlAction::Routes { .. } => "No subscribers.",
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
            format!("Banned {}{until}. {} closed.\n", named(target), were(number("closed"), "connection"))
        }
        CtlAction::Unban { target } => format!("The ban of {} is ended.\n", named(target)),
        CtlAction::Bridges { pause: Some(name), .. } => format!("The bridge {name} is paused.\n"),
        CtlAction::Bridges { resume: Some(name), .. } => format!("The bridge {name} runs again.\n"),
        CtlAction::Bridges { .. } => shown::people(&with_counters(value), Some(&BRIDGE_COLUMNS)),
        CtlAction::Webhooks => shown::people(&with_counters(value), Some(&WEBHOOK_COLUMNS)),
        CtlAction::Logins => shown::people(&with_counters(value), Some(&LOGIN_COLUMNS)),
        CtlAction::Sinks => shown::people(&with_counters(value), Some(&SINK_COLUMNS)),
        CtlAction::Kick { id: Some(id), .. } => match value["result"].as_str() {
            Some("away") => format!("The client {id} is not connected; its session is kept.\n"),
            _ => format!("Disconnected the client {id}.\n"),
        },
        CtlAction::Kick { dry_run: true, .. } => format!("{} be disconnected.\n", would(number("clients"), "client")),
        CtlAction::Kick { .. } => format!("{} disconnected.\n", were(number("done"), "client")),
        CtlAction::Sessions { dry_run: true, .. } => format!("{} be ended.\n", would(number("clients"), "session")),
        CtlAction::Sessions { .. } => format!("{} ended.\n", were(number("done"), "session")),
        CtlAction::Subscribe { id, filter, .. } => format!("Subscribed the client {id} to {filter}.\n"),
        CtlAction::Unsubscribe { id, filter } => format!("Ended the subscription of the client {id} to {filter}.\n"),
        CtlAction::Queue { remove: true, .. } => format!("{} removed.\n", were(number("messages"), "queued message")),
        CtlAction::Retained { dry_run: true, .. } => {
            format!("{} be removed.\n", would(number("messages"), "retained message"))
        }
        CtlAction::Retained { remove: true, .. } => {
            format!("{} removed.\n", were(number("messages"), "retained message"))
        }
        CtlAction::Pub { topic, .. } => {
            format!("Published to {topic}, which has {}.\n", counted(number("subscribers"), "subscriber"))
        }
        CtlAction::Rules { action: Some(action) } => edited_rule(action, value),
        CtlAction::Users { action: Some(UsersAction::Set { name, .. }) } => match value["result"].as_str() {
            Some("added") => format!("The user {name} is added.\n"),
            _ => format!("The password of the user {name} is changed.\n"),
        },
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

/// `1 client`, `2 clients`.
fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn were(count: u64, what: &str) -> String {
    format!("{} {}", counted(count, what), if count == 1 { "was" } else { "were" })
}

fn would(count: u64, what: &str) -> String {
    format!("{} would", counted(count, what))
}

fn edited_rule(action: &RulesAction, value: &Value) -> String {
    let of = |of: &RuleFor| match of {
        RuleFor { of_user: Some(name), .. } => format!("the user {name}"),
        RuleFor { anonymous: true, .. } => "clients without a user name".into(),
        _ => "all clients".into(),
    };
    let warning = value["warning"].as_str().map_or_else(String::new, |warning| format!("Warning: {warning}.\n"));
    match action {
        RulesAction::Set { of: whom, access, filter } => {
            format!("The rules for {} are changed: {access} {filter}.\n{warning}", of(whom))
        }
        RulesAction::Delete { of: whom, filter } => {
            format!("The rules for {} and {filter} are deleted.\n{warning}", of(whom))
        }
    }
}

/// A list whose rows have their counters as columns, and the last error with its time.
fn with_counters(value: &Value) -> Value {
    let mut list = value.clone();
    for row in list["data"].as_array_mut().into_iter().flatten() {
        for (name, number) in row["counters"].as_object().cloned().unwrap_or_default() {
            row[name] = number;
        }
        if let (Some(error), Some(at)) = (row["error"].as_str(), row["error_at"].as_str()) {
            row["last_error"] = json!(format!("{at} {error}"));
        }
    }
    list
}

/// The columns of a table of bridges.
const BRIDGE_COLUMNS: [&str; 9] =
    ["name", "state", "address", "protocol", "queued", "sent", "received", "failures", "last_error"];

/// The columns of a table of webhooks.
const WEBHOOK_COLUMNS: [&str; 9] =
    ["name", "state", "url", "queued", "sent", "failed", "dropped", "lost", "last_error"];

/// The columns of a table of login services.
const LOGIN_COLUMNS: [&str; 8] = ["name", "state", "url", "waiting", "requests", "failed", "cache_hits", "last_error"];

/// The columns of a table of file sinks.
const SINK_COLUMNS: [&str; 8] = ["name", "state", "file", "queued", "written", "lost", "failed", "last_error"];

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
        let kick = |id: Option<&str>, dry_run| CtlAction::Kick {
            id: id.map(Into::into),
            filter: Vec::new(),
            reason: String::new(),
            dry_run,
        };
        let one = people(&kick(Some("lamp"), false), &json!({ "client_id": "lamp", "result": "closing" }));
        assert_eq!(one, "Disconnected the client lamp.\n");
        let away = people(&kick(Some("lamp"), false), &json!({ "client_id": "lamp", "result": "away" }));
        assert_eq!(away, "The client lamp is not connected; its session is kept.\n");
        let dry = people(&kick(None, true), &json!({ "clients": 1, "done": 0, "dry_run": true }));
        assert_eq!(dry, "1 client would be disconnected.\n");
        let all = people(&kick(None, false), &json!({ "clients": 3, "done": 2, "dry_run": false }));
        assert_eq!(all, "2 clients were disconnected.\n");
        let of = RuleFor { of_user: Some("bobby".into()), anonymous: false, everybody: false };
        let set =
            CtlAction::Rules { action: Some(RulesAction::Set { of, access: "read".into(), filter: "a/#".into() }) };
        let warned = people(&set, &json!({ "result": "changed", "warning": "user \"bobby\" is unknown" }));
        assert_eq!(
            warned,
            "The rules for the user bobby are changed: read a/#.\nWarning: user \"bobby\" is unknown.\n"
        );
        let nothing = people(&CtlAction::Reload, &json!({ "changes": [] }));
        assert_eq!(nothing, "The configuration was read again. Nothing changed.\n");
        let some = people(&CtlAction::Reload, &json!({ "changes": ["a = 1 (was 2)", "b"] }));
        assert_eq!(some, "The configuration was read again. Changed:\n  a = 1 (was 2)\n  b\n");
    }

    #[test]
    fn bridges_webhooks_sinks_and_login_services_have_their_counters_as_columns() {
        let list = json!({ "data": [{
            "name": "up", "state": "connected", "address": "b:1883", "protocol": "5", "since": "2026-01-02T03:04:06Z",
            "error": "no route", "error_at": "2026-01-02T03:04:05Z",
            "counters": { "queued": 1, "sent": 20, "received": 3, "failures": 4, "echoes": 5 },
        }], "next": null });
        let bridges = CtlAction::Bridges { pause: None, resume: None };
        let expected = "NAME  STATE      ADDRESS  PROTOCOL  QUEUED  SENT  RECEIVED  FAILURES  LAST_ERROR\n\
                        up    connected  b:1883   5         1       20    3         4         2026-01-02T03:04:05Z no route\n";
        assert_eq!(people(&bridges, &list), expected);
        let list = json!({ "data": [{
            "name": "hook", "state": "working", "url": "http://h", "error": null, "error_at": null,
            "counters": { "queued": 0, "sent": 2, "failed": 0, "dropped": 0, "lost": 0 },
        }], "next": null });
        let expected = "NAME  STATE    URL       QUEUED  SENT  FAILED  DROPPED  LOST\n\
                        hook  working  http://h  0       2     0       0        0\n";
        assert_eq!(people(&CtlAction::Webhooks, &list), expected);
        let list = json!({ "data": [{
            "name": "house", "kind": "http", "state": "failing", "url": "http://h/mqtt", "error": "no answer",
            "error_at": "2026-01-02T03:04:05Z",
            "counters": { "waiting": 1, "requests": 7, "allowed": 4, "failed": 3, "cache_hits": 2 },
        }], "next": null });
        let expected = "NAME   STATE    URL            WAITING  REQUESTS  FAILED  CACHE_HITS  LAST_ERROR\n\
                        house  failing  http://h/mqtt  1        7         3       2           2026-01-02T03:04:05Z no answer\n";
        assert_eq!(people(&CtlAction::Logins, &list), expected);
        let list = json!({ "data": [{
            "name": "log", "state": "failing", "file": "/l", "error": "disk full", "error_at": "2026-01-02T03:04:05Z",
            "counters": { "written": 5, "bytes": 600, "failed": 1, "rotated": 0, "lost": 2, "queued": 3 },
        }], "next": null });
        let expected = "NAME  STATE    FILE  QUEUED  WRITTEN  LOST  FAILED  LAST_ERROR\n\
                        log   failing  /l    3       5        2     1       2026-01-02T03:04:05Z disk full\n";
        assert_eq!(people(&CtlAction::Sinks, &list), expected);
        let none = json!({ "data": [], "next": null });
        assert_eq!(nothing(&CtlAction::Logins, &none), Some("No login services."));
        assert_eq!(nothing(&bridges, &none), Some("No bridges."));
        assert_eq!(nothing(&CtlAction::Webhooks, &none), Some("No webhooks."));
        assert_eq!(nothing(&CtlAction::Sinks, &none), Some("No sinks."));
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
