//! `broker`: version, uptime and counters; `closed-clients`; `explain`, `config` and `reload`, which the server
//! answers.

use std::time::SystemTime;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    super::{
        audit::Write,
        control::Asked,
        lines::{LogLine, log_lines},
        problem::Problem,
    },
    call::{Answer, Call, answer, next, time},
    parameters::{Kind, Parameter, bad},
    schema::{Is, Shape, field, nullable},
};
use crate::router::Count;

static LISTENER: Shape = Shape {
    name: "Listener",
    fields: &[field("number", Is::Number), field("address", Is::Text), nullable("certificate_ends_at", Is::Time)],
};

static RELOAD: Shape = Shape { name: "LastReload", fields: &[field("succeeded", Is::Flag), field("at", Is::Time)] };

pub(super) static BROKER: Shape = Shape {
    name: "Broker",
    fields: &[
        field("version", Is::Text),
        field("started_at", Is::Time),
        field("uptime", Is::Number),
        field("stopping", Is::Flag),
        field("persistence", Is::Text),
        nullable("store", Is::Text),
        nullable("config_file", Is::Text),
        field("config_digest", Is::Text),
        field("reload", Is::Object(&RELOAD)),
        field("alarms", Is::Texts),
        field("listeners", Is::List(&LISTENER)),
        field("connected", Is::Number),
        field("counters", Is::Any),
    ],
};

/// The counters that `broker` shows.
const COUNTS: [(&str, Count); 14] = [
    ("connections_opened", Count::Connects),
    ("connections_closed", Count::Disconnects),
    ("packets_received", Count::MessagesReceived),
    ("packets_sent", Count::MessagesSent),
    ("bytes_received", Count::BytesReceived),
    ("bytes_sent", Count::BytesSent),
    ("messages_received", Count::PublishReceived),
    ("messages_sent", Count::PublishSent),
    ("messages_dropped", Count::PublishDropped),
    ("subscribes", Count::Subscribes),
    ("unsubscribes", Count::Unsubscribes),
    ("logins_refused", Count::RefusedLogins),
    ("sessions_expired", Count::SessionsExpired),
    ("protocol_errors", Count::ProtocolErrors),
];

pub(super) async fn broker(call: Call) -> Answer {
    let (router, state) = (call.router(), &call.state);
    let condition = router.plugged_store().map(|store| store.condition().to_string());
    let ends = state.certificates.load();
    let listeners: Vec<_> = call
        .desk
        .control
        .listeners()
        .into_iter()
        .map(|(number, address)| {
            let end = ends.iter().find(|(name, _)| *name == address).map(|(_, end)| time(*end));
            json!({ "number": number, "address": address, "certificate_ends_at": end })
        })
        .collect();
    let hooks = call.desk.control.webhooks();
    let why = |error: &Option<(String, SystemTime)>| error.as_ref().map_or_else(String::new, |(why, _)| why.clone());
    let stopped = hooks.iter().filter(|hook| hook.is_stopped);
    let stopped = stopped.map(|hook| format!("webhook {} has stopped: {}", hook.name, why(&hook.error)));
    let sinks = call.desk.control.sinks();
    let failing = sinks.iter().filter(|sink| sink.fails);
    let failing = failing.map(|sink| format!("sink {} cannot write: {}", sink.name, why(&sink.error)));
    let alarms: Vec<_> = stopped.chain(failing).collect();
    let reload = state.reload.load();
    let counters: Map<String, Value> =
        COUNTS.iter().map(|(name, count)| ((*name).to_owned(), router.counters().get(*count).into())).collect();
    Ok(answer(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": time(state.started),
        "uptime": state.clock.wall().duration_since(state.started).unwrap_or_default().as_secs(),
        "stopping": state.is_stopping(),
        "persistence": if condition.is_some() { "on" } else { "none" },
        "store": condition,
        "config_file": call.desk.control.config_file(),
        "config_digest": call.desk.control.digest(),
        "reload": { "succeeded": reload.succeeded, "at": time(reload.at) },
        "alarms": alarms,
        "listeners": listeners,
        "connected": router.connected(),
        "counters": counters,
    })))
}

pub(super) static CLOSED_CLIENT: Shape = Shape {
    name: "ClosedClient",
    fields: &[
        field("client_id", Is::Text),
        nullable("user", Is::Text),
        nullable("listener", Is::Text),
        field("protocol", Is::Text),
        field("closed_at", Is::Time),
        field("reason", Is::Text),
    ],
};

/// The latest first.
pub(super) async fn closed_clients(call: Call) -> Answer {
    let before = match call.number_of_cursor()? {
        0 => u64::MAX,
        number => number,
    };
    let (some, behind) = call.state.closed.before(before, call.limit());
    let listeners = call.desk.control.listeners();
    let name = |number: u16| listeners.iter().find(|(known, _)| *known == number).map(|(_, name)| name);
    let data = some.iter().map(|gone| {
        json!({
            "client_id": gone.client.as_str(),
            "user": gone.user,
            "listener": name(gone.listener),
            "protocol": gone.version.to_string(),
            "closed_at": call.time(gone.at),
            "reason": &*gone.reason,
        })
    });
    call.list(data.collect(), behind.map(next))
}

pub(super) static WRITE: Shape = Shape {
    name: "Write",
    fields: &[
        field("at", Is::Time),
        field("by", Is::Text),
        field("from", Is::Text),
        field("method", Is::Text),
        field("what", Is::Text),
        field("status", Is::Number),
    ],
};

/// The latest first.
pub(super) async fn audit(call: Call) -> Answer {
    let before = match call.number_of_cursor()? {
        0 => u64::MAX,
        number => number,
    };
    let (some, behind) = call.state.audit.before(before, call.limit());
    call.list(some.iter().map(Write::shown).collect(), behind.map(next))
}

pub(super) static LOG_LINE: Shape =
    Shape { name: "LogLine", fields: &[field("at", Is::Time), field("level", Is::Text), field("text", Is::Text)] };

/// The latest first.
pub(super) async fn log(call: Call) -> Answer {
    let before = match call.number_of_cursor()? {
        0 => u64::MAX,
        number => number,
    };
    let (some, behind) = log_lines().before(before, call.limit());
    call.list(some.iter().map(LogLine::shown).collect(), behind.map(next))
}

pub(super) static EXPLAIN: [Parameter; 4] = [
    Parameter::new("user", Kind::Text, "The user; an anonymous client without it"),
    Parameter::new("client", Kind::Text, "The Client Identifier"),
    Parameter::new("publish", Kind::Topic, "May it publish to this topic?"),
    Parameter::new("subscribe", Kind::Filter, "May it subscribe to this filter?"),
];

pub(super) static EXPLANATION: Shape =
    Shape { name: "Explanation", fields: &[field("allowed", Is::Flag), field("because", Is::Text)] };

pub(super) async fn explain(call: Call) -> Answer {
    let (publish, topic) = match (call.query.text("publish"), call.query.text("subscribe")) {
        (Some(topic), None) => (true, topic),
        (None, Some(filter)) => (false, filter),
        _ => return Err(bad("missing-parameter", "publish or subscribe: exactly one is expected")),
    };
    let asked =
        Asked { user: call.query.text("user"), client: call.query.text("client").unwrap_or_default(), publish, topic };
    let Some((allowed, because)) = call.desk.control.explain(&asked) else {
        let detail = "a plug-in of the embedding program decides, and has no rules to show";
        return Err(Problem::new(StatusCode::CONFLICT, "plug-in", detail));
    };
    Ok(answer(&json!({ "allowed": allowed, "because": because })))
}

pub(super) static SETTING: Shape =
    Shape { name: "Setting", fields: &[field("key", Is::Text), field("value", Is::Text), nullable("from", Is::Text)] };

pub(super) async fn settings(call: Call) -> Answer {
    let all = call.desk.control.settings();
    let data = all.iter().map(|setting| json!({ "key": setting.key, "value": setting.value, "from": setting.from }));
    Ok(answer(&json!({ "data": data.collect::<Vec<_>>(), "next": null })))
}

pub(super) static CHECKED: Shape =
    Shape { name: "Checked", fields: &[field("ok", Is::Flag), field("error", Is::Any), field("changes", Is::Texts)] };

pub(super) async fn check(call: Call) -> Answer {
    let text = std::str::from_utf8(&call.body).map_err(|_| bad("body", "the configuration is not UTF-8"))?;
    let checked = call.desk.control.check(text);
    let (error, changes) = match checked {
        Ok(changes) => (None, changes),
        Err(error) => (Some(error), Vec::new()),
    };
    Ok(answer(&json!({ "ok": error.is_none(), "error": error, "changes": changes })))
}

pub(super) static RELOADED: Shape = Shape { name: "Reloaded", fields: &[field("changes", Is::Texts)] };

pub(super) async fn reload(call: Call) -> Answer {
    match call.desk.control.reload().await {
        Some(Ok(changes)) => Ok(answer(&json!({ "changes": changes }))),
        Some(Err(error)) => Err(Problem::new(StatusCode::CONFLICT, "configuration", error)),
        None => {
            let detail = "the program that embeds this broker does not support a reload";
            Err(Problem::new(StatusCode::CONFLICT, "embedded", detail))
        }
    }
}
