//! Who gets what is published.
//!
//! | module | owns |
//! |---|---|
//! | `table` | who subscribes to what |
//! | `matches` | remembered answers to "who gets this topic" |
//! | `retained` | the retained messages |

mod matches;
mod retained;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use matches::MatchCache;
pub use matches::Matched;
pub(crate) use retained::{RetainedBounds, RetainedStore};
pub(crate) use table::Subscriptions;
