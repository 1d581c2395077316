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

pub use matches::Matched;
pub(crate) use matches::{MatchCache, Matching, Target};
pub(crate) use retained::{Present, RetainedBounds, RetainedStore};
pub(crate) use table::Subscriptions;
