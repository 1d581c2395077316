//! From a message to the sessions that get it.
//!
//! | module | owns |
//! |---|---|
//! | `delivering` | a message that is handed to sessions |
//! | `expired` | messages that expire while nobody is sent them |
//! | `groups` | a message to a group of shared subscriptions |
//! | `requeue` | messages that wait in one member of a group while others could have them |
//! | `messages` | from a message to the sessions that get it |
//! | `sender` | whose message it is |
//! | `steps` | messages that a turn is too short for |
//! | `wills` | Wills that are due |

mod delivering;
mod expired;
mod groups;
mod messages;
mod requeue;
mod sender;
mod steps;
#[cfg(test)]
mod tests;
mod wills;

pub(crate) use requeue::Requeues;
pub(crate) use sender::Sender;
pub(crate) use steps::{Leave, Publishing, Step};
pub(crate) use wills::{LastWill, WillKept, Wills};
