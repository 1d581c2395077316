//! Every route below `/api/v1/`: path, verb, role, parameters and handler. Requests are routed and roles are checked by
//! this table, and the OpenAPI document is generated from it.

use axum::{
    http::{Method, header},
    response::IntoResponse,
};

use super::{
    bans, bridges, broker,
    call::{Answer, Answering, Call, LIST},
    carry, clients, history, keys, live, logins,
    messages::{self, PAYLOAD},
    parameters::Parameter,
    publish, retained,
    schema::Shape,
    selection::{CLIENT, FILTERS, STATE},
    session, sinks, slow, streams, subscriptions, topics, traces, users, webhooks,
};
use crate::types::Role;

/// Type of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gives {
    One(&'static Shape),
    List(&'static Shape),
    /// An object if the body is one, a list if the body is an array.
    Either(&'static Shape),
    /// Server-sent events.
    Stream,
    /// Lines of JSON.
    Lines,
    Document,
}

/// Type of a body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Takes {
    Nothing,
    One(&'static Shape),
    /// An object, or no body.
    OneIfAny(&'static Shape),
    OneOrMany(&'static Shape),
    /// The route's parameters as an object, instead of those in the URL.
    Parameters,
    Toml,
    /// Lines of JSON.
    Lines,
}

/// A route.
pub(super) struct Route {
    /// The path below `/api/v1/`.
    pub path: &'static str,
    pub method: Method,
    pub role: Role,
    pub about: &'static str,
    pub parameters: &'static [&'static [Parameter]],
    pub takes: Takes,
    pub gives: Gives,
    pub run: fn(Call) -> Answering,
}

/// A row of the table.
macro_rules! route {
    ($method:ident $path:literal $role:ident $about:literal, [$($parameters:expr),*], $takes:expr => $gives:expr, $run:path) => {
        Route {
            path: $path,
            method: Method::$method,
            role: Role::$role,
            about: $about,
            parameters: &[$(&$parameters),*],
            takes: $takes,
            gives: $gives,
            run: |call| Box::pin($run(call)),
        }
    };
}

use Gives::{Document, Either, List, One, Stream};
use Takes::Nothing;

pub(super) static ROUTES: [Route; 61] = [
    route!(GET "openapi.json" Viewer "This document", [], Nothing => Document, document),
    route!(GET "session" Viewer "The caller and the role of this request", [],
        Nothing => One(&session::SESSION), session::show),
    route!(POST "session" Viewer "Logs a browser in, by the header Authorization or this body", [],
        Takes::OneIfAny(&session::LOGIN) => One(&session::BEGUN), session::begin),
    route!(DELETE "session" Viewer "Logs a browser out, by its cookie", [],
        Nothing => One(&session::ENDED), session::end),
    route!(GET "broker" Viewer "Version, uptime and counters of the broker", [], Nothing => One(&broker::BROKER), broker::broker),
    route!(GET "bridges" Viewer "Bridges to other brokers", [], Nothing => List(&bridges::BRIDGE), bridges::list),
    route!(POST "bridges/{id}/pause" Operator "Disconnects a bridge until it is resumed; its queue is kept", [],
        Nothing => One(&bridges::PAUSED), bridges::pause),
    route!(POST "bridges/{id}/resume" Operator "Resumes a paused bridge", [],
        Nothing => One(&bridges::PAUSED), bridges::resume),
    route!(GET "logins" Viewer "Services that are asked about logins", [],
        Nothing => List(&logins::LOGIN_SERVICE), logins::list),
    route!(GET "sinks" Viewer "File sinks", [], Nothing => List(&sinks::SINK), sinks::list),
    route!(GET "webhooks" Viewer "Webhooks", [], Nothing => List(&webhooks::WEBHOOK), webhooks::list),
    route!(GET "clients" Viewer "Clients and sessions", [LIST, STATE, FILTERS, clients::SHOWN],
        Nothing => List(&CLIENT), clients::list),
    route!(GET "clients/{id}" Viewer "One client with its Will; the payload is shown to operators", [],
        Nothing => One(&clients::ONE), clients::one),
    route!(DELETE "clients/{id}" Operator "Disconnects a client, or ends its session", [clients::CLOSING],
        Nothing => One(&clients::CLOSED), clients::close),
    route!(GET "clients/{id}/subscriptions" Viewer "Subscriptions of a client", [LIST],
        Nothing => List(&subscriptions::SUBSCRIPTION), subscriptions::of_client),
    route!(PUT "clients/{id}/subscriptions" Operator "Subscribes a client, without telling it", [],
        Takes::One(&subscriptions::NEW) => One(&subscriptions::SUBSCRIPTION), subscriptions::subscribe),
    route!(DELETE "clients/{id}/subscriptions" Operator "Ends a subscription of a client, without telling it",
        [subscriptions::WHICH], Nothing => One(&subscriptions::ENDED), subscriptions::unsubscribe),
    route!(DELETE "clients/{id}/queue" Operator "Removes the queued messages of a client", [],
        Nothing => One(&messages::REMOVED), messages::remove_queue),
    route!(GET "clients/{id}/queue" Operator "Queued messages of a client", [LIST, PAYLOAD],
        Nothing => List(&messages::QUEUED), messages::queue),
    route!(GET "clients/{id}/inflight" Operator "Messages in flight to a client",
        [LIST, PAYLOAD], Nothing => List(&messages::IN_FLIGHT), messages::inflight),
    route!(GET "closed-clients" Viewer "The last 10,000 clients that disconnected, the latest first", [LIST],
        Nothing => List(&broker::CLOSED_CLIENT), broker::closed_clients),
    route!(POST "kick" Operator "Disconnects all selected clients",
        [STATE, FILTERS, clients::CLOSING_MANY, clients::DRY], Takes::Parameters => One(&clients::MANY), clients::kick_many),
    route!(DELETE "sessions" Operator "Ends the sessions of all selected clients",
        [STATE, FILTERS, clients::CLOSING_MANY, clients::DRY], Takes::Parameters => One(&clients::MANY), clients::end_many),
    route!(GET "subscriptions" Viewer "Subscriptions of all clients", [LIST, subscriptions::ONE_CLIENT],
        Nothing => List(&subscriptions::SUBSCRIPTION), subscriptions::all),
    route!(GET "routes" Viewer "The subscribers of a topic", [subscriptions::TOPIC],
        Nothing => One(&subscriptions::ROUTES), subscriptions::routes),
    route!(GET "topics" Viewer "The busiest topics; counting stops ten minutes after the last request",
        [topics::BUSIEST], Nothing => One(&topics::TOPICS), topics::busiest),
    route!(GET "slow" Viewer "The slowest subscribers, by a sample of timed messages",
        [slow::SLOWEST], Nothing => One(&slow::SLOW), slow::slowest),
    route!(GET "traces" Operator "Running and ended traces", [],
        Nothing => List(&traces::TRACE), traces::list),
    route!(POST "traces" Operator "Starts a trace of the packets of a client, of a network or about topics", [],
        Takes::One(&traces::NEW) => One(&traces::TRACE), traces::start),
    route!(GET "traces/{id}" Operator "The packets of a trace as a recording", [traces::FOLLOW],
        Nothing => Gives::Lines, traces::read),
    route!(DELETE "traces/{id}" Operator "Removes a trace and its packets", [],
        Nothing => One(&traces::REMOVED), traces::remove),
    route!(POST "traces/{id}/stop" Operator "Stops a trace and keeps its packets", [],
        Nothing => One(&traces::TRACE), traces::stop),
    route!(GET "explain" Operator "Whether a client may do this, and which rule decides", [broker::EXPLAIN],
        Nothing => One(&broker::EXPLANATION), broker::explain),
    route!(GET "retained" Operator "Retained messages", [LIST, retained::WHICH, PAYLOAD],
        Nothing => List(&retained::RETAINED), retained::list),
    route!(DELETE "retained" Operator "Removes retained messages; subscribers are not told",
        [retained::WHICH, retained::DRY], Nothing => One(&retained::REMOVED), retained::remove),
    route!(PUT "retained" Operator "Retains one message, and publishes it", [publish::TOPIC],
        Takes::One(&publish::MESSAGE) => One(&publish::PUBLISHED), publish::retain),
    route!(POST "publish" Operator "Publishes up to 1,000 messages; they are as durable as after a PUBACK", [],
        Takes::OneOrMany(&publish::MESSAGE) => Either(&publish::PUBLISHED), publish::publish),
    route!(GET "bans" Operator "Banned clients, users and networks", [LIST],
        Nothing => List(&bans::BAN), bans::list),
    route!(POST "bans" Operator "Bans a client, a user or a network, and closes its connections", [],
        Takes::One(&bans::NEW) => One(&bans::BANNED), bans::ban),
    route!(DELETE "bans" Operator "Ends a ban", [bans::TARGET],
        Nothing => One(&bans::UNBANNED), bans::unban),
    route!(GET "config" Admin "The configuration in force, and the source of each value", [],
        Nothing => List(&broker::SETTING), broker::settings),
    route!(POST "config/check" Admin "Checks a configuration and lists what it would change", [],
        Takes::Toml => One(&broker::CHECKED), broker::check),
    route!(POST "reload" Operator "Reloads the configuration", [],
        Nothing => One(&broker::RELOADED), broker::reload),
    route!(GET "users" Admin "The users of auth.password_file", [LIST], Nothing => List(&users::USER), users::list),
    route!(GET "users/{id}" Admin "One of them", [], Nothing => One(&users::USER), users::one),
    route!(PUT "users/{id}" Admin "Adds a user, or changes the password of one", [],
        Takes::One(&users::PASSWORD) => One(&users::EDITED), users::set),
    route!(DELETE "users/{id}" Admin "Deletes a user and disconnects its clients; its rules stay", [],
        Nothing => One(&users::DELETED), users::delete),
    route!(GET "rules" Admin "The text of auth.acl_file, and the rules in it", [],
        Nothing => One(&users::RULES), users::rules),
    route!(PUT "rules" Admin "Sets one rule, or replaces the whole text", [],
        Takes::One(&users::NEW_RULES) => One(&users::RULES_EDITED), users::set_rules),
    route!(DELETE "rules" Admin "Deletes the rules for a filter", [users::WHICH_RULE],
        Nothing => One(&users::RULES_EDITED), users::delete_rule),
    route!(GET "keys" Admin "Keys of programs", [], Nothing => List(&keys::KEY), keys::list),
    route!(POST "keys" Admin "Creates a key, which only this answer shows", [],
        Takes::One(&keys::NEW) => One(&keys::ADDED), keys::add),
    route!(DELETE "keys" Admin "Deletes a key", [keys::NAME], Nothing => One(&keys::DELETED), keys::delete),
    route!(GET "audit" Admin "The last 1,000 writing requests, the latest first", [LIST],
        Nothing => List(&broker::WRITE), broker::audit),
    route!(GET "log" Operator "The last 1,000 lines of the log, the latest first", [LIST],
        Nothing => List(&broker::LOG_LINE), broker::log),
    route!(GET "export" Admin "Stored state and users at one moment, as lines of JSON", [],
        Nothing => Gives::Lines, carry::export),
    route!(POST "import" Admin "Imports what is missing from an export, which is checked first", [carry::ONLY],
        Takes::Lines => One(&carry::IMPORTED), carry::import),
    route!(GET "events" Viewer "Events, as server-sent events", [streams::EVENTS],
        Nothing => Stream, streams::events),
    route!(GET "messages" Operator "Published messages, as server-sent events", [streams::MESSAGES],
        Nothing => Stream, streams::messages),
    route!(GET "history" Viewer "Rates and levels of the last 15 minutes, one point a second", [],
        Nothing => One(&history::HISTORY), history::history),
    route!(GET "live" Viewer "Everything that a page of the web console shows, in at most 10 updates a second", [live::LIVE],
        Nothing => Stream, live::live),
];

async fn document(call: Call) -> Answer {
    Ok(([(header::CONTENT_TYPE, "application/json")], call.document.to_string()).into_response())
}
