//! From a message to the sessions that get it.
//!
//! | module | owns |
//! |---|---|
//! | `messages` | from a message to the sessions that get it |
//! | `wills` | Wills that are due |

mod messages;
mod wills;

pub(crate) use messages::Sender;
pub(crate) use wills::{WillKept, Wills};
