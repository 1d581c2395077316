//! HTTP: health checks, metrics and the admin API, on a thread of its own. It never runs on a thread that serves
//! clients.
//!
//! | module | owns |
//! |---|---|
//! | `bound` | a socket on which HTTP is served |
//! | `admission` | who may do what, as the configuration says |
//! | `thread` | the thread, its listeners, what the server tells it while it runs |
//! | `secure` | what speaks TLS |
//! | `sniff` | which connections ask for MQTT over WebSocket |
//! | `serving` | one connection: its bounds in time and bytes |
//! | `access` | who is let in, with which role |
//! | `login` | a user or a key: what is shown, and whether it holds |
//! | `sessions` | logins of browsers, by their cookies |
//! | `rules` | permissions of roles; checks of headers |
//! | `routes` | which path is answered by what, for which role |
//! | `ticks` | whether the threads that serve clients answer |
//! | `requests` | how long requests took |
//! | `depths` | how long queues are, as of the last walk over all sessions |
//! | `state` | what all requests share |
//! | `health` | `/healthz`, `/readyz`, `/startupz` |
//! | `history` | rates and levels of the last quarter of an hour |
//! | `sampling` | takes its points |
//! | `page` | the files of the web console; they are in `console/` |
//! | `metrics` | `/metrics` |
//! | `api` | `/api/v1/` |
//! | `control` | what it asks the server to do |
//! | `closed` | the clients that went |
//! | `topics`, `busiest` | the busiest topics |
//! | `slow` | the slowest subscribers |
//! | `audit` | who had what written |
//! | `last` | the last of many, in pages |
//! | `problem` | an answer that says what is wrong |

mod access;
mod admission;
mod api;
mod audit;
mod bound;
mod busiest;
mod closed;
mod control;
mod depths;
mod health;
mod history;
mod last;
mod login;
mod metrics;
mod page;
mod problem;
mod requests;
mod routes;
mod rules;
mod sampling;
mod secure;
mod serving;
mod sessions;
mod slow;
mod sniff;
mod state;
mod thread;
mod ticks;
mod topics;

pub use admission::{Delay, Key, Rules};
pub(crate) use api::{put_payload, shown_properties};
pub use audit::AuditFile;
pub use bound::{Bound, Socket};
pub use control::{
    AddedKey, Asked, BridgeState, Control, Doing, FileProblem, Imported, LoginServiceState, NewPassword, Reloading,
    RuleEdit, RuleShown, RulesShown, Setting, UserShown, WebhookState, Whom,
};
pub(crate) use problem::Problem;
pub(crate) use rules::Via;
pub use secure::{Accepting, Duplex, Secure};
pub(crate) use serving::{LONGEST_HEAD, serve};
pub use thread::{Admin, Handle};
