//! From a message to the sessions that get it.
//!
//! | module | owns |
//! |---|---|
//! | `expired` | messages that expire while nobody is sent them |
//! | `messages` | from a message to the sessions that get it |
//! | `sender` | whose message it is |
//! | `steps` | messages that a turn is too short for |
//! | `wills` | Wills that are due |

mod expired;
mod messages;
mod sender;
mod steps;
mod wills;

pub(crate) use sender::Sender;
pub(crate) use steps::{Leave, Publishing, Step};
pub(crate) use wills::{LastWill, WillKept, Wills};
