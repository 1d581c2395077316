//! HTTP: health checks and metrics, on a thread of its own. It never runs on a thread that serves clients, and takes no
//! lock of a session.
//!
//! | module | owns |
//! |---|---|
//! | `thread` | the thread, its listeners, what the server tells it while it runs |
//! | `serving` | one connection: its bounds in time and bytes |
//! | `access` | logins and roles |
//! | `rules` | permissions of roles; checks of headers |
//! | `routes` | which path is answered by what, for which role |
//! | `ticks` | whether the threads that serve clients answer |
//! | `requests` | how long requests took |
//! | `depths` | how long queues are, as of the last walk over all sessions |
//! | `state` | what all requests share |
//! | `health` | `/healthz`, `/readyz`, `/startupz` |
//! | `metrics` | `/metrics` |
//! | `problem` | an answer that says what is wrong |

mod access;
mod depths;
mod health;
mod metrics;
mod problem;
mod requests;
mod routes;
mod rules;
mod serving;
mod state;
mod thread;
mod ticks;

pub use rules::Rules;
pub use thread::{Admin, Bound, Socket};
