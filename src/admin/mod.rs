//! HTTP: health checks, metrics and the admin API, on a thread of their own, which serves no clients of MQTT.
//!
//! | module | owns |
//! |---|---|
//! | `bound` | a socket that serves HTTP |
//! | `admission` | logins, roles and further settings |
//! | `thread` | the thread, its listeners, notifications from the server |
//! | `secure` | the interface to TLS |
//! | `sniff` | recognizes MQTT over WebSocket |
//! | `serving` | one connection, with bounds in time and bytes |
//! | `access` | finds out the caller of a request and its role |
//! | `login` | the login of a user or a key |
//! | `sessions` | sessions of browsers, by cookies |
//! | `rules` | permissions of roles; checks of headers |
//! | `routes` | routes outside the API, with their roles and limits |
//! | `ticks` | whether the worker threads and the store respond |
//! | `requests` | durations of requests |
//! | `depths` | queue lengths, as of the last walk over all sessions |
//! | `state` | state that all requests share |
//! | `health` | `/healthz`, `/readyz`, `/startupz` |
//! | `history` | rates and levels of the last 15 minutes |
//! | `sampling` | adds the points of the history |
//! | `page` | serves the files of the web console, which are in `console/` |
//! | `metrics` | `/metrics` |
//! | `api` | `/api/v1/` |
//! | `control` | operations of the server for HTTP |
//! | `closed` | the last clients that disconnected |
//! | `topics`, `busiest` | the busiest topics |
//! | `slow` | the slowest subscribers |
//! | `audit` | a record of writing requests |
//! | `last` | the last entries of a sequence, in pages |
//! | `problem` | an answer that tells what is wrong |

mod access;
mod admission;
mod api;
mod audit;
mod bound;
mod busiest;
mod closed;
mod control;
mod depths;
mod feed;
mod health;
mod history;
mod last;
mod lines;
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
pub(crate) use api::{decode_url, settable_properties};
pub use audit::AuditFile;
pub use bound::{Bound, Socket};
pub use control::{
    AddedKey, Asked, BridgeState, Control, Doing, FileProblem, Imported, LoginServiceState, NewPassword, Reloading,
    RuleEdit, RuleShown, RulesShown, Setting, SinkState, TokenKeysState, UserShown, WebhookState, Whom,
};
pub use lines::{LogLines, log_lines};
pub(crate) use login::basic_login;
pub(crate) use problem::Problem;
pub(crate) use rules::Via;
pub use secure::{Accepting, Duplex, Secure};
pub(crate) use serving::{LONGEST_HEAD, serve};
pub(crate) use thread::Behind;
pub use thread::{Admin, Handle};
