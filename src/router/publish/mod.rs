//! Publishing: from a message to the sessions of its subscribers.
//!
//! | module | owns |
//! |---|---|
//! | `delivering` | the delivery of a message to sessions |
//! | `expired` | messages that expire in queues or as retained messages |
//! | `groups` | a message to a group of shared subscriptions |
//! | `requeue` | messages that wait in one member of a group while others could have them |
//! | `messages` | from a message to the sessions of its subscribers |
//! | `passed` | messages that come round a ring of brokers |
//! | `sender` | the publisher of a message, and its rights |
//! | `steps` | messages that take several turns |
//! | `wills` | Wills that are due |

mod delivering;
mod expired;
mod groups;
mod messages;
mod passed;
mod requeue;
mod sender;
mod steps;
#[cfg(test)]
mod tests;
mod wills;

pub(crate) use groups::MOST_ASKED;
pub use passed::PASSED;
pub(crate) use requeue::Requeues;
pub(crate) use sender::{Publisher, Sender};
pub(crate) use steps::{Leave, Publishing, Step};
pub(crate) use wills::{LastWill, WillKept, Wills};
