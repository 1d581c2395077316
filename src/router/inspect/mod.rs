//! Looking into a router that runs, and what an operator does there: clients and their sessions, what waits and what is
//! in flight, subscriptions, retained messages. Nothing here is on the path of a message.
//!
//! Each walk has a [`Cursor`] and a budget: what is seen of many things is not seen at one moment. What is there from
//! the beginning of a walk to its end is seen once. A session is locked alone, and nothing that holds many of them
//! while it is.
//!
//! | module | owns |
//! |---|---|
//! | `views` | what those who ask see |
//! | `clients` | walking over clients and their sessions; what one of them holds |
//! | `subscriptions` | whose subscriptions there are, and who gets a topic |
//! | `events` | what happens, beyond the threads on which it does |
//! | `retained` | walking over retained messages, and removing them |
//! | `actions` | closing connections, ending sessions |
//! | `operator` | doing so from a thread that serves no clients |

mod actions;
mod clients;
mod events;
mod operator;
mod retained;
mod subscriptions;
mod views;

pub use super::sessions::Flow;
pub use crate::session::{ByAdministrator, Drops, Holds, Stage};
pub use actions::{Closed, Ended};
pub use clients::SESSIONS_A_STEP;
pub(crate) use events::EventStreams;
pub use events::{EventStream, Happened, What};
pub use operator::Operator;
pub use retained::Removed;
pub use subscriptions::{SubscriberView, SubscriptionView};
pub use views::{
    ClientView, ConnectionView, Cursor, InFlightMessage, QueuedMessage, RetainedMessage, SessionView, Wanted, WillView,
};
