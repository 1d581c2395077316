//! Every route below `/api/v1/`: its path, verb, role and parameters, and what answers it. Requests are led by this
//! table, roles are checked by it, and the document is made from it.

use axum::{
    http::{Method, header},
    response::IntoResponse,
};

use super::{
    bans, bridges, broker,
    call::{Answer, Answering, Call, LIST},
    carry, clients, history, keys, live,
    messages::{self, PAYLOAD},
    parameters::Parameter,
    publish, retained,
    schema::Shape,
    selection::{CLIENT, FILTERS, STATE},
    session, slow, streams, subscriptions, topics, users, webhooks,
};
use crate::types::Role;

/// What a route answers with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gives {
    One(&'static Shape),
    List(&'static Shape),
    /// One where the body is an object, a list where it is an array.
    Either(&'static Shape),
    /// Server-sent events.
    Stream,
    /// Lines of JSON.
    Lines,
    Document,
}

/// What a route takes as its body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Takes {
    Nothing,
    One(&'static Shape),
    /// One, or nothing.
    OneIfAny(&'static Shape),
    OneOrMany(&'static Shape),
    /// Its own parameters, as an object, in place of those of the URL.
    Parameters,
    Toml,
    /// Lines of JSON.
    Lines,
}

/// A route.
pub(super) struct Route {
    /// Below `/api/v1/`.
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

pub(super) static ROUTES: [Route; 53] = [
    route!(GET "openapi.json" Viewer "This document", [], Nothing => Document, document),
    route!(GET "session" Viewer "As whom, and how, this request is let in", [],
        Nothing => One(&session::SESSION), session::show),
    route!(POST "session" Viewer "Logs a browser in: by the header Authorization, or by this body", [],
        Takes::OneIfAny(&session::LOGIN) => One(&session::BEGUN), session::begin),
    route!(DELETE "session" Viewer "Logs the browser out whose cookie the request has", [],
        Nothing => One(&session::ENDED), session::end),
    route!(GET "broker" Viewer "What runs, and what it counted", [], Nothing => One(&broker::BROKER), broker::broker),
    route!(GET "bridges" Viewer "Bridges to other brokers", [], Nothing => List(&bridges::BRIDGE), bridges::list),
    route!(POST "bridges/{id}/pause" Operator "Disconnects a bridge until it is resumed; its queue goes on", [],
        Nothing => One(&bridges::PAUSED), bridges::pause),
    route!(POST "bridges/{id}/resume" Operator "Lets a bridge that was paused connect again", [],
        Nothing => One(&bridges::PAUSED), bridges::resume),
    route!(GET "webhooks" Viewer "Webhooks", [], Nothing => List(&webhooks::WEBHOOK), webhooks::list),
    route!(GET "clients" Viewer "Clients and sessions", [LIST, STATE, FILTERS, clients::SHOWN],
        Nothing => List(&CLIENT), clients::list),
    route!(GET "clients/{id}" Viewer "One client with its Will, whose payload is shown from operator on", [],
        Nothing => One(&clients::ONE), clients::one),
    route!(DELETE "clients/{id}" Operator "Disconnects a client, or ends its session", [clients::CLOSING],
        Nothing => One(&clients::CLOSED), clients::close),
    route!(GET "clients/{id}/subscriptions" Viewer "Subscriptions of a client", [LIST],
        Nothing => List(&subscriptions::SUBSCRIPTION), subscriptions::of_client),
    route!(PUT "clients/{id}/subscriptions" Operator "Subscribes a client, which is not told", [],
        Takes::One(&subscriptions::NEW) => One(&subscriptions::SUBSCRIPTION), subscriptions::subscribe),
    route!(DELETE "clients/{id}/subscriptions" Operator "Ends a subscription of a client, which is not told",
        [subscriptions::WHICH], Nothing => One(&subscriptions::ENDED), subscriptions::unsubscribe),
    route!(DELETE "clients/{id}/queue" Operator "Removes the messages that wait for a client", [],
        Nothing => One(&messages::REMOVED), messages::remove_queue),
    route!(GET "clients/{id}/queue" Operator "Messages that wait for a client", [LIST, PAYLOAD],
        Nothing => List(&messages::QUEUED), messages::queue),
    route!(GET "clients/{id}/inflight" Operator "Messages that were sent to a client and are not completed",
        [LIST, PAYLOAD], Nothing => List(&messages::IN_FLIGHT), messages::inflight),
    route!(GET "closed-clients" Viewer "The last 10,000 clients that went, the latest first", [LIST],
        Nothing => List(&broker::CLOSED_CLIENT), broker::closed_clients),
    route!(POST "kick" Operator "Disconnects all clients that filters select",
        [STATE, FILTERS, clients::CLOSING_MANY, clients::DRY], Takes::Parameters => One(&clients::MANY), clients::kick_many),
    route!(DELETE "sessions" Operator "Ends the sessions of all clients that filters select",
        [STATE, FILTERS, clients::CLOSING_MANY, clients::DRY], Takes::Parameters => One(&clients::MANY), clients::end_many),
    route!(GET "subscriptions" Viewer "Who is subscribed to what", [LIST, subscriptions::ONE_CLIENT],
        Nothing => List(&subscriptions::SUBSCRIPTION), subscriptions::all),
    route!(GET "routes" Viewer "Who would get a message of this topic", [subscriptions::TOPIC],
        Nothing => One(&subscriptions::ROUTES), subscriptions::routes),
    route!(GET "topics" Viewer "The busiest topics, counted while somebody asks at least every ten minutes",
        [topics::BUSIEST], Nothing => One(&topics::TOPICS), topics::busiest),
    route!(GET "slow" Viewer "The subscribers that take longest to acknowledge messages, of which some are timed",
        [slow::SLOWEST], Nothing => One(&slow::SLOW), slow::slowest),
    route!(GET "explain" Operator "May a client do this, and which rule says so?", [broker::EXPLAIN],
        Nothing => One(&broker::EXPLANATION), broker::explain),
    route!(GET "retained" Operator "Retained messages", [LIST, retained::WHICH, PAYLOAD],
        Nothing => List(&retained::RETAINED), retained::list),
    route!(DELETE "retained" Operator "Removes retained messages; subscribers are not told",
        [retained::WHICH, retained::DRY], Nothing => One(&retained::REMOVED), retained::remove),
    route!(PUT "retained" Operator "Retains one message, and publishes it", [publish::TOPIC],
        Takes::One(&publish::MESSAGE) => One(&publish::PUBLISHED), publish::retain),
    route!(POST "publish" Operator "Publishes a message, or up to 1,000: they are kept as a PUBACK promises", [],
        Takes::OneOrMany(&publish::MESSAGE) => Either(&publish::PUBLISHED), publish::publish),
    route!(GET "bans" Operator "Clients, users and networks that are refused", [LIST],
        Nothing => List(&bans::BAN), bans::list),
    route!(POST "bans" Operator "Refuses a client, a user or a network from now on, and closes its connections", [],
        Takes::One(&bans::NEW) => One(&bans::BANNED), bans::ban),
    route!(DELETE "bans" Operator "Ends the ban of exactly this", [bans::TARGET],
        Nothing => One(&bans::UNBANNED), bans::unban),
    route!(GET "config" Admin "The configuration in force, and where each value comes from", [],
        Nothing => List(&broker::SETTING), broker::settings),
    route!(POST "config/check" Admin "Is this a configuration, and what would it change?", [],
        Takes::Toml => One(&broker::CHECKED), broker::check),
    route!(POST "reload" Operator "Has the configuration read again", [],
        Nothing => One(&broker::RELOADED), broker::reload),
    route!(GET "users" Admin "The users of auth.password_file", [LIST], Nothing => List(&users::USER), users::list),
    route!(GET "users/{id}" Admin "One of them", [], Nothing => One(&users::USER), users::one),
    route!(PUT "users/{id}" Admin "Adds a user, or changes the password of one", [],
        Takes::One(&users::PASSWORD) => One(&users::EDITED), users::set),
    route!(DELETE "users/{id}" Admin "Deletes a user; its clients are disconnected, and the rules for it stay", [],
        Nothing => One(&users::DELETED), users::delete),
    route!(GET "rules" Admin "The text of auth.acl_file, and the rules in it", [],
        Nothing => One(&users::RULES), users::rules),
    route!(PUT "rules" Admin "Sets one rule, or replaces all of the text", [],
        Takes::One(&users::NEW_RULES) => One(&users::EDITED), users::set_rules),
    route!(DELETE "rules" Admin "Deletes the rules for a filter", [users::WHICH_RULE],
        Nothing => One(&users::EDITED), users::delete_rule),
    route!(GET "keys" Admin "Keys of programs", [], Nothing => List(&keys::KEY), keys::list),
    route!(POST "keys" Admin "Makes a key, and shows it once", [],
        Takes::One(&keys::NEW) => One(&keys::ADDED), keys::add),
    route!(DELETE "keys" Admin "Deletes a key", [keys::NAME], Nothing => One(&keys::DELETED), keys::delete),
    route!(GET "audit" Admin "The last 1,000 requests that were to write, the latest first", [LIST],
        Nothing => List(&broker::WRITE), broker::audit),
    route!(GET "export" Admin "What is stored, and the users, as lines of JSON, from one moment", [],
        Nothing => Gives::Lines, carry::export),
    route!(POST "import" Admin "Brings in what an export has and is not there; all of it is checked first", [carry::ONLY],
        Takes::Lines => One(&carry::IMPORTED), carry::import),
    route!(GET "events" Viewer "What happens, as server-sent events", [streams::EVENTS],
        Nothing => Stream, streams::events),
    route!(GET "messages" Operator "Messages that are published, as server-sent events", [streams::MESSAGES],
        Nothing => Stream, streams::messages),
    route!(GET "history" Viewer "Rates and levels of the last quarter of an hour, a point for each second", [],
        Nothing => One(&history::HISTORY), history::history),
    route!(GET "live" Viewer "All that a page of the web console shows, in at most 20 updates a second", [live::LIVE],
        Nothing => Stream, live::live),
];

async fn document(call: Call) -> Answer {
    Ok(([(header::CONTENT_TYPE, "application/json")], call.document.to_string()).into_response())
}
