//! Inspection and operator actions: clients and their sessions, queued messages and messages in flight, subscriptions,
//! retained messages. Nothing here is on the path of a message.
//!
//! Each walk has a [`Cursor`] and a budget, so its items are not seen at the same time. An item that exists from the
//! beginning of a walk to its end is seen once. Sessions are locked one at a time, and no table of sessions is locked
//! meanwhile.
//!
//! | module | owns |
//! |---|---|
//! | `views` | the types that inspection returns |
//! | `clients` | walks over clients and their sessions; the contents of one session |
//! | `subscriptions` | lists of subscriptions, and the subscribers of a topic |
//! | `events` | events from all threads for one task |
//! | `told` | the names of events |
//! | `retained` | walks over retained messages, and their removal |
//! | `actions` | closes connections, ends sessions |
//! | `bans` | clients that are refused |
//! | `operator` | actions from a thread that serves no clients |

mod actions;
mod bans;
mod clients;
mod events;
mod operator;
mod retained;
mod subscriptions;
mod told;
mod views;

pub use super::clients::{NotAdopted, NotSubscribed};
pub use super::sessions::{Ban, BanTarget, Flow, MOST_BANS, TooManyBans};
pub use crate::session::{ByAdministrator, Drops, Holds, Stage, Timed};
pub use actions::{Closed, Ended};
pub(crate) use bans::Flaps;
pub use clients::SESSIONS_A_STEP;
pub(crate) use events::EventStreams;
pub use events::{EventStream, Happened, What};
pub use operator::Operator;
pub use retained::Removed;
pub use subscriptions::{SubscriberView, SubscriptionView};
pub use views::{
    ClientView, ConnectionView, Cursor, InFlightMessage, QueuedMessage, RetainedMessage, SessionView, Wanted, WillView,
};
